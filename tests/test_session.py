"""One file, many processes in turn, and many threads at once."""

import gc
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

import tunix_rt as rt
from tests.processes import new_python, python
from tunix_rt.store.engine import lease

ADD_MANY_TIMES = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for n in range(int(sys.argv[2])):
    store.add(rt.Trace(prompt=f"{sys.argv[3]} {n}", steps=["s"], final_answer="a"))
    store.page(limit=5)
"""

HOLD = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
with store.hold():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_processes_add_and_read_in_turn_and_nothing_is_lost(store):
    writers = [python(ADD_MANY_TIMES, store.path, 15, name) for name in "abc"]
    for n in range(15):
        store.add(rt.Trace(prompt=f"own {n}", steps=["s"], final_answer="a"))
        store.page(limit=5)
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    prompts = [record.payload.prompt for record in store.records()]
    assert sorted(prompts) == sorted(f"{name} {n}" for name in ("a", "b", "c", "own") for n in range(15))


@pytest.mark.slow
def test_a_store_held_too_long_elsewhere_is_busy_and_the_holder_is_named(store):
    patient = rt.TraceStore(store.path, settings=rt.Settings(pool_timeout=1))
    with python(HOLD, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(rt.StoreBusy) as caught:
            patient.page()
        holder.stdin.close()
        holder.wait(timeout=30)
        told = str(caught.value)
        assert re.match(
            rf"{re.escape(str(store.path))}: held by process {holder.pid} \(python -c\), which has held it for "
            r"\d\.\d s; close the store there, or increase pool_timeout \(TUNIX_RT_POOL_TIMEOUT, up to 300\)",
            told,
        )
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.holder == holder.pid
    assert patient.count() == 0


@pytest.mark.slow
def test_a_file_opened_in_this_process_by_other_means_is_told(store):
    impatient = rt.TraceStore(store.path, settings=rt.Settings(pool_timeout=1))
    store.close()
    with duckdb.connect(store.path), pytest.raises(rt.StoreBusy) as caught:
        impatient.count()
    assert "held by this process, which has it open outside of tunix_rt" in str(caught.value)
    assert caught.value.holder is None
    assert store.count() == 0


@pytest.mark.slow
def test_threads_work_at_once_each_with_its_own_cursor(store):
    failures = []

    def work(name):
        try:
            for n in range(8):
                record = store.add(rt.Trace(prompt=f"{name} {n}", steps=["s"], final_answer="a"))
                assert store.get(record.id) == record
                assert {summary.preview.split()[1] for summary in store.page(limit=50)} <= {str(k) for k in range(8)}
        except BaseException as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(30) as pool:
        list(pool.map(work, range(30)))
    assert failures == []
    assert store.count() == 240


@pytest.mark.slow
def test_more_threads_than_the_pool_has_places_wait_and_then_are_told(tmp_path):
    store = rt.TraceStore(tmp_path / "narrow.duckdb", settings=rt.Settings(pool_size=1, max_overflow=1, pool_timeout=1))
    inside, leave = threading.Barrier(3), threading.Event()

    def occupy():
        with store._session.cursor():
            inside.wait()
            leave.wait()

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(occupy) for _ in range(2)]
        inside.wait()
        with pytest.raises(rt.StoreBusy, match="2 threads have been using this store for 1 s"):
            store.count()
        leave.set()
        for thread in working:
            thread.result()
    assert store.count() == 0


@pytest.mark.slow
def test_hold_keeps_the_file_and_then_gives_it_back(store, make_trace):
    with store.hold(), store.hold():
        store.add(make_trace())
        assert store.count() == 1
        with python(ADD_MANY_TIMES, store.path, 1, "waiting") as waiting:
            # It could add, and waits to read.
            patience = time.monotonic() + 60
            while store.count() < 2 and time.monotonic() < patience:
                time.sleep(0.01)
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(timeout=0.3)
            assert store.count() == 2
            waiting.terminate()
    with python(ADD_MANY_TIMES, store.path, 1, "free") as free:
        assert free.wait(timeout=60) == 0
    assert store.count() == 3


def test_a_transaction_that_fails_is_rolled_back_and_the_store_goes_on(store, make_trace):
    with pytest.raises(duckdb.Error), store._session.transaction() as cursor:
        cursor.execute("delete from traces")
        cursor.execute("nonsense")
    store.add(make_trace())
    with pytest.raises(ZeroDivisionError), store._session.transaction() as cursor:
        cursor.execute("delete from traces")
        raise ZeroDivisionError
    assert store.count() == 1


@pytest.mark.crash
def test_a_killed_process_leaves_what_was_acknowledged(store):
    program = ADD_MANY_TIMES.replace("store.page(limit=5)", "print(n, flush=True)")
    with python(program, store.path, 1_000, "killed", stdout=subprocess.PIPE) as writer:
        for _ in range(5):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, 9)
    assert store.count() >= acknowledged + 1


STOPPED_WRITER = """
import sys
from pathlib import Path
from tunix_rt.store.engine.lock_queue import LockQueue
queue = LockQueue(Path(sys.argv[1]))
queue.open(make=True)
assert queue.take_write_lock(0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_an_add_waits_as_long_as_the_setting_says_for_a_process_that_was_stopped(store, make_trace):
    store.add(make_trace())
    patient = rt.TraceStore(store.path, settings=rt.Settings(pool_timeout=1))
    lock = store.path.with_suffix(".lock")
    with python(STOPPED_WRITER, lock, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"held\n"
        with pytest.raises(rt.StoreBusy, match=f"process {writer.pid} wrote to the journal all the time") as caught:
            patient.add(make_trace())
        assert caught.value.holder == writer.pid
        writer.stdin.close()
        writer.wait(timeout=30)
    patient.add(make_trace())
    assert store.count() == 2


def test_adds_of_threads_are_committed_together_and_each_is_stored(store):
    def work(name):
        return [store.add(rt.Trace(prompt=f"{name} {n}", steps=["s"], final_answer="a")).id for n in range(20)]

    with ThreadPoolExecutor(16) as pool:
        ids = [trace_id for added in pool.map(work, range(16)) for trace_id in added]
    assert store.count() == len(set(ids)) == 320
    assert store._session._files.queue.folded == store._session._files.queue.acknowledged == 320


CLOSE_INTERRUPTED = """
import os, signal, sys, threading, time
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
store.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))
inside, leave = threading.Event(), threading.Event()
def work():
    with store._session.cursor():
        inside.set()
        leave.wait()
worker = threading.Thread(target=work)
worker.start()
inside.wait()
def interrupt():
    # Until it waits for the worker.
    while not store._session._files.lease._closers:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    store._session.close_file()
except KeyboardInterrupt:
    print("interrupted", flush=True)
leave.set()
worker.join()
print(store.count(), flush=True)
store.close()
print(store.count(), flush=True)
"""


@pytest.mark.slow
def test_a_close_that_is_interrupted_leaves_nothing_behind(store):
    with python(CLOSE_INTERRUPTED, store.path, stdout=subprocess.PIPE, text=True) as process:
        assert process.communicate(timeout=60)[0] == "interrupted\n1\n1\n"


@pytest.mark.slow
def test_importing_the_package_brings_in_nothing_heavy():
    program = (
        "import sys, tunix_rt; heavy = {'pyarrow', 'duckdb', 'ipywidgets', 'IPython', 'pandas', 'numpy', 'jinja2', "
        "'jupyterlab'} & set(sys.modules); assert not heavy, heavy; tunix_rt.Trace; "
        "heavy = {'pyarrow', 'duckdb', 'ipywidgets', 'IPython'} & set(sys.modules); assert not heavy, heavy; "
        "tunix_rt.TraceStore; heavy = {'ipywidgets', 'IPython', 'jupyterlab', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    with new_python(program) as importing:
        assert importing.wait(timeout=60) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts the descriptors in /proc")
def test_a_store_that_is_forgotten_leaves_nothing_open(tmp_path, monkeypatch, make_trace):
    monkeypatch.setattr(lease, "_IDLE_SECONDS", 0.0)

    def n_open():
        gc.collect()
        # By name: a descriptor may be closed between the listing and the look at it.
        return sum(os.path.realpath(file).startswith(str(tmp_path)) for file in Path("/proc/self/fd").iterdir())

    store = rt.TraceStore(tmp_path / "forgotten.duckdb")
    store.add(make_trace())
    assert store.count() == 1
    assert n_open() > 0
    # From Python 3.13 on, a connection of SQLite that is not closed warns, and here a warning is an error.
    del store
    until = time.monotonic() + 30
    while n_open() and time.monotonic() < until:
        time.sleep(0.01)
    assert n_open() == 0
