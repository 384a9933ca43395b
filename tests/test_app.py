"""All forms in one panel, which work together."""

import gc
import json
import subprocess
import threading

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output

import tunix_rt as rt
from tests.front_end import n_widgets, numbers, place, settled
from tests.processes import python, told_by
from tests.test_status_form import HOLD


@pytest.fixture
def app(filled, front):
    app = rt.app(filled, limit=10)
    front(app.browser).wait(n_found=25)
    settled()
    return app


def test_the_panel_names_its_parts_to_the_front_end(front, app):
    state = front(app).state
    for name in ("browser", "viewer", "upload", "status"):
        assert state[name] == f"IPY_MODEL_{getattr(app, name).model_id}"
    assert front(app.viewer).state["can_move"]
    assert not front(app.status).state["unfolded"]


def test_without_a_store_the_panel_is_over_the_default_one(front, tmp_path):
    app = rt.app()
    assert (app.store.path, app.browser.store) == (tmp_path / "default.duckdb", app.store)
    assert front(app.browser).state["shown"]["rows"] == []


def test_the_panel_begins_with_filters(filled):
    app = rt.TraceApp(filled, limit=5, source="thirds")
    assert (numbers(app.browser), place(app.browser)) == ([24, 21, 18, 15, 12], (0, 9))
    assert app.picture() == app.browser.page


def test_the_chosen_trace_is_shown(front, app):
    assert app.selected is None
    front(app.browser).do("choose", id=app.browser.shown["rows"][2]["id"])
    assert app.selected == app.viewer.record == app.browser.selected
    assert "22 × 2?" in front(app.viewer).state["shown"]["html"]
    app.browser.selected_id = ""
    assert app.selected is None
    assert "empty" in front(app.viewer).state["shown"]


def test_the_arrows_of_the_trace_walk_through_the_list(front, app):
    for _ in range(12):
        front(app.viewer).do("move", by=1)
    assert app.selected.payload.prompt == "13 × 2?"
    assert numbers(app.browser)[0] == 14
    front(app.viewer).do("move", by=-1)
    front(app.viewer).do("move", by=-1)
    assert (app.selected.payload.prompt, place(app.browser)) == ("15 × 2?", (0, 25))


def test_an_upload_is_listed_and_counted(front, app, make_trace):
    front(app.browser).do("next")
    front(app.upload).set(text=make_trace("25 × 2?").to_json())
    front(app.upload).do("upload")
    assert (numbers(app.browser)[0], place(app.browser)) == (25, (0, 26))
    assert app.status.info.n_traces == 26
    assert front(app.browser).state["shown"]["rows"][0]["id"] == app.upload.uploaded


def test_an_upload_is_fetched_into_the_viewer(front, app, make_trace):
    front(app.upload).set(text=make_trace("25 × 2?").to_json())
    front(app.upload).do("upload")
    front(app.upload).do("fetch")
    assert app.selected.payload.prompt == "25 × 2?"
    assert app.browser.selected_id == app.upload.uploaded
    assert "25 × 2?" in front(app.viewer).state["shown"]["html"]
    assert front(app.upload).state["opened"] == ""
    # Another one is read, and then the uploaded one again.
    app.viewer.record = app.store.get(app.browser.page[3].id)
    front(app.upload).do("show", id=app.upload.uploaded)
    assert app.selected.payload.prompt == "25 × 2?"


def test_files_are_listed_when_they_are_loaded(front, app, tmp_path):
    app.browser.filters = {"text": "nowhere"}
    (tmp_path / "two.jsonl").write_text(
        "".join(json.dumps({"prompt": f"{n} nowhere", "steps": ["s"], "final_answer": "a"}) + "\n" for n in (26, 27))
    )
    front(app.upload).do("load_path", path=str(tmp_path / "two.jsonl"))
    assert (numbers(app.browser), place(app.browser)) == ([27, 26], (0, 2))
    assert app.status.info.n_traces == 27


@pytest.mark.slow
def test_an_upload_into_a_busy_store_is_told_as_done(front, filled, make_trace, caplog):
    store = rt.TraceStore(filled.path, settings=rt.Settings(pool_timeout=1))
    app = rt.app(store)
    settled()
    store.close()
    with python(HOLD, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        front(app.upload).set(text=make_trace("25 × 2?").to_json())
        reply = front(app.upload).ask("upload")
        assert reply.get("failed") is None
        assert app.upload.uploaded
        assert "held by process" in app.browser.problem
        assert app.status.state == "busy"
        holder.stdin.close()
    front(app.browser).do("first")
    assert (app.browser.problem, numbers(app.browser)[0]) == ("", 25)
    assert "held by process" in caplog.text


def test_closing_the_panel_closes_its_parts(app):
    parts = (app, app.browser, app.viewer, app.upload, app.status)
    app.close()
    app.close()
    assert [part.comm for part in parts] == [None] * 5
    # What a program still does with them fails nowhere.
    app.browser.next()
    app.browser.selected_id = str(app.browser.page[0].id)
    assert app.selected is not None


@pytest.mark.slow
def test_panels_that_are_closed_leave_nothing_behind(filled):
    rt.app(filled).close()
    settled()
    gc.collect()
    before = n_widgets()
    for _ in range(5):
        rt.app(filled).close()
    settled()
    gc.collect()
    assert n_widgets() == before


def test_the_picture_of_the_panel_follows_its_list(front, app):
    InteractiveShell.instance()
    with capture_output() as captured:
        display(app)
        front(app.browser).do("next")
        app.browser.last()
        front(app.browser).do("look")
        settled()
    shown = [output.data["text/plain"] for output in captured.outputs]
    assert shown[0] == "<TraceApp>"
    assert ["24 × 2?" in shown[1], "14 × 2?" in shown[2], "0 × 2?" in shown[3], len(shown)] == [True, True, True, 4]


@pytest.mark.slow
def test_pages_turn_while_files_come_in(front, app, tmp_path):
    """A load in a thread of its own lists what it added; a page that is turned meanwhile has its right place."""
    for n in range(10):
        (tmp_path / f"{n}.jsonl").write_text(json.dumps({"prompt": f"{n} new", "steps": ["s"], "final_answer": "a"}))

    def load():
        for n in range(10):
            front(app.upload).do("load_path", path=str(tmp_path / f"{n}.jsonl"))

    thread = threading.Thread(target=load)
    thread.start()
    while thread.is_alive():
        front(app.browser).do("next")
    thread.join()
    settled()
    shown = {str(record.id): at for at, record in enumerate(app.store.page(limit=100))}
    place_of_first = shown[app.browser.shown["rows"][0]["id"]]
    front(app.browser).wait(first_place=app.browser.first_place)
    assert app.browser.n_found == 35
    # What came in after the list was made is not counted.
    assert app.browser.first_place == place_of_first


END = """
import sys, threading
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
store.add_many(rt.Trace(prompt=f"{n}", steps=["s"], final_answer="a") for n in range(100))
app = rt.app(store)
for _ in range(20):
    app.browser.find({"text": "nowhere"})
"""


@pytest.mark.slow
@pytest.mark.parametrize("last", ["", "app.close()", "store.close()", "del app, store"])
def test_a_program_ends_without_a_word_while_a_form_counts(tmp_path, last):
    assert told_by(END + last, tmp_path / "runs.duckdb") == []


def test_what_the_list_looks_for_is_marked_in_the_trace(store, make_trace):
    store.add(make_trace())
    form = rt.TraceApp(store, text="27")
    assert form.viewer.sought == "27"
    form.browser.filters = {}
    assert form.viewer.sought == ""
