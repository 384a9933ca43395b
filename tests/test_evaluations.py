"""What evaluations write: each shape in a small file of its own, and the traces that come of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import load, told
from tests.spoiled import only_refuses, spoiled
from tunix_rt.formats import READABLE

LM_EVAL = {
    "doc_id": 3,
    "doc": {"question": "2 + 2?"},
    "target": "4",
    "arguments": {"gen_args_0": {"arg_0": "Q: 2 + 2?\nA:", "arg_1": {"until": ["\n\n"]}}},
    "resps": [["<think>Two and two.</think>It is 4"]],
    "filtered_resps": ["4"],
    "filter": "strict-match",
    "metrics": ["exact_match"],
    "exact_match": 1.0,
}
QWEN = {
    "idx": 7,
    "question": "2 + 2?",
    "gt_cot": "2 + 2 = 4",
    "gt": "4",
    "code": ["<think>Two and two.</think>4", "5"],
    "pred": ["4", "5"],
    "report": [None, "Timeout"],
    "score": [True, False],
}
NEMO_SKILLS = {
    "problem": "2 + 2?",
    "expected_answer": "4",
    "generation": "<think>Two and two.</think>4",
    "predicted_answer": "4",
    "symbolic_correct": True,
    "num_generated_tokens": 12,
}
MMLU_PRO = {
    "question_id": 70,
    "question": "2 + 2?",
    "options": ["3", "4"],
    "answer": "B",
    "answer_index": 1,
    "category": "math",
    "pred": "B",
    "model_outputs": "<think>Two and two.</think>The answer is (B).",
}
OPENCOMPASS = {
    "origin_prompt": [{"role": "SYSTEM", "prompt": "Be brief."}, {"role": "HUMAN", "prompt": "2 + 2?"}],
    "prediction": "<think>Two and two.</think>4",
    "gold": "4",
}
ROUNDS = {
    "origin_prompt": [[{"role": "HUMAN", "prompt": "2 + 2?"}], [{"role": "HUMAN", "prompt": "2 + 3?"}]],
    "prediction": ["4", "5"],
    "gold": ["4", None],
}
PICTURE = "<h3>Results</h3>\n<p>Correct Answer: x &lt; 4</p>\n<p>Extracted Answer: 4</p>\n<p>Score: {score}</p>\n"
SIMPLE_EVALS = {
    "score": 0.5,
    "metrics": {"chars": 9.5},
    "htmls": [PICTURE.format(score=1.0), PICTURE.format(score=0.25)],
    "convos": [
        [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "<think>Two and two.</think>4"}],
        [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}],
    ],
    "metadata": {"example_level_metadata": [{"id": "a"}, None]},
}
HELM = {
    "instance": {
        "id": "id9",
        "input": {"text": "2 + 2?"},
        "references": [
            {"output": {"text": "three"}, "tags": []},
            {"output": {"text": "four"}, "tags": ["correct"]},
        ],
    },
    "train_trial_index": 0,
    "output_mapping": {"A": "three", "B": "four"},
    "request": {"model": "openai/gpt2", "prompt": "2 + 2?\nA. three\nB. four", "num_completions": 2},
    "result": {
        "success": True,
        "completions": [
            {"text": " B", "logprob": -0.5, "tokens": [{"text": " B", "logprob": -0.5}]},
            {
                "text": "A",
                "logprob": -1,
                "tokens": [],
                "finish_reason": {"reason": "length"},
                "thinking": {"text": "Two and two."},
            },
        ],
    },
}
ROWS = {
    "lm_eval": LM_EVAL,
    "qwen_eval": QWEN,
    "nemo_skills": NEMO_SKILLS,
    "mmlu_pro": MMLU_PRO,
    "opencompass": OPENCOMPASS,
    "simple_evals": SIMPLE_EVALS,
    "helm": HELM,
}


def texts(trace):
    return trace.prompt, [step.content for step in trace.steps], trace.final_answer


def test_a_sample_of_lm_eval(store):
    report, (found,) = load(store, LM_EVAL)
    assert report.format == "lm_eval"
    assert texts(found) == ("Q: 2 + 2?\nA:", ["Two and two."], "It is 4")
    extra = {name: LM_EVAL[name] for name in ("doc_id", "doc", "filter", "metrics")}
    assert found.meta == {
        "source": "lm_eval",
        "expected_answer": "4",
        "correct": True,
        "parsed_answer": "4",
        "extra": extra | {"arguments": {"gen_args_0": {"arg_1": {"until": ["\n\n"]}}}},
    }


@pytest.mark.parametrize(
    "arguments",
    [
        [["2 + 2?", {"until": []}]],
        ["2 + 2?"],
        {"gen_args_0": {"arg_0": "2 + 2?"}},
        {"gen_args_0": {"arg_0": [json.dumps([{"role": "user", "content": "2 + 2?"}])]}},
        {"gen_args_0": {"arg_0": json.dumps([{"role": "user", "content": "2 + 2?"}])}},
        {"gen_args_0": {"arg_0": [{"role": "user", "content": "2 + 2?"}]}},
    ],
)
def test_what_lm_eval_sent_is_a_text_or_a_chat(store, arguments):
    _, (found,) = load(store, LM_EVAL | {"arguments": arguments})
    assert found.prompt == "2 + 2?"


def test_a_prompt_that_only_begins_like_a_chat_stays_a_text(store):
    for prompt in ("[{1, 2}", '[{"a": 1}]'):
        _, found = load(store, LM_EVAL | {"arguments": [[prompt]]})
        assert found[-1].prompt == prompt


def test_each_repeat_of_lm_eval_is_a_sample(store):
    repeats = {"resps": [["4", "5"]], "filtered_resps": [["4", "5"]]}
    _, found = load(store, LM_EVAL | repeats, LM_EVAL | repeats | {"filtered_resps": ["4"]})
    assert [(one.final_answer, one.meta["sample"], one.meta.get("parsed_answer")) for one in found] == [
        ("4", 0, "4"),
        ("5", 1, "5"),
        ("4", 0, None),
        ("5", 1, None),
    ]
    # One verdict of two responses is that of neither.
    assert all("correct" not in one.meta and one.meta["extra"]["exact_match"] == 1.0 for one in found)
    assert found[-1].meta["extra"]["filtered_resps"] == ["4"]


@pytest.mark.parametrize(
    ("metrics", "told_of"),
    [
        ({"exact_match": 0}, {"correct": False}),
        ({"exact_match": True}, {"correct": True}),
        ({"exact_match": 0.5}, {"reward": 0.5}),
        ({"exact_match": None, "metrics": ["bleu"], "bleu": 0.25}, {"reward": 0.25}),
        ({"exact_match": "yes"}, {}),
        ({"exact_match": None, "metrics": ["bleu", "ter"], "bleu": 0.25}, {}),
        ({"exact_match": None, "metrics": 3}, {}),
    ],
)
def test_the_verdict_of_lm_eval(store, metrics, told_of):
    _, (found,) = load(store, LM_EVAL | metrics)
    assert {name: found.meta[name] for name in ("correct", "reward") if name in found.meta} == told_of


@pytest.mark.parametrize(
    "resps",
    [
        [[[-3.25, False]], [[-1.5, True]]],
        [[["-3.25", "False"]], [["-1.5", "True"]]],
        [[-3.25, False], [-1.5, True]],
        [[-3.25], [-1.5]],
    ],
)
def test_samples_scored_by_likelihood_are_refused(store, resps):
    report, found = load(store, LM_EVAL | {"resps": resps})
    assert (report.format, found) == ("lm_eval", [])
    assert told(report) == [("resps", "holds likelihoods of given answers; the model wrote no text that could be kept")]


def test_each_sample_of_qwen_eval_is_a_trace(store):
    report, (first, second) = load(store, QWEN)
    assert report.format == "qwen_eval"
    assert texts(first) == ("2 + 2?", ["Two and two."], "4")
    assert texts(second) == ("2 + 2?", [], "5")
    meta = {"source": "qwen_eval", "expected_answer": "4"}
    kept = {"idx": 7, "gt_cot": "2 + 2 = 4"}
    assert first.meta == meta | {"parsed_answer": "4", "correct": True, "sample": 0, "extra": kept}
    assert second.meta == meta | {
        "parsed_answer": "5",
        "correct": False,
        "sample": 1,
        "extra": kept | {"report": "Timeout"},
    }


def test_lists_that_do_not_match_the_samples_stay_as_they_are(store):
    _, found = load(store, QWEN | {"pred": ["4"], "score": None})
    assert all("parsed_answer" not in one.meta and "correct" not in one.meta for one in found)
    assert all(one.meta["extra"]["pred"] == ["4"] for one in found)


def test_a_bad_sample_takes_no_other_with_it(store):
    report, found = load(store, QWEN | {"code": ["4", 5], "score": [float("nan"), "?"]})
    assert [one.final_answer for one in found] == ["4"]
    assert told(report) == [("code.1", "must be a string")]
    assert "correct" not in found[0].meta


def test_nemo_skills(store):
    report, (found,) = load(store, NEMO_SKILLS)
    assert report.format == "nemo_skills"
    assert texts(found) == ("2 + 2?", ["Two and two."], "4")
    meta = {"expected_answer": "4", "parsed_answer": "4", "correct": True, "extra": {"num_generated_tokens": 12}}
    assert found.meta == {"source": "nemo_skills"} | meta


def test_nemo_skills_with_the_reasoning_taken_off(store):
    full = NEMO_SKILLS | {"generation": "4", "_full_generation": "Two and two.</think>4", "symbolic_correct": None}
    apart = NEMO_SKILLS | {"generation": "4", "reasoning_content": "Two and two.", "is_correct": 0}
    del apart["symbolic_correct"]
    _, found = load(store, full, apart)
    assert [texts(one) for one in found] == [("2 + 2?", ["Two and two."], "4")] * 2
    assert [one.meta.get("correct") for one in found] == [None, False]


def test_mmlu_pro_s_prompt_has_the_options(store):
    report, (found, other, open_) = load(store, MMLU_PRO, MMLU_PRO | {"pred": "A"}, MMLU_PRO | {"pred": None})
    assert report.format == "mmlu_pro"
    assert texts(found) == ("2 + 2?\nOptions:\nA. 3\nB. 4", ["Two and two."], "The answer is (B).")
    assert (found.meta["parsed_answer"], found.meta["expected_answer"]) == ("B", "B")
    assert found.meta["extra"]["options"] == ["3", "4"]
    assert [one.meta.get("correct") for one in (found, other, open_)] == [True, False, None]


def test_mmlu_pro_s_older_name_of_what_the_model_wrote(store):
    row = {name: item for name, item in MMLU_PRO.items() if name != "model_outputs"}
    report, (found,) = load(store, row | {"generated_text": "It is (B)."})
    assert (report.format, found.final_answer) == ("mmlu_pro", "It is (B).")
    assert "generated_text" not in found.meta["extra"]


def test_opencompass_keyed_by_number(store):
    Path("gsm8k.json").write_text(json.dumps({"0": OPENCOMPASS, "1": OPENCOMPASS | {"gold": "5"}}, indent=4))
    report = store.load("gsm8k.json")
    assert (report.format, report.added) == ("opencompass", 2)
    found = [record.payload for record in store.records(newest_first=False)]
    assert texts(found[0]) == ("2 + 2?", ["Two and two."], "4")
    assert [one.meta["expected_answer"] for one in found] == ["4", "5"]
    assert found[0].meta["system"] == "Be brief."


def test_opencompass_with_a_plain_prompt_and_with_rounds(store):
    _, found = load(store, OPENCOMPASS | {"origin_prompt": "2 + 2?"}, ROUNDS)
    assert [one.prompt for one in found] == ["2 + 2?", "2 + 2?", "2 + 3?"]
    assert [one.meta.get("expected_answer") for one in found] == ["4", "4", None]
    assert [one.meta.get("extra") for one in found] == [None, {"round": 0}, {"round": 1}]


def test_simple_evals(store):
    Path("math_o1_allresults.json").write_text(json.dumps(SIMPLE_EVALS, indent=2))
    report = store.load("math_o1_allresults.json")
    assert (report.format, report.added) == ("simple_evals", 2)
    first, second = (record.payload for record in store.records(newest_first=False))
    assert texts(first) == ("2 + 2?", ["Two and two."], "4")
    meta = {"source": "simple_evals", "expected_answer": "x < 4", "parsed_answer": "4"}
    assert first.meta == meta | {"correct": True, "extra": {"example_level_metadata": {"id": "a"}}}
    assert second.meta == meta | {"reward": 0.25}


def test_simple_evals_without_pictures(store):
    report, found = load(store, SIMPLE_EVALS | {"htmls": [None], "convos": [SIMPLE_EVALS["convos"][0], None]})
    assert [one.meta for one in found] == [
        {"source": "simple_evals", "extra": {"example_level_metadata": {"id": "a"}}},
    ]
    assert told(report) == [("convos.1", "must be a list, not null")]


def test_helm_under_request_states(store):
    Path("scenario_state.json").write_text(json.dumps({"adapter_spec": {"method": "joint"}, "request_states": [HELM]}))
    report = store.load("scenario_state.json")
    assert (report.format, report.added) == ("helm", 2)
    first, second = (record.payload for record in store.records(newest_first=False))
    assert texts(first) == ("2 + 2?\nA. three\nB. four", [], " B")
    assert texts(second) == ("2 + 2?\nA. three\nB. four", ["Two and two."], "A")
    assert first.meta["extra"]["adapter_spec"] == {"method": "joint"}
    assert first.meta["extra"]["completion"] == {"logprob": -0.5}
    shared = {"model": "openai/gpt2", "expected_answer": "four"}
    assert shared | {"parsed_answer": "four", "sample": 0} == {
        name: item for name, item in first.meta.items() if name not in {"source", "extra"}
    }
    assert (second.meta["finish_reason"], second.meta["truncated"]) == ("length", True)


def test_helm_without_a_text_of_the_model(store):
    failed = HELM | {"result": {"success": False, "error": "rate limit", "completions": []}}
    echoed = HELM | {
        "request": {"prompt": "2 + 2?", "echo_prompt": True},
        "result": {"completions": [{"text": "2 + 2?"}, {"text": "2 + 2? 4"}]},
    }
    report, found = load(store, failed, echoed, HELM | {"result": None})
    assert [one.final_answer for one in found] == [" 4"]
    assert told(report) == [
        ("result", "has no completions: rate limit"),
        ("result.completions.0", "repeats its prompt; the model wrote no text that could be kept"),
        ("result", "has no completions"),
    ]


@pytest.mark.parametrize(
    ("name", "row", "field", "reason"),
    [
        ("lm_eval", {"arguments": []}, "arguments", "has no request"),
        ("lm_eval", {"arguments": {"gen_args_0": {}}}, "arguments.gen_args_0.arg_0", "missing"),
        ("lm_eval", {"arguments": [[]]}, "arguments.0.0", "missing"),
        ("lm_eval", {"resps": []}, "resps", "has no responses"),
        ("lm_eval", {"resps": [[None]]}, "resps.0.0", "must be a string, not null"),
        ("qwen_eval", {"code": []}, "code", "has no samples"),
        ("qwen_eval", {"question": None}, "question", "must be a string, not null"),
        ("nemo_skills", {"generation": ["a"]}, "generation", "must be a string"),
        ("mmlu_pro", {"options": [1]}, "options.0", "must be a string"),
        (
            "opencompass",
            {"prediction": [0.25, 0.75]},
            "prediction",
            "holds likelihoods of given answers; the model wrote",
        ),
        (
            "opencompass",
            {"label: A": {"PPL": 1.5}},
            "prediction",
            "holds likelihoods of given answers; the model wrote",
        ),
        ("opencompass", ROUNDS | {"prediction": ["4"]}, "prediction", "1 for 2 prompts"),
        ("opencompass", {"prediction": None}, "prediction", "must be a string, not null"),
        ("simple_evals", {"convos": []}, "convos", "has no conversations"),
        ("helm", {"instance": 3}, "instance", "must be an object"),
    ],
)
def test_what_is_wrong_is_told_by_its_path(same_store, name, row, field, reason):
    Path("r.jsonl").write_text(json.dumps(ROWS[name] | row))
    report = same_store.load("r.jsonl", format=name)
    (rejected,) = report.rejected
    assert (report.added, rejected.field) == (0, field)
    assert rejected.reason.startswith(reason)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_one_family_is_not_taken_for_that_of_another(name):
    assert next(one.name for one in READABLE.values() if one.misfit(ROWS[name]) is None) == name


@pytest.mark.slow
@given(st.data())
def test_spoiled_rows_are_taken_or_refused(data):
    name = data.draw(st.sampled_from(sorted(ROWS)))
    examples = [ROWS[name], ROUNDS] if name == "opencompass" else [ROWS[name]]
    assert only_refuses(name, data.draw(spoiled(*examples)))


def test_a_huge_sample_is_kept_whole(store):
    written = "step " * 100_000
    _, found = load(store, QWEN | {"code": [f"<think>{written}</think>4"], "pred": ["4"], "score": [1]})
    assert sum(len(step.content) for step in found[0].steps) > 400_000
    assert isinstance(found[0], rt.Trace)
