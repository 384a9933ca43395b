"""Work that other threads can see waiting, and can interrupt: what Ctrl-C is to the main thread.

An interrupted task raises KeyboardInterrupt where it waits for the store, where it next uses it, or inside its query.
Work outside of a task (a cell, a script) is not affected.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import duckdb

# A waiting task notices that it was interrupted after at most this long.
_SLICE_SECONDS = 0.1
_One = TypeVar("_One")


class Task:
    """What a thread does, from `begun` on; the threads that it sends work to take part by its context.

    | state | changed by |
    |---|---|
    | `interrupted` | any thread, under `_lock` |
    | `cursors`: those of its queries | its own threads, under `_lock` |
    | `waits`: what it waits for, each since when | its own threads, under `_lock` |
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._lock = threading.Lock()
        self.cursors: list[duckdb.DuckDBPyConnection] = []
        self.waits: list[tuple[float, Callable[[], object]]] = []

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Around the work, in its thread."""
        before = _current.set(self)
        try:
            yield
        finally:
            _current.reset(before)

    def interrupt(self) -> None:
        """Ends the task at the next occasion; one that is between two queries needs to be interrupted again."""
        with self._lock:
            self.interrupted = True
            for cursor in self.cursors:
                cursor.interrupt()

    def waits_for(self, seconds: float) -> object | None:
        """What it has been waiting for, for at least so many seconds: a process, mostly; None if for nothing."""
        with self._lock:
            holders = [holder for since, holder in self.waits if time.monotonic() - since >= seconds]
        return holders[-1]() if holders else None

    @contextmanager
    def listing(self, some: list[_One], one: _One) -> Iterator[None]:
        """Around what `one` of the lists says of the task."""
        with self._lock:
            some.append(one)
        try:
            yield
        finally:
            with self._lock:
                some.remove(one)


_current: ContextVar[Task | None] = ContextVar("tunix_rt task", default=None)


def is_interrupted() -> bool:
    """Whether this thread's task, if any, was interrupted."""
    task = _current.get()
    return task is not None and task.interrupted


def check() -> None:
    """Raises KeyboardInterrupt if this thread's task was interrupted."""
    if is_interrupted():
        raise KeyboardInterrupt


@contextmanager
def querying(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Around the queries of a cursor: an interrupt of the task ends them."""
    task = _current.get()
    if task is None:
        yield
        return
    with task.listing(task.cursors, cursor):
        yield


@contextmanager
def waiting(holder: Callable[[], object]) -> Iterator[None]:
    """Around what may wait; `holder` names what is waited for, and may be called by another thread."""
    task = _current.get()
    if task is None:
        yield
        return
    with task.listing(task.waits, (time.monotonic(), holder)):
        yield


def slice_of(seconds: float) -> float:
    """How long to wait at once, of so many seconds in all: the task looks now and then whether it was interrupted."""
    return seconds if _current.get() is None else min(seconds, _SLICE_SECONDS)


def patiently(wait: Callable[[float], bool], deadline: float) -> bool:
    """Calls `wait` with seconds until it is true (True) or the deadline is over, in time.monotonic (False)."""
    while not wait(slice_of(max(0.0, deadline - time.monotonic()))):
        check()
        if time.monotonic() >= deadline:
            return False
    return True
