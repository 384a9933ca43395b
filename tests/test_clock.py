"""A machine's clock that jumps: the order of traces, and places in it, stay right."""

import time
from types import SimpleNamespace

import tunix_rt as rt
from tunix_rt.store.engine import clock


def set_clock(monkeypatch, seconds):
    """Sets the clock as the store sees it; it stands still then."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(time_ns=lambda: int(seconds * 1e9)))
    # The tests after this one have the times given out before it.
    monkeypatch.setattr(clock, "_last", clock._last)


def trace(n):
    return rt.Trace(prompt=f"{n}", steps=["s"], final_answer="a")


def test_a_clock_that_jumps_back_or_stands_still_keeps_the_order(store, monkeypatch):
    now = time.time() + 1_000
    records = []
    for n in range(60):
        # An hour back, on again, and as long at one moment.
        set_clock(monkeypatch, now - 3_600 * (n // 10 % 2))
        records.append(store.add(trace(n)))
    times = [record.created_at for record in records]
    assert times == sorted(set(times))
    ids = [record.id for record in records]
    assert ids == sorted(set(ids))
    newest_first = [str(n) for n in reversed(range(60))]
    assert [summary.preview for summary in store.page(limit=100)] == newest_first
    assert [record.payload.prompt for record in store.records()] == newest_first


def test_pages_go_on_where_they_were_when_the_clock_jumps_back_between_them(store, monkeypatch):
    now = time.time() + 2_000
    set_clock(monkeypatch, now)
    for n in range(30):
        store.add(trace(n))
    seen = []
    page = store.page(limit=7)
    while True:
        seen += [summary.preview for summary in page]
        if page.next is None:
            break
        set_clock(monkeypatch, now - 86_400)
        store.add(trace(f"later {len(seen)}"))
        page = page.next_page()
    assert seen == [str(n) for n in reversed(range(30))]
    assert store.count() == 34


def test_a_clock_set_back_between_two_processes_loses_no_trace_from_the_pages(store, monkeypatch):
    now = time.time() + 3_000
    for n, at in enumerate([now, now - 3_600, now - 7_200, now + 10]):
        # A new process knows nothing of the times given out before.
        set_clock(monkeypatch, at)
        monkeypatch.setattr(clock, "_last", 0)
        for k in range(10):
            store.add(trace(f"{n} {k}"))
        assert store.count() == 10 * (n + 1)
    expected = [f"{n} {k}" for n in (3, 0, 1, 2) for k in reversed(range(10))]
    assert [record.payload.prompt for record in store.records()] == expected
    page, seen = store.page(limit=9), []
    while page is not None:
        seen += [summary.preview for summary in page]
        page = page.next_page() if page.next else None
    assert seen == expected
