"""Where in time the rows are, so that a page's range of `created_at` is found without scanning.

Rows are in the order of `created_at`, and DuckDB skips every row group outside a range of it: a query over the right
range costs the same at ten thousand and at a million traces, at the newest page and at the oldest. The time index says
which range that is, so closely that all its rows can be fetched and sorted here: DuckDB takes as long to sort and cut
them as to read them. It is a hint: results are correct whatever the index says, and fast when it is about right.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import duckdb

from tunix_rt.store.engine.rows import TIME, from_microseconds, to_microseconds
from tunix_rt.store.engine.statement import parsed

# A sample for 32 rows costs 8 bytes and its time: 1,000,000 rows have theirs in 7 ms; a sample for 2,048 took 4.5 ms.
# A page's range has 32 to 64 rows then, and reading them takes as long as reading the 20 that are shown.
ROWS_PER_SAMPLE = 32
# How many rows of a range pass a filter is not known beforehand: the first range is two of DuckDB's vectors.
ROWS_TO_SELECT_FROM = 4_096
# If a range had too few rows, the next is this many times as long: few queries for a rare word, and little work
# beyond the page for a common one.
_GROWTH = 4
# Up to this number of rows may have no sample: the newest page reads them too.
_MOST_UNSAMPLED = 2 * ROWS_PER_SAMPLE
# All samples are taken again when the store has grown or shrunk by a tenth, or by this number of rows.
_MOST_CHANGED = 2_048
_SAMPLES = f"select rowid, {TIME} from traces where rowid >= ? and rowid % {ROWS_PER_SAMPLE} = 0"


class Window(NamedTuple):
    """A range of time from `since` (with it) to `until` (without it); None is open."""

    since: datetime | None
    until: datetime | None


EVERYTHING = Window(None, None)


class TimeIndex:
    """Samples of `created_at`, one for about `ROWS_PER_SAMPLE` traces, taken from a store of `n_rows`.

    Rows that were added since `before` was made get samples; those of the others stay.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, n_rows: int, before: "TimeIndex | None" = None) -> None:
        self.n_rows = n_rows
        samples, end, self._n_rows_then = before.taken if before else ([], 0, n_rows)
        rows = cursor.execute(parsed(cursor, _SAMPLES), [end]).fetchall()
        if before and not rows:
            # Row groups were merged, so that the new rows have numbers that others had.
            samples, self._n_rows_then = [], n_rows
            rows = cursor.execute(parsed(cursor, _SAMPLES), [0]).fetchall()
        # Microseconds since 1970, sorted; mostly they are.
        self._samples = sorted([*samples, *(us for _, us in rows)])
        # One more than the highest rowid that has a sample: DuckDB's threads return the rows in any order.
        self._end = max((rowid for rowid, _ in rows), default=-1) + 1

    @property
    def taken(self) -> tuple[list[int], int, int]:
        """The samples, the first rowid without one, and how many rows there were when all were taken."""
        return self._samples, self._end, self._n_rows_then

    def up_to_date(self, cursor: duckdb.DuckDBPyConnection, n_rows: int) -> "TimeIndex":
        """The index for a store of `n_rows` traces; mostly this one."""
        if abs(n_rows - self._n_rows_then) > max(_MOST_CHANGED, self._n_rows_then // 10):
            return TimeIndex(cursor, n_rows)
        return TimeIndex(cursor, n_rows, self) if n_rows - self.n_rows >= _MOST_UNSAMPLED else self

    def below(self, until: datetime | None, n_samples: int) -> datetime | None:
        """The time `n_samples` samples before `until`; None is before everything."""
        here = len(self._samples) if until is None else bisect_left(self._samples, to_microseconds(until))
        return from_microseconds(self._samples[here - n_samples]) if here > n_samples else None

    def above(self, since: datetime, n_samples: int) -> datetime | None:
        """The time `n_samples` samples after `since`; None is after everything."""
        there = bisect_right(self._samples, to_microseconds(since)) + n_samples - 1
        return from_microseconds(self._samples[there]) if there < len(self._samples) else None

    def is_in_older_half(self, time: datetime) -> bool:
        """Whether at least half of the rows are newer than this time, as far as the samples show."""
        return bisect_left(self._samples, to_microseconds(time)) < len(self._samples) // 2

    def windows(self, until: datetime | None, n_rows: int) -> Iterator[Window]:
        """Ranges from `until` backwards to the beginning, the first of at least `n_rows`, each longer than the last."""
        n_samples = _samples_around(n_rows)
        while True:
            since = self.below(until, n_samples)
            yield Window(since, until)
            if since is None:
                return
            until, n_samples = since, n_samples * _GROWTH

    def windows_from(self, since: datetime, n_rows: int) -> Iterator[Window]:
        """Ranges from `since` onwards to the end, the first of at least `n_rows`, each longer than the last."""
        n_samples = _samples_around(n_rows)
        while True:
            until = self.above(since, n_samples)
            yield Window(since, until)
            if until is None:
                return
            since, n_samples = until, n_samples * _GROWTH

    def pieces(self, rows: int, *, newest_first: bool) -> list[Window]:
        """All of time in ranges of about `rows` traces each."""
        samples = self._samples[:: max(1, rows // ROWS_PER_SAMPLE)][1:]
        # Many traces of one moment make equal samples.
        bounds = [None, *map(from_microseconds, dict.fromkeys(samples)), None]
        pieces = [Window(since, until) for since, until in pairwise(bounds)]
        return pieces[::-1] if newest_first else pieces


class GivenIndex(TimeIndex):
    """The index with these samples, sorted microseconds since 1970, one for about `ROWS_PER_SAMPLE` of `n_rows`."""

    def __init__(self, samples: list[int], n_rows: int) -> None:
        self.n_rows = self._n_rows_then = n_rows
        self._samples, self._end = samples, 0


def _samples_around(n_rows: int) -> int:
    # One more: the first may be next to where the range begins.
    return -(-n_rows // ROWS_PER_SAMPLE) + 1
