"""Files from a browser into a store: in chunks, whole, broken off, under any name."""

import gzip

import pytest

import tunix_rt as rt
from tests.front_end import lines, send
from tests.processes import told_by


@pytest.fixture
def form(store, front, temporary):
    form = rt.UploadForm(store)
    assert front(form).state["shown_reports"] == list(temporary.iterdir()) == []
    return form


def test_a_file_arrives_in_chunks_and_is_loaded(front, form, store):
    content = lines(*range(100))
    assert len(content) > 5_000
    assert send(front(form), "hundred.jsonl", content)["problem"] == ""
    assert store.count() == 100
    (report,) = form.reports
    assert (report.source, report.added, form.picture()) == ("hundred.jsonl", 100, report)
    (shown,) = front(form).state["shown_reports"]
    assert (shown["n_added"], shown["n_rejected"], len(shown["ids"])) == (100, 0, 10)
    assert "100 added · 0 already stored · 0 rejected" in shown["html"]
    assert "hundred.jsonl" in shown["html"]
    front(form).do("show", id=shown["ids"][0])
    assert form.record.payload.prompt == "0?"
    assert "0?" in form.opened


@pytest.mark.slow
def test_files_come_one_after_the_other(front, form, store):
    end = front(form)
    for n in range(25):
        send(end, f"{n}.jsonl", lines(n))
    assert store.count() == 25
    # The last are kept.
    assert [report.source for report in form.reports] == [f"{n}.jsonl" for n in range(5, 25)]
    assert len(end.state["shown_reports"]) == 20


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: b"\xef\xbb\xbf" + content])
def test_a_file_is_known_by_its_content_not_by_its_name(front, form, store, pack):
    assert send(front(form), "notes.txt", pack(lines(1, 2)))["problem"] == ""
    assert store.count() == 2


def test_what_is_known_is_added_again_where_that_is_asked(front, form, store):
    end = front(form)
    send(end, "a.jsonl", lines(1, 2))
    send(end, "a.jsonl", lines(1, 2, 3))
    assert [(report.added, report.already_stored) for report in form.reports] == [(2, 0), (1, 2)]
    send(end, "a.jsonl", lines(1, 2), known="add")
    assert store.count() == 5
    assert send(end, "a.jsonl", lines(1), known="nonsense")["problem"].startswith('known="nonsense": must be')


@pytest.mark.parametrize(
    "name", ["../../etc/x", "/etc/x", "a\nb\x1b\u202e.jsonl", "<img src=x>", "x" * 5_000, "", "%s{0}"]
)
def test_a_name_is_only_a_name(front, form, store, temporary, name):
    end = front(form)
    end.do("begin", files=[{"name": name, "size": len(lines(1)) + 2}])
    (temporary,) = temporary.rglob("*/*")
    assert temporary.name == "000000.jsonl"
    end.do("receive", lines(1) + b"{}", file=0, at=0)
    end.do("load_received")
    assert store.count() == 1
    assert form.reports[0].source == name
    shown = end.state["shown_reports"][0]["html"]
    assert "<img" not in shown
    assert not set(shown) & set("\x1b\u202e")
    assert send(end, name, b"nonsense")["problem"].count("received") == 0


def test_a_part_that_is_lost_is_told(front, form):
    end = front(form)
    end.do("begin", files=[{"name": "a.jsonl", "size": 300}])
    end.do("receive", b"x" * 100, file=0, at=0)
    reply = end.ask("receive", b"x" * 100, file=0, at=200)
    assert reply["problem"] == "a.jsonl: a part was lost on its way, at byte 100; choose it again"
    assert end.ask("receive", b"x" * 100, file=0, at=0)["failed"]
    end.do("cancel")
    # Why the file did not come is still told.
    assert "choose it again" in end.state["problem"]


def test_a_file_of_which_the_end_is_missing_is_told(front, form, store):
    end = front(form)
    end.do("begin", files=[{"name": "a.jsonl", "size": 300}])
    end.do("receive", b"x" * 100, file=0, at=0)
    assert end.ask("load_received")["problem"] == "a.jsonl: 100 of 300 bytes arrived; choose it again"
    assert end.ask("receive", b"x" * 100, file=0, at=100)["problem"] == "no file is being sent; choose it again"
    assert store.count() == 0


