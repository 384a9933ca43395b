"""Chats in: messages, ShareGPT's conversations, and the responses of chat completions."""

import json
from pathlib import Path

import pytest
from hypothesis import given

import tunix_rt as rt
from tests.spoiled import only_refuses, read, spoiled
from tunix_rt.formats import READABLE

ASKED = {"role": "user", "content": "2 + 2?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
MESSAGES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        ASKED,
        {"role": "assistant", "reasoning_content": "Two and two.\n\nThat is four.", "content": "4"},
    ],
    "source": "school",
    "model": "r1",
    "difficulty": 1,
}
SHAREGPT = {
    "system": "Be brief.",
    "conversations": [
        {"from": "human", "value": "2 + 2?"},
        {"from": "gpt", "value": "<think>Two and two make four</think>4"},
    ],
    "tools": "[]",
}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "r1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "reasoning": "Two and two make four", "content": "4", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"completion_tokens": 9},
}


def loaded(store, value, name):
    """The traces that a file with this one row gives."""
    Path("rows.jsonl").write_text(json.dumps(value) + "\n", encoding="utf-8")
    report = store.load("rows.jsonl")
    assert (report.format, report.rejected_count) == (name, 0)
    return [record.payload for record in store.records(newest_first=False)]


def chat(*answer, **beside):
    return {"messages": [ASKED, *answer], **beside}


