"""The captions around what is shown, the same in HTML and in plain text."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tunix_rt.render.characters import one_line
from tunix_rt.render.humanize import count, size, utc, utc_exact
from tunix_rt.render.protocols import InfoShape, PageShape, ReportShape, TableShape, TraceShape

REJECTED_SHOWN = 20
"""Rejected rows that a report shows; the rest is in `report.rejected`."""
SOURCES_SHOWN = 10
SAMPLES = "prompt, as read: check by eye"
_OWN_FORMAT = "trace"
TRUNCATED = "no final answer (truncated)"
_FILTER = 60  # characters of one filter's value in a caption


def n_chars(trace: TraceShape) -> int:
    """Characters of prompt, steps and answer together."""
    return len(trace.prompt) + sum(len(step.content) for step in trace.steps) + len(trace.final_answer or "")


def source_of(trace: TraceShape) -> str | None:
    """The source of the trace, if its meta has one."""
    source = (trace.meta or {}).get("source")
    return one_line(source, _FILTER) if isinstance(source, str) and source.strip() else None


def stored_facts(id: UUID | None, created_at: datetime | None) -> list[tuple[str, str]]:
    """The stored id and time of a trace, exactly."""
    facts = [("id", str(id))] if id else []
    return [*facts, ("created_at", utc_exact(created_at))] if created_at else facts


def as_json(value: object, *, indent: int | None = None) -> str:
    """The value as JSON, readable; what JSON does not know, by its str()."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


def page_caption(page: PageShape) -> str:
    """How many traces the page has, and by which filters."""
    parts = [f"{count(len(page.records), 'trace')}, {one_line(page.order, _FILTER)}"]
    if page.offset:
        parts.append(f"after the first {page.offset:,}")
    if page.filters:
        parts.append(f"filters: {_filters(page.filters)}")
    return " · ".join(parts)


def page_empty(page: PageShape) -> str:
    """What to do when the page has no trace."""
    if page.filters:
        why = f": {one_line(page.note, _FILTER)}" if page.note else ""
        return f"no trace matches {_filters(page.filters)}{why}"
    if page.offset:
        return f"no traces after the first {page.offset:,}"
    return "no traces yet; add one with store.add(...) or store.load(...)"


def _filters(filters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_filter(value)}" for name, value in filters.items())


def _filter(value: object) -> str:
    if isinstance(value, datetime):
        return utc(value)
    if hasattr(value, "to_dict"):
        # A selection, which shows itself in several lines.
        return repr(value)
    return one_line(value if isinstance(value, str) else as_json(value), _FILTER)


def report_headline(report: ReportShape) -> str:
    """The counts of a load."""
    counts = f"{report.added:,} added · {report.already_stored:,} already stored · {report.rejected_count:,} rejected"
    return counts + (f" · {report.scores_added:,} scores added" if report.scores_added else "")


def report_passed_over(report: ReportShape) -> str:
    """How many files were skipped because they belong to trace stores, to append to the source."""
    n = len(report.passed_over)
    return f" · {count(n, 'file')} of trace stores passed over" if n else ""


def report_files(report: ReportShape) -> list[str]:
    """The files of the rejected rows, if they are not obvious from the report's source."""
    files = list(dict.fromkeys(row.file for row in report.rejected))
    return files if files != [report.source] else []


def reason_parts(reason: str) -> tuple[str, str]:
    """Why a row was rejected, in one line; and the details, which may be empty."""
    lines = reason.splitlines()
    details = [line.strip() for line in lines if line.startswith("  ")]
    return "; ".join(line.strip() for line in lines if not line.startswith("  ")), "\n".join(details)


def report_mappings(report: ReportShape) -> list[str]:
    """What was taken for what where the names of the fields told it, in a line for each mapping."""
    return [f"read by the names of the fields: {mapping_line(one)}" for one in report.mappings]


def mapping_line(mapping: Mapping[str, Any]) -> str:
    """What a mapping takes for what.

    >>> mapping_line({"prompt": ["ask", "with"], "meta.model": {"value": "toy-1b"}})
    "prompt ← ask + with, meta.model ← 'toy-1b'"
    """
    return ", ".join(f"{target} ← {_taken(given)}" for target, given in mapping.items())


def report_help(report: ReportShape) -> list[str]:
    """For each file of which a format read nothing, what else to try."""
    return [
        f"none of the first rows of {file} could be read; {'; '.join(str(error).splitlines()[1:-1])}"
        for file, error in report.help.items()
        if error.mappings
    ]


def _taken(given: Any) -> str:
    if isinstance(given, Mapping):
        return repr(given["value"])
    return given if isinstance(given, str) else " + ".join(given)


def report_samples(report: ReportShape) -> Sequence[TraceShape]:
    """The traces to check by eye; none for the package's own format, where nothing is guessed."""
    return () if report.format == _OWN_FORMAT else report.samples


def report_more(report: ReportShape, rest: str = "report.rejected") -> str:
    """How many rejected rows are not shown, and where they are; empty if all are shown."""
    more = report.rejected_count - min(len(report.rejected), REJECTED_SHOWN)
    if more <= 0:
        return ""
    kept = "" if len(report.rejected) >= report.rejected_count else f", which keeps the first {len(report.rejected):,}"
    return f"{more:,} more in {rest}{kept}"


def info_facts(info: InfoShape, compact: str = "store.compact()") -> list[tuple[str, str]]:
    """What is known of a store, by name."""
    facts = [("store", str(info.path)), ("traces", f"{info.n_traces:,}"), ("size", size(info.size_bytes))]
    facts.extend((name, f"{utc(moment)} UTC") for name, moment in _moments(info) if moment)
    facts.append(("schema version", str(info.schema_version)))
    if info.compact_due:
        facts.append(("compact", f"due: many traces lie out of the order of time; {compact} makes pages fast again"))
    return facts


def _moments(info: InfoShape) -> tuple[tuple[str, datetime | None], ...]:
    return ("oldest", info.oldest), ("newest", info.newest)


def table_caption(table: TableShape, n_columns: int | None = None) -> str:
    """How many rows there are, and how many of them and of the columns are shown."""
    shown = len(table.rows)
    caption = count(table.n_rows, "row") if shown >= table.n_rows else f"showing {shown:,} of {table.n_rows:,} rows"
    left_out = len(table.columns) - (len(table.columns) if n_columns is None else n_columns)
    return f"{caption} · {count(left_out, 'column')} not shown" if left_out else caption
