"""Rows in files of Arrow batches: Parquet, and Arrow IPC as a stream or a file (Feather, shards of `datasets`)."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tunix_rt.errors import Problem, SourceInvalid, TraceInvalid
from tunix_rt.formats.containers.arrow_rows import plain_rows
from tunix_rt.formats.rows.row import Rejection, Row

PARQUET_MAGIC = b"PAR1"
# In front of the same messages as those of a stream, which is how both are read; a footer stands behind them.
IPC_FILE_MAGIC = b"ARROW1"
_IPC_FILE_START = 8
_FEATHER_1_MAGIC = b"FEA1"
_CONTINUED = b"\xff\xff\xff\xff"
_MOST_SCHEMA_BYTES = 2**24
# A file of a kilobyte can hold a thousand rows of five megabytes each: all rows of a batch are in memory.
_BATCH_ROWS = 64
# A batch of an Arrow stream is read whole. `datasets` writes 1,000 rows in one, pandas 65,536.
_MOST_BATCH_BYTES = 2**29


def is_ipc(head: bytes) -> bool:
    """Whether a file that begins so is Arrow IPC, of which a stream begins with the length of its schema."""
    if head.startswith((IPC_FILE_MAGIC, _FEATHER_1_MAGIC)):
        return True
    return head.startswith(_CONTINUED) and 0 < int.from_bytes(head[4:8], "little", signed=True) <= _MOST_SCHEMA_BYTES


def parquet_rows(
    seekable: IO[bytes], path: Any, most_bytes: int, on_read: Callable[[], object]
) -> Iterator[Row | Rejection]:
    """The rows of a Parquet file. Raises SourceInvalid where it is damaged."""
    try:
        yield from _rows(pq.ParquetFile(seekable).iter_batches(batch_size=_BATCH_ROWS), path, most_bytes, on_read)
    except (pa.ArrowException, OSError) as error:
        raise SourceInvalid(f"{path}: damaged Parquet file: {error}") from None


def ipc_rows(
    stream: io.BufferedReader, path: Any, most_bytes: int, on_read: Callable[[], object]
) -> Iterator[Row | Rejection]:
    """The rows of an Arrow stream or file, read from its beginning to its end; a damaged end takes no row before it."""
    head = stream.peek(_IPC_FILE_START)
    if head.startswith(_FEATHER_1_MAGIC):
        raise SourceInvalid(f"{path}: is Feather of version 1; save it as version 2, JSON Lines or Parquet")
    if head.startswith(IPC_FILE_MAGIC):
        stream.read(_IPC_FILE_START)
    try:
        yield from _rows(_checked(pa.ipc.open_stream(_Bounded(stream, path))), path, most_bytes, on_read)
    except SourceInvalid:
        raise
    except (pa.ArrowException, OSError, MemoryError, ValueError, TypeError, KeyError) as error:
        raise SourceInvalid(f"{path}: damaged Arrow file: {_first_line(error)}") from None


class _Bounded(io.RawIOBase):
    """A stream of which Arrow reads no more at once than a batch may have: a length in it is only a number."""

    def __init__(self, stream: io.BufferedReader, path: Any) -> None:
        self._stream = stream
        self._path = path

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_BATCH_BYTES:
            raise SourceInvalid(
                f"{self._path}: has a batch of {size:,} bytes; at most {_MOST_BATCH_BYTES:,} are read at once. Save it "
                "in smaller batches, or as Parquet"
            )
        # In pieces: what is not there takes no memory.
        pieces = []
        while size > 0 and (piece := self._stream.read(min(size, 2**24))):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _checked(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch | TraceInvalid]:
    """The batches in pieces; for a row with a value that leads outside of its batch, or is no text, its fault.

    What is read as a file says is read without looking, so Arrow looks at everything first.
    """
    for batch in batches:
        batch.validate()
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid:
            for place in range(len(batch)):
                row = batch.slice(place, 1)
                yield _fault(row) or row
        else:
            yield from (batch.slice(start, _BATCH_ROWS) for start in range(0, len(batch), _BATCH_ROWS))


def _fault(row: pa.RecordBatch) -> TraceInvalid | None:
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            return TraceInvalid(Problem(name, f"a {column.type} that cannot be read: {_first_line(error)}"))
    return None


def _rows(
    batches: Iterable[pa.RecordBatch | TraceInvalid], path: Any, most_bytes: int, on_read: Callable[[], object]
) -> Iterator[Row | Rejection]:
    line = 0
    for batch in batches:
        on_read()
        for part in [batch] if isinstance(batch, TraceInvalid) else _bearable(batch, most_bytes):
            if not isinstance(part, TraceInvalid) and part.nbytes > most_bytes:
                line += 1
                yield Rejection(str(path), line, None, f"exceeds maximum of {most_bytes:,} bytes for a row", "")
                continue
            for value in [part] if isinstance(part, TraceInvalid) else plain_rows(part, str(path)):
                line += 1
                if isinstance(value, TraceInvalid):
                    yield Row(str(path), line, value="").rejection(value)
                else:
                    yield Row(str(path), line, value=value)


def _bearable(batch: pa.RecordBatch, most_bytes: int) -> Iterator[pa.RecordBatch]:
    """The batch whole, or its rows one by one where it is larger than a row may be."""
    if batch.nbytes <= most_bytes:
        yield batch
    else:
        yield from (batch.slice(place, 1) for place in range(len(batch)))


def _first_line(error: BaseException) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:200]
