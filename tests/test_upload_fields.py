"""Files of no known format in the upload form: what their fields are is chosen there, with the first rows in view."""

import gzip
import json
import zipfile

import pytest

import tunix_rt as rt
from tests.front_end import lines, send, send_all
from tests.test_sessions import CLAUDE

UNKNOWN = b'{"question": "<b>27</b> \xc3\x97 19?", "answer": "513"}\n'
CHOOSE = "choose below what its fields are"


@pytest.fixture
def form(store, front, temporary):
    form = rt.UploadForm(store)
    assert front(form).state["shown_unread"] == {}
    assert list(temporary.iterdir()) == []
    return form


def jsonl(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def chosen(shown):
    """The mapping as the form shows it."""
    return {one["target"]: shown["choices"][one["chosen"]]["given"] for one in shown["targets"] if one["chosen"] >= 0}


def test_an_unknown_file_is_loaded_by_the_fields_that_were_chosen_in_the_form(front, form, store, temporary):
    end = front(form)
    reply = send(end, "a.jsonl", UNKNOWN)
    assert reply["failed"]
    # In the words of the form, which has no `mapping=`.
    assert reply["problem"] == f"a.jsonl: of no known format; its fields are question, answer\n{CHOOSE}"
    shown = end.state["shown_unread"]
    assert shown["name"] == "a.jsonl"
    assert [one["text"] for one in shown["choices"]] == ["question · <b>27</b> × 19?", "answer · 513"]
    assert [one["line"] for one in shown["proposals"]] == [
        "prompt ← question, model's text ← answer",
        "prompt ← question, expected answer ← answer",
    ]
    # The likeliest is chosen, and shown as it would be stored.
    assert chosen(shown) == {"prompt": "question", "completion": "answer"} == shown["proposals"][0]["mapping"]
    assert shown["rows"] == [
        {"prompt": "<b>27</b> × 19?", "steps": "no steps", "answer": "513", "meta": "", "problem": ""}
    ]
    assert (shown["said"], shown["can_add"]) == ("The first row can be read this way.", True)
    end.do("map_fields", mapping=shown["proposals"][1]["mapping"])
    shown = end.state["shown_unread"]
    assert (shown["rows"][0]["answer"], shown["rows"][0]["meta"]) == ("", "expected answer: 513")
    assert store.count() == 0
    end.do("load_mapped")
    assert store.latest().payload.meta["expected_answer"] == "513"
    assert (form.reports[0].source, form.reports[0].added) == ("a.jsonl", 1)
    assert end.state["shown_unread"] == {}
    assert list(temporary.iterdir()) == []
    for action in ("load_mapped", "leave_out"):
        assert end.ask(action)["problem"] == "no file waits until its fields are chosen; load it again"


def test_any_field_can_be_chosen_also_inside_of_others_and_the_first_rows_follow(front, form):
    end = front(form)
    row = {"id": 7, "task": {"text": "2 + 2?", "tags": [{"t": "x"}]}, "tries": [{"out": "I add. 4"}], "{": 1, "": 2}
    send(end, "a.jsonl", jsonl(row, row | {"tries": [{"out": 5}]}))
    shown = end.state["shown_unread"]
    assert [one["text"] for one in shown["choices"][:6]] == [
        "id · 7", "task.text · 2 + 2?", "task.tags · a list of 1", "task.tags.0.t · x", "tries · a list of 1",
        "tries.0.out · I add. 4",
    ]  # fmt: skip
    end.do("map_fields", mapping={"meta.model": "id"})
    shown = end.state["shown_unread"]
    assert (shown["said"], shown["rows"], shown["can_add"]) == (
        "Choose at least what the prompt is, or what the model wrote.", [], False,
    )  # fmt: skip
    assert end.ask("load_mapped")["problem"].startswith("no field is chosen for the prompt, nor for")
    mapping = {"final_answer": "id", "prompt": "task.text", "completion": "tries.0.out"}
    # Of two that cannot be combined the later one stays.
    end.do("map_fields", mapping=mapping)
    shown = end.state["shown_unread"]
    assert chosen(shown) == {"prompt": "task.text", "completion": "tries.0.out"}
    assert shown["said"] == "Of the first 2 rows, 1 can be read this way."
    assert (shown["rows"][0]["prompt"], shown["rows"][0]["answer"]) == ("2 + 2?", "I add. 4")
    assert shown["rows"][0]["meta"].startswith("also kept: id, task, tries")
    assert shown["rows"][1]["problem"] == (
        "line 2: tries.0.out: must be a string; the mapping takes completion from it"
    )
    for bad in ({"q": "id"}, {"prompt": 3}, ["prompt"], None):
        assert end.ask("map_fields", mapping=bad)["failed"]
    assert chosen(end.state["shown_unread"]) == {"prompt": "task.text", "completion": "tries.0.out"}
    end.do("load_mapped")
    assert form.reports[0].counts == "1 added, 0 already stored, 1 rejected"


def test_a_proposal_of_several_fields_is_a_choice_too_and_only_the_first_rows_are_read(front, form):
    end = front(form)
    row = {"instruction": "Add.", "input": "2, 2", "answer": "4", "n": None, "deep": {"a": {"b": {"c": 1}}}}
    send(end, "a.jsonl", jsonl(*[row] * 30))
    shown = end.state["shown_unread"]
    assert chosen(shown)["prompt"] == ["instruction", "input"]
    assert shown["proposals"][0]["line"] == "prompt ← instruction + input, model's text ← answer"
    assert (shown["rows"][0]["prompt"], shown["rows"][2]["answer"]) == ("Add. 2, 2", "4")
    assert shown["said"] == "Of the first 20 rows, all can be read this way."
    assert [one["text"] for one in shown["choices"][3:6]] == ["n", 'deep.a.b · {"c": 1}', "instruction + input"]
    # From Python, a mapping may have more than the form offers.
    form.map_fields({"prompt": "input", "reasoning": "answer", "meta.run": {"value": "A"}, "meta.note": "n"})
    shown = end.state["shown_unread"]
    assert chosen(shown)["meta.run"] == {"value": "A"}
    assert shown["targets"][-1]["label"] == "meta: note"
    assert (shown["rows"][0]["steps"], shown["rows"][0]["meta"]) == (
        "1 step: 4", "run: A · note: · also kept: instruction, deep",
    )  # fmt: skip
    form.leave_out()


def test_files_dropped_at_once_are_one_load_and_those_that_cannot_be_read_wait_together(front, form, store, temporary):
    end = front(form)
    dropped = {
        "run/a.jsonl": lines(1, 1),
        "run/b.jsonl": UNKNOWN,
        "run/notes.md": b"# notes",
        "run/c.jsonl.gz": gzip.compress(lines(1, 2) + b"{broken\n"),
        "run/d.jsonl": UNKNOWN.replace(b"513", b"514"),
        "run/e.json": b'{"lr": 0.1}',
        "run/f.jsonl": b"",
        "run/g.csv": "é".encode("utf-16"),
        "run/x.manifest.json": b"{}",
    }
    assert send_all(end, dropped).get("failed") is None
    (report,) = form.reports
    # Equal rollouts in files of one drop are all kept, as those of a folder.
    assert (report.source, report.added) == ("7 files (2 others passed over)", 4)
    reasons = {row.file: row.reason.split("\n  ")[0] for row in report.rejected}
    assert reasons.keys() == dropped.keys() - {"run/a.jsonl", "run/notes.md", "run/x.manifest.json"}
    assert reasons["run/b.jsonl"] == f"of no known format; its fields are question, answer\n{CHOOSE}"
    assert reasons["run/e.json"] == f"of no known format; its fields are lr\n{CHOOSE}"
    assert reasons["run/g.csv"] == "is UTF-16 text; save it as UTF-8, or choose the encoding utf-16"
    html = end.state["shown_reports"][0]["html"]
    assert "mapping=" not in html
    assert str(temporary) not in html
    # Files with the same fields are mapped once; others come after them.
    shown = end.state["shown_unread"]
    assert (shown["name"], shown["n_files"]) == ("run/b.jsonl and 1 more file", 2)
    # Another file does not put them away.
    send(end, "other.jsonl", lines(3))
    end.do("load_mapped")
    assert (form.reports[-1].source, form.reports[-1].added) == ("run/b.jsonl and 1 more file", 2)
    assert [report.added for report in form.reports] == [4, 1, 2]
    assert end.state["shown_unread"]["name"] == "run/e.json"
    assert not end.state["shown_unread"]["can_add"]
    end.do("leave_out")
    assert end.state["shown_unread"] == {}
    assert list(temporary.iterdir()) == []
    assert store.count() == 7


def test_what_waits_goes_with_the_form(front, form, temporary):
    send_all(front(form), {"a.jsonl": UNKNOWN, "b.jsonl": lines(1), "c.jsonl": b'{"x": 1}\n'})
    assert [unread.name for unread in form.unread] == ["a.jsonl", "c.jsonl"]
    assert len(list(temporary.rglob("*.jsonl"))) == 2
    form.close()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("files", [None, "a", [], [{"name": "a"}], [{"name": 3, "size": 1}], [3]])
def test_what_are_no_files_is_refused(front, form, files):
    reply = front(form).ask("begin", files=files)
    assert reply["failed"]
    assert "bug in tunix_rt" not in reply["problem"]


def test_a_folder_without_traces_and_a_part_in_the_wrong_file_are_told(front, form, store):
    end = front(form)
    said = send_all(end, {"docs/a.md": b"a", "docs/b.png": b"b"})["problem"]
    assert said.startswith("2 files, none of traces; files of traces end in .json, .jsonl")
    files = [{"name": "a.jsonl", "size": 3}, {"name": "b.jsonl", "size": 3}]
    for file, at in ((0, 1), (1, 0), (7, 0)):
        end.do("begin", files=files)
        assert end.ask("receive", b"xyz", file=file, at=at)["problem"].startswith("a.jsonl: ")
    end.do("receive", b"xyz", file=0, at=0)
    assert end.ask("load_received")["problem"] == "b.jsonl: 0 of 3 bytes arrived; choose it again"
    assert store.count() == 0


def test_a_path_of_no_known_format_stays_where_it_is(front, form, store, tmp_path):
    end = front(form)
    path = tmp_path / "a.csv"
    path.write_text("answer\nso it is 12\n")
    assert end.ask("load_path", path=str(path))["failed"]
    assert chosen(end.state["shown_unread"]) == {"final_answer": "answer"}
    end.do("load_mapped")
    assert (store.latest().payload.final_answer, path.exists()) == ("so it is 12", True)
    # What has vanished in between is told.
    path.write_text("answer\nother\n")
    end.ask("load_path", path=str(path))
    path.unlink()
    end.do("map_fields", mapping={"final_answer": "answer"})
    assert "no such file or folder" in end.state["shown_unread"]["rows"][0]["problem"]
    assert "no such file or folder" in end.ask("load_mapped")["problem"]


def test_a_file_that_a_format_claims_and_does_not_read_waits_too_and_a_member_of_an_archive_does_not(
    front, form, tmp_path
):
    end = front(form)
    rows = b'{"prompt": "2 + 2?", "final_answer": 7, "steps": 3}\n'
    assert send(end, "a.jsonl", rows).get("failed") is None
    assert end.state["shown_unread"]["proposals"][0]["line"] == "prompt ← prompt, expected answer ← final_answer"
    assert form.reports[0].rejected_count == 1
    assert "mapping=" not in end.state["shown_reports"][0]["html"]
    end.do("leave_out")
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.writestr("a.jsonl", lines(1))
        archive.writestr("b.jsonl", UNKNOWN)
    send(end, "both.zip", (tmp_path / "both.zip").read_bytes())
    (row,) = form.reports[1].rejected
    assert row.file == "both.zip/b.jsonl"
    assert "\nadd the file by itself to choose what its fields are" in row.reason
    assert end.state["shown_unread"] == {}


def test_a_session_is_one_trace_or_one_for_each_turn_and_a_text_may_be_in_another_encoding(front, form, store):
    end = front(form)
    session = jsonl(*CLAUDE["events"])
    send_all(end, {"s.jsonl": session}, split="turn")
    assert (form.reports[0].added, store.count(where="final_answer = 'Nothing.'")) == (2, 1)
    said = send_all(end, {"a.jsonl": lines(1)}, split="turn")["problem"]
    assert said.startswith(
        "the format trace has no sessions of an agent; choose one trace for each session; stopped after 0 added"
    )
    assert end.ask("load_path", path=".", split="line")["problem"].startswith('split="line": must be')
    text = UNKNOWN.decode().encode("utf-16")
    assert "or choose the encoding utf-16" in send(end, "a.jsonl", text)["problem"]
    assert send_all(end, {"a.jsonl": text}, encoding="utf-16")["failed"]
    end.do("load_mapped")
    assert store.latest().payload.prompt == "<b>27</b> × 19?"
