"""Processes that begin a store anew while others still have the files that were deleted: neither spoils the other's."""

import shutil
import sqlite3
import subprocess
import time

import duckdb
import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python
from tunix_rt.store.engine.database import Database
from tunix_rt.store.engine.journal import Journal
from tunix_rt.store.engine.journal_file import JournalFile, _open

BEGIN_ANEW = """
import os, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for n in range(3):
    store.add(rt.Trace(prompt=f"new {n}", steps=["s"], final_answer="a"))
if sys.argv[2] == "fold":
    store.count()
# As if it were killed: what it has committed is in its logs.
os._exit(0)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "runs.duckdb"


@pytest.fixture
def store(path, make_trace):
    store = rt.TraceStore(path)
    store.add_many(make_trace(f"old {n}") for n in range(5))
    assert store.count() == 5
    return store


def remove(path):
    for file in path.parent.glob("runs.*"):
        file.unlink()


def begin_anew(path, how="fold"):
    with python(BEGIN_ANEW, path, how, stderr=subprocess.PIPE) as other:
        assert other.communicate(timeout=PATIENCE)[1] == b""


def prompts(path):
    return sorted(record.payload.prompt for record in rt.TraceStore(path).records())


NEW = ["new 0", "new 1", "new 2"]


@pytest.mark.slow
def test_who_closes_a_deleted_file_leaves_the_log_of_the_new_one(store, path, make_trace):
    store.add(make_trace())
    assert store.count() == 6
    log = path.with_name("runs.duckdb.wal")
    # While there is work in it, the file is not given up.
    with store._session.cursor():
        remove(path)
        begin_anew(path)
        before = log.stat().st_ino
    store._session._files.lease.stop()
    store._session._files.lease.resume()
    assert log.stat().st_ino == before
    assert prompts(path) == NEW


def test_a_change_of_a_deleted_file_makes_no_log_at_its_path(store, path):
    store.close()
    with pytest.raises(rt.StoreDamaged, match="was deleted, moved"), store._session.transaction() as cursor:
        cursor.execute("delete from traces")
        remove(path)
    assert list(path.parent.iterdir()) == []


def test_a_change_in_a_folder_that_was_moved_away_is_told(store, path, tmp_path):
    store.close()
    with pytest.raises(rt.StoreDamaged, match="was deleted, moved"), store._session.transaction() as cursor:
        cursor.execute("delete from traces")
        path.parent.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").rename(path.parent)
    assert len(prompts(path)) == 5


@pytest.mark.slow
def test_a_lock_file_that_is_gone_gives_no_right_to_the_new_journal(store, path):
    """Its counts are about the old one: what they call folded would be deleted from the new one."""
    queue = store._session._files.queue
    remove(path)
    begin_anew(path, "leave")
    stale = Journal(path.with_name("runs.journal"), queue)
    with pytest.raises(rt.StoreDamaged, match="deleted, moved or replaced while the store was open"):
        assert stale.n_rows
    assert prompts(path) == NEW


@pytest.mark.slow
def test_counts_of_another_journal_are_not_believed(store, path, tmp_path):
    lock = path.with_name("runs.lock")
    shutil.copy(lock, tmp_path / "lock")
    store.close()
    remove(path)
    begin_anew(path, "leave")
    shutil.copy(tmp_path / "lock", lock)
    assert prompts(path) == NEW


@pytest.mark.slow
def test_a_journal_that_is_replaced_while_it_is_opened_takes_no_row(store, path):
    def replace(_connection):
        remove(path)
        begin_anew(path, "leave")

    file = JournalFile(path.with_name("runs.journal"), store._session._files.queue, replace)
    with pytest.raises(rt.StoreDamaged, match="deleted, moved or replaced while the store was open"), file.connected():
        pytest.fail("it was opened")
    assert prompts(path) == NEW


@pytest.mark.slow
def test_a_journal_that_is_deleted_while_it_is_opened_is_not_made_empty(store, path):
    def delete(_connection):
        remove(path)

    journal = path.with_name("runs.journal")
    file = JournalFile(journal, store._session._files.queue, delete)
    with pytest.raises(rt.StoreDamaged, match="deleted, moved or replaced while the store was open"), file.connected():
        pytest.fail("it was opened")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        _open(journal).execute("select 1 from pending")
    assert not journal.exists()
    begin_anew(path)
    assert prompts(path) == NEW


def test_what_a_lost_journal_held_is_counted_as_lost_by_the_next_one(store, path, make_trace):
    store.add(make_trace("in the journal"))
    store._session.close_file()
    for ending in ("journal", "journal-wal", "journal-shm"):
        path.with_name(f"runs.{ending}").unlink(missing_ok=True)
    with pytest.raises(rt.StoreDamaged, match="1 stored traces are neither in"):
        rt.TraceStore(path).count()
    assert rt.TraceStore(path, accept_loss=True).count() == 5
    rt.TraceStore(path).add(make_trace("new"))
    assert rt.TraceStore(path).count() == 6


def test_who_makes_a_store_leaves_the_one_that_was_made_meanwhile(tmp_path):
    path = tmp_path / "folder" / "runs.duckdb"
    path.parent.mkdir()

    def prepare(_cursor):
        if not path.exists():
            with duckdb.connect(path) as plain:
                plain.execute("create table made_meanwhile (a int)")

    database = Database(path, prepare)
    database.memory_limit = 10**9
    assert database.attach(time.monotonic() + PATIENCE, lambda: False)
    with database.cursor() as cursor:
        assert cursor.execute("select count(*) from made_meanwhile").fetchall() == [(0,)]
    database.detach()
    database.shut()
    assert [file.name for file in path.parent.iterdir()] == ["runs.duckdb"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["False", "True"])
def test_who_is_killed_while_it_makes_a_store_leaves_nothing_that_expects_it(path, how, make_trace):
    program = """
import os, sys
from tunix_rt.store.engine import database
import tunix_rt as rt
database.put_in_place = lambda *_: os._exit(0)
rt.TraceStore(sys.argv[1], accept_loss=sys.argv[2] == "True")
"""
    with python(program, path, how) as killed:
        assert killed.wait(PATIENCE) == 0
    assert not path.exists()
    assert path.with_name("runs.journal").exists()
    store = rt.TraceStore(path)
    assert store.count() == 0
    store.add(make_trace())
    store.close()
    assert rt.TraceStore(path).count() == 1


def test_a_folder_that_goes_while_a_store_is_made_is_told(path, tmp_path):
    path.parent.mkdir()
    database = Database(path, lambda _: path.parent.rename(tmp_path / "elsewhere"))
    database.memory_limit = 10**9
    with pytest.raises(rt.StoreUnusable, match=r"runs\.duckdb: cannot be (created|used)"):
        database.attach(time.monotonic() + PATIENCE, lambda: False)


@pytest.mark.parametrize(
    "said", ['Could not set lock on file "x.wal"', 'Cannot open file "x.wal"', 'Could not write file "x.wal"']
)
def test_a_commit_that_cannot_be_written_is_a_fault_of_the_file(path, said):
    error = duckdb.TransactionException(f"TransactionContext Error: Failed to commit: {said}")
    assert isinstance(Database(path, lambda _: None).explained(error), rt.StoreUnusable)
