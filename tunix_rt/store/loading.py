"""Bulk loading: files read, rows validated, and what is new stored, chunk by chunk, so that memory stays bounded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

import duckdb
import pyarrow as pa
from tqdm.auto import tqdm

from tunix_rt import render
from tunix_rt.errors import Problem, QueryInvalid, SourceInvalid, TraceInvalid
from tunix_rt.formats import Draft, Reading, Rejection, Row, files_at
from tunix_rt.store.clock import new_id, new_time
from tunix_rt.store.rows import NewRow, encode, insert, to_table, uuids
from tunix_rt.store.session import Session

# A transaction of so many rows is written in about a second, the longest that anyone else should wait.
CHUNK_ROWS = 20_000
# Large traces fill a chunk by their size; several copies of it are in memory while it is written.
CHUNK_BYTES = 64 * 2**20
# A file of the wrong kind can be rejected row by row; more of them than anyone reads would only fill the memory.
KEPT_REJECTIONS = 1_000
# A bar for what is over in a moment only flickers.
_PROGRESS_AFTER_SECONDS = 1.0
_ROWS_PER_TICK = 256

Known = Literal["skip", "add"]


class LoadReport:
    """What a load did: `added`, `known` (already there), and `rejected_count` rows that are no traces.

    `rejected` holds the first 1,000 of these, each with file, line, field, reason and how the row begins. `source` and
    `format` say what was read and as what.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.formats: list[str] = []
        self.added = 0
        self.known = 0
        self.rejected_count = 0
        self.rejected: list[Rejection] = []

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
    session: Session, source: str | Path, *, format: str | None, known: Known, progress: bool, trace_max_bytes: int
) -> LoadReport:
    """Loads what `source` names; see `TraceStore.load`."""
    session.refuse_read_only()
    if known not in ("skip", "add"):
        raise QueryInvalid(f'known={known!r}: must be "skip" (what is there is not added again) or "add"')
    files = files_at(source)
    report = LoadReport(str(source))
    loading = _Loading(session, report, known=known, trace_max_bytes=trace_max_bytes)
    try:
        for found in _everything_in(files, format, report, progress=progress):
            loading.take(found)
        loading.store()
    except BaseException as error:
        # An interrupted kernel, a full disk, a busy store: what the committed chunks hold stays, and is said.
        error.add_note(f"{report!r} before this; loading the same again adds only what is missing")
        raise
    return report


def _everything_in(
    files: list[Path], format: str | None, report: LoadReport, *, progress: bool
) -> Iterator[Draft | Rejection]:
    total = sum(file.stat().st_size for file in files)
    # None: no bar where standard error is no terminal, as in a training job's log.
    with tqdm(
        total=total,
        desc="loading",
        unit="B",
        unit_scale=True,
        leave=False,
        delay=_PROGRESS_AFTER_SECONDS,
        disable=None if progress else True,
    ) as bar:
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
                        bar.update(done + reading.position - bar.n)
                done += reading.size


class _Pending(NamedTuple):
    """A row to be stored, and where it came from."""

    new: NewRow
    row: Row
    has_id: bool


class _Loading:
    """Drafts gathered to chunks and stored; counts into the report what was committed."""

    def __init__(self, session: Session, report: LoadReport, *, known: Known, trace_max_bytes: int) -> None:
        self._session = session
        self._report = report
        self._trace_max_bytes = trace_max_bytes
        self._copies = _Copies() if known == "skip" else None
        self._pending: list[_Pending] = []
        self._bytes = 0

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
        created_at = found.created_at or new_time()
        new = NewRow(found.id or new_id(created_at), created_at, digest, line)
        self._pending.append(_Pending(new, found.row, found.id is not None))
        self._bytes += len(line)
        if len(self._pending) >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES:
            self.store()

    def store(self) -> None:
        """Stores what is new of the chunk in one transaction."""
        if not self._pending:
            return
        chunk, self._pending, self._bytes = self._pending, [], 0
        with self._session.transaction() as cursor:
            new = self._copies.without_known(cursor, chunk) if self._copies else chunk
            new, rejected = self._without_taken_ids(cursor, new)
            insert(cursor, to_table([pending.new for pending in new]))
        for rejection in rejected:
            self._report.reject(rejection)
        self._report.added += len(new)
        self._report.known += len(chunk) - len(new) - len(rejected)

    def _without_taken_ids(
        self, cursor: duckdb.DuckDBPyConnection, chunk: list[_Pending]
    ) -> tuple[list[_Pending], list[Rejection]]:
        """What can be stored under its id: a trace that is there under it is known, another one there rejects it."""
        given = [str(pending.new.id) for pending in chunk if pending.has_id]
        if not given:
            return chunk, []
        stored = cursor.execute(_STORED_UNDER, [given]).fetchall()
        digests: dict[UUID, bytes] = {trace_id: digest.bytes for trace_id, digest in stored}
        free: list[_Pending] = []
        rejected: list[Rejection] = []
        for pending in chunk:
            digest = digests.get(pending.new.id)
            if digest is None:
                digests[pending.new.id] = pending.new.digest
                free.append(pending)
            elif self._copies is None:
                free.append(pending._replace(new=pending.new._replace(id=new_id(pending.new.created_at))))
            elif digest != pending.new.digest:
                problem = Problem("id", f"{pending.new.id} is the id of another trace in the store")
                rejected.append(pending.row.rejection(TraceInvalid(problem)))
        return free, rejected


_STORED_UNDER = "select id, digest from traces where id in (select unnest(?::uuid[]))"

_NUMBER_COPIES = """
select place, digest, coalesce(earlier.n, 0) + row_number() over (partition by digest order by place) as copy
from chunk
left join (
    select digest, count(*) as n from seen where digest in (select digest from chunk) group by digest
) as earlier using (digest)
"""

_NEW_PLACES = """
select place from copies
left join (
    select digest, count(*) as n from traces where digest in (select digest from copies) group by digest
) as stored using (digest)
where copy > coalesce(stored.n, 0)
order by place
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

    def without_known(self, cursor: duckdb.DuckDBPyConnection, chunk: list[_Pending]) -> list[_Pending]:
        """The rows of the chunk that the store does not hold yet."""
        digests = pa.table({"place": range(len(chunk)), "digest": uuids([pending.new.digest for pending in chunk])})
        self._seen.register("chunk", digests)
        copies = self._seen.sql(_NUMBER_COPIES).to_arrow_table()
        self._seen.execute("insert into seen select digest from chunk")
        cursor.register("copies", copies)
        return [chunk[place] for (place,) in cursor.execute(_NEW_PLACES).fetchall()]
