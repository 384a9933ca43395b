"""Bulk loading: files are read, rows validated, and new traces stored, chunk by chunk, in bounded memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

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
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import Line, insert
from tunix_rt.store.ingest.chunk import CHUNK_SCORE_ROWS, Chunk, Encoded
from tunix_rt.store.ingest.dedup import Duplicates, MovedIds
from tunix_rt.store.ingest.encoding import EncodedScore, all_encoded, checked_meta
from tunix_rt.store.ingest.homes import find_homes, times_of
from tunix_rt.store.ingest.load_report import KEPT_SAMPLES, LoadReport
from tunix_rt.store.progress_bar import Advance, Progress, show_progress
from tunix_rt.store.scores.facts import insert_carried
from tunix_rt.validation import short
from tunix_rt.workers import Workers, usable_workers

_ROWS_PER_TICK = 256

Known = Literal["skip", "add"]
Split = Literal["turn"]


def load(
    session: Access,
    source: Any,
    insisted: Format | None,
    *,
    known: Known,
    progress: Progress,
    encoding: str | None,
    split: Split | None,
    meta: Mapping[str, Any] | None,
) -> LoadReport:
    """Loads the source; see `TraceStore.load`."""
    session.refuse_read_only()
    if not (isinstance(known, str) and known in ("skip", "add")):
        raise QueryInvalid(f'known={short(known)}: must be "skip" (stored traces are not added again) or "add"')
    insisted = split_format(insisted, split)
    encoding = checked_encoding(encoding)
    trace_max_bytes = session.settings.trace_max_bytes
    of_each = checked_meta(meta, trace_max_bytes)
    name, sources, passed_over, unreadable = sources_in(source, _listing(progress), encoding)
    unit = "rows" if sources and isinstance(sources[0], SourceRows) else "B"
    if encoding and unit == "rows":
        raise QueryInvalid(f"encoding={short(encoding)}: only files and bytes have an encoding; leave it out")
    report = LoadReport(name)
    report.passed_over = passed_over
    for rejection in unreadable:
        report.reject(rejection)
    duplicates = Duplicates(session.path) if known == "skip" else None
    moved = MovedIds(session.path)
    n_workers = usable_workers(session.settings.workers)
    total = sum(size_of(one) if isinstance(one, Path) else one.size for one in sources)
    with (
        noting(report),
        closing(moved),
        closing(duplicates) if duplicates else nullcontext(),
        ThreadPoolExecutor(1, thread_name_prefix="tunix_rt-storing") as thread,
        show_progress(progress, total, "loading", unit=unit) as advance,
        Workers(n_workers) if n_workers else nullcontext() as workers,
    ):
        loading = Loading(session, report, duplicates=duplicates, moved=moved, thread=thread)
        ready = partial(all_encoded, trace_max_bytes=trace_max_bytes, workers=workers, meta=of_each)
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
    ready: Callable[[Reading], Iterator[Encoded | Chunk | EncodedScore | Rejection]],
    by_turn: bool,
) -> Iterator[Encoded | Chunk | EncodedScore | Rejection]:
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
                    if index % _ROWS_PER_TICK == 0 or isinstance(found, Chunk):
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

    `duplicates` finds those that are already stored; without it all are added. `moved` remembers which rows are stored
    under another id than they brought, for scores in rows of their own. With a `thread`, a full chunk is stored there
    while the next one is gathered: DuckDB and Python need about as much time for a row.
    """

    def __init__(
        self,
        session: Access,
        report: LoadReport,
        *,
        duplicates: Duplicates | None,
        moved: MovedIds,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self._session = session
        self.report = report
        self._duplicates = duplicates
        self._moved = moved
        self._chunk = Chunk()
        self._scores: list[EncodedScore] = []
        self._thread = thread
        # The chunk that is being stored: it may reject rows, and counts in the report.
        self._storing: Future[None] | None = None

    def take(self, found: Encoded | Chunk | EncodedScore | Rejection) -> None:
        """Counts a rejection, gathers traces or a score, and stores the chunk when it is full."""
        if isinstance(found, Rejection):
            # After those of the chunk before, as they are in the source.
            self._wait()
            self.report.reject(found)
        elif isinstance(found, EncodedScore):
            self._scores.append(found)
            if len(self._scores) >= CHUNK_SCORE_ROWS:
                self.store()
        elif isinstance(found, Chunk):
            self._take_together(found)
        else:
            self.report.sample(found.line)
            self._chunk.add(found)
            if self._chunk.is_full():
                self._store_chunk()

    def _take_together(self, found: Chunk) -> None:
        for body, meta in zip(found.bodies[:KEPT_SAMPLES], found.metas, strict=False):
            self.report.sample(Line(body, meta))
        # About a megabyte of large rows at a time.
        most = max(1, len(found) * 2**20 // found.n_bytes) if found.has_large_rows else len(found)
        start = 0
        while start < len(found):
            stop = min(len(found), start + min(most, self._chunk.room))
            self._chunk.extend(found.slice(start, stop))
            start = stop
            if self._chunk.is_full():
                self._store_chunk()

    def store(self) -> None:
        """Stores the new traces of the chunk, and the new scores; all that was taken is stored afterwards."""
        self._store_chunk()
        self._wait()
        scores, self._scores = self._scores, []
        if scores:
            self._store_scores(scores)

    def _store_chunk(self) -> None:
        """Begins to store the chunk; without a thread, stores it."""
        self._wait()
        chunk, self._chunk = self._chunk, Chunk()
        if len(chunk) and self._thread:
            # In the context of this thread: an interrupt of its task ends both.
            self._storing = self._thread.submit(copy_context().run, self._complete_and_store, chunk)
        elif len(chunk):
            self._complete_and_store(chunk)

    def _wait(self) -> None:
        """Until no chunk is being stored; raises what went wrong."""
        storing, self._storing = self._storing, None
        if storing:
            storing.result()

    def _complete_and_store(self, chunk: Chunk) -> None:
        chunk.complete(self._duplicates)
        self._store(chunk)
        # Nothing of it is read again, and in a load of 800 MB DuckDB's cache of it was a third of all memory.
        self._session.drop_cache()

    def _store(self, chunk: Chunk) -> None:
        try:
            self._store_at_once(chunk)
        except MemoryLimitReached:
            # Lists of numbers take many times their bytes.
            if len(chunk) == 1:
                raise
            middle = len(chunk) // 2
            for half in (chunk.slice(0, middle), chunk.slice(middle, len(chunk))):
                self._store(half)

    def _store_at_once(self, chunk: Chunk) -> None:
        with self._session.transaction() as cursor:
            homes = find_homes(cursor, chunk, adds_all=self._duplicates is None)
            table = chunk.table()
            if gone := homes.stored | homes.taken:
                table = table.filter([index not in gone for index in range(len(table))])
            insert(cursor, table)
            n_scores = insert_carried(
                cursor,
                (
                    (*home, score)
                    for index, of_row in chunk.scores.items()
                    if (home := homes.of(index, chunk)) is not None
                    for score in of_row
                ),
            )
        for index, reason in homes.rejected.items():
            self.report.reject(chunk.given[index].row.rejection(TraceInvalid(reason)))
        self.report.count_added(table["id"])
        self.report.already_stored += len(chunk) - len(table) - len(homes.rejected)
        self.report.scores_added += n_scores
        self._moved.note(
            (given.id, home and home[0])
            for index, given in chunk.given.items()
            if given.id is not None and ((home := homes.of(index, chunk)) is None or home[0] != given.id)
        )

    def _store_scores(self, rows: list[EncodedScore]) -> None:
        try:
            self._store_scores_at_once(rows)
        except MemoryLimitReached:
            if len(rows) == 1:
                raise
            self._store_scores(rows[: len(rows) // 2])
            self._store_scores(rows[len(rows) // 2 :])

    def _store_scores_at_once(self, rows: list[EncodedScore]) -> None:
        ids = list({row.trace_id for row in rows})
        moved = self._moved.among(ids)
        with self._session.transaction() as cursor:
            times = times_of(cursor, [home for one in ids if (home := moved.get(one, one)) is not None])
            homes = {one: (home, times[home]) for one in ids if (home := moved.get(one, one)) in times and home}
            known = ((*homes[row.trace_id], row.score) for row in rows if row.trace_id in homes)
            self.report.scores_added += insert_carried(cursor, known)
        for row in rows if len(homes) < len(ids) else ():
            if row.trace_id not in homes:
                trace_id = UUID(bytes=row.trace_id)
                problem = (
                    Problem("trace_id", f"{trace_id} is the id of a row that was rejected")
                    if row.trace_id in moved
                    else Problem("trace_id", f"{trace_id} is no trace of the store; load the trace first")
                )
                self.report.reject(row.row.rejection(TraceInvalid(problem)))
