"""The file of a journal: an SQLite database in WAL mode, opened, checked and closed so that nothing rests on its locks.

While the file is open here, an open-file-description lock replaces SQLite's own mark that the database is in use. A
process loses that mark when any code in it opens and closes the file: the next process to close the journal would
believe that it is the last one, and delete the log that others write.
"""

import errno
import os
import secrets
import sqlite3
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote
from weakref import finalize

from tunix_rt.errors import StoreBusy, StoreDamaged, StoreFull, StoreUnusable
from tunix_rt.store.engine.lock_queue import LockQueue
from tunix_rt.store.engine.locks import Identity, identity, put_in_place

if sys.platform == "linux":
    import fcntl

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]

# For a program that does not know the write lock of the queue, such as SQLite's own shell.
_PATIENCE_SECONDS = 30.0
# The mark in the head of a journal distinguishes it from another journal at the same path.
_MARKS = 2**31 - 1

# The bytes on which SQLite keeps its mark that a database is in use (SHARED_FIRST and SHARED_SIZE in its os.h).
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510

_TABLES = """
create table pending (
    number integer primary key autoincrement, id blob not null, created_at integer not null,
    digest blob not null, json blob not null
);
create table journal (
    store_id text, generation integer not null, n_traces integer not null, n_lost integer not null
);
insert into journal values (null, 0, 0, 0);
insert into sqlite_sequence values ('pending', 0);
"""


class JournalFile:
    """The file at `path`, made if it is not there; for one thread of one process at a time, as the journal sees to it.

    `on_open` gets the connection when the file has been opened, before anyone else. Raises StoreBusy, StoreFull,
    StoreDamaged or StoreUnusable where the file cannot be used.
    """

    def __init__(self, path: Path, queue: LockQueue, on_open: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._queue = queue
        self._on_open = on_open
        self._connection: sqlite3.Connection | None = None
        self._guard: int | None = None
        # The journal, its log and the log's index, as they were opened here.
        self._files: dict[str, Identity | None] = {}
        self._synchronous = ""
        # Set when the files are missing: no call creates a new journal then, until the store is opened again.
        self.is_gone = False

    @property
    def is_open(self) -> bool:
        """Whether it is open here."""
        return self._connection is not None

    def is_current(self) -> bool:
        """Whether the files that are open here are those at their paths."""
        if self.is_gone:
            return False
        # A loop: this is called three times for an add, and took a tenth of its time.
        for path, known in self._files.items():  # noqa: SIM110
            if identity(path) != known:
                return False
        return True

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        """The connection, opened if it is not; what fails in the block is explained, and closes the file."""
        # The write lock is of no use either if it is of a lock file that others cannot find.
        if not (self.is_current() and self._queue.is_current()):
            raise self._gone()
        try:
            yield self._connection or self._connect()
        except FileNotFoundError:
            self.refuse_gone()
        # A damaged file can give NULL where there never is one.
        except (sqlite3.Error, TypeError) as error:
            self._disconnect(cleanly=False)
            raise _explained(self._path, error) from None

    @contextmanager
    def transaction(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        """A transaction, committed at the end and checked to be in the files that are at their paths."""
        with self.connected() as connection:
            if synchronous != self._synchronous:
                connection.execute(f"pragma synchronous = {synchronous}")
                self._synchronous = synchronous
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("rollback")
                raise
            if not self.is_current():
                self.refuse_gone()

    def close(self, *, cleanly: bool) -> None:
        """Closes the file; cleanly, under the write lock, as the last process to do so it removes the log."""
        is_current = self.is_current()
        if cleanly and not is_current:
            self._rescue()
        self._disconnect(cleanly=cleanly and is_current)

    def refuse_gone(self) -> None:
        """Raises StoreDamaged, from now on at each call until the store is opened again."""
        self.is_gone = True
        raise self._gone()

    def _gone(self) -> StoreDamaged:
        return StoreDamaged(
            f"{self._path}: the store's files were deleted, moved or replaced while the store was open, or can no "
            "longer be reached; nothing was stored. Put them back, or keep the files that are there now; then open the "
            "store again: TraceStore(path)"
        )

    def _connect(self) -> sqlite3.Connection:
        _make_if_missing(self._path)
        opened = identity(self._path)
        connection, guard = _open(self._path), None
        try:
            if sys.platform == "linux":
                guard = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
                _mark_in_use(guard, fcntl.F_RDLCK)
            # Its first statement opens the log.
            self._on_open(connection)
            self._files = {path: identity(path) for path in (f"{self._path}{end}" for end in ("", "-wal", "-shm"))}
            # The one that SQLite opened may have been replaced since, or before the guard was.
            if not opened == self._files[str(self._path)] == (opened if guard is None else identity(guard)):
                self.refuse_gone()
        except BaseException:
            self._files = {}
            _close(connection, guard)
            raise
        self._connection, self._guard = connection, guard
        # For a store that is forgotten without being closed.
        self._close = finalize(self, _close, connection, guard)
        self._close.atexit = False
        return connection

    def _disconnect(self, *, cleanly: bool) -> None:
        """Closes the file; cleanly, as the last process it writes out and removes the log."""
        if self._connection is None:
            return
        if self._guard is not None and cleanly:
            _mark_in_use(self._guard, fcntl.F_UNLCK)
        self._connection, self._guard, self._files, self._synchronous = None, None, {}, ""
        self._close()

    def _rescue(self) -> None:
        """Writes the log again if it was deleted while it was open here, unless another one was created since."""
        found = {path: identity(path) for path in self._files}
        is_gone = found.get(str(self._path)) != self._files.get(str(self._path))
        if self._connection and not is_gone and all(found[path] in (None, file) for path, file in self._files.items()):
            with suppress(sqlite3.Error):
                self._connection.execute("pragma wal_checkpoint").close()


def _make_if_missing(path: Path) -> None:
    # In this order: another process that makes the journal at this moment makes its log later.
    if Path(f"{path}-wal").exists() and not path.exists():
        # SQLite would apply the log to a new journal.
        raise sqlite3.DatabaseError("the file is missing, but its log exists")
    if not path.exists():
        _make(path)
    elif path.stat().st_size == 0:
        # SQLite would take it for a new database.
        raise sqlite3.DatabaseError("the file is empty")


def _open(path: Path) -> sqlite3.Connection:
    # As an address, which can say that a file that has just been deleted is not to be made.
    address = f"file:{quote(os.fsencode(path))}?mode=rw"
    connection = sqlite3.connect(address, isolation_level=None, check_same_thread=False, uri=True)
    # A program that does not know the write lock, such as SQLite's own shell.
    connection.execute(f"pragma busy_timeout = {int(_PATIENCE_SECONDS * 1_000)}")
    return connection


def _close(connection: sqlite3.Connection, guard: int | None) -> None:
    with suppress(sqlite3.Error):
        connection.close()
    # After it, which is then not the last of all to have the database open, and leaves the log.
    if guard is not None:
        os.close(guard)


def _mark_in_use(file: int, kind: int) -> None:
    # A file system without such locks has none that could be lost either.
    with suppress(OSError):
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0))


