"""The response to a request that fails: a status, and a `detail` that names the field."""

import re
from collections.abc import Iterable
from typing import Any

from tunix_rt.errors import (
    IdAmbiguous,
    Problem,
    QueryInvalid,
    SettingsInvalid,
    StoreBusy,
    StoreFull,
    StoreReadOnly,
    TraceInvalid,
    TraceNotFound,
    TraceTooLarge,
    TunixRTError,
)


class BatchInvalid(TraceInvalid):
    """A batch of no traces, or of too many."""


class RequestInvalid(QueryInvalid):
    """Parts of a request that are not valid: `place` is "query" or "path"; the problems name its parameters."""

    def __init__(self, place: str, *problems: Problem) -> None:
        self.place, self.problems = place, problems
        super().__init__("\n".join(map(str, problems)))


# More problems of one body than this are reported once these are fixed.
_MOST_PROBLEMS = 100
# The first that fits; all other errors are the server's.
_STATUS = {
    BatchInvalid: 400,
    TraceTooLarge: 413,
    TraceInvalid: 422,
    IdAmbiguous: 409,
    TraceNotFound: 404,
    QueryInvalid: 422,
    StoreBusy: 503,
    StoreFull: 507,
    StoreReadOnly: 409,
    SettingsInvalid: 503,
}


def status_of(error: TunixRTError) -> int:
    """The status of the reply for this error."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def detail_of(error: TunixRTError) -> str | list[dict[str, Any]]:
    """The detail of the error: a list of `{loc, field, msg}` if parts of the request are not valid, else a text."""
    if isinstance(error, RequestInvalid):
        return _faults(error.place, error.problems)
    if isinstance(error, TraceInvalid) and not isinstance(error, BatchInvalid | TraceTooLarge):
        return _faults("body", error.problems)
    if isinstance(error, SettingsInvalid):
        # Settings and their values are not shown to clients.
        return "the settings of the server are not valid; its log names the variable and what is allowed"
    return str(error)


def _faults(place: str, problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "loc": [place, *_location(problem.field)],
            "field": None if problem.field is None else _text(problem.field),
            "msg": _text(problem.reason),
        }
        for problem in list(problems)[:_MOST_PROBLEMS]
    ]


def _location(field: str | None) -> list[str | int]:
    parts = field.split(".") if field else []
    # An index has few digits; a key of `meta` may have more than Python reads.
    return [int(part) if re.fullmatch(r"\d{1,18}", part, re.ASCII) else _text(part) for part in parts]


def _text(text: str) -> str:
    """The text without lone surrogates, which a key may contain and a reply cannot."""
    return text.encode(errors="backslashreplace").decode()
