"""The parameters of a request: pages, filters, formats; how each is read, checked and described."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from pydantic_core import from_json

from tunix_rt.errors import Problem, QueryInvalid
from tunix_rt.formats import WRITERS
from tunix_rt.server.error_status import RequestInvalid
from tunix_rt.store.filters import FILTERS, Filters
from tunix_rt.store.query.page import MAX_LIMIT, PageRequest, whole_number

# Jupyter's own, which any request may have.
_JUPYTERS = {"token", "_xsrf", "no_track_activity"}
# The numbers of DuckDB's columns are no larger.
_MOST = 2**63 - 1
_TIME = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}
_COUNT = {"type": "integer", "minimum": 0, "maximum": _MOST}


class Parameter(NamedTuple):
    """How the text of a parameter is read (QueryInvalid where it cannot be), its JSON Schema, and what it means."""

    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    meaning: str


def _filter(name: str, schema: Mapping[str, Any], read: Callable[[str], Any] = str) -> Parameter:
    def checked(text: str) -> Any:
        value = read(text)
        Filters(**{name: value})
        return value

    return Parameter(checked, schema, FILTERS[name])


def _count(name: str) -> Parameter:
    def checked(text: str) -> Any:
        whole_number(name, _number(text), 0, _MOST)
        return _number(text)

    return Parameter(checked, _COUNT, FILTERS[name])


def _paging(name: str, schema: Mapping[str, Any], read: Callable[[str], Any], meaning: str) -> Parameter:
    def checked(text: str) -> Any:
        value = read(text)
        PageRequest.checked(**{"limit": 1, "offset": 0, "after": None, "before": None} | {name: value})
        return value

    return Parameter(checked, schema, meaning)


def _number(text: str) -> int | str:
    # A value that is not valid is reported as it was given.
    return int(text) if re.fullmatch(r"-?\d{1,20}", text, re.ASCII) else text


def _offset(text: str) -> int | str:
    value = _number(text)
    whole_number("offset", value, 0, _MOST)
    return value


def _meta(text: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise QueryInvalid(f"meta={text!r}: is no JSON ({error})") from None


def _format(text: str) -> str:
    if text not in WRITERS:
        raise QueryInvalid(f"format={text!r}: unknown; known are {', '.join(WRITERS)}")
    return text


PAGE = {
    "limit": _paging(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 20},
        _number,
        "at most so many summaries",
    ),
    "offset": _paging("offset", _COUNT | {"default": 0}, _offset, "pass over so many"),
    "after": _paging("after", {"type": "string"}, str, "the cursor `next` of the page in front"),
}
# Neither `ids`, for which there is a route, nor `where`, which is SQL.
SELECTION = {
    "text": _filter("text", {"type": "string"}),
    "source": _filter("source", {"type": "string"}),
    "since": _filter("since", _TIME),
    "until": _filter("until", _TIME),
    "min_steps": _count("min_steps"),
    "max_steps": _count("max_steps"),
    "min_chars": _count("min_chars"),
    "max_chars": _count("max_chars"),
    "version": _filter("version", {"type": "string"}),
    "meta": _filter("meta", {"type": "object"}, _meta),
}
EXPORT = {"format": Parameter(_format, {"type": "string", "enum": list(WRITERS), "default": "trace"}, "what to write")}


def parameters_in(query: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values of the parameters in the query of a URL; RequestInvalid names all that are unknown or mean nothing."""
    try:
        given = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise RequestInvalid("query", Problem(None, f"cannot be read: {error}")) from None
    values: dict[str, Any] = {}
    problems = list(_read(given, known, values))
    if problems:
        raise RequestInvalid("query", *problems)
    return values


def _read(given: list[tuple[str, str]], known: Mapping[str, Parameter], values: dict[str, Any]) -> Iterator[Problem]:
    for name, text in given:
        if name in known and name not in values:
            try:
                values[name] = known[name].read(text)
            except QueryInvalid as error:
                yield Problem(name, str(error))
        elif name in values:
            yield Problem(name, "is given twice")
        elif name not in _JUPYTERS:
            yield Problem(name, f"unknown parameter; known are {', '.join(known) or 'none'}")
