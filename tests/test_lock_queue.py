"""The line of processes: first come, first served, and whoever dies or gives up is out of it."""

import errno
import os
import signal
import subprocess
import threading
import time

import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python
from tunix_rt.store.engine.lock_queue import LockQueue
from tunix_rt.store.engine.locks import FileLocks

# Does what it reads, line by line, and says what came of it.
STAND = """
import sys, time
from pathlib import Path
from tunix_rt.store.engine.lock_queue import LockQueue
line = LockQueue(Path(sys.argv[1]))
line.open(make=True)
for order in sys.stdin:
    what, _, seconds = order.strip().partition(" ")
    if what == "enter":
        print(line.enter(time.monotonic() + float(seconds)), flush=True)
    else:
        line.leave()
        print("left", flush=True)
"""

# A thread that adds and one that reads, in each of several processes.
PEN_AND_TURN = """
import sys, threading, time
from pathlib import Path
from tunix_rt.store.engine.lock_queue import LockQueue
line = LockQueue(Path(sys.argv[1]))
line.open(make=True)
end = time.monotonic() + 2
failures = []
def write():
    while time.monotonic() < end:
        assert line.take_write_lock(end + 60)
        time.sleep(0.001)
        line.release_write_lock()
def take_turns():
    while time.monotonic() < end:
        assert line.enter(time.monotonic() + 60)
        line.leave()
def told(work):
    try:
        work()
    except BaseException as error:
        failures.append(error)
threads = [threading.Thread(target=told, args=(work,)) for work in (write, take_turns)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failures, flush=True)
"""


@pytest.fixture
def line(tmp_path):
    line = LockQueue(tmp_path / "runs.lock")
    line.open(make=True)
    return line


class Queued:
    """Another process, which stands in the line when it is told to."""

    def __init__(self, path):
        self.process = python(STAND, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, order):
        self.process.stdin.write(f"{order}\n")
        self.process.stdin.flush()

    def said(self):
        return self.process.stdout.readline().strip()

    def ask(self, order):
        self.tell(order)
        return self.said()


@pytest.fixture
def others(line):
    """Three other processes."""
    others = [Queued(line.path) for _ in range(3)]
    yield others
    for other in others:
        other.process.kill()
        other.process.communicate()


def tickets(line):
    return line._number(0)


def stand_behind(line, other, seconds=PATIENCE):
    """Tells the other one to enter, and waits until it stands in the line."""
    before = tickets(line)
    other.tell(f"enter {seconds}")
    until(lambda: tickets(line) == before + 1)
    until(line.someone_waits)


def until(true):
    patience = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.001)


def test_the_first_to_come_is_the_first_to_be_served(line, others):
    assert line.enter(time.monotonic() + PATIENCE)
    for other in others:
        stand_behind(line, other)
    line.leave()
    for place, other in enumerate(others):
        assert other.said() == "True"
        # The turn is taken, and the line is as long as those who come after.
        assert line.someone_waits() == (place < 2)
        assert line.holder.pid == other.process.pid
        assert not line.enter(time.monotonic())
        assert other.ask("leave") == "left"
    assert line.enter(time.monotonic())


def test_who_comes_back_stands_behind_those_who_wait(line, others):
    first, second, _ = others
    assert line.enter(time.monotonic() + PATIENCE)
    stand_behind(line, first)
    stand_behind(line, second)
    line.leave()
    assert first.said() == "True"
    entered = threading.Event()
    thread = threading.Thread(target=lambda: line.enter(time.monotonic() + PATIENCE) and entered.set())
    thread.start()
    until(lambda: tickets(line) == 3)
    assert first.ask("leave") == "left"
    assert second.said() == "True"
    assert not entered.is_set()
    assert second.ask("leave") == "left"
    thread.join(PATIENCE)
    assert entered.is_set()


@pytest.mark.crash
@pytest.mark.parametrize("holds", [True, False])
def test_a_process_that_dies_leaves_the_line(line, others, holds):
    first, second, third = others
    if holds:
        assert first.ask(f"enter {PATIENCE}") == "True"
    else:
        assert third.ask(f"enter {PATIENCE}") == "True"
        stand_behind(line, first)
    stand_behind(line, second)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(PATIENCE)
    if not holds:
        assert third.ask("leave") == "left"
    assert second.said() == "True"
    assert not line.someone_waits()