def _make(path: Path) -> None:
    """Creates an empty journal atomically, even if another process creates one at this moment."""
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute(f"pragma application_id = {secrets.randbelow(_MARKS) + 1}")
            connection.executescript(_TABLES)
        finally:
            connection.close()
        put_in_place(new, path)
    except OSError as error:
        raise StoreUnusable(f"{path}: the store's journal cannot be created ({error.strerror})") from error
    finally:
        new.unlink(missing_ok=True)


def _explained(path: Path, error: sqlite3.Error | TypeError) -> StoreUnusable:
    code = getattr(error, "sqlite_errorcode", None)
    # The extended codes carry the primary one in their lowest byte.
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"{path}: another program has locked the journal ({error}); nothing was added. Close the journal there "
            "and try again"
        )
    if primary == sqlite3.SQLITE_FULL or _has_no_room(path, primary):
        return StoreFull(f"{path}: the disk is full ({error}); nothing was added. Free some space and try again")
    if code is not None and code & 0xFFFF in _LOCK_ERRORS:
        return StoreUnusable(
            f"{path}: the journal cannot be locked ({error}), so processes could not share it safely; put the store on "
            "a local disk, or mount its file system with locks"
        )
    if primary == sqlite3.SQLITE_IOERR:
        return StoreUnusable(
            f"{path}: the journal could not be read or written ({error}, {getattr(error, 'sqlite_errorname', '')}); "
            "nothing was added. Check that its disk works and is mounted, and try again"
        )
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreUnusable(
            f"{path}: the journal cannot be written ({error}); give this user the right to write there"
        )
    return StoreDamaged(
        f"{path}: the journal is damaged ({error}), and was not changed. Restore it from a backup, or move it away: "
        "traces that were only in the journal are then lost, and those in the store stay"
    )


_LOCK_ERRORS = {sqlite3.SQLITE_IOERR_LOCK, sqlite3.SQLITE_IOERR_RDLOCK, sqlite3.SQLITE_IOERR_SHMLOCK}
# A page of the log, its header, and something to begin with.
_ROOM_BYTES = 2**16


def _has_no_room(path: Path, primary: int | None) -> bool:
    """Whether an error of reading or writing comes from a full disk, a quota or a limit, which SQLite does not say."""
    if primary != sqlite3.SQLITE_IOERR:
        return False
    try:
        if _exceeds_limit(path) or _exceeds_limit(Path(f"{path}-wal")):
            return True
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(bytes(_ROOM_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return False


def _exceeds_limit(file: Path) -> bool:
    if resource is None or not file.exists():
        return False
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return limit != resource.RLIM_INFINITY and file.stat().st_size + _ROOM_BYTES > limit