def test_messages(store):
    assert loaded(store, MESSAGES, "messages") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["Two and two.\n\n", "That is four."],
            final_answer="4",
            meta={"source": "school", "model": "r1", "system": "Be brief.", "extra": {"difficulty": 1}},
        )
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"reasoning_content": "Two and two make four", "content": "4"},
        {"reasoning": "Two and two make four", "content": "4"},
        {"thinking": "Two and two make four", "content": "4", "reasoning_content": ""},
        {"reasoning": "Two and two make four", "reasoning_content": "Two and two make four", "content": "4"},
        {"content": "<think>Two and two make four</think>4"},
        {"content": [{"type": "text", "text": "<think>Two and two make four</think>"}, {"type": "text", "text": "4"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Two and two make four"}]}, "4"]},
        {"content": [{"type": "reasoning", "text": "Two and two make four"}, {"type": "text", "text": "4"}]},
        {
            "reasoning_details": [{"type": "reasoning.text", "text": "Two and two make four"}],
            "content": "4",
            "reasoning": None,
        },
    ],
)
def test_reasoning_is_found_wherever_a_server_puts_it(answer):
    (trace,) = read("messages", chat({"role": "assistant", **answer}))
    assert trace == rt.Trace(
        prompt="2 + 2?", steps=["Two and two make four"], final_answer="4", meta={"source": "messages"}
    )


def test_another_reasoning_beside_the_first_is_kept():
    (trace,) = read("messages", chat({"role": "assistant", "reasoning": "a", "thinking": "b", "content": "4"}))
    assert (trace.steps[0].content, trace.meta["message"]) == ("a", {"thinking": "b"})


def test_a_dialogue_of_several_turns_reads_as_one_and_its_messages_are_kept(store):
    before = [
        {"role": "system", "content": "Use the tool."},
        ASKED,
        {"role": "assistant", "content": None, "reasoning_content": "A sum.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
    ]
    row = {"messages": [*before, {"role": "assistant", "content": "It is 4.", "name": "adder"}, ASKED]}
    (trace,) = loaded(store, row, "messages")
    assert trace == rt.Trace(
        trace_version="1.1",
        prompt='User: 2 + 2?\n\nAssistant: [calls add({"a": 2, "b": 2})]\n\nTool: 4',
        steps=[],
        final_answer="It is 4.",
        meta={
            "source": "messages",
            "system": "Use the tool.",
            "messages": before,
            "messages_after": [ASKED],
            "message": {"name": "adder"},
        },
    )


def test_a_tool_call_in_the_place_of_an_answer_is_no_truncation():
    (trace,) = read("messages", chat({"role": "assistant", "content": "<think>A sum.</think>", "tool_calls": [CALL]}))
    assert (trace.steps[0].content, trace.final_answer) == ("A sum.", None)
    assert trace.meta == {"source": "messages", "tool_calls": [CALL]}
    (trace,) = read("messages", chat({"role": "assistant", "content": "", "function_call": CALL["function"]}))
    assert trace.meta["tool_calls"] == [CALL["function"]]
    (trace,) = read("messages", chat({"role": "assistant", "content": None, "tool_calls": json.dumps([CALL])}))
    assert trace.meta["tool_calls"] == [{"tool_calls": json.dumps([CALL])}]


def test_images_stay_as_they_are():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    asked = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}
    drawn = {"role": "assistant", "content": [{"type": "text", "text": "A cat."}, image]}
    (trace,) = read("messages", {"messages": [asked, drawn]})
    assert (trace.prompt, trace.final_answer) == ("What is it?", "A cat.")
    assert trace.meta == {"source": "messages", "messages": [asked], "parts": [image]}
    (trace,) = read("messages", {"messages": [{"role": "user", "content": [image]}, drawn]})
    assert trace.prompt == "[image_url]"


def test_a_system_prompt_may_stand_beside_the_messages_or_be_all_there_is():
    answer = {"role": "assistant", "content": "4"}
    (trace,) = read("messages", chat(answer, system="Be brief."))
    assert (trace.prompt, trace.meta["system"]) == ("2 + 2?", "Be brief.")
    alone = {"role": "developer", "content": "Say 4."}
    (trace,) = read("messages", {"messages": [alone, answer]})
    assert (trace.prompt, trace.meta) == ("Say 4.", {"source": "messages", "messages": [alone]})


@pytest.mark.parametrize(
    ("answer", "beside", "final", "truncated"),
    [
        ({"content": "It is"}, {"finish_reason": "length"}, "It is", True),
        ({"content": "<think>2 + 2"}, {}, None, True),
        ({"content": "", "reasoning": "2 + 2"}, {}, None, None),
        ({"content": "", "reasoning": "2 + 2"}, {"finish_reason": "stop"}, None, None),
        ({"content": "4"}, {"finish_reason": "stop"}, "4", None),
    ],
)
def test_what_was_cut_short_is_marked(answer, beside, final, truncated):
    (trace,) = read("messages", chat({"role": "assistant", **answer}, **beside))
    assert (trace.final_answer, trace.meta.get("truncated")) == (final, truncated)
    assert trace.meta.get("finish_reason") == beside.get("finish_reason")


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"messages": [ASKED]}, "messages", "there is no message of the assistant"),
        ({"messages": 3}, "messages", "must be a list"),
        ({"message": []}, "messages", "missing"),
        ([], None, "must be an object"),
        (chat({"role": "assistant"}), "messages.1", "has neither content nor reasoning nor a tool call"),
        (chat({"role": "assistant", "content": 3}), "messages.1.content", "must be a string or a list of parts"),
        (chat({"role": "assistant", "content": [{"type": "text", "text": 3}]}), "messages.1.content.0.text", "must be"),
        (chat({"role": "assistant", "content": [3]}), "messages.1.content.0", "must be an object"),
        (chat({"role": "assistant", "content": [{"type": 3}]}), "messages.1.content.0.type", "must be a string"),
        (chat({"role": "assistant", "reasoning": {"a": 1}}), "messages.1.reasoning", "must be a string"),
        (chat({"role": "assistant", "tool_calls": 3}), "messages.1.tool_calls", "must be a list"),
        (chat({"role": "assistant", "tool_calls": [3]}), "messages.1.tool_calls.0", "must be an object"),
        (
            chat({"role": "assistant", "content": "4", "finish_reason": 3}),
            "messages.1.finish_reason",
            "must be a string",
        ),
        (chat({"content": "4"}), "messages.1.role", "missing"),
        (chat("4"), "messages.1", "must be an object"),
        (chat({"role": "assistant", "content": "4"}, system=3), "system", "must be a string or a list of parts"),
    ],
)
def test_a_message_that_is_none_is_told_by_its_path(row, field, reason):
    with pytest.raises(rt.TraceInvalid) as caught:
        read("messages", row)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert reason in problem.reason


def test_sharegpt(store):
    assert loaded(store, SHAREGPT, "sharegpt") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["Two and two make four"],
            final_answer="4",
            meta={"source": "sharegpt", "system": "Be brief.", "extra": {"tools": "[]"}},
        )
    ]


def test_sharegpt_with_tools_and_with_the_words_of_other_data_sets():
    called = {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2}}'}
    before = [{"from": "human", "value": "2 + 2?"}, called, {"from": "observation", "value": "4"}]
    (trace,) = read("sharegpt", {"conversations": [*before, {"from": "assistant", "value": "4", "weight": 1}]})
    assert trace.prompt == 'User: 2 + 2?\n\nAssistant: [calls add({"a": 2})]\n\nTool: 4'
    assert trace.meta == {"source": "sharegpt", "messages": before, "message": {"weight": 1}}
    (trace,) = read("sharegpt", {"conversations": before[:2]})
    assert trace.meta["tool_calls"] == [{"name": "add", "arguments": {"a": 2}}]
    (trace,) = read("sharegpt", {"conversations": [before[0], {"from": "function_call", "value": "add 2"}]})
    assert trace.meta["tool_calls"] == [{"arguments": "add 2"}]
    (trace,) = read("sharegpt", {"conversations": [ASKED, {"role": "assistant", "content": "4"}]})
    assert (trace.prompt, trace.final_answer) == ("2 + 2?", "4")
    with pytest.raises(rt.TraceInvalid, match=r"^conversations\.0\.value: must be a string"):
        read("sharegpt", {"conversations": [{"from": "human", "value": 3}]})


