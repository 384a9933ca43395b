"""What a reading found, made ready to be stored: in this process, or for a large file on every core.

Rows of the native format are checked by DuckDB; those of others are read by workers.
"""

import pickle
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

from tunix_rt.errors import QueryInvalid, TraceInvalid, WorkerLost
from tunix_rt.formats import Draft, Format, Reading, Rejection, Row, ScoreDraft, found_in
from tunix_rt.model import Trace
from tunix_rt.store.engine.rows import encode, encode_parts, to_microseconds
from tunix_rt.store.ingest.chunk import Chunk, Encoded
from tunix_rt.validation import short

if TYPE_CHECKING:
    # Not before they are needed: a worker reads rows without them, and starts a sixth faster.
    from tunix_rt.store.ingest.plain_lines import PlainLine
    from tunix_rt.store.scores.facts import CarriedScore
    from tunix_rt.workers import Workers

# Two workers need 0.7 s to start; this process reads about as much in that time twice.
LARGE_FILE_BYTES = 16 * 2**20
# A batch takes a worker a tenth of a second or two: long beside the time in which it waits for the next one.
_BATCH_BYTES = 2**20
_BATCH_ROWS = 1_000
# What DuckDB checks at once: of fewer rows, a query took up to twice as long for each.
_CHECKED_BYTES = 16 * 2**20
# Two of them fill a chunk.
_CHECKED_ROWS = 10_240
# To start it takes 20 ms; Python reads about as much in that time.
_FEW_BYTES = 2**20


# A row on its way to a worker: of a text its file, line, text, and whether it is spoiled; of another its pickle, empty
# where it cannot be sent.
_Sent = bytes | tuple[str, int, bytes, bool]


class EncodedScore(NamedTuple):
    """A score ready to be stored, from a row of its own: its row, the 16 bytes of its trace's id, and the score."""

    row: Row
    trace_id: bytes
    score: "CarriedScore"


def checked_meta(meta: Any, trace_max_bytes: int) -> dict[str, Any] | None:
    """The meta that is added to each trace of a load, as JSON; QueryInvalid for what a trace could not have."""
    if meta is None:
        return None
    try:
        checked = Trace(prompt="a", steps=["b"], final_answer="c", meta=meta).meta
    except TraceInvalid as error:
        raise QueryInvalid(f"meta={short(meta)}: cannot be added to each trace: {error}") from None
    if (n_bytes := len(to_json(checked))) > trace_max_bytes:
        raise QueryInvalid(f"meta: has {n_bytes:,} bytes of JSON; a trace may have {trace_max_bytes:,} in all")
    return checked or None


def encoded(
    found: Draft | ScoreDraft | Rejection, trace_max_bytes: int, meta: dict[str, Any] | None = None
) -> Encoded | EncodedScore | Rejection:
    """A draft made ready, or its rejection where it is too large or its scores are invalid; a rejection stays.

    `meta` is added to its own.
    """
    if isinstance(found, Rejection):
        return found
    try:
        if isinstance(found, ScoreDraft) or found.scores is not None:
            from tunix_rt.store.scores.carried import carried_score, carried_scores
        if isinstance(found, ScoreDraft):
            return EncodedScore(found.row, found.trace_id.bytes, carried_score(found.score))
        line, digest = encode(_with_meta(found.trace, meta), trace_max_bytes)
        scores = () if found.scores is None else carried_scores(found.scores)
    except TraceInvalid as error:
        return found.row.rejection(error)
    return Encoded(
        found.row,
        line,
        digest,
        None if found.id is None else found.id.bytes,
        None if found.created_at is None else to_microseconds(found.created_at),
        scores,
    )


def _with_meta(trace: Any, meta: dict[str, Any] | None) -> Any:
    if meta is None:
        return trace
    if isinstance(trace, dict):
        return trace | {"meta": {**(trace.get("meta") or {}), **meta}}
    return trace.model_copy(update={"meta": {**(trace.meta or {}), **meta}})


def all_encoded(
    reading: Reading, trace_max_bytes: int, workers: "Workers | None", meta: dict[str, Any] | None = None
) -> Iterator[Encoded | Chunk | EncodedScore | Rejection]:
    """All that the reading yields, made ready, in order; by workers, if any, where its file is large.

    Many traces together are a Chunk. Raises WorkerLost where one of them ended before its rows were read.
    """
    if reading.is_file and reading.format.family == "native":
        yield from _by_duckdb(reading, trace_max_bytes, meta)
    elif workers and reading.is_file and reading.format.reads_rows_alone and reading.size >= LARGE_FILE_BYTES:
        yield from _by_workers(reading, trace_max_bytes, workers, meta)
    else:
        for found in reading:
            yield encoded(found, trace_max_bytes, meta)


def _together(all_found: Iterable[Any]) -> Iterator[Any]:
    """The same in order, traces that follow each other in one chunk."""
    chunk = Chunk()
    for found in all_found:
        if isinstance(found, Encoded):
            chunk.add(found)
            continue
        if len(chunk):
            yield chunk
            chunk = Chunk()
        yield found
    if len(chunk):
        yield chunk


