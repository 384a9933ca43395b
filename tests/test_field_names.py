"""Rows that no format claims: read by the names of their fields, or refused with the mapping that would load them."""

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import load, told
from tunix_rt.formats.common_fields import proposals_for
from tunix_rt.text_options import as_options, map_flags, mapping_in, mapping_text


def refused(store, *rows):
    with pytest.raises(rt.SourceInvalid) as caught:
        store.load(list(rows))
    assert store.count() == 0
    return caught.value


@pytest.mark.parametrize(
    ("row", "mapping"),
    [
        ({"query": "3 × 4?", "response": "12"}, {"prompt": "query", "completion": "response"}),
        (
            {"instruction": "Multiply.", "input": "3, 4", "output": "12"},
            {"prompt": ["instruction", "input"], "completion": "output"},
        ),
        (
            {"Question": "3 × 4?", "Complex-CoT": "Thrice four.", "Response": "12"},
            {"prompt": "Question", "reasoning": "Complex-CoT", "final_answer": "Response"},
        ),
        (
            {"question": "3 × 4?", "rationale": "Thrice four.", "answer": 12},
            {"prompt": "question", "reasoning": "rationale", "final_answer": "answer"},
        ),
        (
            {"question": "3 × 4?", "steps": ["Thrice", "four."], "answer": "12"},
            {"prompt": "question", "steps": "steps", "final_answer": "answer"},
        ),
        (
            {"problem": "3 × 4?", "solution": "Thrice four.", "answer": "12"},
            {
                "prompt": "problem",
                "reasoning": "solution",
                "final_answer": "answer",
                "meta.expected_answer": "answer",
                "meta.kind": {"value": "reference"},
            },
        ),
        (
            {"question": "3 × 4?", "answer": "12", "model_output": "<think>So.</think>12", "is_correct": True},
            {
                "prompt": "question",
                "completion": "model_output",
                "meta.expected_answer": "answer",
                "meta.correct": "is_correct",
            },
        ),
        (
            {"prompt": "3 × 4?", "question": "3 × 4", "generations": ["12", "13"], "scores": [1, 0]},
            {"prompt": "prompt", "completion": "generations", "meta.reward": "scores"},
        ),
        (
            {"problem": "3 × 4?", "final_answer": "12", "kimi_solution_1": "12", "kimi_solution_2": "13"},
            {
                "prompt": "problem",
                "completion": ["kimi_solution_1", "kimi_solution_2"],
                "meta.expected_answer": "final_answer",
            },
        ),
        (
            # The reasoning was cut out of the response, which still has it.
            {"prompt": "3 × 4?", "thinking": "So.", "response": "<think>So.</think>12"},
            {"prompt": "prompt", "completion": "response"},
        ),
    ],
    ids=lambda value: "+".join(value) if "prompt" not in value else "",
)
def test_one_reading_is_used_and_the_report_says_it(store, row, mapping):
    report, traces = load(store, row)
    assert (report.format, report.mapping, told(report)) == ("field_names", mapping, [])
    assert {trace.prompt.rstrip("?") for trace in traces} <= {"3 × 4", "Multiply.\n\n3, 4"}
    assert traces[0].final_answer == "12"
    assert report.samples == traces[:3]
    target, field = next(iter(mapping.items()))
    line = f"read by the names of the fields: {target} ← {field if isinstance(field, str) else ' + '.join(field)}"
    assert line in str(report)
    assert line in report._repr_html_()
    # What it says can be given back, and does the same.
    assert store.load([row], mapping=report.mapping, known="add").added == report.added


def test_every_sample_of_a_row_becomes_a_trace_with_what_belongs_to_it(store):
    row = {"prompt": "3 × 4?", "responses": ["<think>So.</think>12", "13"], "rewards": [1, 0.5], "tags": ["a", "b"]}
    _, traces = load(store, row)
    assert [(trace.final_answer, trace.meta["reward"], trace.meta["sample"]) for trace in traces] == [
        ("12", 1, 0),
        ("13", 0.5, 1),
    ]
    assert all(trace.meta["extra"] == {"tags": ["a", "b"]} for trace in traces)


