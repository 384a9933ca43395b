"""The rows of Arrow batches as plain values."""

from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from tunix_rt.errors import Problem, SourceInvalid, TraceInvalid
from tunix_rt.json_values import plain
from tunix_rt.validation import short


def plain_rows(batch: pa.RecordBatch, source: str) -> list[dict[str, Any] | TraceInvalid]:
    """The rows of an Arrow batch as plain values; in place of a bad row the error, with its column.

    Raises SourceInvalid where two columns have the same name: a row would have the last of them.
    """
    names = batch.schema.names
    if len(set(names)) < len(names):
        twice = next(name for n, name in enumerate(names) if name in names[:n])
        raise SourceInvalid(f"{source}: two columns have the name {short(twice)}; rename one of them")
    try:
        return _rows(batch)
    except Exception:  # noqa: BLE001 - which value it is, and what is wrong with it, is found value by value
        return _sifted(batch)


def _rows(batch: pa.RecordBatch) -> list[Any]:
    schema = batch.schema
    if (exact := _microseconds(schema)) is not schema:
        batch = batch.cast(exact, safe=False)
    rows: list[dict[str, Any]] = batch.to_pylist()
    # Most columns are texts: only the others are checked.
    for name in [field.name for field in schema if not _is_plain(field.type)]:
        for row in rows:
            row[name] = plain(row[name], name)
    return rows


def _sifted(batch: pa.RecordBatch) -> list[dict[str, Any] | TraceInvalid]:
    rows: list[dict[str, Any] | TraceInvalid] = [{} for _ in range(len(batch))]
    for name in batch.schema.names:
        column = batch.select([name])
        try:
            values = _rows(column)
        except Exception:  # noqa: BLE001 - as above
            values = [_value(column.slice(n, 1), name) for n in range(len(column))]
        for n, value in enumerate(values):
            row = rows[n]
            if isinstance(value, TraceInvalid) and isinstance(row, dict):
                rows[n] = value
            elif isinstance(row, dict):
                row.update(value)
    return rows


def _value(column: pa.RecordBatch, name: str) -> Any:
    """The row of one column and one value, or its error."""
    try:
        return _rows(column)[0]
    except TraceInvalid as error:
        return error
    except Exception as error:  # noqa: BLE001 - Arrow has an error of its own for each type
        if isinstance(error, pa.ArrowInvalid) and (zone := getattr(column.schema.field(0).type, "tz", None)):
            return TraceInvalid(Problem(name, f"unknown time zone {short(zone)}"))
        kind, reason = column.schema.field(0).type, str(error).partition("\n")[0][:120]
        return TraceInvalid(Problem(name, f"a {kind} that cannot be read: {type(error).__name__}: {reason}"))


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
