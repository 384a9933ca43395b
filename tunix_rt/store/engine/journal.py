"""The journal: what was added and not yet folded into the DuckDB file, on disk when `add` returns.

An SQLite database in WAL mode beside the DuckDB file takes durable rows from many processes at once, a hundred times as
many as opening DuckDB for each would. It also keeps what the DuckDB file must hold: DuckDB opens silently when its
write-ahead log has been lost, and a file can be replaced by an older one.

SQLite's own locks are record locks, which a process loses when any code in it opens and closes the file. So no process
touches the journal without the write lock of the queue.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tunix_rt.errors import StoreBusy, StoreUnusable, TunixRTError
from tunix_rt.store.engine.expected_counts import ExpectedCounts
from tunix_rt.store.engine.journal_file import JournalFile
from tunix_rt.store.engine.lock_queue import LockQueue
from tunix_rt.store.engine.rows import NewRow
from tunix_rt.store.engine.task import patiently, waiting

# For what comes after a commit to the DuckDB file; each transaction takes milliseconds.
_PATIENCE_SECONDS = 30.0
# Closing cannot be refused: after it the file is closed without the write lock.
_CLOSE_SECONDS = 2.0
# Read under one write lock: a complete fold at once kept adding processes waiting for 0.1 s.
_BATCH_ROWS, _BATCH_BYTES = 1_024, 2**20

_APPEND = "insert into pending (id, created_at, digest, json) values (?, ?, ?, ?)"
_NEXT = "select number, id, created_at, digest, json from pending where number > ? order by number limit ?"
# Of all rows that ever were, not only of those that are still there.
_LAST_NUMBER = "select seq from sqlite_sequence where name = 'pending'"
_NEWEST = "select coalesce(max(number), 0) from pending"


class _Batch:
    """The rows of one `add`; several threads' are committed together."""

    def __init__(self, rows: Sequence[NewRow]) -> None:
        self.rows = rows
        self.is_stored = False


