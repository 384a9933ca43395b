"""Files of a store that were damaged, lost, or put back from another time: told, and left as they are."""

import os
import random
import re
import shutil
import signal
import sqlite3

import pytest

import tunix_rt as rt
from tests.processes import ended, start

ADD_AND_DIE = """
import os, signal, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
store.add_many(rt.Trace(prompt=f"last {k}", steps=["s" * 500], final_answer="a") for k in range(20))
if sys.argv[2] == "folded":
    store.count()
os.kill(os.getpid(), signal.SIGKILL)
"""


def halve(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def _noise(size):
    return random.Random(size).randbytes(size)


def overwrite(path):
    path.write_bytes(_noise(path.stat().st_size))


def overwrite_the_end(path):
    with path.open("r+b") as file:
        file.seek(-path.stat().st_size // 3, os.SEEK_END)
        file.write(_noise(path.stat().st_size // 3))


def delete(path):
    path.unlink()


@pytest.fixture
def path(tmp_path, make_trace):
    """A store of 50 traces, closed; nothing waits in the journal."""
    store = rt.TraceStore(tmp_path / "runs.duckdb")
    store.add_many(make_trace(prompt=f"first {n}") for n in range(50))
    assert store.count() == 50
    store.close()
    return store.path


def add_and_die(path, how):
    """Adds 20 traces in another process that is killed; `how`: they are "folded", or wait in the journal."""
    assert ended(start(ADD_AND_DIE, path, how, output=path.with_name("printed"))) == -signal.SIGKILL


def contents(path):
    """What lies in the store's files that hold traces."""
    names = [path.name, f"{path.name}.wal", f"{path.stem}.journal", f"{path.stem}.journal-wal"]
    found = {name: path.with_name(name).read_bytes() for name in names if path.with_name(name).exists()}
    # DuckDB removes a log in which there is nothing.
    return {name: data for name, data in found.items() if data}


def refused(path, *told):
    """The error that opening and counting raise, twice the same; the files are as they were."""
    before = contents(path)
    for _ in range(2):
        with pytest.raises(rt.StoreUnusable) as caught:
            rt.TraceStore(path).count()
        message = str(caught.value)
        assert message.startswith(str(path.parent))
        for part in told:
            assert re.search(part, message), message
    after = contents(path)
    assert {name: after.get(name) == data for name, data in before.items()} == dict.fromkeys(before, True)
    return caught.value


@pytest.mark.parametrize("damage", [halve, overwrite, empty])
def test_a_damaged_store_is_told_and_left_as_it_is(path, damage):
    damage(path)
    refused(path, str(path), "backup|Put the missing file back")


def test_a_store_damaged_in_the_middle_is_told_when_it_is_read(path):
    with path.open("r+b") as file:
        file.seek(12_288 + 5_000)
        file.write(b"\xff" * 200_000)
    error = refused(path, str(path), "backup|Put the missing file back")
    assert isinstance(error, rt.StoreDamaged)


@pytest.mark.slow
def test_a_store_that_was_deleted_is_told_and_not_made_anew(path):
    path.unlink()
    error = refused(path, "missing or empty; it had 50 traces", "Put the missing file back")
    assert isinstance(error, rt.StoreDamaged)
    assert error.missing == 50
    assert not path.exists()
    store = rt.TraceStore(path, accept_loss=True)
    assert store.count() == 0
    store.close()
    assert rt.TraceStore(path).count() == 0


def test_an_older_copy_of_the_store_is_told_and_the_newer_one_can_be_put_back(path, make_trace):
    shutil.copy(path, older := path.with_name("older"))
    store = rt.TraceStore(path)
    store.add(make_trace())
    assert store.count() == 51
    store.close()
    shutil.copy(path, newer := path.with_name("newer"))
    shutil.copy(older, path)
    error = refused(path, "has 50 traces, but 51 were stored", "older copy")
    assert isinstance(error, rt.StoreDamaged)
    assert error.missing == 1
    shutil.copy(newer, path)
    assert rt.TraceStore(path).count() == 51


def test_who_accepts_the_loss_goes_on_with_an_older_copy(path, make_trace):
    shutil.copy(path, older := path.with_name("older"))
    store = rt.TraceStore(path)
    store.add(make_trace())
    assert store.count() == 51
    store.close()
    shutil.copy(older, path)
    store = rt.TraceStore(path, accept_loss=True)
    assert store.count() == 50
    store.add(make_trace())
    store.close()
    assert rt.TraceStore(path).count() == 51


def test_a_loss_accepted_in_vain_is_not_accepted_for_the_next_one(path):
    overwrite(path)
    with pytest.raises(rt.StoreUnusable, match="is not a DuckDB file"):
        rt.TraceStore(path, accept_loss=True)
    path.unlink()
    refused(path, "missing or empty; it had 50 traces")


def test_another_store_in_its_place_is_told(path, tmp_path, make_trace):
    other = rt.TraceStore(tmp_path / "other.duckdb")
    other.add(make_trace())
    other.close()
    shutil.copy(other.path, path)
    error = refused(path, r"not the store that its journal belongs to, which had 50 traces", "accept_loss=True")
    assert isinstance(error, rt.StoreDamaged)
    assert rt.TraceStore(path, accept_loss=True).count() == 1


@pytest.mark.crash
@pytest.mark.parametrize("damage", [halve, overwrite, overwrite_the_end, empty, delete])
def test_a_write_ahead_log_that_lost_changes_is_told(path, damage):
    add_and_die(path, "folded")
    damage(path.with_name("runs.duckdb.wal"))
    assert isinstance(refused(path, str(path), "backup|Put the missing file back"), rt.StoreDamaged)


@pytest.mark.crash
def test_a_write_ahead_log_that_is_put_back_is_all_that_was_missing(path):
    add_and_die(path, "folded")
    log = path.with_name("runs.duckdb.wal")
    log.rename(path.with_name("kept"))
    refused(path, "has 50 traces, but 70 were stored", "write-ahead log was lost")
    path.with_name("kept").rename(log)
    assert rt.TraceStore(path).count() == 70


@pytest.mark.parametrize("damage", [halve, overwrite, empty])
def test_a_damaged_journal_is_told_and_left_as_it_is(path, damage):
    store = rt.TraceStore(path)
    store.close()
    damage(path.with_name("runs.journal"))
    refused(path, "runs.journal", "backup")
    with pytest.raises(rt.StoreDamaged, match=r"runs\.journal: the journal is damaged"):
        store.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))


@pytest.mark.crash
def test_a_journal_damaged_beneath_its_log_is_told(path):
    add_and_die(path, "waiting")
    halve(path.with_name("runs.journal"))
    with pytest.raises(rt.StoreDamaged, match=r"runs\.journal: the journal is damaged"):
        rt.TraceStore(path).count()
    assert path.with_name("runs.journal").exists()


@pytest.mark.crash
@pytest.mark.parametrize("damage", [halve, overwrite, overwrite_the_end, empty, delete])
def test_a_journal_that_lost_its_log_is_told(path, damage):
    add_and_die(path, "waiting")
    damage(path.with_name("runs.journal-wal"))
    with pytest.raises(rt.StoreDamaged, match="20 stored traces are neither in"):
        rt.TraceStore(path).count()
    store = rt.TraceStore(path, accept_loss=True)
    assert store.count() == 50
    store.add(rt.Trace(prompt="new", steps=["s"], final_answer="a"))
    assert rt.TraceStore(path).count() == 51


def test_a_journal_that_was_deleted_with_nothing_in_it_loses_nothing(path):
    path.with_name("runs.journal").unlink()
    assert rt.TraceStore(path).count() == 50


@pytest.mark.crash
def test_a_journal_that_was_deleted_with_traces_in_it_is_told(path):
    add_and_die(path, "waiting")
    journal = path.with_name("runs.journal")
    for name in ("runs.journal", "runs.journal-wal", "runs.journal-shm"):
        path.with_name(name).unlink(missing_ok=True)
    assert not journal.exists()
    with pytest.raises(rt.StoreDamaged, match="20 stored traces are neither in"):
        rt.TraceStore(path).count()


@pytest.mark.crash
def test_a_journal_deleted_without_its_log_is_told(path):
    add_and_die(path, "waiting")
    path.with_name("runs.journal").unlink()
    refused(path, "runs.journal: the journal is damaged .the file is missing, but its log exists")


def test_a_journal_that_is_another_database_is_told(path):
    journal = path.with_name("runs.journal")
    journal.unlink()
    with sqlite3.connect(journal) as other:
        other.execute("create table things (name text)")
    other.close()
    refused(path, "runs.journal")
