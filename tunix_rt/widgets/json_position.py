"""The position of a field in a JSON text, so that a user can find it."""

import re
from collections.abc import Iterator
from json import JSONDecoder
from typing import Any

# Numbers are skipped: parsing one of more than 4,300 digits would fail.
_DECODER = JSONDecoder(parse_int=str, parse_float=str)
_SPACE = re.compile(r"[ \t\n\r]*")


def position_of(text: str, path: str, *, of_key: bool = False) -> tuple[int, int, int] | None:
    r"""Line and column (from 1, in characters) and offset (from 0) of the value at a path such as `steps.2.content`.

    Where the field is missing, the place of the nearest value around it. With `of_key` the place of the field's key, as
    for a field that should not be there. None if the text is not valid JSON, or has a thousand levels.

    >>> position_of('{"steps": [\n  {"kontent": 7}]}', "steps.0.kontent")
    (2, 15, 26)
    >>> position_of('{"steps": [\n  {"kontent": 7}]}', "steps.0.kontent", of_key=True)
    (2, 4, 15)
    >>> position_of('{"steps": [\n  {"kontent": 7}]}', "steps.0.content")
    (2, 3, 14)
    """
    try:
        route, is_complete = _route(_DECODER.decode(text), path)
        at = key_at = _after_space(text, 0)
        for key in route:
            # For a duplicate key, parsers take the last.
            key_at, at = [(key_at, at) for each, key_at, at in _entries(text, at) if each == key][-1]
    except (ValueError, RecursionError):
        return None
    if of_key and is_complete:
        at = key_at
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), at


def _route(value: Any, path: str) -> tuple[list[str | int], bool]:
    """The keys along the path as far as there are values, and whether that is its end."""
    nearest: list[str | int] = []
    for key, rest in _first_keys(value, path):
        further, is_complete = ([], True) if rest is None else _route(value[key], rest)
        if is_complete:
            return [key, *further], True
        nearest = nearest or [key, *further]
    return nearest, False


def _first_keys(value: Any, path: str) -> Iterator[tuple[str | int, str | None]]:
    """Each key that the path can begin with, and the rest of the path; keys may have dots, so longest first."""
    if isinstance(value, dict):
        for key in sorted((key for key in value if f"{path}.".startswith(f"{key}.")), key=len, reverse=True):
            yield key, None if key == path else path[len(key) + 1 :]
    elif isinstance(value, list):
        index, dot, rest = path.partition(".")
        if re.fullmatch(r"0|[1-9][0-9]{0,9}", index) and int(index) < len(value):
            yield int(index), rest if dot else None


def _entries(text: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """The keys of the object or list at a position, each with its own position and that of its value."""
    is_object = text[at] == "{"
    at = _after_space(text, at + 1)
    n = 0
    while text[at] not in "]}":
        key, key_at = n, at
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _after_space(text, _after_space(text, at) + 1)
        yield key, key_at, at
        _, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, at)
        if text[at] == ",":
            at = _after_space(text, at + 1)
        n += 1


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
