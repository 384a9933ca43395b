"""Responses of the providers' own interfaces: OpenAI Responses, Anthropic Messages, Gemini."""

import pytest
from hypothesis import given

import tunix_rt as rt
from tests.spoiled import only_refuses, read, spoiled
from tests.test_chat import ASKED, STRANGERS, loaded
from tunix_rt.formats import READABLE

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "o4",
    "instructions": "Be brief.",
    "input": "2 + 2?",
    "output": [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [
                {"type": "summary_text", "text": "**A sum**"},
                {"type": "summary_text", "text": "Two and two make four"},
            ],
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "4", "annotations": []}],
        },
    ],
    "usage": {"output_tokens": 9},
}
THINKING = {"type": "thinking", "thinking": "Two and two make four", "signature": "EqQB"}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [THINKING, {"type": "text", "text": "4"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
}
GEMINI = {
    "contents": [{"role": "user", "parts": [{"text": "2 + 2?"}]}],
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Two and two make four", "thought": True},
                    {"text": "4", "thoughtSignature": "CiQB"},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": [],
        }
    ],
    "modelVersion": "gemini-3",
    "responseId": "r1",
}


def test_openai_responses(store):
    assert loaded(store, RESPONSE, "openai_responses") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["**A sum**\n\nTwo and two make four"],
            final_answer="4",
            meta={
                "source": "openai_responses",
                "model": "o4",
                "finish_reason": "completed",
                "system": "Be brief.",
                "parts": [
                    {"step": 0, "type": "reasoning", "id": "rs_1"},
                    {"type": "message", "id": "msg_1", "role": "assistant"},
                ],
                "extra": {"id": "resp_1", "object": "response", "usage": {"output_tokens": 9}},
            },
        )
    ]


def output(*items, **beside):
    return {"input": "2 + 2?", "output": list(items), **beside}


def test_reasoning_that_is_open_goes_before_its_summary():
    item = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "A sum"}],
        "content": [{"type": "reasoning_text", "text": "Two and two make four"}],
    }
    (trace,) = read("openai_responses", output(item))
    assert [step.content for step in trace.steps] == ["Two and two make four"]
    assert trace.meta["parts"] == [{"step": 0, "type": "reasoning", "summary": item["summary"]}]
    assert "truncated" not in trace.meta


def test_sealed_reasoning_is_one_step_that_says_so(store):
    sealed = [{"type": "reasoning", "id": f"rs_{n}", "summary": [], "encrypted_content": "gAAA"} for n in range(2)]
    (trace,) = loaded(store, output(*sealed, RESPONSE["output"][1]), "openai_responses")
    assert trace == rt.Trace(
        prompt="2 + 2?",
        steps=[{"i": 0, "type": "redacted", "content": "(redacted by the provider)"}],
        final_answer="4",
        meta={
            "source": "openai_responses",
            "parts": [
                *({"step": 0} | item for item in sealed),
                {"type": "message", "id": "msg_1", "role": "assistant"},
            ],
        },
    )


def test_a_response_with_a_dialogue_before_it_a_call_in_it_and_no_room_for_its_end():
    call = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 2}'}
    result = {"type": "function_call_output", "call_id": "c1", "output": "4"}
    asked = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "2 + 2?"}]}, call, result]
    said = [{"type": "message", "content": [{"type": "output_text", "text": text}]} for text in ("It is", "four, as")]
    row = output(*said, call, status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    (trace,) = read("openai_responses", row | {"input": asked})
    assert trace.prompt == 'User: 2 + 2?\n\nAssistant: [calls add({"a": 2})]\n\nTool: 4'
    assert trace.final_answer == "It is\n\nfour, as"
    assert trace.meta["messages"] == asked
    assert trace.meta["tool_calls"] == [call]
    assert (trace.meta["finish_reason"], trace.meta["truncated"]) == ("max_output_tokens", True)
    assert trace.meta["extra"] == {"status": "incomplete"}


def test_a_refusal_is_what_the_model_said():
    item = {"type": "message", "content": [{"type": "refusal", "refusal": "I cannot."}]}
    (trace,) = read("openai_responses", output(item))
    assert (trace.final_answer, trace.meta["parts"][0]) == ("I cannot.", {"type": "refusal"})


def test_anthropic(store):
    assert loaded(store, {"system": "Be brief.", "messages": [ASKED], **MESSAGE}, "anthropic") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["Two and two make four"],
            final_answer="4",
            meta={
                "source": "anthropic",
                "model": "claude",
                "finish_reason": "end_turn",
                "system": "Be brief.",
                "parts": [{"step": 0, "type": "thinking", "signature": "EqQB"}],
                "extra": {"id": "msg_1", "type": "message", "stop_sequence": None},
            },
        )
    ]


