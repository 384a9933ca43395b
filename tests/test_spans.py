"""Spans of calls to a model: OpenTelemetry's GenAI conventions, and OpenInference."""

import json

import pytest
from hypothesis import given

import tunix_rt as rt
from tests.spoiled import only_refuses, read, spoiled
from tests.test_chat import ASKED, STRANGERS, loaded
from tunix_rt.formats import READABLE

INPUT = [{"role": "user", "parts": [{"type": "text", "content": "2 + 2?"}]}]
OUTPUT = [
    {
        "role": "assistant",
        "parts": [{"type": "reasoning", "content": "Two and two make four"}, {"type": "text", "content": "4"}],
        "finish_reason": "stop",
    }
]
ATTRIBUTES = {
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "r1",
    "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
    "gen_ai.input.messages": json.dumps(INPUT),
    "gen_ai.output.messages": json.dumps(OUTPUT),
}
LLM = "llm.output_messages.0.message"
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "claude",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "2 + 2?",
    f"{LLM}.role": "assistant",
    f"{LLM}.contents.0.message_content.type": "reasoning",
    f"{LLM}.contents.0.message_content.text": "Two and two make four",
    f"{LLM}.contents.0.message_content.signature": "EqQB",
    f"{LLM}.contents.1.message_content.type": "text",
    f"{LLM}.contents.1.message_content.text": "4",
    f"{LLM}.tool_calls.0.tool_call.id": "c1",
    f"{LLM}.tool_calls.0.tool_call.function.name": "add",
    f"{LLM}.tool_calls.0.tool_call.function.arguments": '{"a": 2}',
}


def otlp(attributes):
    """The attributes as OTLP's JSON has them."""
    return [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items()]


def otlp_value(value):
    if isinstance(value, dict):
        pairs = [{"key": name, "value": otlp_value(item)} for name, item in value.items()]
        return {"kvlistValue": {"values": pairs}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [otlp_value(item) for item in value]}}
    return {"stringValue": value}


LEFT = {"gen_ai.operation.name": "chat"}
SPANS = {
    "in attributes": ({"name": "chat r1", "attributes": ATTRIBUTES}, {"attributes": LEFT}),
    "flat": ({"name": "chat r1", **ATTRIBUTES}, LEFT),
    "flat, named": (
        {"name": "chat r1", **{f"attributes.{name}": item for name, item in ATTRIBUTES.items()}},
        {"attributes.gen_ai.operation.name": "chat"},
    ),
    "as OTLP": ({"name": "chat r1", "attributes": otlp(ATTRIBUTES)}, {"attributes": otlp(LEFT)}),
    "as OTLP, structured": (
        {
            "name": "chat r1",
            "attributes": [
                *otlp({k: v for k, v in ATTRIBUTES.items() if not k.endswith("put.messages")}),
                {"key": "gen_ai.input.messages", "value": otlp_value(INPUT)},
                {"key": "gen_ai.output.messages", "value": otlp_value(OUTPUT)},
            ],
        },
        {"attributes": otlp(LEFT)},
    ),
    "as lists": (
        {
            "name": "chat r1",
            "attributes": ATTRIBUTES
            | {
                "gen_ai.input.messages": INPUT,
                "gen_ai.output.messages": OUTPUT,
                "gen_ai.system_instructions": "Be brief.",
            },
        },
        {"attributes": LEFT},
    ),
}


@pytest.mark.parametrize("shape", SPANS)
def test_a_span_of_opentelemetry_wherever_its_attributes_stand(store, shape):
    span, left = SPANS[shape]
    assert loaded(store, span, "otel_genai") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["Two and two make four"],
            final_answer="4",
            meta={
                "source": "otel_genai",
                "model": "r1",
                "finish_reason": "stop",
                "system": "Be brief.",
                "extra": {"name": "chat r1", **left},
            },
        )
    ]


def test_an_otlp_document_gives_a_trace_for_each_call_and_tells_the_spans_that_are_none():
    scopes = [
        {
            "scope": {"name": "openai"},
            "spans": [{"name": "GET"}, {"name": "chat", "attributes": otlp(ATTRIBUTES)}],
        },
        {"spans": [{"name": "chat", "attributes": [{"key": 3}]}]},
    ]
    document = {"resourceSpans": [{"resource": {"attributes": otlp({"service.name": "s"})}, "scopeSpans": scopes}]}
    assert READABLE["otel_genai"].misfit(document) is None
    silent, trace, broken = read("otel_genai", document)
    at = "resourceSpans.0.scopeSpans"
    assert str(silent) == f"{at}.0.spans.0.gen_ai.output.messages: there is no message of the assistant"
    assert str(broken) == f"{at}.1.spans.0.attributes.0.key: must be a string"
    assert trace.final_answer == "4"
    assert trace.meta["extra"] == {
        "resource": {"attributes": otlp({"service.name": "s"})},
        "scope": {"name": "openai"},
        "name": "chat",
        "attributes": otlp(LEFT),
    }


