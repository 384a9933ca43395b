"""Plain SQLite: the same rows with an index on created_at, in WAL mode, each commit on disk before it returns."""

import sqlite3
import time
import uuid
from itertools import cycle
from pathlib import Path
from typing import Any

import duckdb

from tests.benchmarks.places import PAGE, Places

_ROWS_AT_ONCE = 10_000
# As long as a store waits by default before it says StoreBusy.
_WAIT_SECONDS = 30.0
_TABLE = """
create table traces (
    id text primary key, created_at integer not null, trace_version text not null, preview text not null,
    n_steps integer not null, n_chars integer not null, source text,
    prompt text not null, steps text not null, final_answer text, meta text
)
"""
_ROWS = """
select
    id::varchar, epoch_us(created_at), trace_version, preview, n_steps, n_chars, source,
    prompt, to_json(steps)::varchar, final_answer, meta::varchar
from traces where rowid between ? and ?
"""
_INSERT = "insert into traces values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_SUMMARY = "select id, created_at, trace_version, preview, n_steps, n_chars, source from traces"
_NEWEST = f"order by created_at desc limit {PAGE}"
_FIND = f"{_SUMMARY} where prompt like ?1 or steps like ?1 or final_answer like ?1 {_NEWEST}"


class PlainSQLite:
    """The calls of `Ours` on an open connection to a database filled by `fill`."""

    def __init__(self, path: Path, places: Places) -> None:
        self._connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._places = places
        self._ids = cycle(places.ids)
        self._one_trace = self._fetch("select * from traces limit 1")[0]

    def close(self) -> None:
        self._connection.close()

    def first_page(self) -> list[Any]:
        return self._fetch(f"{_SUMMARY} {_NEWEST}")

    def deep_page(self) -> list[Any]:
        return self._fetch(f"{_SUMMARY} where created_at < ? {_NEWEST}", self._places.before)

    def deep_page_by_offset(self) -> list[Any]:
        return self._fetch(f"{_SUMMARY} {_NEWEST} offset ?", self._places.offset)

    def get(self) -> list[Any]:
        return self._fetch("select * from traces where id = ?", next(self._ids))

    def find_common(self) -> list[Any]:
        return self._fetch(_FIND, f"%{self._places.common_word}%")

    def find_absent(self) -> list[Any]:
        return self._fetch(_FIND, f"%{self._places.absent_word}%")

    def add(self) -> None:
        row = (str(uuid.uuid4()), time.time_ns() // 1_000, *self._one_trace[2:])
        self._connection.execute(_INSERT, row)
        self._connection.commit()

    def count(self) -> int:
        return int(self._fetch("select count(*) from traces")[0][0])

    def _fetch(self, query: str, *values: Any) -> list[Any]:
        return self._connection.execute(query, values).fetchall()


def fill(path: Path, store: Path) -> None:
    """Makes an SQLite database of the traces in a store that is not open elsewhere."""
    with duckdb.connect(store, read_only=True) as source:
        connection = sqlite3.connect(path)
        connection.execute("pragma journal_mode = off")
        connection.execute("pragma synchronous = off")
        connection.execute(_TABLE)
        n_rows = source.execute("select max(rowid) + 1 from traces").fetchall()[0][0]
        for first in range(0, n_rows, _ROWS_AT_ONCE):
            rows = source.execute(_ROWS, [first, first + _ROWS_AT_ONCE - 1]).fetchall()
            connection.executemany(_INSERT, rows)
        connection.execute("create index by_time on traces (created_at)")
        connection.commit()
        connection.close()