def test_redacted_thinking_stands_where_it_was_thought():
    redacted = {"type": "redacted_thinking", "data": "EmwK"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 2}}
    content = [THINKING, redacted, redacted, {"type": "text", "text": "I add."}, THINKING, use]
    (trace,) = read("anthropic", {"messages": [ASKED], "content": content})
    assert [(step.i, step.type, step.content) for step in trace.steps] == [
        (0, "step", "Two and two make four"),
        (1, "redacted", "(redacted by the provider)"),
        (2, "step", "Two and two make four"),
    ]
    assert trace.final_answer == "I add."
    assert trace.meta["tool_calls"] == [use]
    assert [part["step"] for part in trace.meta["parts"]] == [0, 1, 1, 2]
    assert trace.meta["parts"][1] == {"step": 1, **redacted}


def test_thinking_whose_text_was_left_out_is_redacted_and_whose_answer_was_cut_is_truncated():
    content = [THINKING | {"thinking": ""}, {"type": "text", "text": "It"}]
    (trace,) = read("anthropic", {"messages": [ASKED], "content": content, "stop_reason": "max_tokens"})
    assert (trace.steps[0].type, trace.final_answer) == ("redacted", "It")
    assert (trace.meta["finish_reason"], trace.meta["truncated"]) == ("max_tokens", True)


def test_a_dialogue_with_tools_before_an_answer_of_anthropic():
    before = [
        ASKED,
        {
            "role": "assistant",
            "content": [THINKING, {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 2}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4"}]},
    ]
    (trace,) = read("anthropic", {"request": {"messages": before, "max_tokens": 9}, "response": MESSAGE})
    assert trace.prompt == 'User: 2 + 2?\n\nAssistant: [calls add({"a": 2})]\n\nUser: 4'
    assert trace.meta["messages"] == before
    assert trace.meta["extra"]["request"] == {"max_tokens": 9}
    (alone,) = read("anthropic", {"custom_id": "q1", "result": {"type": "succeeded", "message": MESSAGE}})
    assert (alone.trace_version, alone.prompt, alone.final_answer) == ("1.1", "", "4")
    (inside,) = read("messages", {"messages": [ASKED, {"role": "assistant", "content": MESSAGE["content"]}]})
    assert inside.meta == {"source": "messages", "parts": [{"step": 0, "type": "thinking", "signature": "EqQB"}]}


def test_gemini(store):
    assert loaded(store, GEMINI, "gemini") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["Two and two make four"],
            final_answer="4",
            meta={
                "source": "gemini",
                "model": "gemini-3",
                "finish_reason": "STOP",
                "system": "Be brief.",
                "parts": [{"thoughtSignature": "CiQB"}],
                "message": {"safetyRatings": []},
                "extra": {"responseId": "r1"},
            },
        )
    ]


def test_the_parts_of_gemini_alone(store):
    parts = [
        {"text": "A sum.", "thought": True, "thought_signature": "CiQA"},
        {"text": "4"},
        {"function_call": {"name": "add", "args": {"a": 2}}, "thought_signature": "CiQB"},
        {"inline_data": {"mime_type": "image/png", "data": "iVBORw0KGgo="}},
        {"text": "", "thought": True, "thought_signature": "CiQC"},
    ]
    (trace,) = loaded(store, {"prompt": "2 + 2?", "parts": parts}, "gemini")
    assert trace == rt.Trace(
        prompt="2 + 2?",
        steps=["A sum.", rt.Step(i=1, type="redacted", content="(redacted by the provider)")],
        final_answer="4",
        meta={
            "source": "gemini",
            "tool_calls": [parts[2]],
            "parts": [{"step": 0, "thought_signature": "CiQA"}, parts[3], {"step": 1, "thought_signature": "CiQC"}],
        },
    )


def test_each_candidate_is_a_trace_and_a_blocked_one_has_no_answer():
    cut = {"content": {"parts": [{"text": "It"}]}, "finishReason": "MAX_TOKENS", "index": 1}
    candidates = [*GEMINI["candidates"], cut, {"finishReason": "SAFETY", "index": 7}, {"content": 3}]
    one, two, blocked, error = read("gemini", GEMINI | {"candidates": candidates})
    assert [trace.meta["sample"] for trace in (one, two, blocked)] == [0, 1, 2]
    assert {trace.meta["group"] for trace in (one, two, blocked)} == {"r1"}
    assert (two.final_answer, two.meta["truncated"]) == ("It", True)
    assert (blocked.final_answer, blocked.meta["finish_reason"], blocked.meta["message"]) == (
        None,
        "SAFETY",
        {"index": 7},
    )
    assert (error.problems[0].field, error.problems[0].reason) == ("candidates.3.content", "must be an object")


