"""A form that waits for the store says so, blocks no cell, and is cancelled; a long search as well."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.front_end import place, settled
from tests.processes import ended, start
from tunix_rt.store.engine.task import Task
from tunix_rt.widgets import actions

HOLDER = """
import sys, time, pathlib, tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
with store.hold():
    print("held", flush=True)
    while not pathlib.Path(sys.argv[2]).exists():
        time.sleep(0.02)
store.close()
"""
# A program that does not know the queue.
FOREIGN = """
import sys, time, pathlib, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.02)
connection.close()
"""
# Another one, which was stopped while it wrote to the journal.
WRITER = """
import sys, time, pathlib, tunix_rt as rt
queue = rt.TraceStore(sys.argv[1])._session._files.queue
assert queue.take_write_lock(time.monotonic() + 60)
print("held", flush=True)
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.02)
queue.release_write_lock()
"""
# As many pairs as no machine counts in a day, of a store with a few traces.
ENDLESS = "(select count(*) from range(1000000000) a, range(1000000000) b where a.range + b.range = 7) > 0"


@contextmanager
def held(store, program=HOLDER):
    """Another process holds the store's file until the file "free" is there, at the latest at the end."""
    store.close()
    said, free = Path("said"), Path("free")
    holder = start(program, store.path, free, output=said)
    while not (said.exists() and said.read_text() == "held\n"):
        assert holder.poll() is None, said.read_text()
        time.sleep(0.01)
    yield holder
    free.touch()
    assert ended(holder) == 0


