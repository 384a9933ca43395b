"""What can be wrong with a trace, in words that name the field by its path and say what is allowed."""

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from numbers import Number
from pathlib import PurePath
from uuid import UUID

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from tunix_rt.errors import Problem, TraceInvalid

# pydantic's JSON parser gives up at 200 levels; what goes in must come out again, also inside another document.
MAX_META_DEPTH = 100
# Python writes, and reads, no integers of more digits.
_MAX_DIGITS = sys.int_info.default_max_str_digits
_MOST = 10**_MAX_DIGITS
_SMALL = 2**63
_VALUE_CHARS = 300
# Shown by their text, and by the names of their types.
_TEXTS = (date, time, timedelta, PurePath, UUID)
_PLAIN_TYPES = {"dict", "list", "tuple", "set", "frozenset", "generator"}
_REASONS = {
    "missing": "missing; every trace needs it",
    "string_type": "must be a string, not {given}",
    "string_unicode": "must be valid UTF-8 text",
    "int_type": "must be an integer, not {given}",
    "int_from_float": "must be an integer, not {given}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "less_than_equal": "must be at most {le:,}, not {input:,}",
    "string_too_short": "must not be empty",
    "string_too_long": "{length:,} characters; at most {max_length:,}",
    "tuple_type": "must be a list of steps, not {given}",
    "model_type": "must be an object, not {given}",
    "model_attributes_type": "must be an object, not {given}",
    "dict_type": "must be an object, not {given}",
    "extra_forbidden": "unknown field; a trace has {known}",
    "invalid-json-value": "must be a JSON value, not {given}",
    "recursion_depth_exceeded": "nested too deeply",
}
_JSON_TYPES = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def trace_invalid(
    error: ValidationError, text: str | bytes = "", *, first_line: int = 1, known: Mapping[str, Sequence[str]]
) -> TraceInvalid:
    """The error to raise for what pydantic found in a trace, or in the JSON `text` that begins on `first_line`.

    `known` are the fields that an unknown one could have meant: of a step under "steps", of the trace under "".
    """
    problems: list[Problem] = []
    for found in error.errors(include_url=False):
        if found["type"] == "trace":
            problems += found["ctx"]["problems"]
        elif found["type"] == "json_invalid":
            problems.append(_json_fault(found["ctx"]["error"], text, first_line))
        else:
            problems.append(Problem(_path(found), _reason(found, known)))
    return TraceInvalid(*problems)


def _json_fault(fault: str, text: str | bytes, first_line: int) -> Problem:
    """The parser's own words, with the column in characters: it counts bytes."""
    found = re.fullmatch(r"(.*) at line (\d+) column (\d+)", fault, re.DOTALL)
    if found is None:
        return Problem(None, f"invalid JSON: {fault}")
    what, line, column = found[1], int(found[2]), int(found[3])
    raw = text.encode(errors="replace") if isinstance(text, str) else text
    before = raw.split(b"\n")[line - 1][:column] if raw else b""
    line, column = first_line + line - 1, len(before.decode(errors="replace"))
    return Problem(None, f"invalid JSON at line {line:,}, column {column:,}: {what}", (line, column))


def _path(found: ErrorDetails) -> str | None:
    # What pydantic appends behind `meta` are the names of its own union members, not keys of the object.
    keys = [str(key) for key in found["loc"] if key not in {"[key]", "dict", "list"}]
    # A path as deep as the recursion that failed would bury the reason.
    most = 8
    return ".".join(keys[:most]) + ("…" if len(keys) > most else "") if keys else None


def _reason(found: ErrorDetails, known: Mapping[str, Sequence[str]]) -> str:
    value = found["input"]
    words = _REASONS.get(found["type"])
    if words is None:
        return found["msg"]
    place = "steps" if found["loc"][0:1] == ("steps",) else ""
    return words.format(
        given="null" if value is None else _JSON_TYPES.get(type(value), f"a {type(value).__name__}"),
        input=value,
        length=len(value) if isinstance(value, str) else 0,
        known=", ".join(known[place]),
        **found.get("ctx", {}),
    )


