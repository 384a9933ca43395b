"""Two traces side by side: their prompts, aligned steps and answers, with the words that differ marked."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from markupsafe import Markup

from tunix_rt.render import captions
from tunix_rt.render.characters import one_line, visible
from tunix_rt.render.html import css, rendered, rows_of
from tunix_rt.render.humanize import count, prefix_length
from tunix_rt.render.passages import LONG, SHOWN
from tunix_rt.render.protocols import AlignedShape, ComparisonShape, SpanShape, StepShape, TraceShape
from tunix_rt.render.text import indented, shortened, summary_text
from tunix_rt.render.verdict import VERDICTS

# By word, by shape and by colour, for readers who see only some of them.
_KINDS = {
    "equal": ("=", "equal"),
    "changed": ("≈", "changed"),
    "deleted": ("−", "only in A"),
    "inserted": ("+", "only in B"),
}
_ROWS_OPEN = 60  # about ten screens; the rest is behind a click
_ROWS_HTML = 1_000  # a notebook is saved with all of them: a megabyte or two
_ROWS_TEXT = 100
_NUMBERS = 12
_NAME = 40  # characters of a name in a caption


class _Cell(NamedTuple):
    """One side of a row; `rest` is what a click shows of a long text."""

    label: str
    spans: list[tuple[str, bool]]
    rest: list[tuple[str, bool]]
    n_rest: int


class _Row(NamedTuple):
    """Two texts beside each other, or one that both have."""

    kind: str
    glyph: str
    head: str
    a: _Cell | None
    b: _Cell | None


class _Fold(NamedTuple):
    """Rows behind a title; without one they are laid open."""

    title: str
    rows: list[_Row]


def comparison_html(comparison: ComparisonShape) -> Markup:
    """The comparison: facts and scores, then both traces in two columns, or one below the other where it is narrow.

    Equal steps are folded into ranges; what differs is marked as deleted and inserted words. Rows after the 60th are
    behind a click, those after the 1,000th left out, and texts are cut as those of a trace are.
    """
    rows = [_row(one, comparison.a.steps, comparison.b.steps) for one in comparison.steps[:_ROWS_HTML]]
    return rendered(
        "comparison",
        style=css("style") + css("comparison"),
        typed=False,
        facts=comparison._facts,  # noqa: SLF001  what the object shows of itself
        tables=[
            tuple((rows_of(table) | {"caption": table.caption}).values())
            for table in comparison._tables  # noqa: SLF001
            if table.rows
        ],
        sides=[f"{letter} · {said}" for letter, said in zip("AB", _sides(comparison), strict=True)],
        verdicts=[VERDICTS[one] for one in comparison.verdicts],
        prompt=_different(comparison.prompt, comparison.a.prompt, comparison.b.prompt),
        folds=list(_folds(rows)),
        n_more=len(comparison.steps) - len(rows),
        answer=_different(
            comparison.answer, *(one.final_answer or captions.TRUNCATED for one in (comparison.a, comparison.b))
        ),
    )


def _sides(comparison: ComparisonShape) -> list[str]:
    known = [one for one in comparison.ids if one]
    length = prefix_length(set(known)) if known else 0
    return [
        _side(trace, id, length)
        for trace, id in zip((comparison.a, comparison.b), comparison.ids, strict=True)  # noqa: A001
    ]


def _side(trace: TraceShape, id: UUID | None, length: int) -> str:
    meta = trace.meta or {}
    named = [(name, meta.get(key)) for name, key in (("", "model"), ("run ", "run"), ("step ", "training_step"))]
    parts = [str(id)[:length]] if id else []
    parts += [f"{name}{one_line(str(value), _NAME)}" for name, value in named if isinstance(value, str | int | float)]
    parts += [source] if (source := captions.source_of(trace)) else []
    return " · ".join([*parts, count(len(trace.steps), "step"), count(captions.n_chars(trace), "character")])


def _row(one: AlignedShape, a: Sequence[StepShape], b: Sequence[StepShape]) -> _Row:
    of_a, of_b = (steps[at] if at is not None else None for steps, at in ((a, one.a), (b, one.b)))
    labels = [step and f"[{step.i}] {step.type}" for step in (of_a, of_b)]
    row = _row_of(one, of_a.content if of_a else "", of_b.content if of_b else "")
    return row._replace(
        a=row.a and row.a._replace(label=labels[0] or ""), b=row.b and row.b._replace(label=labels[1] or "")
    )


def _row_of(one: AlignedShape, a: str, b: str) -> _Row:
    glyph, head = _KINDS[one.kind]
    if one.kind == "changed":
        head += f", similarity {one.similarity:.2f}"
    if any(one.numbers):
        head += f" · numbers: {_numbers(one.numbers[0])} in A; {_numbers(one.numbers[1])} in B"
    # What is equal is there once.
    cells = [
        None if at is None or (one.kind == "equal" and at_b) else _cell(text, words)
        for at, at_b, text, words in ((one.a, False, a, one.words[0]), (one.b, True, b, one.words[1]))
    ]
    return _Row(one.kind, glyph, head, *cells)


def _different(one: AlignedShape, a: str, b: str) -> _Row:
    """The prompts or the answers: how similar they are matters less than that they differ."""
    row = _row_of(one, a, b)
    return row if one.kind == "equal" else row._replace(head="different")


def _numbers(numbers: Sequence[str]) -> str:
    shown = [one_line(number, _NAME) for number in numbers[:_NUMBERS]]
    return ", ".join([*shown, *(["…"] if len(numbers) > _NUMBERS else [])]) or "none"


def _cell(text: str, words: Sequence[SpanShape]) -> _Cell:
    spans = [(visible(one.text), one.changed) for one in words] or [(visible(text), False)]
    if sum(len(one) for one, _ in spans) <= LONG:
        return _Cell("", spans, [], 0)
    head: list[tuple[str, bool]] = []
    left = SHOWN
    for n, (one, changed) in enumerate(spans):
        if len(one) > left:
            rest = [(one[left:], changed), *spans[n + 1 :]]
            return _Cell("", [*head, (one[:left], changed)], rest, sum(len(each) for each, _ in rest))
        head.append((one, changed))
        left -= len(one)
    return _Cell("", head, [], 0)


def _folds(rows: list[_Row]) -> Iterator[_Fold]:
    """Runs of equal steps behind a title, the others open, and what is far behind another one."""
    end = _end(rows, _ROWS_OPEN)
    yield from _runs(rows[:end])
    if more := rows[end:_ROWS_HTML]:
        yield _Fold(f"{count(len(more), 'more row')}", more)


def _end(rows: list[_Row], most: int) -> int:
    """How many rows there are up to the last of the first `most` that are not equal."""
    differ = [at for at, row in enumerate(rows) if row.kind != "equal"]
    return differ[most] if len(differ) > most else len(rows)


def _runs(rows: list[_Row]) -> Iterator[_Fold]:
    for kind, group in groupby(rows, lambda row: row.kind):
        run = list(group)
        yield _Fold(_equal(run) if kind == "equal" else "", run)


def _equal(run: list[_Row]) -> str:
    first, last = (row.a.label if row.a else "" for row in (run[0], run[-1]))
    return f"= {count(len(run), 'equal step')}: {first}" + (f" to {last}" if len(run) > 1 else "")


def comparison_text(comparison: ComparisonShape, *, columns: int | None = None) -> str:
    """The comparison as lines: the facts, then the steps, those of A after `-`, those of B after `+`.

    Equal steps are counted, of many rows the first 100 shown, and texts cut as those of a trace are.
    """
    facts = [(letter, said) for letter, said in zip("AB", _sides(comparison), strict=True)]
    lines = [summary_text([*facts, *comparison._facts], comparison._tables)]  # noqa: SLF001
    lines += ["", "Steps"]
    rows = [_row(one, comparison.a.steps, comparison.b.steps) for one in comparison.steps]
    end = _end(rows, _ROWS_TEXT)
    for fold in _runs(rows[:end]):
        if fold.title:
            lines += ["", f"  {fold.title}"]
            continue
        for row in fold.rows:
            lines += ["", f"  {row.glyph} {row.head}"]
            for sign, cell, at in (("-", row.a, "a"), ("+", row.b, "b")):
                if cell:
                    text = shortened("".join(one for one, _ in [*cell.spans, *cell.rest]), f"comparison.{at}")
                    lines += indented(f"{sign} {cell.label}", 4, columns) + indented(text, 8, columns)
    if not rows:
        lines.append("  no steps")
    if len(rows) > end:
        lines += ["", f"  … {count(len(rows) - end, 'more row')} in comparison.steps"]
    return "\n".join(line.rstrip() for line in visible("\n".join(lines)).split("\n"))
