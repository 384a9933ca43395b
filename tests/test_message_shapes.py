"""Messages in every shape that people have them in, and texts under names that no rule knows."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import load, told
from tests.spoiled import only_refuses, read, spoiled
from tunix_rt.formats import READABLE, Row

ASKED = {"role": "user", "content": "Is 91 prime?"}
SAID = {"role": "assistant", "content": "<think>91 = 7 × 13</think>No."}


def steps(trace):
    return [step.content for step in trace.steps]


@pytest.mark.parametrize("name", ["text", "value", "content", "input_text", "output_text", "body"])
def test_a_part_is_read_under_every_name_of_its_text(name):
    answer = {"role": "assistant", "content": [{"type": "reasoning", name: "7 × 13"}, {"type": "text", name: "No."}]}
    asked = {"role": "user", "content": [{"type": "text", name: "Is 91 prime?"}]}
    (trace,) = read("messages", {"messages": [asked, answer]})
    assert (trace.prompt, steps(trace), trace.final_answer) == ("Is 91 prime?", ["7 × 13"], "No.")


@pytest.mark.parametrize(
    ("content", "thought", "answer"),
    [
        ({"answer": "No."}, [], "No."),
        ({"reasoning": "7 × 13", "reply": "No."}, ["7 × 13"], "No."),
        ({"type": "text", "text": "No."}, [], "No."),
        ({"content_type": "text", "parts": ["No."]}, [], "No."),
        ([{"type": "text", "text": {"value": "No.", "annotations": []}}], [], "No."),
    ],
)
def test_an_object_in_the_place_of_a_content_gives_its_text(content, thought, answer):
    (trace,) = read("messages", {"messages": [ASKED, {"role": "assistant", "content": content}]})
    assert (steps(trace), trace.final_answer) == (thought, answer)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "assistant", "content": {"first": "No.", "second": "Yes."}}, "messages.1.content.first"),
        ({"role": "assistant", "content": [{"type": "text", "one": "No.", "two": "Yes."}]}, "messages.1.content.0.one"),
        ({"role": "assistant", "content": [{"type": "verdict", "body": "No."}]}, "messages.1.content.0.body"),
        ({"role": "assistant", "utterance": "No."}, "messages.1.utterance"),
        ({"role": "user", "said": "Is it?"}, "messages.1.said"),
        ({"role": "assistant", "content": {"text": "No.", "more": "Since 7 × 13."}}, "messages.1.content.more"),
    ],
)
def test_text_that_no_rule_takes_is_a_rejection_that_names_it(store, message, field):
    report, traces = load(store, {"messages": [ASKED, message, SAID]}, {"messages": [ASKED, SAID]})
    assert [rejected[0] for rejected in told(report)] == [field]
    assert "holds text" in report.rejected[0].reason
    assert len(traces) == 1


def test_what_is_no_text_is_no_reason_to_reject():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    for part in (picture, {"type": "file", "name": "a.pdf"}, {"type": "step-start"}, {"type": "input_audio", "x": "y"}):
        (trace,) = read("messages", {"messages": [{"role": "user", "content": [part]}, SAID]})
        assert trace.prompt.startswith("[")


LANGCHAIN = {
    "messages": [
        {"type": "system", "content": "Be brief."},
        {
            "type": "human",
            "content": "Is 91 prime?",
            "additional_kwargs": {},
            "response_metadata": {},
            "example": False,
        },
        {
            "type": "ai",
            "content": "No.",
            "additional_kwargs": {"reasoning_content": "7 × 13"},
            "response_metadata": {"model_name": "r1", "finish_reason": "stop"},
            "tool_calls": [],
            "invalid_tool_calls": [],
        },
    ]
}
CLASSES = {"system": "SystemMessage", "human": "HumanMessage", "ai": "AIMessageChunk"}
DUMPED = {
    "messages": [
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain_core", "messages", CLASSES[one["type"]]],
            "kwargs": {name: item for name, item in one.items() if name != "type"},
        }
        for one in LANGCHAIN["messages"]
    ]
}
AS_DICTS = {"messages": [{"type": one["type"], "data": one} for one in LANGCHAIN["messages"]]}


@pytest.mark.parametrize("row", [LANGCHAIN, DUMPED, AS_DICTS], ids=["plain", "dumps", "messages_to_dict"])
def test_langchain(store, row):
    report, (trace,) = load(store, row)
    assert report.format == "langchain"
    assert (trace.prompt, steps(trace), trace.final_answer) == ("Is 91 prime?", ["7 × 13"], "No.")
    assert [trace.meta[key] for key in ("model", "finish_reason", "system")] == ["r1", "stop", "Be brief."]


def test_langchain_with_tools():
    call = {"name": "divide", "args": {"a": 91, "b": 7}, "id": "c", "type": "tool_call"}
    given_before = [{"type": "human", "content": "Is 91 prime?"}, {"type": "ai", "content": "", "tool_calls": [call]}]
    given_before.append({"type": "tool", "content": "13", "tool_call_id": "c"})
    (trace,) = read("langchain", {"messages": [*given_before, {"type": "ai", "content": "No."}]})
    assert trace.prompt == 'User: Is 91 prime?\n\nAssistant: [calls divide({"a": 91, "b": 7})]\n\nTool: 13'
    assert trace.final_answer == "No."


def test_messages_under_another_name(store):
    report, (trace,) = load(store, {"task": 3, "dialogue": [ASKED, SAID]})
    assert (report.format, trace.prompt, steps(trace)) == ("other_messages", "Is 91 prime?", ["91 = 7 × 13"])
    assert trace.meta["extra"] == {"task": 3}
    two = {"one": [ASKED, SAID], "other": [ASKED, SAID]}
    assert READABLE["other_messages"].misfit(two)
    assert READABLE["other_messages"].misfit({"users": [{"role": "admin", "content": "x"}]})


def test_messages_of_an_agent_under_another_name_are_steps(store):
    call = {"type": "function", "function": {"name": "divide", "arguments": "{}"}}
    calls = {"role": "assistant", "content": "I try 7.", "tool_calls": [call]}
    traj = [{"role": "system", "content": "Use tools."}, ASKED, calls, {"role": "tool", "content": "13"}, SAID]
    _, (trace,) = load(store, {"traj": traj, "trial": 0})
    assert [(step.type, step.content) for step in trace.steps] == [
        ("message", "I try 7."),
        ("tool_call", "divide({})"),
        ("observation", "13"),
        ("step", "91 = 7 × 13"),
    ]
    assert (trace.prompt, trace.final_answer, trace.meta["system"]) == ("Is 91 prime?", "No.", "Use tools.")
    assert trace.meta["extra"] == {"trial": 0, "traj": traj}


COHERE = {
    "id": "c1",
    "finish_reason": "MAX_TOKENS",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "7 × 13"}, {"type": "text", "text": "No"}],
    },
    "usage": {"tokens": {"output_tokens": 9}},
}
OLLAMA = {
    "model": "qwen3",
    "message": {"role": "assistant", "content": "No.", "thinking": "7 × 13"},
    "done": True,
    "done_reason": "stop",
}
BEDROCK = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "7 × 13", "signature": "sig"}}},
                {"text": "No."},
            ],
        }
    },
    "stopReason": "end_turn",
    "usage": {"totalTokens": 9},
}


def test_a_response_without_its_request_has_an_empty_prompt(store):
    report, (trace,) = load(store, COHERE)
    assert (report.format, trace.trace_version, trace.prompt) == ("message", "1.1", "")
    assert (steps(trace), trace.final_answer) == (["7 × 13"], "No")
    assert (trace.meta["finish_reason"], trace.meta["truncated"]) == ("MAX_TOKENS", True)


def test_the_response_of_ollama_with_its_request():
    (trace,) = read("message", {"request": {"messages": [ASKED]}, "response": OLLAMA})
    assert (trace.prompt, steps(trace), trace.final_answer) == ("Is 91 prime?", ["7 × 13"], "No.")
    assert (trace.meta["model"], trace.meta["finish_reason"]) == ("qwen3", "stop")


def test_an_event_of_a_session_is_no_response():
    assert READABLE["message"].misfit(COHERE | {"parentUuid": None})
    assert READABLE["message"].misfit({"message": {"role": "user", "content": "Hi"}})


def test_bedrock(store):
    request = {
        "modelId": "m",
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "?"}]}],
    }
    report, (alone, asked) = load(store, BEDROCK, {"request": request, "response": BEDROCK})
    assert (report.format, alone.prompt, asked.prompt, asked.meta["system"]) == ("bedrock", "", "?", "Be brief.")
    assert (steps(alone), alone.final_answer, alone.meta["finish_reason"]) == (["7 × 13"], "No.", "end_turn")
    assert (asked.meta["model"], asked.meta["parts"]) == ("m", [{"step": 0, "signature": "sig"}])


def test_bedrock_s_sealed_reasoning_and_calls():
    content = [
        {"reasoningContent": {"redactedContent": "abc="}},
        {"toolUse": {"toolUseId": "t", "name": "divide", "input": {"a": 91}}},
    ]
    row = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "tool_use"}
    (trace,) = read("bedrock", row)
    assert ([step.type for step in trace.steps], trace.final_answer) == (["redacted"], None)
    assert trace.meta["tool_calls"] == [content[1]]


TEXTS = {
    "id": "cmpl-1",
    "object": "text_completion",
    "model": "base",
    "prompt": "Is 91 prime?",
    "choices": [
        {"index": 0, "text": "<think>7 × 13</think>No.", "finish_reason": "stop", "logprobs": None},
        {"index": 1, "text": "Yes", "finish_reason": "length", "logprobs": None},
    ],
}


def test_text_completions(store):
    report, (one, two) = load(store, TEXTS)
    assert report.format == "text_completion"
    assert (one.prompt, steps(one), one.final_answer, one.meta["finish_reason"]) == (
        "Is 91 prime?",
        ["7 × 13"],
        "No.",
        "stop",
    )
    assert (two.final_answer, two.meta["truncated"], two.meta["sample"]) == ("Yes", True, 1)
    quiz = {"question": "Which?", "choices": [{"label": "A", "text": "three"}]}
    assert READABLE["text_completion"].misfit(quiz)


def chunk(key="c1", index=0, finish=None, **delta):
    return {
        "id": key,
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }


CHUNKS = [
    {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": []},
    chunk(role="assistant", content=""),
    chunk(reasoning_content="7 "),
    chunk(reasoning_content="× 13"),
    chunk(content="N"),
    chunk(content="o."),
    chunk(finish="stop"),
    {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": {"total_tokens": 9}},
]


def test_chunks_of_a_stream_are_one_completion(store):
    report, traces = load(store, *CHUNKS, *(one | {"id": "c2"} for one in CHUNKS))
    assert (report.format, report.added) == ("chunks", 2)
    for trace in traces:
        assert (trace.prompt, steps(trace), trace.final_answer) == ("", ["7 × 13"], "No.")
        assert trace.meta["finish_reason"] == "stop"
        assert trace.meta["extra"]["usage"] == {"total_tokens": 9}


def test_chunks_of_several_streams_and_choices_may_be_mixed(store):
    rows = [
        *(chunk("a", content="A1"), chunk("b", content="B1"), chunk("a", 1, content="A2"), chunk("b", content="B2")),
        *(chunk("a", finish="stop"), chunk("a", 1, "length"), chunk("b", finish="stop")),
    ]
    _, traces = load(store, *rows)
    assert sorted(trace.final_answer for trace in traces) == ["A1", "A2", "B1B2"]


def test_a_stream_that_ended_early_is_kept_and_the_same_id_again_is_another(store):
    rows = [
        chunk("a", content="One"),
        chunk("a", finish="stop"),
        chunk("a", content="Two"),
        chunk("a", content=" more"),
    ]
    _, traces = load(store, *rows)
    assert [trace.final_answer for trace in traces] == ["One", "Two more"]


def test_calls_of_tools_come_in_pieces(store):
    def piece(**function):
        return chunk(tool_calls=[{"index": 0, "function": function}])

    first = chunk(
        tool_calls=[{"index": 0, "id": "t", "type": "function", "function": {"name": "div", "arguments": ""}}]
    )
    _, (trace,) = load(store, first, piece(arguments='{"a"'), piece(arguments=": 91}"), chunk(finish="tool_calls"))
    (call,) = trace.meta["tool_calls"]
    assert call["function"] == {"name": "div", "arguments": '{"a": 91}'}


def test_streamed_texts_are_put_together(store):
    def text(said, finish=None):
        return {
            "id": "t",
            "object": "text_completion",
            "choices": [{"index": 0, "text": said, "finish_reason": finish}],
        }

    _, (trace,) = load(store, text("<think>7 ×"), text(" 13</think>"), text("No.", "stop"))
    assert (steps(trace), trace.final_answer) == (["7 × 13"], "No.")


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20), st.text("xyz ", min_size=1))
def test_the_texts_of_chunks_are_whole_in_every_order(keys, said):
    rows = [Row("f", n, value=chunk(key, content=f"{n}{said}")) for n, key in enumerate(keys)]
    gathered = [row.value for row in READABLE["chunks"].gathered(iter(rows), 2**20)]
    contents = {value["id"]: value["choices"][0]["message"]["content"] for value in gathered}
    assert contents == {key: "".join(f"{n}{said}" for n, k in enumerate(keys) if k == key) for key in keys}


def test_streams_that_do_not_end_are_bounded_and_the_longest_is_rejected(store, monkeypatch):
    monkeypatch.setattr("tunix_rt.formats.reading.MAX_ROW_BYTES", 10_000)
    endless = [chunk("endless", content="word " * 20) for _ in range(100)]
    rows = [chunk("a", content="One"), *endless, chunk("a", content=" more"), chunk("a", finish="stop")]
    report, (trace,) = load(store, *rows)
    assert (report.added, trace.final_answer) == (1, "One more")
    (rejected,) = report.rejected
    assert (rejected.line, rejected.reason) == (
        2,
        "exceeds maximum of 10,000 bytes for streams that have not ended, and is the longest of them",
    )


def test_streams_that_ended_are_not_held(store, monkeypatch):
    monkeypatch.setattr("tunix_rt.formats.reading.MAX_ROW_BYTES", 10_000)
    rows = [chunk(f"c{n}", content="word " * 100, finish="stop", n=[{"x": None}]) for n in range(100)]
    report, _ = load(store, *rows)
    assert (report.added, report.rejected) == (100, [])


RANKED = {
    "conversations": [{"from": "human", "value": "Is 91 prime?"}],
    "chosen": {"from": "gpt", "value": "No."},
    "rejected": {"from": "gpt", "value": "<think>Odd.</think>Yes."},
}


@pytest.mark.parametrize(
    "row",
    [
        RANKED,
        RANKED | {"system": "Be brief."},
        {
            "conversations": [ASKED],
            "chosen": {"role": "assistant", "content": "No."},
            "rejected": [{"role": "assistant", "content": "<think>Odd.</think>Yes."}],
        },
        {
            "chosen_messages": [ASKED, {"role": "assistant", "content": [{"type": "text", "value": "No."}]}],
            "rejected_messages": [ASKED, {"role": "assistant", "content": "<think>Odd.</think>Yes."}],
        },
    ],
    ids=["sharegpt", "with a system prompt", "openai", "both dialogues"],
)
def test_preferences_of_llama_factory(store, row):
    report, (better, worse) = load(store, row)
    assert report.format == "preference"
    assert (better.prompt, better.final_answer, better.meta["preferred"]) == ("Is 91 prime?", "No.", True)
    assert (worse.prompt, steps(worse), worse.final_answer) == ("Is 91 prime?", ["Odd."], "Yes.")
    assert (worse.meta["preferred"], worse.meta.get("system")) == (False, row.get("system"))


@pytest.mark.parametrize("name", ["label", "kto_tag"])
def test_the_label_of_kto_says_whether_an_answer_is_preferred(store, name):
    rows = [{"messages": [ASKED, SAID], name: True}, {"conversations": RANKED["conversations"] + [RANKED["chosen"]]}]
    _, (trace,) = load(store, rows[0])
    assert trace.meta["preferred"] is True
    (trace,) = read("sharegpt", rows[1] | {name: False})
    assert trace.meta["preferred"] is False


def test_a_file_of_server_sent_events(store):
    Path("stream.txt").write_text(
        "".join(f"data: {json.dumps(one)}\n\n" for one in CHUNKS) + "data: [DONE]\n\n", encoding="utf-8"
    )
    report = store.load("stream.txt")
    assert (report.format, report.added, report.rejected) == ("chunks", 1, [])
    assert store.latest().payload.final_answer == "No."


SAMPLES = {
    "langchain": [LANGCHAIN, DUMPED],
    "other_messages": [{"traj": [ASKED, SAID], "n": 1}],
    "message": [COHERE, {"response": OLLAMA}],
    "bedrock": [BEDROCK],
    "text_completion": [TEXTS],
    "chunks": CHUNKS[2:4],
    "preference": [RANKED],
    "messages": [{"messages": [ASKED, {"role": "assistant", "content": {"answer": "No.", "type": None}}]}],
}


@pytest.mark.slow
@given(st.data(), st.sampled_from(sorted(SAMPLES)))
def test_any_row_of_these_shapes_is_taken_or_refused(data, name):
    assert only_refuses(name, data.draw(spoiled(*SAMPLES[name])))


def test_each_shape_is_taken_by_its_own_reader_first(store):
    for name, rows in SAMPLES.items():
        taken = next(one.name for one in READABLE.values() if one.misfit(rows[0]) is None)
        assert taken == name
    with pytest.raises(rt.SourceInvalid):
        store.load([{"message": {"role": "user", "content": "Hi"}}])
