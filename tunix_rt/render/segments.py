r"""A text taken apart into prose, code and mathematics.

Notebooks typeset everything between two `$`, which turns "costs $5 and $6" into italics. So only what is surely
mathematics is told apart here, and everything else stays prose:

* `\(…\)`, `\[…\]`, `$$…$$` and the display environments (`\begin{align}…\end{align}`);
* `$…$` when a non-space follows the first sign and comes before the second, no digit or letter (but for "th") follows
  the second, no blank line lies between, and the content has a sign of TeX (``\ ^ _ {``) or is as simple as `n = 3`.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from tunix_rt.render.tex import is_plain


class Kind(StrEnum):
    """The kind of a part of a text; a formula is inline or on its own lines, or is shown as its source."""

    PROSE = "prose"
    CODE = "code"
    INLINE = "inline"
    DISPLAY = "display"
    SOURCE = "source"


class Segment(NamedTuple):
    """A stretch of a text; the sources of all segments, joined, are the text."""

    kind: Kind
    text: str
    """What is shown: for code the text between the fences, for mathematics the TeX with `\\(…\\)` or `\\[…\\]`."""
    source: str
    language: str = ""
    """For code, the language on the opening fence."""


# A fence opens with three or more backticks or tildes at the start of a line and closes with at least as many, as in
# CommonMark; the end of a truncated text closes it too.
_FENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})(?P<language>[^`\n]*)(?:\n|\Z)"
    r"(?P<code>(?:.*\n)*?(?:.*\Z)??)"
    r"(?:^ {0,3}(?P=fence)[`~]*[ \t]*(?:\n|\Z)|\Z)",
    re.MULTILINE,
)

_LONGEST = 2000  # characters of one formula; the longest in published solution sets are a few hundred
_ENVIRONMENTS = r"(?:align|alignat|equation|gather|multline|eqnarray)"
# Each branch stops at the next delimiter of any kind and never steps back (possessive), so that the time stays
# proportional to the length of even a text made of nothing but opening delimiters. Each begins with a plain character,
# which lets `re` skip to the next one ten times as fast, so what must not stand before it is looked at after it.
_MATHS = re.compile(
    rf"""
    `[^`\n]+`  # inline code stays as it is
  | \\(?<!\\\\)\((?P<inline>(?:[^\\]|\\[^()\[\]]){{1,{_LONGEST}}}+)\\\)
  | \\(?<!\\\\)\[(?P<display>(?:[^\\]|\\[^()\[\]]){{1,{_LONGEST}}}+)\\\]
  | \$(?<![\\$]\$)\$(?P<dollars>(?:[^$\\]|\\[^()\[\]]){{1,{_LONGEST}}}+)\$\$(?!\$)
  | \\begin\{{(?P<environment>{_ENVIRONMENTS}\*?)\}}
        (?:[^\\]|\\(?!(?:begin|end)\{{{_ENVIRONMENTS})[\s\S]){{1,{_LONGEST}}}+\\end\{{(?P=environment)\}}
  | \$(?<![\\$\w]\$)(?P<dollar>(?![\s{{])(?:[^$\\\n]|\\[^()\[\]\n]|\n(?![ \t]*\n)){{1,300}}+)(?<!\s)\$(?!\$|(?!th\b)\w)
    """,
    re.VERBOSE,
)
_TEX_SIGN = re.compile(r"[\\^_{]")
_SIMPLE = re.compile(r"-?[A-Za-z](?:\s*[=<>≤≥≠+\-*/,]\s*-?(?:[A-Za-z]|\d+(?:\.\d+)?))*")
# Two words in a row are prose between two prices, unless a \text{…} says that they are meant.
_TEX_WORDS = re.compile(r"\\(?:text|mathrm|operatorname|mbox)[a-z]*\*?\{[^{}]*\}|\\[A-Za-z]+")
_PROSE_WORDS = re.compile(r"[A-Za-z]{3,},? +[A-Za-z]{2,}")


def segments(text: str, *, most: int) -> list[Segment]:
    """The text as segments, in order; after `most` of code and mathematics the rest of it is prose.

    >>> [segment.kind.value for segment in segments("costs $5, where $x^2$ is $6", most=9)]
    ['prose', 'inline', 'prose']
    """
    found: list[Segment] = []
    start = 0
    for segment, at in islice(_set_apart(text), most):
        if start < at:
            found.append(_prose(text[start:at]))
        found.append(segment)
        start = at + len(segment.source)
    if start < len(text):
        found.append(_prose(text[start:]))
    return found


def _prose(source: str) -> Segment:
    return Segment(Kind.PROSE, source, source)


def _set_apart(text: str) -> Iterator[tuple[Segment, int]]:
    """Code and formulas, each with the position where it starts."""
    start = 0
    if "```" in text or "~~~" in text:
        for match in _FENCE.finditer(text):
            yield from _formulas(text, start, match.start())
            yield Segment(Kind.CODE, match["code"], match[0], match["language"].strip()), match.start()
            start = match.end()
    yield from _formulas(text, start, len(text))


def _formulas(text: str, start: int, end: int) -> Iterator[tuple[Segment, int]]:
    # Most texts have neither sign, and a search for one is far faster than the expression.
    if text.find("$", start, end) < 0 and text.find("\\", start, end) < 0:
        return
    for match in _MATHS.finditer(text, start, end):
        segment = _formula(match)
        if segment:
            yield segment, match.start()


def _formula(match: re.Match[str]) -> Segment | None:
    branch = match.lastgroup
    if branch is None:
        return None
    tex = match[0] if branch == "environment" else match[branch]
    if not tex.strip() or (branch == "dollar" and not _surely_tex(tex)):
        return None
    if not is_plain(tex):
        return Segment(Kind.SOURCE, match[0], match[0])
    if branch == "environment":
        return Segment(Kind.DISPLAY, tex, tex)
    if branch in {"display", "dollars"}:
        return Segment(Kind.DISPLAY, rf"\[{tex}\]", match[0])
    return Segment(Kind.INLINE, rf"\({tex}\)", match[0])


def _surely_tex(content: str) -> bool:
    if not _TEX_SIGN.search(content):
        return _SIMPLE.fullmatch(content) is not None
    return not _PROSE_WORDS.search(_TEX_WORDS.sub(" ", content))
