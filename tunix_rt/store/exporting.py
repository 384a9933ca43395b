"""Exports: a selection of the store written to a file, oldest first, as one format."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import duckdb
import pyarrow as pa

from tunix_rt.errors import ExportFailed, QueryInvalid
from tunix_rt.formats.completion import THINK_TAGS, Tags
from tunix_rt.formats.preferences import preference, stepwise
from tunix_rt.formats.rl import TUNIX_RL, tunix_rl
from tunix_rt.formats.sft import messages, prompt_completion, training_example, tunix_sft
from tunix_rt.formats.tally import Tally
from tunix_rt.formats.trajectories import atif
from tunix_rt.formats.writers import HashedFile, as_lines, write_lines, write_parquet
from tunix_rt.paths import target_path
from tunix_rt.problems import storable
from tunix_rt.store.filters import Filters
from tunix_rt.store.manifest import remove_manifest, write_manifest
from tunix_rt.store.pairing import pairs
from tunix_rt.store.placing import placed
from tunix_rt.store.rows import RECORD_COLUMNS, RECORD_JSON, records_in
from tunix_rt.store.ruler import Ruler
from tunix_rt.store.scanning import scan
from tunix_rt.store.session import Session

_PARQUET_COLUMNS = """
    id, created_at, trace_version, prompt, steps, final_answer, meta::varchar as meta, preview, n_steps, n_chars, source
"""
# The lines of so many rows are in memory together.
_ROWS_AT_ONCE = 256
_N_TAGS = 2


class _Work(NamedTuple):
    """One export: what is read, with which options, and what becomes of it."""

    session: Session
    ruler: Callable[[duckdb.DuckDBPyConnection], Ruler]
    filters: Filters
    tags: Tags
    tally: Tally

    def scan(self, select: str) -> Iterator[pa.RecordBatch]:
        for batch in scan(self.session, self.ruler, select, self.filters, newest_first=False):
            self.tally.traces += len(batch)
            yield batch


_Batches = Callable[[_Work], Iterator[pa.RecordBatch]]


class ExportFormat(NamedTuple):
    """Where the batches of a format come from, what writes them, and whether its rows take tags."""

    batches: _Batches
    write: Callable[[HashedFile, str, Iterator[pa.RecordBatch]], None]
    takes_tags: bool = False


def _as_stored(select: str) -> _Batches:
    return lambda work: work.scan(select)


def _lines_of(row_of: Callable[..., dict[str, Any] | None], *, takes_tags: bool = False) -> ExportFormat:
    def batches(work: _Work) -> Iterator[pa.RecordBatch]:
        to_row = partial(row_of, tags=work.tags) if takes_tags else row_of
        for batch in work.scan(RECORD_COLUMNS):
            for start in range(0, len(batch), _ROWS_AT_ONCE):
                rows = (to_row(record, work.tally) for record in records_in(batch.slice(start, _ROWS_AT_ONCE)))
                yield as_lines(row for row in rows if row is not None)

    return ExportFormat(batches, write_lines, takes_tags)


def _rl_batches(work: _Work) -> Iterator[pa.RecordBatch]:
    for batch in work.scan(RECORD_COLUMNS):
        rows = (tunix_rl(record, work.tally) for record in records_in(batch))
        yield pa.RecordBatch.from_pylist([row for row in rows if row is not None], schema=TUNIX_RL)


def _preference_batches(work: _Work) -> Iterator[pa.RecordBatch]:
    rows = []
    for chosen, rejected in pairs(work.session, work.ruler, work.filters, work.tally):
        row = preference(chosen, rejected, work.tally, tags=work.tags)
        if row is not None:
            rows.append(row)
        if len(rows) == _ROWS_AT_ONCE:
            yield as_lines(rows)
            rows = []
    yield as_lines(rows)


EXPORT_FORMATS = MappingProxyType(
    {
        "trace": ExportFormat(_as_stored(f"{RECORD_JSON} || chr(10) as line"), write_lines),
        "parquet": ExportFormat(_as_stored(_PARQUET_COLUMNS), write_parquet),
        "tunix_sft": _lines_of(tunix_sft),
        "training_example": _lines_of(training_example),
        "messages": _lines_of(messages),
        "prompt_completion": _lines_of(prompt_completion, takes_tags=True),
        "tunix_rl": ExportFormat(_rl_batches, write_parquet),
        "preference": ExportFormat(_preference_batches, write_lines, takes_tags=True),
        "stepwise": _lines_of(stepwise),
        "atif": _lines_of(atif),
    }
)


class ExportOptions(NamedTuple):
    """What `TraceStore.export` takes beside the filters."""

    format: str | None
    tags: Tags | None
    manifest: bool


def export(
    path: str | Path | IO[bytes],
    session: Session,
    ruler: Callable[[duckdb.DuckDBPyConnection], Ruler],
    filters: Filters,
    options: ExportOptions,
    *,
    store: Path,
) -> int:
    """Writes the selection to a path or an open file; see `TraceStore.export`."""
    target = path if hasattr(path, "write") else target_path(path)
    file_name = target.name if isinstance(target, Path) else ""
    name = options.format or ("parquet" if file_name.lower().endswith(".parquet") else "trace")
    chosen = EXPORT_FORMATS.get(name)
    if chosen is None:
        raise QueryInvalid(f"unknown export format {options.format!r}; known are {', '.join(EXPORT_FORMATS)}")
    tags = _checked_tags(name, chosen, options.tags)
    work = _Work(session, ruler, filters, tags, Tally())
    batches = _counted(chosen.batches(work), work.tally)
    if not isinstance(target, Path):
        with HashedFile(target) as file:
            chosen.write(file, file_name, batches)
        return work.tally.rows
    if target.resolve() == store.resolve():
        raise ExportFailed(f"{target}: is the store itself; name another file")
    if target.is_dir():
        raise ExportFailed(f"{target}: is a folder; name a file in it")
    with placed(target) as partial_path, partial_path.open("wb", buffering=0) as raw, HashedFile(raw) as file:
        chosen.write(file, file_name, batches)
    if options.manifest:
        write_manifest(
            target,
            format=name,
            store=store,
            filters=filters.given,
            options={"tags": tags} if chosen.takes_tags else {},
            sha256=file.sha256,
            tally=work.tally,
        )
    else:
        remove_manifest(target)
    return work.tally.rows


def _counted(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        tally.rows += len(batch)
        yield batch


def _checked_tags(name: str, chosen: ExportFormat, tags: Any) -> Tags:
    if tags is None:
        return THINK_TAGS
    if not chosen.takes_tags:
        takers = ", ".join(name for name, known in EXPORT_FORMATS.items() if known.takes_tags)
        raise QueryInvalid(f"tags={tags!r}: the format {name} has none; they go with {takers}")
    texts = tuple(tags) if isinstance(tags, tuple | list) else ()
    if len(texts) != _N_TAGS or not all(isinstance(tag, str) and tag.strip() and storable(tag) for tag in texts):
        raise QueryInvalid(f'tags={tags!r}: must be two texts, such as ("<reasoning>", "</reasoning>")')
    begin, end = texts
    return begin, end
