"""Finds the rows of a load that are already stored."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa

from tunix_rt.store.engine.rows import uuids
from tunix_rt.store.engine.spill import spill_folder

# The digests of some ten million rows; more of them go to disk.
_MEMORY_LIMIT = "256MB"

# Their digests and counts take some 4 MB.
_COUNTED_HERE = 20_480

_NUMBER_COPIES = """
select coalesce(earlier.n, 0) + row_number() over (partition by digest order by position) as copy
from chunk
left join (
    select digest, count(*) as n from seen where digest in (select digest from chunk) group by digest
) as earlier using (digest)
order by position
"""

_ALREADY_STORED = """
select position from copies
join (
    select digest, count(*) as n from traces where digest in (select digest from copies) group by digest
) as stored using (digest)
where copy <= stored.n
"""

_MOVED = "select given, arg_min_null(id, rowid) from moved where given in (select given from asked) group by given"


def _spilling(store: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory, which goes to disk beside the store when it is full."""
    # Lossless: a UUID stays one on its way through Arrow, and is not compared as text.
    connection = duckdb.connect(
        config={
            "arrow_lossless_conversion": True,
            "memory_limit": _MEMORY_LIMIT,
            "temp_directory": str(spill_folder(store)),
        }
    )
    connection.execute("set enable_progress_bar = false")
    return connection


class Duplicates:
    """Finds the duplicates of a load: the k-th copy of a trace in the files matches the k-th copy in the store.

    Equal rollouts of one prompt are data, so a second copy is new unless the store holds two. The digests of all rows
    so far, 16 bytes each, are in a database of their own, which spills beside the store before it fills the memory;
    the first ones are counted here, for a database takes longer to start than most files to load.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._part = ""
        self._first: dict[str, list[bytes]] = {}
        self._copies: Counter[bytes] = Counter()
        self._seen: duckdb.DuckDBPyConnection | None = None

    def begin(self, part: str) -> None:
        """The next rows are of this part, read from its start; rows that were read of it before are forgotten."""
        self._part = part
        self._copies.subtract(self._first.pop(part, []))
        if self._seen is not None:
            self._seen.execute("delete from seen where part = ?", [part])

    def number(self, digests: list[bytes]) -> pa.Array:
        """For each row of a chunk, by its digest, the number of its copy: 1, 2, …; to be called once for each row."""
        if self._seen is None and self._copies.total() + len(digests) > _COUNTED_HERE:
            self._seen = self._to_database()
        if self._seen is not None:
            self._seen.register("chunk", pa.table({"position": range(len(digests)), "digest": uuids(digests)}))
            copies = self._seen.sql(_NUMBER_COPIES).to_arrow_table()["copy"]
            self._seen.execute("insert into seen select digest, ? from chunk", [self._part])
            return copies
        self._first.setdefault(self._part, []).extend(digests)
        copies = []
        for digest in digests:
            self._copies[digest] += 1
            copies.append(self._copies[digest])
        return pa.array(copies, pa.int64())

    def _to_database(self) -> duckdb.DuckDBPyConnection:
        seen = _spilling(self._store)
        seen.execute("create table seen (digest uuid, part varchar)")
        for part, digests in self._first.items():
            seen.register("first", pa.table({"digest": uuids(digests)}))
            seen.execute("insert into seen select digest, ? from first", [part])
        self._first.clear()
        self._copies.clear()
        return seen

    def close(self) -> None:
        """Forgets them."""
        if self._seen is not None:
            self._seen.close()
            self._seen = None

    @staticmethod
    def already_stored(cursor: duckdb.DuckDBPyConnection, digests: pa.Array, copies: pa.Array) -> set[int]:
        """The indices of the rows that are already stored, by their digests and the numbers of their copies."""
        cursor.register("copies", pa.table({"position": range(len(digests)), "digest": digests, "copy": copies}))
        return {position for (position,) in cursor.execute(_ALREADY_STORED).fetchall()}


class MovedIds:
    """The rows of a load that are not stored under the id that they brought, for their scores in rows of their own.

    Mostly there are none, and no database is made for them.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._ids: duckdb.DuckDBPyConnection | None = None

    def note(self, moved: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Remembers pairs of the id that a row brought and the one it has, of 16 bytes each; None: it was rejected."""
        pairs = list(moved)
        if not pairs:
            return
        if self._ids is None:
            self._ids = _spilling(self._store)
            self._ids.execute("create table moved (given uuid, id uuid)")
        given, ids = map(list, zip(*pairs, strict=True))
        self._ids.register("pairs", pa.table({"given": uuids(given), "id": uuids(ids)}))
        self._ids.execute("insert into moved from pairs")

    def among(self, given: list[bytes]) -> dict[bytes, bytes | None]:
        """Of these ids, those that were moved, with the id of the first row that brought each, None if rejected."""
        if self._ids is None:
            return {}
        self._ids.register("asked", pa.table({"given": uuids(given)}))
        found = self._ids.execute(_MOVED).fetchall()
        return {given.bytes: trace_id and trace_id.bytes for given, trace_id in found}

    def close(self) -> None:
        """Forgets them."""
        if self._ids is not None:
            self._ids.close()
            self._ids = None
