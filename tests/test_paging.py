"""Pages, newest first: limits, cursors, offsets; right whatever the time index says and whoever adds meanwhile."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tunix_rt.store import cursor_at
from tunix_rt.store.engine import time_index
from tunix_rt.store.engine.clock import new_ids
from tunix_rt.store.engine.rows import NewRow, encode, insert, to_microseconds, to_table
from tunix_rt.store.filters import Filters, where

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def put(store, times, make_trace):
    """Traces with these times, straight into the table; their ids in the order of pages."""
    rows = []
    for place, time in enumerate(map(to_microseconds, times)):
        line, digest = encode(make_trace(f"{place}?"), 10_000)
        rows.append(NewRow(new_ids([time])[0], time, digest, line.joined()))
    with store._session.transaction() as cursor:
        insert(cursor, to_table(rows))
    store._session._time_index = None
    return [UUID(bytes=row.id) for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)]


def walk(page):
    """The ids of this page and all behind it."""
    ids = [record.id for record in page]
    while page.next:
        page = page.next_page()
        ids += [record.id for record in page]
    return ids


def test_pages_go_from_the_newest_to_the_oldest(store, make_trace):
    records = store.add_many([make_trace(f"{n}?") for n in range(25)])
    page = store.page(limit=10)
    assert [record.preview for record in page] == [f"{n}?" for n in range(24, 14, -1)]
    assert (page.limit, page.offset, page.next_offset, len(page)) == (10, 0, 10, 10)
    assert walk(page) == [record.id for record in records[::-1]]
    last = store.page(limit=10, offset=20)
    assert (len(last), last.next, last.next_offset) == (5, None, None)
    with pytest.raises(rt.QueryInvalid, match="this is the last page"):
        last.next_page()


def test_a_summary_has_no_body(store, make_trace):
    record = store.add(make_trace("  one\n\n two " + "x" * 200, meta={"source": "mine"}))
    (summary,) = store.page()
    assert summary.id == record.id
    assert summary.created_at == record.created_at
    assert summary.preview == "one two " + "x" * 71 + "…"
    assert (summary.n_steps, summary.n_chars, summary.source) == (2, record.payload.n_chars, "mine")


@pytest.mark.parametrize(
    ("final_answer", "answer"),
    [
        (None, None),
        ("", ""),
        ("20 °C", "20 °C"),
        ("\n\n so  it\tis\n", "so it is"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("x" + " " * 1_000 + "y", "x…"),
        ("鶴" * 1_000, "鶴" * 79 + "…"),
    ],
)
def test_a_summary_has_the_beginning_of_the_answer(store, make_trace, final_answer, answer):
    store.add(make_trace(final_answer=final_answer, trace_version="1.1"))
    assert [summary.answer for summary in store.page()] == [answer]


def test_an_empty_store_has_an_empty_page(store):
    page = store.page()
    assert (len(page), page.next) == (0, None)
    assert "no traces yet" in str(page)


@pytest.mark.parametrize("limit", [0, 101, -1, 1.5, "20", None, True])
def test_a_limit_outside_1_to_100_is_refused(same_store, limit):
    with pytest.raises(rt.QueryInvalid, match=r"^limit=.*: must be a whole number from 1 to 100$"):
        same_store.page(limit=limit)


@pytest.mark.parametrize("offset", [-1, 0.5, "3"])
def test_an_offset_below_0_is_refused(store, offset):
    with pytest.raises(rt.QueryInvalid, match=r"^offset=.*: must be a whole number of at least 0$"):
        store.page(offset=offset)


@pytest.mark.parametrize("cursor", ["", "nonsense", "A" * 38, "A" * 32, "ä", "=", 7])
def test_a_cursor_that_is_none_is_refused(same_store, cursor):
    for option in ("after", "before"):
        with pytest.raises(
            rt.QueryInvalid, match=f"^{option}=.*is not a valid cursor; use `next` or `previous` of a page"
        ):
            same_store.page(**{option: cursor})


def test_a_changed_cursor_is_refused(store, make_trace):
    store.add_many([make_trace()] * 3)
    cursor = store.page(limit=1).next
    changed = cursor[:5] + ("A" if cursor[5] != "A" else "B") + cursor[6:]
    with pytest.raises(rt.QueryInvalid, match="is not a valid cursor"):
        store.page(after=changed)


def test_a_cursor_stays_right_while_others_add_and_delete(store, make_trace):
    records = store.add_many([make_trace() for _ in range(30)])
    page = store.page(limit=10)
    store.add_many([make_trace() for _ in range(5)])
    store.delete(records[19].id, records[20].id)
    assert [record.id for record in page.next_page()] == [record.id for record in records[18:8:-1]]


def test_the_page_in_front_is_the_one_before_it(store, make_trace):
    ids = [record.id for record in store.add_many([make_trace() for _ in range(25)])][::-1]
    first = store.page(limit=10)
    second = first.next_page()
    back = second.previous_page()
    assert [record.id for record in back] == ids[:10]
    assert (back.limit, back.offset, back.next, back.next_offset, back.previous) == (10, 0, first.next, None, None)
    assert [record.id for record in back.next_page()] == ids[10:20]
    for page in (first, back):
        with pytest.raises(rt.QueryInvalid, match="this is the first page; there is no previous one"):
            page.previous_page()


def test_a_page_reached_by_offset_leads_back_too(store, make_trace):
    ids = [record.id for record in store.add_many([make_trace() for _ in range(12)])][::-1]
    page = store.page(limit=5, offset=7)
    front = page.previous_page()
    assert [record.id for record in front] == ids[2:7]
    assert [record.id for record in front.previous_page()] == ids[:2]
    assert store.page(limit=5, offset=12).previous is None


def test_what_came_in_meanwhile_lies_in_front(store, make_trace):
    store.add_many([make_trace() for _ in range(6)])
    second = store.page(limit=3).next_page()
    first = second.previous_page()
    added = store.add_many([make_trace() for _ in range(2)])
    assert first.previous is None
    again = second.previous_page()
    assert again.records == first.records
    assert [record.id for record in again.previous_page()] == [record.id for record in added[::-1]]


def test_nothing_lies_in_front_of_the_newest_trace(store, make_trace):
    store.add(make_trace())
    page = store.page(before=cursor_at(datetime.now(UTC) + timedelta(days=1)))
    assert (len(page), page.next, page.next_offset, page.previous) == (0, None, None, None)


@pytest.mark.parametrize("further", [{"after": "x"}, {"offset": 1}])
def test_before_goes_without_after_and_offset(store, further):
    with pytest.raises(rt.QueryInvalid, match=r"^`before` cannot be combined with `after` or `offset`$"):
        store.page(before=cursor_at(NOON), **further)


def test_a_jump_to_a_moment_leads_both_ways(store, make_trace):
    ids = put(store, [NOON + timedelta(minutes=n // 2) for n in range(20)], make_trace)
    moment = NOON + timedelta(minutes=5)
    for written in (moment, moment.isoformat(), moment.replace(tzinfo=None)):
        page = store.page(limit=4, after=cursor_at(written))
        assert [record.id for record in page] == ids[10:14]
        assert [record.id for record in page.previous_page()] == ids[6:10]
        assert [record.id for record in store.page(limit=4, before=cursor_at(written))] == ids[6:10]
    with pytest.raises(rt.QueryInvalid, match="must be a time such as 2026-01-31"):
        cursor_at("noon")


@pytest.mark.slow
def test_a_page_far_down_is_found_by_offset_with_and_without_filters(store, make_trace, monkeypatch):
    monkeypatch.setattr(time_index, "ROWS_PER_SAMPLE", 8)
    monkeypatch.setattr("tunix_rt.store.query.page.ROWS_PER_SAMPLE", 8)
    monkeypatch.setattr(time_index, "_SAMPLES", time_index._SAMPLES.replace("32", "8"))
    ids = put(store, [NOON + timedelta(seconds=n) for n in range(500)], make_trace)
    for offset in (0, 1, 7, 8, 9, 100, 333, 490, 499, 500, 501, 10_000):
        assert [r.id for r in store.page(limit=20, offset=offset)] == ids[offset : offset + 20]
        every_fifth = [trace_id for place, trace_id in enumerate(ids) if (499 - place) % 5 == 0]
        page = store.page(limit=20, offset=offset, where="try_cast(rtrim(prompt, '?') as int) % 5 = 0")
        assert [r.id for r in page] == every_fifth[offset : offset + 20]


@pytest.mark.slow
@given(
    seconds=st.lists(st.integers(0, 6), min_size=1, max_size=60),
    later=st.lists(st.integers(-3, 9), max_size=20),
    limit=st.integers(1, 20),
    rows_per_one=st.sampled_from([1, 3, 32]),
)
def test_no_trace_comes_twice_and_none_is_left_out(tmp_path_factory, make_trace, seconds, later, limit, rows_per_one):
    """Also when many share one moment, older ones come in behind newer ones, and others add between two pages."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time_index, "_SAMPLES", time_index._SAMPLES.replace("32", str(rows_per_one)))
        store = rt.TraceStore(tmp_path_factory.mktemp("paging") / "traces.duckdb")
        with store.hold():
            ids = put(store, [NOON + timedelta(seconds=s) for s in seconds], make_trace)
            page = store.page(limit=limit)
            seen = [record.id for record in page]
            added = put(store, [NOON + timedelta(seconds=s) for s in later], make_trace)
            while page.next:
                page = page.next_page()
                seen += [record.id for record in page]
            assert len(seen) == len(set(seen))
            assert [trace_id for trace_id in seen if trace_id not in added] == ids
            everything = walk(store.page(limit=limit))
            assert sorted(everything) == sorted([*ids, *added])
            assert [record.id for record in store.records()] == everything
            assert [record.id for record in store.records(newest_first=False)] == everything[::-1]
            half = len(everything) // 2
            assert [record.id for record in store.page(limit=limit, offset=half)] == everything[half : half + limit]