def out_of_bounds(path: str, text: str, most: int) -> Iterator[Problem]:
    """A text of format 1.0 that is empty or too long."""
    if not text:
        yield Problem(path, "must not be empty")
    elif len(text) > most:
        yield Problem(path, f'{len(text):,} characters; at most {most:,}; trace_version "1.1" accepts more')


def storable(text: str) -> bool:
    """Whether a text can be stored: UTF-8 can hold it, and it has no NUL."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def unstorable(path: str, text: str) -> Iterator[Problem]:
    """Why a text cannot be stored."""
    if "\0" in text:
        place = text.index("\0")
        yield Problem(
            path, f"contains a NUL character (U+0000, at character {place + 1:,}), which cannot be stored; remove it"
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            found = f"U+{ord(text[error.start]):04X}"
            yield Problem(
                path,
                f"contains a lone surrogate ({found}, at character {error.start + 1:,}), which is not valid text; "
                "remove it",
            )


def not_json(value: JsonValue, path: str, depth: int = 0) -> Iterator[Problem]:
    """What pydantic lets through in `meta` and JSON cannot hold: NaN, numbers beyond doubles, NUL, lone surrogates."""
    if isinstance(value, str):
        yield from unstorable(path, value)
    elif not isinstance(value, list | dict):
        yield from _unfit(value, path)
    elif depth == MAX_META_DEPTH:
        yield Problem("meta", f"nested more than {MAX_META_DEPTH} deep")
    else:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            # Asked here first: a generator and a path for each item took half of the time.
            if isinstance(key, str) and not storable(key):
                yield from unstorable(f"{path}.{short(key)}", key)
            if not _is_json(item):
                yield from not_json(item, f"{path}.{key}", depth + 1)


def _unfit(value: JsonValue, path: str) -> Iterator[Problem]:
    if isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, f"{value} is not a JSON number; use null or a string")
    elif isinstance(value, int) and not -_MOST < value < _MOST:
        yield Problem(path, f"a number of more than {_MAX_DIGITS:,} digits; write it as a string")


def _is_json(item: JsonValue) -> bool:
    """Whether a value is surely one that JSON can hold."""
    kind = type(item)
    if kind is str:
        return storable(item)  # type: ignore[arg-type]
    if kind is float:
        return -math.inf < item < math.inf  # type: ignore[operator]
    if kind is int:
        return -_SMALL < item < _SMALL  # type: ignore[operator]
    return item is None or kind is bool


def short(value: object) -> str:
    """A value in a message, not too long: as JSON where JSON has it, else its type in a word.

    >>> short("gsm8k"), short([1, None]), short({1, 2}), short(object())
    ('"gsm8k"', '[1, null]', 'a set', 'an object of type object')
    """
    try:
        # JSON has no Decimal and no number of numpy.
        text = str(value) if isinstance(value, Number) and not isinstance(value, bool) else _as_json(value)
    except Exception:  # noqa: BLE001 - an integer of 5,000 digits, a class with a fault of its own
        return _type_of(value)
    return text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}…"


def _as_json(value: object) -> str:
    if value is None or isinstance(value, str | bool | list | tuple | dict):
        text = json.dumps(value, ensure_ascii=False, default=_type_of)
        # A lone surrogate, which no message can hold, is shown by its escape.
        return text.encode(errors="backslashreplace").decode()
    return json.dumps(str(value), ensure_ascii=False) if isinstance(value, _TEXTS) else _type_of(value)


def _type_of(value: object) -> str:
    if callable(value) and hasattr(value, "__name__"):
        return "a class" if isinstance(value, type) else "a function"
    kind = type(value)
    return f"a {kind.__name__}" if kind.__name__ in _PLAIN_TYPES else f"an object of type {kind.__name__}"
