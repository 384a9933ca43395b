"""Files of a store that are deleted, moved or replaced while it is open: nothing is acknowledged into nowhere."""

import shutil
import subprocess

import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python

GONE = "were deleted, moved or replaced while the store was open, .* nothing was stored. Put them back"

ADD_WHEN_TOLD = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
store.add(rt.Trace(prompt="first", steps=["s"], final_answer="a"))
print("ready", flush=True)
for line in sys.stdin:
    try:
        store.add(rt.Trace(prompt=line, steps=["s"], final_answer="a"))
        print("added", flush=True)
    except rt.StoreDamaged as error:
        print("refused", flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "runs.duckdb"


@pytest.fixture
def store(path, make_trace):
    """A store with one trace in the file and one in the journal, both open."""
    store = rt.TraceStore(path)
    store.add(make_trace("in the file"))
    assert store.count() == 1
    store.add(make_trace("in the journal"))
    return store


def remove(path):
    for file in path.parent.glob("runs.*"):
        file.unlink()


def remove_folder(path):
    shutil.rmtree(path.parent)


def move_folder(path):
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize("away", [remove, remove_folder, move_folder])
def test_a_store_whose_files_are_gone_acknowledges_nothing(store, path, away, make_trace):
    away(path)
    for _ in range(2):
        with pytest.raises(rt.StoreDamaged, match=GONE):
            store.add(make_trace())
        with pytest.raises(rt.StoreUnusable):
            store.count()
        with pytest.raises(rt.StoreUnusable):
            store.load([make_trace()], progress=False)
    assert not path.exists()


@pytest.mark.parametrize("away", [remove, remove_folder, move_folder])
def test_a_new_store_at_the_path_begins_anew_and_the_old_one_with_it(store, path, away, make_trace):
    away(path)
    again = rt.TraceStore(path)
    again.add(make_trace("new"))
    store.add(make_trace("old object"))
    assert again.count() == store.count() == 2
    assert path.exists()
    again.close()
    assert [record.payload.prompt for record in rt.TraceStore(path).records()] == ["old object", "new"]


def test_files_that_are_put_back_hold_what_they_held(store, path, make_trace):
    elsewhere = path.parent.with_name("elsewhere")
    path.parent.rename(elsewhere)
    with pytest.raises(rt.StoreDamaged):
        store.add(make_trace())
    elsewhere.rename(path.parent)
    assert rt.TraceStore(path).count() == 2
    store.add(make_trace())
    assert store.count() == 3


def test_a_journal_that_is_gone_is_noticed(store, path, make_trace):
    path.with_name("runs.journal").unlink()
    for _ in range(2):
        with pytest.raises(rt.StoreDamaged, match=GONE):
            store.add(make_trace())


@pytest.mark.parametrize("ending", ["journal-wal", "journal-shm"])
def test_what_was_in_a_log_deleted_under_an_open_store_is_written_out(store, path, ending, make_trace):
    path.with_name(f"runs.{ending}").unlink()
    store.add(make_trace())
    assert store.count() == 3
    assert path.with_name(f"runs.{ending}").exists()


@pytest.mark.slow
def test_a_deleted_lock_file_is_made_anew(store, path, make_trace):
    path.with_name("runs.lock").unlink()
    store.add(make_trace())
    assert store.count() == 3
    with python(ADD_WHEN_TOLD, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.communicate("one\n", timeout=PATIENCE)[0] == "ready\nadded\n"
    assert store.count() == 5


def test_a_lost_log_is_noticed_after_the_lock_file_was_made_anew(store, path, make_trace):
    path.with_name("runs.lock").unlink()
    store.add(make_trace())
    assert store._session._files.queue.acknowledged == 3


def test_a_backup_that_is_put_in_place_by_a_rename_is_noticed(store, path, tmp_path, make_trace):
    backup = store.backup(tmp_path / "backup.duckdb")
    store.add(make_trace())
    assert store.count() == 3
    backup.replace(path)
    for _ in range(2):
        with pytest.raises(rt.StoreDamaged, match="has 2 traces, but 3 were stored"):
            store.count()
    # What is added meanwhile waits in the journal.
    store.add(make_trace("later"))
    assert rt.TraceStore(path, accept_loss=True).count() == 3
    assert store.count() == 3


def test_a_folder_replaced_by_a_copy_of_it_is_opened_anew(store, path, make_trace):
    store.close()
    copy = path.parent.with_name("copy")
    shutil.copytree(path.parent, copy)
    store.add(make_trace("lost with the folder"))
    assert store.count() == 3
    shutil.rmtree(path.parent)
    copy.rename(path.parent)
    store.add(make_trace("new"))
    assert store.count() == 3
    assert "new" in {record.payload.prompt for record in store.records()}


def test_a_file_replaced_during_a_change_is_not_acknowledged(store, path, tmp_path):
    backup = store.backup(tmp_path / "backup.duckdb")
    with (
        pytest.raises(rt.StoreDamaged, match="was deleted, moved or replaced while this call wrote to it"),
        store._session.transaction() as cursor,
    ):
        cursor.execute("delete from traces")
        backup.replace(path)
    assert store.count() == 2


@pytest.mark.slow
def test_another_process_notices_too(path, tmp_path):
    with python(ADD_WHEN_TOLD, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        path.parent.rename(tmp_path / "elsewhere")
        assert other.communicate("a\nb\n", timeout=PATIENCE)[0] == "refused\nrefused\n"
    assert not path.parent.exists()
