"""Objects as plain text for a terminal of 100 columns."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tunix_rt.render import cells, wording
from tunix_rt.render.characters import fit, one_line, visible, width
from tunix_rt.render.passages import LONG, SHOWN
from tunix_rt.render.quantities import count, prefix_length, utc
from tunix_rt.render.shapes import InfoShape, PageShape, ReportShape, TableShape, TraceShape

_COLUMNS = 100
_GAP = "  "
_NARROWEST = 4  # columns of a terminal below which a value says nothing
_STEPS_SHOWN = 100
_BAR = 30


def trace_text(trace: TraceShape, *, id: UUID | None = None, created_at: datetime | None = None) -> str:  # noqa: A002
    """The trace as lines; of a text over 3,000 characters the first 2,000, and of many steps the first 100.

    What is left out is said, with where to find it.
    """
    head = [f"{utc(created_at)} UTC"] if created_at else []
    head.extend(filter(None, [wording.source_of(trace)]))
    head += [
        count(len(trace.steps), "step"),
        count(wording.n_chars(trace), "character"),
        f"format {trace.trace_version}",
    ]
    lines = [f"Trace {id}" if id else "Trace", " · ".join(head), "", "Prompt"]
    lines += _indented(_shortened(trace.prompt, "trace.prompt"), 2)
    lines += ["", "Steps"]
    for n, step in enumerate(trace.steps[:_STEPS_SHOWN]):
        lines += ["", f"  [{step.i}] {step.type}"] if n else [f"  [{step.i}] {step.type}"]
        lines += _indented(_shortened(step.content, f"trace.steps[{n}].content"), 6)
    if not trace.steps:
        lines.append("  no steps")
    if len(trace.steps) > _STEPS_SHOWN:
        lines += ["", f"  … {count(len(trace.steps) - _STEPS_SHOWN, 'more step')} in trace.steps"]
    lines += ["", "Answer"]
    answer = trace.final_answer
    lines += _indented(_shortened(answer, "trace.final_answer") if answer else wording.TRUNCATED, 2)
    if trace.meta:
        lines += ["", "Meta"]
        for name, value in trace.meta.items():
            shown = value if isinstance(value, str) else wording.as_json(value)
            lines += _indented(f"{name}: {_shortened(shown, 'trace.meta')}", 2)
    return _clean(lines)


def page_text(page: PageShape) -> str:
    """The page as aligned columns, newest first; or what to do when it is empty."""
    if not page.records:
        return visible(wording.page_empty(page))
    prefix = prefix_length(record.id for record in page.records)
    header = ["created, UTC", "prompt", "steps", "characters", "source", "id"]
    rows = [
        [
            utc(record.created_at),
            one_line(record.preview, _COLUMNS),
            f"{record.n_steps:,}",
            f"{record.n_chars:,}",
            one_line(record.source or "–", 20),
            str(record.id)[:prefix],
        ]
        for record in page.records
    ]
    lines = [wording.page_caption(page), "", *_table(header, rows, right={2, 3}, gives=1)]
    if page.next is not None:
        lines += ["", "more: page.next_page()"]
    return _clean(lines)


def report_text(report: ReportShape) -> str:
    """What a load did: the counts, then the first 20 rejected rows with line, field and reason."""
    lines = [wording.report_headline(report)]
    lines += filter(None, [wording.report_interrupted(report)])
    lines.append(f"from {report.source} · format {report.format}")
    if report.rejected:
        tells_file = bool(wording.report_files(report))
        header = ["file", "line", "field", "reason", "start of the row"][not tells_file :]
        rows = [
            [row.file, "–" if row.line is None else f"{row.line:,}", row.field or "–", row.reason, row.text][
                not tells_file :
            ]
            for row in report.rejected[: wording.REJECTED_SHOWN]
        ]
        lines += ["", *_table(header, rows, right={header.index("line")}, gives=len(header) - 1)]
    lines += filter(None, [wording.report_more(report)])
    return _clean(lines)


def info_text(info: InfoShape) -> str:
    """The store in a few lines, with its ten most frequent sources as bars."""
    facts = wording.info_facts(info)
    widest = max(len(name) for name, _ in facts)
    lines = [f"{name:<{widest}}{_GAP}{value}" for name, value in facts]
    shown = info.sources[: wording.SOURCES_SHOWN]
    if shown:
        most = max(n for _, n in info.sources) or 1
        rows = [
            ["no source" if name is None else one_line(name, 40), f"{n:,}", "█" * max(1, round(_BAR * n / most))]
            for name, n in shown
        ]
        lines += ["", *_table(["source", "traces", ""], rows, right={1}, gives=0)]
    if len(info.sources) > len(shown):
        lines.append(f"and {len(info.sources) - len(shown):,} more")
    return _clean(lines)


def table_text(table: TableShape) -> str:
    """A SQL result as aligned columns; columns that do not fit are counted."""
    columns = cells.columns(table)
    # As many columns as have room to say something.
    columns = columns[: (_COLUMNS + len(_GAP)) // (_NARROWEST + len(_GAP))]
    rows = [
        [cells.cell(value, is_number=column.is_number).text for column, value in zip(columns, row, strict=False)]
        for row in table.rows
    ]
    right = {n for n, column in enumerate(columns) if column.is_number}
    lines = [
        *_table([column.name for column in columns], rows, right=right),
        wording.table_caption(table, len(columns)),
    ]
    return _clean(lines)


def _shortened(text: str, where: str) -> str:
    if len(text) <= LONG:
        return text
    return f"{text[:SHOWN]}\n… {count(len(text) - SHOWN, 'more character')} in {where}"


def _indented(text: str, by: int) -> list[str]:
    return [" " * by + line for line in visible(text).split("\n")]


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: set[int], gives: int | None = None
) -> list[str]:
    """Lines of aligned columns within 100; too wide, the column that `gives` yields first, then always the widest."""
    grid = [[one_line(visible(text), _COLUMNS) for text in row] for row in [header, *rows]]
    widths = [max(width(row[n]) for row in grid) for n in range(len(header))]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - _COLUMNS
    if over > 0 and gives is not None:
        given = min(over, max(0, widths[gives] - 24))
        widths[gives] -= given
        over -= given
    for _ in range(over):
        widths[widths.index(max(widths))] -= 1
    lines = [_GAP.join(_aligned(text, widths[n], right=n in right) for n, text in enumerate(row)) for row in grid]
    return [lines[0], _GAP.join("─" * each for each in widths), *lines[1:]]


def _aligned(text: str, columns: int, *, right: bool) -> str:
    text = fit(text, columns)
    padding = " " * (columns - width(text))
    return padding + text if right else text + padding


def _clean(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in visible("\n".join(lines)).split("\n"))
