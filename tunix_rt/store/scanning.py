"""Reading a whole selection in order, in pieces: the file is free for others between one piece and the next."""

from collections import deque
from collections.abc import Callable, Iterator

import duckdb
import pyarrow as pa

from tunix_rt.store.filters import Condition, Filters, where
from tunix_rt.store.ruler import Ruler, in_window
from tunix_rt.store.session import Session

# Read in less than half a second; opening the file for each piece costs about a tenth of that.
_PIECE_ROWS = 32_768
# Traces of 1 MB each would make gigabytes of such a piece.
_PIECE_CHARS = 64 * 2**20
# Where they are large, DuckDB holds them many times over: its 512 MB were not enough for 24 MB of Chinese in 24 traces.
_LARGE_CHARS = 2**13
_PIECE_CHARS_OF_LARGE = 4 * 2**20


def scan(
    session: Session,
    ruler: Callable[[duckdb.DuckDBPyConnection], Ruler],
    select: str,
    filters: Filters,
    *,
    newest_first: bool,
    tell: Callable[[int], object] = lambda _: None,
) -> Iterator[pa.RecordBatch]:
    """Arrow batches of the expressions `select`, sorted by (created_at, id); what is added meanwhile is not seen.

    There is at least one batch, empty where nothing is selected, so that the columns and their types are known.
    """
    with session.cursor() as cursor:
        pieces = ruler(cursor).pieces(_PIECE_ROWS, newest_first=newest_first)
        newest = cursor.execute("select epoch_us(max(created_at)) from traces").fetchall()[0][0]
    order = "desc" if newest_first else ""
    ordered = f" order by created_at {order}, id {order}"
    not_later = Condition("created_at <= make_timestamptz(?::bigint)", (newest,))
    found = False
    for piece in pieces:
        bounds = [*in_window(piece), not_later]
        spans: deque[tuple[Condition, ...]] | None = None
        while spans is None or spans:
            # Nothing is handed on while the file is held: whoever takes it may take long.
            with session.cursor() as cursor, filters.told():
                if spans is None:
                    spans = deque(_spans(cursor, bounds, ordered))
                clause, values = where(*bounds, *spans.popleft(), *filters.conditions)
                table = cursor.sql(f"select {select} from traces{clause}{ordered}", params=values).to_arrow_table()
            found = found or len(table) > 0
            yield from table.to_batches()
    if not found:
        yield pa.RecordBatch.from_pylist([], schema=table.schema)


def _spans(cursor: duckdb.DuckDBPyConnection, bounds: list[Condition], ordered: str) -> Iterator[tuple[Condition, ...]]:
    """The piece whole, or cut where its traces are too large to be in memory together."""
    clause, values = where(*bounds)
    n_rows, n_chars = cursor.execute(f"select count(*), sum(n_chars) from traces{clause}", values).fetchall()[0]
    most = _PIECE_CHARS if not n_rows or n_chars < n_rows * _LARGE_CHARS else _PIECE_CHARS_OF_LARGE
    if not n_rows or n_chars <= most:
        yield ()
        return
    rows = cursor.execute(f"select created_at::varchar, id, n_chars from traces{clause}{ordered}", values).fetchall()
    first, held = 0, 0
    for place, (_, _, size) in enumerate(rows):
        held += size
        if held > most or place == len(rows) - 1:
            (since, lowest), (until, highest) = sorted([rows[first][:2], rows[place][:2]])
            # Spelled out: DuckDB 2.0 makes a BETWEEN of two row comparisons and then refuses it.
            yield (
                Condition(
                    "created_at >= ?::timestamptz and (created_at > ?::timestamptz or id >= ?)", (since, since, lowest)
                ),
                Condition(
                    "created_at <= ?::timestamptz and (created_at < ?::timestamptz or id <= ?)", (until, until, highest)
                ),
            )
            first, held = place + 1, 0
