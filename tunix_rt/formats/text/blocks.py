"""Where in a text a block stands that is one piece: fenced code, a display formula, a picture, a table."""

import re
from collections.abc import Iterator

Span = tuple[int, int]

# No backtick behind the mark: "```x```" in a line is code in that line.
_FENCE = re.compile(r"^[^\S\n]*(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)$", re.MULTILINE)
# `\\[4pt]` is the end of a line inside a formula.
_FORMULA = re.compile(r"\$\$|(?<!\\)\\[\[\]]")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
_PROSE = re.compile(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b", re.IGNORECASE)
# Far more than a formula has, and far less than lies between two strays.
_FORMULA_CHARS = 5_000

# Pictures as AoPS writes them, environments of LaTeX, tables of HTML.
_OPENS = re.compile(r"\[asy\]|<asy>|\\begin\{(?P<name>[a-zA-Z]{1,20}\*?)\}|<table\b", re.IGNORECASE)
# Whole documents are none: their paragraphs are steps.
_NO_BLOCKS = {"document", "proof", "solution", "enumerate", "itemize", "description", "center", "abstract"}
_TABLE = re.compile(r"(?:^[^\S\n]*\|[^\n]*(?:\n|\Z)){2,}", re.MULTILINE)
_PICTURE_CHARS = 20_000


def fenced(text: str, *, unclosed: int = 0) -> list[Span]:
    r"""Where fenced code stands, in order; one that is never closed counts where it has at most `unclosed` characters.

    >>> fenced("So:\n```\n1\n```\nDone.")
    [(4, 13)]
    """
    spans: list[Span] = []
    # Most texts have no code and no formula: to ask first takes a thirtieth of the time of looking for their marks, and
    # to ask for one character first, a fifth of that.
    if not ("`" in text and "```" in text) and not ("~" in text and "~~~" in text):
        return spans
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        mark, info = fence["mark"], fence["info"].strip()
        if opened is None:
            opened = fence
        elif mark.startswith(opened["mark"]):
            # A fence with a language opens a block; where one is open already, that one was never closed.
            if info:
                opened = fence
            else:
                spans.append((opened.start(), fence.end()))
                opened = None
    if opened is not None and len(text) - opened.start() <= unclosed:
        spans.append((opened.start(), len(text)))
    return spans


def blocks(text: str, *, unclosed: int = 0) -> list[Span]:
    r"""Where code, display formulas (`$$…$$`, `\[…\]`), pictures and tables stand, in order and apart."""
    apart: list[Span] = []
    for start, end in sorted([*fenced(text, unclosed=unclosed), *_formulas(text), *_named(text), *_tables(text)]):
        if apart and start < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def _formulas(text: str) -> Iterator[Span]:
    if not ("$" in text and "$$" in text) and not ("\\" in text and "\\[" in text):
        return
    opened: re.Match[str] | None = None
    for mark in _FORMULA.finditer(text):
        if mark[0] == "\\[" or opened is None:
            opened = None if mark[0] == "\\]" else mark
        elif (opened[0] == "$$") == (mark[0] == "$$"):
            if _is_formula(text[opened.end() : mark.start()]):
                yield opened.start(), mark.end()
                opened = None
            else:
                # The mark before it was a stray; this one may open a formula.
                opened = mark if mark[0] == "$$" else None


def _is_formula(inside: str) -> bool:
    """Not so where paragraphs stand between the marks: then the first closes what it seems to open."""
    return len(inside) <= _FORMULA_CHARS and not (_BLANK_LINE.search(inside) and _PROSE.search(inside))


def _named(text: str) -> Iterator[Span]:
    """Pictures (`[asy]…[/asy]`), environments of LaTeX, and tables of HTML."""
    if (
        not ("[" in text and "[asy" in text)
        and not ("\\" in text and "\\begin{" in text)
        and not ("<" in text and ("<table" in text or "<asy" in text))
    ):
        return
    folded = text.lower()
    place = 0
    missing: set[str] = set()
    while found := _OPENS.search(text, place):
        place = found.end()
        end = _closing(found)
        if not end or end in missing or (found["name"] or "").lower() in _NO_BLOCKS:
            continue
        at = folded.find(end, place, place + _PICTURE_CHARS)
        if at >= 0:
            place = at + len(end)
            yield found.start(), place
        elif folded.find(end, place) < 0:
            missing.add(end)


def _closing(opened: re.Match[str]) -> str:
    if name := opened["name"]:
        return f"\\end{{{name.lower()}}}"
    return "[/asy]" if opened[0].startswith("[") else "</asy>" if opened[0] == "<asy>" else "</table>"


def _tables(text: str) -> Iterator[Span]:
    """Lines of a Markdown table, which begin with a bar."""
    if "|" in text:
        for table in _TABLE.finditer(text):
            yield table.start(), table.start() + len(table[0].rstrip())
