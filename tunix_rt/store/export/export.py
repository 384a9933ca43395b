"""Exports: a selection of the store written to a file, oldest first, as one format."""

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt.errors import ExportFailed, QueryInvalid
from tunix_rt.formats import WRITERS, Writer, writer_named
from tunix_rt.formats.containers.writers import LINES, PACKED_ENDINGS, PARQUET, HashedFile, as_lines
from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.text.completion import THINK_TAGS, Tags
from tunix_rt.paths import target_path
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.atomic_write import Replacement, destination, replacing, written_into
from tunix_rt.store.engine.rows import RECORD_COLUMNS, RECORD_FIELDS, records_in
from tunix_rt.store.engine.score_rows import SCORES_JSON, SCORES_LIST
from tunix_rt.store.export.export_report import ExportReport
from tunix_rt.store.export.manifest import manifest, manifest_of
from tunix_rt.store.export.pairs import pairs
from tunix_rt.store.export.score_file import ScoreFile
from tunix_rt.store.filters import Filters
from tunix_rt.store.progress_bar import Progress, show_progress
from tunix_rt.store.query.page import Search
from tunix_rt.store.query.scan import scan
from tunix_rt.validation import short, storable

# What the store writes itself, without a row of Python in between.
_LINES = f"{RECORD_FIELDS} || '}}' || chr(10) as line"
_LINES_WITH_SCORES = f"{RECORD_FIELDS} as line, {SCORES_JSON} as scores"
_COLUMNS = """
    id, created_at, trace_version, prompt, steps, final_answer, meta::varchar as meta, preview, n_steps, n_chars, source
"""
_COLUMNS_WITH_SCORES = f"{_COLUMNS}, {SCORES_LIST} as scores"
# This number of lines is in memory together.
_ROWS_AT_ONCE = 256
_CHARS_AT_ONCE = 16 * 2**20
_N_TAGS = 2
# What `within` may be: samples of one prompt are paired, whatever their policy.
_ANY_POLICY = "prompt"
# A warning is about the line that called `TraceStore.export`, which is three calls above `_warn`.
_CALLER = 4


class _Work(NamedTuple):
    """One export: its source, its options, and its counts."""

    session: Access
    filters: Filters
    tags: Tags
    within: str | None
    tally: Tally
    advance: Callable[[int], object]
    has_scores: bool

    def scan(self, select: str) -> Iterator[pa.RecordBatch]:
        for batch in scan(self.session, select, self.filters, newest_first=False, advance=self.advance):
            self.tally.traces += len(batch)
            yield batch


def _batches(work: _Work, writer: Writer, score_file: ScoreFile | None) -> Iterator[pa.RecordBatch]:
    """The batches to write, one of them at least."""
    if writer.row is None:
        return _stored_lines(work) if writer.container == LINES else _stored_columns(work, score_file)
    to_row = partial(writer.row, tags=work.tags) if writer.takes_tags else writer.row
    if writer.takes_pairs:
        return _pair_batches(work, to_row)
    return _trace_batches(work, to_row, writer.columns)


def _stored_lines(work: _Work) -> Iterator[pa.RecordBatch]:
    if not work.has_scores:
        yield from work.scan(_LINES)
        return
    for batch in work.scan(_LINES_WITH_SCORES):
        texts, counts = batch["scores"].flatten()
        work.tally.scores += pc.sum(counts).as_py() or 0
        parts = (batch["line"], texts, "}\n")
        lines = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")
        yield pa.record_batch({"line": lines})


def _stored_columns(work: _Work, score_file: ScoreFile | None) -> Iterator[pa.RecordBatch]:
    if not work.has_scores:
        yield from work.scan(_COLUMNS)
        return
    for batch in work.scan(_COLUMNS_WITH_SCORES):
        if score_file is None:
            work.tally.scores_left_out += len(pc.list_flatten(batch["scores"]))
            yield batch.drop_columns("scores")
        else:
            yield score_file.take(batch)
            work.tally.scores = score_file.rows