@pytest.mark.parametrize(("size", "sent"), [(10, 11), (10, 9), (0, 1), (-1, 0)])
def test_a_file_of_another_size_than_was_said_is_not_loaded(front, form, store, size, sent):
    end = front(form)
    end.do("begin", files=[{"name": "a.jsonl", "size": size}])
    end.do("receive", b"x" * sent, file=0, at=0)
    assert end.ask("load_received")["problem"] == f"a.jsonl: {sent} of {size} bytes arrived; choose it again"
    assert (store.count(), form.reports) == (0, [])


def test_an_empty_file_is_told(front, form):
    assert send(front(form), "none.jsonl", b"")["problem"].startswith("none.jsonl: is empty; there is nothing to load")


def test_a_file_larger_than_the_disk_is_refused_at_once(front, form, temporary):
    reply = front(form).ask("begin", files=[{"name": "all.jsonl", "size": 2**60}])
    assert reply["problem"].startswith("all.jsonl: 1,152,921,504,606,846,976 bytes, and only ")
    assert reply["problem"].endswith(f"are free in {temporary}")
    assert front(form).ask("receive", b"x", file=0, at=0)["failed"]


def test_a_second_file_takes_the_place_of_one_that_has_not_arrived(front, form, store, temporary):
    end = front(form)
    end.do("begin", files=[{"name": "first.jsonl", "size": 1_000}])
    end.do("receive", lines(1), file=0, at=0)
    end.do("begin", files=[{"name": "second.jsonl", "size": len(lines(2))}])
    assert len(list(temporary.iterdir())) == 1
    end.do("receive", lines(2), file=0, at=0)
    end.do("load_received")
    assert [record.payload.prompt for record in store.records()] == ["2?"]


def test_a_file_is_cancelled_while_it_arrives(front, form, store, temporary):
    end = front(form)
    end.do("begin", files=[{"name": "a.jsonl", "size": 2 * len(lines(1))}])
    end.do("receive", lines(1), file=0, at=0)
    end.do("cancel")
    assert list(temporary.iterdir()) == []
    assert end.ask("receive", lines(2), file=0, at=len(lines(1)))["problem"] == "no file is being sent; choose it again"
    assert end.ask("load_received")["failed"]
    assert store.count() == 0
    assert send(end, "a.jsonl", lines(1, 2))["problem"] == ""
    assert store.count() == 2


def test_a_form_that_is_closed_forgets_the_file_on_its_way(front, form, temporary):
    front(form).do("begin", files=[{"name": "a.jsonl", "size": 1_000}])
    form.close()
    assert list(temporary.iterdir()) == []


FULL = """
import logging, os, resource, signal, sys, tempfile, threading
from pathlib import Path
import tunix_rt as rt
logging.disable()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[2])
tempfile.tempdir = str(folder)
store = rt.TraceStore(sys.argv[1])
form = rt.UploadForm(store)
form.begin([{"name": "a.jsonl", "size": 30_000}])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

def ask(action, *buffers, **args):
    form._answer(form, {"do": action, "id": "1", "args": args}, [*map(memoryview, buffers)])
    for thread in threading.enumerate():
        if thread.name == "tunix_rt-actions":
            thread.join()

for at in (0, 10_000, 20_000):
    ask("receive", bytes(10_000), file=0, at=at)
    print(form.problem)
ask("begin", files=[{"name": "b.jsonl", "size": 100}])
print(form.problem, len(list(folder.iterdir())))
form.cancel()
print(len(list(folder.iterdir())))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
form.close()
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_while_a_file_arrives_is_told(tmp_path, temporary):
    said = told_by(FULL, tmp_path / "runs.duckdb", temporary)
    assert said == ["", "", "a.jsonl: cannot be saved on the kernel's machine (File too large)", " 1", "0"]
