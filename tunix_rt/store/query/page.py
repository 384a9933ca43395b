"""Pages, newest first, and the search for the rows of a page."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import duckdb

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TunixRTError
from tunix_rt.model import TraceRecord, TraceSummary
from tunix_rt.store.engine.rows import (
    ONE_RECORD_COLUMNS,
    SUMMARY_COLUMNS,
    to_microseconds,
    to_one_record,
    to_summary,
)
from tunix_rt.store.engine.statement import parsed
from tunix_rt.store.engine.time_index import EVERYTHING, ROWS_PER_SAMPLE, ROWS_TO_SELECT_FROM, TimeIndex, Window
from tunix_rt.store.filter_values import FIRST_TIME, LAST_TIME, TIME, shown
from tunix_rt.store.filters import FILTERS, Condition, Filters, where
from tunix_rt.store.query.cursor import Cursor, PageRequest
from tunix_rt.store.query.scan import earlier, in_window, not_before

# Fetched without being sorted or cut by DuckDB, which takes as long as reading a page.
_MOST_UNSORTED = 512
# With filters, this number of samples is skipped at first.
_FIRST_SKIPPED = 8 * 2_048 // ROWS_PER_SAMPLE
# Of SUMMARY_COLUMNS: created_at, id.
_IN_ORDER = itemgetter(1, 0)

Read = TypeVar("Read")
Judge = Callable[[Sequence[TraceSummary], Sequence[str], Sequence[str]], tuple[TraceSummary, ...]]


class Found(NamedTuple):
    """A row of a page, and the cursor behind it."""

    record: TraceSummary
    cursor: Cursor


@render.shows_itself(render.page_text, render.page_html)
class Page:
    """Summaries of stored traces, and the ways on and back.

    `records` are the summaries, in the order that `order` names, and `cursors` the positions behind each of them.
    `next` is the cursor to give as `after` for the next page (None on the last), `next_offset` the same as an offset
    (None where the page was reached by `before`), and `previous` the cursor to give as `before` for the page in front
    (None on the first). `limit`, `offset` and `filters` are those of the request. `note` says why no trace passes the
    filters, where that is because none has a key or a score that they name. A page that is shown reads the
    verdicts and flags of its traces from the store, once; `scores` are the requested ones.
    """

    def __init__(
        self,
        found: list[Found],
        *,
        order: str,
        request: PageRequest,
        filters: Filters,
        behind: bool,
        in_front: bool,
        note: str | None,
        get_page: Callable[..., "Page"],
        judge: Judge,
    ) -> None:
        self.records = tuple(one.record for one in found)
        self.cursors = tuple(one.cursor for one in found)
        self.order = order
        self.scores = request.scores
        self.limit = request.limit
        self.offset = request.offset
        self.filters = filters.given
        self.next = str(self.cursors[-1]) if found and behind else None
        self.next_offset = request.offset + len(found) if self.next and not request.before else None
        self.previous = str(self.cursors[0]) if found and in_front else None
        self.note = note
        self._get_page = get_page
        self._judge = judge
        self._judged: tuple[TraceSummary, ...] | None = None
        self._judged_by: tuple[set[str], set[str]] = (set(), set())

    def judged(self, *, scores: Sequence[str] = (), facts: Sequence[str] = ()) -> tuple[TraceSummary, ...]:
        """The summaries with what a list shows of them: the facts, the verdict and the flags, the requested scores.

        `scores` are names of further scorers, and `facts` further keys of meta. It is read once.
        """
        if self._judged is None or not (set(scores) <= self._judged_by[0] and set(facts) <= self._judged_by[1]):
            self._judged = self._judge(self.records, (*self.scores, *scores), facts)
            self._judged_by = set(scores), set(facts)
        return self._judged

    @property
    def shown(self) -> tuple[TraceSummary, ...]:
        """The same; the records as they are, where the store cannot be read."""
        try:
            return self.judged()
        except TunixRTError:
            return self.records

    def drop(self, gone: Collection[str]) -> int:
        """Takes traces that were deleted since out of the page, by their ids; returns how many."""
        left = [at for at, record in enumerate(self.records) if str(record.id) not in gone]
        n_gone = len(self.records) - len(left)
        judged = self._judged
        self.records = tuple(self.records[at] for at in left)
        self.cursors = tuple(self.cursors[at] for at in left)
        self._judged = judged and tuple(judged[at] for at in left)
        return n_gone

    def next_page(self) -> "Page":
        """The next page (by default, older traces); QueryInvalid on the last page."""
        if self.next is None:
            raise QueryInvalid("this is the last page; there is no next one")
        return self._get_page(after=self.next)

    def previous_page(self) -> "Page":
        """The previous page (by default, newer traces); QueryInvalid on the first page."""
        if self.previous is None:
            raise QueryInvalid("this is the first page; there is no previous one")
        return self._get_page(before=self.previous)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[TraceSummary]:
        return iter(self.records)

    def __getitem__(self, index: int) -> TraceSummary:
        return self.records[index]

    def __repr__(self) -> str:
        return f"<Page of {len(self)} traces{', more behind' if self.next else ''}>"


class Search:
    """The search for rows of one selection in the order newest first."""

    # What tells the cursors of another order, and that order in a caption.
    order: int | None = None
    words = "newest first"

    def __init__(self, cursor: duckdb.DuckDBPyConnection, index: TimeIndex, filters: Filters) -> None:
        self.cursor = self._cursor = cursor
        self._index = index
        self._filters = filters

    def page(self, request: PageRequest, *, get_page: Callable[..., Page], judge: Judge) -> Page:
        """The requested page; `get_page` is `TraceStore.page` with the same limit, order, scores and filters.

        `judge` is what reads the verdicts of its summaries when it is shown.
        """
        request.check_order(self.order)
        # One row more than is shown: without it, the page is the last one in its direction.
        if request.before:
            found = self.back(request.limit + 1, before=request.before)
            in_front = len(found) > request.limit
            found = found[: request.limit][::-1]
            behind = bool(found) and self.goes_on(found[-1].cursor, request.before)
        else:
            found = self.onwards(request.limit + 1, offset=request.offset, after=request.after)
            behind, in_front = len(found) > request.limit, bool(request.after or request.offset)
            found = found[: request.limit]
        return Page(
            found,
            order=self.words,
            request=request,
            filters=self._filters,
            behind=behind,
            in_front=in_front,
            note=None if found or request.offset or in_front else self.why_nothing(),
            get_page=get_page,
            judge=judge,
        )

    def onwards(self, limit: int, *, offset: int = 0, after: Cursor | None = None) -> list[Found]:
        """Up to `limit` rows after the cursor and `offset` further rows, in order."""
        return list(map(_found, self._newest(limit, offset=offset, after=after)))

    def back(self, limit: int, *, before: Cursor) -> list[Found]:
        """Up to `limit` rows before the cursor, the nearest first."""
        return list(map(_found, self._nearest(limit, before=before)))

    def goes_on(self, last: Cursor, before: Cursor) -> bool:  # noqa: ARG002 - for other orders
        """Whether there are rows behind the last one in front of the cursor `before`."""
        # A cursor need not be the position of a trace: `cursor_at` can return the end.
        return bool(self.onwards(1, after=last))

    def why_nothing(self) -> str | None:
        """Why no trace passes the filters, in words, where the reason is a simple one; None where it is not.

        Two bounds may contradict each other, the store may be empty, and no trace may have what the filters need.
        """
        if not self._filters:
            return None
        if contradiction := _contradiction(self._filters.given):
            return contradiction
        everything = Search(self._cursor, self._index, Filters())
        if not everything.onwards(1):
            return "the store has no traces"
        # An expression of the user runs in a transaction, which too little memory for this would end.
        for what, condition in () if "where" in self._filters.given else self._filters.needs():
            there = Search(self._cursor, self._index, Filters().also(condition))
            if not there.onwards(1):
                return f"no trace has {what}"
        return None

    def newest_record(self) -> TraceRecord | None:
        """The newest trace itself, if there is one."""
        for window in self._index.windows(None, self._n_to_read(1)):
            order = "order by created_at desc, id desc limit 1"
            for row in self._fetch([*in_window(window)], order, 1, columns=ONE_RECORD_COLUMNS):
                return to_one_record(row)
        return None

    def _newest(self, limit: int, *, offset: int, after: Cursor | None) -> list[tuple[Any, ...]]:
        """Up to `limit` rows, after the cursor and `offset` further rows."""
        until = after.created_at + timedelta(microseconds=1) if after and after.created_at < LAST_TIME else None
        if offset and not after:
            offset, until = self._skip(offset)
        found: list[tuple[Any, ...]] = []
        for window in self._index.windows(until, self._n_to_read(limit + offset)):
            rows = self._rows(window, limit - len(found), offset=offset, after=after)
            if offset and not rows:
                offset -= self.count(window, *_behind(after))
            elif rows:
                found, offset = found + rows, 0
            if len(found) == limit:
                break
        return found

    def _nearest(self, limit: int, *, before: Cursor) -> list[tuple[Any, ...]]:
        """Up to `limit` rows before the cursor, the nearest first."""
        found: list[tuple[Any, ...]] = []
        for window in self._index.windows_from(before.created_at, self._n_to_read(limit)):
            found += self._rows(window, limit - len(found), before=before)
            if len(found) == limit:
                break
        return found

    def _n_to_read(self, n_wanted: int) -> int:
        return max(n_wanted, ROWS_TO_SELECT_FROM) if self._filters else n_wanted

    def _skip(self, offset: int) -> tuple[int, datetime | None]:
        """What remains of `offset` after complete ranges of time are skipped, and the time to continue from."""
        until: datetime | None = None
        # Without filters the index says how far to go; with them a range holds fewer rows, so the steps grow.
        n_samples = _FIRST_SKIPPED if self._filters else offset // ROWS_PER_SAMPLE
        while offset >= ROWS_PER_SAMPLE and n_samples > 0:
            since = self._index.below(until, n_samples)
            passed = self._count_since(since) if until is None and since else self.count(Window(since, until))
            if passed <= offset and since is not None:
                offset, until = offset - passed, since
                n_samples = n_samples * 2 if self._filters else offset // ROWS_PER_SAMPLE
            elif passed <= offset:
                # All rows are skipped: there is nothing left to find.
                return offset - passed, FIRST_TIME
            else:
                n_samples //= 2
        return offset, until

    def count(self, window: Window = EVERYTHING, *further: Condition) -> int:
        """How many rows the selection has in the window."""
        return sum(self._by_halves([*in_window(window), *further], self._count))

    def _count(self, bounds: list[Condition]) -> int:
        clause, values = self._filters.clause(*bounds)
        query = parsed(self._cursor, f"select count(*) from traces{clause}")
        return int(self._cursor.execute(query, values).fetchall()[0][0])

    def _count_since(self, since: datetime) -> int:
        # All rows are counted without reading any: the older side is subtracted where it is the smaller one.
        if not self._filters and self._index.is_in_older_half(since):
            return self.count() - self.count(Window(None, since))
        return self.count(Window(since, None))

    def _rows(
        self, window: Window, limit: int, *, offset: int = 0, after: Cursor | None = None, before: Cursor | None = None
    ) -> list[tuple[Any, ...]]:
        """Up to `limit` rows of the window, after `offset` rows: newest first, or oldest first before `before`."""
        if not self._filters and limit + offset < _MOST_UNSORTED:
            rows = self._fetch([*in_window(window)], f"limit {_MOST_UNSORTED}", _MOST_UNSORTED)
            if len(rows) < _MOST_UNSORTED:
                return _cut(rows, after, before)[offset : offset + limit]
        direction = "asc" if before else "desc"
        order = f"order by created_at {direction}, id {direction} limit {limit + offset}"
        bounds = [*in_window(window), *_behind(after), *_in_front(before)]
        return self._fetch(bounds, order, limit + offset, newest_first=not before)[offset:]

    def _fetch(
        self,
        bounds: list[Condition],
        order: str,
        most: int,
        *,
        newest_first: bool = True,
        columns: str = SUMMARY_COLUMNS,
    ) -> list[tuple[Any, ...]]:
        """At most `most` rows within the bounds that pass the filters."""

        def read(bounds: list[Condition]) -> list[tuple[Any, ...]]:
            clause, values = self._filters.clause(*bounds)
            query = f"select {columns} from traces{clause} {order}"
            return self._cursor.execute(parsed(self._cursor, query), values).fetchall()

        found: list[tuple[Any, ...]] = []
        for rows in self._by_halves(bounds, read, newest_first=newest_first):
            found += rows
            if len(found) >= most:
                break
        return found[:most]

    def _by_halves(
        self, bounds: list[Condition], read: Callable[[list[Condition]], Read], *, newest_first: bool = True
    ) -> Iterator[Read]:
        """What `read` finds within the bounds; where DuckDB has too little memory for that, within halves of them.

        How much a trace takes is not known beforehand: a list of numbers takes many times its bytes.
        """
        try:
            found = read(bounds)
        except duckdb.OutOfMemoryException:
            self._filters.begin_anew(self._cursor)
            halves = self._halves(bounds)
            if halves is None:
                raise
        else:
            yield found
            return
        for half in halves if newest_first else reversed(halves):
            yield from self._by_halves(half, read, newest_first=newest_first)

    def _halves(self, bounds: list[Condition]) -> tuple[list[Condition], list[Condition]] | None:
        """The bounds of the newer and of the older half of the rows; None where there is one row at most."""
        clause, values = where(*bounds)
        n_rows = self._cursor.execute(f"select count(*) from traces{clause}", values).fetchall()[0][0]
        if n_rows <= 1:
            return None
        order = f"order by created_at, id offset {n_rows // 2} limit 1"
        middle = f"select created_at::varchar, id from traces{clause} {order}"
        time, trace_id = self._cursor.execute(middle, values).fetchall()[0]
        return [*bounds, not_before(time, trace_id)], [*bounds, earlier(time, trace_id)]


def _contradiction(given: Mapping[str, Any]) -> str | None:
    """Two of these filters, or one, that no trace can pass."""
    lower = ""
    for name, field in FILTERS.items():
        # A filter that continues the one before it is the upper end of a range.
        if field.form and field.form.beside and name in given:
            high, is_time = field.kind.check(name, given[name]), field.kind is TIME
            upper = f"{name}={shown(given[name])}"
            if not is_time and high < 0:
                return f"{upper} is less than 0"
            if lower in given:
                low = FILTERS[lower].kind.check(lower, given[lower])
                if is_time and low >= high:
                    return f"{lower}={shown(given[lower])} is not before {upper}"
                if low > high:
                    return f"{lower}={shown(given[lower])} is more than {upper}"
        lower = name
    return None


def _found(row: tuple[Any, ...]) -> Found:
    record = to_summary(row)
    return Found(record, Cursor(record.created_at, record.id))


def _behind(after: Cursor | None) -> tuple[Condition, ...]:
    return (Condition("(created_at, id) < (?, ?)", (after.created_at, after.id), fine=True),) if after else ()


def _in_front(before: Cursor | None) -> tuple[Condition, ...]:
    return (Condition("(created_at, id) > (?, ?)", (before.created_at, before.id), fine=True),) if before else ()


def _cut(rows: list[tuple[Any, ...]], after: Cursor | None, before: Cursor | None) -> list[tuple[Any, ...]]:
    """The rows after or before the cursor, the nearest first."""
    rows.sort(key=_IN_ORDER, reverse=before is None)
    cursor = after or before
    if cursor is None:
        return rows
    position = (to_microseconds(cursor.created_at), cursor.id)
    return [row for row in rows if (_IN_ORDER(row) > position if before else _IN_ORDER(row) < position)]
