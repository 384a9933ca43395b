"""Fields by hand: rows of any shape are loaded by saying which of their fields is what."""

import json
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.test_load import ROW, counts, lines, write

OUTSIDE = {
    "question": "27 × 19?",
    "cot": "Twenty of them.\n\nLess one of them.",
    "answer": "513",
    "score": 0.5,
    "id": 7,
}


def load(store, row, mapping):
    """The one trace of the row."""
    report = store.load([row], mapping=mapping)
    assert (report.format, counts(report)) == ("mapping", (1, 0, 0))
    return store.latest().payload


def rejected(store, row, mapping):
    report = store.load([row], mapping=mapping)
    assert counts(report) == (0, 0, 1)
    return report.rejected[0].field, report.rejected[0].reason


def test_prompt_reasoning_answer_and_meta(store):
    mapping = {"prompt": "question", "reasoning": "cot", "final_answer": "answer", "meta.reward": "score"}
    assert load(store, OUTSIDE, mapping) == rt.Trace(
        prompt="27 × 19?",
        steps=["Twenty of them.\n\n", "Less one of them."],
        final_answer="513",
        meta={"source": "mapping", "reward": 0.5, "extra": {"id": 7}},
    )


def test_from_files_and_folders_as_from_anything(store):
    Path("runs").mkdir()
    write("runs/a.jsonl", lines([OUTSIDE]))
    write("runs/b.json", json.dumps([OUTSIDE | {"question": "other"}, OUTSIDE], indent=1))
    report = store.load("runs", mapping={"prompt": "question", "final_answer": "answer"})
    assert (counts(report), report.format) == ((3, 0, 0), "mapping")
    assert [trace.prompt for trace in report.samples] == ["27 × 19?", "other", "27 × 19?"]


def test_dots_reach_inside_and_what_is_not_mapped_stays_in_extra(store):
    row = {
        "input": {"messages": [{"role": "user", "content": "How many?"}]},
        "choices": [{"text": "5", "index": 0}, {"text": "six"}],
        "tags": ["a", "b"],
        "grader": {"score": 1},
        "a.b": "dotted",
    }
    mapping = {
        "prompt": "input.messages.0.content",
        "final_answer": "choices.0.text",
        "meta.grader.score": "grader.score",
        "meta.tag": "tags.1",
        "meta.dotted": "a.b",
    }
    trace = load(store, row, mapping)
    assert (trace.prompt, trace.final_answer) == ("How many?", "5")
    assert trace.meta == {
        "source": "mapping",
        "grader": {"score": 1},
        "tag": "b",
        "dotted": "dotted",
        "extra": {
            "input": {"messages": [{"role": "user"}]},
            "choices": [{"index": 0}, {"text": "six"}],
            "tags": ["a", "b"],
        },
    }
    # The row itself stays as it was.
    assert row["grader"] == {"score": 1}


@pytest.mark.parametrize(
    ("written", "steps", "answer", "truncated"),
    [
        ("<think>First.\n\nThen.</think>513", ["First.\n\n", "Then."], "513", None),
        ("<think>First", ["First"], None, True),
        ("513", [], "513", None),
        (None, [], None, None),
    ],
)
def test_a_completion_is_taken_apart_by_its_tags(store, written, steps, answer, truncated):
    trace = load(store, {"question": "q", "output": written}, {"prompt": "question", "completion": "output"})
    assert ([step.content for step in trace.steps], trace.final_answer) == (steps, answer)
    assert trace.meta.get("truncated") is truncated


def test_steps_as_texts_or_as_steps(store):
    mapping = {"prompt": "question", "final_answer": "answer", "steps": "steps"}
    row = {
        "question": "q",
        "answer": "a",
        "steps": ["one", {"content": "two"}, {"i": 7, "type": "verify", "content": "3"}],
    }
    assert [(step.i, step.type, step.content) for step in load(store, row, mapping).steps] == [
        (0, "step", "one"),
        (1, "step", "two"),
        (7, "verify", "3"),
    ]
    assert load(store, row | {"steps": None}, mapping).steps == ()
    assert rejected(store, row | {"steps": "one"}, mapping)[0] == "steps"
    assert rejected(store, row | {"steps": [3]}, mapping)[0] == "steps.0"
    assert rejected(store, row | {"steps": [{"text": "one"}]}, mapping)[0] == "steps.0.content"


