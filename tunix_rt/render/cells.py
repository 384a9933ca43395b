"""Values of a SQL result as they are shown in a cell."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tunix_rt.render.captions import as_json
from tunix_rt.render.characters import one_line
from tunix_rt.render.humanize import Ids
from tunix_rt.render.protocols import TableShape

_LONGEST = 200  # characters of a value in a cell; the whole stands in its title, itself bounded
_LONGEST_TITLE = 2000
_SHORT = 40  # characters that stay on one line; a longer text wants a wide column
_DIGITS = 6  # decimals of a float that say something in a table
_NUMBER = re.compile(r"U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|FLOAT|DOUBLE|REAL|DECIMAL(?:\(.*\))?", re.IGNORECASE)


class Column(NamedTuple):
    """What a header shows."""

    name: str
    type: str
    is_number: bool


class Cell(NamedTuple):
    """What a cell shows."""

    text: str
    whole: str = ""
    """The full value when `text` is only a part of it."""
    css: str = ""
    parts: tuple[str, ...] = ()
    """What must not be broken, where the text is only the first of several."""


NULL = Cell("NULL", css="trt-quiet")


def columns(table: TableShape) -> list[Column]:
    """The columns with what their types mean for the layout."""
    return [
        Column(name, type_, _NUMBER.fullmatch(type_) is not None)
        for name, type_ in zip(table.columns, table.types, strict=True)
    ]


def cell(value: object, *, is_number: bool = False) -> Cell:  # noqa: PLR0911  one return for each kind of value
    """One value: numbers exactly as they can be typed back, text on one line, nested values as JSON."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return Cell(str(value).lower())
    if isinstance(value, float):
        exact, rounded = repr(value), repr(round(value, _DIGITS))
        # A small number must not become zero.
        shown = rounded if round(value, _DIGITS) else exact
        return Cell(shown, "" if shown == exact else exact, "trt-n")
    if isinstance(value, Ids):
        return Cell(value[0] if value else "", css="trt-mono", parts=value)
    if is_number:
        return Cell(str(value), css="trt-n")
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, datetime):
        return Cell(value.replace(tzinfo=None).isoformat(" ", "seconds"), value.isoformat(" "), "trt-when")
    if isinstance(value, UUID):
        return Cell(str(value), css="trt-mono trt-when")
    if isinstance(value, dict | list | tuple | Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        text = as_json(value)
        return _cut(text, "trt-mono trt-when" if len(text) <= _SHORT else "trt-mono")
    return _cut(str(value))


def _cut(text: str, css: str = "") -> Cell:
    shown = one_line(text, _LONGEST)
    if len(shown) > _SHORT:
        css = f"{css} trt-long".strip()
    return Cell(shown, "" if shown == text else text[:_LONGEST_TITLE], css)