def _trace_batches(
    work: _Work, to_row: Callable[..., dict[str, Any] | None], columns: pa.Schema | None
) -> Iterator[pa.RecordBatch]:
    for batch in work.scan(RECORD_COLUMNS):
        # A batch of Parquet is a row group.
        n_at_once = _ROWS_AT_ONCE if columns is None else max(len(batch), 1)
        for start in range(0, max(len(batch), 1), n_at_once):
            found = (to_row(record, work.tally) for record in records_in(batch.slice(start, n_at_once)))
            rows = (row for row in found if row is not None)
            yield as_lines(rows) if columns is None else pa.RecordBatch.from_pylist(list(rows), schema=columns)


def _pair_batches(work: _Work, to_row: Callable[..., dict[str, Any] | None]) -> Iterator[pa.RecordBatch]:
    rows, n_chars = [], 0
    found = pairs(work.session, work.filters, work.tally, work.advance, across_policies=work.within is not None)
    for chosen, rejected in found:
        row = to_row(chosen, rejected, work.tally)
        if row is not None:
            rows.append(row)
            n_chars += sum(map(len, row.values()))
        if len(rows) == _ROWS_AT_ONCE or n_chars > _CHARS_AT_ONCE:
            yield as_lines(rows)
            rows, n_chars = [], 0
    yield as_lines(rows)


class ExportOptions(NamedTuple):
    """The options of `TraceStore.export` beside the filters."""

    format: str | None
    tags: Tags | None
    within: str | None
    scores: bool
    manifest: bool
    progress: Progress


