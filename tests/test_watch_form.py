"""A running job's folder as a form: what comes is loaded and shown while it writes; stop and start; the end."""

import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output

import tunix_rt as rt
from tests.front_end import FrontEnd, lines, settled
from tests.processes import ended, python, start, told_by
from tests.test_sessions import CLAUDE
from tests.test_sessions import lines as session_lines
from tests.test_status_form import HOLD
from tests.test_watch import WRITER

EVERY = 0.01


@pytest.fixture
def watch(front, store):
    """Begins to watch, and ends it with the test."""
    forms = []

    def begin(path="runs", *, store=store, **options):
        forms.append(rt.FolderWatch(store, path, every=EVERY, **options))
        return forms[-1]

    assert front is FrontEnd
    yield begin
    for form in forms:
        form.close()
    settled()


def until_added(form, n):
    """Waits until so many traces came in and are shown, and gives what is shown."""
    FrontEnd(form).until(lambda state: f"<b>{n:,} added" in state["shown"]["html"])
    return FrontEnd(form).state["shown"]


def until_shown(form, **values):
    FrontEnd(form).until(lambda state: values.items() <= state["shown"].items())


@pytest.mark.slow
def test_the_files_of_a_running_job_are_shown_as_they_come(watch, store):
    form = watch("rollouts")
    until_shown(
        form, n_files=0, missing=f"rollouts: no such file or folder (the working folder is {Path.cwd()})", rows=[]
    )
    writer = start(WRITER, "rollouts", 5, 60, output="writer.txt")
    until_added(form, 300)
    assert ended(writer) == 0
    until_shown(form, n_files=5, waiting=[], missing="")
    assert "<b>300 added · 0 already stored · 0 rejected</b>" in form.shown["html"]
    assert form.shown["last_at"]
    # The newest ones are those that came last: of the last file, or of one that was still written as it was read.
    newest = [summary.preview for summary in store.page(limit=5)]
    assert [row["preview"] for row in form.shown["rows"]] == newest
    assert {one.split(", ")[1] for one in newest} >= {"59?"}
    assert (form.report.already_stored, store.count(), form.watching) == (0, 300, True)


@pytest.mark.slow
def test_what_the_store_had_before_counts_as_known_once_however_often_its_file_grows(watch, store, runs):
    (runs / "a.jsonl").write_bytes(lines(*range(3)))
    store.load(runs)
    form = watch()
    until_shown(form, n_files=1)
    for n in (5, 8):
        (runs / "a.jsonl").write_bytes(lines(*range(n)))
        until_added(form, n - 3)
    assert (form.report.already_stored, form.report.format) == (3, "trace")


def test_what_is_wrong_and_what_waits_is_told(watch, runs):
    (runs / "bad.jsonl").write_bytes(lines(1) + b"{broken}\n")
    (runs / "half.json").write_bytes(b"[" + lines(2))
    (runs / "config.json").write_text('{"learning_rate": 0.1}')
    form = watch()
    until_shown(form, n_files=2, waiting=["half.json"])
    html = form.shown["html"]
    assert "1 added · 0 already stored · 2 rejected" in html
    assert "bad.jsonl" in html
    assert "config.json" in html
    assert "{broken}" in html
    (runs / "half.json").write_bytes(b"[" + lines(2) + b"]")
    until_shown(form, n_files=3, waiting=[])


def test_a_session_is_split_by_turns_where_that_is_asked(watch, store):
    path = session_lines("session.jsonl", *CLAUDE["events"])
    until_added(watch(path, split="turn"), 2)
    assert store.count(where="final_answer = 'Nothing.'") == 1
    with pytest.raises(rt.QueryInvalid, match='split="line": must be'):
        watch(path, split="line")


def test_of_very_many_files_that_wait_the_first_are_named(watch, runs):
    for n in range(9):
        (runs / f"{n}.json").write_text("[")
    until_shown(watch(), waiting=["0.json", "1.json", "2.json", "3.json", "4.json", "and 4 more files"])


def test_it_stops_and_goes_on_where_it_stopped(watch, front, store, runs):
    (runs / "a.jsonl").write_bytes(lines(1))
    form = watch()
    until_added(form, 1)
    front(form).do("stop")
    settled()
    assert not front(form).state["watching"]
    (runs / "b.jsonl").write_bytes(lines(2))
    assert store.count() == 1
    form.start()
    form.start()
    assert sum(thread.name == "tunix_rt-watch" for thread in threading.enumerate()) == 1
    until_added(form, 2)
    assert (form.report.already_stored, front(form).state["watching"]) == (0, True)


@pytest.mark.slow
def test_a_long_file_is_stopped_within_and_gone_on_with(watch, store, runs):
    (runs / "a.jsonl").write_bytes(lines(*range(5_000)))
    form = watch()
    form.stop()
    settled()
    # What was read until then is there, whether that is nothing or a part of the file.
    assert store.count() == form.report.added
    form.start()
    until_added(form, 5_000)
    assert (store.count(), form.report.already_stored) == (5_000, 0)


def test_a_closed_form_watches_no_more(watch, store, runs):
    form = watch()
    until_shown(form, n_files=0)
    form.close()
    settled()
    (runs / "a.jsonl").write_bytes(lines(1))
    assert (store.count(), form.watching) == (0, False)
    form.close()


