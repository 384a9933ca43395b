"""Locks on a file that other code of the process cannot drop by accident, and which file it is that is locked.

The classic record locks, which DuckDB and SQLite use, belong to a process and a file: closing any descriptor of the
file, as copying its folder does, silently drops all that the process holds. These belong to their own descriptor.
"""

import errno
import os
import struct
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol
from weakref import finalize

try:
    import fcntl
except ImportError:  # Windows: there DuckDB's own lock decides, in no order.
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None
# The bytes that are locked: the lease, the latch of the tickets, the write lock of the journal, and each ticket.
LEASE, LATCH, WRITE, FIRST_TICKET = 0, 1, 2, 2**20
# A thread that waits for others is kept for as long, in seconds, for the next time.
_IDLE_SECONDS = 1.0
_HELD_BY_ANOTHER = {errno.EAGAIN, errno.EACCES}


# Which file it is, whatever its name: its device and its inode.
Identity = tuple[int, int]


def identity(file: Path | str | int) -> Identity | None:
    """The identity of the file at a path or of a descriptor; None where there is no file, or none to be reached."""
    try:
        status = os.stat(file)  # noqa: PTH116 - a descriptor, too
    except OSError:
        return None
    return status.st_dev, status.st_ino


def put_in_place(new: Path, path: Path) -> None:
    """Gives a complete new file its name, unless there is a file of this name."""
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    except OSError:
        # A file system without hard links.
        if not path.exists():
            new.rename(path)


class Locks(Protocol):
    """Locks on the bytes of a file: `lock` waits in the kernel, which wakes the waiting processes in order.

    `is_taken` says whether another process has locked a byte of a range (a length of 0: up to the end of the file).
    """

    def lock(self, byte: int) -> None: ...  # noqa: D102
    def try_lock(self, byte: int) -> bool: ...  # noqa: D102
    def unlock(self, byte: int) -> None: ...  # noqa: D102
    def is_taken(self, start: int, length: int) -> bool: ...  # noqa: D102


class ByteLocks:
    """Open-file-description locks: of this descriptor, until it is closed in every process that shares it by a fork."""

    # As Linux lays out `struct flock`.
    _FLOCK = struct.Struct("hhqqi4x")

    def __init__(self, file: int, _path: Path) -> None:
        self._file = file

    def try_lock(self, byte: int) -> bool:  # noqa: D102
        try:
            self._call(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte, 1)
        except OSError as error:
            if error.errno in _HELD_BY_ANOTHER:
                return False
            raise
        return True

    def lock(self, byte: int) -> None:  # noqa: D102
        self._call(fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, byte, 1)

    def unlock(self, byte: int) -> None:  # noqa: D102
        self._call(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte, 1)

    def is_taken(self, start: int, length: int) -> bool:  # noqa: D102
        return self._call(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, start, length) != fcntl.F_UNLCK

    def _call(self, command: int, kind: int, start: int, length: int) -> int:
        found = fcntl.fcntl(self._file, command, self._FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
        return int(self._FLOCK.unpack(found)[0])


class FileLocks:
    """Locks of files, one for each kind, where there are no open-file-description locks (macOS).

    One process at a time holds the file of the tickets; the others wait for it at the latch.
    """

    _ENDINGS = {LEASE: "", LATCH: "-latch", WRITE: "-write"}  # noqa: RUF012 - never changed

    def __init__(self, file: int, path: Path) -> None:
        self._path = path
        self._files = {"": file}
        self._held: set[str] = set()

    def try_lock(self, byte: int) -> bool:  # noqa: D102
        ending = self._ENDINGS.get(byte, "-queue")
        try:
            fcntl.flock(self._file(ending), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._held.add(ending)
        return True

    def lock(self, byte: int) -> None:  # noqa: D102
        ending = self._ENDINGS.get(byte, "-queue")
        fcntl.flock(self._file(ending), fcntl.LOCK_EX)
        self._held.add(ending)

    def unlock(self, byte: int) -> None:  # noqa: D102
        ending = self._ENDINGS.get(byte, "-queue")
        fcntl.flock(self._file(ending), fcntl.LOCK_UN)
        self._held.discard(ending)

    def is_taken(self, start: int, length: int) -> bool:  # noqa: ARG002, D102 - all tickets are one file
        if self._ENDINGS.get(start, "-queue") in self._held or not self.try_lock(start):
            return self._ENDINGS.get(start, "-queue") not in self._held
        self.unlock(start)
        return False

    def _file(self, ending: str) -> int:
        if ending not in self._files:
            self._files[ending] = os.open(f"{self._path}{ending}", os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o666)
            close_with(self, self._files[ending])
        return self._files[ending]


class Waiter:
    """Waits for a lock in its own thread, so that the caller can give up, or be interrupted.

    With polling, eight processes that add took twice the time: most polls were too early, and all of them too late.
    """

    def __init__(self, locks: Locks, byte: int) -> None:
        self._locks = locks
        self._byte = byte
        # Protects the thread, the requests to it, and whether the lock is still wanted.
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._requests: SimpleQueue[threading.Event | None] = SimpleQueue()
        self._granted: threading.Event | None = None
        self._is_wanted = False
        self._fault: OSError | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the thread still waits, or has a lock that no caller took: only the thread can hand it over."""
        return self._granted is not None

    def wait(self, seconds: float) -> bool:
        """Waits for the lock; False if it was not taken in time."""
        with self._mutex:
            if self._granted is None:
                self._granted = threading.Event()
                self._requests.put(self._granted)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="tunix_rt lock", daemon=True)
                    self._thread.start()
            granted, self._is_wanted = self._granted, True
        try:
            granted.wait(seconds)
        except BaseException:
            if self._settle(granted):
                self._locks.unlock(self._byte)
            raise
        return self._settle(granted)

    def end(self) -> None:
        """Ends the thread, for a fork, unless it waits at this moment."""
        with self._mutex:
            thread = None if self.is_waiting else self._thread
            if thread is not None:
                self._requests.put(None)
        if thread is not None:
            thread.join()

    def _settle(self, granted: threading.Event) -> bool:
        with self._mutex:
            self._is_wanted = False
            if not granted.is_set():
                return False
            self._granted, fault, self._fault = None, self._fault, None
        if fault is not None:
            raise fault
        return True

    def _serve(self) -> None:
        while True:
            try:
                granted = self._requests.get(timeout=_IDLE_SECONDS)
            except Empty:
                granted = None
            if granted is None:
                with self._mutex:
                    if self._requests.empty():
                        self._thread = None
                        return
                continue
            try:
                self._locks.lock(self._byte)
            except OSError as error:
                self._fault = error
            with self._mutex:
                if self._is_wanted:
                    granted.set()
                else:
                    if self._fault is None:
                        self._locks.unlock(self._byte)
                    self._granted = self._fault = None


def close_with(owner: object, file: int) -> "finalize[[int], object]":
    """Closes the descriptor when its owner goes, or when the result is called."""
    finalizer = finalize(owner, os.close, file)
    # At the end of the process the kernel does it, after what else runs at exit.
    finalizer.atexit = False
    return finalizer
