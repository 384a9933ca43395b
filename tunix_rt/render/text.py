"""Objects as plain text for a terminal, of 100 columns unless another width is given."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from tunix_rt.render import captions, cells
from tunix_rt.render.characters import fit, folded, one_line, visible, width
from tunix_rt.render.humanize import Ids, count, prefix_length, utc
from tunix_rt.render.passages import LONG, SHOWN
from tunix_rt.render.protocols import (
    CaptionedShape,
    EvidenceShape,
    InfoShape,
    PageShape,
    RecordShape,
    ReportShape,
    TableShape,
    TraceShape,
)
from tunix_rt.render.verdict import Judged, judged, score_lines

COLUMNS = 100
_GAP = "  "
_NARROWEST = 8  # columns of a terminal below which most values say nothing
_STEPS_SHOWN = 100
_BAR = 30
_SAMPLE = 40  # columns of a sample's answer
_SOURCE = 14  # leaves more than 30 columns to the prompt
_PROMPT = 24  # columns below which no answer stands beside the prompt


def trace_text(
    trace: TraceShape,
    *,
    id: UUID | None = None,
    created_at: datetime | None = None,
    scores: Mapping[str, EvidenceShape] = MappingProxyType({}),
    columns: int | None = None,
    whole: bool = False,
) -> str:
    """The trace as lines; of a text over 3,000 characters the first 2,000, and of many steps the first 100.

    Below its head is what is known of it: whether the answer is right, reward, model, training step, flags, scores.

    A note shows what is left out and where to find it; `whole` leaves nothing out. Lines keep their length,
    or folded to `columns`.

    >>> from types import SimpleNamespace as Any
    >>> steps = [Any(i=0, type="compute", content="1 + 1 = 2")]
    >>> print(trace_text(Any(trace_version="1.0", prompt="1 + 1?", steps=steps, final_answer="2", meta=None)))
    Trace
    1 step · 16 characters · format 1.0
    <BLANKLINE>
    Prompt
      1 + 1?
    <BLANKLINE>
    Steps
      [0] compute
          1 + 1 = 2
    <BLANKLINE>
    Answer
      2
    """
    head = [f"{utc(created_at)} UTC"] if created_at else []
    head.extend(filter(None, [captions.source_of(trace)]))
    head += [
        count(len(trace.steps), "step"),
        count(captions.n_chars(trace), "character"),
        f"format {trace.trace_version}",
    ]

    def body(text: str, where: str, by: int = 2) -> list[str]:
        text = text.rstrip() or text
        return indented(text if whole else shortened(text, where), by, columns)

    known = judged(trace.meta, scores)
    lines = [f"Trace {id}" if id else "Trace", *indented(" · ".join(head), 0, columns)]
    lines += indented(told, 0, columns) if (told := " · ".join(captions.known(known))) else []
    lines += ["", "Prompt"]
    lines += body(trace.prompt, "trace.prompt")
    lines += ["", "Steps"]
    n_shown = len(trace.steps) if whole else _STEPS_SHOWN
    for n, step in enumerate(trace.steps[:n_shown]):
        lines += ["", f"  [{step.i}] {step.type}"] if n else [f"  [{step.i}] {step.type}"]
        lines += body(step.content, f"trace.steps[{n}].content", 6)
    if not trace.steps:
        lines.append("  no steps")
    if len(trace.steps) > n_shown:
        lines += ["", f"  … {count(len(trace.steps) - n_shown, 'more step')} in trace.steps"]
    lines += ["", f"Answer: {captions.verdict(known)}" if known.verdict.is_known or known.expected else "Answer"]
    lines += body(trace.final_answer or captions.TRUNCATED, "trace.final_answer")
    if scores:
        lines += ["", "Scores"]
        lines += [line for name, told in score_lines(scores) for line in body(f"{name}: {told}", "scores")]
    if trace.meta:
        lines += ["", "Meta"]
        for name, value in trace.meta.items():
            shown = value if isinstance(value, str) else captions.as_json(value)
            lines += body(f"{name}: {shown}", "trace.meta")
    return _clean(lines)


def record_text(record: RecordShape, *, columns: int | None = None, whole: bool = False) -> str:
    """The stored trace as lines, with its id, its time and its scores; as `trace_text`."""
    return trace_text(
        record.payload,
        id=record.id,
        created_at=record.created_at,
        scores=record.scores,
        columns=columns,
        whole=whole,
    )


def page_text(page: PageShape, *, columns: int = COLUMNS, more: str = "more: page.next_page()") -> str:
    """The page as aligned columns, newest first; or what to do when it is empty. `more` is shown if there are more."""
    if not page.records:
        return visible(captions.page_empty(page))
    records = page.shown
    known = [judged(record.facts, record.scores) for record in records]
    prefix = prefix_length(record.id for record in records)
    scores = captions.score_columns(page, known)
    table = {
        "created, UTC": [utc(record.created_at) for record in records],
        "prompt": [one_line(record.preview, columns) for record in records],
        "answer": [one_line(record.answer or "–", columns) for record in records],
        **captions.verdict_columns(known),
        **scores,
        "steps": [f"{record.n_steps:,}" for record in records],
        "chars": [f"{record.n_chars:,}" for record in records],
        "source": [one_line(record.source or "–", _SOURCE) for record in records],
        "id": [str(record.id)[:prefix] for record in records],
    }
    _drop_columns(table, columns, scores)
    right = {
        n for n, name in enumerate(table) if name in ("reward", "steps", "chars") or _are_numbers(scores.get(name))
    }
    firm = {n for n, name in enumerate(table) if name != "prompt"}
    lines = _table(list(table), list(zip(*table.values(), strict=True)), right=right, firm=firm, columns=columns)
    below = lines[1].index(" ") + len(_GAP)
    lines = [captions.page_caption(page, known), "", *lines[:2], *_with_notes(lines[2:], known, below, columns)]
    if page.next is not None and more:
        lines += ["", more]
    return _clean(lines)


def _drop_columns(table: dict[str, list[str]], columns: int, scores: Collection[str]) -> None:
    """Leaves out the columns of a page that have no room beside the start of the prompts; cuts the answers."""
    widths = {name: max(map(width, [name, *values])) for name, values in table.items()}
    prompt, answer = min(_PROMPT, widths["prompt"]), min(_NARROWEST, widths["answer"])

    def room() -> int:
        """What is left for the answers."""
        return columns - prompt - sum(widths[name] + len(_GAP) for name in table if name not in ("prompt", "answer"))

    # Verdicts, rewards and scores say more than sizes.
    for name in ("chars", "source", "steps") if {"verdict", "reward", *scores} & table.keys() else ():
        if room() < answer + len(_GAP):
            del table[name]
    if room() >= answer + len(_GAP):
        table["answer"] = [fit(text, room() - len(_GAP)) for text in table["answer"]]
        return
    del table["answer"]
    # In 80 columns, too, the prompts are long enough to be distinct.
    for name in ("chars", "source", *reversed(list(scores)), "reward"):
        if name in table and room() < 0:
            del table[name]


def _with_notes(rows: Sequence[str], known: Sequence[Judged], by: int, columns: int) -> Iterator[str]:
    """The rows of a page, each with a line below it for what else is known of its trace."""
    for row, told in zip(rows, captions.notes(known), strict=True):
        yield row
        if told:
            yield " " * by + fit(told, columns - by)


def _are_numbers(values: Sequence[str] | None) -> bool:
    return values is not None and all(re.fullmatch(r"-?[\d.]+(?:e[-+]\d+)?|–", value) for value in values)


def report_text(report: ReportShape, *, columns: int = COLUMNS, rest: str = "report.rejected") -> str:
    """The report of a load: the counts, some traces to check, the first 20 rejected rows with line, field and reason.

    `rest` says where the other rejected rows are.
    """
    lines = [captions.report_headline(report)]
    read_as = f" · format {report.format}" if report.format else ""
    lines.append(f"from {report.source}{read_as}{captions.report_passed_over(report)}")
    lines += [one_line(mapping, 10 * columns) for mapping in captions.report_mappings(report)]
    if samples := captions.report_samples(report):
        rows = [
            [one_line(trace.prompt, columns), f"{len(trace.steps):,}", one_line(trace.final_answer or "–", _SAMPLE)]
            for trace in samples
        ]
        lines += ["", *_table([captions.SAMPLES, "steps", "answer"], rows, right={1}, firm={1, 2}, columns=columns)]
    tells_file = bool(captions.report_files(report))
    for row in report.rejected[: captions.REJECTED_SHOWN]:
        where = [one_line(row.file, columns)] if tells_file else []
        where += [] if row.line is None else [f"line {row.line:,}"]
        where += [row.field] if row.field else []
        lines += ["", "  " + (", ".join(where) or "somewhere in the file")]
        lines += indented(captions.reason_parts(row.reason)[0], 4, columns)
        lines += ["    " + fit(one_line(visible(row.text), columns), columns - 4)] if row.text else []
    for help_text in captions.report_help(report):
        lines += ["", *indented(help_text, 0, columns)]
    more = captions.report_more(report, rest)
    return _clean([*lines, "", more] if more else lines)


def report_line(report: ReportShape, *, at: datetime, columns: int = COLUMNS) -> str:
    """The result of one check of a running job's files, as a line of a log; below it the first 20 rejected rows."""
    lines = [f"{utc(at)} UTC  {captions.report_headline(report)} · {report.format}"]
    for row in report.rejected[: captions.REJECTED_SHOWN]:
        where = [row.file, *([] if row.line is None else [f"line {row.line:,}"]), *([row.field] if row.field else [])]
        lines += indented(f"{', '.join(where)}: {row.reason}", 4, columns)
    return _clean(lines)