@pytest.mark.slow
def test_running_the_cell_again_takes_the_watch_over(watch, tmp_path, runs):
    first, elsewhere = watch(), watch(store=rt.TraceStore(tmp_path / "other.duckdb"))
    second = watch(runs.absolute())
    assert (first.watching, elsewhere.watching, second.watching) == (False, True, True)
    (runs / "a.jsonl").write_bytes(lines(1))
    until_added(second, 1)
    until_added(elsewhere, 1)
    first.start()
    assert (first.watching, second.watching) == (True, False)


def test_a_trace_that_came_in_is_opened(watch, front, store, runs):
    (runs / "a.jsonl").write_bytes(lines(7))
    form = watch()
    (row,) = until_added(form, 1)["rows"]
    front(form).do("show", id=row["id"])
    assert row["id"] in front(form).state["opened"]
    assert form.record == store.latest()
    seen = []
    form.on_open = seen.append
    front(form).do("show", id=row["id"])
    assert seen == [row["id"]]
    store.delete(row["id"])
    assert "not found" in front(form).ask("show", id=row["id"])["problem"]


def test_a_browser_beside_it_counts_what_came(watch, front, store, runs):
    browser = rt.TraceBrowser(store)
    form = watch()
    (runs / "a.jsonl").write_bytes(lines(*range(3)))
    until_added(form, 3)
    front(browser).do("look")
    assert browser.n_new == 3


def test_a_file_that_goes_away_or_becomes_shorter_is_told(watch, store, runs):
    for name in ("a", "b", "<i>\u202e"):
        (runs / f"{name}.jsonl").write_bytes(lines(1, 2))
    form = watch()
    until_added(form, 6)
    (runs / "a.jsonl").unlink()
    (runs / "<i>\u202e.jsonl").unlink()
    (runs / "b.jsonl").write_bytes(lines(3))
    until_shown(form, gone=["<i>‹U+202E›.jsonl", "a.jsonl"], shorter=["b.jsonl"], missing="")
    until_added(form, 7)
    assert (form.problem, store.count(), form.shown["n_files"]) == ("", 7, 3)
    shutil.rmtree(runs)
    until_shown(form, gone=[], shorter=[])
    assert "no such file or folder" in form.shown["missing"]
    # It is stopped while nothing is found.
    form.stop()
    settled()
    assert not form.watching


def test_a_folder_that_vanishes_is_told_and_taken_up_again_when_it_is_back(watch, runs):
    (runs / "a.jsonl").write_bytes(lines(1))
    form = watch()
    until_added(form, 1)
    shutil.rmtree(runs)
    until_shown(form, missing=f"runs: no such file or folder (the working folder is {Path.cwd()})", n_files=1)
    assert form.problem == ""
    runs.mkdir()
    (runs / "b.jsonl").write_bytes(lines(2))
    until_added(form, 2)
    until_shown(form, missing="")


@pytest.mark.slow
def test_a_store_that_is_busy_is_told_and_what_came_meanwhile_comes_in_later(front, watch, store, runs, caplog):
    impatient = rt.TraceStore(store.path, settings=rt.Settings(pool_timeout=1))
    impatient.close()
    with python(HOLD, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        (runs / "a.jsonl").write_bytes(lines(*range(3)))
        form = watch(store=impatient)
        front(form).until(lambda state: f"process {holder.pid}" in state["problem"])
        assert form.watching
        holder.stdin.close()
        holder.wait(timeout=60)
    until_added(form, 3)
    front(form).wait(problem="")
    assert store.count() == 3
    # However often it failed.
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"format": "none"}, rt.SourceInvalid),
        ({"mapping": {"q": "prompt"}}, rt.QueryInvalid),
        ({"path": 3}, rt.SourceInvalid),
    ],
)
def test_what_cannot_be_watched_is_told_at_once_and_leaves_no_thread(watch, options, error):
    with pytest.raises(error):
        watch(**options)
    assert not [thread for thread in threading.enumerate() if thread.name == "tunix_rt-watch"]


def test_the_picture_tells_what_came_and_follows(watch, runs):
    InteractiveShell.instance()
    (runs / "a.jsonl").write_bytes(lines(1) + b"[]\n")
    with capture_output() as captured:
        form = watch()
        display(form)
        until_added(form, 1)
        (runs / "b.jsonl").write_bytes(lines(2))
        until_added(form, 2)
        form.close()
        settled()
    picture = captured.outputs[-1].data
    assert picture["text/plain"].startswith("2 added · 0 already stored · 1 rejected\nfrom runs · format trace\n")
    assert "2?" in picture["text/plain"]
    assert "2 traces, newest first" in picture["text/html"]
    assert f"trt-saved-{form.picture_id}" in picture["text/html"]


PROCESS = """
import sys
import tunix_rt as rt
form = rt.FolderWatch(rt.TraceStore(sys.argv[1]), "runs", every=0.01)
while not form.report.added:
    pass
"""


@pytest.mark.slow
def test_a_process_ends_though_it_watches(tmp_path, runs):
    (runs / "a.jsonl").write_bytes(lines(1))
    assert told_by(PROCESS, tmp_path / "own.duckdb") == []
    assert rt.TraceStore(tmp_path / "own.duckdb").count() == 1


def test_hostile_names_and_rows_are_only_text(watch, runs):
    (runs / "<img src=x>\u202e.jsonl").write_bytes(lines(1) + b'{"prompt": "<script>"}\n')
    (runs / "<b>\u202e.json").write_text("[")
    form = watch()
    until_shown(form, n_files=1, waiting=["<b>‹U+202E›.json"])
    assert "<script" not in form.shown["html"]
    assert "<img" not in form.shown["html"]
    assert "\u202e" not in str(form.shown)
