"""The parameters of a request: pages, filters, formats; how each is read, checked and described."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from tunix_rt.errors import Problem, QueryInvalid
from tunix_rt.formats import WRITERS
from tunix_rt.server.error_status import RequestInvalid
from tunix_rt.store.filter_values import MAX_WHOLE_NUMBER, WHOLE_NUMBER
from tunix_rt.store.filters import FILTERS, RENAMED, FilterField, Filters, with_new_names
from tunix_rt.store.query.cursor import MAX_LIMIT, PageRequest, whole_number
from tunix_rt.store.query.order import KNOWN, order_of

# Jupyter's parameters, which any request may have.
_JUPYTERS = {"token", "_xsrf", "no_track_activity"}


class Parameter(NamedTuple):
    """How a parameter is read from text (or QueryInvalid), its JSON Schema, what it means, whether its name is old."""

    read: Callable[[str], Any]
    schema: Mapping[str, Any]
    meaning: str
    deprecated: bool = False


def _filter(name: str, field: FilterField) -> Parameter:
    kind = field.kind

    def checked(text: str) -> Any:
        value = kind.read(text)
        if kind is WHOLE_NUMBER:
            whole_number(name, value, 0, MAX_WHOLE_NUMBER)
        Filters(**{name: value})
        return value

    return Parameter(checked, kind.schema, field.help)


def _paging(name: str, schema: Mapping[str, Any], read: Callable[[str], Any], meaning: str) -> Parameter:
    def checked(text: str) -> Any:
        value = read(text)
        PageRequest.checked(**{"limit": 1, "offset": 0, "after": None, "before": None} | {name: value})
        return value

    return Parameter(checked, schema, meaning)


def _offset(text: str) -> int | str:
    value: int | str = WHOLE_NUMBER.read(text)
    whole_number("offset", value, 0, MAX_WHOLE_NUMBER)
    return value


def _order_by(text: str) -> str:
    order_of(text, descending=False, filters=Filters())
    return text


def _yes_or_no(text: str) -> bool:
    if text not in ("true", "false"):
        raise QueryInvalid(f"descending={text}: must be true or false")
    return text == "true"


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise QueryInvalid(f"scores={text}: must be true or false")
    return text == "true"


def _names(text: str) -> list[str]:
    return text.split(",")


def _format(text: str) -> str:
    if text not in WRITERS:
        raise QueryInvalid(f"format={text}: unknown; known are {', '.join(WRITERS)}")
    return text


PAGE = {
    "limit": _paging(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 20},
        WHOLE_NUMBER.read,
        "at most N summaries",
    ),
    "offset": _paging("offset", {**WHOLE_NUMBER.schema, "default": 0}, _offset, "leave out the N newest"),
    "after": _paging("after", {"type": "string"}, str, "the cursor `next` of the page before"),
    "order_by": Parameter(_order_by, {"type": "string", "examples": ["meta.reward"]}, f"smallest first by {KNOWN}"),
    "descending": Parameter(_yes_or_no, {"type": "boolean", "default": False}, "largest first by `order_by`"),
    "scores": _paging(
        "scores", {"type": "string"}, _names, "current scores by these scorers, with commas: answer,loop"
    ),
}
SELECTION = {name: _filter(name, field) for name, field in FILTERS.items() if field.http}
SELECTION |= {old: SELECTION[new]._replace(deprecated=True) for old, new in RENAMED.items()}
EXPORT = {
    "format": Parameter(_format, {"type": "string", "enum": list(WRITERS), "default": "trace"}, "what to write"),
    "within": Parameter(str, {"type": "string", "enum": ["prompt"]}, "pair across policies too, in a format of pairs"),
    "scores": Parameter(
        _boolean, {"type": "boolean", "default": True}, "write the scores of each trace, in the format trace"
    ),
}


GROUPS = {"by": Parameter(_names, {"type": "string"}, "the fields that samples share, with commas: run,prompt")}


def parameters_in(query: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values of the parameters in the query of a URL; RequestInvalid names all that are unknown or invalid."""
    try:
        given = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise RequestInvalid("query", Problem(None, f"cannot be read: {error}")) from None
    values: dict[str, Any] = {}
    problems = list(_read(given, known, values))
    if problems:
        raise RequestInvalid("query", *problems)
    try:
        return with_new_names(values)
    except QueryInvalid as error:
        raise RequestInvalid("query", Problem(None, str(error))) from None


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
