"""A text of a trace made ready to be laid out: blocks of prose, code and mathematics, cut when it is long."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from tunix_rt.render.characters import visible
from tunix_rt.render.segments import Kind, Segment, segments

LONG = 3000
"""Characters beyond which a text is cut: about a screen and a half at 80 characters a line."""
SHOWN = 2000
"""Characters of a long text that are shown at once, one screen."""
_SEARCHED = 500  # characters before the cut that are searched for a line end, then for a space
# Formulas and code blocks in one output. MathJax takes 1-2 ms for each, and a megabyte of `$x$` would hold up the page.
_MOST_SET = 500
# Characters of one output that are rendered as Markdown: 60 ms when they are prose, 0.5 s when all of them are tables,
# lists and links, 3 s when they are nothing but `![`.
_MOST_MARKDOWN = 150_000


class Part(NamedTuple):
    """A run of prose, or a formula within it."""

    text: str
    is_tex: bool


class Block(NamedTuple):
    """What is laid out below one another; exactly one of prose, code, TeX and Markdown is filled."""

    prose: list[Part]
    code: str | None = None
    language: str = ""
    tex: str | None = None
    markdown: Markup | None = None


class Passage(NamedTuple):
    """A text laid out, in two when it is long."""

    blocks: list[Block]
    rest: list[Block]
    """The text after the cut; empty when all of it is shown."""
    n_rest: int
    """Characters of the source that follow the cut."""


class AsItStands:
    """Makes the passages of one output with nothing in them set apart."""

    n_left_plain = 0
    """Characters that are shown as plain text because there are too many to render."""

    def passage(self, text: str) -> Passage:
        """The text, made visible, as one block of prose; beyond 3,000 characters cut like any other."""
        text = _without_blank_end(visible(text))
        return _passage([Segment(Kind.PROSE, text, text)], len(text))

    def value(self, text: str) -> Passage:
        """A text of meta, in the same way; never as Markdown, because it was not written as such."""
        return self.passage(text)

    def code(self, text: str) -> Passage:
        """The text as one block of code, cut like any other."""
        return _passage([Segment(Kind.CODE, text, text)], len(text))


class Typesetter(AsItStands):
    """Makes the passages of one output; after 500 formulas and code blocks texts are shown as plain text."""

    def __init__(self) -> None:
        self._left = _MOST_SET

    def passage(self, text: str) -> Passage:
        """The text, made visible, as blocks; beyond 3,000 characters cut near the 2,000th, best at a line end."""
        text = _without_blank_end(visible(text))
        found = segments(text, most=self._left)
        self._left -= sum(segment.kind is not Kind.PROSE for segment in found)
        return _passage(found, len(text))


class MarkdownSetter(AsItStands):
    """Makes the passages of one output as Markdown; after 150,000 characters texts are shown as plain text."""

    def __init__(self) -> None:
        self._left = _MOST_MARKDOWN
        self._formulas_left = _MOST_SET
        self._values = Typesetter()

    def passage(self, text: str) -> Passage:
        """The text, made visible, as Markdown; a long one in two parts that are rendered separately."""
        text = _without_blank_end(visible(text))
        found = segments(text, most=len(text))
        if len(text) <= LONG:
            return Passage(self._blocks(found), [], 0)
        head, rest = _cut_markdown(found, SHOWN)
        n_rest = len(text) - sum(len(segment.source) for segment in head)
        return Passage(self._blocks(head), self._blocks(rest), n_rest)

    def value(self, text: str) -> Passage:
        """The text, made visible, with code and mathematics set apart."""
        return self._values.passage(text)

    def _blocks(self, found: list[Segment]) -> list[Block]:
        # Here and not above: importing the parser takes longer than the rest of the room.
        from tunix_rt.render.markdown import markdown

        set_, plain = _cut_markdown(found, self._left) if self._left else ([], found)
        blocks: list[Block] = []
        if set_:
            blocks.append(Block([], markdown=markdown(set_, most=self._formulas_left)))
            self._formulas_left -= sum(segment.kind in {Kind.INLINE, Kind.DISPLAY} for segment in set_)
            self._left = max(0, self._left - sum(len(segment.source) for segment in set_))
        if plain:
            text = "".join(segment.source for segment in plain)
            blocks.append(Block([Part(text, is_tex=False)]))
            self.n_left_plain += len(text)
            self._left = 0
        return blocks


def _without_blank_end(text: str) -> str:
    """The text without blank lines at its end, which would be an empty space; one that is all blank stays."""
    return text.rstrip() or text


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
            # A block is already set apart: the line ends around it would only widen the gap.
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


def _cut_markdown(found: list[Segment], at: int) -> tuple[list[Segment], list[Segment]]:
    """The segments before and after a cut near `at`, if possible between blocks; code that is cut is fenced twice."""
    head, rest = _cut(found, at, signs=("\n\n", "\n", " "))
    if len(head) + len(rest) > len(found) and rest[0].kind is Kind.CODE:
        fence = head[-1].source.partition("\n")[0]
        rest[0] = rest[0]._replace(source=f"{fence}\n{rest[0].source}")
    return head, rest


def _cut(found: list[Segment], at: int, *, signs: Sequence[str] = ("\n", " ")) -> tuple[list[Segment], list[Segment]]:
    """The segments before and after a cut near `at`; a formula is never cut, code only between its lines."""
    taken = 0
    for n, segment in enumerate(found):
        if taken + len(segment.source) <= at:
            taken += len(segment.source)
            continue
        if segment.kind not in {Kind.PROSE, Kind.CODE}:
            return found[: n + 1], found[n + 1 :]
        fence = segment.source.index(segment.text)
        end = _break_point(segment.text, at - taken - fence, signs)
        if not 0 < end < len(segment.text):
            n += end > 0  # noqa: PLW2901  all of the segment goes to one side
            return found[:n], found[n:]
        first = segment._replace(text=segment.text[:end], source=segment.source[: fence + end])
        second = Segment(segment.kind, segment.text[end:], segment.source[fence + end :])
        return [*found[:n], first], [second, *found[n + 1 :]]
    return found, []


def _break_point(text: str, at: int, signs: Sequence[str]) -> int:
    if at <= 0:
        return 0
    for sign in signs:
        end = text.rfind(sign, max(0, at - _SEARCHED), at)
        if end >= 0:
            return end + len(sign)
    # Never cut between a letter and its accents, or inside a joined emoji.
    while 0 < at < len(text) and unicodedata.category(text[at]) in {"Mn", "Me", "Cf", "Sk"}:
        at -= 1
    return at
