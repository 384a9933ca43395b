"""The processes of a machine that want a store's file, in a queue: first come, first served.

The queue is made of locks on bytes of the file `NAME.lock`, which the kernel releases when a process dies, however it
dies. Byte 0 is the lease: its holder may open the store. A process that finds it taken draws a ticket, locks the
ticket's own byte, and waits until no byte before it is locked and the lease is free. A poll is a system call of about a
microsecond, so polling costs little, can be interrupted, and is fair, because the tickets decide.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tunix_rt.errors import StoreUnusable
from tunix_rt.store.engine.locks import (
    FIRST_TICKET,
    HAS_LOCKS,
    LATCH,
    LEASE,
    WRITE,
    ByteLocks,
    FileLocks,
    Identity,
    Locks,
    Waiter,
    close_with,
    identity,
)
from tunix_rt.store.engine.task import patiently

_NONE = -1
# Offsets of what the file itself holds: the next ticket, `acknowledged` and `folded`, the processes that have, or had
# last, the lease and the write lock, and the mark of the journal that the two numbers are about.
_NEXT_TICKET, _ACKNOWLEDGED, _FOLDED, _HOLDER, _WRITER, _JOURNAL = 0, 8, 16, 24, 1_048, 1_056
_NUMBER_BYTES = 8
_HOLDER_BYTES = 1_024
_NAME_CHARS = 100
# Seconds between two polls: of the next in the queue, for a lease is mostly a few milliseconds long, and of the others.
_POLL_OF_THE_NEXT, _POLL = 0.0005, 0.002


class Holder(NamedTuple):
    """The process that has the lease: its id, what it runs, and since when (seconds since 1970)."""

    pid: int
    name: str
    since: float

    @property
    def process(self) -> str:
        """The process in words."""
        return f"process {self.pid} ({self.name})"

    def __str__(self) -> str:
        return f"{self.process}, which has held it for {time.time() - self.since:.1f} s"


class LockQueue:
    """This process's part in the queue for one store; only one of its threads may call it at a time.

    Without a lock file that it may write (a read-only folder), or without locks, it always has the lease.
    """

    # Replaced by a test, which has no macOS.
    locks: Callable[[int, Path], Locks] = ByteLocks if sys.platform == "linux" else FileLocks

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = str(path)
        self._make = False
        self._file = _NONE
        self._locks: Locks | None = None
        self._waiter: Waiter | None = None
        self._identity: Identity | None = None

    def open(self, *, make: bool) -> None:
        """Opens the lock file; with `make`, creates it if it does not exist, and raises StoreUnusable if that fails."""
        self._make |= make
        if not HAS_LOCKS or self._file != _NONE:
            return
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o666)
        except OSError as error:
            if not make:
                return
            raise StoreUnusable(
                f"{self.path}: the store's lock file cannot be opened ({error.strerror}); give this user the right to "
                "write there, or open the store with read_only=True"
            ) from error
        self._file, self._identity = file, identity(file)
        self._locks = type(self).locks(file, self.path)
        self._waiter = Waiter(self._locks, WRITE)
        self._finalizer = close_with(self, file)

    def close(self) -> None:
        """Closes the lock file; it is to be opened again before anything else is done with it.

        A forked child calls it, which shares the locks of its parent and must not unlock them.
        """
        if self._file != _NONE:
            self._finalizer()
            self._file, self._locks, self._waiter, self._identity = _NONE, None, None, None

    @property
    def is_open(self) -> bool:
        """Whether there is a lock file, which keeps the numbers below."""
        return self._file != _NONE

    def is_current(self) -> bool:
        """Whether the file at the path is the one that is open here: other processes lock that one."""
        if self._file == _NONE:
            return not (HAS_LOCKS and self._make)
        return identity(self._name) == self._identity

    def enter(self, deadline: float, gives_way: Callable[[], bool] = lambda: False) -> bool:
        """Waits for the lease; False where it was not free by `deadline` (in the time of time.monotonic).

        `gives_way` is called now and then, and ends the waiting too.
        """
        if self._file == _NONE:
            return True
        if self.someone_waits() or not self._try(LEASE):
            ticket = self._draw_ticket(deadline, gives_way)
            if ticket is None:
                return False
            try:
                if not self._wait(ticket, deadline, gives_way):
                    return False
            finally:
                self._unlock(ticket)
        me = json.dumps({"pid": os.getpid(), "name": _own_name()[:_NAME_CHARS], "since": time.time()}).encode()
        self._write(_HOLDER, me.ljust(_HOLDER_BYTES))
        return True

    def leave(self) -> None:
        """Gives the lease up for the next in the queue."""
        self._unlock(LEASE)

    def someone_waits(self) -> bool:
        """Whether another process is in the queue."""
        return self._is_taken(FIRST_TICKET, 0)

    def take_write_lock(self, deadline: float) -> bool:
        """Takes the lock under which alone a process may touch the journal; False where it was not had in time.

        SQLite's own locks are record locks, which any code in the process can drop by accident, and its waiting is
        unfair: of eight processes that added at once some waited for seconds.
        """
        if self._waiter is not None and (self._waiter.is_waiting or not self._try(WRITE)):
            with self._explaining():
                if not patiently(self._waiter.wait, deadline):
                    return False
        if self.writer != os.getpid():
            self._write_number(_WRITER, os.getpid())
        return True

    def end_waiter(self) -> None:
        """Ends a thread that waited for the write lock, for a fork."""
        if self._waiter is not None:
            self._waiter.end()

    def release_write_lock(self) -> None:
        """Lets another process have the write lock."""
        self._unlock(WRITE)

    @property
    def writer(self) -> int:
        """The id of the process that has the write lock, or had it last; 0 if none ever had it."""
        return self._number(_WRITER)

    @property
    def holder(self) -> Holder | None:
        """The process that has the lease, or had it last."""
        if self._file == _NONE:
            return None
        try:
            return Holder(**json.loads(os.pread(self._file, _HOLDER_BYTES, _HOLDER)))
        except (ValueError, TypeError):
            return None

    @property
    def acknowledged(self) -> int:
        """The number of the newest row that the journal acknowledged: what a journal that lost rows cannot know."""
        return self._number(_ACKNOWLEDGED)

    @acknowledged.setter
    def acknowledged(self, number: int) -> None:
        self._write_number(_ACKNOWLEDGED, number)

    @property
    def folded(self) -> int:
        """The number of the newest of these rows that is surely in the store's own file."""
        return self._number(_FOLDED)

    @folded.setter
    def folded(self, number: int) -> None:
        self._write_number(_FOLDED, number)

    @property
    def journal(self) -> int:
        """The mark of the journal that these two numbers are about; 0 for one of an older version."""
        return self._number(_JOURNAL)

    @journal.setter
    def journal(self, mark: int) -> None:
        self._write_number(_JOURNAL, mark)

    def _draw_ticket(self, deadline: float, gives_way: Callable[[], bool]) -> int | None:
        if not self._poll(LATCH, deadline, gives_way):
            return None
        try:
            number = self._number(_NEXT_TICKET)
            self._write_number(_NEXT_TICKET, number + 1)
            ticket = FIRST_TICKET + number
            return ticket if self._poll(ticket, deadline, gives_way) else None
        finally:
            self._unlock(LATCH)

    def _wait(self, ticket: int, deadline: float, gives_way: Callable[[], bool]) -> bool:
        while ticket > FIRST_TICKET and self._is_taken(FIRST_TICKET, ticket - FIRST_TICKET):
            if time.monotonic() >= deadline or gives_way():
                return False
            time.sleep(_POLL)
        return self._poll(LEASE, deadline, gives_way)

    def _poll(self, byte: int, deadline: float, gives_way: Callable[[], bool]) -> bool:
        while not self._try(byte):
            if time.monotonic() >= deadline or gives_way():
                return False
            time.sleep(_POLL_OF_THE_NEXT)
        return True

    def _number(self, offset: int) -> int:
        return 0 if self._file == _NONE else int.from_bytes(os.pread(self._file, _NUMBER_BYTES, offset), "big")

    def _write_number(self, offset: int, number: int) -> None:
        self._write(offset, number.to_bytes(_NUMBER_BYTES, "big"))

    def _write(self, offset: int, data: bytes) -> None:
        # A full disk costs a name or a count here, not the work that continues.
        with suppress(OSError):
            if self._file != _NONE:
                os.pwrite(self._file, data, offset)

    def _try(self, byte: int) -> bool:
        if self._locks is None:
            return True
        with self._explaining():
            return self._locks.try_lock(byte)

    def _is_taken(self, start: int, length: int) -> bool:
        if self._locks is None:
            return False
        with self._explaining():
            return self._locks.is_taken(start, length)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnusable(
                f"{self.path}: cannot be locked ({error.strerror}), so processes could not share it safely; put the "
                "store on a local disk, or mount its file system with locks"
            ) from None

    def _unlock(self, byte: int) -> None:
        if self._locks is not None:
            self._locks.unlock(byte)


def _own_name() -> str:
    """What a person would call this process: the notebook of a kernel, else the script."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        script = script.parent
    return (
        os.environ.get("JPY_SESSION_NAME") or (f"python {script}" if script.name == "-c" else script.name) or "python"
    )
