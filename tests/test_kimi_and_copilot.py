"""Sessions of Kimi CLI, Kimi Code and GitHub Copilot CLI: each text once, what was taken back, and subagents."""

import pytest
from hypothesis import given

from tests.spoiled import only_refuses, spoiled
from tests.test_sessions import lines, steps, traces

ASKED = "What is in this folder?"
KIMI = {
    "events": [
        {"role": "_system_prompt", "content": "Be brief."},
        {"role": "_checkpoint", "id": 0},
        {"role": "user", "content": [{"type": "text", "text": "<system>CHECKPOINT 0</system>"}]},
        {"role": "user", "content": ASKED},
        {
            "role": "assistant",
            "content": [
                {"type": "think", "think": "List it.", "encrypted": "c2ln"},
                {"type": "text", "text": "I look."},
            ],
            "tool_calls": [{"type": "function", "id": "c", "function": {"name": "ls", "arguments": '{"path": "."}'}}],
        },
        {"role": "_usage", "token_count": 90},
        {"role": "tool", "content": [{"type": "text", "text": "a.py"}], "tool_call_id": "c"},
        {"role": "assistant", "content": "One file, a.py."},
        {"role": "_usage", "token_count": 120},
    ]
}


def wire(kind, **fields):
    return {"type": kind, **fields, "time": 1_779_256_800_000}


def loop(kind, **fields):
    return wire("context.append_loop_event", event={"type": kind, "uuid": "u", "stepUuid": "s", **fields})


def said(text):
    return [{"type": "text", "text": text}]


KIMI_CODE = {
    "events": [
        {"type": "metadata", "protocol_version": "1.4", "created_at": 1},
        wire("config.update", cwd="/srv/me", systemPrompt="Be brief.", modelAlias="kimi-k2"),
        wire("turn.prompt", input=said(ASKED), origin={"kind": "user"}),
        wire("context.append_message", message={"role": "user", "content": said(ASKED), "toolCalls": []}),
        loop("step.begin"),
        loop("content.part", part={"type": "think", "think": "List it."}),
        loop("content.part", part={"type": "text", "text": "I look."}),
        loop("tool.call", toolCallId="c", name="ls", args={"path": "."}),
        loop("step.end", finishReason="tool_calls"),
        loop("tool.result", toolCallId="c", result={"output": "a.py"}),
        loop("content.part", part={"type": "text", "text": "One file, a.py."}),
        loop("step.end", finishReason="end_turn"),
        wire("usage.record", model="kimi-k2", usage={}),
    ]
}


def copilot(kind, *, agent=None, **data):
    event = {"type": kind, "data": data, "id": "e", "timestamp": "2026-01-01T00:00:00Z", "parentId": None}
    return event | ({"agentId": agent} if agent else {})


CALL = {"toolCallId": "c", "name": "ls", "arguments": {"path": "."}, "type": "function"}
THOUGHT = {"reasoningText": "List it.", "reasoningOpaque": "b3A="}
COPILOT = {
    "events": [
        copilot("session.start", sessionId="s", version=1, producer="copilot-agent", copilotVersion="1.0"),
        copilot("session.model_change", newModel="gpt-5"),
        copilot("system.message", content="Be brief.", role="system"),
        copilot("user.message", content=ASKED, transformedContent=f"<current_datetime/>{ASKED}", attachments=[]),
        copilot("assistant.turn_start", turnId="0"),
        copilot("assistant.reasoning_delta", deltaContent="List"),
        copilot("assistant.message", content="I look.", **THOUGHT, toolRequests=[CALL]),
        copilot("tool.execution_start", toolCallId="c", toolName="ls", arguments={"path": "."}),
        copilot("assistant.reasoning", reasoningId="r", content="List it."),
        copilot("tool.execution_complete", toolCallId="c", result={"content": "a.py", "detailedContent": "…"}),
        copilot("assistant.message", content="One file, a.py.", model="claude-sonnet-4.6", toolRequests=[]),
        copilot("assistant.turn_end", turnId="0"),
    ]
}
LISTED = [("step", "List it."), ("message", "I look."), ("tool_call", 'ls({"path": "."})'), ("observation", "a.py")]


@pytest.mark.parametrize(
    ("name", "row", "meta"),
    [
        ("kimi_cli", KIMI, {"parts": [{"step": 0, "encrypted": "c2ln"}]}),
        ("kimi_code", KIMI_CODE, {"model": "kimi-k2", "finish_reason": "end_turn"}),
        ("copilot_cli", COPILOT, {"model": "claude-sonnet-4.6", "parts": [{"step": 0, "reasoningOpaque": "b3A="}]}),
    ],
)
def test_a_session_is_one_trace_and_has_each_text_once(store, name, row, meta):
    report = store.load(lines("session.jsonl", *row["events"]))
    assert (report.added, report.rejected_count, set(report.formats)) == (1, 0, {name})
    (trace,) = traces(store)
    assert steps(trace) == LISTED
    assert (trace.prompt, trace.final_answer) == (ASKED, "One file, a.py.")
    assert trace.meta["system"].startswith("Be brief.")
    assert meta.items() <= trace.meta.items()
    assert trace.to_json().count("a.py") == 2


