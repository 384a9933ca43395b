"""Exports: a selection of the store written to a file, oldest first, as one format."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import pyarrow as pa

from tunix_rt.errors import ExportFailed, QueryInvalid
from tunix_rt.formats.containers.writers import PACKED_ENDINGS, HashedFile, as_lines, write_lines, write_parquet
from tunix_rt.formats.preferences import preference, stepwise
from tunix_rt.formats.rl import TUNIX_RL, tunix_rl
from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.sft import messages, prompt_completion, training_example, tunix_sft
from tunix_rt.formats.text.completion import THINK_TAGS, Tags
from tunix_rt.formats.trajectories import atif
from tunix_rt.paths import target_path
from tunix_rt.store.engine.atomic_write import destination, replacing, written_into
from tunix_rt.store.engine.rows import RECORD_COLUMNS, RECORD_JSON, records_in
from tunix_rt.store.engine.session import Session
from tunix_rt.store.export.export_report import ExportReport
from tunix_rt.store.export.manifest import manifest, manifest_of
from tunix_rt.store.export.pairs import pairs
from tunix_rt.store.filters import Filters
from tunix_rt.store.progress_bar import Progress, show_progress
from tunix_rt.store.query.scan import scan
from tunix_rt.validation import short, storable

_PARQUET_COLUMNS = """
    id, created_at, trace_version, prompt, steps, final_answer, meta::varchar as meta, preview, n_steps, n_chars, source
"""
# This number of lines is in memory together.
_ROWS_AT_ONCE = 256
_CHARS_AT_ONCE = 16 * 2**20
_N_TAGS = 2
_LINE_ENDINGS = (".jsonl", ".ndjson", ".json")
_PARQUET_ENDINGS = (".parquet",)
# A warning is about the line that called `TraceStore.export`, which is three calls above `_warn`.
_CALLER = 4


class _Work(NamedTuple):
    """One export: its source, its options, and its counts."""

    session: Session
    filters: Filters
    tags: Tags
    tally: Tally
    advance: Callable[[int], object]

    def scan(self, select: str) -> Iterator[pa.RecordBatch]:
        for batch in scan(self.session, select, self.filters, newest_first=False, advance=self.advance):
            self.tally.traces += len(batch)
            yield batch


_Batches = Callable[[_Work], Iterator[pa.RecordBatch]]


class ExportFormat(NamedTuple):
    """Where the batches of a format come from, what writes them, whether its rows take tags, and which endings fit."""

    batches: _Batches
    write: Callable[[HashedFile, str, Iterator[pa.RecordBatch]], None]
    takes_tags: bool = False

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings of file names that fit, without those of the packing."""
        return _PARQUET_ENDINGS if self.write is write_parquet else _LINE_ENDINGS


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
    rows, n_chars = [], 0
    for chosen, rejected in pairs(work.session, work.filters, work.tally, work.advance):
        row = preference(chosen, rejected, work.tally, tags=work.tags)
        if row is not None:
            rows.append(row)
            n_chars += sum(map(len, row.values()))
        if len(rows) == _ROWS_AT_ONCE or n_chars > _CHARS_AT_ONCE:
            yield as_lines(rows)
            rows, n_chars = [], 0
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
    progress: Progress


def export(
    path: str | Path | IO[bytes],
    session: Session,
    filters: Filters,
    options: ExportOptions,
    *,
    store: Path,
) -> ExportReport:
    """Writes the selection to a path or an open file; see `TraceStore.export`."""
    target = path if hasattr(path, "write") else target_path(path)
    file_name = target.name if isinstance(target, Path) else ""
    name = "parquet" if file_name.lower().endswith(".parquet") else "trace"
    if options.format is not None:
        name = options.format
    chosen = EXPORT_FORMATS.get(name) if isinstance(name, str) else None
    if chosen is None:
        raise QueryInvalid(f"unknown export format {short(options.format)}; known are {', '.join(EXPORT_FORMATS)}")
    tags = _checked_tags(name, chosen, options.tags)
    begun = time.monotonic()
    with show_progress(options.progress, session.n_traces, "exporting") as advance:
        work = _Work(session, filters, tags, Tally(), advance)

        def write(file: Any) -> ExportReport:
            with HashedFile(file) as hashed:
                chosen.write(hashed, file_name, _counted(chosen.batches(work), work.tally))
            return ExportReport(
                path=None,
                format=name,
                traces=work.tally.traces,
                rows=work.tally.rows,
                size_bytes=hashed.n_bytes,
                sha256=hashed.sha256,
                seconds=time.monotonic() - begun,
                left_out=dict(sorted((+work.tally.left_out).items())),
                shortened=dict(sorted((+work.tally.shortened).items())),
            )

        if not isinstance(target, Path):
            return write(target)
        file_path = destination(target)
        if file_path == store.resolve():
            raise ExportFailed(f"{target}: is the store itself; choose another file name")
        if file_path is None:
            with written_into(target) as file:
                return replace(write(file), path=target)
        given = {"tags": tags} if chosen.takes_tags else {}
        with replacing(file_path) as replacement:
            _check_ending(target, name)
            report = replace(write(replacement.file), path=file_path)
            beside = manifest_of(file_path)
            content = manifest(file_path, report, store=store, filters=filters.given, options=given)
            # Without one, that of the file which was there before would be about another file.
            replacement.beside = (beside, content if options.manifest else None)
    if not report.rows:
        _warn(report, filters)
    return replace(report, manifest=beside if options.manifest else None)


def _check_ending(path: Path, name: str) -> None:
    """Raises QueryInvalid if the file's ending would mislead its readers."""
    bare, packed = path.name.lower(), ""
    for ending in PACKED_ENDINGS:
        if bare.endswith(ending):
            bare, packed = bare.removesuffix(ending), ending
    ending = Path(bare).suffix
    fitting = EXPORT_FORMATS[name].endings
    if ending in ("", *fitting) and not (packed and fitting == _PARQUET_ENDINGS):
        return
    fits = " or ".join(fitting)
    if fitting == _LINE_ENDINGS:
        fits += f" (packed: {', '.join(PACKED_ENDINGS)} behind it)"
    others = [other for other, known in EXPORT_FORMATS.items() if ending in known.endings and not packed]
    also = f"; {ending} is for {', '.join(others)}" if others else ""
    raise QueryInvalid(
        f"{path}: the ending {ending}{packed} does not fit the format {name}; name a file that ends with {fits}, or "
        f"that has no ending{also}"
    )


def _warn(report: ExportReport, filters: Filters) -> None:
    if report.traces:
        reason = f"all {report.traces:,} traces were left out ({', '.join(report.left_out)})"
    else:
        reason = f"no trace passed the filters {', '.join(filters.given)}" if filters else "the store has no traces"
    warnings.warn(f"{report.path}: no rows were written: {reason}", stacklevel=_CALLER)


def _counted(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        tally.rows += len(batch)
        yield batch


def _checked_tags(name: str, chosen: ExportFormat, tags: Any) -> Tags:
    if tags is None:
        return THINK_TAGS
    if not chosen.takes_tags:
        takers = ", ".join(name for name, known in EXPORT_FORMATS.items() if known.takes_tags)
        raise QueryInvalid(f"tags={short(tags)}: the format {name} takes no tags; formats that take tags: {takers}")
    texts = tuple(tags) if isinstance(tags, tuple | list) else ()
    if len(texts) != _N_TAGS or not all(isinstance(tag, str) and tag.strip() and storable(tag) for tag in texts):
        raise QueryInvalid(f'tags={short(tags)}: must be two texts, such as ("<reasoning>", "</reasoning>")')
    begin, end = texts
    return begin, end
