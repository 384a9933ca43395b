"""Bulk loading: files are read, rows validated, and new traces stored, chunk by chunk, in bounded memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import duckdb
import pyarrow as pa

from tunix_rt.errors import MemoryLimitReached, Problem, QueryInvalid, SourceInvalid, TraceInvalid
from tunix_rt.formats import (
    Format,
    Reading,
    Rejection,
    Source,
    SourceRows,
    format_named,
    mapped_format,
    parts_of,
    rejected_source,
    sources_in,
)
from tunix_rt.formats.containers.encodings import checked_encoding
from tunix_rt.paths import size_of
from tunix_rt.store.engine.clock import new_ids, new_times
from tunix_rt.store.engine.rows import (
    LARGE_ROW_BYTES,
    LARGE_ROWS_BYTES,
    Line,
    columns,
    insert,
    uuids,
)
from tunix_rt.store.engine.session import Session
from tunix_rt.store.ingest.dedup import Duplicates
from tunix_rt.store.ingest.encoding import Encoded, all_encoded
from tunix_rt.store.ingest.load_report import LoadReport
from tunix_rt.store.progress_bar import Advance, Progress, show_progress
from tunix_rt.validation import short
from tunix_rt.workers import Workers, usable_workers

# A transaction of this size is written in half a second, well within the time others may have to wait. It fills a row
# group of the store's file, so that DuckDB need not write the rows again with the next ones: that took as long again.
CHUNK_ROWS = 20_480
# Large traces fill a chunk by their size; several copies of it are in memory while it is written.
CHUNK_BYTES = 64 * 2**20
_ROWS_PER_TICK = 256

Known = Literal["skip", "add"]
Split = Literal["turn"]


def load(
    session: Session,
    source: Any,
    insisted: Format | None,
    *,
    known: Known,
    progress: Progress,
    encoding: str | None,
    split: Split | None,
) -> LoadReport:
    """Loads the source; see `TraceStore.load`."""
    session.refuse_read_only()
    if not (isinstance(known, str) and known in ("skip", "add")):
        raise QueryInvalid(f'known={short(known)}: must be "skip" (stored traces are not added again) or "add"')
    insisted = split_format(insisted, split)
    encoding = checked_encoding(encoding)
    name, sources, passed_over, unreadable = sources_in(source, _listing(progress), encoding)
    unit = "rows" if sources and isinstance(sources[0], SourceRows) else "B"
    if encoding and unit == "rows":
        raise QueryInvalid(f"encoding={short(encoding)}: only files and bytes have an encoding; leave it out")
    report = LoadReport(name)
    report.passed_over = passed_over
    for rejection in unreadable:
        report.reject(rejection)
    duplicates = Duplicates(session.path) if known == "skip" else None
    n_workers = usable_workers(session.settings.workers)
    total = sum(size_of(one) if isinstance(one, Path) else one.size for one in sources)
    with (
        noting(report),
        closing(duplicates) if duplicates else nullcontext(),
        ThreadPoolExecutor(1, thread_name_prefix="tunix_rt-storing") as thread,
        show_progress(progress, total, "loading", unit=unit) as advance,
        Workers(n_workers) if n_workers else nullcontext() as workers,
    ):
        loading = Loading(session, report, duplicates=duplicates, thread=thread)
        ready = partial(all_encoded, trace_max_bytes=session.settings.trace_max_bytes, workers=workers)
        for found in _everything_in(sources, insisted, report, advance, encoding, ready=ready, by_turn=bool(split)):
            loading.take(found)
        loading.store()
        advance(total or advance.done)
    return report


def _listing(progress: Progress) -> Callable[[], object]:
    """A function to call for each name in a folder: nothing is counted yet, but the load can be stopped."""
    names = count(1)

    def listed() -> None:
        if callable(progress) and next(names) % _ROWS_PER_TICK == 0:
            progress(0, 0)

    return listed


def insisted_format(format: str | None, mapping: Mapping[str, Any] | None) -> Format | None:
    """The format that the caller requires: the one with this name, or one made from a mapping; else None."""
    if mapping is None:
        return format_named(format)
    if format is not None:
        raise QueryInvalid(
            f"`format` cannot be combined with `mapping`, which is a format itself; leave out format={short(format)}"
        )
    return mapped_format(mapping)


def split_format(insisted: Format | None, split: Any) -> Format | None:
    """The required format, which gives a trace for each turn of the user if sessions are split.

    Raises QueryInvalid for another `split`, and where the format has no sessions.
    """
    if split not in (None, "turn"):
        raise QueryInvalid(f'split={short(split)}: must be "turn" (a trace for each turn of the user) or left out')
    return insisted.by_turn() if split and insisted else insisted


def _everything_in(
    sources: Sequence[Path | Source],
    format: Format | None,
    report: LoadReport,
    advance: Advance,
    encoding: str | None,
    *,
    ready: Callable[[Reading], Iterator[Encoded | Rejection]],
    by_turn: bool,
) -> Iterator[Encoded | Rejection]:
    for source in sources:
        done = advance.done
        check = partial(_advance_from, advance, done)
        parts = parts_of(source, check, encoding)
        refused: list[tuple[Any, SourceInvalid | QueryInvalid]] = []
        is_read = False
        part: Any = source
        while part is not None:
            try:
                if (part := next(parts, None)) is None:
                    break
                reading = Reading(part, format=format, check=check, by_turn=by_turn)
            except (SourceInvalid, QueryInvalid) as error:
                refused.append((part if isinstance(part, Path) else part.path, error))
                continue
            is_read = True
            with reading:
                report.begin(reading.format.name, reading.mapping)
                unread = reading.help
                for index, found in enumerate(ready(reading)):
                    yield found
                    unread = unread if isinstance(found, Rejection) else None
                    if index % _ROWS_PER_TICK == 0:
                        advance(done + reading.position)
                if unread is not None:
                    report.refuse(str(part if isinstance(part, Path) else part.path), unread, is_claimed=True)
                advance(done + (reading.size or reading.position))
        if refused and len(sources) == 1 and not is_read:
            raise refused[0][1]
        for path, why in refused:
            # A file of another kind, or one that has just vanished, does not stop the others of its folder.
            yield rejected_source(path, why)
            report.refuse(str(path), why)


def _advance_from(advance: Advance, done: int, position: int) -> None:
    advance(done + position)


class _Chunk:
    """Rows that are stored in one transaction, column by column: one object for each row would take too much memory.

    `given` has, by index, the rows that brought an id or a time; the others get theirs when the chunk is complete.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.digests: list[bytes] = []
        self.given: dict[int, Encoded] = {}
        self.n_bytes = 0
        self.times: list[int] = []
        self.ids: list[bytes] = []
        # The number of each row's copy of its trace; None where duplicates are added too.
        self.copy_numbers: pa.Array | None = None

    def is_full(self) -> bool:
        """Whether it should be stored before it gets another row."""
        n_rows = len(self.lines)
        return (
            n_rows >= CHUNK_ROWS
            or self.n_bytes >= CHUNK_BYTES
            or (self.n_bytes >= LARGE_ROWS_BYTES and self.n_bytes > n_rows * LARGE_ROW_BYTES)
        )

    def complete(self, duplicates: Duplicates | None) -> None:
        """Sets the time of each row in microseconds, the 16 bytes of its id, and which copy it is."""
        self.times = list(new_times(len(self.lines)))
        for index, given in self.given.items():
            if given.created_at is not None:
                self.times[index] = given.created_at
        self.ids = new_ids(self.times)
        for index, given in self.given.items():
            if given.id is not None:
                self.ids[index] = given.id
        if duplicates:
            self.copy_numbers = duplicates.number(uuids(self.digests))

    def halves(self) -> Iterator["_Chunk"]:
        """The first and the second half of a complete chunk."""
        middle = len(self.lines) // 2
        for part in (slice(0, middle), slice(middle, len(self.lines))):
            half = _Chunk()
            half.lines, half.digests = self.lines[part], self.digests[part]
            half.times, half.ids = self.times[part], self.ids[part]
            half.given = {i - part.start: given for i, given in self.given.items() if part.start <= i < part.stop}
            half.copy_numbers = None if self.copy_numbers is None else self.copy_numbers[part]
            yield half


