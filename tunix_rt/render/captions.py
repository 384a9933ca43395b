"""The captions around what is shown, the same in HTML and in plain text."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from tunix_rt.render.characters import one_line, visible
from tunix_rt.render.humanize import count, size, utc, utc_exact
from tunix_rt.render.protocols import InfoShape, PageShape, ReportShape, TableShape, TraceShape
from tunix_rt.render.verdict import Judged

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


def verdict(known: Judged) -> str:
    """Whether the answer is right, who says so, and the expected answer."""
    said = f"{known.verdict.sign} {known.verdict.word} ({known.verdict.by})"
    return f"{said} · expected {known.expected}" if known.expected else said


def known(one: Judged) -> list[str]:
    """What is known of a trace, in the order of its importance, for the line below its head."""
    parts = [f"{one.verdict.sign} {one.verdict.word}"] if one.verdict.is_known else []
    parts += [f"reward {one.reward}"] if one.reward else []
    parts += [one.origin] if one.origin else []
    parts += [f"flags: {', '.join(one.flags)}"] if one.flags else []
    return [*parts, *(f"{name} {said}" for name, said in one.others)]


def notes(known: Sequence[Judged]) -> list[str]:
    """For each row of a page what else is known of its trace: the expected answer if it is not right, origin, flags."""
    return [
        " · ".join(
            [
                *([f"expected {one.expected}"] if one.expected and one.verdict.word != "right" else []),
                *([origin] if origin else []),
                *([f"flags: {', '.join(one.flags)}"] if one.flags else []),
            ]
        )
        for one, origin in zip(known, origins(known), strict=True)
    ]


def origins(known: Sequence[Judged]) -> list[str]:
    """The origin of each row; none where all rows have the same one, which is then in the caption."""
    shared = _shared(known)
    return ["" if shared else one.origin for one in known]


def _shared(known: Sequence[Judged]) -> str:
    """The origin of all rows, if it is the same one."""
    origins = {one.origin for one in known}
    return origins.pop() if len(origins) == 1 < len(known) else ""


def verdict_columns(known: Sequence[Judged]) -> dict[str, list[str]]:
    """The columns of verdicts and rewards, where at least one trace has one."""
    columns = {
        "verdict": [f"{one.verdict.sign} {one.verdict.word}" if one.verdict.is_known else "?" for one in known],
        "reward": [one.reward or "–" for one in known],
    }
    return {name: values for name, values in columns.items() if not set(values) <= {"?", "–"}}


def score_columns(page: PageShape, known: Sequence[Judged]) -> dict[str, list[str]]:
    """The columns of the requested scores by heading; the verdict and the flags have places of their own."""
    flags = {name for record in page.shown for name, score in record.scores.items() if score.flag}
    names = [visible(name) for name in page.scores if name != "answer" and name not in flags]
    return {
        f"{name} (score)" if name in _HEADINGS else name: [dict(one.others).get(name, "–") for one in known]
        for name in names
    }


_HEADINGS = {"prompt", "answer", "verdict", "reward", "steps", "chars", "characters", "source", "id"}


def page_caption(page: PageShape, known: Sequence[Judged]) -> str:
    """How many traces the page has, their origin where they have one in common, and by which filters."""
    parts = [f"{count(len(page.records), 'trace')}, {one_line(page.order, _FILTER)}"]
    parts += [shared] if (shared := _shared(known)) else []
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
    'prompt ← ask + with, meta.model ← "toy-1b"'
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
        return as_json(given["value"])
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
    """What is known of a store, by name; `more` is what a lake adds."""
    facts = [("store", str(info.path)), ("traces", f"{info.n_traces:,}"), ("size", size(info.size_bytes))]
    facts.extend((name, f"{utc(moment)} UTC") for name, moment in _moments(info) if moment)
    facts.append(("schema version", str(info.schema_version)))
    facts.extend(getattr(info, "more", ()))
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
