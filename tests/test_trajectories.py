"""Trajectories of agents that work on code, and exports of tracing: SWE-agent, OpenHands, LangSmith, Langfuse."""

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given

from tests.spoiled import only_refuses, read, spoiled
from tunix_rt.formats import READABLE, Row

SWE = {
    "environment": "e",
    "replay_config": json.dumps({"agent": {"model": {"name": "gpt-x"}}}),
    "trajectory": [
        {
            "thought": "Look first.",
            "action": "ls",
            "observation": "a.py",
            "response": "Look first.\n\n```\nls\n```",
            "query": [{"role": "user", "content": "Fix a.py"}],
            "execution_time": 0.1,
        },
        {"thought": "", "action": "", "observation": "", "response": "I cannot go on."},
    ],
    "history": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "An example.", "is_demo": True},
        {"role": "assistant", "content": "An answer.", "is_demo": True},
        {"role": "user", "content": [{"type": "text", "text": "Fix a.py"}]},
        {"role": "assistant", "content": "Look first."},
    ],
    "info": {"exit_status": "submitted", "submission": "diff --git", "model_stats": {"api_calls": 2}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
MINI = {
    "trajectory_format": "mini-swe-agent-1.1",
    "info": {"exit_status": "Submitted", "submission": "diff", "config": {"model": {"model_name": "m"}}},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Fix a.py"},
        {"role": "assistant", "content": "Look first.", "tool_calls": [CALL], "extra": {"cost": 1}},
        {"role": "tool", "content": "a.py", "tool_call_id": "c1"},
        {"role": "exit", "content": "diff", "extra": {"exit_status": "Submitted"}},
    ],
}
OPENHANDS = {
    "instance_id": "i1",
    "metadata": {"llm_config": {"model": "m"}},
    "report": {"resolved": True},
    "history": [
        {"id": 0, "source": "agent", "action": "system", "args": {"content": "Be brief.", "tools": []}},
        {"id": 1, "source": "user", "action": "message", "args": {"content": "Fix a.py", "image_urls": []}},
        {"id": 2, "source": "environment", "observation": "agent_state_changed", "content": "", "extras": {}},
        {"id": 3, "source": "agent", "action": "run", "args": {"command": "ls", "thought": "Look first."}},
        {
            "id": 4,
            "source": "agent",
            "observation": "run",
            "content": "a.py",
            "cause": 3,
            "extras": {"metadata": {"exit_code": 0}},
        },
        {"id": 5, "source": "agent", "action": "finish", "args": {"final_thought": "Fixed.", "outputs": {}}},
    ],
}
SDK = {
    "events": [
        {"kind": "SystemPromptEvent", "source": "agent", "system_prompt": {"type": "text", "text": "Be brief."}},
        {
            "kind": "MessageEvent",
            "source": "user",
            "llm_message": {"role": "user", "content": [{"type": "text", "text": "Fix a.py"}]},
        },
        {
            "kind": "ActionEvent",
            "source": "agent",
            "thought": [{"type": "text", "text": "Look first."}],
            "action": {"kind": "TerminalAction", "command": "ls"},
            "tool_name": "terminal",
            "tool_call": {"name": "terminal", "arguments": '{"command": "ls"}'},
        },
        {
            "kind": "ObservationEvent",
            "source": "environment",
            "tool_name": "terminal",
            "observation": {"content": [{"type": "text", "text": "a.py"}], "exit_code": 0},
        },
        {"kind": "ConversationStateUpdateEvent", "source": "environment", "key": "k"},
        {
            "kind": "ActionEvent",
            "source": "agent",
            "tool_name": "finish",
            "action": {"kind": "FinishAction", "message": "Fixed."},
        },
        {
            "kind": "ObservationEvent",
            "source": "environment",
            "tool_name": "finish",
            "observation": {"content": "Fixed."},
        },
    ]
}
RUN = {
    "id": "r1",
    "trace_id": "r1",
    "run_type": "llm",
    "extra": {"metadata": {"ls_model_name": "m"}},
    "inputs": {
        "messages": [
            [
                {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "2 + 2?"}},
            ]
        ]
    },
    "outputs": {
        "generations": [
            [
                {
                    "text": "4",
                    "generation_info": {"finish_reason": "stop"},
                    "message": {
                        "lc": 1,
                        "type": "constructor",
                        "id": ["langchain", "schema", "messages", "AIMessage"],
                        "kwargs": {"content": "4", "additional_kwargs": {"reasoning_content": "Two and two."}},
                    },
                }
            ]
        ]
    },
}
BATCH = {
    "post": [{"id": "a", "trace_id": "a", "run_type": "chain", "inputs": {"input": "2 + 2?"}}, RUN | {"outputs": None}],
    "patch": [{"id": "r1", "trace_id": "a", "outputs": RUN["outputs"]}],
}
LANGFUSE = {
    "trace": {"id": "t1", "name": "agent", "input": '{"question": "What is here?"}', "output": '"One file."'},
    "observations": [
        {
            "id": "o3",
            "type": "GENERATION",
            "startTime": "2026-01-01T00:00:03Z",
            "model": "m",
            "input": json.dumps(
                [
                    {"role": "user", "content": "What is here?"},
                    {"role": "assistant", "content": "", "tool_calls": [CALL]},
                    {"role": "tool", "content": "a.py", "tool_call_id": "c1"},
                ]
            ),
            "output": '{"role": "assistant", "content": "One file."}',
        },
        {
            "id": "o1",
            "type": "GENERATION",
            "startTime": "2026-01-01T00:00:01Z",
            "model": "m",
            "input": '[{"role": "user", "content": "What is here?"}]',
            "output": json.dumps({"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]}),
        },
        {
            "id": "o2",
            "type": "TOOL",
            "name": "bash",
            "startTime": "2026-01-01T00:00:02Z",
            "input": "{}",
            "output": "a.py",
        },
    ],
}


def steps(trace):
    return [(step.type, step.content) for step in trace.steps]


def traces(store):
    return [record.payload for record in store.records(newest_first=False)]


def test_swe_agent():
    (trace,) = read("swe_agent", SWE)
    assert (trace.prompt, trace.final_answer) == ("Fix a.py", "diff --git")
    assert steps(trace) == [
        ("step", "Look first."),
        ("tool_call", "ls"),
        ("observation", "a.py"),
        ("step", "I cannot go on."),
    ]
    assert trace.meta["system"] == "Be brief."
    assert (trace.meta["model"], trace.meta["finish_reason"]) == ("gpt-x", "submitted")
    assert trace.meta["parts"] == [{"step": 1, "execution_time": 0.1}]
    assert trace.meta["extra"]["info"] == {"model_stats": {"api_calls": 2}}


def test_swe_agent_without_a_history_or_a_submission():
    row = {**SWE, "history": [], "info": {"exit_status": None}}
    (trace,) = read("swe_agent", row)
    assert (trace.prompt, trace.final_answer) == ("Fix a.py", None)
    assert "finish_reason" not in trace.meta


def test_trajectories_are_found_in_folders_and_archives(store):
    Path("runs").mkdir()
    Path("runs/i1.traj").write_text(json.dumps(SWE, indent=1), encoding="utf-8")
    assert store.load("runs").added == 1
    with tarfile.open("runs.tar.gz", "w:gz") as archive:
        archive.add("runs/i1.traj")
    assert store.load("runs.tar.gz", known="add").added == 1
    assert {trace.meta["source"] for trace in traces(store)} == {"swe_agent"}


def test_mini_swe_agent(store):
    Path("i1.traj.json").write_text(json.dumps(MINI, indent=1), encoding="utf-8")
    assert set(store.load("i1.traj.json").formats) == {"mini_swe_agent"}
    (trace,) = traces(store)
    assert (trace.prompt, trace.final_answer) == ("Fix a.py", "diff")
    assert steps(trace) == [
        ("message", "Look first."),
        ("tool_call", 'bash({"command": "ls"})'),
        ("observation", "a.py"),
    ]
    assert (trace.meta["model"], trace.meta["finish_reason"]) == ("m", "Submitted")


def test_mini_swe_agent_with_outputs_of_the_responses_api():
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look first."}]},
        {"type": "function_call", "name": "bash", "arguments": "{}", "call_id": "c"},
    ]
    messages = [
        {"role": "user", "content": "Fix a.py"},
        {"object": "response", "output": output},
        {"type": "function_call_output", "call_id": "c", "output": "a.py"},
    ]
    (trace,) = read("mini_swe_agent", {"info": {"exit_status": "LimitsExceeded"}, "messages": messages})
    assert steps(trace) == [("step", "Look first."), ("tool_call", "bash({})"), ("observation", "a.py")]
    assert (trace.final_answer, trace.meta["finish_reason"]) == (None, "LimitsExceeded")


@pytest.mark.parametrize("row", [OPENHANDS, SDK], ids=["actions", "kinds"])
def test_openhands(row):
    (trace,) = read("openhands", row)
    assert (trace.prompt, trace.final_answer) == ("Fix a.py", "Fixed.")
    assert [kind for kind, _ in steps(trace)] == ["step", "tool_call", "observation"]
    assert steps(trace)[0][1] == "Look first."
    assert '({"command": "ls"})' in steps(trace)[1][1]
    assert steps(trace)[2][1] == "a.py"
    assert trace.meta["system"] == "Be brief."
    assert sum(trace.meta["extra"]["left_out"].values()) == 1


def test_openhands_evaluations_have_a_verdict_and_pairs():
    (trace,) = read("openhands", OPENHANDS)
    assert (trace.meta["model"], trace.meta["correct"]) == ("m", True)
    assert trace.meta["extra"]["instance_id"] == "i1"
    assert trace.meta["parts"] == [{"step": 2, "extras": {"metadata": {"exit_code": 0}}}]
    pairs = [OPENHANDS["history"][3:5], OPENHANDS["history"][5:]]
    (trace,) = read("openhands", {"instruction": "Fix a.py", "history": pairs})
    assert (trace.prompt, trace.final_answer) == ("Fix a.py", "Fixed.")


@pytest.mark.parametrize("indent", [None, 1], ids=["lines", "an array"])
def test_openhands_events_in_a_file_are_one_trace(store, indent):
    events = OPENHANDS["history"]
    text = json.dumps(events, indent=1) if indent else "".join(json.dumps(event) + "\n" for event in events)
    Path("events.json").write_text(text, encoding="utf-8")
    assert store.load("events.json").added == 1
    again = [{"id": 6, "source": "user", "action": "message", "args": {"content": "Test it."}}, *events[3:]]
    Path("longer.json").write_text(json.dumps([*events, *again]), encoding="utf-8")
    assert store.load("longer.json", split="turn").added == 2
    assert [trace.prompt for trace in traces(store)] == ["Fix a.py", "Fix a.py", "Test it."]


def test_langsmith_runs():
    (trace,) = read("langsmith", RUN)
    assert (trace.prompt, trace.final_answer) == ("2 + 2?", "4")
    assert steps(trace) == [("step", "Two and two.")]
    assert (trace.meta["model"], trace.meta["finish_reason"]) == ("m", "stop")
    assert trace.meta["extra"]["trace_id"] == "r1"


def test_langsmith_batches_are_runs_that_ended():
    (trace,) = read("langsmith", BATCH)
    assert (trace.prompt, trace.final_answer) == ("2 + 2?", "4")
    chain = BATCH["post"][0] | {"outputs": {"output": "4"}}
    (trace,) = read("langsmith", {"post": [chain], "patch": []})
    assert (trace.prompt, trace.final_answer) == ("2 + 2?", "4")


def test_langsmith_chains_and_tools(store):
    messages = [
        {"type": "human", "content": "What is here?"},
        {"type": "ai", "content": "", "tool_calls": [{"name": "ls", "args": {}, "id": "c"}]},
        {"type": "tool", "content": "a.py"},
        {"type": "ai", "content": "One file."},
    ]
    rows = [
        {"id": "1", "run_type": "chain", "inputs": {"messages": messages[:1]}, "outputs": {"messages": messages}},
        {"id": "2", "run_type": "tool", "parent_run_id": "1", "inputs": {"input": "."}, "outputs": {"output": "a.py"}},
        {"id": "3", "run_type": "llm", "parent_run_id": "1", "inputs": {}, "error": "timed out", "outputs": None},
    ]
    Path("runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report = store.load("runs.jsonl")
    (trace,) = traces(store)
    assert (trace.prompt, trace.final_answer) == ("What is here?", "One file.")
    assert steps(trace) == [("tool_call", "ls({})"), ("observation", "a.py")]
    assert [(rejected.line, rejected.field) for rejected in report.rejected] == [(2, "run_type"), (3, "outputs")]


def test_langfuse(store):
    Path("export.json").write_text(json.dumps(LANGFUSE, indent=1), encoding="utf-8")
    assert store.load("export.json").added == 1
    (trace,) = traces(store)
    assert (trace.prompt, trace.final_answer) == ("What is here?", "One file.")
    assert steps(trace) == [
        ("message", "Let me look."),
        ("tool_call", 'bash({"command": "ls"})'),
        ("observation", "a.py"),
    ]
    assert trace.meta["model"] == "m"
    assert trace.meta["extra"]["trace"] == {"id": "t1", "name": "agent"}


def test_langfuse_observations_alone_and_traces_that_hold_them():
    row = LANGFUSE["observations"][1] | {"traceId": "t1"}
    (trace,) = read("langfuse", row | {"output": "Nothing."})
    assert (trace.prompt, trace.final_answer) == ("What is here?", "Nothing.")
    (trace,) = read("langfuse", LANGFUSE["trace"] | {"observations": LANGFUSE["observations"]})
    assert trace.final_answer == "One file."
    (trace,) = read(
        "langfuse", {"observations": [row, {"id": "x", "type": "SPAN", "name": "rank", "input": 1, "output": 2}]}
    )
    assert steps(trace)[-2:] == [("tool_call", "rank(1)"), ("observation", "2")]


def test_each_row_is_of_its_own_format():
    for name, row in {"swe_agent": SWE, "mini_swe_agent": MINI, "openhands": OPENHANDS, "langsmith": RUN}.items():
        assert next(one.name for one in READABLE.values() if one.misfit(row) is None) == name
    for row in (LANGFUSE, BATCH, SDK):
        known = next(one for one in READABLE.values() if one.misfit(row) is None)
        assert list(known.drafts(Row("rows", 1, value=row)))


@pytest.mark.slow
@given(spoiled(SWE))
def test_spoiled_swe_agent_trajectories_only_refuse(value):
    assert only_refuses("swe_agent", value)


@pytest.mark.slow
@given(spoiled(MINI))
def test_spoiled_mini_swe_agent_trajectories_only_refuse(value):
    assert only_refuses("mini_swe_agent", value)


@pytest.mark.slow
@given(spoiled(OPENHANDS, SDK))
def test_spoiled_openhands_histories_only_refuse(value):
    assert only_refuses("openhands", value)


@pytest.mark.slow
@given(spoiled(RUN, BATCH))
def test_spoiled_langsmith_runs_only_refuse(value):
    assert only_refuses("langsmith", value)


@pytest.mark.slow
@given(spoiled(LANGFUSE, LANGFUSE["observations"][1] | {"trace_id": "t1"}))
def test_spoiled_langfuse_exports_only_refuse(value):
    assert only_refuses("langfuse", value)