def facts_text(facts: Sequence[tuple[str, str]]) -> str:
    """Facts, a line for each: its name and its value.

    >>> print(facts_text([("store", "runs.duckdb"), ("traces read", "7,473")]))
    store        runs.duckdb
    traces read  7,473
    """
    return _clean(_fact_lines(facts))


def _fact_lines(facts: Sequence[tuple[str, str]]) -> list[str]:
    widest = max(len(name) for name, _ in facts)
    return [f"{name:<{widest}}{_GAP}{value}" for name, value in facts]


def info_text(info: InfoShape, *, columns: int = COLUMNS, compact: str = "store.compact()") -> str:
    """The store in a few lines, with its ten most frequent sources as bars; `compact` is how it is compacted."""
    lines = _fact_lines(captions.info_facts(info, compact))
    shown = info.sources[: captions.SOURCES_SHOWN]
    if shown:
        most = max(n for _, n in info.sources) or 1
        rows = [
            ["no source" if name is None else one_line(name, 40), f"{n:,}", "█" * max(1, round(_BAR * n / most))]
            for name, n in shown
        ]
        lines += ["", *_table(["source", "traces", ""], rows, right={1}, firm={1, 2}, columns=columns)]
    if len(info.sources) > len(shown):
        lines.append(f"and {len(info.sources) - len(shown):,} more")
    return _clean(lines)


