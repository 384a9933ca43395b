"""The list of traces as a form."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Unpack

from traitlets import Bool, Dict, Instance, Int, Unicode, validate

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TraceNotFound
from tunix_rt.model import TraceRecord, TraceSummary
from tunix_rt.store import Page, TraceStore
from tunix_rt.store.filter_values import FIRST_TIME, LAST_TIME, as_time
from tunix_rt.store.filters import FilterArgs
from tunix_rt.store.query.cursor import cursor_at
from tunix_rt.store.query.order import NEWEST_FIRST
from tunix_rt.widgets.chosen import ChosenRows
from tunix_rt.widgets.columns import ColumnsOfRows, columns_in, row_of
from tunix_rt.widgets.filter_fields import filters_as_json
from tunix_rt.widgets.form import action, front_end

_NOT_KNOWN = -1
_MICROSECOND = timedelta(microseconds=1)
_LAST_DAY = LAST_TIME - timedelta(days=1)


class TraceBrowser(ChosenRows, ColumnsOfRows):
    """Traces, newest first, with search, filters, pages and live mode; `selected` is the trace of the chosen row.

    `filters` are those of `store.page` and may be set at any time; `order_by` and `descending` too, which `sort` sets.
    `page` is the Page that is shown, `first_place` how many traces are in front of its first, `n_found` how many
    pass the filters (both -1 while they are counted), `n_new` how many were added since the list was made. `chosen_ids`
    are the traces whose boxes are ticked, on any page, and `chosen` a Selection of them: to delete, with undo, to
    label, to export, or to compare. `columns` name what the list shows of each trace, as
    `["preview", "verdict", "score.reward", "meta.model"]`.
    """

    order_by = Unicode(NEWEST_FIRST["order_by"]).tag(sync=True)
    descending = Bool(NEWEST_FIRST["descending"]).tag(sync=True)
    live = Bool(default_value=False).tag(sync=True)
    selected_id = Unicode().tag(sync=True)
    selected = Instance(TraceRecord, allow_none=True)
    first_place = Int(0).tag(sync=True)
    n_found = Int(_NOT_KNOWN).tag(sync=True)
    n_new = Int(0).tag(sync=True)
    shown = Dict().tag(sync=True)
    page: Page | None = None
    _esm: ClassVar[str] = front_end("rows", "columns", "chosen", "terms", "filters", "browser")
    _doing: ClassVar[str] = "still searching"

    def __init__(
        self,
        store: TraceStore | None = None,
        *,
        limit: int = 20,
        columns: Iterable[str] = (),
        **filters: Unpack[FilterArgs],
    ) -> None:
        self.store = store or TraceStore()
        self._newest: datetime | None = None
        self._counting = threading.Lock()
        self._count_wanted = object()
        self._point: int | Literal["end"] = 0
        self._behind_point = 0
        given = filters_as_json(filters)
        # Before the widget is created, so that what is invalid leaves none behind.
        named = columns_in(columns)
        page = self.store.page(limit=limit, **NEWEST_FIRST, **given)
        super().__init__(filters=given, limit=limit, columns=named)
        self._show_newest(page)

    def picture(self) -> Page:
        """The page that is shown."""
        assert self.page is not None  # noqa: S101 - made with the form
        return self.page

    @validate("selected_id")
    def _existing(self, proposal: Any) -> str:
        self.selected = self.store.get(proposal["value"]) if proposal["value"] else None
        # It would hide the trace.
        self.close_comparison()
        return str(self.selected.id) if self.selected else ""

    @action()
    def find(self, filters: dict[str, Any]) -> None:
        """Shows the newest traces that pass the filters."""
        page = self._get(**filters_as_json(filters))
        self.page = page
        self.filters = page.filters
        self._show_newest(page)
        if self.selected and not self._has(self.selected):
            self.selected_id = ""

    def _has(self, record: TraceRecord) -> bool:
        """Whether the list has the trace, on whatever page."""
        if str(record.id) in self._ids():
            return True
        asked = self.filters.get("ids")
        is_asked = asked is None or str(record.id) in map(str, asked)
        return is_asked and self.store.count(**self.filters | {"ids": [record.id]}) > 0

    @action()
    def first(self) -> None:
        """Shows the first page: the newest traces, or the first in the order."""
        self._show_newest(self._get(**self.filters))

    @action()
    def sort(self, order_by: str, descending: bool) -> None:  # noqa: FBT001 - passed by name
        """Shows the first page in an order of `store.page`."""
        page = self.store.page(limit=self.limit, order_by=order_by, descending=descending, **self.filters)
        self.order_by, self.descending = order_by, descending
        self._show_newest(page)

    @action()
    def last(self) -> None:
        """Shows the last page: the oldest traces, or the last in the order."""
        if self._is_newest_first():
            found = self._get(before=cursor_at(FIRST_TIME), **self.filters)
        else:
            found = self._get(offset=max(self.store.count(**self.filters) - self.limit, 0), **self.filters)
        self._show(found, point="end", behind=-len(found))

    @action()
    def next(self) -> None:
        """Shows the next page: older traces."""
        page = self.picture()
        if page.next is None:
            return
        found = page.next_page()
        if found.records:
            self._show(found, behind=self._behind_point + len(page))
        else:
            # The older traces have been deleted.
            page.next = None
            self._show(page, behind=self._behind_point)

    @action()
    def previous(self) -> None:
        """Shows the previous page: newer traces."""
        page = self.picture()
        if page.previous is None:
            return
        found = page.previous_page()
        if len(found) < self.limit:
            # Less than a page is newer: show the complete newest page.
            self.first()
        else:
            self._show(found, behind=self._behind_point - len(found))

    @action()
    def jump(self, date: str) -> None:
        """Shows the page that begins with the newest trace of a day (UTC, as 2026-01-31), or the next older one.

        In another order than newest first there are no days, so this one is left.
        """
        day = as_time("date", date)
        if day >= _LAST_DAY:
            self.first()
            return
        end = day + timedelta(days=1)
        found = self.store.page(limit=self.limit, after=cursor_at(end), **NEWEST_FIRST, **self.filters)
        if not found.records:
            raise QueryInvalid(f"no trace is as old as {date}; the list was not moved")
        self.order_by, self.descending = NEWEST_FIRST["order_by"], NEWEST_FIRST["descending"]
        self._show(found, point=_NOT_KNOWN)
        self._count(newer_than=end)

    @action()
    def choose(self, id: str) -> None:
        """Chooses the trace with this id."""
        try:
            self.selected_id = id
        except TraceNotFound:
            # Deleted since the list was made: do not show the trace that was chosen before.
            self.selected_id = ""
            if not self._take_away({id}):
                raise

    @action()
    def watch(self, live: bool) -> None:  # noqa: FBT001 - passed by name
        """Switches live mode: the front end then calls `look` every two seconds."""
        self.live = live
        if live:
            self.look()

    @action(aside=True, watch=True)
    def look(self) -> None:
        """Counts what is newer than the list, without moving it, and takes away what was deleted elsewhere."""
        # Nothing is newer than the last possible time.
        n_new = 0
        if self._newest != LAST_TIME:
            since = None if self._newest is None else self._newest + _MICROSECOND
            n_new = self.store.count(**self._from(since))
        page = self.picture()
        gone = self._gone([*page, *([self.selected] if self.selected else [])])
        with self.lane.lock:
            self.n_new = n_new
            if page is self.page:
                self._take_away(gone)

    @action()
    def refresh(self) -> None:
        """Counts anew what the list has and what is newer, and takes away what was deleted elsewhere."""
        self.look()
        self._count()

    @action()
    def move(self, by: int, start: str | None = None) -> None:
        """Chooses the row below the chosen one (`by` 1) or above it (-1), on the next page where this one ends.

        `start` is the row that counts as chosen.
        """
        page, before, start = self.picture(), self._ids(), start or self.selected_id
        at = before.index(start) + by if start in before else 0
        for row in before[at:] if by > 0 else before[at::-1] if at >= 0 else ():
            # Skips traces that were deleted since the list was made.
            with suppress(TraceNotFound):
                self.selected_id = row
                return
        if by < 0 and page.previous is not None:
            self.previous()
            now = self._ids()
            # The newest page is always complete, so it may have rows of the page before.
            self.selected_id = now[now.index(before[0]) - 1] if before[0] in now[1:] else (now or [""])[-1]
        elif by > 0:
            self.next()
            if self.picture() is not page:
                self.selected_id = self._ids()[0]

    def _shown_filters(self) -> Mapping[str, Any] | None:
        return None if self.page is None else self.page.filters

    def _find_by(self, filters: dict[str, Any]) -> None:
        self.find(filters)

    def _show_again(self, gone: set[str]) -> None:
        """Shows the page anew where it is, without the traces that are gone, and counts again."""
        if self.selected_id in gone:
            self.selected_id = ""
        at = self.first_place
        found = self._get(offset=at, **self.filters) if at > 0 else None
        if found is not None and found.records:
            self._show(found, point=at)
            self._count()
        elif at > 0 or self._point == "end":
            self.last()
            self._count()
            if not self.picture().records:
                self.first()
        else:
            self.first()

    def _get(self, **asked: Any) -> Page:
        """A page in the order of the list."""
        return self.store.page(limit=self.limit, order_by=self.order_by, descending=self.descending, **asked)

    def _is_newest_first(self) -> bool:
        return {"order_by": self.order_by, "descending": self.descending} == NEWEST_FIRST

    def _ids(self) -> list[str]:
        return [str(record.id) for record in self.picture()]

    def _from(self, since: datetime | None) -> dict[str, Any]:
        """The filters, for what was created at or after a time."""
        given = self.filters.get("since")
        return self.filters | {"since": max(filter(None, (since, given and as_time("since", given))), default=None)}

    def _show_newest(self, page: Page) -> None:
        newest = page if self._is_newest_first() else self.store.page(limit=1, **NEWEST_FIRST, **self.filters)
        self._newest = newest[0].created_at if newest.records else None
        self._show(page, point=0)
        self.n_new = 0
        self._count()

    def _show_columns(self) -> None:
        if self.page is not None:
            self._show(self.page, behind=self._behind_point)

    def _show_anew(self) -> None:
        if self.page is not None:
            self.first()

    def _gone(self, seen: Sequence[TraceSummary | TraceRecord]) -> set[str]:
        """The ids of those of the traces that are not in the store any more."""
        ids, times = {str(one.id) for one in seen}, [one.created_at for one in seen]
        if not ids:
            return ids
        # The times save reading the ids of all traces.
        until = max(times) + _MICROSECOND if max(times) < LAST_TIME else None
        return ids - set(self.store.select(ids=sorted(ids), since=min(times), until=until))

    def _take_away(self, gone: set[str]) -> int:
        """Takes deleted traces out of the page, and does not show one of them any more; says so."""
        if self.selected_id in gone:
            self.selected_id = ""
        page = self.picture()
        n_gone = page.drop(gone)
        if n_gone and not page.records:
            self.first()
        elif n_gone:
            self._show(page, behind=self._behind_point)
            self._count()
        if n_gone:
            were = "was" if n_gone == 1 else "were"
            self.shown = self.shown | {"notice": f"{render.count(n_gone, 'trace')} {were} deleted."}
        return n_gone

    def _show(self, page: Page, *, point: int | Literal["end", "as before"] = "as before", behind: int = 0) -> None:
        """Shows a page that begins `behind` traces after a point in the list."""
        if point != "as before":
            self._point = point
        self._behind_point = behind
        self.page = page
        with self.hold_sync():
            self.first_place = self._place()
            self.shown = {
                "rows": [
                    row_of(record, self.columns)
                    for record in page.judged(scores=self._named("score."), facts=self._named("meta."))
                ],
                "previous": page.previous is not None,
                "next": page.next is not None,
                "empty": "" if page.records else _nothing(page),
            }

    def _place(self) -> int:
        point = self.n_found if self._point == "end" else self._point
        return point if point == _NOT_KNOWN else max(point + self._behind_point, 0)

    def _count(self, *, newer_than: datetime | None = None) -> None:
        """Counts in the background: a rare word in a million traces takes a second. The latest request wins."""
        wanted = self._count_wanted = object()
        filters, newer = self.filters, None if newer_than is None else self._from(newer_than)

        def count() -> None:
            with self._counting, self.in_background("count", "still counting"):
                if self._count_wanted is not wanted:
                    return
                n_found = self.store.count(**filters)
                n_newer = None if newer is None else self.store.count(**newer)
                with self.lane.lock:
                    if self._count_wanted is wanted:
                        if n_newer is not None and self._point == _NOT_KNOWN:
                            self._point = n_newer
                        self.n_found = n_found
                        # The page may have been turned meanwhile.
                        self.first_place = self._place()

        self.n_found = _NOT_KNOWN
        threading.Thread(target=count, name="tunix_rt-count").start()


def _nothing(page: Page) -> str:
    if page.filters:
        why = f": {render.visible(page.note)}" if page.note else ""
        return f"No trace matches the search and the filters{why}."
    return "No traces yet. Add a file or an example, or call store.load(…) or store.add(…) in the next cell."
