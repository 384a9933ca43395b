"""The flags and the other scorers of a trace's texts: what each finds, what it must leave alone, and its evidence."""

import pickle

import pytest

import tunix_rt as rt
from tunix_rt.analysis import FLAGS, SCORERS, Texts, built_in
from tunix_rt.analysis.arithmetic import equations


def score(name, *steps, answer=None, prompt="How many eggs?", params=None, **meta):
    return built_in(name, **(params or {})).score(Texts(prompt, steps, answer, meta))


def test_every_scorer_has_a_name_a_version_and_its_parameters():
    assert len(set(SCORERS + FLAGS)) == len(SCORERS + FLAGS) == 16
    for name in SCORERS + FLAGS:
        scorer = pickle.loads(pickle.dumps(built_in(name)))  # noqa: S301
        assert (scorer.name, scorer.version) == (name, "1")
        assert scorer.params == built_in(name).params
    assert built_in("refusal", tail=10).params == {"tail": 10}
    assert built_in("loop", seen_share=1).params["seen_share"] == 1


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("nope", {}, '"nope": no such scorer; there are answer, structure'),
        (7, {}, "7: no such scorer"),
        ("loop", {"n": 3}, 'loop: no parameter "n"; there are repeats, covered'),
        ("length", {"n": 3}, 'length: no parameter "n"; there are none'),
        ("loop", {"repeats": "3"}, 'loop: repeats="3" is not a positive number like 3'),
        ("loop", {"repeats": True}, "loop: repeats=true is not a positive number like 3"),
        ("loop", {"repeats": 0}, "loop: repeats=0 is not"),
        ("loop", {"seen_share": float("nan")}, "loop: seen_share=nan is not"),
    ],
)
def test_an_unknown_scorer_or_parameter_is_answered_with_those_there_are(name, params, message):
    with pytest.raises(rt.QueryInvalid) as raised:
        built_in(name, **params)
    assert str(raised.value).startswith(message)


CUT = {
    "in a word": "First we add the three boxes to the ones that she alre",
    "behind a comma": "There are 3,\nand then,",
    "in a formula": r"So it is \frac{1}{",
    "in a text": r"It is \boxed{\text{Par",
    "in a command": "The angle is 5 \\",
    "in a tag": "<answer>5 and",
    "in a block of code": "So:\n```python\nprint(1)",
    "in a mark": "It costs $<<41.472+8.",
    "behind a mark": "In all they cost 2*3 = <<2*3=6>>",
    "before an amount": "The three boxes cost 2*3 = $",
    "short, behind a word that goes on": "So the",
}
WHOLE = {
    "sentence": "There are 3 eggs.",
    "Chinese": "共有三个鸡蛋。",
    "Thai": "มีไข่สามฟอง",
    "quote": 'She said "three."',
    "formula": r"It is \[ \frac{1}{2} \]",
    "constant": r"2\pi",
    "formula between dollars": "It is $ x + 1 $",
    "short answer": "three eggs",
    "answer line": "We add them.\nAnswer: three",
    "marked letter": "It is the third.\n#### C",
    "list": "We need:\n- apples\n- pears",
    "code": "So:\n```python\nprint(1)\n```",
    "emoji": "Three eggs it is \N{HATCHING CHICK}",
    "table": "| a | b |\n|---|---|\n| 1 | 2 |",
    "mention of a tag": "Put the answer into `<answer>`.",
    "tags": "<answer>5</answer>",
}


@pytest.mark.parametrize("kind", CUT)
def test_an_answer_that_ends_in_the_middle_is_cut(kind):
    found = score("answer_cut", answer=CUT[kind])
    assert found.value is True
    assert found.metadata["end"] == CUT[kind]
    assert score("truncated", answer=CUT[kind]).value is True


@pytest.mark.parametrize("kind", WHOLE)
def test_an_answer_that_ends_as_texts_do_is_not_cut(kind):
    assert score("answer_cut", answer=WHOLE[kind]).value is False
    assert score("truncated", "We add them.", answer=WHOLE[kind]).value is False


