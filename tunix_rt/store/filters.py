"""What to select: one set of filters for lists, counts, scans, exports and every form."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast
from uuid import UUID

import duckdb

from tunix_rt.errors import QueryInvalid, TraceInvalid, TraceNotFound
from tunix_rt.json_values import plain
from tunix_rt.store.engine.statement import asked, check_expression, in_brackets, in_parentheses, shown
from tunix_rt.validation import short

_UUID_DIGITS = 32
_BEGIN = "begin transaction read only"
_MOST = 2**63 - 1
FIRST_TIME = datetime.min.replace(tzinfo=UTC)
LAST_TIME = datetime.max.replace(tzinfo=UTC)

# What `page(...)` and its like take by keyword, and what each means.
FILTERS = {
    "text": "a string to find in prompt, steps or answer, whatever its case",
    "source": "the trace's meta.source",
    "since": "created at or after this time (datetime, date or ISO 8601; UTC unless it says otherwise)",
    "until": "created before this time",
    "min_steps": "at least so many steps",
    "max_steps": "at most so many steps",
    "min_chars": "at least so many characters in prompt, steps and answer together",
    "max_chars": "at most so many characters in prompt, steps and answer together",
    "version": "the trace_version",
    "meta": 'values in meta, such as {"reward": 1, "grader.name": "exact"}; dots reach inside',
    "ids": "these ids",
    "where": 'a SQL expression over the columns, such as "length(prompt) > 1000"',
}


class Condition(NamedTuple):
    """A part of a WHERE clause and the values it binds."""

    sql: str
    values: tuple[Any, ...] = ()


def where(*conditions: Condition) -> tuple[str, list[Any]]:
    """The WHERE clause of all the conditions, and the values it binds."""
    if not conditions:
        return "", []
    clause = " and ".join(condition.sql for condition in conditions)
    return f" where {clause}", [value for condition in conditions for value in condition.values]


# Spelled out: DuckDB skips row groups by a comparison of a column, not of a row; and 2.0 makes a BETWEEN of two row
# comparisons and then refuses it.
def not_before(time: str, trace_id: UUID) -> Condition:
    """The condition that a row has this key (created_at as text, id) or a later one."""
    return Condition(
        "created_at >= ?::timestamptz and (created_at > ?::timestamptz or id >= ?)", (time, time, trace_id)
    )


def earlier(time: str, trace_id: UUID) -> Condition:
    """The condition that a row has an earlier key than this one (created_at as text, id)."""
    return Condition("created_at <= ?::timestamptz and (created_at < ?::timestamptz or id < ?)", (time, time, trace_id))


class Filters:
    """Checked filters; falsy where nothing was asked for. `given` is what was asked, `conditions` what it means in SQL.

    Raises QueryInvalid for a filter that is unknown or has a value of the wrong kind. None stands for "not asked".
    """

    def __init__(self, **given: Any) -> None:
        unknown = [name for name in given if name not in FILTERS]
        if unknown:
            known = "; ".join(f"{name}: {meaning}" for name, meaning in FILTERS.items())
            raise QueryInvalid(f"unknown filter {', '.join(map(repr, unknown))}; known are {known}")
        # What can be gone through only once would be empty for whoever is told what was asked.
        self.given: dict[str, Any] = {
            name: list(value) if isinstance(value, Iterator) else value
            for name, value in given.items()
            if value is not None
        }
        self.conditions = tuple(
            condition for name, value in self.given.items() for condition in getattr(self, f"_{name}")(value)
        )

    def __bool__(self) -> bool:
        return bool(self.conditions)

    @contextmanager
    def told(self, cursor: duckdb.DuckDBPyConnection, path: Path, *, changing: bool = False) -> Iterator[None]:
        """Around the query: what fails in it because of the filters is QueryInvalid, not an error of DuckDB.

        A `where` reads in a READ ONLY transaction, or in the one that is `changing` the store, whose file is `path`.
        """
        if not self:
            yield
            return
        with asked(shown(self.given), path):
            if "where" not in self.given:
                yield
                return
            check_expression(cursor, str(self.given["where"]))
            if changing:
                yield
                return
            cursor.execute(_BEGIN)
            try:
                yield
            finally:
                with suppress(duckdb.Error):
                    cursor.rollback()

    def begin_anew(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """After a query within `told` that had too little memory: a failed transaction takes no other."""
        if "where" in self.given:
            with suppress(duckdb.Error):
                cursor.rollback()
            cursor.execute(_BEGIN)

    def _text(self, value: Any) -> Iterator[Condition]:
        text = _kind("text", value, str)
        # RE2's case folding was 1.7 times as fast as lower() over 1,000,000 traces; a text without case needs neither.
        if text.lower() == text.upper():
            found, value = "contains({0}, ?)", text
        else:
            found, value = "regexp_matches({0}, ?, 'i')", _literal_pattern(text)
        in_steps = f"len(list_filter(steps, lambda s: {found.format('s.content')})) > 0"
        yield Condition(
            f"({found.format('prompt')} or coalesce({found.format('final_answer')}, false) or {in_steps})", (value,) * 3
        )

    def _source(self, value: Any) -> Iterator[Condition]:
        yield Condition("source = ?", (_kind("source", value, str),))

    def _since(self, value: Any) -> Iterator[Condition]:
        yield Condition("created_at >= ?", (as_time("since", value),))

    def _until(self, value: Any) -> Iterator[Condition]:
        yield Condition("created_at < ?", (as_time("until", value),))

    def _min_steps(self, value: Any) -> Iterator[Condition]:
        yield Condition("n_steps >= ?", (_kind("min_steps", value, int),))

    def _max_steps(self, value: Any) -> Iterator[Condition]:
        yield Condition("n_steps <= ?", (_kind("max_steps", value, int),))

    def _min_chars(self, value: Any) -> Iterator[Condition]:
        yield Condition("n_chars >= ?", (_kind("min_chars", value, int),))

    def _max_chars(self, value: Any) -> Iterator[Condition]:
        yield Condition("n_chars <= ?", (_kind("max_chars", value, int),))

    def _version(self, value: Any) -> Iterator[Condition]:
        yield Condition("trace_version = ?", (_kind("version", value, str),))

    def _meta(self, value: Any) -> Iterator[Condition]:
        # The keys first, all together: two that are one as text ask for two things at once.
        _plain("meta", dict.fromkeys(_kind("meta", value, Mapping)))
        paths: list[str] = []
        names = [name for key in value for name in _plain("meta", {key: None})]
        conditions = [_meta_condition(name, wanted, paths) for name, wanted in zip(names, value.values(), strict=True)]
        if conditions:
            # One extraction for all keys: each reads the whole of meta, and five of them, for traces with 1 MB of
            # numbers, needed more than 512 MB together.
            clause = " and ".join(condition.sql for condition in conditions)
            values = tuple(value for condition in conditions for value in condition.values)
            extracted = "json_extract(meta, ?::varchar[])"
            yield Condition(f"list_transform([{extracted}], lambda found: {clause})[1]", (paths, *values))

    def _ids(self, value: Any) -> Iterator[Condition]:
        if isinstance(value, str | UUID):
            value = [value]
        try:
            ids = [str(UUID(str(one))) for one in value]
        except Exception:  # noqa: BLE001 - what a foreign value says of itself, or whether it ends in an error
            raise QueryInvalid(
                f"ids={short(value)}: must be full ids, such as 019b76e2-4908-718c-8375-fcf4f3002c1a"
            ) from None
        yield Condition("id in (select unnest(?::uuid[]))", (ids,))

    def _where(self, value: Any) -> Iterator[Condition]:
        expression = _kind("where", value, str)
        for query in (in_parentheses(expression), in_brackets(expression)):
            try:
                n_statements = len(duckdb.extract_statements(query))
            except duckdb.Error as error:
                raise QueryInvalid(f"where={expression!r}: is no SQL expression: {error}") from None
            if n_statements != 1 or not expression.strip():
                raise QueryInvalid(f"where={expression!r}: must be one SQL expression")
        yield Condition(f"({expression}\n)")


def as_time(name: str, value: Any) -> datetime:
    """A time in UTC from a datetime, a date, or text in ISO 8601, or a duration ago; QueryInvalid for anything else.

    What is beyond the first or the last time that there is stands for that.
    """
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        value = _plain(name, value)
        value = value if isinstance(value, str) else timedelta(seconds=value) if isinstance(value, float) else None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise QueryInvalid(f"{name}={value!r}: must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    if isinstance(value, timedelta):
        return _earlier(datetime.now(UTC), value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - UTC is set below
    time: datetime = _kind(name, value, datetime)
    return _earlier(time.replace(tzinfo=UTC), time.utcoffset() or timedelta())


def _earlier(time: datetime, by: timedelta) -> datetime:
    try:
        return time - by
    except OverflowError:
        return FIRST_TIME if by > timedelta() else LAST_TIME


def _kind(name: str, value: Any, kind: type) -> Any:
    if kind is int and type(value) is not int:
        value = _plain(name, value)
    if isinstance(value, str) and not is_text(value):
        raise QueryInvalid(f"{name}={value!r}: holds a lone surrogate, which is no text and in no trace")
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        # DuckDB takes no integer of more bits, and no count comes near.
        return max(-_MOST, min(cast("int", value), _MOST)) if kind is int else value
    raise _not_one(name, value)


def _plain(name: str, value: Any) -> Any:
    try:
        return plain(value)
    except TraceInvalid:
        raise _not_one(name, value) from None


def _not_one(name: str, value: Any) -> QueryInvalid:
    return QueryInvalid(f"{name}={short(value)}: must be {FILTERS.get(name, 'a time such as 2026-01-31')}")


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: a lone surrogate cannot."""
    return value.isascii() or value.encode(errors="ignore").decode() == value


