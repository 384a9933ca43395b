"""Traces by their ids: one is read, several are deleted, each in one query."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb

from tunix_rt.errors import IdAmbiguous, TraceNotFound
from tunix_rt.model import TraceRecord
from tunix_rt.store.engine.rows import BETWEEN, ONE_RECORD_COLUMNS, to_one_record
from tunix_rt.store.engine.statement import parsed
from tunix_rt.store.filter_values import id_range

_FIND = f"select {ONE_RECORD_COLUMNS} from traces where id between ? and ?"
_FIND_FIRST = f"{_FIND} limit 2"
_FIND_WITHIN = f"{_FIND} and {BETWEEN}"
_DELETE = "delete from traces{} returning id, epoch_us(created_at)"


def find(
    cursor: duckdb.DuckDBPyConnection, id: UUID | str, *, store: Path, within: tuple[int, int] | None = None
) -> TraceRecord:
    """The trace with this id, or with the only id that begins so; see `TraceStore.get`.

    A complete id may be looked for `within` two times, in microseconds since 1970, alone.
    """
    low, high = id_range(id)
    query = _FIND_WITHIN if within else _FIND if low == high else _FIND_FIRST
    rows = cursor.execute(parsed(cursor, query), [low, high, *(within or ())]).fetchall()
    n_found = len(rows)
    if n_found > 1:
        n_found = cursor.execute("select count(*) from traces where id between ? and ?", [low, high]).fetchall()[0][0]
    _require_one(id, n_found, store)
    return to_one_record(rows[0])


def delete(cursor: duckdb.DuckDBPyConnection, ids: Sequence[UUID | str], *, store: Path) -> list[int]:
    """Deletes the traces with these ids, or with the only ids that begin so, and returns their times in microseconds.

    Raises what `find` raises; the transaction that the caller has begun must then be rolled back.
    """
    clause, values = with_ids(ids)
    found = cursor.execute(_DELETE.format(clause), values).fetchall()
    require_each(ids, [trace_id for trace_id, _ in found], store=store)
    return [created_at for _, created_at in found]


def require_each(ids: Sequence[UUID | str], found: Iterable[UUID], *, store: Path) -> None:
    """Raises what `find` raises unless each id is, or begins, that of exactly one trace that was found."""
    there = sorted(found)
    for each in ids:
        low, high = id_range(each)
        _require_one(each, bisect_right(there, high) - bisect_left(there, low), store)


def with_ids(ids: Sequence[UUID | str]) -> tuple[str, list[Any]]:
    """The WHERE clause of the traces whose ids are or begin like one of these, and its values."""
    ranges = [id_range(each) for each in ids]
    prefixes = [bound for low, high in ranges if low != high for bound in (low, high)]
    exact = [low for low, high in ranges if low == high]
    return f" where id in (select unnest(?::uuid[])){' or id between ? and ?' * (len(prefixes) // 2)}", [
        exact,
        *prefixes,
    ]


def _require_one(id: UUID | str, n_found: int, store: Path) -> None:
    if n_found > 1:
        raise IdAmbiguous(f"id {id} is ambiguous: {n_found:,} ids begin with it; give more digits")
    if n_found == 0:
        raise TraceNotFound(f"trace {id} not found in {store}")