def test_what_a_source_reports_of_a_cut_decides_and_what_the_text_shows_is_kept_beside_it():
    reported = score("truncated", "We add.", answer="5", truncated=True)
    assert (reported.value, reported.metadata) == (True, {"reported": True, "inferred": False, "rule": None})
    assert score("truncated", "We add.", finish_reason="length").value is True
    stopped = score("truncated", "We add the", finish_reason="stop")
    assert stopped.value is False
    assert stopped.metadata == {"reported": False, "inferred": True, "rule": "no_end_mark", "end": "We add the"}
    assert score("truncated", "<think>We add.", "And then.").metadata["rule"] == "tag"
    assert score("truncated", "12 pens are 4 lots").value is True
    assert score("truncated").value is False
    assert score("answer_cut", "We add the").reason == "no_answer"


def test_alphabets_without_end_marks_and_lone_letters_are_left_alone():
    assert (
        score("answer_cut", answer="We add them, and so on, and find that the third of them is\n#### C").value is False
    )
    assert score("answer_cut", answer="We add them up.\n1. apples\n2. pears, and").value is True


def test_a_tail_that_repeats_is_a_loop_with_its_unit():
    found = score("loop", "We begin.\n" + "Wait, let me check again. " * 8)
    assert (found.value, found.metadata["rule"], found.metadata["of"]) == (True, "T", "steps")
    assert sorted(found.metadata["unit"]) == sorted("Wait, let me check again. ")
    assert found.metadata["unit_chars"] == 26
    assert found.metadata["count"] == 7
    assert found.metadata["start"] <= 10 + 26
    assert score("loop", "Ok.", answer="no " * 100).metadata["of"] == "final_answer"
    assert score("loop", "Wait, let me check again. " * 8, params={"covered": 10_000}).value is False


def test_a_tail_that_counts_is_a_loop():
    text = "We begin.\n" + "".join(f"Step {n}: now we check the number {n * n}.\n" for n in range(95, 140))
    found = score("loop", text)
    assert (found.value, found.metadata["rule"]) == (True, "K")
    assert "number 0" in found.metadata["unit"]
    assert found.metadata["count"] >= 40
    assert abs(found.metadata["start"] - 10) < 60


def test_a_solution_told_again_and_again_is_a_loop():
    solution = " ".join(f"word{n * n % 997} is {n} and so" for n in range(90))
    found = score("loop", "\n".join(f"{solution} ({letter}) we begin anew." for letter in "abc"))
    assert (found.value, found.metadata["rule"], found.metadata["count"]) == (True, "N", 3)
    assert found.metadata["share"] >= 0.9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1/7 = 0." + "142857" * 30,
        "\n".join(f"| {a} | {b} | {a and b} |" for a in (True, False) for b in (True, False)) * 2,
        "[" + ", ".join(f'{{"id": {n}, "name": "row"}}' for n in range(20)) + "]",
        "-" * 80,
        "\n".join(" ".join("1" if i == j else "0" for j in range(9)) for i in range(9)),
        " ".join(f"word{n * n}" for n in range(800)),
    ],
    ids=["nothing", "a period", "truth table", "JSON", "rule", "identity matrix", "prose"],
)
def test_what_only_looks_like_a_loop_is_none(text):
    assert score("loop", text).value is False