def _literal_pattern(text: str) -> str:
    # RE2 knows no \Q…\E here, and Python's escapes for plain ASCII signs are its own.
    return re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII) if text.isascii() else re.escape(text)


def _meta_condition(key: str, wanted: Any, paths: list[str]) -> Condition:
    """The condition on `found`, which is what meta has at `paths`; adds those of this key to them."""
    # A key may itself hold dots (`gen_ai.usage`), so the whole key is tried before the path.
    first = len(paths) + 1
    paths += [_pointer(key)] if "." not in key else [_pointer(key), _pointer(*key.split("."))]
    found = f"coalesce({', '.join(f'found[{n}]' for n in range(first, len(paths) + 1))})"
    given = wanted
    try:
        wanted = plain(given)
        text = json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))
    except (TraceInvalid, ValueError):
        raise QueryInvalid(f"meta={{{key!r}: {short(given)}}}: must be a JSON value") from None
    if wanted is None and given is not None:
        # Not by the way: `delete` would find every trace that lacks the key.
        raise QueryInvalid(
            f"meta={{{key!r}: {short(given)}}}: must be a JSON value; None finds null and what is missing"
        )
    if wanted is None:
        return Condition(f"coalesce(json_type({found}), 'NULL') = 'NULL'")
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        numbers = "('UBIGINT', 'BIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT')"
        is_number = f"json_type({found}) in {numbers}"
        try:
            number = float(wanted)
        except OverflowError:
            raise QueryInvalid(f"meta={{{key!r}: …}}: numbers are compared as doubles, which end at 1.8e308") from None
        return Condition(f"({is_number} and try_cast({found} as double) = ?::double)", (number,))
    return Condition(f"{found}::varchar = json(?)::varchar", (text,))


def _pointer(*keys: str) -> str:
    # Not one of DuckDB's paths, in which no key is empty and a star is any key.
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def id_range(id: UUID | str) -> tuple[UUID, UUID]:
    """The lowest and the highest id that begin with these digits; TraceNotFound where they are none."""
    try:
        text = str(id)
    except Exception:  # noqa: BLE001 - nested too deep, or a foreign value with a fault of its own
        text = short(id)
    digits = text.strip().replace("-", "").lower()
    if not digits or len(digits) > _UUID_DIGITS or set(digits) - set("0123456789abcdef"):
        raise TraceNotFound(f"trace {text!r} not found: an id is up to {_UUID_DIGITS} hexadecimal digits")
    return UUID(digits.ljust(_UUID_DIGITS, "0")), UUID(digits.ljust(_UUID_DIGITS, "f"))
