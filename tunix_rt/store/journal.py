"""The journal: what was added and not yet folded into the DuckDB file, on disk the moment `add` returns.

An SQLite database in WAL mode beside the DuckDB file takes durable rows from many processes at once, a hundred times as
many as opening DuckDB for each would. It also keeps what the DuckDB file must hold: DuckDB opens silently when its
write-ahead log has been lost, and a file can be replaced by an older one.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from tunix_rt.errors import StoreBusy, StoreDamaged, StoreFull, StoreUnusable
from tunix_rt.store.line import Line
from tunix_rt.store.rows import NewRow, from_microseconds, to_microseconds
from tunix_rt.store.standing import Standing

# Large traces fill a fold by their size; several copies of it are in memory while it is written.
_FOLD_BYTES = 64 * 2**20

# For what comes after a commit to the DuckDB file; each transaction takes milliseconds.
_BUSY_SECONDS = 30.0

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
_APPEND = "insert into pending (id, created_at, digest, json) values (?, ?, ?, ?)"
_NEXT = "select number, id, created_at, digest, json from pending where number > ? order by number limit ?"
# Of all rows that ever were, not only of those that are still there.
_LAST_NUMBER = "select seq from sqlite_sequence where name = 'pending'"


class Journal:
    """The journal at `path`, made if it is not there; any thread may call it.

    Raises StoreBusy, StoreFull, StoreDamaged or StoreUnusable where it cannot do its work.
    """

    def __init__(self, path: Path, line: Line) -> None:
        self.path = path
        self._line = line
        # A forked child must not use the parent's connection, so that this lock is also taken around a fork.
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def add(self, rows: Sequence[NewRow], *, timeout: float) -> None:
        """Appends the rows, all or none; they are on disk when this returns."""
        values = [(row.id.bytes, to_microseconds(row.created_at), row.digest, row.json) for row in rows]
        with self._transaction(timeout) as connection:
            connection.executemany(_APPEND, values)
            number = _last_number(connection)
        self._line.acknowledged = max(number, self._line.acknowledged)

    @property
    def newest(self) -> int:
        """The number of the newest row that is not yet folded; 0 where there is none."""
        with self._open() as connection:
            return int(connection.execute("select coalesce(max(number), 0) from pending").fetchone()[0])

    @property
    def n_rows(self) -> int:
        """How many rows are not yet folded."""
        with self._open() as connection:
            return int(connection.execute("select count(*) from pending").fetchone()[0])

    def has_up_to(self, number: int) -> bool:
        """Whether a row of this number or an older one is not yet folded."""
        with self._open() as connection:
            return bool(connection.execute("select min(number) <= ? from pending", (number,)).fetchone()[0])

    @property
    def standing(self) -> Standing:
        """What the DuckDB file must hold at least."""
        with self._open() as connection:
            return Standing(*connection.execute("select store_id, generation, n_traces from journal").fetchone())

    @property
    def n_lost(self) -> int:
        """How many rows were acknowledged and are neither here nor folded: the journal's own log was lost."""
        with self._open() as connection:
            return int(connection.execute("select n_lost from journal").fetchone()[0])

    def after(self, number: int, most_rows: int) -> tuple[int, list[NewRow]]:
        """The oldest rows behind a number, as many as are folded at once, and the number of the last of them."""
        rows: list[NewRow] = []
        n_bytes = 0
        with self._open() as connection, _closing(connection.execute(_NEXT, (number, most_rows))) as found:
            for place, id_bytes, microseconds, digest, line in found:
                rows.append(NewRow(UUID(bytes=id_bytes), from_microseconds(microseconds), digest, line))
                number = place
                n_bytes += len(line)
                if n_bytes >= _FOLD_BYTES:
                    break
        return number, rows

    def confirm(self, standing: Standing, *, folded: int) -> None:
        """Notes what the DuckDB file holds now, and forgets the rows up to the number `folded`, which are in it."""
        # Need not be on disk: a change that is not confirmed is found again, and so are rows that are in both.
        with self._not_synchronous(), self._transaction() as connection:
            connection.execute("delete from pending where number <= ?", (folded,))
            connection.execute("update journal set store_id = ?, generation = ?, n_traces = ?", standing)
        self._line.folded = max(folded, self._line.folded)

    def sync(self) -> None:
        """Puts on disk what was confirmed before: a crash would bring back what is deleted after it."""
        with self._transaction() as connection:
            connection.execute("update journal set n_lost = n_lost")

    def accept_loss(self, standing: Standing) -> None:
        """From now on what is there is what there must be."""
        with self._transaction() as connection:
            connection.execute("update journal set store_id = ?, generation = ?, n_traces = ?, n_lost = 0", standing)

    def check(self) -> str | None:
        """What SQLite finds wrong with the file, if anything."""
        with self._open() as connection:
            found = [row[0] for row in connection.execute("pragma integrity_check(10)")]
        return None if found == ["ok"] else "; ".join(found)

    def close(self) -> None:
        """Closes the file; the next call opens it again."""
        with self.lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _not_synchronous(self) -> Iterator[None]:
        with self._open() as connection:
            connection.execute("pragma synchronous = normal")
            try:
                yield
            except BaseException:
                # It may be closed already; the next one is synchronous by itself.
                self.close()
                raise
            connection.execute("pragma synchronous = full")

    @contextmanager
    def _transaction(self, timeout: float = _BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        with self._open() as connection, self._line.pen():
            connection.execute(f"pragma busy_timeout = {int(timeout * 1_000)}")
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("rollback")
                raise

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            try:
                if self._connection is None:
                    self._connection = _connect(self.path)
                    self._notice_loss(self._connection)
                yield self._connection
            # A damaged file can give NULL where there never is one.
            except (sqlite3.Error, TypeError) as error:
                self.close()
                raise _told(self.path, error) from error

    def _notice_loss(self, connection: sqlite3.Connection) -> None:
        """SQLite opens silently without the rows of a log that is gone; their numbers must not be given out again."""
        # In this order: a row gets its number first, and is acknowledged then.
        acknowledged = self._line.acknowledged
        if acknowledged <= _last_number(connection):
            return
        connection.execute("begin immediate")
        # Asked again: another process may have noticed it at the same moment.
        last = _last_number(connection)
        if acknowledged > last:
            folded = self._line.folded
            connection.execute("update journal set n_lost = n_lost + ?", (max(0, acknowledged - max(last, folded)),))
            connection.execute("update sqlite_sequence set seq = ? where name = 'pending'", (acknowledged,))
            # That they are in the store was in the lost log, too.
            connection.execute("delete from pending where number <= ?", (folded,))
        connection.execute("commit")


def _last_number(connection: sqlite3.Connection) -> int:
    return int(connection.execute(_LAST_NUMBER).fetchone()[0])


@contextmanager
def _closing(cursor: sqlite3.Cursor) -> Iterator[sqlite3.Cursor]:
    # A cursor that is not read to its end keeps SQLite from clearing the log.
    try:
        yield cursor
    finally:
        cursor.close()


def _connect(path: Path) -> sqlite3.Connection:
    # In this order: another process that makes the journal at this moment makes its log later.
    if Path(f"{path}-wal").exists() and not path.exists():
        # SQLite would mix what the log holds into a new journal.
        raise sqlite3.DatabaseError("the file is gone, and its log is there")
    if not path.exists():
        _make(path)
    elif path.stat().st_size == 0:
        # SQLite would take it for a new database.
        raise sqlite3.DatabaseError("the file is empty")
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("pragma synchronous = full")
    return connection


def _make(path: Path) -> None:
    """Makes an empty journal, whole or not at all, even if another process makes one at this moment."""
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(_TABLES)
        finally:
            connection.close()
        try:
            os.link(new, path)
        except FileExistsError:
            pass
        except OSError:
            # A file system without hard links.
            if not path.exists():
                new.rename(path)
    except OSError as error:
        raise StoreUnusable(f"{path}: the store's journal cannot be made ({error.strerror})") from error
    finally:
        new.unlink(missing_ok=True)


def _told(path: Path, error: sqlite3.Error | TypeError) -> StoreUnusable:
    said = str(error)
    if "locked" in said or "busy" in said:
        return StoreBusy(f"{path}: the journal could not be written in time, so many processes add at once; try again")
    if "full" in said or "disk I/O error" in said:
        return StoreFull(f"{path}: the disk is full ({said}); nothing was added. Make room and add again")
    if isinstance(error, sqlite3.OperationalError) and ("unable to open" in said or "readonly" in said):
        return StoreUnusable(f"{path}: the journal cannot be written ({said}); give this user the right to write there")
    return StoreDamaged(
        f"{path}: the journal is damaged ({said}); it was left as it is. Put it back from a backup, or move it away: "
        "what it held and was not yet in the store is lost then, and what is in the store stays"
    )
