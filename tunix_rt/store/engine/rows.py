"""Traces to rows of the table and back; both ways a trace is its line of JSON, which DuckDB itself reads and writes."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import lt
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import UUID

import pyarrow as pa
from pydantic_core import to_json

from tunix_rt.errors import Problem, TraceInvalid, TraceTooLarge
from tunix_rt.formats import TraceFields
from tunix_rt.model import PREVIEW_CHARS, Trace, TraceRecord, TraceSummary
from tunix_rt.render.characters import one_line

if TYPE_CHECKING:
    # A worker that reads rows needs no DuckDB.
    import duckdb

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SHAPE = json.dumps(
    {
        "trace_version": "VARCHAR",
        "prompt": "VARCHAR",
        "steps": [{"i": "BIGINT", "type": "VARCHAR", "content": "VARCHAR"}],
        "final_answer": "VARCHAR",
    }
)

# White space to fold: that of `\\s`, of which the commonest is a single space, which stays.
_FOLDED = " or ".join(f"contains(start, {white})" for white in ("'  '", *(f"chr({code})" for code in (9, 10, 12, 13))))

# What `incoming` has besides its other columns: the traces' lines, or what DuckDB has read them as already.
_FROM_LINES = f"json_transform(json, '{SHAPE}')"
_ALREADY_READ = "fields"
# The preview folds white space in four times its length, so that a prompt that begins with blank lines shows its words.
# It checks first whether there is any to fold: folding alone took 10 µs a row, a check by a regular expression 4, this
# one less than 1.
_INSERT = f"""
insert into store.traces
select
    id,
    created_at,
    t.trace_version,
    if(
        length(folded) > {PREVIEW_CHARS} or length(t.prompt) > {4 * PREVIEW_CHARS},
        left(folded, {PREVIEW_CHARS - 1}) || '…',
        folded
    ),
    len(t.steps),
    length(t.prompt)
        + coalesce(list_sum([length(s.content) for s in t.steps]), 0)
        + coalesce(length(t.final_answer), 0),
    meta ->> '$.source',
    digest,
    t.prompt,
    t.steps,
    t.final_answer,
    meta
