"""The steps of a trace as they are first seen: the first ones open, later ones closed, and far ones in folds."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tunix_rt.render.characters import one_line
from tunix_rt.render.humanize import count
from tunix_rt.render.passages import LONG, SHOWN, Passage
from tunix_rt.render.protocols import StepShape

_OPEN_CHARACTERS = 6000  # about three screens of text
_OPEN_STEPS = 40  # the same three screens when the steps are short
_CLOSED_STEPS = 40  # rows on about one screen; from there on whole ranges of steps fold
_FOLD = 50
_PEEK = 90
# From this length on a step shows it; shorter steps show it by themselves.
_WORTH_TELLING = 400

# Shown by word, by shape and by colour, for readers who see only some of them. The word that becomes a class comes from
# here, never from a trace. The shapes are in the fonts of every system and have no colourful emoji form.
_GLYPHS = {
    "parse": "◇",
    "plan": "≡",
    "compute": "∑",
    "verify": "✓",
    "backtrack": "↶",
    "result": "◆",
    "step": "•",
    "redacted": "▨",
}


class SeenStep(NamedTuple):
    """A step as its row shows it."""

    i: int
    type: str
    kind: str
    """One of the known types, or "other"."""
    glyph: str
    is_open: bool
    passage: Passage
    n_chars: int
    tells_length: bool
    peek: str
    """The start of a closed step, on one line."""


class Fold(NamedTuple):
    """Neighbouring steps; a fold without a title is laid open."""

    title: str
    steps: list[SeenStep]


def outline(steps: Sequence[StepShape], passage: Callable[[str], Passage]) -> list[Fold]:
    """The steps in order, in folds: first those to lay open, then, of a long trace, ranges of 50 behind a title."""
    seen: list[SeenStep] = []
    characters = 0
    is_open = True
    for n, step in enumerate(steps):
        is_open = is_open and n < _OPEN_STEPS and (n == 0 or characters < _OPEN_CHARACTERS)
        seen.append(_see(step, passage, is_open=is_open))
        n_chars = len(step.content)
        characters += SHOWN if n_chars > LONG else n_chars
    n_open = sum(step.is_open for step in seen)
    if len(seen) - n_open <= _CLOSED_STEPS:
        return [Fold("", seen)]
    return [Fold("", seen[:n_open]), *(_fold(seen, at) for at in range(n_open, len(seen), _FOLD))]


def _see(step: StepShape, passage: Callable[[str], Passage], *, is_open: bool) -> SeenStep:
    kind = step.type.strip().lower()
    glyph = _GLYPHS.get(kind)
    n_chars = len(step.content)
    return SeenStep(
        i=step.i,
        type=step.type,
        kind=kind if glyph else "other",
        glyph=glyph or "○",
        is_open=is_open,
        passage=passage(step.content),
        n_chars=n_chars,
        tells_length=not is_open or n_chars >= _WORTH_TELLING,
        peek="" if is_open else one_line(step.content, _PEEK),
    )


def _fold(seen: list[SeenStep], start: int) -> Fold:
    steps = seen[start : start + _FOLD]
    n_chars = sum(step.n_chars for step in steps)
    title = f"steps {steps[0].i} to {steps[-1].i} · {count(len(steps), 'step')} · {count(n_chars, 'character')}"
    return Fold(title, steps)