def test_what_is_not_in_every_row_may_be_missing_but_not_prompt_or_text(store):
    rows = [
        {"prompt": "a?", "response": "b", "reward": 1},
        {"prompt": "a?", "response": "c", "reward": None},
        {"prompt": "a?", "response": "d"},
        {"prompt": "a?", "reward": 0},
        {"response": "e"},
    ]
    report, traces = load(store, *rows)
    assert [trace.final_answer for trace in traces] == ["b", "c", "d"]
    assert told(report) == [
        ("response", "missing; the mapping takes completion from it"),
        ("prompt", "missing; the mapping takes prompt from it"),
    ]


@pytest.mark.parametrize(
    ("row", "mappings"),
    [
        (
            {"question": "3 × 4?", "answer": "12"},
            [{"prompt": "question", "completion": "answer"}, {"prompt": "question", "meta.expected_answer": "answer"}],
        ),
        (
            {"prompt": [{"from": "human", "value": "3 × 4?"}], "final_answer": "12"},
            [
                {"prompt": "prompt.0.value", "meta.expected_answer": "final_answer"},
                {"prompt": "prompt.0.value", "completion": "final_answer"},
            ],
        ),
        ({"prompt": "3 × 4?", "ground_truth": "12"}, [{"prompt": "prompt", "meta.expected_answer": "ground_truth"}]),
        (
            {"prompt": "3 × 4?", "response": "12", "output": "13"},
            [{"prompt": "prompt", "completion": "response"}, {"prompt": "prompt", "completion": "output"}],
        ),
        (
            {"question": "3 × 4?", "problem": "Sums", "response": "12"},
            [{"prompt": "question", "completion": "response"}, {"prompt": "problem", "completion": "response"}],
        ),
        ({"answer": "so it is 12"}, [{"final_answer": "answer"}]),
        ({"user": "u17", "response": "12"}, [{"completion": "response"}]),
        (
            {"doc": {"question": "3 × 4?"}, "out": {"response": "12"}},
            [{"prompt": "doc.question", "completion": "out.response"}],
        ),
        ({"topic": "3 × 4?", "essay": "It is twelve."}, [{"prompt": "topic", "completion": "essay"}]),
        ({"learning_rate": 0.1}, []),
    ],
)
def test_what_can_be_read_in_several_ways_or_has_no_model_s_text_is_refused_with_the_mappings(store, row, mappings):
    error = refused(store, row)
    assert error.mappings == tuple(mappings)
    assert error.mapping == (mappings[0] if mappings else None)
    said = str(error)
    assert said.splitlines()[0].startswith("list: of no known format; its fields are ")
    for mapping in mappings:
        assert f"{mapping_text(mapping)}" in said
        assert store.load([row], mapping=mapping, known="add").added == 1
    assert len(said.splitlines()) <= 5
    assert error.tried["gsm8k"]
    assert pickle.loads(pickle.dumps(error)).mappings == error.mappings  # noqa: S301 - our own


def test_the_mapping_is_worded_for_the_command_line_and_comes_back_the_same():
    mapping = {"prompt": ["ask", "with"], "completion": "it's", "meta.kind": {"value": "true"}, "meta.n": {"value": 1}}
    assert map_flags(mapping) == (
        """--map 'prompt=["ask", "with"]' --map 'completion=it'"'"'s' --map 'meta.kind:="true"' --map meta.n:=1"""
    )
    pairs = ['prompt=["ask", "with"]', "completion=it's", 'meta.kind:="true"', "meta.n:=1"]
    assert mapping_in(pairs) == mapping
    assert as_options(f"try {mapping_text(mapping)}", [mapping]) == f"try {map_flags(mapping)}"


