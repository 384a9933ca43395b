"""Values of numpy, pandas and Arrow, and of Python's own libraries, as the values that JSON has."""

import base64
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.types as kinds
from pydantic import BaseModel

from tunix_rt.errors import Problem, TraceInvalid

# As deep as the parser of JSON goes; a deeper value would end in Python's own limit.
_MAX_DEPTH = 200
_PLAIN = (str, int, bool, type(None))


def plain(value: Any, depth: int = 0) -> Any:
    """The value as JSON has it: arrays as lists, what is missing (NaN, NaT, NA) as None, times as ISO 8601.

    A time without a zone is UTC, a duration its seconds; bytes are their text, or base64 where they are none. What JSON
    has nothing for is left as it is. Raises TraceInvalid for what is nested more than 200 deep.
    """
    if type(value) in _PLAIN:
        return value
    if depth > _MAX_DEPTH:
        raise TraceInvalid(Problem(None, f"nested more than {_MAX_DEPTH} deep"))
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    elif getattr(getattr(value, "dtype", None), "kind", "") in ("M", "m"):
        # In nanoseconds their lists would be of numbers.
        value = list(value) if getattr(value, "ndim", 0) else value.astype(f"{value.dtype.kind}8[us]").item()
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [plain(item, depth + 1) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, str | Enum | UUID | PurePath):
        return plain(value.value) if isinstance(value, Enum) else str(value)
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return base64.b64encode(raw).decode()
    return _moment(value)


def _number(value: float | Decimal) -> Any:
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    # NaN is the only number that is not itself.
    return float(value) if value == value else None  # noqa: PLR0124


def _moment(value: Any) -> Any:
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value


def plain_rows(batch: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """The rows of an Arrow batch as plain values."""
    schema = batch.schema
    if (exact := _microseconds(schema)) is not schema:
        batch = batch.cast(exact, safe=False)
    rows: list[dict[str, Any]] = batch.to_pylist()
    # Most columns are texts: only the others are looked through.
    for name in [field.name for field in schema if not _is_plain(field.type)]:
        for row in rows:
            row[name] = plain(row[name])
    return rows


@cache
def _microseconds(schema: pa.Schema) -> pa.Schema:
    """The schema with its nanoseconds as microseconds: Python's times are no finer."""
    fields = [field.with_type(_in_microseconds(field.type)) for field in schema]
    return schema if all(old.type == new.type for old, new in zip(schema, fields, strict=True)) else pa.schema(fields)


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    if getattr(kind, "unit", "") == "ns":
        if kinds.is_timestamp(kind):
            return pa.timestamp("us", kind.tz)
        return pa.time64("us") if kinds.is_time(kind) else pa.duration("us")
    if kinds.is_struct(kind):
        return pa.struct([field.with_type(_in_microseconds(field.type)) for field in kind])
    if kinds.is_list(kind):
        return pa.list_(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    if kinds.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    return kind


def _is_plain(kind: pa.DataType) -> bool:
    if kinds.is_struct(kind):
        return all(_is_plain(field.type) for field in kind)
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return _is_plain(kind.value_type)
    return any(
        test(kind)
        for test in (kinds.is_string, kinds.is_large_string, kinds.is_integer, kinds.is_boolean, kinds.is_null)
    )
