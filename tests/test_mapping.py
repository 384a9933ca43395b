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
        ({"question": "q", "out": {"text": {"a": 1}}}, "final_answer", "must be a string, not an object"),
        ({"question": "q", "out": {"text": []}}, "out.text", "holds no sample"),
        ([], None, "must be an object, not a list"),
    ],
)
def test_a_row_that_lacks_a_field_is_told_with_its_name(same_store, row, field, reason):
    assert rejected(same_store, row, {"prompt": "question", "final_answer": "out.text"}) == (field, reason)


def test_a_text_that_is_none_is_told_by_the_name_of_its_field(store):
    row = {"question": "q", "cot": {"text": "…"}}
    assert rejected(store, row, {"prompt": "question", "reasoning": "cot"}) == (
        "cot",
        "must be a string; the mapping takes reasoning from it",
    )
    assert rejected(store, row, {"prompt": "question", "completion": "cot"})[0] == "cot"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (
            {"question": "prompt"},
            "known are prompt, final_answer, steps, reasoning, completion, messages, rows and meta.KEY (the",
        ),
        ({"prompt": "q", "meta": "m"}, 'unknown target "meta"'),
        ({"prompt": "q", "meta.": "m"}, 'unknown target "meta."'),
        ({"prompt": "q", "meta.a..b": "m"}, 'unknown target "meta.a..b"'),
        ({"prompt": "q", 3: "m"}, "unknown target 3"),
        ({"prompt": 3}, 'prompt must name a field of the row, or be {"value": …} for what is always the same, not 3'),
        ({"prompt": ""}, 'always the same, not ""'),
        ({"prompt": []}, "always the same, not []"),
        ({"prompt": ["a", 3]}, 'always the same, not ["a", 3]'),
        ({"prompt": {"value": 1, "of": 2}}, 'always the same, not {"value": 1, "of": 2}'),
        ({"prompt": "q", "meta.a": ["b", "c"]}, "meta.a is taken from one field"),
        ({"prompt": "q", "rows": ["a"]}, 'rows must name the field that holds the rows, not ["a"]'),
        ({"prompt": "q", "messages": "m"}, "messages cannot be combined with prompt"),
        ({}, "names no part of a trace"),
        ({"rows": "results"}, "names no part of a trace"),
        ({"meta.a": "a"}, "names no part of a trace"),
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


@pytest.mark.slow
def test_messages_are_read_as_a_chat_under_whatever_name_also_as_json_in_a_text(store):
    dialogue = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "<think>So.</think>4"}]
    shared = [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "<think>So.</think>4"}]
    for given in (dialogue, shared, json.dumps(dialogue)):
        trace = load(store, {"log": {"turns": given}, "n": 1}, {"messages": "log.turns", "meta.n": "n"})
        assert (trace.prompt, [step.content for step in trace.steps], trace.final_answer) == ("2 + 2?", ["So."], "4")
        assert trace.meta == {"source": "mapping", "n": 1}
        store.delete(store.latest().id)
    assert rejected(store, {"log": dialogue[:1]}, {"messages": "log"}) == (
        "log",
        "there is no message of the assistant",
    )
    assert rejected(store, {"log": "2 + 2?"}, {"messages": "log"})[0] == "log"


def test_a_prompt_may_be_a_list_of_messages(store):
    row = {"ask": [{"role": "system", "content": "Short."}, {"role": "user", "content": "2 + 2?"}], "a": "4"}
    trace = load(store, row, {"prompt": "ask", "final_answer": "a"})
    assert (trace.prompt, trace.meta["system"]) == ("2 + 2?", "Short.")


@pytest.mark.slow
def test_several_fields_make_a_prompt_joined_or_by_a_template(store):
    row = {"task": "Add.", "with": "2, 2", "n": 3, "a": "4"}
    assert load(store, row, {"prompt": ["task", "with"], "final_answer": "a"}).prompt == "Add.\n\n2, 2"
    # What is empty, null or missing leaves no gap; without all of them there is no prompt.
    for gap in ({"with": ""}, {"with": None}, {"with": "2, 2", "task": None}):
        prompt = load(store, row | gap | {"a": str(gap)}, {"prompt": ["task", "with"], "final_answer": "a"}).prompt
        assert prompt == ("2, 2" if "task" in gap else "Add.")
    assert rejected(store, {"a": "4"}, {"prompt": ["task", "with"], "final_answer": "a"}) == (
        "task, with",
        "missing; the mapping takes prompt from it",
    )
    template = {"prompt": "{task} ({with}, {n} times) {}", "final_answer": "a", "meta.name": "{task}/{n}"}
    trace = load(store, row, template)
    assert (trace.prompt, trace.meta) == ("Add. (2, 2, 3 times) {}", {"source": "mapping", "name": "Add./3"})
    assert rejected(store, {"task": "Add.", "n": 3, "a": "4"}, template)[0] == "task, with, n"