def export(
    path: str | Path | IO[bytes],
    session: Access,
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
    writer = writer_named(name) if isinstance(name, str) else None
    if writer is None:
        raise QueryInvalid(f"unknown export format {short(options.format)}; known are {', '.join(WRITERS)}")
    tags = _checked_tags(name, writer, options.tags)
    _check_within(name, writer, options.within)
    if not isinstance(options.scores, bool):
        raise QueryInvalid(f"scores={short(options.scores)}: must be True or False")
    has_scores = options.scores and writer.row is None and _has_scores(session)
    with show_progress(options.progress, session.n_traces, "exporting") as advance:
        work = _Work(session, filters, tags, options.within, Tally(), advance, has_scores)
        writing = _Writing(work, name, writer, file_name, time.monotonic())
        if not isinstance(target, Path):
            report = writing.write(target)
            _warn_of_scores(report)
            return report
        file_path = destination(target)
        if file_path == store.resolve():
            raise ExportFailed(f"{target}: is the store itself; choose another file name")
        if file_path is None:
            with written_into(target) as file:
                report = replace(writing.write(file), path=target)
            _warn_of_scores(report)
            return report
        with replacing(file_path) as replacement:
            _check_ending(target, name, writer)
            report = writing.replace(replacement, options, store=store)
    if not report.rows:
        _warn(report, filters, session)
    return report


class _Writing(NamedTuple):
    """The writing of an export."""

    work: _Work
    format: str
    writer: Writer
    file_name: str
    begun: float

    def write(self, file: Any, score_file: ScoreFile | None = None) -> ExportReport:
        """Writes the rows to an open file, and scores that are not in the rows to the one for them."""
        tally = self.work.tally
        with HashedFile(file) as hashed:
            batches = _batches(self.work, self.writer, score_file)
            self.writer.container.write(hashed, self.file_name, _counted(batches, tally))
        return ExportReport(
            path=None,
            format=self.format,
            traces=tally.traces,
            rows=tally.rows,
            size_bytes=hashed.n_bytes,
            sha256=hashed.sha256,
            seconds=time.monotonic() - self.begun,
            left_out=dict(sorted((+tally.left_out).items())),
            shortened=dict(sorted((+tally.shortened).items())),
            scores=tally.scores,
            scores_left_out=tally.scores_left_out,
        )

    def replace(self, replacement: Replacement, options: ExportOptions, *, store: Path) -> ExportReport:
        """Writes the file, and those beside it."""
        path, score_file = replacement.path, None
        if self.writer.row is None and self.writer.container == PARQUET:
            with ScoreFile(replacement) as score_file:
                report = self.write(replacement.file, score_file)
        else:
            report = self.write(replacement.file)
        beside = manifest_of(path)
        # Without one, that of the file which was there before would be about another file.
        replacement.without(beside)
        report = replace(
            report,
            path=path,
            manifest=beside if options.manifest else None,
            score_file=score_file.path if score_file is not None and score_file.rows else None,
        )
        if options.manifest:
            content = manifest(
                path,
                report,
                store=store,
                filters=self.work.filters.given,
                options=self._given(options),
                score_file_sha256=None if score_file is None else score_file.sha256,
            )
            replacement.beside(beside).write(content)
        return report

    def _given(self, options: ExportOptions) -> dict[str, Any]:
        given: dict[str, Any] = {"tags": self.work.tags} if self.writer.takes_tags else {}
        if options.within is not None:
            given["within"] = options.within
        if self.writer.row is None and not options.scores:
            given["scores"] = False
        return given


def _has_scores(session: Access) -> bool:
    with session.cursor() as cursor:
        return cursor.execute("select 1 from scores limit 1").fetchone() is not None


def _check_ending(path: Path, name: str, writer: Writer) -> None:
    """Raises QueryInvalid if the file's ending would mislead its readers."""
    bare, packed = path.name.lower(), ""
    for ending in PACKED_ENDINGS:
        if bare.endswith(ending):
            bare, packed = bare.removesuffix(ending), ending
    ending = Path(bare).suffix
    if ending in ("", *writer.container.endings) and not (packed and writer.container == PARQUET):
        return
    fits = " or ".join(writer.container.endings)
    if writer.container == LINES:
        fits += f" (packed: {', '.join(PACKED_ENDINGS)} behind it)"
    others = [other for other, one in WRITERS.items() if ending in one.container.endings and not packed]
    also = f"; {ending} is for {', '.join(others)}" if others else ""
    raise QueryInvalid(
        f"{path}: the ending {ending}{packed} does not fit the format {name}; name a file that ends with {fits}, or "
        f"that has no ending{also}"
    )


def _warn(report: ExportReport, filters: Filters, session: Access) -> None:
    if report.traces:
        reason = f"all {report.traces:,} traces were left out ({', '.join(report.left_out)})"
    else:
        reason = f"no trace passed the filters {', '.join(filters.given)}" if filters else "the store has no traces"
        with session.cursor() as cursor:
            note = Search(cursor, session.time_index(cursor), filters).why_nothing()
        reason += f": {note}" if note else ""
    warnings.warn(f"{report.path}: no rows were written: {reason}", stacklevel=_CALLER)


def _warn_of_scores(report: ExportReport) -> None:
    if report.scores_left_out:
        warnings.warn(
            f"{report.scores_left_out:,} scores were left out: with the format {report.format} they go to a file "
            "beside the export; export to a file, use the format trace, or pass scores=False",
            stacklevel=_CALLER,
        )


def _counted(batches: Iterator[pa.RecordBatch], tally: Tally) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        tally.rows += len(batch)
        yield batch


def _check_within(name: str, writer: Writer, within: Any) -> None:
    if within is None:
        return
    if not writer.takes_pairs:
        takers = ", ".join(name for name, one in WRITERS.items() if one.takes_pairs)
        raise QueryInvalid(f"within={short(within)}: the format {name} makes no pairs; formats that do: {takers}")
    if within != _ANY_POLICY:
        raise QueryInvalid(f'within={short(within)}: must be "prompt", to pair across policies, or left out')


def _checked_tags(name: str, writer: Writer, tags: Any) -> Tags:
    if tags is None:
        return THINK_TAGS
    if not writer.takes_tags:
        takers = ", ".join(name for name, one in WRITERS.items() if one.takes_tags)
        raise QueryInvalid(f"tags={short(tags)}: the format {name} does not accept tags; the formats that do: {takers}")
    texts = tuple(tags) if isinstance(tags, tuple | list) else ()
    if len(texts) != _N_TAGS or not all(isinstance(tag, str) and tag.strip() and storable(tag) for tag in texts):
        raise QueryInvalid(f'tags={short(tags)}: must be two strings, such as ("<reasoning>", "</reasoning>")')
    begin, end = texts
    return begin, end
