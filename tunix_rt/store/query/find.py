"""One trace by its id."""

from pathlib import Path
from uuid import UUID

import duckdb

from tunix_rt.errors import IdAmbiguous, TraceNotFound
from tunix_rt.model import TraceRecord
from tunix_rt.store.engine.rows import ONE_RECORD_COLUMNS, to_one_record
from tunix_rt.store.engine.statement import parsed
from tunix_rt.store.filters import id_range

_FIND = f"select {ONE_RECORD_COLUMNS} from traces where id between ? and ?"
_FIND_FIRST = f"{_FIND} limit 2"


def find(cursor: duckdb.DuckDBPyConnection, id: UUID | str, *, store: Path) -> TraceRecord:
    """The trace with this id, or with the only id that begins so; see `TraceStore.get`."""
    low, high = id_range(id)
    rows = cursor.execute(parsed(cursor, _FIND if low == high else _FIND_FIRST), [low, high]).fetchall()
    if len(rows) > 1:
        n = cursor.execute("select count(*) from traces where id between ? and ?", [low, high]).fetchall()[0][0]
        raise IdAmbiguous(f"id {str(id)!r} is ambiguous: {n:,} ids begin so; give more digits")
    if not rows:
        raise TraceNotFound(f"trace {str(id)!r} not found in {store}")
    return to_one_record(rows[0])
