"""Bulk loading: files read, rows validated, and what is new stored, chunk by chunk, so that memory stays bounded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import duckdb
import pyarrow as pa
from tqdm.auto import tqdm

from tunix_rt import render
from tunix_rt.errors import Problem, QueryInvalid, SourceInvalid, TraceInvalid
from tunix_rt.formats import Draft, Reading, Rejection, Row, files_at
from tunix_rt.store.clock import new_ids, new_times
from tunix_rt.store.rows import columns, encode, insert, to_microseconds, uuids
from tunix_rt.store.session import Session

# A transaction of so many rows is written in half a second, well within what anyone else should wait. It fills a row
# group of the store's file, so that DuckDB need not write the rows again with the next ones: that took as long again.
CHUNK_ROWS = 20_480
# Large traces fill a chunk by their size; several copies of it are in memory while it is written.
CHUNK_BYTES = 64 * 2**20
# A file of the wrong kind can be rejected row by row; more of them than anyone reads would only fill the memory.
KEPT_REJECTIONS = 1_000
KEPT_IDS = 1_000
# A bar for what is over in a moment only flickers.
_PROGRESS_AFTER_SECONDS = 1.0
_ROWS_PER_TICK = 256

Known = Literal["skip", "add"]
Progress = bool | Callable[[int, int], object]


class LoadReport:
    """What a load did: `added`, `known` (already there), and `rejected_count` rows that are no traces.

    `rejected` holds the first 1,000 of these, each with file, line, field, reason and how the row begins, and `ids` the
    ids of the first 1,000 traces that were added. `source` and
    `format` say what was read and as what.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.formats: list[str] = []
        self.added = 0
        self.known = 0
        self.rejected_count = 0
        self.rejected: list[Rejection] = []
        self.ids: list[UUID] = []

    @property
    def format(self) -> str:
        """The formats found, in the order of the files."""
        return ", ".join(dict.fromkeys(self.formats))

    def reject(self, rejection: Rejection) -> None:
        """Counts a row that is no trace."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)

    def __repr__(self) -> str:
        return f"<LoadReport: {self.added:,} added, {self.known:,} already there, {self.rejected_count:,} rejected>"

    def __str__(self) -> str:
        return render.report_text(self)

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return render.report_html(self)


def load(
    session: Session, source: str | Path, *, format: str | None, known: Known, progress: Progress, trace_max_bytes: int
) -> LoadReport:
    """Loads what `source` names; see `TraceStore.load`."""
    session.refuse_read_only()
    if known not in ("skip", "add"):
        raise QueryInvalid(f'known={known!r}: must be "skip" (what is there is not added again) or "add"')
    files = files_at(source)
    n_bytes = sum(file.stat().st_size for file in files)
    report = LoadReport(str(source))
    loading = _Loading(session, report, known=known, trace_max_bytes=trace_max_bytes)
    try:
        with _telling(progress, n_bytes) as tell:
            for found in _everything_in(files, format, report, tell):
                loading.take(found)
            loading.store()
            tell(n_bytes)
    except BaseException as error:
        # An interrupt, `progress` that raises, a full disk, a busy store: what was committed stays, and is said.
        error.add_note(f"{report!r} before this; loading the same again adds only what is missing")
        raise
    return report


@contextmanager
def _telling(progress: Progress, n_bytes: int) -> Iterator[Callable[[int], object]]:
    """What takes the number of bytes done and shows it: the caller's own function, or a bar."""
    if callable(progress):
        yield lambda done: progress(done, n_bytes)
        return
    # None: no bar where standard error is no terminal, as in a training job's log.
    with tqdm(
        total=n_bytes,
        desc="loading",
        unit="B",
        unit_scale=True,
        leave=False,
        delay=_PROGRESS_AFTER_SECONDS,
        disable=None if progress else True,
    ) as bar:
        yield lambda done: bar.update(done - bar.n)


def _everything_in(
    files: list[Path], format: str | None, report: LoadReport, tell: Callable[[int], object]
) -> Iterator[Draft | Rejection]:
    done = 0
    for path in files:
        try:
            reading = Reading(path, format=format)
        except SourceInvalid as error:
            if len(files) == 1:
                raise
            # One file of a folder that is something else does not stop the others.
            report.reject(Rejection(str(path), None, None, str(error), ""))
            continue
        with reading:
            report.formats.append(reading.format.name)
            for place, found in enumerate(reading):
                yield found
                if place % _ROWS_PER_TICK == 0:
                    tell(done + reading.position)
            done += reading.size


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


class _Loading:
    """Drafts gathered to chunks and stored; counts into the report what was committed."""

    def __init__(self, session: Session, report: LoadReport, *, known: Known, trace_max_bytes: int) -> None:
        self._session = session
        self._report = report
        self._trace_max_bytes = trace_max_bytes
        self._copies = _Copies() if known == "skip" else None
        self._chunk = _Chunk()

    def take(self, found: Draft | Rejection) -> None:
        """Counts a rejection, gathers a draft, and stores the chunk when it is full."""
        if isinstance(found, Rejection):
            self._report.reject(found)
            return
        try:
            line, digest = encode(found.trace, self._trace_max_bytes)
        except TraceInvalid as error:
            self._report.reject(found.row.rejection(error))
            return
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
            self._report.reject(rejection)
        self._report.added += len(table)
        self._report.ids += table["id"][: KEPT_IDS - len(self._report.ids)].to_pylist()
        self._report.known += len(chunk.lines) - len(table) - len(rejected)

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

_NUMBER_COPIES = """
select place, digest, coalesce(earlier.n, 0) + row_number() over (partition by digest order by place) as copy
from chunk
left join (
    select digest, count(*) as n from seen where digest in (select digest from chunk) group by digest
) as earlier using (digest)
"""

_KNOWN_PLACES = """
select place from copies
join (
    select digest, count(*) as n from traces where digest in (select digest from copies) group by digest
) as stored using (digest)
where copy <= stored.n
"""


class _Copies:
    """Tells the known rows of a load: the k-th copy of a trace in the files answers to the k-th copy in the store.

    Equal rollouts of one prompt are data, so a second copy is new unless the store holds two. The digests of all rows
    so far, 16 bytes each, lie in a database of their own that spills to disk before it fills the memory.
    """

    def __init__(self) -> None:
        # Lossless: a UUID stays one on its way through Arrow, and is not compared as text.
        self._seen = duckdb.connect(config={"arrow_lossless_conversion": True})
        self._seen.execute("create table seen (digest uuid)")

    def known(self, cursor: duckdb.DuckDBPyConnection, digests: pa.Array) -> set[int]:
        """The places of the rows of a chunk that the store holds already, by the digests of the chunk."""
        self._seen.register("chunk", pa.table({"place": range(len(digests)), "digest": digests}))
        copies = self._seen.sql(_NUMBER_COPIES).to_arrow_table()
        self._seen.execute("insert into seen select digest from chunk")
        cursor.register("copies", copies)
        return {place for (place,) in cursor.execute(_KNOWN_PLACES).fetchall()}
