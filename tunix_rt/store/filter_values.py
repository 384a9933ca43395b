"""What the values of filters are: how each kind is checked, read from text and described.

A check takes the filter's name and a value, and returns the value as SQL takes it, or raises QueryInvalid. The command
line makes its options from the filters, so `--help` imports this file: DuckDB and pydantic (200 ms each) wait for use.
"""

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from tunix_rt.errors import QueryInvalid, TraceInvalid, TraceNotFound

FIRST_TIME = datetime.min.replace(tzinfo=UTC)
LAST_TIME = datetime.max.replace(tzinfo=UTC)
# The numbers of DuckDB's columns are no larger.
MAX_WHOLE_NUMBER = 2**63 - 1
_UUID_DIGITS = 32
_AGO = re.compile(r"([0-9]{1,9})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,1000}")
_NUMBER = re.compile(r"-?[0-9]{1,1000}(\.[0-9]{1,1000})?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of value. `read` returns a text that it cannot read unchanged, so that `check` refuses it.

    `as_text` writes a checked value as text, where the kind has such texts. `repeated` is true where an option may be
    given several times: `read` then takes a list of texts. `schema` is its JSON Schema, `input` the field that
    forms have for it: text, count, number, time or terms.
    """

    name: str
    check: Callable[[str, Any], Any]
    read: Callable[[Any], Any] = str
    as_text: Callable[[Any], str] | None = None
    metavar: str
    schema: Mapping[str, Any]
    input: str = "text"
    repeated: bool = False


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: a lone surrogate cannot."""
    return value.isascii() or value.encode(errors="ignore").decode() == value


def as_time(name: str, value: Any) -> datetime:
    """A time in UTC from a datetime, a date, ISO 8601, or a duration ago (as text `2h`); QueryInvalid for others.

    A time before the first or after the last one that exists becomes that one.
    """
    given = value
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        try:
            value = plain_value(name, value)
            value = value if isinstance(value, str) else timedelta(seconds=value) if isinstance(value, float) else None
        except (QueryInvalid, OverflowError):
            # Of a year that no calendar has, or longer ago.
            value = None
    if isinstance(value, str):
        ago = _AGO.fullmatch(value)
        with suppress(ValueError):
            value = timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else datetime.fromisoformat(value)
    if isinstance(value, timedelta):
        return _earlier(datetime.now(UTC), value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - UTC is set below
    if not isinstance(value, datetime):
        raise QueryInvalid(
            f"{name}={shown(given)}: must be a time such as 2026-01-31, 2026-01-31T12:00:00Z, or 2h for two hours ago"
        )
    return _earlier(value.replace(tzinfo=UTC), value.utcoffset() or timedelta())


def _earlier(time: datetime, by: timedelta) -> datetime:
    try:
        return time - by
    except OverflowError:
        return FIRST_TIME if by > timedelta() else LAST_TIME


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise QueryInvalid(f"{name}={shown(value)}: must be a string")
    if not is_text(value):
        raise QueryInvalid(
            f"{name}={shown(value)}: contains a lone surrogate, which is not valid text and is in no trace"
        )
    return value


def _whole_number(name: str, value: Any) -> int:
    number = value if type(value) is int else plain_value(name, value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise QueryInvalid(f"{name}={shown(value)}: must be a whole number")
    return max(-MAX_WHOLE_NUMBER, min(number, MAX_WHOLE_NUMBER))


def _number(name: str, value: Any) -> int | float:
    number = value if type(value) is int else plain_value(name, value)
    with suppress(OverflowError):
        if (
            isinstance(number, int | float)
            and not isinstance(number, bool)
            and abs(float(number)) <= sys.float_info.max
        ):
            return number
    raise QueryInvalid(f"{name}={shown(value)}: must be a number of at most 1.8e308")


def _ids(name: str, value: Any) -> list[str]:
    try:
        return [str(UUID(str(one))) for one in ([value] if isinstance(value, str | UUID) else value)]
    except Exception:  # noqa: BLE001 - what a foreign value says of itself, or whether it ends in an error
        raise QueryInvalid(
            f"{name}={shown(value)}: must be full ids, such as 019b76e2-4908-718c-8375-fcf4f3002c1a"
        ) from None


def _expression(name: str, value: Any) -> str:
    import duckdb

    from tunix_rt.store.engine.statement import in_brackets, in_parentheses, n_statements

    expression = _string(name, value)
    for query in (in_parentheses(expression), in_brackets(expression)):
        try:
            n_found = n_statements(query)
        except duckdb.Error as error:
            raise QueryInvalid(f"{name}={shown(expression)}: is not a valid SQL expression: {error}") from None
        if n_found != 1 or not expression.strip():
            raise QueryInvalid(f"{name}={shown(expression)}: must be one SQL expression")
    return expression


def plain_value(name: str, value: Any) -> Any:
    """The value as a JSON value; QueryInvalid if it has none."""
    from tunix_rt.json_values import plain

    try:
        return plain(value)
    except TraceInvalid:
        raise QueryInvalid(f"{name}={shown(value)}: must be a JSON value") from None


def shown(value: object) -> str:
    """The value in a message, not too long."""
    from tunix_rt.validation import short

    return short(value)


STRING = Kind(name="string", check=_string, metavar="TEXT", schema={"type": "string"})
WHOLE_NUMBER = Kind(
    name="whole number",
    check=_whole_number,
    read=lambda text: int(text) if _WHOLE_NUMBER.fullmatch(text) else text,
    metavar="N",
    schema={"type": "integer", "minimum": 0, "maximum": MAX_WHOLE_NUMBER},
    input="count",
)
NUMBER = Kind(
    name="number",
    check=_number,
    read=lambda text: int(text) if _WHOLE_NUMBER.fullmatch(text) else float(text) if _NUMBER.fullmatch(text) else text,
    metavar="NUMBER",
    schema={"type": "number"},
    input="number",
)
TIME = Kind(
    name="time",
    check=as_time,
    metavar="TIME",
    schema={
        "anyOf": [
            {"type": "string", "format": "date-time"},
            {"type": "string", "format": "date"},
            {"type": "string", "pattern": "^[0-9]{1,9}[mhd]$"},
        ]
    },
    input="time",
)
IDS = Kind(
    name="ids",
    check=_ids,
    read=list,
    metavar="ID",
    schema={"type": "array", "items": {"type": "string", "format": "uuid"}},
    repeated=True,
)
SQL = Kind(name="SQL expression", check=_expression, metavar="SQL", schema={"type": "string"})


def id_range(id: UUID | str) -> tuple[UUID, UUID]:
    """The lowest and the highest id that begin with these digits; TraceNotFound if they are not hexadecimal."""
    try:
        text = str(id)
    except Exception:  # noqa: BLE001 - nested too deep, or a foreign value with a fault of its own
        text = shown(id)
    digits = text.strip().replace("-", "").lower()
    if not digits or len(digits) > _UUID_DIGITS or set(digits) - set("0123456789abcdef"):
        said = text if len(text) <= 2 * _UUID_DIGITS else shown(text)
        raise TraceNotFound(f"trace {said} not found: an id has up to {_UUID_DIGITS} hexadecimal digits")
    return UUID(digits.ljust(_UUID_DIGITS, "0")), UUID(digits.ljust(_UUID_DIGITS, "f"))
