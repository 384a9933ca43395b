"""The rows of a load that are stored in one transaction."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from tunix_rt.store.engine.clock import new_ids, new_times
from tunix_rt.store.engine.rows import LARGE_ROW_BYTES, LARGE_ROWS_BYTES, Line
from tunix_rt.store.ingest.dedup import Duplicates
from tunix_rt.store.ingest.encoding import Encoded
from tunix_rt.store.scores.facts import CarriedScore

# A transaction of this size is written in half a second, well within the time others may have to wait. It fills a row
# group of the store's file, so that DuckDB need not write the rows again with the next ones: that took as long again.
CHUNK_ROWS = 20_480
# Large traces fill a chunk by their size; several copies of it are in memory while it is written.
CHUNK_BYTES = 64 * 2**20
# As objects of Python they take half a kilobyte each.
CHUNK_SCORES = 200_000
# Those in rows of their own keep their rows, to be rejected with.
CHUNK_SCORE_ROWS = 50_000


class Chunk:
    """Rows that are stored in one transaction, column by column: one object for each row would take too much memory.

    `given` has, by index, the rows that brought an id or a time; the others get theirs when the chunk is complete.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.digests: list[bytes] = []
        self.given: dict[int, Encoded] = {}
        self.n_bytes = 0
        self.times: list[int] = []
        self.ids: list[bytes] = []
        # The number of each row's copy of its trace; None where duplicates are added too.
        self.copy_numbers: pa.Array | None = None
        # Of rows with scores, by index.
        self.scores: dict[int, Sequence[CarriedScore]] = {}
        self.n_scores = 0

    def add(self, found: Encoded) -> None:
        """Takes a row."""
        index = len(self.lines)
        if found.id is not None or found.created_at is not None:
            self.given[index] = found
        if found.scores:
            self.scores[index] = found.scores
            self.n_scores += len(found.scores)
        self.lines.append(found.line)
        self.digests.append(found.digest)
        self.n_bytes += found.line.n_bytes

    def is_full(self) -> bool:
        """Whether it should be stored before it gets another row."""
        n_rows = len(self.lines)
        return (
            n_rows >= CHUNK_ROWS
            or self.n_scores >= CHUNK_SCORES
            or self.n_bytes >= CHUNK_BYTES
            or (self.n_bytes >= LARGE_ROWS_BYTES and self.n_bytes > n_rows * LARGE_ROW_BYTES)
        )

    def complete(self, duplicates: Duplicates | None) -> None:
        """Sets the time of each row in microseconds, the 16 bytes of its id, and which copy it is."""
        self.times = list(new_times(len(self.lines)))
        for index, given in self.given.items():
            if given.created_at is not None:
                self.times[index] = given.created_at
        self.ids = new_ids(self.times)
        for index, given in self.given.items():
            if given.id is not None:
                self.ids[index] = given.id
        if duplicates:
            self.copy_numbers = duplicates.number(self.digests)

    def halves(self) -> Iterator["Chunk"]:
        """The first and the second half of a complete chunk."""
        middle = len(self.lines) // 2
        for part in (slice(0, middle), slice(middle, len(self.lines))):
            half = Chunk()
            half.lines, half.digests = self.lines[part], self.digests[part]
            half.times, half.ids = self.times[part], self.ids[part]
            half.given = {i - part.start: given for i, given in self.given.items() if part.start <= i < part.stop}
            half.scores = {i - part.start: scores for i, scores in self.scores.items() if part.start <= i < part.stop}
            half.copy_numbers = None if self.copy_numbers is None else self.copy_numbers[part]
            yield half
