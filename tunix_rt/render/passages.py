"""A text of a trace made ready to be laid out: blocks of prose, code and mathematics, cut when it is long."""

import unicodedata
from typing import NamedTuple

from tunix_rt.render.characters import visible
from tunix_rt.render.segments import Kind, Segment, segments

LONG = 3000
"""Characters beyond which a text is cut: about a screen and a half at 80 characters a line."""
SHOWN = 2000
"""Characters of a long text that are shown at once, one screen."""
_SEARCHED = 500  # characters before the cut that are searched for a line end, then for a space
# Formulas and code blocks in one output. MathJax takes 1-2 ms for each, and a megabyte of `$x$` would hold up the page.
_MOST_SET = 500


class Part(NamedTuple):
    """A run of prose, or a formula within it."""

    text: str
    is_tex: bool


class Block(NamedTuple):
    """What is laid out below one another; exactly one of prose, code and TeX is filled."""

    prose: list[Part]
    code: str | None = None
    language: str = ""
    tex: str | None = None


class Passage(NamedTuple):
    """A text laid out, in two when it is long."""

    blocks: list[Block]
    rest: list[Block]
    """What follows the cut; empty when the text is shown whole."""
    n_rest: int
    """Characters of the source that follow the cut."""


class AsItStands:
    """Makes the passages of one output with nothing in them set apart."""

    def passage(self, text: str) -> Passage:
        """The text, made visible, as one block of prose; beyond 3,000 characters cut like any other."""
        text = visible(text)
        return _passage([Segment(Kind.PROSE, text, text)], len(text))

    def code(self, text: str) -> Passage:
        """The text as one block of code, cut like any other."""
        return _passage([Segment(Kind.CODE, text, text)], len(text))


class Typesetter(AsItStands):
    """Makes the passages of one output; after 500 formulas and code blocks texts show as they stand."""

    def __init__(self) -> None:
        self._left = _MOST_SET

    def passage(self, text: str) -> Passage:
        """The text, made visible, as blocks; beyond 3,000 characters cut near the 2,000th, best at a line end."""
        text = visible(text)
        found = segments(text, most=self._left)
        self._left -= sum(segment.kind is not Kind.PROSE for segment in found)
        return _passage(found, len(text))


def _passage(found: list[Segment], n_chars: int) -> Passage:
    head, rest = _cut(found, SHOWN) if n_chars > LONG else (found, [])
    return Passage(_blocks(head), _blocks(rest), sum(len(segment.source) for segment in rest))


def _blocks(found: list[Segment]) -> list[Block]:
    blocks: list[Block] = []
    for n, segment in enumerate(found):
        if segment.kind is Kind.CODE:
            blocks.append(Block([], code=segment.text.removesuffix("\n"), language=segment.language))
        elif segment.kind is Kind.DISPLAY:
            blocks.append(Block([], tex=segment.text))
        else:
            text = segment.text
            # A block stands apart by itself: the line ends around it would only widen the gap.
            if blocks and not blocks[-1].prose:
                text = text.lstrip(" \n" if blocks[-1].tex else "\n")
            if n + 1 < len(found) and found[n + 1].kind in {Kind.CODE, Kind.DISPLAY}:
                text = text.rstrip("\n")
            if not text:
                continue
            if not blocks or not blocks[-1].prose:
                blocks.append(Block([]))
            blocks[-1].prose.append(Part(text, is_tex=segment.kind is Kind.INLINE))
    return blocks


def _cut(found: list[Segment], at: int) -> tuple[list[Segment], list[Segment]]:
    """The segments before and after a place near `at`; a formula is never cut, code is cut between its lines."""
    taken = 0
    for n, segment in enumerate(found):
        if taken + len(segment.source) <= at:
            taken += len(segment.source)
            continue
        if segment.kind not in {Kind.PROSE, Kind.CODE}:
            return found[: n + 1], found[n + 1 :]
        fence = segment.source.index(segment.text)
        end = _break_point(segment.text, at - taken - fence)
        if not 0 < end < len(segment.text):
            n += end > 0  # noqa: PLW2901  all of the segment goes to one side
            return found[:n], found[n:]
        first = segment._replace(text=segment.text[:end], source=segment.source[: fence + end])
        second = Segment(segment.kind, segment.text[end:], segment.source[fence + end :])
        return [*found[:n], first], [second, *found[n + 1 :]]
    return found, []


def _break_point(text: str, at: int) -> int:
    if at <= 0:
        return 0
    for sign in "\n ":
        end = text.rfind(sign, max(0, at - _SEARCHED), at) + 1
        if end:
            return end
    # Between a letter and its accents, or inside a joined emoji, is no place to cut.
    while 0 < at < len(text) and unicodedata.category(text[at]) in {"Mn", "Me", "Cf", "Sk"}:
        at -= 1
    return at