class Journal:
    """The journal at `path`, created if it does not exist; any thread may call it.

    Raises StoreBusy, StoreFull, StoreDamaged or StoreUnusable where it cannot do its work.

    | state | changed by |
    |---|---|
    | `file`: whether it is open here | the thread that has `lock` |
    | what is in the file | the thread that has `lock`, in the process that has the write lock of the queue |
    | `_waiting` | any thread that has `_waiting_lock`; the thread with `_threads` takes what is in it |
    """

    def __init__(self, path: Path, queue: LockQueue) -> None:
        self.path = path
        self._queue = queue
        self.file = JournalFile(path, queue, self._notice_loss)
        self.begin_anew()

    def begin_anew(self) -> None:
        """As new: a forked child has none of its parent's threads and their adds."""
        # Only held while the file is touched, so that a fork, which takes it, never waits for another process.
        self.lock = threading.Lock()
        self._threads = threading.Lock()
        self._waiting_lock = threading.Lock()
        self._waiting: list[_Batch] = []

    def add(self, rows: Sequence[NewRow], *, deadline: float) -> None:
        """Appends the rows, all or none; they are on disk when this returns.

        `deadline`, in the time of time.monotonic, is for the waiting: StoreBusy where it is over.
        """
        batch = _Batch(rows)
        with self._waiting_lock:
            self._waiting.append(batch)
        try:
            with self._exclusive(deadline):
                if not batch.is_stored:
                    self._commit_waiting(batch)
        except StoreBusy:
            # Another thread may have taken it along at the last moment.
            if self._withdraw(batch):
                raise
            with self._threads:
                pass
            if not batch.is_stored:
                raise
        finally:
            self._withdraw(batch)

    @property
    def newest(self) -> int:
        """The number of the newest row that is not yet folded; 0 if there is none."""
        # Read from the lock file in a microsecond; the first call opens the journal, which may find it damaged.
        if self.file.is_open and self._queue.is_open:
            acknowledged = self._queue.acknowledged
            return acknowledged if acknowledged > self._queue.folded else 0
        with self._read() as connection:
            return int(connection.execute(_NEWEST).fetchone()[0])

    @property
    def n_rows(self) -> int:
        """How many rows are not yet folded."""
        with self._read() as connection:
            return int(connection.execute("select count(*) from pending").fetchone()[0])

    def has_up_to(self, number: int) -> bool:
        """Whether a row of this number or an older one is not yet folded."""
        if self._queue.is_open:
            return self._queue.folded < number
        with self._read() as connection:
            return bool(connection.execute("select min(number) <= ? from pending", (number,)).fetchone()[0])

    @property
    def expected(self) -> tuple[ExpectedCounts, int]:
        """The counts that the DuckDB file must have at least, and the number of acknowledged rows that are lost.

        Lost rows are neither here nor folded: the journal's own log was lost.
        """
        with self._read() as connection:
            found = connection.execute("select store_id, generation, n_traces, n_lost from journal").fetchone()
            return ExpectedCounts(*found[:3]), int(found[3])

    def after(self, number: int, most_rows: int, most_bytes: int) -> tuple[int, list[NewRow]]:
        """The oldest rows after a number, within both limits, and the number of the last of them."""
        rows: list[NewRow] = []
        n_bytes = 0
        is_last = False
        while not is_last and len(rows) < most_rows and n_bytes < most_bytes:
            most = min(most_rows - len(rows), _BATCH_ROWS)
            with self._read() as connection, _closing(connection.execute(_NEXT, (number, most))) as found:
                batch_bytes = 0
                n_before = len(rows)
                for found_number, *row in found:
                    rows.append(NewRow._make(row))
                    number = found_number
                    batch_bytes += len(rows[-1].json)
                    if batch_bytes >= _BATCH_BYTES or n_bytes + batch_bytes >= most_bytes:
                        break
                else:
                    is_last = len(rows) - n_before < most
                if not number:
                    # A process died between the two and left the number behind.
                    self._queue.folded = max(self._queue.acknowledged, self._queue.folded)
            n_bytes += batch_bytes
        return number, rows

    def confirm(self, counts: ExpectedCounts, *, folded: int) -> None:
        """Notes the counts of the DuckDB file, and deletes the rows up to the number `folded`, which are in it."""
        # Need not be on disk: a change that is not confirmed is found again, and so are rows that are in both.
        with self._write(synchronous="normal") as connection:
            connection.execute("delete from pending where number <= ?", (folded,))
            connection.execute("update journal set store_id = ?, generation = ?, n_traces = ?", counts)
            if folded:
                self._queue.folded = max(folded, self._queue.folded)

    def sync(self) -> None:
        """Puts on disk what was confirmed before: a crash would bring back what is deleted after it."""
        with self._write() as connection:
            connection.execute("update journal set n_lost = n_lost")

    def accept_loss(self, counts: ExpectedCounts) -> None:
        """Expects these counts from now on."""
        with self._write() as connection:
            connection.execute("update journal set store_id = ?, generation = ?, n_traces = ?, n_lost = 0", counts)

    def check(self) -> str | None:
        """The errors that SQLite finds in the file; None if there are none."""
        with self._read() as connection:
            found = [row[0] for row in connection.execute("pragma integrity_check(10)")]
        return None if found == ["ok"] else "; ".join(found)

    def stop(self) -> None:
        """Closes the file, and keeps all threads out until `resume`: for a fork, which waits for no other process."""
        self.lock.acquire()
        self.file.close(cleanly=False)

    def resume(self) -> None:
        """Lets the threads in again."""
        self.lock.release()

    def close(self) -> None:
        """Closes the file; the next call opens it again."""
        if not self.file.is_open:
            return
        try:
            with self._exclusive(time.monotonic() + _CLOSE_SECONDS):
                self.file.close(cleanly=True)
        except (StoreBusy, StoreUnusable):
            with self.lock:
                self.file.close(cleanly=False)

    @contextmanager
    def _exclusive(self, deadline: float) -> Iterator[None]:
        """Exclusive use of the file by this thread of this process; StoreBusy if it is not free before the deadline."""
        with waiting(self._waited_for):
            has_turn = patiently(lambda seconds: self._threads.acquire(timeout=seconds), deadline)
        if not has_turn:
            raise StoreBusy(
                f"{self.path}: other threads of this process wrote to the journal all the time; nothing was added. Try "
                "again, or increase pool_timeout (TUNIX_RT_POOL_TIMEOUT, up to 300)"
            )
        try:
            with waiting(self._waited_for):
                is_taken = self._queue.take_write_lock(deadline)
            if not is_taken:
                writer = self._queue.writer or None
                raise StoreBusy(
                    f"{self.path}: process {writer or 'unknown'} wrote to the journal all the time, or was stopped "
                    "while it did; nothing was added. Let it continue or end it, and try again",
                    holder=writer,
                )
            try:
                with self.lock:
                    yield
            finally:
                self._queue.release_write_lock()
        finally:
            self._threads.release()

    def _waited_for(self) -> str:
        return f"process {self._queue.writer or 'unknown'}, which writes to the journal"

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._exclusive(time.monotonic() + _PATIENCE_SECONDS), self.file.connected() as connection:
            yield connection

    @contextmanager
    def _write(self, *, synchronous: str = "full") -> Iterator[sqlite3.Connection]:
        with self._exclusive(time.monotonic() + _PATIENCE_SECONDS), self.file.transaction(synchronous) as connection:
            yield connection

    def _commit_waiting(self, own: _Batch) -> None:
        """Commits all waiting batches, including `own`; each waiting thread then finds its rows stored."""
        with self._waiting_lock:
            batches, self._waiting = self._waiting, []
        try:
            self._commit(batches)
        except BaseException as error:
            others = [batch for batch in batches if batch is not own]
            with self._waiting_lock:
                self._waiting += others
            if not others or not isinstance(error, TunixRTError):
                raise
            # The cause, such as too little room on the disk, need not affect this one alone.
            self._commit([own])

    def _commit(self, batches: list[_Batch]) -> None:
        with self.file.transaction("full") as connection:
            for batch in batches:
                connection.executemany(_APPEND, batch.rows)
            number = _last_number(connection)
        self._queue.acknowledged = number
        for batch in batches:
            batch.is_stored = True

    def _withdraw(self, batch: _Batch) -> bool:
        with self._waiting_lock:
            waits = batch in self._waiting
            if waits:
                self._waiting.remove(batch)
            return waits

    def _notice_loss(self, connection: sqlite3.Connection) -> None:
        """SQLite opens silently without the rows of a log that is gone; their numbers must not be given out again."""
        mark = int(connection.execute("pragma application_id").fetchone()[0])
        if self._queue.journal != mark:
            self._begin_counting(connection, mark)
        acknowledged, last = self._queue.acknowledged, _last_number(connection)
        if acknowledged <= last:
            # A process died between storing a row and acknowledging it, or the lock file is new.
            if acknowledged < last:
                pending = connection.execute("select min(number) from pending").fetchone()[0]
                self._queue.folded = max(self._queue.folded, last if pending is None else pending - 1)
                self._queue.acknowledged = last
            return
        folded = self._queue.folded
        connection.execute("begin immediate")
        connection.execute("update journal set n_lost = n_lost + ?", (max(0, acknowledged - max(last, folded)),))
        connection.execute("update sqlite_sequence set seq = ? where name = 'pending'", (acknowledged,))
        # That they are in the store was in the lost log, too.
        connection.execute("delete from pending where number <= ?", (folded,))
        connection.execute("commit")

    def _begin_counting(self, connection: sqlite3.Connection, mark: int) -> None:
        """The numbers of the lock file are about another journal, which is gone: those of this one begin below them."""
        n_lost = max(0, self._queue.acknowledged - self._queue.folded)
        if n_lost:
            connection.execute("update journal set n_lost = n_lost + ?", (n_lost,))
        self._queue.folded = self._queue.acknowledged = 0
        self._queue.journal = mark


def _last_number(connection: sqlite3.Connection) -> int:
    return int(connection.execute(_LAST_NUMBER).fetchone()[0])


@contextmanager
def _closing(cursor: sqlite3.Cursor) -> Iterator[sqlite3.Cursor]:
    # A cursor that is not read to its end keeps SQLite from clearing the log.
    try:
        yield cursor
    finally:
        cursor.close()
