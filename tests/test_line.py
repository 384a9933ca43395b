"""The line of processes: first come, first served, and whoever dies or gives up is out of it."""

import os
import signal
import subprocess
import threading
import time

import pytest

from tests.processes import PATIENCE, python
from tunix_rt.store.line import Line

# Does what it reads, line by line, and says what came of it.
STAND = """
import sys, time
from pathlib import Path
from tunix_rt.store.line import Line
line = Line(Path(sys.argv[1]))
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
from tunix_rt.store.line import Line
line = Line(Path(sys.argv[1]))
line.open(make=True)
end = time.monotonic() + 2
failures = []
def write():
    while time.monotonic() < end:
        with line.pen():
            time.sleep(0.001)
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
    line = Line(tmp_path / "runs.lock")
    line.open(make=True)
    return line


class Standing:
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
    others = [Standing(line._path) for _ in range(3)]
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
    processes = [python(PEN_AND_TURN, line._path, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        said, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (0, "[]\n")