@pytest.mark.parametrize(
    ("name", "trace", "evidence"),
    [
        ("no_answer", {"steps": ["We add them."]}, {}),
        ("wrong", {"answer": "4", "expected_answer": "5"}, {"by": "answer", "layer": "whole", "expected": "5"}),
        ("wrong", {"answer": "4", "correct": False}, {"by": "meta.correct", "answer": "no_expected"}),
        (
            "runs_on",
            {"answer": "The answer is 5.\nQuestion: How many?"},
            {"start": 17, "text": "Question: How many?"},
        ),
        ("runs_on", {"answer": "#### 5\n<|im_start|>user\nHi"}, {"start": 7, "text": "<|im_start|>user\nHi"}),
        ("foreign_script", {"answer": "So 我们需要计算"}, {"letters": {"Han": 6}, "start": 3, "text": "我们需要计算"}),
        (
            "foreign_script",
            {"answer": "я or 五"},
            {"letters": {"Han": 1, "Cyrillic": 1}, "start": 0, "text": "я or 五"},
        ),
        ("refusal", {"answer": "It cannot be determined."}, {"text": "cannot be determined", "start": 3}),
        ("refusal", {"steps": ["I'm sorry, no."]}, {"text": "I'm sorry", "start": 0}),
        ("bad_encoding", {"answer": "caf\ufffd"}, {"count": 1, "start": 3, "text": "caf\ufffd"}),
        ("bad_encoding", {"answer": "donâ€™t"}, {"count": 1, "start": 3, "text": "donâ€™t"}),
        (
            "answer_differs",
            {"steps": [r"So it is \boxed{5}."], "answer": "4"},
            {"reasoning": "5", "layer": "boxed", "final_layer": "whole"},
        ),
        ("broken_format", {"steps": ["a", " "], "answer": "4"}, {"troubles": ["empty_step"]}),
        ("broken_format", {"answer": "<think>a<answer>4"}, {"troubles": ["nested_tag", "unclosed_tag"]}),
        ("broken_format", {"answer": "<answer> </answer>"}, {"troubles": ["empty_tag"]}),
        ("broken_format", {"answer": "4</answer>"}, {"troubles": ["unopened_tag"]}),
        (
            "broken_format",
            {"answer": "<answer>4</answer><answer>5</answer><|im_end|>"},
            {"troubles": ["second_answer", "template_mark"]},
        ),
    ],
)
def test_a_flag_is_raised_with_its_evidence(name, trace, evidence):
    steps, answer = trace.pop("steps", []), trace.pop("answer", None)
    found = score(name, *steps, answer=answer, **trace)
    assert (found.value, found.metadata) == (True, evidence)


@pytest.mark.parametrize(
    ("name", "prompt", "steps", "answer"),
    [
        ("no_answer", "p", ["#### 5"], None),
        ("no_answer", "p", [], "5"),
        ("wrong", "p", [], "5"),
        ("runs_on", "p", ["Question: how many?", "We add."], "The answer is 5."),
        ("runs_on", "p", ["User: hello"], "5"),
        ("foreign_script", "多少个鸡蛋?", [], "我们需要计算鸡蛋"),
        ("foreign_script", "p", ["The angle α is π/2, σ and λ too"], "é"),
        ("foreign_script", "p", [], "the letter ж"),
        ("refusal", "Or can it not be told? Say: cannot be determined", [], "It cannot be determined"),
        ("refusal", "p", ["I cannot help but add them."], "5"),
        ("bad_encoding", "caf\ufffd", [], "caf\ufffd"),
        ("bad_encoding", "p", ["naïve Ångström – “quoted”…\t"], "é"),
        ("answer_differs", "p", ["The answer is 5."], "5.0"),
        ("broken_format", "p", [], "<reasoning>a</reasoning>\n<answer>4</answer>"),
        ("broken_format", "p", ["we add</think>"], "4"),
        ("broken_format", "p", ["I close `<answer>` later"], "a < b"),
    ],
)
def test_a_flag_is_not_raised(name, prompt, steps, answer):
    found = score(name, *steps, answer=answer, prompt=prompt, expected_answer="5")
    assert (found.value, found.reason) == (False, None)


