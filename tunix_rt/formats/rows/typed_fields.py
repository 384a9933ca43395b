"""The fields of a row, each of the type that its format requires; TraceInvalid names the one that is not."""

from collections.abc import Mapping
from typing import Any, TypeVar

from tunix_rt.errors import Problem, TraceInvalid

_T = TypeVar("_T")
_WORDS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    list: "a list",
    dict: "an object",
}


def typed(item: Any, kind: type[_T], path: str | None) -> _T:
    """The item at `path`, which must be of this type.

    >>> typed(["2 + 2"], str, "steps")
    Traceback (most recent call last):
    tunix_rt.errors.TraceInvalid: steps: must be a string
    """
    # Python takes a boolean for an integer; no format does.
    if isinstance(item, kind) and not (kind is int and isinstance(item, bool)):
        return item
    raise TraceInvalid(Problem(path, f"must be {_WORDS[kind]}{', not null' if item is None else ''}"))


def field(fields: Mapping[str, Any], name: str, kind: type[_T], *, at: str = "") -> _T:
    """The value of a field that must be there; `at` is the path of the object that has it, with its dot."""
    if name not in fields:
        raise TraceInvalid(Problem(at + name, "missing"))
    return typed(fields[name], kind, at + name)


def maybe(fields: Mapping[str, Any], name: str, kind: type[_T], *, at: str = "") -> _T | None:
    """The value of a field that may be missing or null."""
    item = fields.get(name)
    return None if item is None else typed(item, kind, at + name)


def each(fields: Mapping[str, Any], name: str, kind: type[_T], *, at: str = "") -> list[_T]:
    """The items of a list, which may be missing or null."""
    return [typed(item, kind, f"{at}{name}.{i}") for i, item in enumerate(maybe(fields, name, list, at=at) or [])]


def first_text(fields: Mapping[str, Any], *names: str) -> tuple[str, str] | tuple[None, None]:
    """The first of these fields that is a text and not empty, by name and value."""
    for name in names:
        if (item := fields.get(name)) and isinstance(item, str):
            return name, item
    return None, None


def lacking(value: Mapping[str, Any], *fields: str) -> str | None:
    """Which of these fields a row lacks, in words; None where it has them all."""
    missing = [field for field in fields if field not in value]
    return f"no field {', '.join(missing)}" if missing else None


def rest_of(value: Mapping[str, Any], *used: str) -> dict[str, Any]:
    """The fields of a row that a reader has not mapped."""
    return {name: item for name, item in value.items() if name not in used}
