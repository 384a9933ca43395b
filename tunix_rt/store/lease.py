"""This process's lease of a store's file: taken in the line, kept between calls, given up to whoever waits.

There is one lease for a file in a process, whatever the number of TraceStores and threads. Threads work side by side;
when another process waits, no further piece of work begins, and the last one that ends gives the file up.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from tunix_rt.errors import StoreBusy
from tunix_rt.store.database import Database
from tunix_rt.store.line import Line

# A program that does not know the line, such as DuckDB's own shell, gets the file when it lies idle for so long.
_IDLE_SECONDS = 5.0
# Who waits is noticed after so long at most; the rest of 50 ms is for writing and closing.
_LOOK_SECONDS = 0.02


class Lease:
    """The right of this process's threads to the database, turn by turn with other processes."""

    def __init__(self, database: Database, line: Line) -> None:
        self._database = database
        self._line = line
        self.begin_anew()

    def begin_anew(self) -> None:
        """As new: a forked child has none of its parent's threads, locks and turns."""
        self._changed = threading.Condition(threading.RLock())
        self._inside = threading.local()
        self._has_turn = False
        self._at_work = 0
        self._kept = 0
        # The thread that closes everything, or had it closed at the end of the process: no other one may begin.
        self._closer: int | None = None
        # Threads that are about to close everything: whoever waits for the file would keep them waiting, and gives way.
        self._closers: set[int] = set()
        self._last_used = 0.0
        self._caretaker: threading.Thread | None = None
        self._ending = threading.Event()

    @contextmanager
    def work(self, deadline: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on the file for one piece of work; StoreBusy where it cannot be had before `deadline`.

        Deadlines are in the time of `time.monotonic`. Others are let in when the work is over.
        """
        self._enter(deadline)
        try:
            with self._database.cursor() as cursor:
                yield cursor
        except duckdb.Error as error:
            raise self._database.told(error) from None
        finally:
            self._leave()

    @contextmanager
    def keep(self, deadline: float) -> Iterator[None]:
        """Keeps the file over several pieces of work, even if others wait."""
        with self.work(deadline), self._changed:
            self._kept += 1
        changed = self._changed
        try:
            yield
        finally:
            # In a child that was forked meanwhile nothing is kept.
            if changed is self._changed:
                with self._changed:
                    self._kept -= 1
                    self._give_up_if_wanted()

    @contextmanager
    def alone(self, deadline: float) -> Iterator[None]:
        """The turn without the file: it is written out whole, and nobody has it open."""
        with self._at_rest(deadline):
            if not self._has_turn:
                self._take_turn(deadline, lambda: False)
            self._database.detach()
            try:
                yield
            finally:
                self._give_up()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Everything closed, and no thread let in."""
        self.stop()
        try:
            yield
        finally:
            self.go_on()

    def stop(self) -> None:
        """Closes everything, and lets no other thread in until `go_on`."""
        self._closers.add(threading.get_ident())
        self._changed.acquire()
        self._closers.discard(threading.get_ident())
        try:
            # One after the other, where two threads close.
            self._changed.wait_for(lambda: self._closer in (None, threading.get_ident()))
            # Threads that read all the time would leave no moment in which none is at work.
            self._closer = threading.get_ident()
            # Work inside which a fork comes would wait for itself.
            self._changed.wait_for(lambda: self._at_work <= self._depth)
            self._end_caretaker()
            self._database.detach()
            self._database.shut()
            if not self._kept:
                self._give_up()
        except BaseException:
            self.go_on()
            raise

    def end(self) -> None:
        """Closes everything for good, at the end of the process: DuckDB complains of what it finds open then.

        Daemon threads stay outside: one that is in DuckDB when Python ends would abort the process.
        """
        self.stop()
        self._ending.set()
        self._changed.release()

    def go_on(self) -> None:
        """Lets the threads in again; the file is attached when it is needed."""
        self._closer = None
        self._changed.notify_all()
        self._changed.release()

    def _enter(self, deadline: float) -> None:
        while True:
            with self._at_rest(deadline, or_join=True):
                if self._database.attached or self._open(deadline):
                    self._at_work += 1
                    self._inside.depth = self._depth + 1
                    return
            while self._gives_way():
                time.sleep(_LOOK_SECONDS)

    def _leave(self) -> None:
        with self._changed:
            self._inside.depth -= 1
            self._at_work -= 1
            self._last_used = time.monotonic()
            self._give_up_if_wanted()
            self._changed.notify_all()

    @contextmanager
    def _at_rest(self, deadline: float, *, or_join: bool = False) -> Iterator[None]:
        """Inside, no other thread begins or ends; `or_join`: others may be at work if nobody waits for the file."""
        if not self._changed.acquire(timeout=_left(deadline)):
            raise self._busy_with_threads()
        try:
            while self._is_closing() or (self._at_work and not (or_join and self._may_join())):
                if not self._changed.wait(_left(deadline)) and time.monotonic() >= deadline:
                    raise self._busy_with_threads()
            self._give_up_if_wanted()
            yield
        finally:
            self._changed.release()

    def _is_closing(self) -> bool:
        return self._closer not in (None, threading.get_ident()) and not self._depth

    def _may_join(self) -> bool:
        # Work inside other work of the same thread would wait for itself.
        return self._depth > 0 or not self._is_wanted()

    @property
    def _depth(self) -> int:
        return getattr(self._inside, "depth", 0)

    def _is_wanted(self) -> bool:
        """Whether the file should be closed as soon as nobody is at work in it."""
        # A turn without the file is what a fork inside `keep` leaves, and no caretaker looks after it.
        return self._database.broken or (not self._kept and (not self._database.attached or self._line.someone_waits()))

    def _give_up_if_wanted(self) -> None:
        if self._has_turn and not self._at_work and self._is_wanted():
            self._give_up()

    def _give_up(self) -> None:
        self._database.detach()
        if self._has_turn and not self._kept:
            self._line.leave()
            self._has_turn = False

    def _gives_way(self) -> bool:
        return bool(self._closers)

    def _take_turn(self, deadline: float, gives_way: Callable[[], bool]) -> bool:
        """Waits for the turn; False where it gave way."""
        if not self._line.enter(deadline, gives_way):
            if gives_way():
                return False
            raise StoreBusy(
                f"{self._database.path}: held by {self._line.holder or 'another process'}; close the store there, or "
                "set pool_timeout (TUNIX_RT_POOL_TIMEOUT, up to 300) higher"
            )
        self._has_turn = True
        return True

    def _open(self, deadline: float) -> bool:
        """Opens the file; False where it gave way to a thread that closes everything."""
        if not self._has_turn and not self._take_turn(deadline, self._gives_way):
            return False
        try:
            if not self._database.attach(deadline, self._gives_way):
                self._give_up()
                return False
        except BaseException:
            self._give_up()
            raise
        self._last_used = time.monotonic()
        if self._caretaker is None and not self._ending.is_set():
            self._caretaker = threading.Thread(target=self._take_care, name="tunix_rt lease", daemon=True)
            self._caretaker.start()
        return True

    def _take_care(self) -> None:
        """Gives the file up between calls: to a process that waits, and to anyone when it lies idle."""
        while not self._ending.wait(_LOOK_SECONDS):
            with self._changed:
                self._give_up_if_wanted()
                if self._at_work or self._kept or time.monotonic() - self._last_used < _IDLE_SECONDS:
                    continue
                self._give_up()
                self._caretaker = None
                self._changed.notify_all()
                return
        with self._changed:
            self._caretaker = None
            self._changed.notify_all()

    def _end_caretaker(self) -> None:
        """Lets no thread of ours into a fork: what it holds is never let go in the child, and nanobind complains."""
        caretaker = self._caretaker
        if caretaker is not None:
            self._ending.set()
            self._changed.wait_for(lambda: self._caretaker is not caretaker)
            caretaker.join()
            self._ending.clear()

    def _busy_with_threads(self) -> StoreBusy:
        return StoreBusy(
            f"{self._database.path}: other threads of this process were at work in it or waited for it all the time; "
            "let fewer threads in, or set pool_timeout (TUNIX_RT_POOL_TIMEOUT, up to 300) higher"
        )


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