def test_each_turn_of_a_kimi_code_session_and_what_was_taken_back(store):
    again = [
        wire("turn.prompt", input=said("Delete it."), origin={"kind": "user"}),
        loop("content.part", part={"type": "text", "text": "Deleted."}),
        wire("context.undo", count=1),
        wire("context.append_message", message={"role": "user", "content": said("Why?"), "origin": {"kind": "user"}}),
        wire(
            "context.append_message", message={"role": "user", "content": said("Be kind."), "origin": {"kind": "hook"}}
        ),
        loop("content.part", part={"type": "text", "text": "Because."}),
        loop("turn.interrupted", reason="aborted"),
        wire("context.apply_compaction", summary="A file was listed."),
        {"type": "of.a_later_version", "text": "kept"},
    ]
    path = lines("session.jsonl", *KIMI_CODE["events"], *again)
    store.load(path)
    (trace,) = traces(store)
    assert [one["content"] for one in trace.meta["extra"]["abandoned"]] == ["Delete it.", "Deleted."]
    assert "Delete it." not in [content for _, content in steps(trace)]
    assert trace.final_answer == "Because."
    assert [one["content"] for one in trace.meta["extra"]["after"]] == ["[interrupted: aborted]", "A file was listed."]
    assert trace.meta["extra"]["cwd"] == "/srv/me"
    assert trace.meta["extra"]["other_events"] == [{"type": "of.a_later_version", "text": "kept"}]
    assert store.load(path, split="turn").added == 2
    assert [trace.prompt for trace in traces(store)[1:]] == [ASKED, "Why?"]


def test_what_subagents_of_copilot_said_is_beside_and_what_failed_is_told(store):
    events = [
        copilot("user.message", content="Fix it."),
        copilot("user.message", content="How to fix.", source="skill-fix"),
        copilot("tool.execution_start", toolCallId="t", toolName="task", arguments="{}"),
        copilot("assistant.message", content="Looked.", parentToolCallId="t"),
        copilot("tool.execution_complete", toolCallId="x", success=True, output="seen", agent="a2"),
        copilot("tool.execution_complete", toolCallId="t", success=False, error={"message": "no such file"}),
        copilot("assistant.message", content="", encryptedContent="c2ln"),
        copilot("assistant.reasoning", content="Try again."),
        copilot("session.compaction_complete", summaryContent="So far nothing.", success=True),
        copilot("abort", reason="user_initiated"),
        {"type": "result", "sessionId": "s", "exitCode": 1},
        copilot("hook.start"),
    ]
    store.load(lines("session.jsonl", *events))
    (trace,) = traces(store)
    assert (trace.prompt, trace.final_answer) == ("Fix it.", None)
    assert [content for _, content in steps(trace)] == ["task({})", "no such file", steps(trace)[2][1], "Try again."]
    assert steps(trace)[2][0] == "redacted"
    assert trace.meta["system"] == "How to fix."
    extra = trace.meta["extra"]
    assert extra["sidechains"] == [
        [{"type": "message", "content": "Looked."}],
        [{"type": "observation", "content": "seen"}],
    ]
    assert [one["content"] for one in extra["after"]] == ["So far nothing.", "[abort: user_initiated]"]
    assert extra["other_events"] == [{"type": "result", "sessionId": "s", "exitCode": 1}]
    assert extra["left_out"] == {"hook.start": 1}


def test_the_log_of_kimi_cli_s_screen_names_the_file_with_the_session(store):
    shown = {"timestamp": 1.5, "message": {"type": "TurnBegin", "payload": {"user_input": ASKED}}}
    report = store.load(lines("wire.jsonl", {"type": "metadata", "protocol_version": "1.3"}, shown))
    assert (report.added, report.rejected[0].reason) == (
        0,
        "is what Kimi CLI showed on the screen; its session is in context.jsonl, in the same folder",
    )


@pytest.mark.slow
@given(spoiled(KIMI))
def test_spoiled_kimi_cli_sessions_only_refuse(value):
    assert only_refuses("kimi_cli", value)


@pytest.mark.slow
@given(spoiled(KIMI_CODE))
def test_spoiled_kimi_code_sessions_only_refuse(value):
    assert only_refuses("kimi_code", value)


@pytest.mark.slow
@given(spoiled(COPILOT))
def test_spoiled_copilot_sessions_only_refuse(value):
    assert only_refuses("copilot_cli", value)


def test_a_session_in_which_the_model_did_nothing_is_refused(store):
    report = store.load(lines("session.jsonl", *KIMI["events"][:4]))
    assert report.rejected[0].reason == "there is no message of the assistant"
