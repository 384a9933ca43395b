"""Times at both ends of the calendar, and before 1970: in rows, filters, pages, results of SQL and forms."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

import tunix_rt as rt
from tunix_rt.render.humanize import utc
from tunix_rt.store.query.cursor import cursor_at
from tunix_rt.widgets.browser import TraceBrowser

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
TIMES = [
    FIRST,
    FIRST + timedelta(microseconds=1),
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    LAST - timedelta(days=1),
    LAST - timedelta(microseconds=1),
    LAST,
]
PROMPTS = [time.isoformat() for time in TIMES]


@pytest.fixture
def full(store):
    rows = [{"prompt": p, "steps": ["s"], "final_answer": "a", "created_at": p} for p in PROMPTS]
    report = store.load(rows)
    assert report.rejected == []
    return store


def prompts(records):
    return [record.preview for record in records][::-1]


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_pages_lead_to_both_ends_and_back(full, limit):
    page = full.page(limit=limit)
    seen = prompts(page)
    while page.next:
        page = page.next_page()
        seen = prompts(page) + seen
    assert seen == PROMPTS
    back = prompts(page)
    while page.previous:
        page = page.previous_page()
        back += prompts(page)
    assert back == PROMPTS
    assert prompts(full.page(limit=limit, offset=8 - limit)) == PROMPTS[:limit]


BEFORE_ALL = [
    datetime.min,  # noqa: DTZ901
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    date.min,
    "0001-01-01",
    "0001-01-01T00:00:00+14:00",
    timedelta.max,
    timedelta(days=999_999),
]
AT_THE_LAST = [
    datetime.max,  # noqa: DTZ901
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    "9999-12-31T23:59:59.999999+00:00",
    "9999-12-31T23:59:59.999999-12:00",
    timedelta.min,
]


@pytest.mark.parametrize("moment", BEFORE_ALL, ids=repr)
def test_a_moment_before_everything(full, moment):
    assert (full.count(since=moment), full.count(until=moment)) == (8, 0)
    assert (len(full.page(since=moment)), len(full.page(until=moment))) == (8, 0)
    assert (len(full.page(after=cursor_at(moment))), len(full.page(before=cursor_at(moment)))) == (0, 8)


@pytest.mark.parametrize("moment", AT_THE_LAST, ids=repr)
def test_the_last_moment_that_there_is(full, moment):
    assert (full.count(since=moment), full.count(until=moment)) == (1, 7)
    assert (prompts(full.page(since=moment)), prompts(full.page(until=moment))) == (PROMPTS[-1:], PROMPTS[:-1])
    assert prompts(full.page(after=cursor_at(moment))) == PROMPTS[:-1]
    assert prompts(full.page(before=cursor_at(moment))) == PROMPTS[-1:]


def test_moments_of_numpy_and_pandas(full):
    for moment in (np.datetime64("2026-01-01"), np.datetime64("2026-01-01T00:00:00.000000000")):
        assert (full.count(since=moment), full.count(until=moment)) == (4, 4)
    assert full.count(since=np.timedelta64(1, "D")) == 3
    pd = pytest.importorskip("pandas")
    assert full.count(since=pd.Timestamp("2026-01-01T01:00:00+01:00")) == 4
    assert full.count(since=pd.Timedelta(days=1)) == 3
    for moment in (
        pd.NaT,
        np.datetime64("NaT", "s"),
        np.datetime64(2**50, "s"),
        pd.Timestamp(2**40, unit="s"),
        np.longdouble(9e15),
    ):
        with pytest.raises(rt.QueryInvalid, match=r"since=.*must be a time such as"):
            full.count(since=moment)


@pytest.mark.slow
def test_they_are_read_kept_and_shown_wherever_a_trace_goes(full, tmp_path):
    stored = [(record.id, record.created_at, record.payload) for record in full.records()]
    assert [time for _, time, _ in stored] == TIMES[::-1]
    assert [full.get(trace_id).created_at for trace_id, *_ in stored] == TIMES[::-1]
    assert sum(len(batch) for batch in full.scan(newest_first=False)) == 8
    full.compact(progress=False)
    assert not full.verify(progress=False).problems
    for name in ("t.jsonl", "t.parquet"):
        full.export(tmp_path / name)
        with rt.TraceStore(tmp_path / f"{name}.duckdb") as other:
            assert other.load(tmp_path / name).rejected == []
            assert [(record.id, record.created_at, record.payload) for record in other.records()] == stored
    with rt.TraceStore(full.backup(tmp_path / "backup.duckdb")) as copied:
        assert [record.created_at for record in copied.records()] == TIMES[::-1]
    info = full.info()
    assert (info.oldest, info.newest) == (FIRST, LAST)
    for shown in (info, full.page(), full.latest(), full.health(), full.sql("from traces")):
        assert "9999-12-31" in str(shown) or "healthy" in str(shown)
        assert shown is not info or "0001-01-01 00:00:00" in shown._repr_html_()
    assert len(full.sql("select created_at from traces").df()) == 8


def test_a_time_near_the_end_in_a_zone_that_leads_over_it_is_shown_as_it_is():
    assert utc(LAST.replace(tzinfo=timezone(timedelta(hours=-12)))) == "9999-12-31 23:59:59"
    assert utc(FIRST) == "0001-01-01 00:00:00"


def test_results_of_sql_may_have_times_that_python_has_not(full):
    query = """
        select 'infinity'::timestamptz a, '200000-01-01'::timestamp b, '-infinity'::date c, '5000000-01-01'::date d,
            ['infinity'::timestamp] e, {a: 'infinity'::date} f, now() g from range(2)
    """
    result = full.sql(query)
    assert [len(row) for row in result.rows] == [7, 7]
    assert isinstance(result.rows[0][6], datetime)
    assert str(result).endswith("2 rows")
    assert "<table" in result._repr_html_()
    assert len(result.df()) == 2


def test_a_browser_outlives_the_last_moment(full):
    browser = TraceBrowser(full, limit=3)
    browser.look()
    assert browser.n_new == 0
    browser.jump("9999-12-31")
    assert prompts(browser.page) == PROMPTS[-3:]
    browser.jump("0001-01-01")
    assert prompts(browser.page) == PROMPTS[:2]
    browser.last()
    assert prompts(browser.page) == PROMPTS[:3]
    with pytest.raises(rt.QueryInvalid):
        browser.jump("10000-01-01")
    for filters, expected in (
        ({"since": datetime.max}, PROMPTS[-1:]),  # noqa: DTZ901
        ({"until": timedelta.max}, []),
        ({"meta": {"reward": np.float32(0.5)}, "min_steps": np.int64(1)}, []),
        ({}, PROMPTS[-3:]),
    ):
        browser.filters = filters
        assert prompts(browser.page) == expected
    full.delete(since="9999-01-01")
    browser.first()
    full.add(rt.Trace(prompt="new", steps=["s"], final_answer="a"))
    browser.look()
    assert browser.n_new == 1
    browser.close()


def test_a_record_may_not_be_of_a_time_beyond_the_calendar():
    with pytest.raises(ValueError, match="must be within the years 1 to 9999 in UTC"):
        rt.TraceRecord.model_validate(
            {
                "id": "0" * 32,
                "created_at": "9999-12-31T23:59:59-12:00",
                "trace_version": "1.0",
                "payload": {"prompt": "p", "steps": ["s"], "final_answer": "a"},
            }
        )
