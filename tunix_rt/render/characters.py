"""Characters that would act instead of being read, made visible; and the width of text in a terminal."""

import re
import unicodedata

# What a terminal or a browser obeys instead of showing: C0 and C1 controls (0x9B alone starts an escape sequence), line
# and paragraph separators, the bidirectional embeddings, overrides and isolates that make text read other than it is
# stored, and lone surrogates, which cannot be encoded and would stop the whole message to the browser. And what shows
# nothing, so that a word can hide in another: zero-width spaces, invisible operators, fillers and tags. The marks that
# ordinary Arabic and Hebrew use (LRM, RLM, ALM) stay as they are, and so do the tags that make the flags of regions.
_ACTING = re.compile(
    "(?P<flag>\U0001f3f4[\U000e0030-\U000e007a]{3,6}\U000e007f)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u180e\u200b-\u200d\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# Between letters of Persian or Hindi, and in an emoji, they are needed; after ASCII, or in a row, they only hide.
_JOINERS = "\u200c\u200d"
_PICTURES = 0x2400  # the Unicode block that holds a picture for each C0 control
_DELETE, _DELETE_PICTURE = 0x7F, "\u2421"


def visible(text: str) -> str:
    r"""The same text with each acting character shown: a control picture where Unicode has one, else its number.

    Line feeds and tabs stay; a carriage return before a line feed is part of the line end and goes.

    >>> visible("\x1b[2Jred")
    '␛[2Jred'
    >>> visible("a\r\nb\u202ec")
    'a\nb‹U+202E›c'
    """
    return _ACTING.sub(_symbol, text.replace("\r\n", "\n"))


def _symbol(match: re.Match[str]) -> str:
    if match["flag"]:
        return match[0]
    code = ord(match[0])
    before = match.string[max(0, match.start() - 1) : match.start()] if match[0] in _JOINERS else ""
    if before and not before.isascii() and before not in _JOINERS:
        return match[0]
    if code < ord(" "):
        return chr(_PICTURES + code)
    return _DELETE_PICTURE if code == _DELETE else f"‹U+{code:04X}›"


def one_line(text: str, limit: int) -> str:
    r"""The text on one line, runs of white space as one space, at most `limit` characters, cut with an ellipsis.

    >>> one_line("two\n  lines", 20), one_line("abcdef", 4)
    ('two lines', 'abc…')
    """
    # A line cannot be longer than its source, so the first characters are enough; four times leaves room for spaces.
    start = " ".join(text[: 4 * limit].split())
    if len(start) <= limit and len(text) <= 4 * limit:
        return start
    return start[: limit - 1].rstrip() + "…"


def width(text: str) -> int:
    """Columns that the text takes in a terminal: two for each wide East Asian character, none for a combining mark.

    >>> width("abc"), width("日本"), width("e\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    # Mn, Me: combining marks; Cf: format characters such as the zero-width joiner.
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """The start of the text that fits into the columns of a terminal, cut with an ellipsis.

    >>> fit("日本語", 5), fit("abc", 3)
    ('日本…', 'abc')
    """
    if width(text) <= columns:
        return text
    left = columns - 1
    for n, character in enumerate(text):
        left -= _character_width(character)
        if left < 0:
            return text[:n].rstrip() + "…"
    return text


def folded(line: str, columns: int) -> list[str]:
    """The line, folded into lines that fit into the columns, at spaces where possible.

    >>> folded("a line to fold", 8), folded("日本語", 4)
    (['a line', 'to fold'], ['日本', '語'])
    """
    lines = []
    start = 0
    while (end := _reach(line, start, columns)) < len(line):
        space = line.rfind(" ", start, end + 1)
        broken = space if line[start : max(space, start)].strip() else end
        lines.append(line[start:broken].rstrip())
        start = broken
        while line.startswith(" ", start):
            start += 1
    return [*lines, line[start:]]


def _reach(line: str, start: int, columns: int) -> int:
    """The end of the part from `start` that fits into the columns; at least one character."""
    part = line[start : start + columns]
    if part.isascii():
        return start + len(part)
    left = columns
    for place in range(start, len(line)):
        left -= _character_width(line[place])
        if left < 0:
            return max(place, start + 1)
    return len(line)
