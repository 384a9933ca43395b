"""Sessions of agents, an event a line or as a document: Claude Code, Codex, Gemini CLI, Qwen Code."""

import json
from pathlib import Path

import pytest
from hypothesis import given

from tests.spoiled import only_refuses, read, spoiled

THOUGHT = {"type": "thinking", "thinking": "List it.", "signature": "c2ln"}
TOOL_USE = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}


def claude(uuid, kind, content, *, parent=None, id=None, **fields):
    message = {"role": kind, "content": content} | ({"id": id, "model": "claude"} if kind == "assistant" else {})
    return {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s1", "message": message} | fields


def codex(kind, **payload):
    return {"timestamp": "2026-01-01T00:00:00Z", "type": kind, "payload": payload}


def item(role, text):
    return codex(
        "response_item",
        type="message",
        role=role,
        content=[{"type": "output_text" if role == "assistant" else "input_text", "text": text}],
    )


CLAUDE = {
    "events": [
        {"type": "summary", "summary": "A listing", "leafUuid": "u4"},
        {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {}},
        claude("u0", "user", "Caveat: what follows was run by the user", isMeta=True, cwd="/srv/me", version="2.1"),
        claude("u1", "user", "What is in this folder?", parent="u0"),
        claude(
            "u2", "assistant", [{"type": "thinking", "thinking": "List it.", "signature": "c2ln"}], parent="u1", id="m1"
        ),
        claude("u3", "assistant", [{"type": "text", "text": "I will look."}], parent="u2", id="m1"),
        claude("u4", "assistant", [{"type": "text", "text": "I will look."}, TOOL_USE], parent="u3", id="m1"),
        claude(
            "u5",
            "user",
            [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a.py"}]}],
            parent="u4",
            toolUseResult={"stdout": "a.py"},
        ),
        claude("u6", "assistant", [{"type": "text", "text": "One file, a.py."}], parent="u5", id="m2"),
        claude("u7", "user", "And in the one above?", parent="u6"),
        claude("u8", "assistant", [{"type": "text", "text": "Nothing."}], parent="u7", id="m3"),
    ]
}
CLAUDE["events"][-1]["message"]["stop_reason"] = "end_turn"
CODEX = {
    "events": [
        codex("session_meta", id="s2", cwd="/srv/me", instructions="Be brief."),
        item("user", "<environment_context>\n<cwd>/srv/me</cwd>\n</environment_context>"),
        item("user", "What is in this folder?"),
        codex("event_msg", type="user_message", message="What is in this folder?"),
        codex("turn_context", model="gpt-5-codex", cwd="/srv/me"),
        codex("event_msg", type="agent_reasoning", text="List it."),
        codex("response_item", type="reasoning", summary=[{"type": "summary_text", "text": "List it."}]),
        codex("response_item", type="function_call", name="shell", arguments='{"command": ["ls"]}', call_id="c1"),
        codex("event_msg", type="exec_command_end", call_id="c1", stdout="a.py"),
        codex(
            "response_item",
            type="function_call_output",
            call_id="c1",
            output='{"output": "a.py", "metadata": {"exit_code": 0}}',
        ),
        codex("event_msg", type="token_count", info=None),
        codex("event_msg", type="agent_message", message="One file, a.py."),
        item("assistant", "One file, a.py."),
    ]
}
GEMINI = {
    "sessionId": "s3",
    "projectHash": "aa",
    "startTime": "2026-01-01T00:00:00Z",
    "messages": [
        {"id": "1", "type": "user", "content": "What is in this folder?"},
        {
            "id": "2",
            "type": "gemini",
            "content": "I will look.",
            "thoughts": [{"subject": "Listing", "description": "List it."}],
            "model": "gemini-3",
            "toolCalls": [
                {
                    "id": "c1",
                    "name": "list_directory",
                    "args": {"path": "."},
                    "result": [{"functionResponse": {"id": "c1", "response": {"output": "a.py"}}}],
                    "resultDisplay": "a.py",
                }
            ],
        },
        {"id": "3", "type": "gemini", "content": [{"text": "One file, a.py."}]},
    ],
}


def qwen(kind, *parts, **fields):
    role = "model" if kind == "assistant" else "user"
    return {"type": kind, "sessionId": "s4", "message": {"role": role, "parts": list(parts)}} | fields


QWEN = {
    "events": [
        qwen("user", {"text": "What is in this folder?"}, cwd="/srv/me"),
        qwen(
            "assistant",
            {"text": "List it.", "thought": True},
            {"functionCall": {"name": "ls", "args": {"path": "."}}},
            model="qwen3",
        ),
        qwen("tool_result", {"functionResponse": {"name": "ls", "response": {"output": "a.py"}}}, toolCallResult={}),
        {"type": "system", "subtype": "ui_telemetry", "sessionId": "s4", "systemPayload": {}},
        qwen("assistant", {"text": "One file, a.py."}),
    ]
}


def lines(path, *events):
    Path(path).write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path


def steps(trace):
    return [(step.type, step.content) for step in trace.steps]


def traces(store):
    return [record.payload for record in store.records(newest_first=False)]


LISTED = [
    ("step", "List it."),
    ("message", "I will look."),
    ("tool_call", 'Bash({"command": "ls"})'),
    ("observation", "a.py"),
    ("message", "One file, a.py."),
    ("user", "And in the one above?"),
]


def test_a_claude_code_session_is_one_trace(store):
    report = store.load(lines("session.jsonl", *CLAUDE["events"]))
    (trace,) = traces(store)
    assert (report.added, report.rejected_count, set(report.formats)) == (1, 0, {"claude_code"})
    assert trace.prompt == "What is in this folder?"
    assert steps(trace) == LISTED
    assert trace.final_answer == "Nothing."
    assert trace.meta["model"] == "claude"
    assert trace.meta["finish_reason"] == "end_turn"
    assert trace.meta["system"].startswith("Caveat")
    assert trace.meta["parts"] == [{"step": 0, "type": "thinking", "signature": "c2ln"}]
    assert trace.meta["extra"] == {
        "session_id": "s1",
        "cwd": "/srv/me",
        "version": "2.1",
        "summaries": ["A listing"],
        "left_out": {"file-history-snapshot": 1},
    }


def test_what_a_session_lacks_and_what_it_holds_beside(store):
    subagent = [
        claude("v1", "user", "Look closer.", isSidechain=True),
        claude("v2", "assistant", [{"type": "text", "text": "Looked."}], parent="v1", id="n1", isSidechain=True),
    ]
    events = [
        claude("u1", "user", "Fix it.", parent="nobody"),
        *subagent,
        claude("u2", "assistant", [TOOL_USE], parent="u1", id="m1"),
        {"type": "of a later version", "text": "kept"},
        claude("u3", "user", [{"type": "text", "text": "[Request interrupted by user]"}], parent="u2"),
    ]
    store.load(lines("session.jsonl", *events))
    (trace,) = traces(store)
    assert trace.prompt == "Fix it."
    assert steps(trace) == [("tool_call", 'Bash({"command": "ls"})')]
    assert trace.final_answer is None
    assert "truncated" not in trace.meta
    extra = trace.meta["extra"]
    assert extra["after"] == [{"type": "system", "content": "[Request interrupted by user]"}]
    assert extra["other_events"] == [{"type": "of a later version", "text": "kept"}]
    assert extra["sidechains"] == [
        [{"type": "user", "content": "Look closer."}, {"type": "message", "content": "Looked."}]
    ]
    # The log of the subagent alone is a session.
    store.load(lines("agent.jsonl", *subagent))
    assert traces(store)[-1].final_answer == "Looked."


def test_a_question_that_was_asked_again_and_calls_side_by_side():
    events = [
        claude("u1", "user", "Start."),
        claude("u2", "assistant", [{"type": "text", "text": "Ready."}], parent="u1"),
        claude("u3", "user", "Do A.", parent="u2"),
        claude("u4", "assistant", [{"type": "text", "text": "A done."}], parent="u3"),
        claude("u5", "user", "Do B.", parent="u2"),
        claude("u6", "assistant", [TOOL_USE], parent="u5"),
        claude("u7", "assistant", [TOOL_USE | {"id": "t2"}], parent="u6"),
        claude("u8", "user", [{"type": "tool_result", "tool_use_id": "t1", "content": "one"}], parent="u6"),
        claude("u9", "user", [{"type": "tool_result", "tool_use_id": "t2", "content": "two"}], parent="u7"),
        claude("ua", "assistant", [{"type": "text", "text": "B done."}], parent="u9"),
        claude("ua", "assistant", [{"type": "text", "text": "B done."}], parent="u9"),
    ]
    (trace,) = read("claude_code", {"events": events})
    assert [content for _, content in steps(trace)] == [
        "Ready.",
        "Do B.",
        'Bash({"command": "ls"})',
        'Bash({"command": "ls"})',
        "one",
        "two",
    ]
    assert trace.final_answer == "B done."
    assert [one["content"] for one in trace.meta["extra"]["abandoned"]] == ["Do A.", "A done."]


def test_what_claude_code_prints_as_it_runs():
    events = [
        {"type": "system", "subtype": "init", "session_id": "s1", "cwd": "/srv/me"},
        {
            "type": "assistant",
            "session_id": "s1",
            "message": {"id": "m", "content": [{"type": "text", "text": "Done."}]},
        },
        {"type": "result", "session_id": "s1", "result": "Done.", "num_turns": 1},
    ]
    (trace,) = read("claude_code", {"events": events})
    assert (trace.prompt, trace.final_answer) == ("", "Done.")
    assert trace.meta["extra"]["other_events"][-1] == {"type": "result", "num_turns": 1}


def test_several_sessions_in_a_file_are_a_trace_each():
    events = [event for name in ("a", "b") for event in CLAUDE["events"][3:] for event in [event | {"sessionId": name}]]
    events = [event | {"uuid": event["sessionId"] + event["uuid"], "parentUuid": None} for event in events]
    found = read("claude_code", {"events": events})
    assert [trace.meta["extra"]["session_id"] for trace in found] == ["a", "b"]


def test_a_command_of_the_program_is_not_the_question():
    events = [
        claude("u1", "user", "<command-name>/clear</command-name>"),
        claude("u2", "user", "<local-command-stdout></local-command-stdout>", parent="u1"),
        claude("u3", "user", [{"type": "text", "text": "Go."}, {"type": "image", "source": {"data": "x" * 20_000}}]),
        claude("u4", "assistant", [{"type": "text", "text": "Gone."}], id="m"),
    ]
    (trace,) = read("claude_code", {"events": events})
    assert trace.prompt == "Go.\n[image]"
    assert trace.meta["parts"] == [{"parts": [{"type": "image", "source": {"data": "(20,000 characters left out)"}}]}]


@pytest.mark.parametrize(
    ("name", "row", "model"),
    [("codex", CODEX, "gpt-5-codex"), ("gemini_cli", GEMINI, "gemini-3"), ("qwen_code", QWEN, "qwen3")],
)
def test_the_same_in_other_programs(name, row, model):
    (trace,) = read(name, row)
    contents = [content for kind, content in steps(trace) if kind != "message"]
    assert trace.prompt == "What is in this folder?"
    assert contents[0].endswith("List it.")
    assert contents[1].startswith(("shell(", "list_directory(", "ls("))
    assert contents[2:] == ["a.py"]
    assert trace.final_answer == "One file, a.py."
    assert trace.meta["model"] == model


def test_codex_repeats_items_as_events_and_tells_what_happened():
    (trace,) = read("codex", CODEX)
    assert trace.meta["system"] == "Be brief.\n\n<environment_context>\n<cwd>/srv/me</cwd>\n</environment_context>"
    assert trace.meta["extra"] == {
        "session": {"id": "s2", "cwd": "/srv/me"},
        "left_out": {"exec_command_end": 1, "token_count": 1},
    }
    # What no item has is read, and an end without an answer is one.
    events = [
        codex("event_msg", type="user_message", message="Go."),
        codex("event_msg", type="agent_message", message="I go."),
        codex("response_item", type="local_shell_call", action={"command": ["ls"]}),
        codex("event_msg", type="turn_aborted", reason="interrupted"),
        codex("of_a_later_version", text="kept"),
    ]
    (trace,) = read("codex", {"events": events})
    assert trace.prompt == "Go."
    assert [kind for kind, _ in steps(trace)] == ["message", "tool_call"]
    assert trace.meta["extra"]["after"] == [{"type": "system", "content": "[turn aborted: interrupted]"}]
    assert trace.meta["extra"]["other_events"] == [{"type": "of_a_later_version", "payload": {"text": "kept"}}]


def test_codex_before_its_events_had_payloads(store):
    head = {"id": "s", "timestamp": "2025-07-01T00:00:00Z", "instructions": None, "git": {}}
    items = [event["payload"] for event in (item("user", "Go."), item("assistant", "Gone."))]
    store.load(lines("old.jsonl", head, {"record_type": "state"}, *items))
    (trace,) = traces(store)
    assert (trace.prompt, trace.final_answer) == ("Go.", "Gone.")


def test_gemini_cli_writes_lines_too_and_takes_some_back(store):
    head = {name: GEMINI[name] for name in ("sessionId", "projectHash", "startTime")}
    first, second, third = GEMINI["messages"]
    wrong = {"id": "x", "type": "user", "content": "Delete all."}
    events = [
        head,
        first,
        second | {"content": ""},
        second,
        wrong,
        {"$rewindTo": "x"},
        third,
        {"$set": {"summary": "S"}},
    ]
    store.load(lines("session.jsonl", *events))
    (trace,) = traces(store)
    assert trace.final_answer == "One file, a.py."
    assert [content for _, content in steps(trace)].count("I will look.") == 1
    assert trace.meta["extra"]["abandoned"] == [{"type": "user", "content": "Delete all."}]
    assert trace.meta["extra"]["summary"] == "S"


def test_a_qwen_code_export_has_calls_of_its_own():
    messages = [
        {"uuid": "1", "type": "user", "message": {"role": "user", "parts": [{"text": "Go."}]}},
        {
            "uuid": "2",
            "type": "tool_call",
            "toolCall": {
                "title": "ls",
                "rawInput": {"path": "."},
                "content": [{"type": "content", "content": {"type": "text", "text": "a.py"}}],
            },
        },
        {"uuid": "3", "type": "assistant", "message": {"parts": [{"text": "Gone."}]}},
    ]
    (trace,) = read("qwen_code", {"sessionId": "s", "startTime": "", "messages": messages})
    assert steps(trace) == [("tool_call", 'ls({"path": "."})'), ("observation", "a.py")]


@pytest.mark.slow
@given(spoiled(CLAUDE))
def test_spoiled_claude_code_sessions_only_refuse(value):
    assert only_refuses("claude_code", value)


@pytest.mark.slow
@given(spoiled(CODEX))
def test_spoiled_codex_sessions_only_refuse(value):
    assert only_refuses("codex", value)


@pytest.mark.slow
@given(spoiled(GEMINI, {"events": [{"sessionId": "s", "projectHash": "a"}, *GEMINI["messages"], {"$rewindTo": "2"}]}))
def test_spoiled_gemini_cli_sessions_only_refuse(value):
    assert only_refuses("gemini_cli", value)


@pytest.mark.slow
@given(spoiled(QWEN))
def test_spoiled_qwen_code_sessions_only_refuse(value):
    assert only_refuses("qwen_code", value)
