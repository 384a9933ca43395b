"""The processes of a machine that want a store's file, in a line: first come, first served.

The line is made of record locks on bytes of the file `NAME.lock`, which the kernel takes back from a process that dies,
however it dies. Byte 0 is the turn: who has it may open the store. Who finds it taken draws a ticket, locks the
ticket's own byte, and waits until no byte before it is locked and the turn is free. Asking is a system call of about a
microsecond, so waiting by asking again costs little, can be interrupted, and is fair, because the tickets decide.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # Windows has no record locks like these: there DuckDB's own lock decides, in no order.
    fcntl = None  # type: ignore[assignment]

_NONE = -1
_TURN, _DOOR, _PEN, _FIRST_TICKET = 0, 1, 2, 2**20
# Where things stand in the file: the next ticket, the numbers that `acknowledged` and `folded` keep, who has the turn.
_NEXT_TICKET, _ACKNOWLEDGED, _FOLDED, _HOLDER = 0, 8, 16, 24
_NUMBER_BYTES = 8
_HOLDER_BYTES = 1_024
_NAME_CHARS = 100
# Seconds between two looks: of the one who is next, for a turn is mostly a few milliseconds long, and of the others.
_LOOK_OF_THE_NEXT, _LOOK = 0.0005, 0.002


class Holder(NamedTuple):
    """The process that has the turn: its id, what it runs, and since when (seconds since 1970)."""

    pid: int
    name: str
    since: float

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name}), which has held it for {time.time() - self.since:.1f} s"


class Line:
    """A process's place in the line; its threads must agree among themselves who calls it.

    Where there is no lock file that it may write (a read-only folder), or no record locks, it is always its turn.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _NONE

    def open(self, *, make: bool) -> None:
        """Opens the lock file; with `make`, makes it if it is not there."""
        if fcntl is not None and self._file == _NONE:
            with suppress(OSError):
                # Never closed: closing any descriptor of a file drops all record locks that the process has on it.
                self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o666)

    def enter(self, deadline: float, gives_way: Callable[[], bool] = lambda: False) -> bool:
        """Waits for the turn; False where it has not come at `deadline` (in the time of time.monotonic).

        `gives_way` is asked now and then, and ends the waiting too.
        """
        if self._file == _NONE:
            return True
        if self.someone_waits() or not self._try(_TURN):
            ticket = self._draw_ticket()
            try:
                if not self._wait(ticket, deadline, gives_way):
                    return False
            finally:
                self._unlock(ticket)
        me = json.dumps({"pid": os.getpid(), "name": _own_name()[:_NAME_CHARS], "since": time.time()}).encode()
        self._write(_HOLDER, me.ljust(_HOLDER_BYTES))
        return True

    def leave(self) -> None:
        """Lets the next one have the turn."""
        self._unlock(_TURN)

    def someone_waits(self) -> bool:
        """Whether another process stands in the line."""
        return not self._is_free(_FIRST_TICKET, 0)

    @contextmanager
    def pen(self) -> Iterator[None]:
        """For writing to the journal: one process after the other, in the order in which the kernel wakes them.

        SQLite lets those who find it locked sleep for ever longer times, up to 100 ms: of eight processes that added at
        once some waited for seconds.
        """
        if self._file == _NONE:
            yield
            return
        self._lock(_PEN)
        try:
            yield
        finally:
            self._unlock(_PEN)

    @property
    def holder(self) -> Holder | None:
        """The process that has the turn, or had it last."""
        if self._file == _NONE:
            return None
        try:
            return Holder(**json.loads(os.pread(self._file, _HOLDER_BYTES, _HOLDER)))
        except (ValueError, TypeError):
            return None

    @property
    def acknowledged(self) -> int:
        """The number of the newest row that the journal acknowledged: what a journal that lost rows cannot know."""
        return 0 if self._file == _NONE else self._number(_ACKNOWLEDGED)

    @acknowledged.setter
    def acknowledged(self, number: int) -> None:
        self._write_number(_ACKNOWLEDGED, number)

    @property
    def folded(self) -> int:
        """The number of the newest of these rows that is surely in the store's own file."""
        return 0 if self._file == _NONE else self._number(_FOLDED)

    @folded.setter
    def folded(self, number: int) -> None:
        self._write_number(_FOLDED, number)

    def _draw_ticket(self) -> int:
        self._lock(_DOOR)
        try:
            number = self._number(_NEXT_TICKET)
            self._write_number(_NEXT_TICKET, number + 1)
            self._lock(_FIRST_TICKET + number)
        finally:
            self._unlock(_DOOR)
        return _FIRST_TICKET + number

    def _wait(self, ticket: int, deadline: float, gives_way: Callable[[], bool]) -> bool:
        first = False
        while True:
            first = first or ticket == _FIRST_TICKET or self._is_free(_FIRST_TICKET, ticket - _FIRST_TICKET)
            if first and self._try(_TURN):
                return True
            if time.monotonic() >= deadline or gives_way():
                return False
            time.sleep(_LOOK_OF_THE_NEXT if first else _LOOK)

    def _number(self, place: int) -> int:
        return int.from_bytes(os.pread(self._file, _NUMBER_BYTES, place), "big")

    def _write_number(self, place: int, number: int) -> None:
        if self._file != _NONE:
            self._write(place, number.to_bytes(_NUMBER_BYTES, "big"))

    def _write(self, place: int, data: bytes) -> None:
        # A full disk costs a name or a count here, not the work that goes on.
        with suppress(OSError):
            os.pwrite(self._file, data, place)

    def _is_free(self, start: int, length: int) -> bool:
        """Whether no other process has locked a byte of the range (a length of 0: up to the end)."""
        if self._file == _NONE:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, length, start)
        except OSError:
            return False
        fcntl.lockf(self._file, fcntl.LOCK_UN, length, start)
        return True

    def _lock(self, byte: int) -> None:
        """Waits until the byte is locked."""
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX, 1, byte)
            except OSError as error:
                # The kernel knows processes, not threads: where a thread of ours waits for the pen of a process that
                # has another thread at our door, it sees a deadlock, though both go on in a moment.
                if error.errno != errno.EDEADLK:
                    raise
                time.sleep(_LOOK_OF_THE_NEXT)
            else:
                return

    def _try(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:
            return False
        return True

    def _unlock(self, byte: int) -> None:
        if self._file != _NONE:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)


def _own_name() -> str:
    """What a person would call this process: the notebook of a kernel, else the script."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        script = script.parent
    return (
        os.environ.get("JPY_SESSION_NAME") or (f"python {script}" if script.name == "-c" else script.name) or "python"
    )
