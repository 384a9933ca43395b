"""The counts that a store must have: written to the DuckDB file with every change, and to the journal after it.

The two are compared whenever the file is opened. DuckDB opens silently when its write-ahead log is lost or the file
was replaced by an older one; the journal then has a later count of changes than the file.
"""

from pathlib import Path
from typing import NamedTuple

import duckdb

from tunix_rt.errors import StoreDamaged

# After this number of changes the small row groups that they leave are merged. 200 changes of 10 rows each took 2.1 s
# and 53 MB without merging, 6.8 s with merging after each; 64 of them do not slow a page.
_CHANGES_PER_MERGE = 64
_READ = "select store_id::varchar, generation, n_traces from store_state"
_CHANGE = """
update store_state
set generation = generation + 1, n_traces = (select count(*) from traces), loose = (loose + 1) % ?
returning store_id::varchar, generation, n_traces, loose
"""


class ExpectedCounts(NamedTuple):
    """The store's id (None: none yet), its number of changes (its generation), and its number of traces."""

    store_id: str | None
    generation: int
    n_traces: int


def read_counts(cursor: duckdb.DuckDBPyConnection) -> ExpectedCounts:
    """The counts of the open file."""
    return ExpectedCounts(*cursor.execute(_READ).fetchall()[0])


def next_counts(cursor: duckdb.DuckDBPyConnection) -> tuple[ExpectedCounts, bool]:
    """Counts a change, inside its transaction; also whether small row groups should be merged after it."""
    *counts, loose = cursor.execute(_CHANGE, [_CHANGES_PER_MERGE]).fetchall()[0]
    return ExpectedCounts(*counts), loose == 0


def loose_changes(cursor: duckdb.DuckDBPyConnection) -> int:
    """How many changes have left small row groups since these were merged."""
    return int(cursor.execute("select loose from store_state").fetchall()[0][0])


def merge_after(cursor: duckdb.DuckDBPyConnection, *, now: bool) -> None:
    """Inside a change: whether row groups are merged right after it, or not for as many changes as can be put off."""
    cursor.execute("update store_state set loose = ?", [-1 if now else 0])


def compare(path: Path, found: ExpectedCounts | None, acknowledged: ExpectedCounts, n_lost: int) -> None:
    """Raises StoreDamaged if the file (None: it is missing or empty) has less than was acknowledged."""
    remedy = (
        "Put the missing file back, with its .wal if there is one, or restore a backup; to open the store without the "
        "missing traces: TraceStore(path, accept_loss=True)"
    )
    if found is None:
        if acknowledged.store_id is not None:
            raise StoreDamaged(
                f"{path}: the store is missing or empty; it had {acknowledged.n_traces:,} traces. {remedy}",
                missing=acknowledged.n_traces,
            )
    elif acknowledged.store_id not in (None, found.store_id):
        raise StoreDamaged(
            f"{path}: is not the store that its journal belongs to, which had {acknowledged.n_traces:,} traces. "
            f"{remedy}",
            missing=acknowledged.n_traces,
        )
    elif found.generation < acknowledged.generation:
        n_missing = acknowledged.n_traces - found.n_traces
        raise StoreDamaged(
            f"{path}: has {found.n_traces:,} traces, but {acknowledged.n_traces:,} were stored; the last "
            f"{acknowledged.generation - found.generation:,} changes are missing, because its write-ahead log was lost "
            f"or the file is an older copy. {remedy}",
            missing=n_missing if n_missing > 0 else None,
        )
    if n_lost:
        raise StoreDamaged(
            f"{path}: {n_lost:,} stored traces are neither in the store nor in its journal, because the journal's own "
            f"log was lost. {remedy}",
            missing=n_lost,
        )