def test_an_answer_may_be_a_number_and_may_be_missing_from_the_data(store):
    assert load(store, {"q": "2 + 2?", "a": 4}, {"prompt": "q", "final_answer": "a"}).final_answer == "4"
    assert load(store, {"q": "2 + 2?", "a": 0.5}, {"prompt": "q", "final_answer": "a"}).final_answer == "0.5"
    none = load(store, {"q": "2 + 2?", "a": None}, {"prompt": "q", "final_answer": "a"})
    assert (none.final_answer, none.meta) == (None, {"source": "mapping"})
    only = load(store, {"q": "2 + 2?", "cot": "…"}, {"prompt": "q", "reasoning": "cot"})
    assert only.meta == {"source": "mapping"}


def test_the_source_may_be_named_by_the_row(store):
    row = {"q": "2 + 2?", "dataset": "sums"}
    assert load(store, row, {"prompt": "q", "meta.source": "dataset"}).meta == {"source": "sums"}
    assert store.count(source="sums") == 1


def test_the_package_s_own_fields_can_be_mapped_too(store):
    row = {"task": ROW["prompt"], "trace": {"steps": ROW["steps"], "final_answer": "4"}}
    mapping = {"prompt": "task", "steps": "trace.steps", "final_answer": "trace.final_answer"}
    assert load(store, row, mapping) == rt.Trace(**ROW, meta={"source": "mapping"})


def test_one_field_may_go_to_several_places(store):
    trace = load(store, {"q": "2 + 2?", "a": "4"}, {"prompt": "q", "final_answer": "a", "meta.expected_answer": "a"})
    assert trace.meta == {"source": "mapping", "expected_answer": "4"}


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"question": "q"}, "out.text", "missing; the mapping takes final_answer from it"),
        ({"question": "q", "out": "text"}, "out.text", "missing; the mapping takes final_answer from it"),
        ({"question": "q", "out": []}, "out.text", "missing; the mapping takes final_answer from it"),
        ({"out": {}}, "question", "missing; the mapping takes prompt from it (and 1 more)"),
        ({"question": None, "out": {"text": "a"}}, "prompt", "must be a string, not null"),
        ({"question": "q", "out": {"text": ["a"]}}, "final_answer", "must be a string, not a list"),
        ([], None, "must be an object, not a list"),
    ],
)
def test_a_row_that_lacks_a_field_is_told_with_its_name(store, row, field, reason):
    assert rejected(store, row, {"prompt": "question", "final_answer": "out.text"}) == (field, reason)


def test_a_text_that_is_none_is_told_by_the_name_of_its_field(store):
    row = {"question": "q", "cot": ["…"]}
    assert rejected(store, row, {"prompt": "question", "reasoning": "cot"}) == (
        "cot",
        "must be a string; the mapping takes reasoning from it",
    )
    assert rejected(store, row, {"prompt": "question", "completion": "cot"})[0] == "cot"


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (
            {"question": "prompt"},
            'unknown target "question"; known are prompt, final_answer, steps, reasoning, completion and meta.KEY (the',
        ),
        ({"prompt": "q", "meta": "m"}, 'unknown target "meta"'),
        ({"prompt": "q", "meta.": "m"}, 'unknown target "meta."'),
        ({"prompt": "q", "meta.a..b": "m"}, 'unknown target "meta.a..b"'),
        ({"prompt": "q", 3: "m"}, "unknown target 3"),
        ({"prompt": 3}, "prompt must name a field of the row, not 3"),
        ({"prompt": ""}, 'prompt must name a field of the row, not ""'),
        ({}, "there is no prompt"),
        ({"final_answer": "a"}, "there is no prompt"),
        ("question", 'mapping="question": must be a dictionary'),
        ({"prompt": "q", "steps": "s", "reasoning": "r"}, "steps cannot be combined with reasoning"),
        ({"prompt": "q", "completion": "c", "final_answer": "a"}, "completion cannot be combined with final_answer"),
        ({"prompt": "q", "meta.a": "a", "meta.a.b": "b"}, "meta.a cannot be set"),
        ({"prompt": "q", "meta.extra.b": "b"}, "meta.extra.b cannot be set: meta.extra has what is not mapped"),
    ],
)
def test_a_mapping_that_is_none_is_told_before_anything_is_read(store, mapping, told):
    with pytest.raises(rt.QueryInvalid) as caught:
        store.load("no such file", mapping=mapping)
    assert told in str(caught.value)


def test_a_mapping_is_a_format_of_its_own(store):
    with pytest.raises(rt.QueryInvalid, match=r"`format` cannot be combined with `mapping`, .* format=\"trace\""):
        store.load([OUTSIDE], format="trace", mapping={"prompt": "question"})
