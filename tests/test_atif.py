"""Trajectories in ATIF: one document, or a folder with a file for each step."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tunix_rt.formats import READABLE, Draft, Row

QUESTION = {"step_id": 2, "source": "user", "message": "What does GOOGL cost?"}
SEARCH = {
    "step_id": 3,
    "timestamp": "2025-10-11T10:30:02Z",
    "source": "agent",
    "message": "I will look it up.",
    "reasoning_content": "A search tells the price.",
    "tool_calls": [
        {"tool_call_id": "c1", "function_name": "search", "arguments": {"ticker": "GOOGL"}},
        {"tool_call_id": "c2", "function_name": "now", "arguments": {}},
    ],
    "observation": {"results": [{"source_call_id": "c1", "content": "$185.35"}, {"content": "10:30"}]},
    "metrics": {"prompt_tokens": 520, "completion_token_ids": [1, 2, 3], "logprobs": [-0.1, float("-inf")]},
}
ANSWER = {"step_id": 4, "source": "agent", "message": "$185.35", "reasoning_content": "There it is."}
HEAD = {
    "schema_version": "ATIF-v1.7",
    "session_id": "s-1",
    "agent": {"name": "harbor-agent", "version": "1.0.0", "model_name": "gemini"},
    "final_metrics": {"total_steps": 4},
    "of_a_later_version": {"cost": float("nan")},
}
SYSTEM = {"step_id": 1, "source": "system", "message": "Be brief."}
STEPS = [SYSTEM, QUESTION, SEARCH, ANSWER]


def trajectory(*steps, **fields):
    return HEAD | {"steps": list(steps)} | fields


EXPECTED = rt.Trace(
    prompt="What does GOOGL cost?",
    steps=[
        rt.Step(i=i, type=kind, content=content)
        for i, (kind, content) in enumerate(
            [
                ("step", "A search tells the price."),
                ("message", "I will look it up."),
                ("tool_call", 'search({"ticker": "GOOGL"})'),
                ("tool_call", "now({})"),
                ("observation", "$185.35"),
                ("observation", "10:30"),
                ("step", "There it is."),
            ]
        )
    ],
    final_answer="$185.35",
    meta={
        "source": "atif",
        "model": "gemini",
        "system": "Be brief.",
        "extra": {
            "schema_version": "ATIF-v1.7",
            "session_id": "s-1",
            "agent": HEAD["agent"],
            "final_metrics": {"total_steps": 4},
            "of_a_later_version": {"cost": None},
            "steps": [
                {
                    "step_id": 3,
                    "timestamp": "2025-10-11T10:30:02Z",
                    "metrics": {"prompt_tokens": 520},
                    "tool_calls": [{"tool_call_id": "c1"}, {"tool_call_id": "c2"}],
                    "observation": {"results": [{"source_call_id": "c1"}]},
                },
            ],
        },
    },
)


def write(path, value):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=2), encoding="utf-8")
    return path


def folder(path, *steps, metadata=HEAD):
    write(f"{path}/metadata.json", metadata)
    for step in steps:
        write(f"{path}/step_{step['step_id']:06}.json", step)
    return Path(path)


def the_trace(store, *steps, **fields):
    report = store.load(write("t.json", trajectory(*steps, **fields)))
    assert (report.format, report.added, report.rejected) == ("atif", 1, [])
    return store.latest().payload


def test_a_trajectory_in_one_document(store):
    assert the_trace(store, *STEPS) == EXPECTED


def test_a_trajectory_in_a_folder_is_the_same_trace(store):
    report = store.load(folder("run/traj_a1", *STEPS))
    assert (report.format, report.added, report.rejected) == ("atif", 1, [])
    assert store.latest().payload == EXPECTED
    assert store.load(write("t.json", trajectory(*STEPS))).already_stored == 1


def test_folders_are_found_below_a_folder_and_by_a_pattern(store):
    for name in ("a", "b"):
        folder(f"run/traj_{name}", QUESTION, ANSWER, metadata=HEAD | {"session_id": name})
    write("run/single.json", trajectory(QUESTION, ANSWER, session_id="c"))
    write("run/traj_notes/notes.json", trajectory(QUESTION, ANSWER, session_id="d"))
    done = []
    report = store.load("run", progress=lambda *told: done.append(told))
    assert (report.added, report.rejected, report.format) == (4, [], "atif")
    assert done[-1][0] == done[-1][1]
    assert store.load("run/traj_*").already_stored == 2


def test_the_steps_of_a_folder_stand_in_the_order_of_their_numbers(store):
    steps = [QUESTION, *(ANSWER | {"step_id": n, "message": str(n)} for n in (10, 9, 100))]
    store.load(folder("traj_a", *steps))
    trace = store.latest().payload
    assert [step.content for step in trace.steps if step.type == "message"] == ["9", "10"]
    assert trace.final_answer == "100"


def test_a_message_in_parts_with_tags_and_no_model(store):
    message = [{"type": "text", "text": "<think>Hm.</think>An "}, {"type": "image", "source": {}}]
    trace = the_trace(store, QUESTION, {"source": "agent", "message": message}, agent={"name": "a"})
    assert ([step.content for step in trace.steps], trace.final_answer) == (["Hm."], "An")
    assert "model" not in trace.meta
    assert trace.meta["parts"] == [message[1]]


def test_what_user_and_system_say_later_is_a_step(store):
    later = [{"source": "user", "message": "And MSFT?"}, {"source": "system", "message": "Context was cut."}]
    trace = the_trace(store, QUESTION, {"source": "agent", "message": "$185"}, *later, ANSWER)
    assert [(step.type, step.content) for step in trace.steps] == [
        ("message", "$185"),
        ("user", "And MSFT?"),
        ("system", "Context was cut."),
        ("step", "There it is."),
    ]


def test_an_agent_that_was_cut_off_has_no_answer(store):
    trace = the_trace(store, QUESTION, SEARCH | {"message": ""})
    assert (trace.final_answer, trace.meta.get("truncated")) == (None, None)
    assert the_trace(store, QUESTION).final_answer is None
    assert the_trace(store, ANSWER).prompt == ""


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"steps": 3}, "steps", "must be a list"),
        ({"steps": [3]}, "steps.0", "must be an object"),
        ({"steps": [{"message": "m"}]}, "steps.0.source", "must be one of system, user and agent"),
        ({"steps": [{"source": []}]}, "steps.0.source", "must be one of system, user and agent"),
        ({"steps": [SYSTEM | {"message": 3}]}, "steps.0.message", "must be a string or a list of parts"),
        (
            {"steps": [SYSTEM | {"message": [{"type": "text", "text": 3}]}]},
            "steps.0.message.0.text",
            "must be a string",
        ),
        ({"steps": [SYSTEM | {"message": [{"type": []}]}]}, "steps.0.message.0.type", "must be a string"),
        ({"steps": [ANSWER | {"reasoning_content": {}}]}, "steps.0.reasoning_content", "must be a string"),
        ({"steps": [ANSWER | {"tool_calls": {}}]}, "steps.0.tool_calls", "must be a list"),
        ({"steps": [ANSWER | {"observation": 3}]}, "steps.0.observation", "must be an object"),
        (
            {"steps": [ANSWER | {"observation": {"results": [{"content": 3}]}}]},
            "steps.0.observation.results.0.content",
            "must be a string or a list of parts",
        ),
        ({"agent": "me"}, "agent", "must be an object"),
        ({"agent": {"model_name": 3}}, "agent.model_name", "must be a string"),
    ],
)
def test_a_wrong_type_is_told_by_its_path(same_store, fields, field, reason):
    (rejected,) = same_store.load(write("t.json", trajectory(QUESTION) | fields)).rejected
    assert (rejected.field, rejected.reason) == (field, reason)


def test_a_folder_that_cannot_be_read_is_told_and_does_not_stop_the_others(store, monkeypatch):
    monkeypatch.setattr("tunix_rt.formats.reading.MAX_ROW_BYTES", 5_000)
    folder("run/traj_good", *STEPS)
    write(folder("run/traj_broken", *STEPS) / "step_000003.json", "{")
    folder("run/traj_list", *STEPS, metadata=[])
    folder("run/traj_large", *STEPS, ANSWER | {"step_id": 5, "message": "x" * 5_000})
    (folder("run/traj_odd", *STEPS) / "step_000009.json").mkdir()
    report = store.load("run")
    assert report.added == 1
    told = {Path(found.file).name: found.reason for found in report.rejected}
    assert told["traj_broken"].startswith(str(Path("run/traj_broken/step_000003.json: invalid JSON")))
    assert told["traj_list"] == str(Path("run/traj_list/metadata.json: must be an object"))
    assert told["traj_large"] == "exceeds maximum of 5,000 bytes for a row"
    assert told["traj_odd"] == str(Path("run/traj_odd/step_000009.json: is not a regular file"))


def test_a_document_of_another_schema_is_none():
    known = READABLE["atif"]
    assert known.misfit({"schema_version": 2, "steps": []}) == "schema_version is not one of ATIF"
    assert known.misfit({"prompt": "p", "steps": []}) == "no field schema_version"
    assert [one.name for one in READABLE.values() if one.misfit(trajectory()) is None] == ["atif"]


NAMES = "step_id source message reasoning_content tool_calls observation results content type text function_name agent"
keys = st.sampled_from(NAMES.split()) | st.text(max_size=3)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["agent", "user"])
)
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5))
steps = st.fixed_dictionaries(
    {"source": st.sampled_from(["agent", "user", "system"])},
    optional=dict.fromkeys(("message", "reasoning_content", "tool_calls", "observation", "metrics"), anything),
)


@pytest.mark.slow
@given(anything, st.lists(steps, max_size=4) | anything)
def test_no_trajectory_whatsoever_raises_anything_but_trace_invalid(agent, said):
    value = trajectory(agent=agent, steps=said)
    READABLE["atif"].misfit(value)
    try:
        found = list(READABLE["atif"].drafts(Row("t.json", 1, value=value)))
    except rt.TraceInvalid:
        return
    assert all(isinstance(draft, Draft | rt.TraceInvalid) for draft in found)


@pytest.mark.parametrize("extra", ["text", ["a list"], 3, None, {"an": "object"}])
def test_whatever_a_meta_holds_under_extra_comes_back(store, tmp_path, make_trace, extra):
    written = make_trace(meta={"source": "s", "extra": extra})
    store.add(written)
    store.export("own.jsonl", format="atif")
    there = rt.TraceStore(tmp_path / "there.duckdb")
    assert there.load("own.jsonl").added == 1
    meta = there.latest().payload.meta
    if isinstance(extra, dict):
        assert meta == written.meta
    else:
        # Not unpacked, and not lost.
        assert meta["extra"]["extra"]["meta"] == written.meta
