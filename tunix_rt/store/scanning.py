"""Reading a whole selection in order, in pieces: the file is free for others between one piece and the next."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import duckdb
import pyarrow as pa

from tunix_rt.store.filters import Condition, Filters, where
from tunix_rt.store.ruler import Ruler, in_window
from tunix_rt.store.session import Session

# About a tenth of a second of reading.
_PIECE_ROWS = 8_192
# Traces of 1 MB each would make gigabytes of such a piece.
_PIECE_CHARS = 64 * 2**20


def scan(
    session: Session,
    ruler: Callable[[duckdb.DuckDBPyConnection], Ruler],
    select: str,
    filters: Filters,
    *,
    newest_first: bool,
) -> Iterator[pa.RecordBatch]:
    """Arrow batches of the expressions `select`, sorted by (created_at, id); what is added meanwhile is not seen."""
    with session.cursor() as cursor:
        pieces = ruler(cursor).pieces(_PIECE_ROWS, newest_first=newest_first)
        newest = cursor.execute("select epoch_us(max(created_at)) from traces").fetchall()[0][0]
    if newest is None:
        return
    order = "desc" if newest_first else ""
    ordered = f" order by created_at {order}, id {order}"
    not_later = Condition("created_at <= make_timestamptz(?::bigint)", (newest,))
    for piece in pieces:
        bounds = [*in_window(piece), not_later]
        with session.cursor() as cursor:
            spans = list(_spans(cursor, bounds, ordered))
        for span in spans:
            clause, values = where(*bounds, *span, *filters.conditions)
            with session.cursor() as cursor:
                table = cursor.sql(f"select {select} from traces{clause}{ordered}", params=values).to_arrow_table()
            yield from table.to_batches()


def _spans(
    cursor: duckdb.DuckDBPyConnection, bounds: list[Condition], ordered: str
) -> Iterator[tuple[Condition, ...]]:
    """The piece whole, or cut where its traces are too large to be in memory together."""
    clause, values = where(*bounds)
    n_chars = cursor.execute(f"select sum(n_chars) from traces{clause}", values).fetchall()[0][0]
    if n_chars is None:
        return
    if n_chars <= _PIECE_CHARS:
        yield ()
        return
    rows = cursor.execute(f"select created_at::varchar, id, n_chars from traces{clause}{ordered}", values).fetchall()
    first, held = 0, 0
    for place, (_, _, size) in enumerate(rows):
        held += size
        if held > _PIECE_CHARS or place == len(rows) - 1:
            ends = sorted([rows[first][:2], rows[place][:2]])
            yield tuple(
                Condition(f"(created_at, id) {sign} (?::timestamptz, ?)", end)
                for sign, end in zip((">=", "<="), ends, strict=True)
            )
            first, held = place + 1, 0
