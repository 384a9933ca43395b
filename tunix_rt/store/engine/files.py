"""The files of a store, opened once in a process however many TraceStores it has on them.

`NAME.duckdb` holds everything, `NAME.journal` what was added since, `NAME.lock` the queue of the processes that want
the first.
"""

import atexit
import threading
from contextlib import suppress
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

import duckdb

from tunix_rt.errors import StoreUnusable
from tunix_rt.paths import beside_store, log_of
from tunix_rt.store.engine import schema
from tunix_rt.store.engine.database import Database
from tunix_rt.store.engine.expected_counts import ExpectedCounts, compare, read_counts
from tunix_rt.store.engine.forks import around_forks
from tunix_rt.store.engine.journal import Journal
from tunix_rt.store.engine.lease import Lease
from tunix_rt.store.engine.lock_queue import LockQueue
from tunix_rt.store.engine.locks import Identity, identity


class Files:
    """The database, the journal, the queue and the lease of one store in this process."""

    _of_process: ClassVar[WeakValueDictionary[Path, "Files"]] = WeakValueDictionary()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.queue = LockQueue(beside_store(path, "lock"))
        self.journal = Journal(beside_store(path, "journal"), self.queue)
        self.database = Database(path, self._check)
        self.database.read_only = True
        self.lease = Lease(self.database, self.queue)
        # One change at a time: two transactions at once would both count theirs, and one fail.
        self.changing = threading.RLock()
        self.counts = ExpectedCounts(None, 0, 0)
        self.accept_loss = False
        around_forks(self)

    @classmethod
    def of(cls, path: Path, *, read_only: bool, memory_limit: int) -> "Files":
        """The files at this path; one store of the process that writes opens them for all for writing.

        The highest memory limit of the stores of the process counts, in bytes.
        """
        if read_only and not path.exists():
            raise StoreUnusable(f"{path}: no such store; without read_only=True a new one is created")
        if not read_only:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnusable(f"{path}: its folder cannot be created ({error.strerror})") from None
        # One journal and one queue, whatever links lead to the file.
        path = path.resolve()
        found = cls._of_process.get(path)
        if found is None:
            found = cls._of_process.setdefault(path, cls(path))
        if not found.is_current():
            found.open_anew()
        found.queue.open(make=not read_only)
        if (found.database.read_only and not read_only) or memory_limit > found.database.memory_limit:
            with found.lease.closed():
                found.database.read_only &= read_only
                found.database.memory_limit = max(memory_limit, found.database.memory_limit)
        return found

    def is_current(self) -> bool:
        """Whether what is open here is what other processes find at the paths."""
        return self.queue.is_current() and self.journal.file.is_current()

    def catch_up(self) -> None:
        """Opens files that were replaced; StoreDamaged if they were deleted or moved away under an open store."""
        if self.is_current():
            return
        if self.database.read_only or (identity(self.journal.path) and not self.journal.file.is_gone):
            self.open_anew()
            return
        with self.lease.closed():
            self.journal.close()
        self.journal.file.refuse_gone()

    def open_anew(self) -> None:
        """Closes all files, and starts with those that are at the paths."""
        with self.lease.closed():
            self.journal.close()
            self.journal.file.is_gone = False
            self.queue.close()
            if not self.database.read_only:
                self.queue.open(make=True)

    @classmethod
    def identities(cls) -> set[Identity]:
        """Each file of the stores that this process has open."""
        found: set[Identity] = set()
        for files in list(cls._of_process.values()):
            path, journal = files.path, files.journal.path
            paths = (path, log_of(path), journal, f"{journal}-wal", f"{journal}-shm", files.queue.path)
            found |= {there for each in paths if (there := identity(Path(each)))}
        return found

    def _check(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Whenever the file was attached: brings its tables up, and compares it with what was acknowledged."""
        if self.database.read_only:
            schema.prepare(cursor, read_only=True)
            self.counts = read_counts(cursor)
            return
        acknowledged, n_lost = self.journal.expected
        if not self.accept_loss and schema.current_version(cursor) == 0:
            compare(self.path, None, acknowledged, n_lost)
        schema.prepare(cursor)
        self.counts = read_counts(cursor)
        if not self.path.exists():
            # It is being made, and has no name yet: a process that is killed now leaves a journal that expects it.
            return
        if self.accept_loss:
            self.journal.accept_loss(self.counts)
            self.accept_loss = False
        elif self.counts != acknowledged or n_lost:
            compare(self.path, self.counts, acknowledged, n_lost)
            self.journal.confirm(self.counts, folded=0)

    def stop(self) -> None:
        """Closes all, and keeps every thread out, for a fork."""
        self.lease.stop()
        self.queue.end_waiter()
        self.journal.stop()

    def resume(self) -> None:
        """Lets the threads in again."""
        self.journal.resume()
        self.lease.resume()

    def begin_anew(self) -> None:
        """In a forked child: without the parent's threads, locks and lease."""
        self.journal.begin_anew()
        self.changing = threading.RLock()
        self.lease.begin_anew()
        self.queue.close()
        # What keeps it from being opened is reported by the next call.
        with suppress(StoreUnusable):
            self.queue.open(make=not self.database.read_only)


@atexit.register
def _close_all() -> None:
    # An interrupt means to end now; what was acknowledged is in the journal or in DuckDB's write-ahead log.
    with suppress(KeyboardInterrupt):
        for files in list(Files._of_process.values()):  # noqa: SLF001
            files.lease.end()
            files.journal.close()
