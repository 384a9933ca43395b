"""Traces deleted with their scores, for good or so that they can be put back."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import duckdb
import pyarrow as pa

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.access import Access
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.find import delete, with_ids
from tunix_rt.store.scores.facts import CarriedScore, ScoreKey, delete_orphans, insert_carried

# What is deleted undoably is in memory: a row takes some 2 KB beside its texts.
_MOST_TRACES = 100_000
_MOST_CHARS = 256_000_000
_SIZE = "select count(*), coalesce(sum(n_chars + coalesce(strlen(meta), 0)), 0) from traces{}"
_SCORES = """
select * replace (epoch_us(created_at) as created_at, epoch_us(scored_at) as scored_at, metadata::varchar as metadata)
from scores where trace_id in (select unnest(?::uuid[]))
"""
_RESTORE = """
insert into store.traces by name
select * replace (id::uuid as id, digest::uuid as digest, meta::json as meta) from restored
where id::uuid not in (select id from traces)
order by created_at, id
returning id
"""
_THERE = "select id, epoch_us(created_at) from traces where id in (select unnest(?::uuid[]))"


class Kept(NamedTuple):
    """Rows as they were: those of `traces`, and those of `scores` with times in microseconds since 1970."""

    traces: pa.Table
    scores: pa.Table

    @property
    def ids(self) -> list[str]:
        """The ids of the traces."""
        return [str(one) for one in self.traces["id"].to_pylist()]

    @property
    def n_bytes(self) -> int:
        """How much memory they take."""
        return int(self.traces.nbytes + self.scores.nbytes)


@render.shows_facts
class Deletion:
    """Deleted traces, which `undo` puts back; for as long as this object is there, in this process.

    `ids` are the deleted traces, of which there are `len(deletion)`, and `scores` is how many scores they had.
    """

    def __init__(self, session: Access, path: Path, kept: Kept) -> None:
        self._session = session
        self._kept = kept
        self.store = path
        self.ids = kept.ids
        self.scores = kept.scores.num_rows
        self.n_bytes = kept.n_bytes

    def undo(self) -> int:
        """Puts the traces back that are not there, with their ids, times and all scores, and returns how many.

        What is there (after another `undo`, or loaded again meanwhile) stays as it is, and gets the scores that it
        lacks.
        """
        with self._session.transaction() as cursor:
            cursor.register("restored", self._kept.traces)
            n_restored = len(cursor.execute(_RESTORE).fetchall())
            there = dict(cursor.execute(_THERE, [self.ids]).fetchall())
            insert_carried(cursor, _carried(self._kept.scores, there))
        return n_restored

    def to_dict(self) -> dict[str, Any]:
        """What was deleted, as values of JSON."""
        return {"store": str(self.store), "traces": len(self), "scores": self.scores, "ids": self.ids}

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("deleted", f"{render.count(len(self), 'trace')} with {render.count(self.scores, 'score')}"),
            ("of", str(self.store)),
            ("to put back", ".undo()"),
        ]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Deletion of {render.count(len(self), 'trace')}>"


def delete_traces(
    session: Access, path: Path, ids: Sequence[UUID | str], filters: Filters, *, undoable: bool
) -> int | Deletion:
    """Deletes the traces with these ids, or those that pass the filters; see `TraceStore.delete`."""
    if bool(ids) == bool(filters):
        raise QueryInvalid('delete: pass either ids or filters; where="true" deletes everything')
    clause, values = with_ids(ids) if ids else filters.clause()
    with session.transaction() as cursor, filters.query_errors(cursor, session.path, changing=True):
        kept = keep(cursor, clause, values) if undoable else None
        if kept is not None:
            # Exactly these: a `where` with random() would choose others now.
            clause, values = with_ids(kept.ids)
        if ids:
            times = delete(cursor, ids, store=path)
            delete_orphans(cursor, min(times), max(times))
            n_deleted = len(times)
        else:
            n_deleted = int(cursor.execute(f"delete from traces{clause}", values).fetchall()[0][0])
            delete_orphans(cursor)
    return n_deleted if kept is None else Deletion(session, path, kept)


def keep(cursor: duckdb.DuckDBPyConnection, clause: str, values: Sequence[Any]) -> Kept:
    """The rows that would be deleted, in memory; QueryInvalid where they are too many for that."""
    n_traces, n_chars = cursor.execute(_SIZE.format(clause), values).fetchall()[0]
    if n_traces > _MOST_TRACES or n_chars > _MOST_CHARS:
        raise QueryInvalid(
            f"delete: {n_traces:,} traces with {n_chars:,} characters are too many for undoable=True, which keeps them "
            f"in memory (at most {_MOST_TRACES:,} and {_MOST_CHARS:,}); delete fewer at once, or without it"
        )
    traces = cursor.sql(f"select * from traces{clause}", params=list(values)).to_arrow_table()
    ids = [str(one) for one in traces["id"].to_pylist()]
    return Kept(traces, cursor.sql(_SCORES, params=[ids]).to_arrow_table())


def _carried(scores: pa.Table, there: dict[UUID, int]) -> Iterator[tuple[bytes, int, CarriedScore]]:
    for row in scores.to_pylist():
        trace = UUID(str(row.pop("trace_id")))
        # A trace with another time is another one.
        if there.get(trace) == row.pop("created_at"):
            key = ScoreKey(row.pop("scorer"), row.pop("version"), row.pop("params"))
            yield trace.bytes, there[trace], CarriedScore(key=key, **row)
