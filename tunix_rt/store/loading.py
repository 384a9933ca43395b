"""Bulk loading: files read, rows validated, and what is new stored, chunk by chunk, so that memory stays bounded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import duckdb
import pyarrow as pa
from tqdm.auto import tqdm

from tunix_rt.errors import Problem, QueryInvalid, SourceInvalid, TraceInvalid
from tunix_rt.formats import (
    Draft,
    Format,
    MappedFormat,
    Reading,
    Rejection,
    Row,
    Source,
    SourceRows,
    format_named,
    rejected_whole,
    sources_in,
)
from tunix_rt.formats.encodings import checked_encoding
from tunix_rt.paths import size_of
from tunix_rt.store.clock import new_ids, new_times
from tunix_rt.store.copies import Copies
from tunix_rt.store.report import LoadReport
from tunix_rt.store.rows import columns, encode, insert, to_microseconds, uuids
from tunix_rt.store.session import Session

# A transaction of so many rows is written in half a second, well within what anyone else should wait. It fills a row
# group of the store's file, so that DuckDB need not write the rows again with the next ones: that took as long again.
CHUNK_ROWS = 20_480
# Large traces fill a chunk by their size; several copies of it are in memory while it is written.
CHUNK_BYTES = 64 * 2**20
# A bar for what is over in a moment only flickers.
_PROGRESS_AFTER_SECONDS = 1.0
_ROWS_PER_TICK = 256

Known = Literal["skip", "add"]
Progress = bool | Callable[[int, int], object]


def load(
    session: Session, source: Any, insisted: Format | None, *, known: Known, progress: Progress, encoding: str | None
) -> LoadReport:
    """Loads what `source` names or holds; see `TraceStore.load`."""
    session.refuse_read_only()
    if known not in ("skip", "add"):
        raise QueryInvalid(f'known={known!r}: must be "skip" (what is there is not added again) or "add"')
    encoding = checked_encoding(encoding)
    name, sources, passed_over, unreadable = sources_in(source, _listing(progress), encoding)
    unit = "rows" if sources and isinstance(sources[0], SourceRows) else "B"
    if encoding and unit == "rows":
        raise QueryInvalid(f"encoding={encoding!r}: only files and bytes have an encoding; leave it out")
    report = LoadReport(name)
    report.passed_over = passed_over
    for rejection in unreadable:
        report.reject(rejection)
    copies = Copies() if known == "skip" else None
    loading = Loading(session, report, copies=copies)
    total = sum(size_of(one) if isinstance(one, Path) else one.size for one in sources)
    with loading.noting(), _telling(progress, total, unit) as tell:
        for found in _everything_in(sources, insisted, report, tell, encoding):
            loading.take(found)
        loading.store()
        tell(total or tell.done)
    return report


def _listing(progress: Progress) -> Callable[[], object]:
    """What is called for each name of a folder: nothing is known yet, but the load can be stopped."""
    names = count(1)

    def listed() -> None:
        if callable(progress) and next(names) % _ROWS_PER_TICK == 0:
            progress(0, 0)

    return listed


def insisted_format(format: str | None, mapping: Mapping[str, str] | None) -> Format | None:
    """The format that is not to be told by the content: the one with this name, or one made of a mapping."""
    if mapping is None:
        return format_named(format)
    if format is not None:
        raise QueryInvalid(f"format={format!r} and mapping=…: give one of the two; a mapping is a format of its own")
    return MappedFormat(mapping)


class _Teller:
    """Tells how far the load is, in bytes or rows: the caller's own function, or a bar; `done` was told last."""

    def __init__(self, show: Callable[[int], object]) -> None:
        self._show = show
        self.done = 0

    def __call__(self, done: int) -> None:
        # A file that is read from its end, as Parquet is, goes back and forth.
        self.done = max(self.done, done)
        self._show(self.done)


@contextmanager
def _telling(progress: Progress, total: int, unit: str) -> Iterator[_Teller]:
    if callable(progress):
        yield _Teller(lambda done: progress(done, total))
        return
    # None: no bar where standard error is no terminal, as in a training job's log.
    with tqdm(
        total=total or None,
        desc="loading",
        unit=unit,
        unit_scale=True,
        leave=False,
        delay=_PROGRESS_AFTER_SECONDS,
        disable=None if progress else True,
    ) as bar:
        yield _Teller(lambda done: bar.update(done - bar.n))


def _everything_in(
    sources: Sequence[Path | Source], format: Format | None, report: LoadReport, tell: _Teller, encoding: str | None
) -> Iterator[Draft | Rejection]:
    for source in sources:
        done = tell.done
        try:
            reading = Reading(source, format=format, check=partial(_tell_from, tell, done), encoding=encoding)
        except SourceInvalid as error:
            if len(sources) == 1:
                raise
            # One file of a folder that is something else, or has just vanished, does not stop the others.
            report.reject(rejected_whole(source if isinstance(source, Path) else source.path, error))
            continue
        with reading:
            report.begin(reading.format.name)
            for place, found in enumerate(reading):
                yield found
                if place % _ROWS_PER_TICK == 0:
                    tell(done + reading.position)
            tell(done + (reading.size or reading.position))


