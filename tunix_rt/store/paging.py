"""Pages, newest first: the cursor that marks a place in the order, and the search for the rows of a page."""

import base64
import struct
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from uuid import UUID

import duckdb

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.model import TraceSummary
from tunix_rt.store.filters import Condition, Filters, where
from tunix_rt.store.rows import SUMMARY_COLUMNS, from_microseconds, to_microseconds, to_summary
from tunix_rt.store.ruler import EVERYTHING, ROWS_PER_MARK, Ruler, Window, in_window

MAX_LIMIT = 100
_LAST_TIME = datetime.max.replace(tzinfo=UTC)
_PLACE = struct.Struct(">q16s")
_CHECK = struct.Struct(">I")


class Cursor(NamedTuple):
    """The place behind a trace in the order newest first; opaque as text, stable while others add."""

    created_at: datetime
    id: UUID

    def __str__(self) -> str:
        place = _PLACE.pack(to_microseconds(self.created_at), self.id.bytes)
        return base64.urlsafe_b64encode(place + _CHECK.pack(zlib.crc32(place))).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that a text stands for; QueryInvalid where it is no cursor."""
        try:
            packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            place, check = packed[: _PLACE.size], packed[_PLACE.size :]
            microseconds, id_bytes = _PLACE.unpack(place)
            if check == _CHECK.pack(zlib.crc32(place)):
                return cls(from_microseconds(microseconds), UUID(bytes=id_bytes))
        except (ValueError, TypeError, struct.error, OverflowError):
            pass
        raise QueryInvalid(f"after={text!r}: is no cursor; use the `next` of a page")


class Page:
    """Summaries of stored traces, newest first, and the way on.

    `records` are the summaries, `next` is the cursor of the next page (None on the last), `next_offset` the same as an
    offset. `limit`, `offset` and `filters` are what was asked for.
    """

    def __init__(
        self,
        records: tuple[TraceSummary, ...],
        *,
        limit: int,
        offset: int,
        filters: Filters,
        more: bool,
        turn: Callable[[str], "Page"],
    ) -> None:
        self.records = records
        self.limit = limit
        self.offset = offset
        self.filters = filters.given
        self.next = str(Cursor(records[-1].created_at, records[-1].id)) if more else None
        self.next_offset = offset + len(records) if more else None
        self._turn = turn

    def next_page(self) -> "Page":
        """The page behind this one; QueryInvalid on the last."""
        if self.next is None:
            raise QueryInvalid("this is the last page; there is no next one")
        return self._turn(self.next)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[TraceSummary]:
        return iter(self.records)

    def __getitem__(self, place: int) -> TraceSummary:
        return self.records[place]

    def __repr__(self) -> str:
        return f"<Page of {len(self)} traces{', more behind' if self.next else ''}>"

    def __str__(self) -> str:
        return render.page_text(self)

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return render.page_html(self)


class Search:
    """The search for rows of one selection in the order newest first."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, ruler: Ruler, filters: Filters) -> None:
        self._cursor = cursor
        self._ruler = ruler
        self._filters = filters

    def newest(self, limit: int, *, offset: int = 0, after: Cursor | None = None) -> tuple[TraceSummary, ...]:
        """At most `limit` summaries, behind the cursor and behind `offset` further ones."""
        until = after.created_at + timedelta(microseconds=1) if after and after.created_at < _LAST_TIME else None
        behind = (Condition("(created_at, id) < (?, ?)", tuple(after)),) if after else ()
        if offset and not after:
            offset, until = self._skip(offset)
        found: list[tuple[Any, ...]] = []
        for window in self._ruler.windows(until):
            rows = self._rows(window, behind, limit - len(found), offset)
            if offset and not rows:
                offset -= self.count(window, *behind)
            elif rows:
                found, offset = found + rows, 0
            if len(found) == limit:
                break
        return tuple(map(to_summary, found))

    def _skip(self, offset: int) -> tuple[int, datetime | None]:
        """How many of `offset` are left, and until when, once whole ranges of time are passed over."""
        until: datetime | None = None
        # Without filters the ruler knows how far to go; with them a range holds fewer, so it gropes.
        marks = 8 if self._filters else offset // ROWS_PER_MARK
        while offset >= ROWS_PER_MARK and marks > 0:
            since = self._ruler.below(until, marks)
            passed = self._count_since(since) if until is None and since else self.count(Window(since, until))
            if passed <= offset and since is not None:
                offset, until = offset - passed, since
                marks = marks * 2 if self._filters else offset // ROWS_PER_MARK
            elif passed <= offset:
                # Everything is passed over: nothing is left to find.
                return offset - passed, datetime.min.replace(tzinfo=UTC)
            else:
                marks //= 2
        return offset, until

    def count(self, window: Window = EVERYTHING, *further: Condition) -> int:
        """How many rows the selection has in the window."""
        clause, values = where(*in_window(window), *further, *self._filters.conditions)
        return int(self._cursor.execute(f"select count(*) from traces{clause}", values).fetchall()[0][0])

    def _count_since(self, since: datetime) -> int:
        # All rows are counted without reading any: the older side is subtracted where it is the smaller one.
        if not self._filters and self._ruler.is_in_older_half(since):
            return self.count() - self.count(Window(None, since))
        return self.count(Window(since, None))

    def _rows(self, window: Window, behind: tuple[Condition, ...], limit: int, offset: int) -> list[tuple[Any, ...]]:
        clause, values = where(*in_window(window), *behind, *self._filters.conditions)
        order = f"order by created_at desc, id desc limit {limit} offset {offset}"
        return self._cursor.execute(f"select {SUMMARY_COLUMNS} from traces{clause} {order}", values).fetchall()


def whole_number(name: str, value: Any, least: int, most: int | None) -> None:
    """Raises QueryInvalid where an option is no whole number between these bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        allowed = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise QueryInvalid(f"{name}={value!r}: must be a whole number {allowed}")
