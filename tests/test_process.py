"""Data sets of solutions whose steps were judged one by one: PRM800K, ProcessBench."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import like, load, read, told


def rated(text, rating, **more):
    return {"text": text, "rating": rating, "flagged": None} | more


def step(*completions, chosen=0, human=None):
    return {"completions": list(completions), "human_completion": human, "chosen_completion": chosen}


def prm800k(*steps, finish_reason="solution"):
    return {
        "labeler": "340d89bc-f5b7-45e9-b272-909ba68ee363",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": 9,
        "is_quality_control_question": False,
        "question": {
            "problem": "27 × 19?",
            "ground_truth_solution": "540 − 27 = \\boxed{513}",
            "ground_truth_answer": "513",
            "pre_generated_answer": "503",
        },
        "label": {"steps": list(steps), "total_time": 278270, "finish_reason": finish_reason},
    }


def meta_of(labels, *, steps=None, finish_reason="solution", **more):
    return {
        "source": "prm800k",
        "step_labels": labels,
        "expected_answer": "513",
        "finish_reason": finish_reason,
        "extra": {
            "labeler": "340d89bc-f5b7-45e9-b272-909ba68ee363",
            "timestamp": "2023-01-22T04:34:27.052924",
            "generation": 9,
            "is_quality_control_question": False,
            "question": {"ground_truth_solution": "540 − 27 = \\boxed{513}", "pre_generated_answer": "503"},
            "label": {"total_time": 278270} | ({"steps": steps} if steps else {}),
        },
    } | more


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
def test_the_chosen_completions_are_the_steps_and_their_ratings_the_labels(store, to):
    row = prm800k(step(rated("27 × 20 = 540.", 0)), step(rated("So it is 513.\n\n# Answer\n\n513", 1)))
    report, traces = load(store, row, to=to)
    assert (report.format, report.rejected_count) == ("prm800k", 0)
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=["27 × 20 = 540.", "So it is 513.\n\n# Answer\n\n513"],
            final_answer="513",
            meta=meta_of([0, 1], correct=True),
        )
    ]


def test_the_alternatives_stay_beside_the_trace(store):
    alternatives = step(rated("27 × 20 = 500.", -1), rated("27 × 20 = 540.", 1), chosen=1)
    by_hand = step(
        rated("540 + 27", -1),
        human={"text": "540 − 27 = 513\n# Answer\n513", "rating": None, "source": "human"},
        chosen=None,
    )
    _, traces = load(store, prm800k(step(rated("Round 19 up.", 1)), alternatives, by_hand))
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=["Round 19 up.", "27 × 20 = 540.", "540 − 27 = 513\n# Answer\n513"],
            final_answer="513",
            meta=meta_of([1, 1, 1], correct=True, steps=[None, alternatives, by_hand]),
        )
    ]


def test_where_labelling_stopped_at_an_error_the_solution_is_cut_there(store):
    found = step(rated("27 × 20 = 500.", -1), rated("27 × 20 = 540.", 1), chosen=None)
    flagged = step(rated("Round 19 up.", None, flagged=True))
    _, traces = load(store, prm800k(flagged, found, finish_reason="found_error"))
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=["Round 19 up.", "27 × 20 = 500."],
            final_answer=None,
            meta=meta_of([None, -1], finish_reason="found_error", steps=[flagged, found]),
            trace_version="1.1",
        )
    ]


def test_a_step_without_any_completion_is_none(store):
    empty = {"completions": None, "human_completion": None, "chosen_completion": None}
    by_hand = step(chosen=None, human="27 × 20 = 540.")
    _, (trace, nothing) = load(
        store, prm800k(by_hand, empty, finish_reason="give_up"), prm800k(finish_reason="bad_problem")
    )
    assert [one.content for one in trace.steps] == ["27 × 20 = 540."]
    assert trace.meta["extra"]["label"]["steps"] == [by_hand, empty]
    assert (nothing.steps, nothing.final_answer, nothing.meta.get("truncated")) == ((), None, None)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"question": {"problem": 3}}, "question.problem", "must be a string"),
        ({"question": "27 × 19?"}, "question", "must be an object"),
        ({"label": {}}, "label.steps", "missing"),
        ({"label": {"steps": [step()]}}, "label.steps.0.chosen_completion", "must be one of the 0 completions, not 0"),
        ({"label": {"steps": [step("x")]}}, "label.steps.0.completions.0", "must be an object"),
        ({"label": {"steps": [step({})]}}, "label.steps.0.completions.0.text", "missing"),
        ({"label": {"steps": [step(rated(3, 1))]}}, "label.steps.0.completions.0.text", "must be a string"),
        (
            {"label": {"steps": [step(rated("x", 2))]}},
            "label.steps.0.completions.0.rating",
            "must be -1, 0 or 1, not 2",
        ),
        ({"label": {"steps": [step(rated("x", True))]}}, "label.steps.0.completions.0.rating", "must be an integer"),
        ({"label": {"steps": [step(chosen=None, human=3)]}}, "label.steps.0.human_completion", "must be a string"),
    ],
)
def test_a_wrong_field_of_prm800k_is_told_by_its_path(store, change, field, reason):
    good = prm800k(step(rated("27 × 20 = 540.", 1)))
    report, traces = load(store, good, good | change)
    assert len(traces) == 1
    assert told(report) == [(field, reason)]


PROCESS_BENCH = {
    "id": "gsm8k-0",
    "generator": "Qwen2-7B-Instruct",
    "problem": "27 × 19?",
    "steps": ["27 × 20 = 540.", "540 + 27 = 567.", "\\boxed{567}"],
    "final_answer_correct": False,
    "label": 1,
}


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
def test_process_bench_judges_up_to_the_first_wrong_step(store, to):
    right = PROCESS_BENCH | {"id": "gsm8k-1", "label": -1, "final_answer_correct": True}
    report, traces = load(store, PROCESS_BENCH, right, to=to)
    assert (report.format, report.rejected_count) == ("process_bench", 0)
    meta = {"source": "process_bench", "model": "Qwen2-7B-Instruct"}
    wrong = {"step_labels": [1, -1, None], "first_error": 1, "correct": False, "extra": {"id": "gsm8k-0"}}
    good = {"step_labels": [1, 1, 1], "first_error": -1, "correct": True, "extra": {"id": "gsm8k-1"}}
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=PROCESS_BENCH["steps"],
            final_answer=None,
            meta=meta | judged,
            trace_version="1.1",
        )
        for judged in (wrong, good)
    ]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"label": 3}, "label", "must be -1 or one of the 3 steps, not 3"),
        ({"label": -2}, "label", "must be -1 or one of the 3 steps, not -2"),
        ({"label": True}, "label", "must be an integer"),
        ({"steps": ["x", None]}, "steps.1", "must be a string, not null"),
        ({"final_answer_correct": "no"}, "final_answer_correct", "must be true or false"),
    ],
)
def test_a_wrong_field_of_process_bench_is_told_by_its_path(store, change, field, reason):
    report, traces = load(store, PROCESS_BENCH, PROCESS_BENCH | change)
    assert len(traces) == 1
    assert told(report) == [(field, reason)]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"question": "q", "label": {"steps": []}}, "prm800k: no question.problem"),
        ({"question": {"problem": "p"}, "label": 1}, "prm800k: no label.steps"),
        ({"problem": "p", "label": 1}, "process_bench: no field steps, final_answer_correct"),
    ],
)
def test_a_row_that_lacks_a_field_is_of_no_format(store, row, why):
    with pytest.raises(rt.SourceInvalid) as caught:
        load(store, row)
    name, lacks = why.split(": ")
    assert caught.value.tried[name].startswith(lacks)


ROWS = [
    ("prm800k", prm800k(step(rated("a", 1), rated("b", -1)), step(chosen=None, human={"text": "# Answer\n\n4"}))),
    ("process_bench", PROCESS_BENCH),
]


@given(st.data(), st.sampled_from(ROWS))
def test_whatever_a_row_holds_it_is_a_trace_or_told(data, known):
    name, row = known
    read(name, data.draw(like(row)))
