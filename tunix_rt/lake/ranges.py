"""From when to when a statement needs the rows of a table: DuckDB plans it over empty tables, and the plan says so.

DuckDB would open every file to learn that none of its rows is in a range. What it pushes down to the scan of a table is
what holds for every row that counts, so files outside of it need not be read, whatever the statement is: a page, a
condition of the user, a join. What the plan does not say in so many words is no bound.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import duckdb

from tunix_rt.store.engine.database import started
from tunix_rt.store.engine.rows import to_microseconds
from tunix_rt.store.engine.schema import SCHEMA_VERSION, migrate

# What would leave out the scan of an empty table, or read its rows twice.
_DISABLED = "statistics_propagation,late_materialization,empty_result_pullup"
_BOUND = re.compile(r"\(*created_at (>=|<=|>|<|=) '([^']+)'::TIMESTAMP WITH TIME ZONE\)*")
_OPTIONAL = re.compile(r"\(*optional: [\w() ]+\)*")


class Range(NamedTuple):
    """Times in microseconds since 1970, both included; None is open."""

    since: int | None
    until: int | None

    def reaches(self, since: int, until: int) -> bool:
        """Whether rows between these times may be in it."""
        return (self.since is None or until >= self.since) and (self.until is None or since <= self.until)


ALL = Range(None, None)


def planning() -> duckdb.DuckDBPyConnection:
    """A DuckDB with the tables of a store, without rows, to plan statements in."""
    running = started({"memory_limit": "64MB"})
    running.execute(f"set disabled_optimizers = '{_DISABLED}'")
    with_tables(running)
    return running


def with_tables(running: duckdb.DuckDBPyConnection) -> None:
    """Makes the tables of a store in memory, as `store`."""
    running.execute("attach ':memory:' as store")
    running.execute("use store")
    migrate(running, SCHEMA_VERSION)


def ranges(planner: duckdb.DuckDBPyConnection, query: str, values: Any) -> dict[str, Range]:
    """For each table in the plan of the statement, the times that all its scans are within."""
    try:
        plan = planner.execute(f"explain (format json) {query}", values).fetchall()[0][1]
        scans = list(_scans(json.loads(plan)))
    except (duckdb.Error, ValueError, TypeError, IndexError, KeyError, RuntimeError):
        # Whatever is wrong with it, DuckDB says it again where it runs.
        return {}
    found: dict[str, Range] = {}
    for table, one in scans:
        before = found.get(table, one)
        found[table] = Range(_least(before.since, one.since), _most(before.until, one.until))
    return found


def _scans(nodes: Any) -> Iterator[tuple[str, Range]]:
    for node in nodes:
        about = node.get("extra_info") or {}
        table = str(about.get("Table", "")) if isinstance(about, dict) else ""
        if table:
            yield table.rpartition(".")[2], _range(about.get("Filters") or [])
        yield from _scans(node.get("children") or [])


def _range(filters: str | list[str]) -> Range:
    since: list[int] = []
    until: list[int] = []
    for condition in [filters] if isinstance(filters, str) else filters:
        parts = condition.split(" AND ")
        bounds = [_BOUND.fullmatch(part) for part in parts]
        # A text of the user may look like a bound: each part must be one, or nothing is.
        if not all(bound or _OPTIONAL.fullmatch(part) for bound, part in zip(bounds, parts, strict=True)):
            continue
        for bound in filter(None, bounds):
            try:
                at = to_microseconds(datetime.fromisoformat(bound[2]))
            except (ValueError, TypeError, OverflowError):
                continue
            if bound[1] in (">=", ">", "="):
                since.append(at)
            if bound[1] in ("<=", "<", "="):
                until.append(at)
    return Range(max(since, default=None), min(until, default=None))


def _least(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else min(a, b)


def _most(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else max(a, b)