def said(*parts, role="assistant", **fields):
    return {"role": role, "parts": list(parts), **fields}


TEXT = {"type": "text", "content": "4"}
TOOL_CALL = {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 2}}
TOOL_RESULT = {"type": "tool_call_response", "id": "c1", "response": "4"}


def span(output, given=INPUT, **attributes):
    return {"gen_ai.input.messages": given, "gen_ai.output.messages": output, **attributes}


def test_a_dialogue_with_tools_and_images():
    image = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBORw0KGgo="}
    given = [*INPUT, said(TOOL_CALL), said(TOOL_RESULT, image, role="tool")]
    (trace,) = read("otel_genai", span([said(TEXT, image)], given))
    assert trace.prompt == 'User: 2 + 2?\n\nAssistant: [calls add({"a": 2})]\n\nTool: 4\n[image]'
    assert trace.meta == {"source": "otel_genai", "messages": given, "parts": [image]}


def test_several_texts_are_several_samples():
    output = [said(TEXT, finish_reason="stop"), said(TEXT | {"content": "5"})]
    reasons = {"gen_ai.response.finish_reasons": ["stop", "length"], "gen_ai.response.id": "r1"}
    one, two = read("otel_genai", span(output, **reasons))
    assert [(trace.final_answer, trace.meta["sample"]) for trace in (one, two)] == [("4", 0), ("5", 1)]
    assert one.meta["group"] == two.meta["group"]
    assert [trace.meta["finish_reason"] for trace in (one, two)] == ["stop", "length"]
    assert (one.meta.get("truncated"), two.meta["truncated"]) == (None, True)


def test_pieces_of_one_answer_are_one_trace():
    thought = said({"type": "reasoning", "content": "Two and two make four"}, name="thinker")
    (trace,) = read("otel_genai", span([thought, said(TOOL_CALL), said(TEXT, finish_reason="stop")]))
    assert (trace.steps[0].content, trace.final_answer) == ("Two and two make four", "4")
    assert trace.meta == {
        "source": "otel_genai",
        "finish_reason": "stop",
        "tool_calls": [TOOL_CALL],
        "message": {"before": [{"name": "thinker"}]},
    }


def test_the_output_of_an_agent_is_a_dialogue_and_its_last_message_the_answer():
    (trace,) = read("otel_genai", span([said(TOOL_CALL), said(TOOL_RESULT, role="tool"), said(TEXT)]))
    assert trace.prompt == 'User: 2 + 2?\n\nAssistant: [calls add({"a": 2})]\n\nTool: 4'
    assert trace.final_answer == "4"


def test_openinference(store):
    assert loaded(store, {"name": "Messages", "attributes": OPENINFERENCE}, "openinference") == [
        rt.Trace(
            prompt="2 + 2?",
            steps=["Two and two make four"],
            final_answer="4",
            meta={
                "source": "openinference",
                "model": "claude",
                "system": "Be brief.",
                "tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": '{"a": 2}'}}],
                "parts": [{"step": 0, "type": "reasoning", "signature": "EqQB"}],
                "extra": {"name": "Messages", "attributes": {"openinference.span.kind": "LLM"}},
            },
        )
    ]
    (flat,) = read("openinference", OPENINFERENCE)
    (listed,) = read("openinference", {"attributes": otlp(OPENINFERENCE)})
    assert flat.steps == listed.steps == store.latest().payload.steps


def test_openinference_with_whole_messages_and_with_more_than_ten():
    whole = {
        "llm.input_messages": [{"message.role": "user", "message.content": "2 + 2?"}],
        "llm.output_messages": json.dumps(
            [{"message": {"role": "assistant", "content": "<think>Two and two make four</think>4"}}]
        ),
    }
    (trace,) = read("openinference", whole)
    assert (trace.prompt, trace.steps[0].content, trace.final_answer) == ("2 + 2?", "Two and two make four", "4")
    turns = {}
    for n in reversed(range(12)):
        turns[f"llm.input_messages.{n}.message.role"] = "user" if n % 2 else "assistant"
        turns[f"llm.input_messages.{n}.message.content"] = str(n)
    (trace,) = read("openinference", turns | {f"{LLM}.content": "4"})
    assert trace.prompt.endswith("Assistant: 8\n\nUser: 9\n\nAssistant: 10\n\nUser: 11")


