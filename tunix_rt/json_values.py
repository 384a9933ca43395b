"""Conversion to JSON values, from those of numpy, pandas, Arrow and Python's own libraries.

Every foreign value comes in by `plain`, whether it is given to `Trace`, `add`, `load` or a filter, and every JSON text
that is not read by pydantic by `parsed`. NaN and infinities are null behind both.
"""

import base64
import json
import math
import sys
from collections.abc import Iterable, Mapping, MappingView, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Number
from pathlib import PurePath
from typing import Any, NoReturn, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import from_json, to_jsonable_python

from tunix_rt.errors import Problem, TraceInvalid

# As deep as the parser of JSON goes; a deeper value would end in Python's own limit.
_MAX_DEPTH = 200
# At two bytes an item, a longer sequence is larger than any row: `range(10**12)` must not become a list.
_MAX_ITEMS = 2**25
# Python writes, and reads, no integers of more digits.
_MAX_DIGITS = sys.int_info.default_max_str_digits
_TOO_LARGE = 10**_MAX_DIGITS
_KEYS_TOLD = 8
_UNCHANGED = frozenset({str, int, bool, type(None)})
# The methods with which numpy, torch, JAX, pandas, polars and Arrow convert to Python values.
_UNPACKING = ("tolist", "to_list", "as_py", "item")
# numpy's units that are finer than Python's times.
_FINE_UNITS = ("[ns]", "[ps]", "[fs]", "[as]")
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def plain(value: Any, path: str | None = None) -> Any:
    """The value as JSON has it: arrays as lists, what is missing (NaN, NaT, NA) and infinities as None.

    A time is ISO 8601 (UTC where it has no zone), a duration its seconds; bytes are their text, or base64 where they
    are none; sets are sorted; dataclasses and pydantic models are objects. Raises TraceInvalid, with the path of the
    field behind `path`, for what JSON has nothing for.

    >>> plain({1: (0.5, float("nan")), "at": date(2026, 1, 2), "seen": {3, 1}})
    {'1': [0.5, None], 'at': '2026-01-02', 'seen': [1, 3]}
    """
    try:
        return _plain(value, 0)
    except TraceInvalid as error:
        if path:
            error.within(path)
        keys = (error.problems[0].field or "").split(".")
        if len(keys) > _KEYS_TOLD:
            # A path as deep as the value would bury the reason.
            raise _refusal(error.problems[0].reason, ".".join(keys[:_KEYS_TOLD]) + "…") from None
        raise


def parsed(text: str | bytes) -> Any:
    """The value of a JSON text, with None for NaN and infinities; what is infinite still is a number beyond doubles."""
    try:
        # Pydantic's parser takes half of the time. It refuses some of what Python's reads: NaN, lone surrogates (by a
        # TypeError where they are in a text), other encodings, nesting of more than 200.
        return from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):
        pass
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    return _DECODER.decode(text)


def has_constants(text: str | bytes) -> bool:
    """Whether a JSON text may hold NaN or an infinity: the words are there, in a text or by themselves."""
    return ("NaN" in text or "Infinity" in text) if isinstance(text, str) else (b"NaN" in text or b"Infinity" in text)


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _UNCHANGED:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if depth > _MAX_DEPTH:
        raise _refusal("nested too deeply, or contains itself")
    if kind is dict:
        return _object(value.items(), depth)
    if kind is list or kind is tuple:
        return _list(value, depth)
    try:
        return _converted(value, depth)
    except TraceInvalid:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the code behind a foreign value raises is about this value
        reason = str(error).partition("\n")[0][:120]
        raise _refusal(f"a {kind.__name__} that cannot be read: {type(error).__name__}: {reason}") from None


def _list(items: Iterable[Any], depth: int) -> list[Any]:
    result = []
    for place, item in enumerate(items):
        try:
            result.append(item if type(item) in _UNCHANGED else _plain(item, depth + 1))
        except TraceInvalid as error:
            raise error.within(str(place)) from None
    return result


