"""Objects as HTML that survives saving: static, safe with any text, and readable without its style."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from markupsafe import Markup, escape

from tunix_rt.render import captions, cells
from tunix_rt.render.characters import one_line, visible
from tunix_rt.render.humanize import count, prefix_length, utc, utc_exact
from tunix_rt.render.outline import outline
from tunix_rt.render.passages import AsItStands, MarkdownSetter, Passage, Typesetter
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
from tunix_rt.render.verdict import judged, score_lines

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_LINE_END = Markup("<br>")
_ANSWER = 40  # characters of an answer in a page, beside its prompt; what is known of it stands in its title
_BREAK_AFTER_SLASH = Markup("/<wbr>")
_TEXTS: dict[str, Callable[[], AsItStands]] = {
    "typeset": Typesetter,
    "plain": AsItStands,
    "markdown": MarkdownSetter,
}


def trace_html(
    trace: TraceShape,
    *,
    id: UUID | None = None,
    created_at: datetime | None = None,
    scores: Mapping[str, EvidenceShape] = MappingProxyType({}),
    text: str = "typeset",
    styled: bool = True,
) -> Markup:
    """The trace as one panel: a line about it, the prompt, the steps on a rail, the answer, and its meta, closed.

    Below the line about it is what is known of it: whether the answer is right, reward, model, training step, flags,
    scores. The answer has the colour of its verdict, and the expected answer beside it.

    Texts over 3,000 characters are cut at about 2,000 with the rest behind a click; steps after the first 6,000
    characters are closed. With `id` and `created_at` it is shown as stored.

    `text` says how texts are shown: "typeset" sets code and mathematics apart, "plain" nothing, "markdown" renders
    prompt, steps and answer, up to 150,000 characters of them; any other is a ValueError. `styled=False` leaves the
    style out, for a page that has it once, from `style()`.
    """
    if text not in _TEXTS:
        raise ValueError(f"text={text} is not a way to show a text; choose one of {', '.join(_TEXTS)}")
    setter = _TEXTS[text]()
    # The answer first: when a trace has more formulas than are set, it is the one that must be readable.
    answer = setter.passage(trace.final_answer) if trace.final_answer else None
    prompt = setter.passage(trace.prompt)
    folds = outline(trace.steps, setter.passage)
    meta = [
        (str(name), setter.value(value) if isinstance(value, str) else _as_json(setter, value))
        for name, value in (trace.meta or {}).items()
    ]
    return rendered(
        "trace",
        id=str(id) if id else None,
        created_at=created_at,
        version=trace.trace_version,
        source=captions.source_of(trace),
        n_steps=len(trace.steps),
        n_chars=captions.n_chars(trace),
        prompt=prompt,
        folds=folds,
        answer=answer,
        truncated=captions.TRUNCATED,
        known=judged(trace.meta, scores),
        scores=score_lines(scores),
        n_scores=len(scores),
        stored=captions.stored_facts(id, created_at),
        meta=meta,
        n_left_plain=setter.n_left_plain,
        style=style() if text == "markdown" and styled else css("style") if styled else "",
    )


def record_html(record: RecordShape, *, text: str = "typeset", styled: bool = True) -> Markup:
    """The stored trace as a panel, with its id, its time and its scores; as `trace_html`."""
    return trace_html(
        record.payload,
        id=record.id,
        created_at=record.created_at,
        scores=record.scores,
        text=text,
        styled=styled,
    )


def style() -> str:
    """The style of all that is shown here, as CSS for one `<style>` of a page."""
    return css("style") + css("markdown")


def _as_json(setter: AsItStands, value: object) -> Passage:
    return setter.code(captions.as_json(value, indent=2 if isinstance(value, dict | list) else None))


def page_html(page: PageShape) -> Markup:
    """The page as a table, newest first, with ids long enough to be distinct; or what to do when it is empty."""
    known = [judged(record.facts, record.scores) for record in page.shown]
    scores = captions.score_columns(page, known)
    said = list(zip(*scores.values(), strict=True)) or [()] * len(known)
    return rendered(
        "page",
        caption=captions.page_caption(page, known) if page.records else None,
        empty=captions.page_empty(page),
        rows=list(zip(page.shown, known, captions.origins(known), said, strict=True)),
        scores=list(scores),
        columns=captions.verdict_columns(known),
        answer_chars=_ANSWER,
        prefix=prefix_length(record.id for record in page.records),
        more=page.next is not None,
    )


def report_html(report: ReportShape, *, styled: bool = True) -> Markup:
    """The report of a load: counts, some traces to check, the first 20 rejected rows with line, field and reason."""
    return rendered(
        "report",
        headline=captions.report_headline(report),
        source=report.source,
        format=report.format,
        passed_over=captions.report_passed_over(report),
        tells_file=bool(captions.report_files(report)),
        mappings=captions.report_mappings(report),
        help=captions.report_help(report),
        samples=captions.report_samples(report),
        samples_caption=captions.SAMPLES,
        answer_chars=_ANSWER,
        rows=(rows := report.rejected[: captions.REJECTED_SHOWN]),
        tells_field=any(row.field for row in rows),
        more=captions.report_more(report),
        **_style_of(styled),
    )


def facts_html(facts: Sequence[tuple[str, str]]) -> Markup:
    """What is known of something, as a small table of names and values."""
    return rendered("info", facts=facts, bars=[])


def info_html(info: InfoShape, *, more: Sequence[tuple[str, str]] = (), styled: bool = True) -> Markup:
    """The store in a few lines (`more` are facts to add to them), with its ten most frequent sources as bars."""
    most = max((n for _, n in info.sources), default=0) or 1
    shown = info.sources[: captions.SOURCES_SHOWN]
    return rendered(
        "info",
        facts=[*captions.info_facts(info), *more],
        bars=[{"name": name, "n": n, "percent": max(1, round(100 * n / most))} for name, n in shown],
        n_more=len(info.sources) - len(shown),
        **_style_of(styled),
    )


def table_html(table: TableShape) -> Markup:
    """A SQL result: its rows, numbers to the right, NULL marked, types in the headers' titles."""
    return rendered("table", typed=True, **rows_of(table))


