"""Writing Arrow batches to a file, packed as its name says."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}


def write_lines(path: Path, name: str, batches: Iterator[pa.RecordBatch]) -> int:
    """Writes the one text column of the batches, each value a line with its end; the number of lines.

    `name` is the name the file will have: its ending chooses the compression.
    """
    n_rows = 0
    compression = next((packed for ending, packed in _COMPRESSIONS.items() if name.lower().endswith(ending)), None)
    with pa.output_stream(path, compression=compression) as stream:
        for batch in batches:
            stream.write(_text(batch.column(0)))
            n_rows += len(batch)
    return n_rows


def write_parquet(path: Path, _name: str, batches: Iterator[pa.RecordBatch]) -> int:
    """Writes the batches as Parquet, zstd inside; the number of rows."""
    n_rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in batches:
            writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd")
            writer.write_batch(batch)
            n_rows += len(batch)
    finally:
        if writer:
            writer.close()
    return n_rows


def _text(column: pa.StringArray) -> memoryview:
    """The values of a column one after the other, as they already lie in memory: nothing is copied."""
    column = column.cast(pa.large_string())
    _, offsets, data = column.buffers()
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[column.offset] : ends[column.offset + len(column)]]
