"""Where in time the rows lie, so that a page's range of `created_at` is found without scanning.

Rows lie in the order of `created_at`, and DuckDB skips every row group outside a range of it: a query over the right
range costs the same at ten thousand and at a million traces, at the newest page and at the oldest. The ruler says which
range that is, so closely that all its rows can be fetched and sorted here: DuckDB takes as long to sort and cut them as
to read them. It is a hint: what is read is right whatever the ruler says, and fast when the ruler is about right.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import duckdb

from tunix_rt.store.engine.rows import TIME, from_microseconds, to_microseconds
from tunix_rt.store.engine.statement import parsed
from tunix_rt.store.filters import Condition

# A mark for 32 rows costs 8 bytes and its time: 1,000,000 rows have theirs in 7 ms, where a mark for 2,048 took 4.5 ms.
# A page's range has 32 to 64 rows then, and reading them takes as long as reading the 20 that are shown.
ROWS_PER_MARK = 32
# Of a selection nobody knows how many rows of a range it has: it begins with two of DuckDB's vectors.
ROWS_TO_SELECT_FROM = 4_096
# Behind a range in which too little was found the next is so many times as long: few queries for a rare word, and
# little work beyond the page for a common one.
_GROWTH = 4
# So many rows may be without a mark: the newest page reads them too.
_MOST_UNMARKED = 2 * ROWS_PER_MARK
# Marks are taken anew when the store has grown or shrunk by a tenth, or by so many rows.
_MOST_CHANGED = 2_048
_MARKS = f"select rowid, {TIME} from traces where rowid >= ? and rowid % {ROWS_PER_MARK} = 0"


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
    """Marks in time, one for about `ROWS_PER_MARK` traces, taken from a store of `n_rows`.

    What was added since `before` was made gets its marks, and the others stay.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, n_rows: int, before: "Ruler | None" = None) -> None:
        self.n_rows = n_rows
        marks, end, self._n_rows_then = before.taken if before else ([], 0, n_rows)
        rows = cursor.execute(parsed(cursor, _MARKS), [end]).fetchall()
        if before and not rows:
            # Row groups were merged, so that the new rows have numbers that others had.
            marks, self._n_rows_then = [], n_rows
            rows = cursor.execute(parsed(cursor, _MARKS), [0]).fetchall()
        # Microseconds since 1970, sorted; mostly they are.
        self._marks = sorted([*marks, *(us for _, us in rows)])
        # One behind the highest rowid that has a mark: threads of DuckDB's give the rows in any order.
        self._end = max((rowid for rowid, _ in rows), default=-1) + 1

    @property
    def taken(self) -> tuple[list[int], int, int]:
        """The marks, the rowid from which on rows have none, and of how many rows they were taken at first."""
        return self._marks, self._end, self._n_rows_then

    def up_to_date(self, cursor: duckdb.DuckDBPyConnection, n_rows: int) -> "Ruler":
        """A ruler that serves a store of so many traces; mostly this one."""
        if abs(n_rows - self._n_rows_then) > max(_MOST_CHANGED, self._n_rows_then // 10):
            return Ruler(cursor, n_rows)
        return Ruler(cursor, n_rows, self) if n_rows - self.n_rows >= _MOST_UNMARKED else self

    def below(self, until: datetime | None, marks: int) -> datetime | None:
        """The time so many marks before `until`; None is before everything."""
        here = len(self._marks) if until is None else bisect_left(self._marks, to_microseconds(until))
        return from_microseconds(self._marks[here - marks]) if here > marks else None

    def above(self, since: datetime, marks: int) -> datetime | None:
        """The time so many marks after `since`; None is after everything."""
        there = bisect_right(self._marks, to_microseconds(since)) + marks - 1
        return from_microseconds(self._marks[there]) if there < len(self._marks) else None

    def is_in_older_half(self, time: datetime) -> bool:
        """Whether more rows are about as new as this time, or newer, than are older."""
        return bisect_left(self._marks, to_microseconds(time)) < len(self._marks) // 2

    def windows(self, until: datetime | None, n_rows: int) -> Iterator[Window]:
        """Ranges from `until` backwards to the beginning, the first of at least `n_rows`, each longer than the last."""
        marks = _marks_around(n_rows)
        while True:
            since = self.below(until, marks)
            yield Window(since, until)
            if since is None:
                return
            until, marks = since, marks * _GROWTH

    def windows_from(self, since: datetime, n_rows: int) -> Iterator[Window]:
        """Ranges from `since` onwards to the end, the first of at least `n_rows`, each longer than the last."""
        marks = _marks_around(n_rows)
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
        bounds = [None, *map(from_microseconds, dict.fromkeys(marks)), None]
        pieces = [Window(since, until) for since, until in pairwise(bounds)]
        return pieces[::-1] if newest_first else pieces


def _marks_around(n_rows: int) -> int:
    # One more, for it may lie next to where the range begins.
    return -(-n_rows // ROWS_PER_MARK) + 1


class RulerKeeper:
    """The ruler of a store, brought up to date when the store has outgrown it."""

    def __init__(self) -> None:
        self._ruler: Ruler | None = None

    def current(self, cursor: duckdb.DuckDBPyConnection, n_rows: int) -> Ruler:
        """A ruler that fits a store of so many rows."""
        ruler = self._ruler.up_to_date(cursor, n_rows) if self._ruler else Ruler(cursor, n_rows)
        self._ruler = ruler
        return ruler
