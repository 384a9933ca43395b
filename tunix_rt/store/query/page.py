"""Pages, newest first: the cursor (a position in the order), and the search for the rows of a page."""

import base64
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple, Self, TypeVar
from uuid import UUID

import duckdb

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TunixRTError
from tunix_rt.model import TraceRecord, TraceSummary
from tunix_rt.store.engine.rows import (
    ONE_RECORD_COLUMNS,
    SUMMARY_COLUMNS,
    from_microseconds,
    to_microseconds,
    to_one_record,
    to_summary,
)
from tunix_rt.store.engine.statement import parsed
from tunix_rt.store.engine.time_index import EVERYTHING, ROWS_PER_SAMPLE, ROWS_TO_SELECT_FROM, TimeIndex, Window
from tunix_rt.store.filter_values import FIRST_TIME, LAST_TIME, as_time
from tunix_rt.store.filters import Condition, Filters, where
from tunix_rt.store.query.scan import earlier, in_window, not_before
from tunix_rt.store.score_filter import scorer_names
from tunix_rt.validation import short

MAX_LIMIT = 100
# DuckDB accepts no larger one, and no store has that many traces.
_MOST_OFFSET = 2**62
_POSITION = struct.Struct(">q16s")
_CHECK = struct.Struct(">I")
# Fetched without being sorted or cut by DuckDB, which takes as long as reading a page.
_MOST_UNSORTED = 512
# With filters, this number of samples is skipped at first.
_FIRST_SKIPPED = 8 * 2_048 // ROWS_PER_SAMPLE
# Of SUMMARY_COLUMNS: created_at, id.
_IN_ORDER = itemgetter(1, 0)

Found = TypeVar("Found")
Judge = Callable[[Sequence[TraceSummary]], tuple[TraceSummary, ...]]


class Cursor(NamedTuple):
    """The position after a trace in the order newest first; opaque as text, stable while traces are added."""

    created_at: datetime
    id: UUID

    def __str__(self) -> str:
        position = _POSITION.pack(to_microseconds(self.created_at), self.id.bytes)
        return base64.urlsafe_b64encode(position + _CHECK.pack(zlib.crc32(position))).decode().rstrip("=")

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """The position that a text encodes; QueryInvalid, with the option's name, if it is not a valid cursor."""
        try:
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4) if isinstance(text, str) else b"")
            position, check = packed[: _POSITION.size], packed[_POSITION.size :]
            microseconds, id_bytes = _POSITION.unpack(position)
            if check == _CHECK.pack(zlib.crc32(position)):
                return cls(from_microseconds(microseconds), UUID(bytes=id_bytes))
        except (ValueError, TypeError, struct.error, OverflowError):
            pass
        raise QueryInvalid(f"{name}={short(text)}: is not a valid cursor; use `next` or `previous` of a page")


def cursor_at(moment: datetime | date | str) -> str:
    """The cursor before all traces created before this moment, which is given like the filter `until`.

    `page(after=…)` begins with the newest of them, and `page(before=…)` ends with the oldest of the others: a jump to a
    moment that leads both ways, where a filter would hide what is newer.
    """
    # No id is lower, so traces of the moment itself come before this cursor.
    return str(Cursor(as_time("until", moment), UUID(int=0)))


class PageRequest(NamedTuple):
    """The requested page: its limit, an offset or a cursor, after which or before which it is, the scores to read."""

    limit: int
    offset: int
    after: Cursor | None
    before: Cursor | None
    scores: tuple[str, ...]

    @classmethod
    def checked(cls, *, limit: int, offset: int, after: str | None, before: str | None, scores: Any = None) -> Self:
        """The page that these options of `TraceStore.page` request; QueryInvalid if one of them is not valid."""
        whole_number("limit", limit, 1, MAX_LIMIT)
        whole_number("offset", offset, 0, None)
        if before is not None and (offset or after is not None):
            raise QueryInvalid("`before` cannot be combined with `after` or `offset`")
        return cls(
            limit,
            min(offset, _MOST_OFFSET),
            None if after is None else Cursor.parse("after", after),
            None if before is None else Cursor.parse("before", before),
            scorer_names("scores", scores),
        )


