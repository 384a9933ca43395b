"""A lake's tables as the calls of a store use them: what waits is committed before a read, which is fresh."""

import atexit
import ctypes
import logging
import os
import random
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import cast
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt.errors import MemoryLimitReached, StoreBusy, StoreReadOnly, TunixRTError
from tunix_rt.lake.kinds import SCORES, TRACES
from tunix_rt.lake.location import LakeLocation, is_forked
from tunix_rt.lake.ranges import with_tables
from tunix_rt.lake.table import DataFile, LakeTable
from tunix_rt.lake.views import AS_WRITTEN, LakeCursor, Planner, write_empty
from tunix_rt.lake.waiting import FLUSH_SECONDS, Waiting
from tunix_rt.settings import Settings
from tunix_rt.store.engine.access import Spread
from tunix_rt.store.engine.database import started
from tunix_rt.store.engine.forks import around_forks
from tunix_rt.store.engine.rows import BETWEEN, NewRow, insert, to_table
from tunix_rt.store.engine.spill import spill_folder
from tunix_rt.store.engine.statement import interruptible
from tunix_rt.store.engine.time_index import ROWS_PER_SAMPLE, GivenIndex, TimeIndex

log = logging.getLogger("tunix_rt")
_MOST_SPARE_CURSORS = 8
# The number that all count up who append what others may append, too.
_ONCE = "tunix_rt.once"
_NOT_THERE = {
    TRACES.name: f"select * from added where id::uuid not in (select id from traces where {BETWEEN})",  # noqa: S608
    # What one person has said twice is told apart by its time.
    SCORES.name: f"""
        select * from added
        where not exists (
            select 1 from (select * from scores where {BETWEEN}) as old
            where old.trace_id = added.trace_id::uuid and old.scorer = added.scorer
            and old.version = added.version and old.params = added.params
            and old.step is not distinct from added.step and old.sample = added.sample
            and (not starts_with(old.scorer, 'label:') or old.scored_at = added.scored_at)
        )
    """,  # noqa: S608
}
# In the log of the traces, beside a deletion: the version of the scores before it.
SCORES_BEFORE = "tunix_rt.scores_before"


