"""Code of the process itself opens and closes the store's files, which drops record locks; nothing rests on these."""

import shutil
import sqlite3
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, ended, python, start

ADD = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for n in range(40):
    store.add(rt.Trace(prompt=f"{sys.argv[2]} {n}", steps=["s"], final_answer="a"))
    if n % 8 == 0:
        store.page(limit=5)
"""

READ_ONCE = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1], settings=rt.Settings(pool_timeout=1))
try:
    print(store.count())
except rt.StoreBusy:
    print("busy")
"""


def copy(folder):
    shutil.copytree(folder, folder.with_name("copy"), dirs_exist_ok=True)


def tar(folder):
    with tarfile.open(folder.with_name("runs.tar"), "w") as packed:
        packed.add(folder)


def read(folder):
    for file in folder.iterdir():
        file.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "runs.duckdb"


def quietly(touch, folder):
    # A log that another process has just removed.
    with suppress(OSError, shutil.Error):
        touch(folder)


@pytest.mark.crash
@pytest.mark.parametrize("touch", [copy, tar, read])
def test_nothing_is_lost_while_the_folder_is_copied_by_the_processes_that_use_it(path, touch, make_trace):
    store = rt.TraceStore(path)
    processes = [start(ADD, path, k, output=path.with_name("printed")) for k in range(3)]
    n = 0
    while any(process.poll() is None for process in processes):
        quietly(touch, path.parent)
        store.add(make_trace(prompt=f"own {n}"))
        n += 1
        if n % 8 == 0:
            quietly(touch, path.parent)
            store.count()
    assert [ended(process) for process in processes] == [0, 0, 0]
    assert store.count() == 3 * 40 + n
    assert store.verify(progress=False).ok


@pytest.mark.slow
@pytest.mark.parametrize("touch", [copy, tar, read])
def test_a_held_store_stays_held_when_its_folder_is_copied(path, touch):
    store = rt.TraceStore(path)
    with store.hold():
        touch(path.parent)
        with python(READ_ONCE, path, stdout=subprocess.PIPE, text=True) as other:
            assert other.communicate(timeout=PATIENCE)[0] == "busy\n"
    store.close()


@pytest.mark.slow
def test_the_journals_log_outlives_a_process_that_closes_it(path, make_trace):
    """SQLite deletes the log when the last process closes it, and knows the others by locks that a copy drops."""
    store = rt.TraceStore(path)
    store.add(make_trace())
    copy(path.parent)
    journal = path.with_name("runs.journal")
    sqlite3.connect(journal).execute("select 1 from pending").close()
    with python(ADD, path, "other") as other:
        assert other.wait(PATIENCE) == 0
    assert Path(f"{journal}-wal").exists()
    store.add(make_trace())
    assert rt.TraceStore(path).count() == 42