def test_a_chat_completion_with_its_request(store):
    assert loaded(store, {"messages": [ASKED], **COMPLETION}, "chat_completion") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["Two and two make four"],
            final_answer="4",
            meta={
                "source": "chat_completion",
                "model": "r1",
                "finish_reason": "stop",
                "extra": {
                    "id": "chatcmpl-1",
                    "object": "chat.completion",
                    "usage": {"completion_tokens": 9},
                    "choice": {"logprobs": None},
                },
            },
        )
    ]


def test_a_chat_completion_alone_tells_no_prompt_and_each_choice_is_a_trace(store):
    cut = {"index": 1, "message": {"content": "<think>2 +"}, "finish_reason": "length"}
    one, two = loaded(store, COMPLETION | {"choices": [*COMPLETION["choices"], cut]}, "chat_completion")
    assert (one.trace_version, one.prompt, one.final_answer) == ("1.1", "", "4")
    assert (one.meta["group"], one.meta["sample"]) == (two.meta["group"], 0) == ("chatcmpl-1", 0)
    assert two.meta["sample"] == 1
    assert two.steps[0].content.startswith("2 +")
    assert (two.final_answer, two.meta["truncated"], two.meta["finish_reason"]) == (None, True, "length")


def test_the_lines_of_a_batch_are_chat_completions():
    row = {"custom_id": "q1", "response": {"status_code": 200, "body": COMPLETION}, "request": {"messages": [ASKED]}}
    assert READABLE["chat_completion"].misfit(row) is None
    (trace,) = read("chat_completion", row)
    assert (trace.prompt, trace.final_answer) == ("2 + 2?", "4")
    assert trace.meta["extra"]["custom_id"] == "q1"
    assert trace.meta["extra"]["response"]["body"]["usage"] == {"completion_tokens": 9}
    with pytest.raises(rt.TraceInvalid, match="error: the request failed"):
        read("chat_completion", {"custom_id": "q2", "response": None, "error": {"code": "expired"}})


def test_a_bad_choice_does_not_take_the_others_along(store):
    bad = [{"message": {"content": 3}}, {"message": 3}, 3, {"message": {"content": "4"}, "finish_reason": 3}]
    Path("rows.jsonl").write_text(
        json.dumps(COMPLETION | {"choices": [*COMPLETION["choices"], *bad]}), encoding="utf-8"
    )
    report = store.load("rows.jsonl", format="chat_completion")
    assert report.added == 1
    assert [rejection.field for rejection in report.rejected] == [
        "choices.1.message.content",
        "choices.2.message",
        "choices.3",
        "choices.4.finish_reason",
    ]


STRANGERS = [
    {"prompt": "p", "steps": ["s"], "final_answer": "a", "meta": {"messages": [ASKED]}},
    {"payload": {"prompt": "p"}, "messages": [ASKED]},
    {"prompt": [ASKED], "completion": [{"role": "assistant", "content": "4"}]},
    {"prompt": "2 + 2?", "completion": "4"},
    {"question": "2 + 2?", "answer": "#### 4"},
    {"messages": []},
    {"messages": "2 + 2?", "conversations": "none", "choices": "none"},
    {"choices": ["A", "B"], "answer": 1},
    {"conversations": ["2 + 2?", "4"]},
    {"messages": [ASKED], "completion": "4"},
]


@pytest.mark.parametrize("name", ["messages", "sharegpt", "chat_completion"])
@pytest.mark.parametrize("row", STRANGERS)
def test_rows_of_other_families_are_not_taken(name, row):
    assert READABLE[name].misfit(row)


@pytest.mark.slow
@given(spoiled(MESSAGES, chat({"role": "assistant", "content": [{"type": "text", "text": "4"}], "tool_calls": [CALL]})))
def test_any_messages_are_taken_or_refused(row):
    assert only_refuses("messages", row)


@pytest.mark.slow
@given(spoiled(SHAREGPT, {"conversations": [ASKED, {"from": "function_call", "value": "{}"}]}))
def test_any_conversations_are_taken_or_refused(row):
    assert only_refuses("sharegpt", row)


@pytest.mark.slow
@given(spoiled(COMPLETION, {"response": {"body": COMPLETION}, "request": {"messages": [ASKED]}}))
def test_any_chat_completion_is_taken_or_refused(row):
    assert only_refuses("chat_completion", row)