def _object(items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in items:
        name = key if type(key) is str else _name(key)
        if name in result:
            raise _refusal(
                f"two keys are {json.dumps(name, ensure_ascii=False)} when written as strings; rename one of them"
            )
        try:
            result[name] = item if type(item) in _UNCHANGED else _plain(item, depth + 1)
        except TraceInvalid as error:
            raise error.within(name) from None
    return result


def _name(key: Any) -> str:
    name = _plain(key, 0)
    if isinstance(name, dict | list):
        raise _refusal(f"a key must be a string or a number, not a {type(key).__name__}")
    if isinstance(name, int) and abs(name) >= _TOO_LARGE:
        raise _refusal(f"a key of more than {_MAX_DIGITS:,} digits; write it as a string")
    return name if isinstance(name, str) else json.dumps(name)


def _converted(value: Any, depth: int) -> Any:  # noqa: C901, PLR0911, PLR0912 - a table of types
    if isinstance(value, type):
        _refuse(value)
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return _plain(float.__float__(value), depth)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value))
    if isinstance(value, UUID | PurePath):
        return str(value)
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, date | time | timedelta):
        return _moment(value)
    if isinstance(value, BaseModel):
        return _plain(value.model_dump(warnings=False), depth + 1)
    if is_dataclass(value):
        return _object(((field.name, getattr(value, field.name)) for field in fields_of(value)), depth)
    if isinstance(value, Mapping):
        return _object(value.items(), depth)
    if (kind := getattr(getattr(value, "dtype", None), "kind", "")) in ("M", "m", "f") and not value.ndim:
        # What numpy hands out for a long double is a long double.
        return _plain(float(value), depth) if kind == "f" else _numpy_moment(value)
    if kind in ("M", "m"):
        # In nanoseconds their lists would be of numbers.
        return _list(value, depth)
    if isinstance(value, Sequence | MappingView) and not hasattr(value, "tolist"):
        if len(value) > _MAX_ITEMS:
            raise _refusal(f"a {type(value).__name__} of {len(value):,} items; at most {_MAX_ITEMS:,}")
        return _list(cast("Iterable[Any]", value), depth)
    if isinstance(value, AbstractSet):
        return sorted(_list(value, depth), key=_order)
    for way in _UNPACKING:
        if callable(getattr(value, way, None)):
            unpacked = getattr(value, way)()
            return _refuse(value) if type(unpacked) is type(value) else _plain(unpacked, depth + 1)
    # What pydantic knows besides, such as the addresses of a network; it would go through what never ends.
    return (
        _refuse(value)
        if isinstance(value, Iterable | Number)
        else _plain(to_jsonable_python(value, fallback=_refuse), depth)
    )


def _order(value: Any) -> tuple[Any, ...]:
    """The sort key of a value in a set: numbers, then texts, then all others."""
    if isinstance(value, str):
        return 1, value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, value
    return 2, json.dumps(value, sort_keys=True)


def _number(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    if value.adjusted() >= _MAX_DIGITS:
        raise _refusal(f"a number of more than {_MAX_DIGITS:,} digits; write it as a string")
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if math.isinf(number):
        raise _refusal("a number beyond 1.8e308, the largest that a double holds; write it as a string")
    return number


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode()


def _moment(value: Any) -> str | float:
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return str(value.isoformat())


def _numpy_moment(value: Any) -> Any:
    kind = value.dtype.kind
    if value.dtype.name.endswith(_FINE_UNITS):
        value = value.astype(f"{kind}8[us]")
    moment = value.item()
    if isinstance(moment, int):
        # Neither Python's times nor its durations reach so far; a month has no length.
        raise _refusal(
            "a time outside of the years 1 to 9999" if kind == "M" else "a duration without a fixed number of seconds"
        )
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return None if moment is None else _moment(moment)


def _refuse(value: Any) -> NoReturn:
    raise _refusal(f"must be a JSON value, not a {getattr(type(value), '__name__', 'value')}")


def _refusal(reason: str, path: str | None = None) -> TraceInvalid:
    return TraceInvalid(Problem(path, reason))
