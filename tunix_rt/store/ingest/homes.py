"""Under which ids the rows of a chunk are stored: their own, or those of traces that are there already."""

from typing import NamedTuple
from uuid import UUID

import duckdb
import pyarrow as pa

from tunix_rt.errors import Problem
from tunix_rt.store.engine.clock import new_ids
from tunix_rt.store.engine.rows import uuids
from tunix_rt.store.ingest.chunk import Chunk
from tunix_rt.store.ingest.dedup import Duplicates

_UNDER_ID = "select id, digest, epoch_us(created_at) from traces where id in (select id from given)"
# The trace with the row's own id; else, of equal ones, the oldest is that of the first copy.
_HOMES = """
select known.position, coalesce(own.id, equal.id) as id, epoch_us(coalesce(own.created_at, equal.created_at))
from known
left join traces as own on own.id = known.given and own.digest = known.digest
left join (
    select id, created_at, digest, row_number() over (partition by digest order by created_at, id) as copy
    from traces where digest in (select digest from known)
) as equal on equal.digest = known.digest and equal.copy = known.copy
"""

Home = tuple[bytes, int]


class Homes(NamedTuple):
    """What becomes of the rows of a chunk, by their indices.

    `stored` are already there, the ids of the `taken` are: with the same trace, or with another, so that the row is
    `rejected`, and why. `known` are the ids and times, in microseconds, of those that are there with scores or an id.
    """

    stored: set[int]
    taken: set[int]
    rejected: dict[int, Problem]
    known: dict[int, Home]

    def of(self, index: int, chunk: Chunk) -> Home | None:
        """The id and the time under which the row is stored; None if it is rejected."""
        if index in self.rejected:
            return None
        return self.known.get(index) or (chunk.ids[index], chunk.times[index])


def find_homes(cursor: duckdb.DuckDBPyConnection, chunk: Chunk, *, adds_all: bool) -> Homes:
    """Looks up the rows of a chunk; where duplicates are added too, rows whose id is taken get another one."""
    digests = uuids(chunk.digests)
    stored = set() if chunk.copy_numbers is None else Duplicates.already_stored(cursor, digests, chunk.copy_numbers)
    homes = Homes(stored, set(), {}, {})
    _look_up_ids(cursor, chunk, homes, adds_all=adds_all)
    # Without an id and scores nobody asks where it is.
    asked = [index for index in sorted(stored) if index in chunk.scores or index in chunk.given]
    if asked and chunk.copy_numbers is not None:
        given = [one.id if (one := chunk.given.get(index)) else None for index in asked]
        known = {"position": asked, "given": uuids(given), "digest": digests.take(pa.array(asked))}
        cursor.register("known", pa.table(known | {"copy": chunk.copy_numbers.take(pa.array(asked))}))
        for position, trace_id, time in cursor.execute(_HOMES).fetchall():
            homes.known[position] = (trace_id.bytes, time)
    return homes


def _look_up_ids(cursor: duckdb.DuckDBPyConnection, chunk: Chunk, homes: Homes, *, adds_all: bool) -> None:
    """Finds the rows that bring an id which is taken."""
    indices = [index for index, given in chunk.given.items() if given.id is not None and index not in homes.stored]
    if not indices:
        return
    ids = chunk.ids
    cursor.register("given", pa.table({"id": uuids([ids[index] for index in indices])}))
    there = {one.bytes: (digest.bytes, time) for one, digest, time in cursor.execute(_UNDER_ID).fetchall()}
    for index in indices:
        found = there.get(ids[index])
        if found is None:
            there[ids[index]] = (chunk.digests[index], chunk.times[index])
        elif adds_all:
            ids[index] = new_ids([chunk.times[index]])[0]
        else:
            homes.taken.add(index)
            if found[0] == chunk.digests[index]:
                homes.known[index] = (ids[index], found[1])
            else:
                reason = f"{UUID(bytes=ids[index])} is the id of another trace in the store"
                homes.rejected[index] = Problem("id", reason)


def times_of(cursor: duckdb.DuckDBPyConnection, ids: list[bytes]) -> dict[bytes, int]:
    """The times, in microseconds since 1970, of the traces with these ids, of those that are there."""
    cursor.register("given", pa.table({"id": uuids(ids)}))
    return {one.bytes: time for one, _, time in cursor.execute(_UNDER_ID).fetchall()}