def test_without_a_prompt_it_is_empty(store):
    trace = load(store, {"answer": "4"}, {"final_answer": "answer"})
    assert (trace.trace_version, trace.prompt, trace.final_answer) == ("1.1", "", "4")


def test_what_is_always_the_same_is_a_value(store):
    mapping = {
        "prompt": {"value": "2 + 2?"},
        "final_answer": "a",
        "meta.model": {"value": "toy-1b"},
        "meta.n": {"value": 2},
    }
    trace = load(store, {"a": "4"}, mapping)
    assert (trace.prompt, trace.meta) == ("2 + 2?", {"source": "mapping", "model": "toy-1b", "n": 2})
    assert load(store, {"a": "5"}, mapping | {"meta.n": {"value": float("nan")}}).meta["n"] is None
    with pytest.raises(rt.QueryInvalid, match=r"mapping: meta.n: .*object"):
        store.load([{"a": "4"}], mapping=mapping | {"meta.n": {"value": object()}})


def test_dots_reach_into_json_in_a_text_which_stays_whole_in_extra(store):
    row = {"request": json.dumps({"body": {"ask": "2 + 2?"}, "n": 1}), "a": "4"}
    trace = load(store, row, {"prompt": "request.body.ask", "final_answer": "a"})
    assert (trace.prompt, trace.meta["extra"]) == ("2 + 2?", {"request": row["request"]})
    deep = {"request": "[" * 10_000, "a": "4"}
    assert rejected(store, deep, {"prompt": "request.0", "final_answer": "a"})[0] == "request.0"


def test_a_list_holds_several_samples_with_what_is_parallel_to_it(store):
    row = {
        "q": "2 + 2?",
        "out": ["<think>So.</think>4", None, "5"],
        "scores": [1, 0, 0.5],
        "tags": ["x", "y"],
        "left": 1,
    }
    mapping = {"prompt": "q", "completion": "out", "meta.reward": "scores", "meta.tags": "tags"}
    report = store.load([row], mapping=mapping)
    assert counts(report) == (3, 0, 0)
    traces = [record.payload for record in store.records(newest_first=False)]
    assert [trace.final_answer for trace in traces] == ["4", None, "5"]
    assert ["truncated" in trace.meta for trace in traces] == [False, False, False]
    assert [trace.meta["reward"] for trace in traces] == [1, 0, 0.5]
    assert [trace.meta["sample"] for trace in traces] == [0, 1, 2]
    assert all(trace.meta["tags"] == ["x", "y"] and trace.meta["extra"] == {"left": 1} for trace in traces)


def test_a_bad_sample_is_rejected_and_the_others_are_loaded(store):
    report = store.load([{"q": "2 + 2?", "out": ["4", 7, "5"]}], mapping={"prompt": "q", "completion": "out"})
    assert counts(report) == (2, 0, 1)
    assert report.rejected[0].reason == "must be a string; the mapping takes completion from it"


def test_reasonings_answers_and_steps_in_lists_go_together(store):
    row = {"q": "2 + 2?", "cot": ["So.", "Hm."], "a": ["4", 5], "steps": [["one"], ["two", "three"]]}
    store.load([row], mapping={"prompt": "q", "reasoning": "cot", "final_answer": "a"})
    store.load([row], mapping={"prompt": "q", "steps": "steps", "final_answer": "a"})
    traces = [record.payload for record in store.records(newest_first=False)]
    assert [[step.content for step in trace.steps] for trace in traces] == [["So."], ["Hm."], ["one"], ["two", "three"]]
    assert [trace.final_answer for trace in traces] == ["4", "5", "4", "5"]
    short = row | {"a": ["4"]}
    assert rejected(store, short, {"prompt": "q", "reasoning": "cot", "final_answer": "a"}) == (
        "a",
        "has 1 samples where reasoning has 2",
    )


def test_samples_may_stand_in_several_fields_of_which_a_row_lacks_some(store):
    mapping = {"prompt": "q", "completion": ["first", "second", "third"]}
    report = store.load([{"q": "2 + 2?", "first": "4", "third": "5"}, {"q": "2 + 2?"}], mapping=mapping)
    assert (report.added, [row.field for row in report.rejected]) == (2, ["first, second, third"])
    assert sorted(record.payload.meta["sample"] for record in store.records()) == [0, 2]


def test_rows_one_level_down_have_what_stands_beside_them(store):
    row = {"model": "toy-1b", "results": [{"q": "2 + 2?", "a": "4"}, {"q": "3 + 3?"}, 7, {"q": "4 + 4?", "a": "8"}]}
    mapping = {"rows": "results", "prompt": "q", "final_answer": "a", "meta.model": "model"}
    report = store.load([row], mapping=mapping)
    assert (report.added, [(row.field, row.reason) for row in report.rejected]) == (
        2,
        [
            ("results.1.a", "missing; the mapping takes final_answer from it"),
            ("results.2", "must be an object"),
        ],
    )
    assert all(record.payload.meta["model"] == "toy-1b" for record in store.records())
    assert rejected(store, {"results": 3}, mapping) == ("results", "must be a list of rows")