@render.shows_itself(render.page_text, render.page_html)
class Page:
    """Summaries of stored traces, newest first, and the ways on and back.

    `records` are the summaries, `next` is the cursor to give as `after` for the next page (None on the last),
    `next_offset` the same as an offset (None where the page was reached by `before`), and `previous` the cursor to give
    as `before` for the page in front (None on the first). `limit`, `offset`, `filters` and `scores` are those of the
    request. A page that is shown reads the verdicts and flags of its traces from the store, once.
    """

    def __init__(
        self,
        records: tuple[TraceSummary, ...],
        *,
        request: PageRequest,
        filters: Filters,
        behind: bool,
        in_front: bool,
        get_page: Callable[..., "Page"],
        judge: Judge,
    ) -> None:
        self.records = records
        self.scores = request.scores
        self.limit = request.limit
        self.offset = request.offset
        self.filters = filters.given
        self.next = _cursor_of(records[-1]) if records and behind else None
        self.next_offset = request.offset + len(records) if self.next and not request.before else None
        self.previous = _cursor_of(records[0]) if records and in_front else None
        self._get_page = get_page
        self._judge = judge
        self._judged: tuple[TraceSummary, ...] | None = None

    def judged(self) -> tuple[TraceSummary, ...]:
        """The summaries with what a list shows of them: the facts, the verdict and the flags, the requested scores."""
        if self._judged is None:
            self._judged = self._judge(self.records)
        return self._judged

    @property
    def shown(self) -> tuple[TraceSummary, ...]:
        """The same; the records as they are, where the store cannot be read."""
        try:
            return self.judged()
        except TunixRTError:
            return self.records

    def next_page(self) -> "Page":
        """The next page, with older traces; QueryInvalid on the last page."""
        if self.next is None:
            raise QueryInvalid("this is the last page; there is no next one")
        return self._get_page(after=self.next)

    def previous_page(self) -> "Page":
        """The previous page, with newer traces; QueryInvalid on the first page."""
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


def _cursor_of(record: TraceSummary) -> str:
    return str(Cursor(record.created_at, record.id))


class Search:
    """The search for rows of one selection in the order newest first."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, index: TimeIndex, filters: Filters) -> None:
        self.cursor = self._cursor = cursor
        self._index = index
        self._filters = filters

    def page(self, request: PageRequest, *, get_page: Callable[..., Page], judge: Judge) -> Page:
        """The requested page; `get_page` is `TraceStore.page` with the same limit, scores and filters.

        `judge` is what reads the verdicts of its summaries when it is shown.
        """
        # One row more than is shown: without it, the page is the last one in its direction.
        if request.before:
            found = self._nearest(request.limit + 1, before=request.before)
            records = tuple(map(to_summary, found[: request.limit][::-1]))
            in_front = len(found) > request.limit
            # A cursor need not be the position of a trace: `cursor_at` can return the end.
            behind = bool(records and self._newest(1, offset=0, after=Cursor(records[-1].created_at, records[-1].id)))
        else:
            found = self._newest(request.limit + 1, offset=request.offset, after=request.after)
            records = tuple(map(to_summary, found[: request.limit]))
            behind, in_front = len(found) > request.limit, bool(request.after or request.offset)
        return Page(
            records,
            request=request,
            filters=self._filters,
            behind=behind,
            in_front=in_front,
            get_page=get_page,
            judge=judge,
        )

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
        self, bounds: list[Condition], read: Callable[[list[Condition]], Found], *, newest_first: bool = True
    ) -> Iterator[Found]:
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


def _behind(after: Cursor | None) -> tuple[Condition, ...]:
    return (Condition("(created_at, id) < (?, ?)", tuple(after)),) if after else ()


def _in_front(before: Cursor | None) -> tuple[Condition, ...]:
    return (Condition("(created_at, id) > (?, ?)", tuple(before)),) if before else ()


def _cut(rows: list[tuple[Any, ...]], after: Cursor | None, before: Cursor | None) -> list[tuple[Any, ...]]:
    """The rows after or before the cursor, the nearest first."""
    rows.sort(key=_IN_ORDER, reverse=before is None)
    cursor = after or before
    if cursor is None:
        return rows
    position = (to_microseconds(cursor.created_at), cursor.id)
    return [row for row in rows if (_IN_ORDER(row) > position if before else _IN_ORDER(row) < position)]


def whole_number(name: str, value: Any, least: int, most: int | None) -> None:
    """Raises QueryInvalid if an option is not a whole number between these bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise QueryInvalid(f"{name}={short(value)}: must be a whole number {allowed}")