def test_a_format_that_reads_none_of_the_first_rows_gives_way(store):
    # A conversation without an answer beside a prompt and a response.
    row = {"messages": [{"role": "user", "content": "?"}], "prompt": "3 × 4?", "response": "12"}
    report, (trace,) = load(store, row)
    assert (report.format, trace.final_answer) == ("field_names", "12")
    assert trace.meta["extra"] == {"messages": row["messages"]}


def test_a_format_that_only_claims_a_file_keeps_its_rejections_and_the_report_helps(store):
    report, _ = load(store, {"prompt": "3 × 4?", "final_answer": "12"})
    assert [row.field for row in report.rejected] == ["steps"]
    assert report.tried["rows.jsonl"]["trace"] == "its rows look like it, and none of them can be read"
    helped = 'mapping={"prompt": "prompt", "meta.expected_answer": "final_answer"}'
    assert report.help["rows.jsonl"].mapping == json.loads(helped.removeprefix("mapping="))
    assert helped in " ".join(str(report).split())
    assert "none of the first rows of rows.jsonl could be read" in report._repr_html_()


def test_the_native_format_claims_only_what_is_like_a_trace():
    claims = rt.formats.READABLE["trace"].misfit
    assert claims({"trace_version": "1.0"}) is None
    assert claims({"prompt": "p", "final_answer": "a"}) is None
    assert claims({"payload": {"prompt": "p", "steps": []}}) is None
    for row in ({"steps": "s", "answer": "a"}, {"final_answer": "a"}, {"prompt": ["p"], "steps": []}, {"payload": {}}):
        assert claims(row) is not None


def test_in_a_folder_the_refusal_is_a_rejection_and_the_rest_is_loaded(store):
    Path("runs").mkdir()
    Path("runs/a.jsonl").write_text('{"prompt": "a?", "response": "b"}\n')
    Path("runs/b.jsonl").write_text('{"question": "a?", "answer": "b"}\n')
    report = store.load("runs")
    assert (report.added, report.format) == (1, "field_names")
    assert 'mapping={"prompt": "question", "completion": "answer"}' in report.rejected[0].reason
    assert set(report.tried) == {str(Path("runs/b.jsonl"))}


_NAMES = st.sampled_from(
    ["prompt", "question", "input", "response", "output", "answer", "solution", "cot", "steps", "score", "gold", "a.b"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.sampled_from(["role", "from"]), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.lists(st.dictionaries(_NAMES | st.text(max_size=3), _VALUES, max_size=6), max_size=4))
def test_anything_gets_proposals_that_are_mappings(rows):
    found = proposals_for(rows)
    assert len(found.all) <= 3
    for proposal in found.all:
        assert rt.formats.mapped_format(proposal.mapping).reader
    assert not found.is_sure or len(found.all) == 1


def test_messages_in_which_no_model_speaks_are_the_prompt(store):
    asked = [{"role": "user", "content": "27 × 19?"}]
    row = {"messages": asked, "reasoning": "27 × 20 − 27", "answer": "513", "model": "r1"}
    report = store.load([row])
    assert report.mapping["prompt"] == "messages.0.content"
    trace = store.latest().payload
    assert (trace.prompt, trace.final_answer, trace.meta["model"]) == ("27 × 19?", "513", "r1")


def test_prompts_without_a_model_s_text_are_refused_and_no_name_is_taken_for_one(store):
    asked = [{"role": "user", "content": "27 × 19?"}]
    row = {"data_source": "dapo", "prompt": asked, "reward_model": {"ground_truth": "513"}, "ability": "MATH"}
    with pytest.raises(rt.SourceInvalid) as caught:
        store.load([row])
    assert caught.value.fields == ("data_source", "prompt", "reward_model", "ability")
    assert caught.value.mapping == {"prompt": "prompt.0.content", "meta.expected_answer": "reward_model.ground_truth"}
    with pytest.raises(rt.SourceInvalid) as caught:
        store.load([{"task_id": "q-1", "winner": "model_a", "url": "/v1/chat"}])
    assert not caught.value.mappings