def test_what_went_to_gemini_may_be_a_text_one_content_or_a_dialogue_with_tools():
    call = {"role": "model", "parts": [{"functionCall": {"name": "add", "args": {"a": 2}}}]}
    result = {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": {"sum": 4}}}]}
    for contents, prompt in [
        ("2 + 2?", "2 + 2?"),
        ({"parts": [{"text": "2 + 2?"}]}, "2 + 2?"),
        (["2 + 2?"], "2 + 2?"),
        (
            [*GEMINI["contents"], call, result],
            'User: 2 + 2?\n\nAssistant: [calls add({"a": 2})]\n\nUser: {"name": "add", "response": {"sum": 4}}',
        ),
    ]:
        (trace,) = read("gemini", GEMINI | {"contents": contents})
        assert trace.prompt == prompt


@pytest.mark.parametrize(
    ("name", "row", "field", "reason"),
    [
        ("openai_responses", output(3), "output.0", "must be an object"),
        ("openai_responses", {"output": "4"}, "output", "must be a list"),
        ("openai_responses", output(), "output", "has neither content nor reasoning nor a tool call"),
        (
            "openai_responses",
            output({"type": "reasoning", "summary": [{"text": 3}]}),
            "output.0.summary.0.text",
            "string",
        ),
        (
            "openai_responses",
            output({"type": "message", "content": 3}),
            "output.0.content",
            "must be a string or a list",
        ),
        ("openai_responses", RESPONSE | {"input": 3}, "input", "must be a list"),
        ("openai_responses", RESPONSE | {"input": [{"role": 3}]}, "input.0.role", "must be a string"),
        ("openai_responses", RESPONSE | {"instructions": 3}, "instructions", "must be a string or a list of parts"),
        ("anthropic", {"id": 1}, "content", "missing"),
        ("anthropic", {"content": [{"type": "thinking", "thinking": 3}]}, "content.0.thinking", "must be a string"),
        ("anthropic", MESSAGE | {"messages": [3]}, "messages.0", "must be an object"),
        ("anthropic", {"response": {"content": [3]}}, "response.content.0", "must be an object"),
        ("gemini", {"parts": 3}, "parts", "must be a list"),
        ("gemini", {"candidates": {}}, "candidates", "must be a list"),
        ("gemini", GEMINI | {"contents": [{"role": 3}]}, "contents.0.role", "must be a string"),
        ("gemini", {"text": "4"}, "candidates", "missing"),
    ],
)
def test_what_is_no_response_is_told_by_its_path(name, row, field, reason):
    with pytest.raises(rt.TraceInvalid) as caught:
        read(name, row)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert reason in problem.reason


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"text": 3}, "candidates.0.content.parts.0.text"),
        ({"text": "4", "thought": "yes"}, "candidates.0.content.parts.0.thought"),
        (3, "candidates.0.content.parts.0"),
    ],
)
def test_a_bad_part_of_a_candidate_is_told_by_its_path(part, field):
    (error,) = read("gemini", {"candidates": [{"content": {"parts": [part]}}]})
    assert error.problems[0].field == field


@pytest.mark.parametrize("name", ["openai_responses", "anthropic", "gemini"])
@pytest.mark.parametrize(
    "row",
    [
        *STRANGERS,
        {"input": "2 + 2?", "output": "4", "gts": "4", "score": 1.0, "step": 3},
        {"content": "Two and two make four", "rewards": 1.0},
        {"content": [{"type": "text", "text": "4"}], "isError": False},
        {"parts": [{"text": "4"}]},
        {"candidates": ["A", "B"], "parts": 3},
        {"output": {"choices": []}, "messages": [ASKED]},
    ],
)
def test_rows_of_other_families_are_not_taken(name, row):
    assert READABLE[name].misfit(row)


@pytest.mark.slow
@given(spoiled(RESPONSE, {"request": {"input": [*RESPONSE["output"], ASKED]}, "response": {"body": RESPONSE}}))
def test_any_openai_response_is_taken_or_refused(row):
    assert only_refuses("openai_responses", row)


@pytest.mark.slow
@given(spoiled(MESSAGE | {"messages": [ASKED]}, {"result": {"message": MESSAGE}, "request": {"messages": [MESSAGE]}}))
def test_any_message_of_anthropic_is_taken_or_refused(row):
    assert only_refuses("anthropic", row)


@pytest.mark.slow
@given(spoiled(GEMINI, {"parts": GEMINI["candidates"][0]["content"]["parts"], "prompt": "2 + 2?"}))
def test_any_response_of_gemini_is_taken_or_refused(row):
    assert only_refuses("gemini", row)


def test_a_failed_request_of_a_batch_says_what_failed(store):
    message = {"role": "assistant", "content": "513"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    report = store.load(
        [
            {"custom_id": "1", "response": {"status_code": 200, "body": body}, "error": None},
            {"custom_id": "2", "response": {"status_code": 400, "body": {"error": {"message": "no such model"}}}},
        ]
    )
    assert report.added == 1
    (rejected,) = report.rejected
    assert (rejected.line, rejected.field) == (2, "error")
    assert rejected.reason == 'the request failed: {"message": "no such model"}'
    block = {"type": "text", "text": "513"}
    report = store.load(
        [
            {"custom_id": "1", "result": {"type": "succeeded", "message": message | {"content": [block]}}},
            {"custom_id": "2", "result": {"type": "errored", "error": {"type": "invalid_request"}}},
        ]
    )
    assert (report.format, report.added) == ("anthropic", 1)
    assert report.rejected[0].reason == 'the request failed: {"type": "invalid_request"}'
