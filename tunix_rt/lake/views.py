"""The tables of a lake as DuckDB reads them: a cursor in which they are views of its files."""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow.parquet as pq

from tunix_rt.lake.kinds import SCORES, TRACES
from tunix_rt.lake.ranges import ALL, planning, ranges
from tunix_rt.lake.table import DataFile, LakeTable

# Up to this number of files are opened without planning, which takes as long.
_MOST_UNPLANNED = 4
_MENTIONS = re.compile(r"\b(traces|scores|labels)\b", re.IGNORECASE)
_AS_STORED = {
    TRACES.name: """
        id::uuid as id, created_at, trace_version, preview, n_steps, n_chars, source, digest::uuid as digest,
        prompt, steps, final_answer, meta::json as meta
    """,
    SCORES.name: """
        scorer, version, params, created_at, trace_id::uuid as trace_id, step, sample, value, label, answer,
        explanation, reason, metadata::json as metadata, scored_at
    """,
}
# The rows that a transaction adds, as the files have them.
AS_WRITTEN = {
    TRACES.name: "select * replace (id::varchar as id, digest::varchar as digest, meta::varchar as meta)"
    " from store.traces",
    SCORES.name: "select * replace (trace_id::varchar as trace_id, metadata::varchar as metadata) from store.scores",
}
_LABELS = "create or replace temp view labels as select * from scores where starts_with(scorer, 'label:')"


class Planner:
    """Plans statements over empty tables, for the threads of a session in turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.running: duckdb.DuckDBPyConnection | None = None

    def ranges(self, query: str, values: Any, given: dict[str, Any]) -> Any:
        """From when to when the statement needs the rows of each table; `given` are Arrow tables that it names."""
        with self._lock:
            if self.running is None:
                self.running = planning()
            for name, table in given.items():
                self.running.register(name, table)
            try:
                return ranges(self.running, query, values)
            finally:
                for name in given:
                    self.running.unregister(name)


class LakeCursor:
    """A cursor of DuckDB that reads, for each statement, only the files which can have rows for it.

    It has what the store's calls use of a cursor. `adds` is whether what is added in a transaction is read as well.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        tables: Sequence[LakeTable],
        planner: Planner,
        *,
        empty: Callable[[str], Path],
        adds: bool,
    ) -> None:
        # How many rows of a transaction were not added, because others had added them.
        self.left_out = 0
        self._cursor = cursor
        self._tables = {table.kind.name: table for table in tables}
        self._planner = planner
        self._empty = empty
        self._given: dict[str, Any] = {}
        self._is_local = all(table.location.folder is not None for table in tables)
        for name, columns in _AS_STORED.items():
            source = self._source(name)
            self._point(name, ())
            added = f" union all by name from store.{name}" if adds else ""
            view = f"create or replace temp view {name} as"
            self._cursor.execute(f"{view} from (select {columns} from {source}){added}")  # noqa: S608
        self._cursor.execute(_LABELS)

    def execute(self, query: Any, values: Any = None) -> duckdb.DuckDBPyConnection:
        """Runs a statement, as DuckDB's own."""
        self._choose_files(query if isinstance(query, str) else query.query, values)
        return self._cursor.execute(query, values) if values is not None else self._cursor.execute(query)

    def sql(self, query: Any, *, params: Any = None) -> duckdb.DuckDBPyRelation:
        """The relation of a statement, as DuckDB's own; to be read before the next statement."""
        self._choose_files(query if isinstance(query, str) else query.query, params)
        return self._cursor.sql(query, params=params) if params is not None else self._cursor.sql(query)

    def times_of(self, trace_id: UUID) -> list[int]:
        """The times, in microseconds since 1970, of the committed traces with this id: one, or none.

        As texts, ids have statistics and filters in the files, by which most of a file is not read.
        """
        self._point(TRACES.name, tuple(self._tables[TRACES.name].files()))
        query = f"select epoch_us(created_at) from {self._source(TRACES.name)} where id = ?"  # noqa: S608
        return [time for (time,) in self._cursor.execute(query, [str(trace_id)]).fetchall()]

    def register(self, name: str, table: Any) -> None:
        """Makes an Arrow table readable under a name."""
        self._given[name] = table
        self._cursor.register(name, table)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def _choose_files(self, query: str, values: Any) -> None:
        mentioned = {name.lower() for name in _MENTIONS.findall(query)}
        if "labels" in mentioned:
            mentioned.add(SCORES.name)
        files = {name: table.files() for name, table in self._tables.items() if name in mentioned}
        needed = {}
        if any(len(found) > _MOST_UNPLANNED for found in files.values()):
            needed = self._planner.ranges(query, values, self._given)
        for name, found in files.items():
            within = needed.get(name, ALL)
            self._point(name, tuple(file for file in found if within.reaches(*file.span)))

    def _source(self, name: str) -> str:
        if self._is_local:
            return f"read_parquet(getvariable('lake_{name}'), hive_partitioning = false)"
        return f"lake_{name}"

    def _point(self, name: str, files: tuple[DataFile, ...]) -> None:
        """Has the view read these files."""
        table = self._tables[name]
        if self._is_local:
            paths = table.paths(files) or [str(self._empty(name))]
            self._cursor.execute(f"set variable lake_{name} = ?", [paths])
        else:
            self._cursor.register(f"lake_{name}", table.dataset(files))


def write_empty(path: Path, name: str) -> Path:
    """Makes a file without rows: DuckDB reads no empty list of files."""
    if not path.exists():
        kind = TRACES if name == TRACES.name else SCORES
        pq.write_table(kind.columns.empty_table(), path)
    return path