def test_a_flag_that_cannot_tell_has_a_reason():
    assert score("wrong", answer="5").reason == "no_expected"
    assert score("wrong", answer="5", expected_answer="5", kind="reference", correct=True).reason == "not_applicable"
    assert score("answer_differs", "The answer is 5.").reason == "no_answer"
    assert score("answer_differs", "We add 2 and 3 to 5.", answer="5").reason == "not_applicable"
    assert score("answer_differs", answer="5").reason == "not_applicable"
    assert score("answer_differs", "The answer is 4.", answer="They have 3 and 5 of them.").reason == "undecided"
    assert score("answer_differs", "The answer is 4.", answer="<think>").reason == "unparsed_answer"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("16 - 3 - 4 = <<16-3-4=9>>9 eggs", {"16 - 3 - 4 = 9": True}),
        ("She has 9 * 2 = $19, and 7 x 8 = 56.", {"9 * 2 = $19": False, "7 * 8 = 56": True}),
        ("(1 + 2) * 3 = 9 = 3 ^ 2", {"(1 + 2) * 3 = 9": True}),
        ("1,000 / 4 = 250", {"1,000 / 4 = 250": True}),
        ("10 / 3 = 3.33", {"10 / 3 = 3.33": True}),
        ("10 / 3 = 3.34", {"10 / 3 = 3.34": False}),
        ("10 / 3 = 3", {}),
        ("0.1 * 3 = 0.30000000000000004", {"0.1 * 3 = 0.30000000000000004": True}),
        ("-3 + 5 = 2", {"-3 + 5 = 2": True}),
        ("2 ** 3 = 8", {"2 ** 3 = 8": True}),
        ("-(2 - 3) * 2 = 2", {"-(2 - 3) * 2 = 2": True}),
        ("2x + 5 = 15", {}),
        ("x + 5 = 10", {}),
        ("20% * 50 = 10", {}),
        ("2 + 3 = 5x", {}),
        ("2 + 3 = 50%", {}),
        ("5 apples - 3 apples = 2", {}),
        ("f(2 + 3) = 5", {}),
        ("(2 + 3 = 5", {}),
        ("2 + 3) = 5", {}),
        ("2 + * 3 = 5", {}),
        ("1 / 0 = 5", {}),
        ("0 ^ -1 = 5", {}),
        ("2 ^ 0.5 = 1.41", {}),
        ("9**9**9**9 = 1", {}),
        ("9^64^2 = 1", {}),
        ("(" * 30 + "1" + ")" * 30 + " + 1 = 2", {}),
        ("-" * 40 + "1 + 1 = 2", {}),
        ("2" + "^1" * 25 + " = 2", {}),
        ("1" + " + 1" * 80 + " = 81", {}),
        ("9^60 * 9^60 * 9^60 * 9^60 * 9^60 * 9^60 = 1", {}),
        ("1 +  = 1", {}),
        ("= 5", {}),
    ],
)
def test_only_whole_equations_between_numbers_are_read(text, found):
    assert {one.text: one.is_true for one in equations(text)} == found


def test_arithmetic_is_the_share_of_true_equations():
    found = score("arithmetic", "2 + 2 = 4", "2 + 3 = 6", answer="1 / 3 - 1 = 5")
    assert found.value == pytest.approx(1 / 3)
    assert found.metadata == {
        "equations": 3,
        "false": 2,
        "first_false": [
            {"equation": "2 + 3 = 6", "comes_to": "5"},
            {"equation": "1 / 3 - 1 = 5", "comes_to": "-0.666667"},
        ],
    }
    assert score("arithmetic", "We add them.").reason == "not_applicable"


def test_structure_rewards_steps_and_their_length():
    assert score("structure").value == 0
    assert score("structure", *["x" * 500] * 10).value == 100
    half = score("structure", *["x" * 250] * 5)
    assert (half.value, half.metadata) == (50, {"steps": 5, "mean_step_chars": 250.0})
    assert score("structure", "x" * 10, params={"steps": 1, "step_chars": 10}).value == 100


def test_length_counts_what_the_model_wrote():
    found = score("length", "We add.", "It is 5.", answer="5")
    assert (found.value, found.metadata) == (16, {"steps": 2, "words": 6})
    assert score("length").value == 0


def test_rewards_of_the_data_are_scores_that_are_filtered_and_compared_like_any_other(store):
    given = [0.5, 1, True, "good", None, {"a": 1}, "", 10**400]
    rewards = [{"reward": value, "rewards": {"format": n, "off": None}} for n, value in enumerate(given[:-1])]
    store.add_many({"prompt": "p", "steps": ["s"], "final_answer": "a", "meta": meta} for meta in [*rewards, {}])
    report = store.score("reward", progress=False)
    assert (report.scored, report.unscorable) == (4, {"not_applicable": 2, "unreadable": 2})
    assert store.score("reward:format", progress=False).scored == len(rewards)
    assert store.score("reward:off", progress=False).unscorable == {"not_applicable": len(given)}
    assert store.count(score={"reward": 1, "reward:format": 2}) == 1
    assert store.count(score="reward=good") == 1
    found = store.agreement("reward", "meta.reward")
    assert (found.n, found.agreed.value) == (4, 1.0)
    assert score("reward", reward=10**400).reason == "unreadable"
    with pytest.raises(rt.QueryInvalid, match=r"no such scorer; there are answer, .*, and reward:NAME"):
        store.score("reward:")
    with pytest.raises(rt.QueryInvalid, match="none of them <"):
        store.score("reward:a,b")