@pytest.mark.slow
@given(
    seconds=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    filters=st.sampled_from(
        [{}, {"where": "prompt like '%1%'"}, {"text": "3"}, {"since": NOON + timedelta(seconds=3)}]
    ),
    rows_per_one=st.sampled_from([1, 3, 32]),
)
def test_the_way_back_is_the_way_on_reversed(tmp_path_factory, make_trace, seconds, filters, rows_per_one):
    """For every limit and from every trace, also where many share one moment."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time_index, "_SAMPLES", time_index._SAMPLES.replace("32", str(rows_per_one)))
        store = rt.TraceStore(tmp_path_factory.mktemp("paging") / "traces.duckdb")
        with store.hold():
            put(store, [NOON + timedelta(seconds=s) for s in seconds], make_trace)
            ids = [record.id for record in store.records(**filters)]
            for limit in range(1, 8):
                page = store.page(limit=limit, **filters)
                onwards = [page.records]
                while page.next:
                    page = page.next_page()
                    onwards.append(page.records)
                back = [page.records]
                while page.previous:
                    page = page.previous_page()
                    back.append(page.records)
                assert back == onwards[::-1]
                assert [record.id for records in onwards for record in records] == ids
            for place in range(1, len(ids)):
                cursor = store.page(limit=1, offset=place, **filters).previous
                front = store.page(limit=5, before=cursor, **filters)
                assert [record.id for record in front] == ids[max(0, place - 5) : place]


@pytest.mark.slow
@given(
    changes=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.lists(st.integers(0, 30), min_size=1, max_size=40)),
            st.tuples(st.just("delete"), st.integers(2, 5)),
            st.tuples(st.just("compact"), st.none()),
            st.tuples(st.just("close"), st.none()),
        ),
        min_size=1,
        max_size=8,
    ),
    filters=st.sampled_from([{}, {"where": "prompt like '%1%'"}, {"until": NOON + timedelta(seconds=20)}]),
    limit=st.integers(1, 20),
)
def test_pages_are_those_of_the_plain_query_whatever_the_time_index_says(
    tmp_path_factory, make_trace, changes, filters, limit
):
    """Of a TraceStore whose time index was made before: others delete, put in older rows, compact and close."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"ROWS_PER_SAMPLE": 4, "_MOST_UNSAMPLED": 8, "_MOST_CHANGED": 30}.items():
            patched.setattr(time_index, name, value)
        patched.setattr(time_index, "_SAMPLES", time_index._SAMPLES.replace("32", "4"))
        patched.setattr("tunix_rt.store.query.page.ROWS_PER_SAMPLE", 4)
        patched.setattr("tunix_rt.store.query.page._MOST_UNSORTED", 40)
        patched.setattr("tunix_rt.store.upkeep.compact._MOST_ROW_GROUPS", 0)
        store = rt.TraceStore(tmp_path_factory.mktemp("paging") / "traces.duckdb")
        other = rt.TraceStore(store.path)
        clause, values = where(*Filters(**filters).conditions)
        for change, detail in changes:
            if change == "put":
                put(other, [NOON + timedelta(seconds=s) for s in detail], make_trace)
            elif change == "delete":
                other.delete(where=f"rowid % {detail} = 1")
            elif change == "compact":
                other.compact(progress=False)
            else:
                other.close()
            with store._session.cursor() as cursor:
                query = f"select id from traces{clause} order by created_at desc, id desc"
                expected = [trace_id for (trace_id,) in cursor.execute(query, values).fetchall()]
            assert walk(store.page(limit=limit, **filters)) == expected
            for offset in {0, len(expected) // 2, max(0, len(expected) - 3)}:
                page = store.page(limit=limit, offset=offset, **filters)
                assert [record.id for record in page] == expected[offset : offset + limit]
                if page.previous:
                    front = page.previous_page()
                    assert [record.id for record in front] == expected[max(0, offset - limit) : offset]


def test_pages_reach_from_the_last_moment_to_the_first(store, make_trace):
    last, first = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    ids = put(store, [first, first, NOON, last, last], make_trace)
    for limit in (1, 2, 5):
        assert walk(store.page(limit=limit)) == ids
        assert [r.id for r in store.page(limit=limit, before=cursor_at(first))] == ids[-limit:]
    assert [record.id for record in store.records()] == ids


@pytest.mark.slow
def test_the_time_index_is_made_anew_when_the_store_outgrows_it(store, make_trace):
    def index():
        with store._session.cursor() as cursor:
            return store._session.time_index(cursor)

    before = index()
    store.add(make_trace())
    assert index() is before
    put(store, [NOON + timedelta(seconds=n) for n in range(5_000)], make_trace)
    assert index() is not before
    assert index().below(None, 1) is not None
    assert walk(store.page(limit=100)) == [record.id for record in store.records()]
