"""This process's lease of a store's file: taken in the queue, kept between calls, released for the next in the queue.

There is one lease for a file in a process, whatever the number of TraceStores and threads. Threads work side by side;
when another process waits, no further piece of work begins, and the last one that ends gives the file up.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from tunix_rt.errors import StoreBusy
from tunix_rt.store.engine.database import Database
from tunix_rt.store.engine.lock_queue import LockQueue
from tunix_rt.store.engine.statement import interruptible
from tunix_rt.store.engine.task import check, is_interrupted, querying, slice_of, waiting

# A program that does not know the queue, such as DuckDB's own shell, gets the file when it was idle for this long.
_IDLE_SECONDS = 5.0
# A waiting process is noticed after at most this long; the rest of 50 ms is for writing and closing.
_POLL_SECONDS = 0.02


class Lease:
    """The right of this process's threads to use the database; the lease passes between processes.

    | state | changed by |
    |---|---|
    | `_work`: pieces of work that are going on, each with its thread | any thread, under `_changed` |
    | `_kept`: blocks that keep the file over several pieces of work | any thread, under `_changed` |
    | `_owner`: the thread that opens or closes the file, waiting without `_changed` | that thread, under `_changed` |
    | `_closers`: threads that wait to become the owner in order to close everything | that thread, under `_changed` |
    | `_has_lease`, the database | the owner; where there is none, a thread under `_changed` while nothing is at work |
    """

    def __init__(self, database: Database, queue: LockQueue) -> None:
        self._database = database
        self._queue = queue
        self.begin_anew()

    def begin_anew(self) -> None:
        """As new: a forked child has none of its parent's threads, locks and leases."""
        self._changed = threading.Condition(threading.Lock())
        self._has_lease = False
        self._work: dict[object, int] = {}
        self._kept: set[object] = set()
        self._owner: int | None = None
        self._closers: set[int] = set()
        self._last_used = 0.0
        self._caretaker: threading.Thread | None = None
        self._ending = threading.Event()

    @contextmanager
    def work(self, deadline: float, *, reusable: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on the file for one piece of work; StoreBusy where it cannot be had before `deadline`.

        Deadlines are in the time of `time.monotonic`. Others are let in when the work is over. `reusable` is for work
        that leaves nothing behind in the cursor.
        """
        token = object()
        try:
            with interruptible():
                with waiting(self._waited_for):
                    self._begin_work(token, deadline)
                with self._database.cursor(reusable=reusable) as cursor, querying(cursor):
                    yield cursor
        except duckdb.Error as error:
            raise self._database.explained(error) from None
        finally:
            self._end_work(token)

    @contextmanager
    def keep(self, deadline: float) -> Iterator[None]:
        """Keeps the file over several pieces of work, even if others wait."""
        token = object()
        # A child that was forked meanwhile keeps nothing.
        kept = self._kept
        try:
            with self.work(deadline), self._changed:
                kept.add(token)
            yield
        finally:
            if kept is self._kept:
                with self._changed:
                    kept.discard(token)
                    self._give_up_if_wanted()

    def drop_cache(self) -> None:
        """Gives the file up if much of it is in memory, and no thread is at work in it or keeps it."""
        with self._changed:
            if self._owner is None and not self._work and not self._kept and self._database.caches_much():
                self._give_up()

    @contextmanager
    def alone(self, deadline: float) -> Iterator[None]:
        """The lease without the file, which is written out completely and open in no process."""
        with self._owned(deadline):
            if not self._has_lease:
                self._take_lease(deadline, lambda: False)
            self._database.detach()
            try:
                yield
            finally:
                self._give_up()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Everything closed, and no thread let in."""
        with self._owned(None):
            self._shut()
            yield

    def stop(self) -> None:
        """Closes everything, and lets no other thread in until `resume`."""
        self._become_owner(None)
        try:
            self._shut()
        except BaseException:
            self.resume()
            raise

    def end(self) -> None:
        """Closes everything for good, at the end of the process: DuckDB complains of what it finds open then.

        Daemon threads stay outside: one that is in DuckDB when Python ends would abort the process.
        """
        self.stop()
        self._ending.set()

    def resume(self) -> None:
        """Lets the threads in again; the file is attached when it is needed."""
        with self._changed:
            if self._owner == threading.get_ident():
                self._owner = None
                self._changed.notify_all()

    def _begin_work(self, token: object, deadline: float) -> None:
        me = threading.get_ident()
        while True:
            opened = False
            try:
                if self._join(token, deadline):
                    return
                opened = self._open(deadline)
            finally:
                with self._changed:
                    if self._owner == me:
                        self._owner = None
                        if opened:
                            self._work[token] = me
                        self._changed.notify_all()
            if opened:
                return

    def _join(self, token: object, deadline: float) -> bool:
        """Whether the work may begin on the file as it is open; else this thread has become the owner and opens it."""
        me = threading.get_ident()
        with self._changed:
            while True:
                check()
                own = me in self._work.values()
                if self._owner is None and (own or not self._closers):
                    if self._database.attached and (own or not self._is_wanted()):
                        self._work[token] = me
                        return True
                    if not self._work:
                        self._owner = me
                        return False
                if not self._changed.wait(slice_of(_left(deadline))) and time.monotonic() >= deadline:
                    raise self._busy_with_threads()

    def _waited_for(self) -> object:
        """What keeps a thread from the file at this moment."""
        if self._has_lease:
            return self._database.holder or "other threads of this process"
        holder = self._queue.holder
        return holder.process if holder else "another process"

    def _end_work(self, token: object) -> None:
        with self._changed:
            if self._work.pop(token, None) is not None:
                self._last_used = time.monotonic()
                self._give_up_if_wanted()
                self._changed.notify_all()

    @contextmanager
    def _owned(self, deadline: float | None) -> Iterator[None]:
        try:
            self._become_owner(deadline)
            yield
        finally:
            self.resume()

    def _become_owner(self, deadline: float | None) -> None:
        """Waits until no other thread is at work in the file or opens it, and lets none begin until `resume`.

        Without a deadline the thread is a closer, for which those that wait for other processes give way.
        """
        me = threading.get_ident()
        with self._changed:
            if deadline is None:
                self._closers.add(me)
            try:
                # Its own work, inside which a fork may come, would wait for itself.
                while self._owner is not None or any(thread != me for thread in self._work.values()):
                    if not self._changed.wait(None if deadline is None else _left(deadline)) and (
                        deadline is not None and time.monotonic() >= deadline
                    ):
                        raise self._busy_with_threads()
                self._owner = me
            finally:
                self._closers.discard(me)
                self._changed.notify_all()

    def _shut(self) -> None:
        """The owner closes everything; a block that keeps the file keeps the lease."""
        self._end_caretaker()
        self._database.detach()
        self._database.shut()
        if not self._kept:
            self._give_up()

    def _is_wanted(self) -> bool:
        """Whether the file should be closed as soon as no thread works in it."""
        if self._database.broken or not self._database.is_current():
            return True
        # A fork inside `keep` leaves a lease without the file, and no caretaker for it.
        return not self._kept and (
            not self._database.attached or not self._queue.is_current() or self._queue.someone_waits()
        )

    def _give_up_if_wanted(self) -> None:
        if self._has_lease and not self._work and self._owner is None and self._is_wanted():
            self._give_up()

    def _give_up(self) -> None:
        self._database.detach()
        if self._has_lease and not self._kept:
            self._queue.leave()
            self._has_lease = False

    def _gives_way(self) -> bool:
        return bool(self._closers) or is_interrupted()

    def _take_lease(self, deadline: float, gives_way: Callable[[], bool]) -> bool:
        """Waits for the lease; False where it gave way."""
        if not self._queue.enter(deadline, gives_way):
            if gives_way():
                return False
            holder = self._queue.holder
            raise StoreBusy(
                f"{self._database.path}: held by {holder or 'another process'}; close the store there, or increase "
                "pool_timeout (TUNIX_RT_POOL_TIMEOUT, up to 300)",
                holder=holder and holder.pid,
            )
        self._has_lease = True
        return True

    def _open(self, deadline: float) -> bool:
        """The owner opens the file; False where it gave way to a thread that closes everything, or was interrupted."""
        try:
            # What is open was found wanted by another process, or is not the file at the path any more.
            if self._database.attached:
                self._give_up()
            if not self._has_lease and not self._take_lease(deadline, self._gives_way):
                return False
            if self._caretaker is None and not self._ending.is_set():
                self._caretaker = threading.Thread(target=self._take_care, name="tunix_rt lease", daemon=True)
                self._caretaker.start()
            self._last_used = time.monotonic()
            if not self._database.attach(deadline, self._gives_way):
                self._give_up()
                return False
        except BaseException:
            self._give_up()
            raise
        return True

    def _take_care(self) -> None:
        """Releases the file between calls: for a process that waits, and when it is idle."""
        while not self._ending.wait(_POLL_SECONDS):
            with self._changed:
                if self._owner is not None:
                    continue
                self._give_up_if_wanted()
                if self._work or self._kept or time.monotonic() - self._last_used < _IDLE_SECONDS:
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
            try:
                caretaker.join()
            finally:
                self._ending.clear()

    def _busy_with_threads(self) -> StoreBusy:
        return StoreBusy(
            f"{self._database.path}: other threads of this process used the store or waited for it all the time; use "
            "fewer threads, or increase pool_timeout (TUNIX_RT_POOL_TIMEOUT, up to 300)"
        )


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
