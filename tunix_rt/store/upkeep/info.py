"""The store's numbers."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from tunix_rt import render
from tunix_rt.paths import log_of
from tunix_rt.store.engine import schema
from tunix_rt.store.engine.rows import from_microseconds
from tunix_rt.store.upkeep.compact import disorder, is_due


@render.shows_itself(render.info_text, render.info_html)
@dataclass(frozen=True)
class StoreInfo:
    """Which store, and its numbers: traces, bytes on disk, the oldest and newest time (UTC), and traces by source.

    `compact_due` is true when pages have become slow because many traces are not in the order of time.
    """

    path: str
    n_traces: int
    size_bytes: int
    oldest: datetime | None
    newest: datetime | None
    schema_version: int
    compact_due: bool
    sources: tuple[tuple[str | None, int], ...]


def collect_info(cursor: duckdb.DuckDBPyConnection, path: Path) -> StoreInfo:
    """The numbers of the store at `path`."""
    sources = cursor.execute(_SOURCES).fetchall()
    oldest, newest = cursor.execute(_ENDS).fetchall()[0]
    version = schema.current_version(cursor)
    compact_due = is_due(disorder(cursor))
    return StoreInfo(
        path=str(path),
        n_traces=sum(n for _, n in sources),
        size_bytes=sum(file.stat().st_size for file in (path, log_of(path)) if file.exists()),
        oldest=None if oldest is None else from_microseconds(oldest),
        newest=None if newest is None else from_microseconds(newest),
        schema_version=version,
        compact_due=compact_due,
        sources=tuple(sources),
    )


_SOURCES = "select source, count(*) from traces group by source order by count(*) desc, source"
_ENDS = "select epoch_us(min(created_at)), epoch_us(max(created_at)) from traces"
