"""Reads a complete selection in order, in pieces; the file is free for other processes between two pieces."""

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt.errors import MemoryLimitReached
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.score_rows import SCORES_BYTES
from tunix_rt.store.engine.time_index import Window
from tunix_rt.store.filters import Condition, Filters, where

# Read in less than half a second; opening the file for each piece costs about a tenth of that.
_PIECE_ROWS = 32_768
# Traces of 1 MB each would make gigabytes of such a piece.
_PIECE_BYTES = 64 * 2**20
# The assumed size of a trace if even measuring it takes too much memory.
_LARGE_BYTES = 2**20
# After this number of successful reads twice as many rows are tried: the large traces may have been passed.
_READS_UNTIL_MORE = 8
_KEYS = "select created_at::varchar, id, {size} from traces{clause} order by created_at {order}, id {order}"
_ORDERED_BY = ("trt_time", "trt_id")


Result = TypeVar("Result")


class Scan(NamedTuple):
    """What a scan reads, in which order, and up to how many rows together (None: as many as usual).

    `advance` is called with the number of traces that have been read.
    """

    select: str
    filters: Filters
    newest_first: bool
    advance: Callable[[int], object]
    rows: int | None = None


class Pace:
    """How many rows are read together: half as many where they took too much memory, and later more again.

    How much memory a trace takes in DuckDB is not known beforehand: a list of numbers takes many times its bytes.
    There are never more than `rows` (None: as many as usual).
    """

    def __init__(self, rows: int | None = None) -> None:
        self.rows = self._most_rows = rows or _PIECE_ROWS
        self._n_well = 0

    def slower(self, n_rows: int) -> None:
        """This number of rows needed too much memory."""
        self.rows, self._n_well = max(1, n_rows // 2), 0

    def went_well(self) -> None:
        """A read had enough memory."""
        self._n_well += 1
        if self._n_well >= _READS_UNTIL_MORE:
            self.rows, self._n_well = min(self.rows * 2, self._most_rows), 0


def scan_with(
    session: Access,
    function: Callable[[Iterator[pa.RecordBatch]], Iterable[Result]],
    select: str,
    filters: Filters,
    *,
    newest_first: bool = False,
    advance: Callable[[int], object] = lambda _: None,
    rows: int | None = None,
) -> Generator[Result]:
    """What `function` yields for the batches of a scan, in order; up to `rows` are read together.

    Where the session is spread over other processes, they read the batches, piece by piece, and call the function for
    each piece: it must be possible to pickle it, and it must not depend on where a piece begins.
    """
    one = Scan(select, filters, newest_first, advance, rows)
    if session.spread is not None:
        yield from session.spread.scan_with(session, function, one)
    else:
        yield from function(scanned(session, one))


def scan(
    session: Access,
    select: str,
    filters: Filters,
    *,
    newest_first: bool,
    advance: Callable[[int], object] = lambda _: None,
) -> Iterator[pa.RecordBatch]:
    """Arrow batches of the expressions `select`, sorted by (created_at, id).

    `{bounds}` in an expression becomes the WHERE clause of the rows read together, for a table beside `traces`.
    Traces that are added meanwhile are not included if they are newer than all there were. A trace with an older time
    of its own, as from a load, is included if the scan has not passed that time yet. There is at least one batch, empty
    where nothing is selected, so that the columns and their types are known. `advance` is called with the number of
    traces that have been read.
    """
    return scan_with(session, iter, select, filters, newest_first=newest_first, advance=advance)


def pieces_of(session: Access, rows: int, *, newest_first: bool) -> list[list[Condition]]:
    """The bounds of the pieces of a scan, each of about this number of rows; what is added from now on is in none."""
    with session.cursor() as cursor:
        pieces = session.time_index(cursor).pieces(rows, newest_first=newest_first)
        newest = cursor.execute("select epoch_us(max(created_at)) from traces").fetchall()[0][0]
    not_later = Condition("created_at <= make_timestamptz(?::bigint)", (newest,))
    return [[*in_window(piece), not_later] for piece in pieces]


def scanned(session: Access, one: Scan) -> Iterator[pa.RecordBatch]:
    """The batches of a scan, read by this process."""
    found, n_done, pace = False, 0, Pace(one.rows)
    for bounds in pieces_of(session, pace.rows, newest_first=one.newest_first):
        for n_rows, table in read(session, bounds, one.select, one.filters, pace=pace, newest_first=one.newest_first):
            found = found or len(table) > 0
            # Batches are yielded while the file is free: the caller may take long.
            yield from table.to_batches()
            n_done += n_rows
            one.advance(n_done)
    if not found:
        yield pa.RecordBatch.from_pylist([], schema=table.schema)


def read(
    session: Access,
    bounds: list[Condition],
    select: str,
    filters: Filters,
    *,
    pace: Pace,
    newest_first: bool,
) -> Iterator[tuple[int, pa.Table]]:
    """The rows within the bounds that pass the filters, in tables, each with the number of rows it was made from.

    A table is made from up to 64 MB of traces. Where DuckDB has too little memory for them, they are read by halves,
    down to a single one; MemoryLimitReached where that is still too much.
    """
    # Counted without being read, but for what is not in `n_chars`.
    size = "n_chars + coalesce(strlen(meta), 0)" if "meta" in select else "n_chars"
    if "from scores" in select:
        size += f" + {SCORES_BYTES}"
    order = "desc" if newest_first else ""
    clause, values = where(*bounds)
    size, of_size = _within(size, bounds)
    # Of each row its time, id and size, where not all are read at once; up to `at` they have been.
    keys: list[tuple[Any, ...]] | None = None
    at = 0
    while True:
        n_rows = 0
        span: tuple[Condition, ...] = ()
        try:
            with session.cursor() as cursor, filters.query_errors(cursor, session.path):
                if keys is None:
                    measure = f"select count(*), coalesce(sum({size}), 0) from traces{clause}"
                    n_rows, n_bytes = cursor.execute(measure, [*of_size, *values]).fetchall()[0]
                    if n_rows > pace.rows or n_bytes > _PIECE_BYTES:
                        query = _KEYS.format(size=size, clause=clause, order=order)
                        keys = cursor.execute(query, [*of_size, *values]).fetchall()
                if keys:
                    n_rows = _n_together(keys, at, pace.rows)
                    span = between(*sorted([keys[at][:2], keys[at + n_rows - 1][:2]]))
                table = _table(cursor, select, [*bounds, *span], filters, newest_first=newest_first)
        except MemoryLimitReached:
            if n_rows == 1:
                raise
            if keys is None:
                with session.cursor() as cursor:
                    query = _KEYS.format(size=_LARGE_BYTES, clause=clause, order=order)
                    keys = cursor.execute(query, values).fetchall()
            pace.slower(n_rows or len(keys))
            continue
        pace.went_well()
        # A scan reads nothing twice, and of a large store the cache would grow up to `memory_limit`.
        session.drop_cache()
        yield n_rows, table
        at += n_rows
        if keys is None or at >= len(keys):
            return


def in_window(window: Window) -> Iterator[Condition]:
    """The conditions that a row is in the window."""
    if window.since is not None:
        yield Condition("created_at >= ?", (window.since,))
    if window.until is not None:
        yield Condition("created_at < ?", (window.until,))


# Spelled out, as below: DuckDB skips row groups by a comparison of a column, not of a row.
def not_before(time: str, trace_id: UUID) -> Condition:
    """The condition that a row has this key (created_at as text, id) or a later one."""
    return Condition(
        "created_at >= ?::timestamptz and (created_at > ?::timestamptz or id >= ?)", (time, time, trace_id)
    )


def earlier(time: str, trace_id: UUID) -> Condition:
    """The condition that a row has an earlier key than this one (created_at as text, id)."""
    return Condition("created_at <= ?::timestamptz and (created_at < ?::timestamptz or id < ?)", (time, time, trace_id))


def between(first: tuple[Any, ...], last: tuple[Any, ...]) -> tuple[Condition, Condition]:
    """The conditions that a row is between two keys (created_at as text, id), both included."""
    (since, lowest), (until, highest) = first, last
    # Spelled out: DuckDB 2.0 makes a BETWEEN of two row comparisons and then refuses it.
    return (
        Condition("created_at >= ?::timestamptz and (created_at > ?::timestamptz or id >= ?)", (since, since, lowest)),
        Condition("created_at <= ?::timestamptz and (created_at < ?::timestamptz or id <= ?)", (until, until, highest)),
    )


def _n_together(keys: list[tuple[Any, ...]], at: int, most_rows: int) -> int:
    held = 0
    for n_rows, (_, _, size) in enumerate(keys[at : at + most_rows]):
        held += size
        if n_rows and held > _PIECE_BYTES:
            return n_rows
    return min(most_rows, len(keys) - at)


def _within(select: str, bounds: list[Condition]) -> tuple[str, list[Any]]:
    """The expressions with the clause of the bounds, and what they bind."""
    clause, values = where(*bounds)
    return select.replace("{bounds}", clause), values * select.count("{bounds}")


def _table(
    cursor: duckdb.DuckDBPyConnection, select: str, bounds: list[Condition], filters: Filters, *, newest_first: bool
) -> pa.Table:
    """The selected expressions, in order. DuckDB would hold all rows several times to sort them; mostly they are."""
    clause, values = filters.clause(*bounds)
    keys = "epoch_us(created_at) as {}, id as {}".format(*_ORDERED_BY)
    select, of_select = _within(select, bounds)
    query = f"select {select}, {keys} from traces{clause}"
    table = cursor.sql(query, params=[*of_select, *values]).to_arrow_table()
    direction = "descending" if newest_first else "ascending"
    order = pc.sort_indices(table.select(_ORDERED_BY), sort_keys=[(name, direction) for name in _ORDERED_BY])
    table = table.drop_columns(list(_ORDERED_BY))
    return table if pc.all(pc.less(order[:-1], order[1:])).as_py() is not False else table.take(order)
