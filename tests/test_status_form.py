"""The store's numbers and health as a form: healthy, busy, damaged, and well again."""

import os
import re
import subprocess

import pytest

import tunix_rt as rt
from tests.processes import python

# A foreign program that has the store's file open without asking anyone.
HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
connection.close()
"""


@pytest.fixture
def impatient(store, make_trace):
    """The store, which waits for its file for a second."""
    store.add(make_trace())
    return rt.TraceStore(store.path, settings=rt.Settings(pool_timeout=1))


def shown(front, form):
    state = front(form).state["shown"]
    return state["state"], state["sign"], state["facts"]


def test_a_healthy_store_is_told_in_a_line_and_in_numbers(front, store, make_trace):
    store.add_many(make_trace(f"{n}?", meta={"source": "tests"}) for n in range(3))
    form = rt.StoreStatus(store)
    state, sign, facts = shown(front, form)
    assert (state, sign, form.state) == ("healthy", "✓", "healthy")
    assert facts[0] == "3 traces"
    assert re.fullmatch(r"[\d.]+ [KM]iB", facts[1])
    assert facts[2] == store.path.name
    assert "tests" in form.shown["html"]
    assert "<style" not in form.shown["html"]
    assert form.info == form.picture() == store.info()
    assert front(form).state["unfolded"]


def test_refreshing_shows_what_has_come_in(front, store, make_trace):
    form = rt.StoreStatus(store, unfolded=False)
    assert (form.info.n_traces, form.unfolded) == (0, False)
    store.add(make_trace())
    assert form.info.n_traces == 0
    seen = form.shown["at"]
    front(form).do("refresh")
    assert (form.info.n_traces, shown(front, form)[2][0]) == (1, "1 trace")
    assert form.shown["at"] > seen


@pytest.mark.slow
def test_a_store_held_elsewhere_is_busy_and_then_well_again(front, impatient):
    form = rt.StoreStatus(impatient)
    impatient.close()
    with python(HOLD, impatient.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        front(form).do("refresh")
        assert shown(front, form) == ("busy", "…", [])
        assert f"process {holder.pid}" in form.shown["html"]
        # The numbers of before are still known.
        assert form.info.n_traces == 1
        assert rt.StoreStatus(impatient).state == "busy"
        holder.stdin.close()
        holder.wait(timeout=60)
    front(form).do("refresh")
    assert shown(front, form)[0] == "healthy"


@pytest.mark.slow
def test_a_form_over_a_store_that_was_never_seen_has_a_picture_too(front, impatient):
    impatient.close()
    with python(HOLD, impatient.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        form = rt.StoreStatus(impatient)
        holder.stdin.close()
    assert str(form.picture()) == f"{impatient.path}: busy"
    front(form).do("refresh")
    assert form.picture() == form.info


def test_a_damaged_store_is_unusable_and_well_again_when_it_is_put_back(front, store, make_trace):
    store.add(make_trace())
    form = rt.StoreStatus(store)
    store.close()
    good = store.path.read_bytes()
    os.truncate(store.path, len(good) // 2)
    front(form).do("refresh")
    assert shown(front, form) == ("unusable", "✕", [])
    assert "Restore a backup" in form.shown["html"]
    store.path.write_bytes(good)
    front(form).do("refresh")
    assert shown(front, form)[2][0] == "1 trace"


def test_a_store_that_is_due_to_be_compacted_says_so(front, store, make_trace, monkeypatch):
    monkeypatch.setattr("tunix_rt.store.upkeep.info.is_due", lambda _: True)
    store.add(make_trace())
    assert shown(front, rt.StoreStatus(store))[:2] == ("compaction due", "△")


def test_a_published_store_is_healthy(front, store, tmp_path):
    published = rt.TraceStore(store.backup(tmp_path / "published.duckdb"), read_only=True)
    assert shown(front, rt.StoreStatus(published))[0] == "healthy"


def test_hostile_sources_and_paths_are_only_text(front, tmp_path, make_trace):
    store = rt.TraceStore(tmp_path / "<img src=x>\u202e.duckdb")
    store.add(make_trace(meta={"source": "<script>\x1b"}))
    form = rt.StoreStatus(store)
    html, facts = front(form).state["shown"]["html"], form.shown["facts"]
    assert "<script" not in html
    assert "<img" not in html
    assert not set(html + "".join(facts)) & set("\x1b\u202e")