def table_text(table: TableShape, caption: str | None = None) -> str:
    """A SQL result as aligned columns; columns that do not fit are counted, unless there is another `caption`.

    >>> from types import SimpleNamespace as Any
    >>> print(table_text(Any(columns=["source", "n"], types=["VARCHAR", "BIGINT"], rows=[("gsm8k", 7473)], n_rows=1)))
    source     n
    ──────  ────
    gsm8k   7473
    1 row
    """
    columns = cells.columns(table)
    rows = [
        [cells.cell(value, is_number=column.is_number).text for column, value in zip(columns, row, strict=True)]
        for row in table.rows
    ]
    header = [column.name for column in columns]
    n_columns = _fitting([header, *rows])
    right = {n for n, column in enumerate(columns) if column.is_number}
    moments = {n for n, column in enumerate(columns) if column.type.startswith(("TIMESTAMP", "DATE"))}
    ids = {n for row in table.rows for n, value in enumerate(row) if isinstance(value, Ids)}
    shown = [row[:n_columns] for row in rows]
    lines = _table(header[:n_columns], shown, right=right, firm=right | moments | ids)
    return _clean([*lines, captions.table_caption(table, n_columns) if caption is None else caption])


def summary_text(facts: Sequence[tuple[str, str]], tables: Sequence[CaptionedShape]) -> str:
    """Facts, and below them tables, those that have rows."""
    shown = [table_text(table, table.caption) for table in tables if table.rows]
    return "\n\n".join([facts_text(facts), *shown] if facts else shown)


def _fitting(grid: Sequence[Sequence[str]]) -> int:
    """How many of the columns, at least one, have room for their values or for the start of them."""
    left = COLUMNS + len(_GAP)
    for n, column in enumerate(zip(*grid, strict=True)):
        left -= min(_NARROWEST, max(len(text) for text in column)) + len(_GAP)
        if left < 0:
            return max(1, n)
    return len(grid[0])


def shortened(text: str, where: str) -> str:
    """The first 2,000 characters of a text over 3,000, and `where` the others are."""
    if len(text) <= LONG:
        return text
    return f"{text[:SHOWN]}\n… {count(len(text) - SHOWN, 'more character')} in {where}"


def indented(text: str, by: int, columns: int | None = None) -> list[str]:
    """The lines of the text, made visible, with spaces in front; folded to `columns`."""
    lines = visible(text).split("\n")
    if columns is not None:
        lines = [part for line in lines for part in folded(line, max(_NARROWEST, columns - by))]
    return [" " * by + line for line in lines]


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: set[int],
    firm: set[int],
    columns: int = COLUMNS,
) -> list[str]:
    """Lines of aligned columns; too wide, the widest columns yield, and the `firm` ones only at last."""
    grid = [[one_line(visible(text), columns) for text in row] for row in [header, *rows]]
    widths = [max(width(row[n]) for row in grid) for n in range(len(header))]
    for _ in range(sum(widths) + len(_GAP) * (len(widths) - 1) - columns):
        yielding = [n for n in range(len(widths)) if n not in firm and widths[n] > _NARROWEST] or range(len(widths))
        widths[max(yielding, key=widths.__getitem__)] -= 1
    lines = [_GAP.join(_aligned(text, widths[n], right=n in right) for n, text in enumerate(row)) for row in grid]
    return [lines[0], _GAP.join("─" * each for each in widths), *lines[1:]]


def _aligned(text: str, columns: int, *, right: bool) -> str:
    text = fit(text, columns)
    padding = " " * (columns - width(text))
    return padding + text if right else text + padding


def _clean(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in visible("\n".join(lines)).split("\n"))
