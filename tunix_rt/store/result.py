"""What a SQL query over the store gives back."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.session import Session

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_ROWS = 50
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


class SqlResult:
    """The rows of a query, in memory: shows itself, and gives itself as Arrow (`arrow()`) or pandas (`df()`)."""

    def __init__(self, table: pa.Table, types: tuple[str, ...]) -> None:
        self._table = table
        self.columns: tuple[str, ...] = tuple(table.column_names)
        self.types = types

    def arrow(self) -> pa.Table:
        """The result as an Arrow table."""
        return self._table

    def df(self) -> "pd.DataFrame":
        """The result as a pandas data frame; pandas must be installed."""
        import pandas as pd

        try:
            return self._table.to_pandas()
        except (ValueError, OverflowError, NotImplementedError):
            # Values of Python, such as its dates, end with the year 9999.
            return self._table.to_pandas(types_mapper=pd.ArrowDtype)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self._table)

    @cached_property
    def rows(self) -> Sequence[tuple[Any, ...]]:
        """The first 50 rows as tuples, for showing."""
        shown = self._table.slice(0, _SHOWN_ROWS)
        return list(zip(*map(_values, shown.columns), strict=True))

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        return f"<SqlResult of {self.n_rows:,} rows: {', '.join(self.columns)}>"

    def __str__(self) -> str:
        return render.table_text(self)

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return render.table_html(self)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; in words those that Python has no type for, such as a time of the year 10000."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        # Arrow's own errors are ValueErrors too.
        return [_value(value) for value in column]


def _value(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError):
        with suppress(pa.ArrowException):
            return value.cast(pa.string()).as_py()
        return f"<{value.type} beyond the times of Python>"


def run_sql(session: Session, query: str, parameters: Sequence[Any]) -> SqlResult:
    """Runs one reading statement; QueryInvalid where it is none, writes, or fails."""
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise QueryInvalid(f"SQL: {error}") from None
    if len(statements) != 1:
        raise QueryInvalid(f"SQL: {len(statements)} statements; give one at a time")
    if statements[0].type not in _READING:
        raise QueryInvalid(
            f"SQL: {statements[0].type.name} writes or changes settings, and sql() only reads; "
            "use add, load and delete to change the store, export to write files"
        )
    with session.cursor() as cursor:
        # What a statement's type does not tell, such as an INSERT inside a WITH, the transaction refuses.
        cursor.execute("begin transaction read only")
        try:
            relation = cursor.sql(query, params=list(parameters))
            return SqlResult(relation.to_arrow_table(), tuple(map(str, relation.types)))
        except duckdb.Error as error:
            raise QueryInvalid(f"SQL: {error}") from None
        finally:
            cursor.rollback()
