"""What is a trace and what is none, and what the one who hands in a bad one is told."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import tunix_rt as rt
from tunix_rt.model import LIMITS_1_0

GOOD = {"prompt": "2 + 2?", "steps": ["2 + 2 = 4"], "final_answer": "4"}


def problems(**fields):
    with pytest.raises(rt.TraceInvalid) as caught:
        rt.Trace(**GOOD | fields)
    return [str(problem) for problem in caught.value.problems]


def test_plain_strings_become_numbered_steps():
    trace = rt.Trace(prompt="2 + 2?", steps=["think", rt.Step(i=7, type="verify", content="sure")], final_answer="4")
    assert trace.steps == (rt.Step(i=0, type="step", content="think"), rt.Step(i=7, type="verify", content="sure"))
    assert trace.trace_version == "1.0"
    assert trace.n_chars == len("2 + 2?" + "think" + "sure" + "4")


def test_steps_may_come_from_a_generator():
    assert len(rt.Trace(prompt="p", steps=(str(n) for n in range(5)), final_answer="a").steps) == 5


def test_a_trace_is_frozen_and_equal_by_value():
    trace, same = rt.Trace(**GOOD, meta={"a": 1}), rt.Trace(**GOOD, meta={"a": 1})
    assert trace == same
    assert hash(trace) == hash(same)
    assert trace != rt.Trace(**GOOD, meta={"a": 2})
    with pytest.raises(ValidationError, match="frozen"):
        trace.prompt = "other"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"prompt": ""}, "prompt: must not be empty"),
        ({"prompt": 4}, "prompt: must be a string, not a number"),
        ({"prompt": None}, "prompt: must be a string, not null"),
        ({"prompt": "x" * 50_001}, "prompt: 50,001 characters; at most 50,000"),
        ({"final_answer": ""}, "final_answer: must not be empty"),
        ({"final_answer": "x" * 50_001}, "final_answer: 50,001 characters; at most 50,000"),
        ({"final_answer": None}, "final_answer: must be a string"),
        ({"steps": []}, "steps: must have at least one step"),
        ({"steps": ["x"] * 1_001}, "steps: 1,001 steps; at most 1,000"),
        ({"steps": "abc"}, "steps: must be a list of steps, not a string"),
        ({"steps": None}, "steps: must be a list of steps, not null"),
        ({"steps": ["a", 3]}, "steps.1: must be an object, not a number"),
        ({"steps": ["a", "b", "c", ""]}, "steps.3.content: must not be empty"),
        ({"steps": ["x" * 20_001]}, "steps.0.content: 20,001 characters; at most 20,000"),
        ({"steps": [{"i": -1, "type": "t", "content": "c"}]}, "steps.0.i: must be at least 0, not -1"),
        (
            {"steps": [{"i": 2**63, "type": "t", "content": "c"}]},
            "steps.0.i: must be at most 9,223,372,036,854,775,807",
        ),
        ({"steps": [{"i": 1.5, "type": "t", "content": "c"}]}, "steps.0.i: must be an integer, not a number"),
        ({"steps": [{"i": True, "type": "t", "content": "c"}]}, "steps.0.i: must be an integer, not a boolean"),
        ({"steps": [{"i": 0, "type": "", "content": "c"}]}, "steps.0.type: must not be empty"),
        ({"steps": [{"i": 0, "type": "t" * 65, "content": "c"}]}, "steps.0.type: 65 characters; at most 64"),
        ({"steps": [{"i": 0, "type": "t"}]}, "steps.0.content: missing"),
        ({"steps": [{"i": 0, "type": "t", "content": "c", "k": 1}]}, "steps.0.k: unknown field; a trace has i, type"),
        ({"meta": []}, "meta: must be an object, not a list"),
        ({"meta": {"a": object()}}, "meta.a: must be a JSON value, not a object"),
        ({"meta": {"a": [0.5, len]}}, "meta.a.1: must be a JSON value, not a builtin_function_or_method"),
        ({"meta": {"a": -(10**4_300)}}, "meta.a: a number of more than 4,300 digits; write it as a string"),
        ({"trace_version": ""}, "trace_version: must not be empty"),
        ({"trace_version": "v" * 65}, "trace_version: 65 characters; at most 64"),
        ({"prompt": "a\0b"}, "prompt: contains a NUL character (U+0000, at character 2)"),
        ({"steps": ["a", "\0"]}, "steps.1.content: contains a NUL character"),
        ({"meta": {"a": {"b": "\0"}}}, "meta.a.b: contains a NUL character"),
        ({"meta": {"k\0": 1}}, r'meta."k\u0000": contains a NUL character'),
        ({"prompt": "ab\ud800"}, "prompt: contains a lone surrogate (U+D800, at character 3)"),
        ({"meta": {"a": ["\udfff"]}}, "meta.a.0: contains a lone surrogate (U+DFFF, at character 1)"),
    ],
)
def test_each_bad_field_is_named_by_its_path(fields, told):
    (problem,) = problems(**fields)
    assert problem.startswith(told)


def test_duplicate_step_indices_are_refused():
    step = {"type": "t", "content": "c"}
    (problem,) = problems(steps=[step | {"i": 3}, step | {"i": 4}, step | {"i": 3}])
    assert problem == "steps: step indices must be unique: 3 is the index of steps.2 and of an earlier step"


def test_all_bad_fields_are_named_at_once():
    assert [p.split(":")[0] for p in problems(prompt="", final_answer="", steps=["", ""])] == [
        "prompt",
        "steps.0.content",
        "steps.1.content",
        "final_answer",
    ]


def test_a_missing_and_an_unknown_field_are_named():
    with pytest.raises(rt.TraceInvalid) as caught:
        rt.Trace.from_dict({"prompt": "p", "steps": ["s"], "answer": "a"})
    assert [str(p) for p in caught.value.problems] == [
        "final_answer: missing; every trace needs it",
        "answer: unknown field; a trace has trace_version, prompt, steps, final_answer, meta",
    ]


def test_meta_nested_beyond_reason_is_refused():
    deep: dict = {}
    inner = deep
    for _ in range(99):
        inner["a"] = {}
        inner = inner["a"]
    inner["a"] = "the text is at no level of its own"
    assert rt.Trace(prompt="p", steps=["s"], final_answer="a", meta=deep).meta == deep
    inner["a"] = {}
    assert problems(meta=deep) == ["meta: nested more than 100 deep"]
    inner = inner["a"]
    for _ in range(5_000):
        inner["a"] = {}
        inner = inner["a"]
    assert problems(meta=deep) == ["meta.a.a.a.a.a.a.a…: nested too deeply, or contains itself"]


def test_a_step_alone_is_checked_too():
    with pytest.raises(rt.TraceInvalid, match="i: must be at least 0, not -1"):
        rt.Step(i=-1, type="t", content="c")


def test_format_1_1_holds_what_models_really_emit():
    cut_short = rt.Trace(prompt="p" * 60_000, steps=[], final_answer=None, trace_version="1.1")
    assert cut_short.final_answer is None
    assert rt.Trace.from_json(cut_short.to_json()) == cut_short


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"prompt": "é", }', "invalid JSON at line 1, column 17: trailing comma"),
        ('{"prompt": "p",\n "steps": [}', "invalid JSON at line 2, column 12: expected value"),
        ('{"prompt": "p"', "invalid JSON at line 1, column 14: EOF while parsing an object"),
        ("", "invalid JSON at line 1, column 0: EOF while parsing a value"),
        ('{"prompt": "\\ud800"}', "invalid JSON at line 1, column 19: unexpected end of hex escape"),
        ('{"prompt": "\0"}', "invalid JSON at line 1, column 13: control character"),
        (b'{"prompt": "\xff"}', "invalid JSON at line 1, column 13: invalid unicode code point"),
        ("[1]", "must be an object, not a list"),
        ("NaN", "must be an object, not a number"),
        ('{"meta":' + '{"a":' * 300, "invalid JSON at line 1, column 1,0"),
    ],
)
def test_bad_json_is_told_with_line_and_column(text, told):
    with pytest.raises(rt.TraceInvalid) as caught:
        rt.Trace.from_json(text)
    assert str(caught.value).startswith(told)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def traces(draw):
    types = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=64)
    indices = draw(st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=4))
    return rt.Trace(
        prompt=draw(texts),
        steps=[rt.Step(i=i, type=draw(types), content=draw(texts)) for i in indices],
        final_answer=draw(st.none() | texts),
        meta=draw(st.none() | st.dictionaries(texts, json_values, max_size=3)),
        trace_version="1.1",
    )


@pytest.mark.slow
@given(traces())
def test_json_gives_back_the_same_trace(trace):
    assert rt.Trace.from_json(trace.to_json()) == trace
    assert rt.Trace.from_dict(json.loads(trace.to_json())) == trace
    jsonschema.validate(json.loads(trace.to_json()), rt.json_schema("1.1"))


@pytest.mark.slow
@given(
    prompt=st.sampled_from(["", "p", "p" * LIMITS_1_0["prompt"], "p" * (LIMITS_1_0["prompt"] + 1), 3, None]),
    steps=st.sampled_from([[], ["c"], ["c" * 20_000], ["c" * 20_001], [""], ["c"] * 1_000, ["c"] * 1_001]),
    answer=st.sampled_from(["", "a", "a" * 50_000, "a" * 50_001, None, 1]),
    extra=st.sampled_from([{}, {"meta": None}, {"meta": {}}, {"meta": []}, {"more": 1}]),
)
def test_the_schema_and_the_model_agree(prompt, steps, answer, extra):
    steps = [{"i": i, "type": "t", "content": content} for i, content in enumerate(steps)]
    for version in ("1.0", "1.1"):
        value = {"trace_version": version, "prompt": prompt, "steps": steps, "final_answer": answer} | extra
        by_schema = jsonschema.Draft202012Validator(rt.json_schema(version)).is_valid(value)
        try:
            rt.Trace.from_dict(value)
        except rt.TraceInvalid:
            assert not by_schema
        else:
            assert by_schema


def test_a_problem_has_the_position_where_a_text_stops_being_json():
    with pytest.raises(rt.TraceInvalid) as caught:
        rt.Trace.from_json('{"prompt": "p",\n "steps" []}')
    (problem,) = caught.value.problems
    assert problem.position == (2, 10)
    with pytest.deprecated_call(match="Problem.place is now position") as warned:
        assert problem.place == problem.position
    assert warned[0].filename == __file__