def waits(holder):
    """What is told of a process that has the store."""
    return lambda state: state["busy"].get("waits") and f"process {holder.pid} (" in state["busy"]["text"]


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What takes long is told after a tenth of a second: the tests have other things to wait for."""
    monkeypatch.setattr(actions, "_QUIET_SECONDS", 0.1)
    monkeypatch.setattr(actions, "_TICK_SECONDS", 0.02)


@pytest.mark.slow
def test_a_click_that_waits_says_for_whom_and_blocks_nothing(front, filled):
    app = rt.app(filled, limit=10)
    settled()
    browser, viewer, status = (front(part) for part in (app.browser, app.viewer, app.status))
    with held(filled) as holder:
        # The kernel's thread is back at once: these cells run while the click waits.
        turning = browser.say("next")
        filled.add(rt.Trace(prompt="27 × 2?", steps=["s"], final_answer="a"))
        browser.until(waits(holder))
        assert browser.state["busy"]["text"].startswith("waiting for process")
        # The line of the store does not say healthy then.
        status.until(lambda state: state["shown"]["state"] == "busy")
        assert app.status.state == "busy"
        assert f"process {holder.pid}" in status.state["shown"]["facts"][0]
        # A second click and one in the trace wait behind it.
        again, moving = browser.say("next"), viewer.say("move", by=1)
        assert turning not in browser.replies
        Path("free").touch()
        for end, message in ((browser, turning), (browser, again), (viewer, moving)):
            assert end.hear(message)["problem"] == ""
    browser.wait(busy={})
    viewer.wait(busy={})
    settled()
    assert (app.status.state, app.status.info.n_traces) == ("healthy", 26)
    assert app.browser.page[0].preview == "4 × 2?"


@pytest.mark.slow
@pytest.mark.parametrize("program", [HOLDER, FOREIGN])
def test_cancel_ends_the_wait_and_what_waits_behind_it(front, filled, program):
    form = rt.TraceBrowser(filled, limit=10)
    end = front(form)
    settled()
    before = (form.shown, form.filters, form.page)
    with held(filled, program) as holder:
        clicks = [end.say("next"), end.say("find", filters={"text": "nowhere"}), end.say("look")]
        end.until(waits(holder))
        end.do("interrupt")
        for message in clicks:
            assert end.hear(message)["problem"] == "cancelled"
        end.wait(busy={}, problem="cancelled")
        assert (form.shown, form.filters, form.page) == before
        # Nothing is left of it: no thread, no ticket in the queue, nothing that keeps the store.
        settled()
        assert not filled._session._files.queue.someone_waits()
        # Python waits, and is not affected by what was cancelled.
        with pytest.raises(rt.StoreBusy, match=f"process {holder.pid}"):
            rt.TraceStore(filled.path, settings=rt.Settings(pool_timeout=1)).count()
    end.do("next")
    assert (form.problem, place(form)) == ("", (10, 25))


@pytest.mark.slow
def test_after_a_cancelled_wait_the_store_is_checked_at_once(front, filled):
    app = rt.app(filled, limit=10)
    settled()
    browser, status = front(app.browser), front(app.status)
    with held(filled) as holder:
        turning = browser.say("next")
        status.until(lambda state: f"process {holder.pid}" in state["shown"]["facts"][0])
        app.interrupt()
        assert browser.hear(turning)["problem"] == "cancelled"
        settled()
        # It is held still: the check waited for a second, and says by whom.
        assert (app.status.state, app.status.health.store.state) == ("busy", "busy")
        assert f"process {holder.pid}" in app.status.shown["html"]
    app.status.refresh_soon(patient=False)
    settled()
    assert (app.status.state, app.status.info.n_traces) == ("healthy", 25)


@pytest.mark.slow
def test_a_form_that_is_closed_while_it_waits_ends_quietly(front, filled, caplog):
    form, app = rt.TraceBrowser(filled), rt.app(filled)
    settled()
    with held(filled) as holder:
        end = front(form)
        end.say("last")
        front(app.upload).say("show", id="0" * 32)
        end.until(waits(holder))
        form.close()
        app.interrupt()
        assert front(app.upload).hear("1")["problem"] == "cancelled"
        settled()
        assert not any(thread.name.startswith("tunix_rt-") for thread in threading.enumerate())
    assert caplog.text == ""


@pytest.mark.slow
def test_a_label_and_a_watched_folder_wait_and_are_cancelled(front, filled, runs):
    form, watch = rt.LabelForm(filled), rt.FolderWatch(filled, runs, every=0.05)
    (label, folder), first = (front(form), front(watch)), form.record
    settled_before = form.progress
    with held(filled) as holder:
        message = label.say("label", word="good", note="n")
        (runs / "a.jsonl").write_text('{"prompt": "p", "steps": ["s"], "final_answer": "a"}\n')
        label.until(waits(holder))
        folder.until(waits(holder))
        label.do("interrupt")
        assert label.hear(message)["problem"] == "cancelled"
        assert (form.record, form.progress["n_labelled"]) == (first, settled_before["n_labelled"])
        watch.close()
    label.do("label", word="good")
    assert form.progress["n_labelled"] == 1


@pytest.mark.slow
def test_a_long_search_says_so_and_is_cancelled(front, filled):
    form = rt.TraceBrowser(filled, limit=10)
    end = front(form)
    settled()
    searching = end.say("find", filters={"where": ENDLESS})
    end.until(lambda state: state["busy"] == {"text": "still searching", "waits": False})
    # Cells and other forms read meanwhile.
    assert filled.count() == 25
    form.interrupt()
    assert end.hear(searching)["problem"] == "cancelled"
    assert (form.filters, place(form)) == ({}, (0, 25))
    # The same cursors serve again.
    end.do("find", filters={"text": "24"})
    assert (place(form), end.state["problem"], end.state["busy"]) == ((0, 1), "", {})


@pytest.mark.slow
def test_a_load_waits_in_the_form_and_is_cancelled_with_what_it_sends_to_a_thread(front, store):
    form = rt.UploadForm(store)
    end = front(form)
    with held(store) as holder:
        Path("t.jsonl").write_text('{"prompt": "p", "steps": ["s"], "final_answer": "a"}\n')
        loading = end.say("load_path", path="t.jsonl")
        end.until(waits(holder))
        end.do("interrupt")
        assert end.hear(loading)["problem"] == "cancelled"
        end.wait(busy={}, progress={})
    assert store.count() == 0
    end.do("load_path", path="t.jsonl")
    assert store.count() == 1


@pytest.mark.slow
def test_an_upload_that_waits_for_the_journal_is_cancelled_and_adds_nothing(front, store, make_trace):
    form = rt.UploadForm(store)
    end = front(form)
    with held(store, WRITER) as holder:
        end.set(text=make_trace().to_json())
        uploading = end.say("upload")
        # A slow machine may take a second before it waits.
        end.until(lambda state: state["busy"].get("waits"))
        assert end.state["busy"]["text"] == f"waiting for process {holder.pid}, which writes to the journal"
        end.do("interrupt")
        assert end.hear(uploading)["problem"] == "cancelled"
    assert (store.count(), form.uploaded) == (0, "")
    end.do("upload")
    assert store.count() == 1


def test_an_interrupted_task_leaves_the_work_of_others_alone(store, make_trace):
    store.add(make_trace())
    task = Task()
    task.interrupt()
    with task.begun(), pytest.raises(KeyboardInterrupt):
        store.count()
    with task.begun(), pytest.raises(KeyboardInterrupt):
        store.page(text="27")
    assert (store.count(), len(store.page(text="27"))) == (1, 1)
    # Between two queries of one cursor nothing is interrupted, and the next one is not either.
    other = Task()
    with other.begun(), store._session.cursor() as cursor:
        cursor.interrupt()
        assert cursor.execute("select 1").fetchall() == [(1,)]
        assert other.waits_for(0) is None
