"""SQLite files: Trackio's table of traces, read while Trackio may be writing to it; any other is refused by name.

Such a file is opened by SQLite alone: when a process closes a file that it has opened by other means, the locks that
SQLite has on it in that process are gone.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

from tunix_rt.errors import SourceInvalid
from tunix_rt.formats.rows.row import Rejection, Row
from tunix_rt.paths import size_of

MAGIC = b"SQLite format 3\0"
_ENDINGS = (".db", ".db3", ".sqlite", ".sqlite3")
_NEEDED = {"messages", "metadata", "run_name", "step", "key"}
# The text in it is that of the messages, once more.
_COPY = "search_text"
# A reader's lock delays the commits of a writer for as long as it lasts: pieces of some milliseconds.
_PIECE_ROWS = 64
_PIECE_BYTES = 2**23
_NEXT = "select min(rowid) from traces where rowid between ? and ?"
_MOST_COPIED_BYTES = 2**29
_TRIES = 50
_TRIES_OF_DAMAGED = 2
_PAUSE_SECONDS = 0.01
_BUSY_SECONDS = 5.0


def is_sqlite(path: Path) -> bool:
    """Whether a file that is named as one is a SQLite database."""
    if not path.name.lower().endswith(_ENDINGS) or not path.is_file() or not size_of(path):
        return False
    try:
        with closing(_connected(path, "mode=ro&immutable=1")) as database:
            database.execute("pragma schema_version").fetchone()
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", None) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN)
    return True


class _Table(NamedTuple):
    """The columns of the table, and its first and last row when the reading began."""

    columns: list[str]
    lowest: int
    highest: int


class _State(NamedTuple):
    """What tells that somebody wrote to a database: the file itself, its log, its journal."""

    size: int
    changed_ns: int
    log: int | None
    journal: int | None


class SqliteFile:
    """Reads such a file as `SourceFile` reads a file; rows of more than `most_bytes` are rejected."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self.on_read: Callable[[], object] = lambda: None
        self.size = size_of(path)
        self.position = 0
        self._most_bytes = most_bytes
        self._copy: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Nothing stays open."""
        if self._copy is not None:
            self._copy.cleanup()

    def rows(self) -> Iterator[Row | Rejection]:
        """The rows of Trackio's traces, in the order in which they were logged, up to those that come meanwhile.

        Raises SourceInvalid for a database of anything else, and for one that is damaged.
        """
        table: _Table = self._piece(self._table)
        last: int | None = None
        line = 0
        while piece := self._piece(partial(self._after, table=table, last=last)):
            for rowid, row in piece:
                self.on_read()
                line += 1
                last = rowid
                self.position = self.size * max(rowid, 0) // max(table.highest, 1)
                yield self._row(line, table.columns, row)
        self.position = self.size

    def _row(self, line: int, columns: list[str], row: tuple[Any, ...] | None) -> Row | Rejection:
        if row is None:
            reason = f"exceeds maximum of {self._most_bytes:,} bytes for a row"
            return Rejection(str(self.path), line, None, reason, "")
        spoiled = False
        value = {}
        for name, item in zip(columns, row, strict=True):
            if isinstance(item, bytes):
                item, bad = _decoded(item)  # noqa: PLW2901 - texts come as bytes
                spoiled = spoiled or bad
            value[name] = item
        return Row(str(self.path), line, value=value, is_spoiled=spoiled)

    def _table(self, database: sqlite3.Connection) -> _Table:
        tables = sorted(
            _name(name) for (name,) in database.execute("select name from sqlite_master where type = 'table'")
        )
        if {"pending", "journal"} <= set(tables):
            raise SourceInvalid(
                f"{self.path}: is the journal of a trace store; open that store, as in "
                "store.load(TraceStore(path).records())"
            )
        columns = (
            [_name(column[1]) for column in database.execute("pragma table_info(traces)")] if "traces" in tables else []
        )
        if not set(columns) >= _NEEDED:
            names = ", ".join(tables[:8]) or "none"
            raise SourceInvalid(
                f"{self.path}: is a SQLite database without Trackio's traces (its tables: {names}); export what you "
                "want to load as JSON Lines or CSV"
            )
        lowest, highest = database.execute("select min(rowid), max(rowid) from traces").fetchone()
        return _Table([column for column in columns if column != _COPY], lowest or 0, highest or 0)

    def _after(
        self, database: sqlite3.Connection, table: _Table, last: int | None
    ) -> list[tuple[int, tuple[Any, ...] | None]]:
        """The next rows: each with its number, and its values; None where they are too large."""
        names = ", ".join('"{}"'.format(column.replace('"', '""')) for column in table.columns)
        found: list[tuple[int, tuple[Any, ...] | None]] = []
        n_bytes = 0
        while len(found) < _PIECE_ROWS and n_bytes < _PIECE_BYTES:
            if last == table.highest:
                break
            first = table.lowest if last is None else last + 1
            (last,) = database.execute(_NEXT, (first, table.highest)).fetchone()
            if last is None:
                break
            try:
                row = database.execute(f"select {names} from traces where rowid = ?", (last,)).fetchone()  # noqa: S608
            except sqlite3.DataError:
                row = None
            else:
                size = sum(len(item) for item in row if isinstance(item, bytes))
                n_bytes += size
                row = None if size > self._most_bytes else row
            found.append((last, row))
        return found

    def _piece(self, read: Callable[[sqlite3.Connection], Any]) -> Any:
        """What `read` makes of the database as it is at one moment."""
        fault: Exception | None = None
        for n in range(_TRIES):
            self.on_read()
            before = self._state()
            path, options = self._way(before)
            try:
                with closing(_connected(path, options, self._most_bytes)) as database:
                    if "immutable" not in options:
                        database.execute("begin")
                    found = read(database)
            except sqlite3.Error as error:
                fault = error
            else:
                fault = None
            # Without locks a writer is only noticed by what it left; what was read meanwhile is read again.
            # It may have written twice within a tick of the clock: what seems damaged is read again, too.
            if "immutable" not in options or (before == self._state() and (fault is None or n >= _TRIES_OF_DAMAGED)):
                break
            sleep(_PAUSE_SECONDS)
        else:
            raise SourceInvalid(f"{self.path}: is written to without a pause; load it again when nothing writes to it")
        if fault is not None:
            raise SourceInvalid(f"{self.path}: damaged SQLite file: {fault}") from None
        return found

    def _way(self, state: _State) -> tuple[Path, str]:
        """Which file is opened, and how.

        In write-ahead mode SQLite creates a log and an index beside a file, also where it only reads, if there are
        none. So a file without them, which nobody has open, is read as one that cannot change. A log without an index
        was left behind: it is copied, with the file. Where both are there somebody has the file open, and both read it.
        """
        if self._copy is not None:
            return Path(self._copy.name, "copy.db"), "mode=ro"
        if self._beside("-shm").exists() or (state.journal and not state.log):
            return self.path, "mode=ro"
        if not state.log:
            return self.path, "mode=ro&immutable=1"
        if state.size + state.log > _MOST_COPIED_BYTES:
            raise SourceInvalid(
                f"{self.path}: its writer was killed and left a log; open it once with Trackio, then load it again"
            )
        self._copy = tempfile.TemporaryDirectory()
        copy = Path(self._copy.name, "copy.db")
        try:
            shutil.copyfile(self.path, copy)
            shutil.copyfile(self._beside("-wal"), copy.with_name("copy.db-wal"))
        except OSError as error:
            raise SourceInvalid(f"{self.path}: cannot be read ({error.strerror})") from None
        if self._state() != state:
            # Its writer is there after all. What is read now counts for nothing, as the state is not that of before.
            self._copy.cleanup()
            self._copy = None
            return self.path, "mode=ro&immutable=1"
        return copy, "mode=ro"

    def _state(self) -> _State:
        try:
            status = self.path.stat()
        except OSError as error:
            raise SourceInvalid(f"{self.path}: cannot be read ({error.strerror})") from None
        return _State(status.st_size, status.st_mtime_ns, self._size("-wal"), self._size("-journal"))

    def _size(self, ending: str) -> int | None:
        with suppress(OSError):
            return self._beside(ending).stat().st_size
        return None

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


def _connected(path: Path, options: str, most_bytes: int = 2**26) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_SECONDS,
        # A load may close what another thread has opened.
        check_same_thread=False,
    )
    database.text_factory = bytes
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most_bytes)
    # What the schema of a stranger's file names is not run.
    database.execute("pragma trusted_schema = off")
    return database


def _decoded(raw: bytes) -> tuple[str, bool]:
    try:
        return raw.decode(), False
    except UnicodeDecodeError:
        # A lone surrogate, which a trace refuses: only its row is rejected.
        return raw.decode(errors="surrogateescape"), True


def _name(raw: Any) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
