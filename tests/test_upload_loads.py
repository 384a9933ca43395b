"""Loads of a form: cancelled, of damaged files, with rejected rows, by a path, and several at once."""

import gzip
import json
import threading

import pytest

import tunix_rt as rt
from tests.front_end import lines, send
from tunix_rt.formats.containers import files
from tunix_rt.store.ingest import chunk, encoding
from tunix_rt.store.ingest import load as loading
from tunix_rt.widgets import upload


@pytest.fixture
def form(store, front, temporary):
    form = rt.UploadForm(store)
    assert front(form).state["shown_reports"] == list(temporary.iterdir()) == []
    return form


@pytest.fixture
def small_reads(monkeypatch):
    """A file is read a few traces at a time."""
    monkeypatch.setattr(files, "_HEAD_BYTES", 500)


@pytest.fixture
def small_chunks(monkeypatch, small_reads):  # noqa: ARG001 - with it
    """A load stores ten traces at a time, and tells at each row."""
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 10)
    monkeypatch.setattr(encoding, "_CHECKED_ROWS", 10)
    monkeypatch.setattr(loading, "_ROWS_PER_TICK", 1)
    monkeypatch.setattr(upload, "_PROGRESS_SECONDS", 0)


@pytest.mark.slow
@pytest.mark.usefixtures("small_chunks")
def test_a_load_is_cancelled_and_what_was_stored_stays_and_is_said(front, form, store):
    end = front(form)
    content = lines(*range(500))
    seen = []

    def cancel_when_some_are_stored(change):
        if change["new"] and store.count() >= 30 and not seen:
            seen.append(change["new"])
            end.do("cancel")

    form.observe(cancel_when_some_are_stored, "progress")
    reply = send(end, "a.jsonl", content)
    assert reply["failed"]
    n_stored = store.count()
    assert 30 <= n_stored < 500
    assert reply["problem"] == (
        f"a.jsonl: cancelled after {n_stored} added, 0 already stored, 0 rejected; "
        "loading the same again adds only the missing traces"
    )
    assert seen[0]["name"] == "a.jsonl"
    assert 0 <= seen[0]["done"] < seen[0]["total"] == len(content)
    assert end.state["progress"] == {}
    send(end, "a.jsonl", content)
    assert (form.reports[0].added, form.reports[0].already_stored) == (500 - n_stored, n_stored)


@pytest.mark.usefixtures("small_chunks")
def test_another_load_that_begins_does_not_undo_a_cancel(front, form, store, tmp_path):
    end = front(form)
    (tmp_path / "other.jsonl").write_bytes(lines(-1))
    others = []

    def cancel_and_go_on(change):
        if change["new"].get("name") == "a.jsonl" and not others:
            end.do("cancel")
            others.append(end.ask("load_path", path=str(tmp_path / "other.jsonl")))

    form.observe(cancel_and_go_on, "progress")
    assert "a.jsonl: cancelled" in send(end, "a.jsonl", lines(*range(500)))["problem"]
    assert others[0].get("failed") is None
    assert store.count(where="prompt = '-1?'") == 1


@pytest.mark.usefixtures("small_chunks")
def test_the_others_are_told_of_a_load_that_was_cancelled(front, form, store):
    told = []
    form.on_added = lambda: told.append(store.count())
    form.observe(lambda change: change["new"] and form.cancel(), "progress")
    send(front(form), "a.jsonl", lines(*range(500)))
    assert told == [store.count()]


REJECTED = lines(1) + b'{"prompt": 3}\n' + lines(2) + '{"prompt": "é\u202e"\n'.encode() + b"\xff\n"


def test_rejected_rows_can_be_downloaded_with_the_user_s_name_for_the_file(front, form, store):
    end = front(form)
    send(end, "mine ü.jsonl", REJECTED)
    assert end.state["shown_reports"][0]["n_rejected"] == 3
    (content,) = end.do("rejected", report=0)["buffers"]
    rows = [json.loads(line) for line in content.decode().splitlines()]
    assert [(row["file"], row["line"]) for row in rows] == [
        ("mine ü.jsonl", 2),
        ("mine ü.jsonl", 4),
        ("mine ü.jsonl", 5),
    ]
    assert rows[0].keys() == {"file", "line", "field", "reason", "text"}
    assert (rows[0]["field"], rows[0]["text"]) == ("prompt", '{"prompt": 3}')
    assert store.count() == 2
    assert end.ask("rejected", report=7)["problem"] == "report=7: there is no such report; there are 1"


@pytest.mark.slow
@pytest.mark.usefixtures("small_reads")
def test_no_temporary_path_is_told_where_a_file_is_damaged(front, form, temporary):
    end = front(form)
    packed = gzip.compress(lines(*range(5_000)))
    send(end, "half.jsonl.gz", packed[: len(packed) // 2])
    (report,) = form.reports
    assert report.added > 0
    (row,) = report.rejected
    assert (row.file, row.line) == ("half.jsonl.gz", None)
    assert row.reason.startswith("cannot be read to its end")
    assert str(temporary) not in end.state["shown_reports"][0]["html"]
    assert str(temporary) not in send(end, "broken.parquet", b"PAR1" + b"x" * 2_000)["problem"]
    assert str(temporary) not in send(end, "what", b"what is this?")["problem"]


def test_a_path_on_the_kernel_s_machine_is_loaded(front, form, store, tmp_path):
    end = front(form)
    (tmp_path / "runs").mkdir()
    for n in range(3):
        (tmp_path / "runs" / f"{n}.jsonl").write_bytes(lines(n, n))
    end.do("load_path", path=str(tmp_path / "runs" / "*.jsonl"))
    assert (store.count(), form.reports[0].source) == (6, str(tmp_path / "runs" / "*.jsonl"))
    end.do("load_path", path=str(tmp_path / "runs"), known="add")
    assert store.count() == 12


@pytest.mark.parametrize(
    "path", ["nowhere.jsonl", "nowhere/*.jsonl", "", " ", "\x00", "a\ud800", "s3://bucket/a", None, 3, []]
)
def test_a_path_that_leads_nowhere_is_told(front, form, path):
    reply = front(form).ask("load_path", path=path)
    assert reply["failed"]
    assert "bug in tunix_rt" not in reply["problem"]
    assert form.progress == {}
    assert form.reports == []


def test_what_others_do_with_the_news_does_not_lose_the_report(front, form, store, caplog):
    def fail():
        raise rt.StoreBusy("held elsewhere")

    form.on_added = fail
    reply = send(front(form), "a.jsonl", lines(1))
    assert reply.get("failed") is None
    assert "held elsewhere" in caplog.text
    assert (form.reports[0].added, store.count()) == (1, 1)
    form.text = lines(2).decode()
    front(form).do("upload")
    assert form.uploaded


def test_two_forms_load_at_the_same_time(front, form, store):
    other = rt.UploadForm(store)
    threads = [
        threading.Thread(target=send, args=(front(one), "a.jsonl", lines(*numbers)))
        for one, numbers in ((form, range(300)), (other, range(300, 600)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (form.reports[0].added, other.reports[0].added, store.count()) == (300, 300, 600)