from (
    select
        *,
        left(t.prompt, {4 * PREVIEW_CHARS}) as start,
        trim(if({_FOLDED}, regexp_replace(start, '\\s+', ' ', 'g'), start)) as folded
    from (select id, created_at, digest, meta, {{fields}} as t from incoming)
)
"""
# Sorting complete rows took a tenth of the time of storing them, and most come sorted.
_SORTED = "order by created_at, id"

# Put together as text, so that meta comes out digit for digit as it went in.
_TRACE_FIELDS = """
'"trace_version":' || to_json(trace_version)
|| ',"prompt":' || to_json(prompt)
|| ',"steps":' || to_json(steps)
|| ',"final_answer":' || coalesce(to_json(final_answer)::varchar, 'null')
|| coalesce(',"meta":' || meta::varchar, '')
"""
TRACE_JSON = f"'{{' || {_TRACE_FIELDS} || '}}'"

# How a time is written in an export.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
# The line of a stored trace in an export, without the brace that closes it.
RECORD_FIELDS = (
    f"""'{{"id":"' || id || '","created_at":"' || strftime(created_at, '{TIME_FORMAT}') || '",' || {_TRACE_FIELDS}"""
)

# A time as microseconds: fetching a TIMESTAMPTZ as it is would need pytz.
TIME = "epoch_us(created_at)"
# Between two such times, both included.
BETWEEN = "created_at >= make_timestamptz(?::bigint) and created_at <= make_timestamptz(?::bigint)"
# DuckDB gives a thread a batch, which fills a row group: a chunk of a load is work for two. Batches of 2,048 rows left
# small row groups behind, one for all was no faster.
_BATCH_ROWS = 10_240
# A batch has up to 64 MB of text; at most this number of its rows are Python texts at a time. More were no faster.
_ROWS_AT_ONCE = 256
# DuckDB holds large rows many times over while it reads them: its 512 MB were not enough for thirty traces of 1 MB. So
# rows that are larger than this on average are stored in parts of at most this number of bytes.
LARGE_ROW_BYTES, LARGE_ROWS_BYTES = 2**13, 4 * 2**20
_META = {"meta"}
_META_KEY = b',"meta":'
# Kept: `json.dumps` would make one for each trace.
_SORTED_JSON = json.JSONEncoder(sort_keys=True, check_circular=False)
# Not a column of its own, as the preview is: DuckDB reads the answers of a page's rows alone, which takes 0.2 ms of the
# 3.4 ms of a page among 1,000,000.
_READ_AS = {"created_at": TIME, "answer": f"left(final_answer, {4 * PREVIEW_CHARS + 1})"}
_SUMMARY_FIELDS = [name for name in TraceSummary.model_fields if name not in ("scores", "facts")]
SUMMARY_COLUMNS = ", ".join(_READ_AS.get(name, name) for name in _SUMMARY_FIELDS)
RECORD_COLUMNS = f"id, {TIME}, {TRACE_JSON}"
# The same of one row: planning what makes the JSON, and running it, takes as long as reading the columns.
ONE_RECORD_COLUMNS = f"id, {TIME}, trace_version, prompt, steps, final_answer, meta"


class NewRow(NamedTuple):
    """A trace about to be stored: the 16 bytes of its id, microseconds since 1970, its digest, its line of JSON."""

    id: bytes
    created_at: int
    digest: bytes
    json: bytes


class Line(NamedTuple):
    """A trace's line of JSON in two parts: all but its meta, as an object, and its meta, if it has one.

    DuckDB would parse the meta in vain: of 10 MB of numbers that took more than 512 MB.
    """

    body: bytes
    meta: bytes | None

    @classmethod
    def of(cls, line: bytes) -> Self:
        """The parts of a line. No text holds the key of the meta: its quotes are escaped."""
        at = line.find(_META_KEY, line.find(b',"final_answer":'))
        return cls(line, None) if at < 0 else cls(line[:at] + b"}", line[at + len(_META_KEY) : -1])

    @property
    def n_bytes(self) -> int:
        """The length of the line."""
        return len(self.body) + (0 if self.meta is None else len(_META_KEY) + len(self.meta))

    def joined(self) -> bytes:
        """The line."""
        return self.body if self.meta is None else b"%b%b%b}" % (self.body[:-1], _META_KEY, self.meta)


def encode(trace: Trace | TraceFields, trace_max_bytes: int) -> tuple[Line, bytes]:
    """The trace's line of JSON, and the 16-byte digest by which an equal trace is recognised.

    Raises TraceTooLarge when the line is longer than `trace_max_bytes`.
    """
    # Not whether it is a Trace: one made before a reload of this package is of another class.
    meta = trace.get("meta") if isinstance(trace, dict) else trace.meta
    # Bytes all the way: through text and back took a fifth of the time of a row.
    return encode_parts(to_json(trace, exclude=_META), meta, trace_max_bytes)


def encode_parts(body: bytes, meta: Any, trace_max_bytes: int) -> tuple[Line, bytes]:
    """The same of a trace of which all but its meta is a line already."""
    digest = hashlib.blake2b(body, digest_size=16)
    written = None
    if meta is not None:
        # Objects that differ only in the order of their keys are equal.
        try:
            digest.update(_SORTED_JSON.encode(meta).encode())
        except ValueError as error:
            # Python writes, and reads, no integers of more than 4,300 digits.
            raise TraceInvalid(Problem("meta", f"cannot be written as JSON: {error}")) from None
        written = to_json(meta)
    line = Line(body, written)
    if line.n_bytes > trace_max_bytes:
        raise TraceTooLarge(line.n_bytes, trace_max_bytes)
    return line, digest.digest()


def to_table(rows: Sequence[NewRow]) -> pa.Table:
    """The rows as an Arrow table of id, created_at, digest, meta, and the json of the rest."""
    ids, times, digests, lines = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [])
    bodies, metas = map(list, zip(*map(Line.of, lines), strict=True)) if rows else ([], [])
    return columns(ids, times, uuids(digests), metas, bodies)


def columns(
    ids: list[bytes],
    times: list[int],
    digests: pa.Array,
    metas: list[bytes | None],
    bodies: list[bytes] | pa.ChunkedArray,
) -> pa.Table:
    """The same table from its columns; the times are microseconds since 1970.

    `bodies` are lines without their meta, or a column of what DuckDB has read them as: structs of the form SHAPE.
    """
    # Our own lines: Arrow need not look whether they are UTF-8.
    body = {"json": _text(bodies)} if isinstance(bodies, list) else {_ALREADY_READ: bodies}
    given = {"id": uuids(ids), "created_at": pa.array(times, pa.timestamp("us", "UTC")), "digest": digests}
    return pa.table(given | body | {"meta": _text(metas)})


def _text(values: Sequence[bytes | None]) -> pa.Array:
    return pa.array(values, pa.binary()).view(pa.string())


def insert(cursor: "duckdb.DuckDBPyConnection", incoming: pa.Table) -> None:
    """Stores what `to_table` or `columns` made, in the order of time."""
    times = incoming["created_at"].cast(pa.int64()).to_pylist()
    batches = incoming.to_batches(max_chunksize=_BATCH_ROWS)
    cursor.register("incoming", pa.Table.from_batches(batches, incoming.schema))
    query = _INSERT.format(fields=_FROM_LINES if "json" in incoming.column_names else _ALREADY_READ)
    cursor.execute(query if all(map(lt, times, times[1:])) else f"{query} {_SORTED}")


def to_record(row: tuple[UUID, int, str | bytes]) -> TraceRecord:
    """The stored trace in a row of RECORD_COLUMNS."""
    return record_of(row[0], row[1], Trace.from_json(row[2]))


def record_of(trace_id: UUID, microseconds: int, trace: Trace) -> TraceRecord:
    """The trace as it is stored under an id and a time in microseconds since 1970."""
    return TraceRecord.model_construct(
        id=trace_id, created_at=from_microseconds(microseconds), trace_version=trace.trace_version, payload=trace
    )


def to_one_record(row: tuple[Any, ...]) -> TraceRecord:
    """The stored trace in a row of ONE_RECORD_COLUMNS."""
    trace_id, microseconds, version, prompt, steps, final_answer, meta = row
    line = to_json({"trace_version": version, "prompt": prompt, "steps": steps, "final_answer": final_answer})
    if meta is not None:
        line = b'%b,"meta":%b}' % (line[:-1], meta.encode())
    return to_record((trace_id, microseconds, line))


def records_in(batch: pa.RecordBatch) -> Iterator[TraceRecord]:
    """The stored traces in a batch of RECORD_COLUMNS, made as they are needed."""
    for start in range(0, len(batch), _ROWS_AT_ONCE):
        columns = (column.to_pylist() for column in batch.slice(start, _ROWS_AT_ONCE).columns)
        for trace_id, microseconds, line in zip(*columns, strict=True):
            # Arrow carries a UUID as text.
            yield to_record((UUID(trace_id), microseconds, line))


def to_summary(row: tuple[Any, ...]) -> TraceSummary:
    """The summary in a row of SUMMARY_COLUMNS."""
    fields = dict(zip(_SUMMARY_FIELDS, row, strict=True))
    fields["created_at"] = from_microseconds(fields["created_at"])
    if fields["answer"] is not None:
        fields["answer"] = one_line(fields["answer"], PREVIEW_CHARS)
    # Pydantic checks the fields in half of the time that it takes to construct a model without.
    return TraceSummary.model_validate(fields)


def from_microseconds(microseconds: int) -> datetime:
    """A time in UTC from microseconds since 1970; exact, which a float of seconds is not."""
    return EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def uuids(values: Sequence[bytes | None]) -> pa.Array:
    """An Arrow column of UUIDs from 16 bytes each."""
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(values, pa.binary(16)))
