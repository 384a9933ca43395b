"""Exports: a selection of the store written to a file, oldest first, as one format."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

from tunix_rt.errors import ExportFailed, QueryInvalid
from tunix_rt.formats.writers import write_lines, write_parquet
from tunix_rt.store.rows import RECORD_JSON

_PARQUET_COLUMNS = """
    id, created_at, trace_version, prompt, steps, final_answer, meta::varchar as meta, preview, n_steps, n_chars, source
"""


class _ExportFormat(NamedTuple):
    """What to select for a format, and what writes it."""

    select: str
    write: Callable[[Path, str, Iterator[pa.RecordBatch]], int]


_EXPORT_FORMATS = MappingProxyType(
    {
        "trace": _ExportFormat(f"{RECORD_JSON} || chr(10) as line", write_lines),
        "parquet": _ExportFormat(_PARQUET_COLUMNS, write_parquet),
    }
)


def export(path: Path, scan: Callable[[str], Iterator[pa.RecordBatch]], *, format: str | None, store: Path) -> int:
    """Writes what `scan` gives for the format's columns; see `TraceStore.export`."""
    name = format or ("parquet" if path.name.lower().endswith(".parquet") else "trace")
    chosen = _EXPORT_FORMATS.get(name)
    if chosen is None:
        raise QueryInvalid(f"unknown export format {format!r}; known are {', '.join(_EXPORT_FORMATS)}")
    if path.resolve() == store.resolve():
        raise ExportFailed(f"{path}: is the store itself; name another file")
    if path.is_dir():
        raise ExportFailed(f"{path}: is a folder; name a file in it")
    # Beside the target, so that the last step is a rename: a reader sees the old file or the new one.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        n_rows = chosen.write(partial, path.name, scan(chosen.select))
        partial.replace(path)
    except OSError as error:
        raise ExportFailed(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return n_rows
