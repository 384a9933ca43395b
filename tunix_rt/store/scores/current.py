"""The current scores of traces: of each trace and scorer the one with the newest time."""

from typing import Any

import duckdb

# Of whole traces, one scorer. A version that was used last is the current one, whichever it is.
CURRENT = """
select trace_id, unnest(arg_max_null(struct_pack(value := value, label := label, answer := answer), scored_at))
from scores
where scorer = ? and step is null
group by trace_id
"""


def scorers(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """The names of all scorers whose scores are stored, in order."""
    rows: list[tuple[Any, ...]] = cursor.execute("select distinct scorer from scores order by scorer").fetchall()
    return [name for (name,) in rows]