def test_a_process_that_gives_up_leaves_the_line(line, others):
    first, second, _ = others
    assert line.enter(time.monotonic() + PATIENCE)
    stand_behind(line, first, seconds=0.5)
    stand_behind(line, second)
    assert first.said() == "False"
    line.leave()
    assert second.said() == "True"
    assert not line.someone_waits()
    assert first.ask("enter 0") == "False"
    assert second.ask("leave") == "left"
    assert first.ask("enter 0") == "True"


def test_the_holder_is_named(line, others):
    assert others[0].ask(f"enter {PATIENCE}") == "True"
    holder = line.holder
    assert (holder.pid, holder.name) == (others[0].process.pid, "python -c")
    assert str(holder).startswith(f"process {holder.pid} (python -c), which has held it for ")


@pytest.mark.slow
def test_threads_of_processes_that_wait_for_each_other_are_no_deadlock(line):
    processes = [python(PEN_AND_TURN, line.path, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        said, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (0, "[]\n")


def test_copying_the_lock_file_drops_no_lock(line, others):
    assert line.enter(time.monotonic() + PATIENCE)
    line.path.read_bytes()
    assert others[0].ask("enter 0") == "False"
    line.leave()
    assert others[0].ask("enter 0") == "True"


def test_one_process_at_a_time_has_the_write_lock_and_is_named(line):
    assert line.take_write_lock(0)
    assert line.writer == os.getpid()
    other = LockQueue(line.path)
    other.open(make=False)
    assert not other.take_write_lock(0)
    assert not other.take_write_lock(time.monotonic() + 0.01)
    line.release_write_lock()
    assert other.take_write_lock(time.monotonic() + PATIENCE)
    assert not line.take_write_lock(0)
    other.release_write_lock()
    # What waited in vain gives the lock back when it gets it.
    until(lambda: not other._is_taken(2, 1) and not line._is_taken(2, 1))
    assert line.take_write_lock(time.monotonic() + PATIENCE)


def test_a_lock_file_that_was_replaced_is_noticed(line):
    assert line.is_current()
    line.path.rename(line.path.with_name("away"))
    assert not line.is_current()
    line.path.touch()
    assert not line.is_current()
    line.close()
    line.open(make=True)
    assert line.is_current()


class WithoutLocks:
    """A file system that has no locks, as one that is mounted without them."""

    def __init__(self, *_):
        pass

    def try_lock(self, *_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    is_taken = lock = try_lock


def test_a_file_system_without_locks_is_named(store, tmp_path, monkeypatch, make_trace):
    monkeypatch.setattr(LockQueue, "locks", WithoutLocks)
    with pytest.raises(rt.StoreUnusable, match=r"cannot be locked \(No locks available\).* local disk"):
        rt.TraceStore(tmp_path / "other.duckdb").add(make_trace())
    assert store.add(make_trace()).id


# The same processes, with locks of whole files, as where there are no open-file-description locks.
WHOLE_FILES = "from tunix_rt.store.engine import lock_queue\nlock_queue.LockQueue.locks = lock_queue.FileLocks\n"
ADD_AND_READ = """
import tunix_rt as rt, sys
store = rt.TraceStore(sys.argv[1])
for n in range(20):
    store.add(rt.Trace(prompt=f"{sys.argv[2]} {n}", steps=["s"], final_answer="a"))
    store.page(limit=5)
"""


@pytest.mark.slow
def test_locks_of_whole_files_serve_as_well(tmp_path):
    path = tmp_path / "runs.duckdb"
    processes = [python(WHOLE_FILES + ADD_AND_READ, path, name) for name in "abc"]
    assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0]
    assert rt.TraceStore(path).count() == 60


def test_locks_of_whole_files_have_one_holder_and_a_queue(line, monkeypatch):
    monkeypatch.setattr(LockQueue, "locks", FileLocks)
    first, second = LockQueue(line.path), LockQueue(line.path)
    for each in (first, second):
        each.open(make=True)
    assert first.enter(time.monotonic())
    assert not first.someone_waits()
    waiting = threading.Thread(target=lambda: second.enter(time.monotonic() + PATIENCE))
    waiting.start()
    until(first.someone_waits)
    first.leave()
    waiting.join(PATIENCE)
    assert not first.someone_waits()
    assert not first.enter(time.monotonic())
