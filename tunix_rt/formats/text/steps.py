"""Long reasoning cut into steps: by paragraphs, headings, numbered lists, and the words that begin a new thought."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from tunix_rt.formats.rows.trace_fields import StepFields
from tunix_rt.formats.text.blocks import blocks
from tunix_rt.formats.text.step_types import small_letters, type_in_small_letters

# A step of this many characters takes no more lines in. Paragraphs of DeepSeek-R1's reasoning mostly have 100 to 600.
_ENOUGH = 2_000
# Items of a numbered list are steps of their own where they have this many characters on average.
_LONG_ITEM = 160
# A line that begins with `Step 1` or `Case 2` is a title up to this length.
_TITLE = 80
# Code that is never closed, as at the end of a rollout that was cut, is one piece up to here: as long as a step of 1.0.
_UNCLOSED = 20_000

# One match for each line that is not blank; the name of the group says how it begins.
_LINE = re.compile(
    r"""^(?P<indent>[^\S\n]*+)(?:
        (?P<rule> [-*_=]{3,}[ \t\r]*$ )
      | (?P<heading> \#{1,6}[ ]\S | \*\*[^*\n]{1,120}\*\*:?[ \t\r]*$ )
      | (?P<label> (?:\*\*)?(?:Step[ ]\d|Case[ ](?:\d|[IVX]{1,4}\b|[A-E]\b)) )
      | (?P<turn>
            (?: (?:First|Second|Third)(?:ly)? | Next | Then | Finally | Lastly | Alternatively ),
          | (?: But[ ]wait | Wait | Hold[ ]on | Hmm+ | Actually )\b
          | Let(?:[ ]me|['’]s)[ ](?:just[ ]|now[ ]|quickly[ ])?(?:double[- ]check|re-?check|check|verify)\b
        )
      | (?P<item> (?:\*\*)?(?P<number>\d{1,3})[.)](?:\*\*)?[ \t] | \([a-z\d]{1,3}\)[ \t] | [-*+•][ \t] )
      | (?P<more> [a-z] | [=+&|>)\]}×·÷≤≥≈] )
      | \S
    )[^\n]*""",
    re.MULTILINE | re.VERBOSE,
)
_INDENT = _LINE.groupindex["indent"]
_STOPS = ".!?。！？"
_SENTENCE_END = re.compile(rf"[{_STOPS}][\"'”’)*$\s]*\Z")
# A word that is no command of TeX.
_WORD = re.compile(r"(?<![\\\w])[^\W\d_]{3,}")


def split_steps(text: str) -> list[StepFields]:
    r"""The reasoning as steps; their contents, joined, are the text to the byte.

    A step is a paragraph, with the formulas, code and short lists that belong to it; a text without blank lines is cut
    by its lines. Headings, long items of a numbered list, and words that begin a new thought (`Wait`, `Step 3`, `Let me
    check`) begin a step too. Nothing is cut inside fenced code or a display formula; elsewhere, what has 2,000
    characters ends with its line. Types are those of `step_type`.

    >>> [step["content"] for step in split_steps("Rearranged:\n\n$$x = 5$$\n\nWait, is it?\nLet me check.")]
    ['Rearranged:\n\n$$x = 5$$\n\n', 'Wait, is it?\n', 'Let me check.']
    """
    if not text:
        return []
    small = small_letters(text)
    bounds = [*_starts(text), len(text)]
    return [
        {"i": i, "type": type_in_small_letters(small[start:end]), "content": text[start:end]}
        for i, (start, end) in enumerate(pairwise(bounds))
    ]


class _Line(NamedTuple):
    start: int
    indent: int
    end: int
    # Where the line before it ends.
    follows: int
    kind: str
    number: int | None
    # Whether a blank line stands before it.
    apart: bool
    # Whether it begins with a block.
    block: bool


def _starts(text: str) -> Iterator[int]:
    yield 0
    lines = _lines(text)
    long_items = _long_items(lines)
    by_lines = not any(line.apart for line in lines[1:])
    start = 0
    margin = lines[0].indent if lines else 0
    only_titles = True
    in_list = bool(lines) and lines[0].kind == "item"
    for before, line in pairwise(lines):
        only_titles = only_titles and _is_title(text, before)
        if line.kind in {"heading", "label", "turn"} or line.start in long_items:
            cut = not only_titles or before.kind == "label"
        elif line.start - start >= _ENOUGH:
            cut = True
        else:
            within = (in_list and line.kind == "item") or line.indent > margin + 1
            cut = (line.apart or by_lines) and not (only_titles or within)
            cut = cut and not _goes_on(text, before, line, by_lines=by_lines)
        in_list = line.kind == "item" or (in_list and not cut)
        if cut:
            start, margin, only_titles = line.start, line.indent, True
            yield start


def _lines(text: str) -> list[_Line]:
    """The lines at which a step may begin."""
    lines: list[_Line] = []
    pieces = iter(blocks(text, unclosed=_UNCLOSED))
    piece = next(pieces, None)
    follows = 0
    for found in _LINE.finditer(text):
        start, end = found.span()
        while piece and piece[1] <= start:
            piece = next(pieces, None)
        if piece is None or start <= piece[0]:
            content = found.end(_INDENT)
            kind = found.lastgroup or ""
            number = int(found["number"]) if kind == "item" and found["number"] else None
            apart = start - follows > 1 and text.count("\n", follows, start) > 1
            block = piece is not None and piece[0] <= content
            lines.append(_Line(start, content - start, end, follows, kind, number, apart, block))
        follows = end
    return lines


def _long_items(lines: list[_Line]) -> set[int]:
    """Where the items of those numbered lists begin whose items are long."""
    found: set[int] = set()
    runs: dict[int, list[_Line]] = {}

    def close(run: list[_Line]) -> None:
        # Where the last item ends is not known; the others are enough.
        if len(run) > 1 and run[-1].start - run[0].start >= _LONG_ITEM * (len(run) - 1):
            found.update(line.start for line in run)

    for line in lines:
        if line.number is not None:
            run = runs.setdefault(line.indent, [])
            if run and line.number != (run[-1].number or 0) + 1:
                close(run)
                run.clear()
            run.append(line)
    for run in runs.values():
        close(run)
    return found


def _is_title(text: str, line: _Line) -> bool:
    """Whether a line stands over what follows: a heading, or `Case 2: x < 3` alone."""
    if line.kind != "label":
        return line.kind == "heading"
    return line.end - line.start <= _TITLE and not _SENTENCE_END.search(text, line.start, line.end)


def _goes_on(text: str, before: _Line, line: _Line, *, by_lines: bool) -> bool:
    """Whether a line goes on with what stands before it."""
    if line.block or line.kind == "rule":
        return True
    # Mostly a sentence ends right there.
    ended = text[line.follows - 1] in _STOPS
    if not ended:
        last = text[before.start : line.follows].rstrip("* \t\r\n")[-1:]
        if last in {":", ","}:
            return True
        ended = bool(_SENTENCE_END.search(text, max(before.start, line.follows - 8), line.follows))
    if line.kind == "more":
        return not (by_lines and ended and text[line.start + line.indent].isalpha())
    return not (by_lines or ended or _has_words(text, line)) and _has_words(text, before)


def _has_words(text: str, line: _Line) -> bool:
    return bool(_WORD.search(text, line.start, line.end))