class LakeSession:
    """The way to a lake; any thread may use it.

    | state | changed by |
    |---|---|
    | the tables' versions | any thread; a read goes to the newest before it begins |
    | `_spare` | any thread |
    | commits | the thread that has `_committing` |
    """

    # What scans in other processes; None where this one does.
    spread: Spread | None = None

    def __init__(self, location: LakeLocation, settings: Settings, *, as_of: int | datetime | None) -> None:
        self.settings = settings
        self.location = location
        self.read_only = as_of is not None
        self.traces = LakeTable(location, TRACES, as_of=as_of)
        of_scores = self._version_of_scores() if isinstance(as_of, int) else as_of
        self.scores = LakeTable(location, SCORES, as_of=of_scores)
        self.waiting = None if self.read_only else Waiting(location, settings)
        self._folder = Path(tempfile.mkdtemp(prefix="tunix_rt-lake-"))
        weakref.finalize(self, _remove, self._folder, os.getpid())
        self._planner = Planner()
        self._committing = threading.RLock()
        self._spare: list[LakeCursor] = []
        self._slots = threading.BoundedSemaphore(settings.pool_size + settings.max_overflow)
        self._index: tuple[int, TimeIndex] | None = None
        self._samples: dict[str, list[int]] = {}
        # Batches of loads and scorers have a writer of their own, with numbers of its own.
        self._writer, self._number = str(uuid4()), 0
        self._timer: threading.Timer | None = None
        limits = {"memory_limit": f"{settings.memory_limit // 1_000}KB", "temp_directory": str(spill_folder(self.path))}
        self._duckdb = started(limits)
        self._duckdb.execute("set parquet_metadata_cache = true")
        with_tables(self._duckdb)
        self._duckdb.execute("set global lock_configuration = true")
        around_forks(self)
        if not self.read_only:
            _flush_at_exit(weakref.ref(self))

    @property
    def path(self) -> Path:
        """A path of this machine, for what the calls put beside a store."""
        return self._folder / "lake.duckdb"

    @property
    def n_traces(self) -> int:
        """How many traces there were when they were last read."""
        return self.traces.n_rows

    def refuse_read_only(self) -> None:
        """Raises StoreReadOnly where the lake is an older version of itself."""
        if self.read_only:
            raise StoreReadOnly(f"{self.location.target}: is open as_of an older version, which cannot be changed")

    def check_writable(self) -> None:
        """Raises what an `add` would raise now."""
        self.refuse_read_only()

    def add(self, rows: Sequence[NewRow]) -> None:
        """Stores the rows in the journal, all or none; they are committed with others."""
        self.refuse_read_only()
        if self.waiting is not None and self.waiting.add(rows):
            self._flush_later(0)
        else:
            self._flush_later(FLUSH_SECONDS)

    def flush(self) -> None:
        """Commits what waits in the journal, each row once, whichever process does it."""
        waiting = self.waiting
        # Before any lock: a thread that only the parent has may have held it.
        self.location.refuse_forked()
        if waiting is None:
            return
        with self._committing:
            while waiting.newest:
                committed = self.traces.committed(waiting.id) or 0
                number, rows = waiting.after(committed)
                if rows:
                    before = committed or None
                    self.traces.append(self._written(rows), app=waiting.id, number=number, before=before)
                    committed = self.traces.committed(waiting.id) or 0
                waiting.forget(committed)

    @contextmanager
    def cursor(self, *, reusable: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one piece of work, in which everything that was committed before, or added here, is there."""
        self.flush()
        self.traces.refresh()
        self.scores.refresh()
        with self._slot(), self._explained():
            cursor = self._taken() if reusable else None
            cursor = cursor or self._made(adds=False)
            try:
                yield cast("duckdb.DuckDBPyConnection", cursor)
                if reusable and len(self._spare) < _MOST_SPARE_CURSORS:
                    self._spare.append(cursor)
                    return
            except BaseException:
                cursor.close()
                raise
            cursor.close()

    @contextmanager
    def transaction(self, *, once: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor whose additions are committed at the end, traces before scores, and not if the work raises.

        With `once`, what others have committed meanwhile, under the same ids or keys, is left out, and the cursor's
        `left_out` says how many rows.
        """
        self.refuse_read_only()
        self.location.refuse_forked()
        # One at a time in this process: each sees what the others have committed.
        with self._committing:
            self.flush()
            self.traces.refresh()
            self.scores.refresh()
            seen = {table.kind.name: table.version for table in (self.traces, self.scores)}
            with self._slot(), self._explained():
                cursor = self._made(adds=True)
                try:
                    cursor.begin()
                    yield cast("duckdb.DuckDBPyConnection", cursor)
                    added = {name: cursor.sql(query).to_arrow_table() for name, query in AS_WRITTEN.items()}
                finally:
                    with suppress(duckdb.Error):
                        cursor.rollback()
                    cursor.close()
            for table in (self.traces, self.scores):
                rows = added[table.kind.name]
                if once:
                    cursor.left_out += len(rows) - self._append_once(table, rows, seen[table.kind.name])
                    continue
                self._number += 1
                table.append(rows, app=self._writer, number=self._number)

    def _append_once(self, table: LakeTable, rows: pa.Table, version: int) -> int:
        """Commits those of the rows that nobody has committed since a version, and returns how many.

        All who append so, on any machine, count up one number, so that Delta refuses a commit that did not see the one
        before. The steps are random: no two writers try the same number, and each knows its own commit.
        """
        while len(rows):
            before = table.committed(_ONCE) or 0
            if table.version != version:
                rows, version = self._not_there(table, rows), table.version
            if table.append(rows, app=_ONCE, number=before + random.randint(1, 2**30), before=before or -1):  # noqa: S311
                break
        return len(rows)

    def _not_there(self, table: LakeTable, rows: pa.Table) -> pa.Table:
        """Those of the rows whose ids, or keys, the table does not have."""
        times = pc.min_max(rows["created_at"].cast(pa.int64())).as_py()
        with self._slot(), self._explained(), closing(self._made(adds=False)) as cursor:
            cursor.register("added", rows)
            return cursor.sql(_NOT_THERE[table.kind.name], params=[times["min"], times["max"]]).to_arrow_table()

    def time_index(self, cursor: duckdb.DuckDBPyConnection) -> TimeIndex:  # noqa: ARG002 - of a store's file
        """Where in time the rows are, by the statistics of the files: as if each spread evenly over its range."""
        version = self.traces.version
        if self._index is None or self._index[0] != version:
            # Those of the files that were there before are kept: of 10,000,000 traces they are 300,000.
            known = self._samples
            self._samples = {file.path: known.get(file.path) or _spread(file) for file in self.traces.files()}
            samples = sorted(chain.from_iterable(self._samples.values()))
            self._index = version, GivenIndex(samples, self.traces.n_rows)
        return self._index[1]

    def drop_cache(self) -> None:
        """Does nothing: there is no attached file."""

    @property
    def has_added(self) -> bool:
        """Whether traces were added here since it was opened or closed: they may wait."""
        return self._timer is not None

    def close(self) -> None:
        """Commits what waits; in a forked child, others do."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if not is_forked():
            self.flush()
        if self.waiting is not None:
            self.waiting.close()

    def stop(self) -> None:
        """Closes the journal, and keeps every thread out of it, for a fork."""
        if self.waiting is not None:
            self.waiting.stop()

    def resume(self) -> None:
        """Lets the threads in again."""
        if self.waiting is not None:
            self.waiting.resume()

    def begin_anew(self) -> None:
        """In a forked child: it adds to the journal, which others commit."""
        # Closing it would end threads that are not there, and so the process.
        for running in (self._duckdb, self._planner.running):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(running))
        self._timer = None
        if self.waiting is not None:
            self.waiting.begin_anew()

    def _version_of_scores(self) -> int | datetime:
        """A version is that of the traces: the scores are as they were before the next one."""
        following = self.traces.next_commit
        if following is None:
            # The newest has all that there are, whatever the clock of this machine says.
            return datetime.now(UTC) + timedelta(days=1)
        if SCORES_BEFORE in following:
            return int(following[SCORES_BEFORE])
        return datetime.fromtimestamp(following["timestamp"] / 1_000, UTC) - timedelta(milliseconds=1)

    def _written(self, rows: Sequence[NewRow]) -> pa.Table:
        """The rows of the journal as the files have them; DuckDB parses them, as it does for a store."""
        cursor = self._duckdb.cursor()
        try:
            cursor.execute("use store")
            cursor.begin()
            insert(cursor, to_table(rows))
            return cursor.sql(AS_WRITTEN[TRACES.name]).to_arrow_table()
        finally:
            with suppress(duckdb.Error):
                cursor.rollback()
            cursor.close()

    def _flush_later(self, seconds: float) -> None:
        if self._timer is not None and self._timer.is_alive() and seconds:
            return
        timer = threading.Timer(seconds, _flush_quietly, [weakref.ref(self)])
        timer.daemon = True
        self._timer = timer
        timer.start()

    def _taken(self) -> LakeCursor | None:
        # Another thread may take the last one meanwhile.
        with suppress(IndexError):
            return self._spare.pop()
        return None

    def _made(self, *, adds: bool) -> LakeCursor:
        cursor = self._duckdb.cursor()
        cursor.execute("use store")
        return LakeCursor(cursor, (self.traces, self.scores), self._planner, empty=self._empty, adds=adds)

    def _empty(self, name: str) -> Path:
        return write_empty(self._folder / f"{name}.parquet", name)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self.settings.pool_timeout):
            raise StoreBusy(
                f"{self.location.target}: too many threads have been using this lake; use fewer, or increase pool_size"
            )
        try:
            yield
        finally:
            self._slots.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with self.location.explained(), interruptible():
                yield
        except duckdb.OutOfMemoryException:
            raise MemoryLimitReached(
                f"{self.location.target}: this needs more than the {self.settings.memory_limit // 10**6:,} MB of "
                "memory that the store may use; nothing was changed. Increase memory_limit (TUNIX_RT_MEMORY_LIMIT), or "
                "select less at once"
            ) from None
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            # From object storage Arrow reads, and DuckDB says so of its errors.
            if isinstance(error, duckdb.InvalidInputException) and "registered as 'lake_" not in str(error):
                raise
            raise self.location.fault(str(error)) from None


def _spread(file: DataFile) -> list[int]:
    n = max(1, file.n_rows // ROWS_PER_SAMPLE)
    step = (file.until - file.since) / n
    return [file.since + int(step * at) for at in range(n)]


def _flush_quietly(session: weakref.ref[LakeSession]) -> None:
    found = session()
    # At exit a lake that is closed, or was only read, may be gone, as a temporary folder is.
    if found is None or not found.has_added or is_forked():
        return
    try:
        found.flush()
    except TunixRTError as error:
        # The rows are safe; the next read or add tries again, and says what is wrong.
        log.warning("the traces that wait for %s were not committed: %s", found.location.target, error)


def _flush_at_exit(session: weakref.ref[LakeSession]) -> None:
    atexit.register(_flush_quietly, session)


def _remove(folder: Path, process: int) -> None:
    # A forked child has the session too, and its end is not the parent's.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
