"""Traces that are ready to be stored: the rows of a load, as they come from a reading and as one transaction."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from tunix_rt.formats import Row
from tunix_rt.store.engine.clock import new_ids, new_times
from tunix_rt.store.engine.rows import LARGE_ROW_BYTES, LARGE_ROWS_BYTES, Line, columns, uuids

if TYPE_CHECKING:
    # A worker that reads rows makes chunks, and needs no DuckDB.
    from tunix_rt.store.ingest.dedup import Duplicates
    from tunix_rt.store.scores.facts import CarriedScore

# A transaction of this size is written in half a second, well within the time others may have to wait. It fills two
# row groups of the store's file, so that DuckDB need not write rows again with the next ones: that took as long again.
CHUNK_ROWS = 20_480
# Large traces fill a chunk by their size; several copies of it are in memory while it is written.
CHUNK_BYTES = 64 * 2**20
# As objects of Python they take half a kilobyte each.
CHUNK_SCORES = 200_000
# Those in rows of their own keep their rows, to be rejected with.
CHUNK_SCORE_ROWS = 50_000


class Encoded(NamedTuple):
    """A trace ready to be stored: its row, its line of JSON, its digest, and the id, time and scores the row brings.

    The id has 16 bytes, the time is in microseconds since 1970.
    """

    row: Row
    line: Line
    digest: bytes
    id: bytes | None
    created_at: int | None
    scores: "Sequence[CarriedScore]" = ()


class Given(NamedTuple):
    """A row that brought an id or a time."""

    row: Row
    id: bytes | None
    created_at: int | None


class Chunk:
    """Rows, column by column: one object for each would take too much memory, and time.

    `given` has, by index, the rows that brought an id or a time; the others get theirs when the chunk is complete.
    """

    def __init__(self) -> None:
        # The lines of the traces without their meta, and their meta.
        self.bodies: list[bytes] = []
        self.metas: list[bytes | None] = []
        self.digests: list[bytes] = []
        self.given: dict[int, Given] = {}
        self.n_bytes = 0
        self.times: list[int] = []
        self.ids: list[bytes] = []
        # What DuckDB has read the bodies as, in pieces; of no use where it has not read all of them.
        self.fields: list[pa.Array] = []
        # The number of each row's copy of its trace; None where duplicates are added too.
        self.copy_numbers: pa.Array | None = None
        # Of rows with scores, by index.
        self.scores: dict[int, Sequence[CarriedScore]] = {}
        self.n_scores = 0

    def __len__(self) -> int:
        return len(self.bodies)

    def add(self, found: Encoded) -> None:
        """Takes a row."""
        index = len(self.bodies)
        if found.id is not None or found.created_at is not None:
            self.given[index] = Given(found.row, found.id, found.created_at)
        if found.scores:
            self.scores[index] = found.scores
            self.n_scores += len(found.scores)
        self.bodies.append(found.line.body)
        self.metas.append(found.line.meta)
        self.digests.append(found.digest)
        self.n_bytes += found.line.n_bytes

    def extend(self, other: "Chunk") -> None:
        """Takes the rows of a chunk that is not complete."""
        n = len(self.bodies)
        self.bodies += other.bodies
        self.metas += other.metas
        self.digests += other.digests
        self.fields += other.fields
        self.n_bytes += other.n_bytes
        self.given |= {n + index: given for index, given in other.given.items()}
        self.scores |= {n + index: scores for index, scores in other.scores.items()}
        self.n_scores += other.n_scores

    def is_full(self) -> bool:
        """Whether it should be stored before it gets another row."""
        n_rows = len(self.bodies)
        return (
            n_rows >= CHUNK_ROWS
            or self.n_scores >= CHUNK_SCORES
            or self.n_bytes >= CHUNK_BYTES
            or (self.has_large_rows and self.n_bytes >= LARGE_ROWS_BYTES)
        )

    @property
    def room(self) -> int:
        """How many more rows fit, unless they are large."""
        return CHUNK_ROWS - len(self)

    @property
    def has_large_rows(self) -> bool:
        """Whether its rows are large on average."""
        return self.n_bytes > len(self.bodies) * LARGE_ROW_BYTES

    def table(self) -> pa.Table:
        """The rows of a complete chunk as `insert` takes them."""
        fields = self._all_fields
        bodies = self.bodies if fields is None else fields
        return columns(self.ids, self.times, uuids(self.digests), self.metas, bodies)

    @property
    def _all_fields(self) -> pa.ChunkedArray | None:
        """What DuckDB has read all bodies as; None where it has not."""
        return pa.chunked_array(self.fields) if self.fields and sum(map(len, self.fields)) == len(self) else None

    def complete(self, duplicates: "Duplicates | None") -> None:
        """Sets the time of each row in microseconds, the 16 bytes of its id, and which copy it is."""
        self.times = list(new_times(len(self)))
        for index, given in self.given.items():
            if given.created_at is not None:
                self.times[index] = given.created_at
        self.ids = new_ids(self.times)
        for index, given in self.given.items():
            if given.id is not None:
                self.ids[index] = given.id
        if duplicates:
            self.copy_numbers = duplicates.number(self.digests)

    def slice(self, start: int, stop: int) -> "Chunk":
        """The rows from one index to before another."""
        if (start, stop) == (0, len(self)):
            return self
        some, part = Chunk(), slice(start, stop)
        some.bodies, some.metas, some.digests = self.bodies[part], self.metas[part], self.digests[part]
        some.times, some.ids = self.times[part], self.ids[part]
        some.n_bytes = sum(map(len, some.bodies)) + sum(len(meta) for meta in some.metas if meta)
        some.given = {i - start: given for i, given in self.given.items() if start <= i < stop}
        some.scores = {i - start: scores for i, scores in self.scores.items() if start <= i < stop}
        some.n_scores = sum(map(len, some.scores.values()))
        if (fields := self._all_fields) is not None:
            some.fields = fields[part].chunks
        some.copy_numbers = None if self.copy_numbers is None else self.copy_numbers[part]
        return some
