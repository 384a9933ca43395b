"""Writing Arrow batches to a file, packed as its name ends."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_json

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
PACKED_ENDINGS = tuple(_COMPRESSIONS)


class HashedFile(io.RawIOBase):
    """An open file or pipe, written from its position on; closed, it has the `sha256` of what was written.

    The digest is taken in a thread of its own, while the next rows are fetched: SHA-256 does 900 MB/s, of which a plain
    export in one thread would lose a fifth of its speed.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._at = 0
        self._digest = hashlib.sha256()
        self._hashing = ThreadPoolExecutor(max_workers=1)
        self._pending: Future[None] | None = None

    @property
    def sha256(self) -> str:
        """The digest, in hexadecimal digits."""
        return self._digest.hexdigest()

    @property
    def n_bytes(self) -> int:
        """How many bytes have been written."""
        return self._at

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position: how many bytes have been written."""
        return self._at

    def write(self, data: Any) -> int:
        """Writes all of the bytes."""
        left = memoryview(data).cast("B")
        size = len(left)
        # One at a time: what waits to be hashed is still in memory.
        self._settle()
        self._pending = self._hashing.submit(self._digest.update, left)
        while left:
            left = left[self._file.write(left) :]
        self._at += size
        return size

    def close(self) -> None:
        """Ends the writing; the file itself is left open."""
        if not self.closed:
            try:
                self._settle()
            finally:
                self._hashing.shutdown()
                super().close()

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None


def write_lines(file: HashedFile, name: str, batches: Iterator[pa.RecordBatch]) -> None:
    """Writes the one text column of the batches, each value a line with its end.

    `name` is the name the file will have: its ending chooses the compression.
    """
    compression = next((packed for ending, packed in _COMPRESSIONS.items() if name.lower().endswith(ending)), None)
    with pa.output_stream(file, compression=compression) as stream:
        for batch in batches:
            if len(batch):
                stream.write(_text(batch.column(0)))


def write_parquet(file: HashedFile, _name: str, batches: Iterator[pa.RecordBatch]) -> None:
    """Writes the batches, of which there is at least one, as Parquet, zstd inside."""
    writer: pq.ParquetWriter | None = None
    try:
        for batch in batches:
            writer = writer or pq.ParquetWriter(file, batch.schema, compression="zstd")
            writer.write_batch(batch)
    finally:
        if writer:
            writer.close()


def as_lines(rows: Iterable[Mapping[str, Any]]) -> pa.RecordBatch:
    """A batch of one column: each row as a line of JSON."""
    return pa.record_batch({"line": pa.array([to_json(row) + b"\n" for row in rows], pa.large_binary())})


def _text(column: pa.StringArray) -> memoryview:
    """The values of a column one after the other, as they already are in memory: nothing is copied."""
    column = column.cast(pa.large_string())
    _, offsets, data = column.buffers()
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[column.offset] : ends[column.offset + len(column)]]


class Container(NamedTuple):
    """What a format is written in: the endings of file names that fit, without those of packing, and what writes it."""

    endings: tuple[str, ...]
    media_type: str
    write: Callable[[HashedFile, str, Iterator[pa.RecordBatch]], None]


LINES = Container((".jsonl", ".ndjson", ".json"), "application/x-ndjson", write_lines)
PARQUET = Container((".parquet",), "application/vnd.apache.parquet", write_parquet)
