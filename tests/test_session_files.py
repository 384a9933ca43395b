"""Files whose lines are one session: split by turn, broken, bounded, watched."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tunix_rt as rt
from tests.spoiled import read
from tests.test_sessions import CLAUDE, CODEX, QWEN, claude, codex, item, lines, traces
from tunix_rt.cli import app


def test_each_turn_of_the_user_can_be_a_trace(store):
    path = lines("session.jsonl", *CLAUDE["events"])
    assert store.load(path, split="turn").added == 2
    first, second = traces(store)
    assert (first.prompt, first.final_answer) == ("What is in this folder?", "One file, a.py.")
    assert (second.prompt, second.steps, second.final_answer) == ("And in the one above?", (), "Nothing.")
    assert second.meta["model"] == "claude"
    assert [trace.meta["extra"]["turn"] for trace in (first, second)] == [1, 2]


def test_split_needs_sessions(store):
    lines("chat.jsonl", {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]})
    with pytest.raises(rt.QueryInvalid, match="the format messages has no sessions"):
        store.load("chat.jsonl", split="turn")
    with pytest.raises(rt.QueryInvalid, match="the format atif has no sessions"):
        store.load("chat.jsonl", split="turn", format="atif")
    with pytest.raises(rt.QueryInvalid, match='split="line": must be'):
        store.load("chat.jsonl", split="line")
    assert store.count() == 0


def test_in_a_folder_a_file_without_sessions_is_named(store):
    Path("all").mkdir()
    lines("all/chat.jsonl", {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}]})
    lines("all/session.jsonl", *CODEX["events"])
    report = store.load("all", split="turn")
    assert report.added == 1
    assert [rejected.file for rejected in report.rejected] == ["all/chat.jsonl"]


def test_broken_lines_are_named_and_the_rest_is_read(store):
    path = lines("session.jsonl", *CODEX["events"])
    Path(path).write_text(Path(path).read_text() + '[1]\n{"timestamp": "2026', encoding="utf-8")
    report = store.load(path)
    assert report.added == 1
    assert [rejected.line for rejected in report.rejected] == [14, 15]


def test_sessions_in_memory_and_packed(store):
    assert store.load(CODEX["events"]).added == 1
    raw = Path(lines("session.jsonl", *QWEN["events"])).read_bytes()
    Path("session.jsonl.gz").write_bytes(gzip.compress(raw))
    assert store.load("session.jsonl.gz").added == 1


def test_a_session_without_the_model_is_refused_and_one_without_the_user_is_not(store):
    report = store.load(lines("empty.jsonl", CODEX["events"][0], item("user", "Anybody?")))
    assert [(rejected.field, rejected.reason) for rejected in report.rejected] == [
        ("events", "there is no message of the assistant")
    ]
    (trace,) = read("codex", {"events": [codex("session_meta", id="s"), item("assistant", "Hello.")]})
    assert (trace.prompt, trace.final_answer) == ("", "Hello.")


def test_a_session_is_bounded_as_a_row_is(store, monkeypatch):
    monkeypatch.setattr("tunix_rt.formats.reading.MAX_ROW_BYTES", 500)
    report = store.load(lines("session.jsonl", *CODEX["events"]))
    assert (report.added, report.rejected[0].reason) == (0, "exceeds maximum of 500 bytes for a row")


def test_a_large_output_of_a_tool_is_there_once(store):
    output = "x" * 300_000
    events = [event for event in CLAUDE["events"] if event.get("uuid") != "u5"]
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": output}]
    events.insert(7, claude("u5", "user", result, parent="u4", toolUseResult={"stdout": output}))
    store.load(lines("session.jsonl", *events))
    (trace,) = traces(store)
    assert trace.to_json().count(output) == 1


def test_a_watched_session_is_loaded_when_it_rests(store):
    path = lines("session.jsonl", *CLAUDE["events"][:9])
    watch = store.watch(path, every=0.01)
    found = [watch.poll().added for _ in range(4)]
    assert found == [0, 0, 0, 0]
    assert watch.waiting == [Path(path)]
    assert sum(watch.poll().added for _ in range(4)) == 1
    # One that goes on is loaded anew, the longer one beside the shorter.
    lines(path, *CLAUDE["events"])
    assert watch.poll().added == 0
    assert watch.poll(last=True).added == 1
    assert [trace.final_answer for trace in traces(store)] == ["One file, a.py.", "Nothing."]


def test_a_watched_session_that_is_split_and_continued_adds_only_its_new_turns(store):
    """What counts the events of the whole session is left out of a turn: it would make it another trace."""
    path = lines("session.jsonl", *CLAUDE["events"][:9])
    watch = store.watch(path, every=0.01, split="turn")
    assert watch.poll(last=True).added == 1
    lines(path, {"type": "progress"}, {"type": "unknown", "sessionId": "s1"}, *CLAUDE["events"])
    report = watch.poll(last=True)
    assert (report.added, report.already_stored) == (1, 1)
    assert [trace.final_answer for trace in traces(store)] == ["One file, a.py.", "Nothing."]
    assert store.load(path, split="turn").added == 0


def test_a_watch_that_splits_needs_sessions(store):
    lines("chat.jsonl", {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]})
    with pytest.raises(rt.QueryInvalid, match="the format atif has no sessions"):
        store.watch("chat.jsonl", split="turn", format="atif")
    with pytest.raises(rt.QueryInvalid, match='split="line": must be'):
        store.watch("chat.jsonl", split="line")
    report = store.watch("chat.jsonl", split="turn").poll(last=True)
    assert (report.added, report.rejected_count) == (0, 1)
    assert "the format messages has no sessions" in report.rejected[0].reason


def test_the_command_line_splits_sessions_too():
    path = lines("session.jsonl", *CLAUDE["events"])
    result = CliRunner().invoke(app, ["load", "--json", "--split", "turn", path])
    assert (result.exit_code, json.loads(result.stdout)["added"]) == (0, 2)
    result = CliRunner().invoke(app, ["watch", "--once", "--json", "--split", "turn", path, "--store", "other.duckdb"])
    assert (result.exit_code, json.loads(result.stdout)["added"]) == (0, 2)