def summary_html(facts: Sequence[tuple[str, str]], tables: Sequence[CaptionedShape]) -> Markup:
    """Facts, and below them tables, those that have rows."""
    shown = [tuple((rows_of(table) | {"caption": table.caption}).values()) for table in tables if table.rows]
    return rendered("summary", typed=False, facts=facts, tables=shown)


def rows_of(table: TableShape) -> dict[str, Any]:
    """What the template of a table takes."""
    columns = cells.columns(table)
    return {
        "columns": columns,
        "rows": [
            [cells.cell(value, is_number=column.is_number) for column, value in zip(columns, row, strict=True)]
            for row in table.rows
        ],
        "caption": captions.table_caption(table),
    }


def note_html(text: str) -> Markup:
    """A sentence in place of missing content."""
    return rendered("note", text=text)


def saved_html(picture: str, *, id: str) -> Markup:
    """The picture that a notebook keeps of a form; `picture` is HTML made in this room.

    The living form hides it by its class `trt-saved-ID`; where there is no kernel, it hides what the host says of that.
    """
    return rendered("saved", picture=Markup(picture), id=id)  # noqa: S704  made in this room


def _style_of(styled: bool) -> dict[str, str]:  # noqa: FBT001  it is the option of its callers
    return {} if styled else {"style": ""}


def rendered(name: str, **values: object) -> Markup:
    """The template of that name with these values."""
    return Markup(_environment().get_template(f"{name}.html.j2").render(values))  # noqa: S704  autoescaped by jinja2


@cache
def _environment() -> "Environment":
    # Here and not above: importing jinja2 takes longer than the rest of the room.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        # Every value passes through here before it is escaped, so none can be forgotten.
        finalize=_finalize,
    )
    environment.filters |= {
        "count": count,
        "key": _key,
        "lines": _lines,
        "one_line": one_line,
        "path": _path,
        "reason_parts": captions.reason_parts,
        "thousands": "{:,}".format,
        "utc": utc,
        "utc_exact": utc_exact,
    }
    environment.globals["style"] = css("style")
    return environment


def _finalize(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _lines(text: str) -> Markup:
    """A passage's text escaped, its line ends as elements: they must hold where a host strips the style."""
    return escape(text).replace("\n", _LINE_END)


def _path(text: str) -> Markup:
    """The text escaped, able to break a line after each slash."""
    return escape(visible(text)).replace("/", _BREAK_AFTER_SLASH)


def _key(text: str) -> Markup:
    """The text escaped, able to break a line after each sign between its words, and so seldom inside one."""
    return Markup(re.sub(r"(?<=[_./:-])(?=\w)", "<wbr>", escape(visible(text))))  # noqa: S704  escaped before


@cache
def css(name: str) -> Markup:
    """A file of CSS, for a `<style>`."""
    text = (_HERE / "templates" / f"{name}.css").read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    return Markup(re.sub(r" ?([{};]) ?", r"\1", text).strip())  # noqa: S704  our own file
