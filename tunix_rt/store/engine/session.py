"""A store's access to its files: limits its threads and their waiting, and lets every read see every add."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from uuid import UUID

import duckdb

from tunix_rt.errors import StoreBusy, StoreDamaged, StoreReadOnly
from tunix_rt.settings import Settings
from tunix_rt.store.engine import schema
from tunix_rt.store.engine.access import Spread
from tunix_rt.store.engine.database import ROW_GROUP_ROWS
from tunix_rt.store.engine.expected_counts import ExpectedCounts, next_counts
from tunix_rt.store.engine.files import Files
from tunix_rt.store.engine.rows import LARGE_ROW_BYTES, LARGE_ROWS_BYTES, NewRow, insert, to_table
from tunix_rt.store.engine.task import patiently
from tunix_rt.store.engine.time_index import TimeIndex

# Folded together; several copies of it are in memory meanwhile.
_FOLD_BYTES = 64 * 2**20
# A new TraceStore waits at most this long to check that the file is a store; if it is held, the first use checks it.
_FIRST_LOOK_SECONDS = 0.2
_THERE = "select id from traces where id between ? and ? and id in (select unnest(?::uuid[]))"


class Session:
    """The files as the calls of one TraceStore use them; any thread may use it."""

    # What scans in other processes; None where this one does.
    spread: Spread | None = None

    def __init__(self, path: Path, settings: Settings, *, read_only: bool, accept_loss: bool) -> None:
        self.settings = settings
        self.read_only = read_only
        self._timeout = settings.pool_timeout
        self._most_threads = settings.pool_size + settings.max_overflow
        # Any thread may replace it.
        self._time_index: TimeIndex | None = None
        self._make_slots()
        self._files = Files.of(path, read_only=read_only, memory_limit=settings.memory_limit)
        if accept_loss:
            with self._files.lease.closed():
                self._files.accept_loss = True
            try:
                with self._files.lease.work(time.monotonic() + self._timeout):
                    return
            finally:
                # Where it could not be opened, the next TraceStore has not accepted anything.
                self._files.accept_loss = False
        # A file that is not a store fails here, not at the first use.
        with suppress(StoreBusy), self._files.lease.work(time.monotonic() + _FIRST_LOOK_SECONDS):
            pass

    @property
    def path(self) -> Path:
        """The store's file, whatever links led to it."""
        return self._files.path

    @property
    def store_id(self) -> str | None:
        """The identity of the store, wherever its file is; None if it was never opened here."""
        return self._files.counts.store_id

    @property
    def n_traces(self) -> int:
        """How many traces the file held when it was last opened or changed here."""
        return self._files.counts.n_traces

    def time_index(self, cursor: duckdb.DuckDBPyConnection) -> TimeIndex:
        """Where in time the rows are, brought up to date where the store has outgrown it."""
        index = self._time_index
        index = index.up_to_date(cursor, self.n_traces) if index else TimeIndex(cursor, self.n_traces)
        self._time_index = index
        return index

    @property
    def n_in_journal(self) -> int | None:
        """How many traces wait to be folded; None where the store is only read, and may have no journal."""
        return None if self.read_only else self._files.journal.n_rows

    def add(self, rows: Sequence[NewRow]) -> None:
        """Stores the rows, all or none, without waiting for the file."""
        self.refuse_read_only()
        deadline = time.monotonic() + self._timeout
        try:
            self._files.journal.add(rows, deadline=deadline)
        except StoreDamaged:
            # Replaced files are noticed under the write lock, so that an add need not check before.
            if self._files.journal.file.is_gone or self._files.is_current():
                raise
            self._files.catch_up()
            self._files.journal.add(rows, deadline=deadline)

    @contextmanager
    def cursor(self, *, reusable: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for this thread, for one piece of work; StoreBusy if it cannot be had in `pool_timeout` seconds.

        Everything that was added before, by whatever process, is there. `reusable` is for work that leaves nothing
        behind in the cursor.
        """
        deadline = time.monotonic() + self._timeout
        if self._process != os.getpid():
            self._make_slots()
        slots = self._slots
        if not patiently(lambda seconds: slots.acquire(timeout=seconds), deadline):
            raise StoreBusy(
                f"{self._files.path}: {self._most_threads} threads have been using this store for {self._timeout} s; "
                "use fewer threads, or increase pool_size or max_overflow"
            )
        try:
            self._files.catch_up()
            newest = 0 if self._files.database.read_only else self._files.journal.newest
            # Other processes may use the file between two folds; what they fold need not be folded here.
            while newest:
                with self._files.lease.work(deadline, reusable=reusable) as cursor:
                    if not self._files.journal.has_up_to(newest) or self._fold(cursor) >= newest:
                        yield cursor
                        return
            with self._files.lease.work(deadline, reusable=reusable) as cursor:
                yield cursor
        finally:
            slots.release()

    def drop_cache(self) -> None:
        """Frees what DuckDB has cached of the file, if it is much and no thread is at work in the file or keeps it."""
        self._files.lease.drop_cache()

    @contextmanager
    def transaction(self, *, once: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002 - see Access
        """A cursor inside a transaction: committed at the end, rolled back if the work raises."""
        self.refuse_read_only()
        with self.cursor() as cursor:
            self._files.journal.sync()
            with self._change(cursor, folded=0):
                yield cursor

    def hold(self) -> AbstractContextManager[None]:
        """Keeps the file open over a run of calls; other processes wait meanwhile."""
        return self._files.lease.keep(time.monotonic() + self._timeout)

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """The lease of the file itself: everything that was added is in it, and no process has it open."""
        with self.cursor():
            pass
        with self._files.lease.alone(time.monotonic() + self._timeout):
            yield self._files.path

    def migrate(self, to: int) -> None:
        """Goes to a schema version; the next call brings the store up again."""
        self.refuse_read_only()
        try:
            with self.cursor() as cursor, self._files.changing:
                schema.migrate(cursor, to)
                if to < schema.SCHEMA_VERSION:
                    # An older package does not count changes: the store is accepted as it is when it is opened again.
                    self._files.journal.confirm(ExpectedCounts(None, 0, 0), folded=0)
        finally:
            # Also where a step failed, and those before it are done.
            self.close_file()

    def problems(self) -> list[str]:
        """What is wrong with the journal and with the counts; the rows are not checked."""
        found = []
        if not self.read_only and (said := self._files.journal.check()):
            found.append(f"{self._files.journal.path}: {said}")
        with self.cursor() as cursor:
            n_traces = cursor.execute("select count(*) from traces").fetchall()[0][0]
            if n_traces != self.n_traces:
                found.append(f"the file has {n_traces:,} traces, but {self.n_traces:,} were counted")
        return found

    def close(self) -> None:
        """Folds the journal, and releases the file."""
        with self.cursor():
            pass
        self.close_file()

    def close_file(self) -> None:
        """Releases the file."""
        with self._files.lease.closed():
            self._files.journal.close()

    def refuse_read_only(self) -> None:
        """Raises StoreReadOnly where the store was opened for reading only."""
        if self.read_only:
            raise StoreReadOnly(f"{self._files.path}: is open with read_only=True; open it without, to change it")

    def check_writable(self) -> None:
        """Raises what an `add` would raise now: StoreReadOnly, StoreUnusable, StoreFull or StoreBusy."""
        self.refuse_read_only()
        self._files.journal.sync()

    def _make_slots(self) -> None:
        # A forked child has none of the threads that had taken slots in its parent.
        self._slots = threading.BoundedSemaphore(self._most_threads)
        self._process = os.getpid()

    def _fold(self, cursor: duckdb.DuckDBPyConnection) -> int:
        """Moves the oldest rows of the journal into the file, and returns the number of the last one.

        The journal forgets them only when they are committed. A process that dies in between leaves rows that are in
        both, which the next fold finds by their ids.
        """
        with self._files.changing:
            folded, rows = self._foldable(ROW_GROUP_ROWS)
            while rows:
                try:
                    with self._change(cursor, folded=folded):
                        ids = [UUID(bytes=row.id) for row in rows]
                        found = cursor.execute(_THERE, [min(ids), max(ids), ids]).fetchall()
                        there = {stored.bytes for (stored,) in found}
                        insert(cursor, to_table([row for row in rows if row.id not in there]))
                except duckdb.OutOfMemoryException:
                    # Lists of numbers take many times their bytes.
                    if len(rows) == 1:
                        raise
                    folded, rows = self._foldable(len(rows) // 2)
                else:
                    break
            return folded

    def _foldable(self, most_rows: int) -> tuple[int, list[NewRow]]:
        """The oldest rows of the journal that are folded at once, and the number of the last one."""
        folded, rows = self._files.journal.after(0, most_rows, _FOLD_BYTES)
        n_bytes = sum(len(row.json) for row in rows)
        if n_bytes > LARGE_ROWS_BYTES and n_bytes > LARGE_ROW_BYTES * len(rows):
            return self._files.journal.after(0, most_rows, LARGE_ROWS_BYTES)
        return folded, rows

    @contextmanager
    def _change(self, cursor: duckdb.DuckDBPyConnection, *, folded: int) -> Iterator[None]:
        with self._files.changing:
            cursor.begin()
            try:
                yield
                counts, merge = next_counts(cursor)
                # The commit would make its log at the path, which may be that of a new file by now.
                self._refuse_replaced()
                cursor.commit()
            except BaseException:
                # DuckDB has rolled back by itself where the commit failed.
                with suppress(duckdb.Error):
                    cursor.rollback()
                raise
            self._files.database.note_log()
            self._refuse_replaced()
            self._files.counts = counts
            self._files.database.merge_next |= merge
            self._files.journal.confirm(counts, folded=folded)

    def _refuse_replaced(self) -> None:
        if not self._files.database.is_current():
            raise StoreDamaged(
                f"{self._files.path}: was deleted, moved or replaced while this call wrote to it, so nothing of this "
                "call is stored; traces that were added before are still in the journal. Try again"
            )
