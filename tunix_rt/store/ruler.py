"""Where in time the rows lie, so that a page's range of `created_at` is found without scanning.

Rows lie in the order of `created_at`, and DuckDB skips every row group outside a range of it: a query over the right
range costs the same at ten thousand and at a million traces, at the newest page and at the oldest. The ruler says which
range that is. It is a hint: what is read is right whatever the ruler says, and fast when the ruler is about right.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import duckdb

from tunix_rt.store.filters import Condition
from tunix_rt.store.rows import TIME, from_microseconds

# One mark for as many rows as DuckDB works on at once: a range of one or two of them costs no more than a smaller one.
ROWS_PER_MARK = 2_048
# Marks in the first range: one may lie next to where it begins, two have more traces between them than a page takes.
_FIRST = 2
# Behind a range in which too little was found the next is so many times as long: few queries for a rare word, and
# little work beyond the page for a common one.
_GROWTH = 4
_MARKS = f"select {TIME} from traces where rowid % {ROWS_PER_MARK} = 0 order by all"


class Window(NamedTuple):
    """A range of time from `since` (with it) to `until` (without it); None is open."""

    since: datetime | None
    until: datetime | None


EVERYTHING = Window(None, None)


def in_window(window: Window) -> Iterator[Condition]:
    """The conditions that a row lies in the window."""
    if window.since is not None:
        yield Condition("created_at >= ?", (window.since,))
    if window.until is not None:
        yield Condition("created_at < ?", (window.until,))


class Ruler:
    """Marks in time, one for about `ROWS_PER_MARK` traces, taken from the store when it held `n_rows`."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, n_rows: int) -> None:
        self.n_rows = n_rows
        self._marks = [from_microseconds(us) for (us,) in cursor.sql(_MARKS).fetchall()]

    def fits(self, n_rows: int) -> bool:
        """Whether it still serves a store of so many traces."""
        return abs(n_rows - self.n_rows) <= max(ROWS_PER_MARK, self.n_rows // 10)

    def below(self, until: datetime | None, marks: int) -> datetime | None:
        """The time so many marks before `until`; None is before everything."""
        here = len(self._marks) if until is None else bisect_left(self._marks, until)
        return self._marks[here - marks] if here > marks else None

    def above(self, since: datetime, marks: int) -> datetime | None:
        """The time so many marks after `since`; None is after everything."""
        there = bisect_right(self._marks, since) + marks - 1
        return self._marks[there] if there < len(self._marks) else None

    def is_in_older_half(self, time: datetime) -> bool:
        """Whether more rows are about as new as this time, or newer, than are older."""
        return bisect_left(self._marks, time) < len(self._marks) // 2

    def windows(self, until: datetime | None) -> Iterator[Window]:
        """Ranges from `until` backwards to the beginning, each longer than the one before."""
        marks = _FIRST
        while True:
            since = self.below(until, marks)
            yield Window(since, until)
            if since is None:
                return
            until, marks = since, marks * _GROWTH

    def windows_from(self, since: datetime) -> Iterator[Window]:
        """Ranges from `since` onwards to the end, each longer than the one before."""
        marks = _FIRST
        while True:
            until = self.above(since, marks)
            yield Window(since, until)
            if until is None:
                return
            since, marks = until, marks * _GROWTH

    def pieces(self, rows: int, *, newest_first: bool) -> list[Window]:
        """The whole of time in ranges of about so many traces each."""
        marks = self._marks[:: max(1, rows // ROWS_PER_MARK)][1:]
        # Many traces of one moment make equal marks.
        bounds = [None, *dict.fromkeys(marks), None]
        pieces = [Window(since, until) for since, until in pairwise(bounds)]
        return pieces[::-1] if newest_first else pieces


class RulerKeeper:
    """The ruler of a store, made anew when the store has outgrown it."""

    def __init__(self) -> None:
        self._ruler: Ruler | None = None

    def current(self, cursor: duckdb.DuckDBPyConnection, n_rows: int) -> Ruler:
        """A ruler that fits a store of so many rows."""
        if self._ruler is None or not self._ruler.fits(n_rows):
            self._ruler = Ruler(cursor, n_rows)
        return self._ruler