def test_openinference_redacted_and_with_a_content_beside_the_contents():
    row = {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "2 + 2?",
        f"{LLM}.content": "4!",
        f"{LLM}.contents.0.message_content.type": "reasoning",
        f"{LLM}.contents.0.message_content.data": "EmwK",
        f"{LLM}.contents.1.message_content.type": "text",
        f"{LLM}.contents.1.message_content.text": "4",
        "llm.finish_reason": "stop",
    }
    (trace,) = read("openinference", row)
    assert trace == rt.Trace(
        prompt="2 + 2?",
        steps=[rt.Step(i=0, type="redacted", content="(redacted by the provider)")],
        final_answer="4",
        meta={
            "source": "openinference",
            "finish_reason": "stop",
            "parts": [{"step": 0, "type": "reasoning", "data": "EmwK"}],
            "message": {"content": "4!"},
        },
    )


@pytest.mark.parametrize(
    ("name", "row", "field", "reason"),
    [
        ("otel_genai", {"name": "GET"}, "gen_ai.output.messages", "there is no message of the assistant"),
        ("otel_genai", span([3]), "gen_ai.output.messages.0", "must be an object"),
        ("otel_genai", span([said(3)]), "gen_ai.output.messages.0.parts.0", "must be an object"),
        (
            "otel_genai",
            span([said({"type": "text", "content": 3})]),
            "gen_ai.output.messages.0.parts.0.content",
            "string",
        ),
        ("otel_genai", span([said()]), "gen_ai.output.messages.0", "has neither content nor reasoning nor a tool call"),
        ("otel_genai", span("[{"), "gen_ai.output.messages", "invalid JSON"),
        ("otel_genai", span([said(TEXT)], given=3), "gen_ai.input.messages", "must be a list"),
        ("otel_genai", span([said(TEXT)], given=[{"parts": []}]), "gen_ai.input.messages.0.role", "missing"),
        ("otel_genai", {"resourceSpans": 3}, "resourceSpans", "must be a list"),
        ("openinference", {}, "llm.output_messages", "there is no message of the assistant"),
        ("openinference", {f"{LLM}.content": 3}, f"{LLM}.content", "must be a string or a list of parts"),
        ("openinference", {f"{LLM}.role": 3}, f"{LLM}.role", "must be a string"),
        (
            "openinference",
            {f"{LLM}.contents.1.message_content.text": 3},
            f"{LLM}.contents.1.message_content.text",
            "must be a string",
        ),
        ("openinference", {f"{LLM}.contents.0": "4"}, f"{LLM}.contents.0", "must be an object"),
        (
            "openinference",
            {LLM: "4", f"{LLM}.role": "assistant"},
            "llm.output_messages.0.message.role",
            "has the name of another attribute",
        ),
        ("openinference", {"llm.output_messages.x.message.role": "assistant"}, "llm.output_messages", "must be a list"),
        (
            "openinference",
            {f"{LLM}.role": "a", "llm.output_messages": []},
            "llm.output_messages",
            "is there twice: flattened, and as one value",
        ),
    ],
)
def test_what_is_no_call_is_told_by_its_attribute(name, row, field, reason):
    try:
        (error,) = read(name, row)
    except rt.TraceInvalid as raised:
        error = raised
    (problem,) = error.problems
    assert problem.field == field
    assert reason in problem.reason


@pytest.mark.slow
def test_a_span_nested_beyond_all_reason_is_refused():
    deep = {"stringValue": "4"}
    for _ in range(100_000):
        deep = {"arrayValue": {"values": [deep]}}
    row = {"attributes": [{"key": "gen_ai.output.messages", "value": deep}]}
    assert only_refuses("otel_genai", row)


@pytest.mark.parametrize("name", ["otel_genai", "openinference"])
@pytest.mark.parametrize(
    "row", [*STRANGERS, {"attributes": {"http.method": "GET"}}, {"attributes": "none", "name": "x"}]
)
def test_rows_of_other_families_are_not_taken(name, row):
    assert READABLE[name].misfit(row)


def test_a_span_of_one_convention_is_none_of_the_other():
    assert READABLE["openinference"].misfit({"attributes": ATTRIBUTES}) == "no attribute llm.output_messages"
    assert READABLE["otel_genai"].misfit({"attributes": OPENINFERENCE}) == "no attribute gen_ai.output.messages"
    assert READABLE["messages"].misfit(span([said(TEXT)], given=[ASKED]))


@pytest.mark.slow
@given(
    spoiled(
        *(row for row, _ in SPANS.values()), {"resourceSpans": [{"scopeSpans": [{"spans": [SPANS["as OTLP"][0]]}]}]}
    )
)
def test_any_span_of_opentelemetry_is_taken_or_refused(row):
    assert only_refuses("otel_genai", row)


@pytest.mark.slow
@given(
    spoiled(
        OPENINFERENCE,
        {"attributes": otlp(OPENINFERENCE)},
        {
            "llm.output_messages": [
                {"message.role": "assistant", "message.contents": [{"message_content": {"type": "text"}}]}
            ]
        },
    )
)
def test_any_span_of_openinference_is_taken_or_refused(row):
    assert only_refuses("openinference", row)