@contextmanager
def noting(report: LoadReport) -> Iterator[None]:
    """Adds a note with the counts so far to any error that ends the load early."""
    try:
        yield
    except BaseException as error:
        # An interrupt, `progress` that raises, a full disk, a busy store: what was committed stays.
        error.add_note(f"stopped after {report.counts}; loading the same again adds only the missing traces")
        raise


class Loading:
    """Gathers drafts in chunks and stores them; counts in the report what was committed.

    `duplicates` finds those that are already stored; without it all are added. With a `thread`, a full chunk is stored
    there while the next one is gathered: DuckDB and Python need about as much time for a row.
    """

    def __init__(
        self,
        session: Session,
        report: LoadReport,
        *,
        duplicates: Duplicates | None,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self._session = session
        self.report = report
        self._duplicates = duplicates
        self._thread = thread
        self._chunk = _Chunk()
        # The chunk that is being stored; it may reject rows, and counts in the report.
        self._storing: Future[None] | None = None

    def take(self, found: Encoded | Rejection) -> None:
        """Counts a rejection, gathers a trace, and stores the chunk when it is full."""
        if isinstance(found, Rejection):
            # After those of the chunk before, as they are in the source.
            self._wait()
            self.report.reject(found)
            return
        self.report.sample(found.line)
        chunk = self._chunk
        if found.id is not None or found.created_at is not None:
            chunk.given[len(chunk.lines)] = found
        chunk.lines.append(found.line)
        chunk.digests.append(found.digest)
        chunk.n_bytes += found.line.n_bytes
        if chunk.is_full():
            self._begin_to_store()

    def store(self) -> None:
        """Stores the new traces of the chunk; all that were taken are stored afterwards."""
        self._begin_to_store()
        self._wait()

    def _begin_to_store(self) -> None:
        self._wait()
        chunk, self._chunk = self._chunk, _Chunk()
        if not chunk.lines:
            return
        if self._thread:
            self._storing = self._thread.submit(self._complete_and_store, chunk)
        else:
            self._complete_and_store(chunk)

    def _wait(self) -> None:
        """Until no chunk is being stored; raises what went wrong."""
        storing, self._storing = self._storing, None
        if storing:
            storing.result()

    def _complete_and_store(self, chunk: _Chunk) -> None:
        chunk.complete(self._duplicates)
        self._store(chunk)

    def _store(self, chunk: _Chunk) -> None:
        try:
            self._store_at_once(chunk)
        except MemoryLimitReached:
            # Lists of numbers take many times their bytes.
            if len(chunk.lines) == 1:
                raise
            for half in chunk.halves():
                self._store(half)

    def _store_at_once(self, chunk: _Chunk) -> None:
        digests = uuids(chunk.digests)
        with self._session.transaction() as cursor:
            stored = (
                set() if chunk.copy_numbers is None else Duplicates.already_stored(cursor, digests, chunk.copy_numbers)
            )
            taken, rejected = self._taken_ids(cursor, chunk, stored)
            table = columns(chunk.ids, chunk.times, digests, chunk.lines)
            if gone := stored | taken:
                table = table.filter([index not in gone for index in range(len(table))])
            insert(cursor, table)
        for rejection in rejected:
            self.report.reject(rejection)
        self.report.count_added(table["id"])
        self.report.already_stored += len(chunk.lines) - len(table) - len(rejected)

    def _taken_ids(
        self, cursor: duckdb.DuckDBPyConnection, chunk: _Chunk, stored: set[int]
    ) -> tuple[set[int], list[Rejection]]:
        """The indices of rows whose id is taken: by the same trace, or by another, so that the row is rejected.

        Where duplicates are added too, such rows get another id instead.
        """
        indices = [index for index, given in chunk.given.items() if given.id is not None and index not in stored]
        if not indices:
            return set(), []
        ids = chunk.ids
        cursor.register("given", pa.table({"id": uuids([ids[index] for index in indices])}))
        digests = {trace_id.bytes: digest.bytes for trace_id, digest in cursor.execute(_STORED_UNDER).fetchall()}
        taken: set[int] = set()
        rejected: list[Rejection] = []
        for index in indices:
            there = digests.get(ids[index])
            if there is None:
                digests[ids[index]] = chunk.digests[index]
            elif self._duplicates is None:
                ids[index] = new_ids([chunk.times[index]])[0]
            else:
                taken.add(index)
                if there != chunk.digests[index]:
                    given = chunk.given[index]
                    problem = Problem("id", f"{UUID(bytes=ids[index])} is the id of another trace in the store")
                    rejected.append(given.row.rejection(TraceInvalid(problem)))
        return taken, rejected


_STORED_UNDER = "select id, digest from traces where id in (select id from given)"
