"""The result of a SQL query over the store."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, time
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from pydantic_core import from_json

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TunixRTError
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.statement import check_query, query_errors
from tunix_rt.store.filter_values import is_text

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_ROWS = 50
_ROWS_AT_ONCE = 1_000
_MOST_NESTED = 100
# What Arrow raises where neither Python nor pandas has a type for a value.
_NO_SUCH_VALUE = (ValueError, OverflowError, pa.ArrowException)


@render.shows_itself(render.table_text, render.table_html)
class SqlResult:
    """The rows of a query, in memory: shows itself, and returns them as Arrow (`arrow()`) or pandas (`df()`)."""

    def __init__(self, table: pa.Table, types: tuple[str, ...]) -> None:
        self._table = table
        self.columns: tuple[str, ...] = tuple(table.column_names)
        self.types = types

    def arrow(self) -> pa.Table:
        """The result as an Arrow table."""
        return self._table

    def df(self) -> "pd.DataFrame":
        """The result as a pandas data frame; pandas must be installed.

        Raises QueryInvalid for values that pandas has no type for, such as a UNION or the year 290000.
        """
        import pandas as pd

        try:
            try:
                return self._table.to_pandas()
            except _NO_SUCH_VALUE:
                # Values of Python, such as its dates, end with the year 9999.
                return self._table.to_pandas(types_mapper=pd.ArrowDtype)
        except _NO_SUCH_VALUE as error:
            raise QueryInvalid(
                f"SQL: pandas cannot hold the result: {error}; use arrow(), or cast to varchar"
            ) from None

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self._table)

    @cached_property
    def rows(self) -> Sequence[tuple[Any, ...]]:
        """The first 50 rows as tuples, for showing."""
        shown = self._table.slice(0, _SHOWN_ROWS)
        return list(zip(*map(_values, shown.columns), strict=True))

    def objects(self) -> Iterator[dict[str, Any]]:
        """All rows as values of JSON: each column by its name, those of JSON parsed; what JSON has no type for as text.

        So are numbers that a double does not hold; NaN and infinities are null.

        Raises QueryInvalid where two columns have one name.
        """
        twice = [name for name in dict.fromkeys(self.columns) if self.columns.count(name) > 1]
        if twice:
            raise QueryInvalid(f"SQL: several columns are named {', '.join(twice)}; rename them with `as`")
        are_json = [kind == "JSON" for kind in self.types]
        for start in range(0, self.n_rows, _ROWS_AT_ONCE):
            columns = map(_values, self._table.slice(start, _ROWS_AT_ONCE).columns)
            for row in zip(*columns, strict=True):
                values = (
                    from_json(value) if is_json and value is not None else value
                    for value, is_json in zip(row, are_json, strict=True)
                )
                yield dict(zip(self.columns, map(_of_json, values), strict=True))

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        return render.visible(f"<SqlResult of {self.n_rows:,} rows: {', '.join(self.columns)}>")


def run_sql(session: Access, query: str, parameters: Sequence[Any]) -> SqlResult:
    """Runs one reading statement; raises QueryInvalid if it is not valid, writes, or fails."""
    if not isinstance(query, str):
        raise QueryInvalid(f"SQL: must be a string, not {type(query).__name__}")
    if not is_text(query):
        raise QueryInvalid(
            "SQL: the text contains half of a surrogate pair, which cannot be written as UTF-8; remove it"
        )
    values = [_plain(value) for value in parameters]
    with session.cursor() as cursor, query_errors("SQL", session.path):
        try:
            check_query(cursor, query)
            # The transaction refuses what cannot be seen in the text of a SELECT.
            cursor.execute("begin transaction read only")
            relation = cursor.sql(query, params=values)
            return SqlResult(relation.to_arrow_table(), tuple(map(str, relation.types)))
        except UnicodeDecodeError:
            raise  # `query_errors` says what it is.
        except (TypeError, ValueError, RecursionError, OverflowError, NotImplementedError, pa.ArrowException) as error:
            # DuckDB's client for Python raises these for a parameter, a result or a text that it has no type for.
            if isinstance(error, TunixRTError):
                raise
            raise QueryInvalid(f"SQL: {error}") from None
        finally:
            with suppress(duckdb.Error):
                cursor.rollback()


def _plain(value: Any) -> Any:
    """A NumPy number as Python's own."""
    try:
        _refuse_endless(value, 0)
        item = getattr(value, "item", None)
        return item() if callable(item) and getattr(value, "ndim", None) == 0 else value
    except QueryInvalid:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the code behind a foreign value raises is about this value
        raise QueryInvalid(f"SQL: a parameter of type {type(value).__name__} cannot be read: {error}") from None


def _refuse_endless(value: Any, depth: int) -> None:
    """DuckDB follows a value that holds itself until the process dies."""
    if depth > _MOST_NESTED:
        raise QueryInvalid("SQL: a parameter is nested too deeply, or contains itself")
    if isinstance(value, dict):
        value = list(value.values())
    elif getattr(getattr(value, "dtype", None), "kind", "") == "O" and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        for item in value:
            if not isinstance(item, str | int | float):
                _refuse_endless(item, depth + 1)


def _of_json(value: Any) -> Any:
    """The value as one of JSON."""
    if isinstance(value, Decimal) and value == Decimal(repr(float(value))):
        value = float(value)
    if value is None or isinstance(value, str | bool | int | float):
        return None if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, dict):
        return {str(key): _of_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_of_json(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values for showing; those that Python has no type for, such as the year 290000, as Arrow writes them."""
    try:
        return list(column.to_pylist())
    except _NO_SUCH_VALUE:
        array = pa.concat_arrays(column.chunks)
        return [_value(array, index) for index in range(len(array))]


def _value(array: pa.Array, index: int) -> Any:
    try:
        return array[index].as_py()
    except _NO_SUCH_VALUE:
        if pa.types.is_struct(array.type):
            return {
                field.name: _value(values, index) for field, values in zip(array.type, array.flatten(), strict=True)
            }
        if pa.types.is_list(array.type):
            inner = array.slice(index, 1).flatten()
            return [_value(inner, n) for n in range(len(inner))]
        return " ".join(array.slice(index, 1).to_string().split()).removeprefix("[ ").removesuffix(" ]")
