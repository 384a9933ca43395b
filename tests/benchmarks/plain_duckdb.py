"""Plain DuckDB: the same rows in the same table, asked with the barest SQL that answers."""

import shutil
from itertools import cycle
from pathlib import Path
from typing import Any

import duckdb

from tests.benchmarks.places import PAGE, Places, Span
from tests.benchmarks.timing import Cost, here
from tunix_rt.store.engine.rows import SUMMARY_COLUMNS

# Times as microseconds: fetching a TIMESTAMPTZ needs another package.
_SUMMARY = "select id, epoch_us(created_at), trace_version, preview, n_steps, n_chars, source from traces"
# The barest query of a page: its columns, of rows whose numbers are known.
_ROWS = f"select {SUMMARY_COLUMNS} from traces where rowid between ? and ?"
_RANGE = f"""
{_SUMMARY} where created_at between make_timestamptz(?::bigint) and make_timestamptz(?::bigint)
order by created_at desc, id desc limit {PAGE}
"""
_WHOLE_ROW = "select * replace (epoch_us(created_at) as created_at) from traces where rowid = ?"
_ROW_OF = "select rowid from traces where id = ?"
_FIND = f"""
{_SUMMARY}
where prompt ilike $1 or final_answer ilike $1 or len(list_filter(steps, lambda s: s.content ilike $1)) > 0
order by created_at desc, id desc limit {PAGE}
"""
_ADD = "insert into traces select * replace (uuidv7() as id, now() as created_at) from one_trace"

# Into the columns of the store, with what they hold taken from the row, but without looking at what stands in it.
_READ_JSON = """
insert into traces by name
select
    uuidv7() as id, make_timestamptz(1767225600000000 + row_number() over ()) as created_at, trace_version,
    left(prompt, 80) as preview, len(steps) as n_steps, length(prompt) as n_chars, meta ->> '$.source' as source,
    uuid() as digest, prompt, steps, final_answer, meta
from read_json(
    ?, format = 'newline_delimited',
    columns = {
        trace_version: 'VARCHAR', prompt: 'VARCHAR', steps: 'STRUCT(i BIGINT, "type" VARCHAR, content VARCHAR)[]',
        final_answer: 'VARCHAR', meta: 'JSON'
    }
)
"""
_COPY = """
copy (
    select id, created_at, trace_version, prompt, steps, final_answer, meta from traces order by created_at
) to '{}' (format json)
"""


class PlainDuckDB:
    """The calls of `Ours` on an open connection to a copy of the store."""

    def __init__(self, path: Path, places: Places) -> None:
        self._connection = _connected(path)
        self._places = places
        self._rows = cycle(self._fetch(_ROW_OF, one)[0][0] for one in places.ids)
        self._connection.execute("create temp table one_trace as select * from traces limit 1")

    def close(self) -> None:
        self._connection.close()

    def first_page(self) -> list[Any]:
        return self._fetch(_RANGE, *self._places.first[:2])

    def first_page_by_rowid(self) -> list[Any]:
        return self._fetch(_ROWS, *self._places.first[2:])

    def deep_page_by_rowid(self) -> list[Any]:
        return self._fetch(_ROWS, *self._places.deep[2:])

    def deep_page(self) -> list[Any]:
        return self._fetch(_RANGE, *self._places.deep[:2])

    deep_page_by_offset = deep_page

    def get(self) -> list[Any]:
        return self._fetch(_WHOLE_ROW, next(self._rows))

    def find_common(self) -> list[Any]:
        return self._fetch(_FIND, f"%{self._places.common_word}%")

    def find_absent(self) -> list[Any]:
        return self._fetch(_FIND, f"%{self._places.absent_word}%")

    def add(self) -> None:
        self._connection.execute(_ADD)

    def _fetch(self, query: str, *values: Any) -> list[Any]:
        return self._connection.execute(query, values).fetchall()


def load(path: Path, source: Path, empty_store: Path) -> Cost:
    """Reads a file of JSON Lines into the store's own table, without validation, to the end of the checkpoint."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    shutil.copyfile(empty_store, path)
    connection = _connected(path)

    def work() -> None:
        connection.execute(_READ_JSON, [str(source)])
        connection.execute("checkpoint")
        connection.close()

    return here(work)


def export(path: Path, target: Path) -> Cost:
    """Writes the same rows in the same order as JSON Lines."""
    with _connected(path) as connection:
        query = _COPY.format(str(target).replace("'", "''"))
        return here(lambda: connection.execute(query))


def opening(path: Path, other: Path) -> Cost:
    """Opens the file, asks for nothing, and closes it, in a process that has done so with another one before."""
    _ask(other, "select 1")
    return here(lambda: _ask(path, "select 1"))


def opening_to_page(path: Path, other: Path, span: Span) -> Cost:
    """Opens the file, reads a range of time from it and closes it, in a process that has done so before."""
    _ask(other, _RANGE, *span[:2])
    return here(lambda: _ask(path, _RANGE, *span[:2]))


def _connected(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(path)
    # A bar would stand in the middle of the table.
    connection.execute("set enable_progress_bar = false")
    return connection


def _ask(path: Path, query: str, *values: Any) -> None:
    with _connected(path) as connection:
        connection.execute(query, values).fetchall()