def _tell_from(tell: _Teller, done: int, position: int) -> None:
    tell(done + position)


class _Given(NamedTuple):
    """What a row brought along: its id, its time, or both."""

    row: Row
    id: UUID | None
    created_at: datetime | None


class _Chunk:
    """Rows that are stored in one transaction, column by column: an object for each would cost more than what it holds.

    `given` has, by place, the rows that brought an id or a time; the others get theirs when the chunk is stored.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.digests: list[bytes] = []
        self.given: dict[int, _Given] = {}
        self.n_bytes = 0

    def times_and_ids(self) -> tuple[list[int], list[bytes]]:
        """The time of each row in microseconds, and the 16 bytes of its id."""
        times = list(new_times(len(self.lines)))
        for place, given in self.given.items():
            if given.created_at is not None:
                times[place] = to_microseconds(given.created_at)
        ids = new_ids(times)
        for place, given in self.given.items():
            if given.id is not None:
                ids[place] = given.id.bytes
        return times, ids


class Loading:
    """Drafts gathered to chunks and stored; counts into the report what was committed.

    `copies` tell which of them the store holds already; without them all are added.
    """

    def __init__(self, session: Session, report: LoadReport, *, copies: Copies | None) -> None:
        self._session = session
        self.report = report
        self._trace_max_bytes = session.settings.trace_max_bytes
        self._copies = copies
        self._chunk = _Chunk()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Whatever ends the load early carries a note of what was committed before."""
        try:
            yield
        except BaseException as error:
            # An interrupt, `progress` that raises, a full disk, a busy store: what was committed stays, and is said.
            error.add_note(f"{self.report!r} before this; loading the same again adds only what is missing")
            raise

    def take(self, found: Draft | Rejection) -> None:
        """Counts a rejection, gathers a draft, and stores the chunk when it is full."""
        if isinstance(found, Rejection):
            self.report.reject(found)
            return
        try:
            line, digest = encode(found.trace, self._trace_max_bytes)
        except TraceInvalid as error:
            self.report.reject(found.row.rejection(error))
            return
        self.report.sample(found.trace)
        chunk = self._chunk
        if found.id is not None or found.created_at is not None:
            chunk.given[len(chunk.lines)] = _Given(found.row, found.id, found.created_at)
        chunk.lines.append(line)
        chunk.digests.append(digest)
        chunk.n_bytes += len(line)
        if len(chunk.lines) >= CHUNK_ROWS or chunk.n_bytes >= CHUNK_BYTES:
            self.store()

    def store(self) -> None:
        """Stores what is new of the chunk in one transaction."""
        if not self._chunk.lines:
            return
        chunk, self._chunk = self._chunk, _Chunk()
        times, ids = chunk.times_and_ids()
        digests = uuids(chunk.digests)
        with self._session.transaction() as cursor:
            known = self._copies.known(cursor, digests) if self._copies else set()
            taken, rejected = self._taken_ids(cursor, chunk, times, ids, known)
            table = columns(ids, times, digests, chunk.lines)
            if gone := known | taken:
                table = table.filter([place not in gone for place in range(len(table))])
            insert(cursor, table)
        for rejection in rejected:
            self.report.reject(rejection)
        self.report.count_added(table["id"])
        self.report.known += len(chunk.lines) - len(table) - len(rejected)

    def _taken_ids(
        self, cursor: duckdb.DuckDBPyConnection, chunk: _Chunk, times: list[int], ids: list[bytes], known: set[int]
    ) -> tuple[set[int], list[Rejection]]:
        """The places of rows that cannot be stored under their id: known if it is the same trace there, else rejected.

        Where known traces are to be added again, they get another id instead.
        """
        places = [place for place, given in chunk.given.items() if given.id is not None and place not in known]
        if not places:
            return set(), []
        cursor.register("given", pa.table({"id": uuids([ids[place] for place in places])}))
        digests = {stored.bytes: digest.bytes for stored, digest in cursor.execute(_STORED_UNDER).fetchall()}
        taken: set[int] = set()
        rejected: list[Rejection] = []
        for place in places:
            there = digests.get(ids[place])
            if there is None:
                digests[ids[place]] = chunk.digests[place]
            elif self._copies is None:
                ids[place] = new_ids([times[place]])[0]
            else:
                taken.add(place)
                if there != chunk.digests[place]:
                    given = chunk.given[place]
                    problem = Problem("id", f"{given.id} is the id of another trace in the store")
                    rejected.append(given.row.rejection(TraceInvalid(problem)))
        return taken, rejected


_STORED_UNDER = "select id, digest from traces where id in (select id from given)"
