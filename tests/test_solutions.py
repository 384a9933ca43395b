"""Data sets of problems with solutions: OpenR1-Math, OpenThoughts, s1K, NuminaMath."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import like, load, read, told

OPENR1 = {
    "problem": "27 × 19?",
    "solution": "Twenty of them less one.",
    "answer": "513",
    "problem_type": "Number Theory",
    "question_type": "math-word-problem",
    "source": "olympiads",
    "uuid": "586fd646-76d6-5070-8c81-9993ab9d8559",
    "is_reasoning_complete": [True, True],
    "generations": [
        "<think>Twenty of them.\n\nLess one of them.</think>\n\nIt is \\boxed{513}.",
        "<think>Wrongly twenty of them</think>\\boxed{503}",
    ],
    "correctness_math_verify": [True, False],
    "correctness_llama": None,
    "finish_reasons": ["stop", "length"],
    "correctness_count": 1,
    "messages": [{"role": "user", "content": "27 × 19?"}],
}
OPENR1_EXTRA = {
    "solution": "Twenty of them less one.",
    "problem_type": "Number Theory",
    "question_type": "math-word-problem",
    "is_reasoning_complete": [True, True],
    "correctness_llama": None,
    "correctness_count": 1,
    "messages": [{"role": "user", "content": "27 × 19?"}],
}


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
def test_openr1_math_gives_a_trace_for_each_generation(store, to):
    report, traces = load(store, OPENR1, to=to)
    assert (report.format, report.added, report.rejected_count) == ("openr1_math", 2, 0)
    meta = {
        "source": "olympiads",
        "expected_answer": "513",
        "group": "586fd646-76d6-5070-8c81-9993ab9d8559",
        "extra": OPENR1_EXTRA,
    }
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=["Twenty of them.\n\n", "Less one of them."],
            final_answer="It is \\boxed{513}.",
            meta=meta | {"correct": True, "finish_reason": "stop", "sample": 0},
        ),
        rt.Trace(
            prompt="27 × 19?",
            steps=["Wrongly twenty of them"],
            final_answer="\\boxed{503}",
            meta=meta | {"correct": False, "finish_reason": "length", "truncated": True, "sample": 1},
        ),
    ]


def test_lists_beside_the_generations_may_be_short_null_or_longer(store):
    row = OPENR1 | {"correctness_math_verify": [None], "finish_reasons": None}
    _, (first, second) = load(store, row | {"is_reasoning_complete": [True, True, False]})
    for trace in (first, second):
        assert not trace.meta.keys() & {"correct", "finish_reason", "truncated"}
        # What does not match the generations one to one stays to be seen.
        assert trace.meta["extra"]["correctness_math_verify"] == [None]
        assert trace.meta["extra"]["is_reasoning_complete"] == [True, True, False]
    _, (only, _) = load(store, {"problem": "p", "generations": ["a", "b"], "finish_reasons": ["stop"]}, to="few.jsonl")
    assert only.meta == {
        "source": "openr1_math",
        "finish_reason": "stop",
        "sample": 0,
        "extra": {"finish_reasons": ["stop"]},
    }


def test_a_generation_without_its_end_is_truncated_and_one_with_an_answer_is_not(store):
    generations = ["<think>27 × 20 =", "27 × 20 = 540, and", "27 × 20</think>513"]
    row = OPENR1 | {"generations": generations, "is_reasoning_complete": [False] * 3}
    _, traces = load(store, row)
    assert [(trace.steps[0].content, trace.final_answer, trace.meta.get("truncated")) for trace in traces] == [
        ("27 × 20 =", None, True),
        ("27 × 20 = 540, and", None, True),
        ("27 × 20", "513", None),
    ]


def test_a_bad_generation_does_not_lose_the_others(store):
    row = OPENR1 | {"generations": ["one", None, "\0", "four"], "correctness_math_verify": [True, True, True, "yes"]}
    report, traces = load(store, row)
    assert [trace.meta["sample"] for trace in traces] == [0]
    assert told(report) == [
        ("generations.1", "must be a string, not null"),
        ("final_answer", "contains a NUL character (U+0000, at character 1), which cannot be stored; remove it"),
        ("correctness_math_verify.3", "must be true or false"),
    ]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"problem": None}, "problem", "must be a string, not null"),
        ({"generations": "text"}, "generations", "must be a list"),
        ({"finish_reasons": {"0": "stop"}}, "finish_reasons", "must be a list"),
        ({"uuid": 7}, "uuid", "must be a string"),
        ({"answer": 513}, "answer", "must be a string"),
    ],
)
def test_a_wrong_type_is_told_with_its_field(store, change, field, reason):
    report, traces = load(store, OPENR1, OPENR1 | change, [OPENR1])
    assert len(traces) == 2
    assert told(report) == [(field, reason), (None, "must be an object, not a list")]


def test_without_generations_the_human_solution_is_the_trace(store):
    row = OPENR1 | {"generations": None, "correctness_math_verify": [], "finish_reasons": None}
    _, traces = load(store, OPENR1, row)
    assert traces[2:] == [
        rt.Trace(
            prompt="27 × 19?",
            steps=["Twenty of them less one."],
            final_answer="513",
            meta={
                "source": "olympiads",
                "expected_answer": "513",
                "kind": "reference",
                "group": "586fd646-76d6-5070-8c81-9993ab9d8559",
                "extra": {name: item for name, item in OPENR1_EXTRA.items() if name != "solution"},
            },
        )
    ]


OPEN_THOUGHTS = {
    "problem": "27 × 19? Return your final response within \\boxed{}.",
    "deepseek_reasoning": "Twenty of them.\n\nLess 27.",
    "deepseek_solution": "It is \\boxed{513}.",
    "ground_truth_solution": "540 − 27 = \\boxed{513}",
    "domain": "math",
    "source": "numina_math",
    "test_cases": None,
    "starter_code": None,
}


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
def test_open_thoughts(store, to):
    report, traces = load(store, OPEN_THOUGHTS, to=to)
    assert report.format == "open_thoughts"
    assert traces == [
        rt.Trace(
            prompt=OPEN_THOUGHTS["problem"],
            steps=["Twenty of them.\n\n", "Less 27."],
            final_answer="It is \\boxed{513}.",
            meta={
                "source": "numina_math",
                "expected_answer": "540 − 27 = \\boxed{513}",
                "model": "deepseek",
                "extra": {"domain": "math", "test_cases": None, "starter_code": None},
            },
        )
    ]


def test_a_thought_that_came_to_no_solution_has_no_answer(store):
    _, (trace,) = load(store, OPEN_THOUGHTS | {"deepseek_solution": None, "ground_truth_solution": None})
    assert (trace.final_answer, trace.meta.get("truncated")) == (None, None)
    assert "expected_answer" not in trace.meta


S1K = {
    "solution": "128",
    "question": "How many?",
    "cot_type": "math",
    "source_type": "AI-MO/NuminaMath-CoT/aops_forum",
    "metadata": "{'url': None}",
    "cot": None,
}


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
def test_s1k_has_one_attempt_and_its_thinking_may_be_in_parts(store, to):
    row = S1K | {"thinking_trajectories": ["Twice 64.", "So 128."], "attempt": "It is 128."}
    report, traces = load(store, row, to=to)
    assert report.format == "s1k"
    assert traces == [
        rt.Trace(
            prompt="How many?",
            steps=["Twice 64.\n\n", "So 128."],
            final_answer="It is 128.",
            meta={
                "source": "s1k",
                "expected_answer": "128",
                "extra": {name: item for name, item in S1K.items() if name not in {"question", "solution"}},
            },
        )
    ]


S1K_1_1 = S1K | {
    "gemini_thinking_trajectory": "Twice 64.",
    "gemini_attempt": "It is 128.",
    "deepseek_thinking_trajectory": "Half of 250.",
    "deepseek_attempt": "It is 125.",
    "gemini_grade": "Yes",
    "gemini_grade_reason": "As it should be.",
    "deepseek_grade": "No",
    "deepseek_grade_reason": "Too few.",
}


def test_s1k_1_1_gives_a_trace_for_each_model(store):
    report, (gemini, deepseek) = load(store, S1K_1_1)
    assert report.format == "s1k"
    extra = {name: item for name, item in S1K.items() if name not in {"question", "solution"}}
    meta = {"source": "s1k", "expected_answer": "128"}
    assert gemini == rt.Trace(
        prompt="How many?",
        steps=["Twice 64."],
        final_answer="It is 128.",
        meta=meta | {"correct": True, "model": "gemini", "extra": extra | {"gemini_grade_reason": "As it should be."}},
    )
    assert deepseek == rt.Trace(
        prompt="How many?",
        steps=["Half of 250."],
        final_answer="It is 125.",
        meta=meta | {"correct": False, "model": "deepseek", "extra": extra | {"deepseek_grade_reason": "Too few."}},
    )


def test_an_attempt_of_one_model_stands_for_itself(store):
    row = S1K_1_1 | {"gemini_attempt": 7, "deepseek_grade": "unsure"}
    alone = S1K_1_1 | dict.fromkeys(("gemini_thinking_trajectory", "gemini_attempt"))
    none = alone | dict.fromkeys(("deepseek_thinking_trajectory", "deepseek_attempt"))
    report, (beside, single) = load(store, row, alone, none)
    assert told(report) == [
        ("gemini_attempt", "must be a string"),
        (None, "there is no thinking and no attempt of any model"),
    ]
    assert "correct" not in beside.meta
    assert beside.meta["extra"]["deepseek_grade"] == "unsure"
    assert single.meta["model"] == "deepseek"
    assert single.meta["extra"]["gemini_grade"] == "Yes"


NUMINA = {
    "problem": "27 × 19?",
    "solution": "Twenty of them.\n\n540 − 27 = $\\boxed{513}$.",
    "answer": "513",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "problem_is_valid": "Yes",
    "solution_is_valid": "Yes",
    "source": "cn_contest",
    "synthetic": False,
}
NUMINA_EXTRA = {
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "problem_is_valid": "Yes",
    "solution_is_valid": "Yes",
    "synthetic": False,
}


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
def test_numina_math(store, to):
    report, traces = load(store, NUMINA, to=to)
    assert report.format == "numina_math"
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=["Twenty of them.\n\n", rt.Step(i=1, type="result", content="540 − 27 = $\\boxed{513}$.")],
            final_answer="513",
            meta={
                "source": "cn_contest",
                "expected_answer": "513",
                "kind": "reference",
                "extra": NUMINA_EXTRA,
            },
        )
    ]


def test_a_column_by_a_model_in_rows_of_numina_math_is_what_the_model_wrote(store):
    written = "<think>\nTwenty of them.\n</think>\n\n\\boxed{520}"
    report, (trace,) = load(store, NUMINA | {"reannotated_assistant_content": written})
    assert (report.format, report.mapping["completion"]) == ("field_names", "reannotated_assistant_content")
    assert (trace.final_answer, trace.meta["expected_answer"]) == ("\\boxed{520}", "513")
    assert "kind" not in trace.meta


@pytest.mark.parametrize("word", ["proof", "notfound"])
def test_where_numina_math_has_no_answer_the_solution_is_it(store, word):
    _, traces = load(store, NUMINA | {"solution": "Assume it is odd.\n\nThen …", "answer": word, "source": 3})
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=[],
            final_answer="Assume it is odd.\n\nThen …",
            meta={
                "source": "numina_math",
                "extra": NUMINA_EXTRA | {"answer": word, "source": 3},
            },
            trace_version="1.1",
        )
    ]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"problem": "p", "solution": "s"}, "numina_math: no field answer, problem_type"),
        ({"problem": "p", "deepseek_solution": "s"}, "open_thoughts: no field deepseek_reasoning"),
        ({"question": "q", "attempt": "a"}, "s1k: no thinking_trajectories and attempt, and no model's"),
    ],
)
def test_a_row_that_lacks_a_field_is_of_no_format(store, row, told):
    with pytest.raises(rt.SourceInvalid) as caught:
        load(store, row)
    name, lacks = told.split(": ")
    assert caught.value.tried[name].startswith(lacks)


@pytest.mark.slow
def test_generations_without_openr1s_fields_are_samples_by_their_names(store):
    load(store, {"problem": "p", "generations": ["g", "h"]})
    assert [trace.payload.final_answer for trace in store.records(newest_first=False)] == ["g", "h"]


ROWS = [
    ("openr1_math", OPENR1),
    ("open_thoughts", OPEN_THOUGHTS),
    ("s1k", S1K_1_1 | {"thinking_trajectories": ["t"], "attempt": "a"}),
    ("numina_math", NUMINA),
]


@pytest.mark.slow
@given(st.data(), st.sampled_from(ROWS))
def test_whatever_a_row_holds_it_is_a_trace_or_told(data, known):
    name, row = known
    read(name, data.draw(like(row)))