def _by_duckdb(
    reading: Reading, trace_max_bytes: int, meta: dict[str, Any] | None
) -> Iterator[Chunk | EncodedScore | Rejection]:
    from tunix_rt.store.ingest.plain_lines import PlainLines

    plain_lines: PlainLines | None = None
    for rows in _in_batches(reading.rows()):
        if sum(map(_n_bytes, rows)) >= _FEW_BYTES:
            plain_lines = plain_lines or PlainLines()
            plain, fields = plain_lines.among([row.raw if isinstance(row, Row) else None for row in rows])
        else:
            plain, fields = [None] * len(rows), None
        ready = list(_together(_read_by_both(rows, plain, reading.format, trace_max_bytes, meta)))
        if fields is not None and isinstance(ready[0], Chunk) and len(ready[0]) == len(fields):
            # All are plain, and none is too large: DuckDB need not read them again to store them.
            ready[0].fields.append(fields)
        yield from ready


def _read_by_both(
    rows: Sequence[Row | Rejection],
    plain: "Sequence[PlainLine | None]",
    format: Format,
    trace_max_bytes: int,
    meta: dict[str, Any] | None,
) -> Iterator[Encoded | EncodedScore | Rejection]:
    """The rows made ready: the plain ones as DuckDB found them, the others by the reader of the format."""
    for row, one in zip(rows, plain, strict=True):
        if one is None or isinstance(row, Rejection):
            yield from (encoded(found, trace_max_bytes, meta) for found in found_in(row, format))
            continue
        try:
            line, digest = encode_parts(
                one.body, one.meta if meta is None else {**(one.meta or {}), **meta}, trace_max_bytes
            )
        except TraceInvalid as error:
            yield row.rejection(error)
        else:
            yield Encoded(row, line, digest, one.id, one.created_at)


def _in_batches(rows: Iterable[Row | Rejection]) -> Iterator[list[Row | Rejection]]:
    batch: list[Row | Rejection] = []
    n_bytes = 0
    for row in rows:
        batch.append(row)
        n_bytes += _n_bytes(row)
        if n_bytes >= _CHECKED_BYTES or len(batch) == _CHECKED_ROWS:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


def _n_bytes(row: Row | Rejection) -> int:
    return len(row.raw or b"") if isinstance(row, Row) else 0


def _by_workers(
    reading: Reading, trace_max_bytes: int, workers: "Workers", meta: dict[str, Any] | None
) -> Iterator[Encoded | EncodedScore | Rejection]:
    # Not the writer: its functions and Arrow types are of no use there.
    reader = pickle.dumps(Format(reading.format.name, "", "", reading.format.reader))
    pending: deque[list[Row | Rejection]] = deque()

    def tasks() -> Iterator[tuple[bytes, int, dict[str, Any] | None, list[_Sent]]]:
        for rows, sent in _batches(reading.rows()):
            pending.append(rows)
            yield reader, trace_max_bytes, meta, sent

    for found in workers.map(f"{__name__}:encoded_batch", tasks()):
        rows = pending.popleft()
        if isinstance(found, WorkerLost):
            first, last = rows[0], rows[-1]
            raise WorkerLost(
                f"{first.file}: rows {first.line:,} to {last.line:,} were not read: {found}. Load it again, with "
                "workers=0 (TUNIX_RT_WORKERS) to read it in this process"
            )
        for one in found:
            if isinstance(one, int):
                yield from (encoded(each, trace_max_bytes, meta) for each in found_in(rows[one], reading.format))
            else:
                yield one


def _batches(rows: Iterable[Row | Rejection]) -> Iterator[tuple[list[Row | Rejection], list[_Sent]]]:
    batch: list[Row | Rejection] = []
    sent: list[_Sent] = []
    n_bytes = 0
    for row in rows:
        batch.append(row)
        if isinstance(row, Row) and row.raw is not None:
            sent.append((row.file, row.line, row.raw, row.is_spoiled))
            n_bytes += len(row.raw)
        else:
            # One by one: how large a row of values is, is known afterwards.
            sent.append(_pickled(row))
            n_bytes += len(sent[-1])
        if n_bytes >= _BATCH_BYTES or len(batch) == _BATCH_ROWS:
            yield batch, sent
            batch, sent, n_bytes = [], [], 0
    if batch:
        yield batch, sent


def _pickled(row: Row | Rejection) -> bytes:
    try:
        return pickle.dumps(row, pickle.HIGHEST_PROTOCOL)
    except RecursionError:
        # Nested more deeply than pickle goes: it is read in this process.
        return b""


def encoded_batch(
    task: tuple[bytes, int, dict[str, Any] | None, list[_Sent]],
) -> list[Chunk | EncodedScore | Rejection | int]:
    """What a worker does: all in the rows, made ready; in place of a row that it was not given, its index."""
    pickled_format, trace_max_bytes, meta, sent = task
    reader = pickle.loads(pickled_format)  # noqa: S301 - see workers.py
    return list(_together(_read_sent(sent, reader, trace_max_bytes, meta)))


def _read_sent(
    sent: Sequence[_Sent], reader: Format, trace_max_bytes: int, meta: dict[str, Any] | None
) -> Iterator[Encoded | EncodedScore | Rejection | int]:
    for index, given in enumerate(sent):
        if not given:
            yield index
            continue
        if isinstance(given, bytes):
            row = pickle.loads(given)  # noqa: S301 - see workers.py
        else:
            file, line, raw, is_spoiled = given
            row = Row(file, line, raw=raw, is_spoiled=is_spoiled)
        for found in found_in(row, reader):
            yield encoded(found, trace_max_bytes, meta)
