"""What is asked for in a store: the same trace, page or word of every contestant."""

from typing import NamedTuple

import tunix_rt as rt

PAGE = 20
# So many traces lie behind the deep page: it is full, and it is not the end.
_BEHIND = PAGE
LEAST_TRACES = 5 * PAGE
# Few, so that all but the first calls find their blocks in memory, as the calls for a page do.
_IDS = 5
_ROWS = "select min(rowid) as first, max(rowid) as last from traces where id in (select unnest(?::uuid[]))"
_SOME_IDS = "select id::varchar as id from traces where rowid % ? = 0 order by rowid limit ?"


class Span(NamedTuple):
    """The times of a page's oldest and newest trace, in microseconds since 1970, and the lowest and highest rowid."""

    oldest: int
    newest: int
    first_row: int
    last_row: int


class Places(NamedTuple):
    """The newest page; a deep one, with its offset, the cursor that leads to it, and the time (microseconds since 1970)
    of the trace before it; ids from all over the store; and two words to look for.
    """

    first: Span
    deep: Span
    offset: int
    cursor: str
    before: int
    ids: list[str]
    common_word: str
    absent_word: str


def places_in(store: rt.TraceStore, common_word: str, absent_word: str) -> Places:
    """Places in a store of at least `LEAST_TRACES` traces."""
    with store.hold():
        n_traces = store.count()
        offset = n_traces - PAGE - _BEHIND
        before = store.page(limit=1, offset=offset - 1)
        assert before.next
        ids = store.sql(_SOME_IDS, max(1, n_traces // _IDS), _IDS).arrow()["id"].to_pylist()
        return Places(
            first=_span(store, store.page(limit=PAGE)),
            deep=_span(store, store.page(limit=PAGE, after=before.next)),
            offset=offset,
            cursor=before.next,
            before=_microseconds(before[0]),
            ids=ids,
            common_word=common_word,
            absent_word=absent_word,
        )


def _span(store: rt.TraceStore, page: rt.Page) -> Span:
    rows = store.sql(_ROWS, [str(summary.id) for summary in page]).arrow()
    return Span(_microseconds(page[-1]), _microseconds(page[0]), rows["first"][0].as_py(), rows["last"][0].as_py())


def _microseconds(summary: rt.TraceSummary) -> int:
    time = summary.created_at
    return int(time.timestamp()) * 1_000_000 + time.microsecond
