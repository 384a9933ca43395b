"""The fields of a row, each of the type that its format gives it; TraceInvalid names the one that is not."""

from collections.abc import Mapping
from typing import Any, TypeVar

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.row import Row

_T = TypeVar("_T")
_WORDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    list: "a list",
    dict: "an object",
}


def typed(item: Any, kind: type[_T], path: str | None) -> _T:
    """The item, which stands at `path` and is of this type.

    >>> typed(["2 + 2"], str, "steps")
    Traceback (most recent call last):
    tunix_rt.errors.TraceInvalid: steps: must be a string
    """
    # Python takes a boolean for an integer; no format does.
    if isinstance(item, kind) and not (kind is int and isinstance(item, bool)):
        return item
    raise TraceInvalid(Problem(path, f"must be {_WORDS[kind]}{', not null' if item is None else ''}"))


def fields_in(row: Row) -> dict[str, Any]:
    """The row's fields; TraceInvalid where it is no object."""
    return typed(row.value, dict, None)


def field(fields: Mapping[str, Any], name: str, kind: type[_T], *, at: str = "") -> _T:
    """The value of a field that must be there; `at` is the path of the object that has it, with its dot."""
    if name not in fields:
        raise TraceInvalid(Problem(at + name, "missing"))
    return typed(fields[name], kind, at + name)


def maybe(fields: Mapping[str, Any], name: str, kind: type[_T], *, at: str = "") -> _T | None:
    """The value of a field that may be missing or null."""
    item = fields.get(name)
    return None if item is None else typed(item, kind, at + name)


def source_of(fields: Mapping[str, Any], format: str) -> tuple[str, tuple[str, ...]]:
    """The `meta["source"]` of a row, and the fields it was taken from: its own before the format's name."""
    source = fields.get("source")
    return (source, ("source",)) if isinstance(source, str) and source else (format, ())
