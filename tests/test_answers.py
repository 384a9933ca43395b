"""What a trace states as its answer, and whether that is the expected one; unknown is not wrong."""

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_rt.analysis import REASONS, Texts, built_in
from tunix_rt.analysis.answers import stated
from tunix_rt.analysis.judging import judged
from tunix_rt.analysis.numbers import quantity


def scored(final_answer, expected=None, *, steps=(), **meta):
    return built_in("answer").score(Texts("p", list(steps), final_answer, {"expected_answer": expected, **meta}))


@pytest.mark.parametrize(
    ("text", "answer", "layer"),
    [
        ("<think>Is it 5?</think>So <answer>7</answer>", "7", "tag"),
        ("<answer>The answer is 7 eggs.</answer>", "7 eggs", "tag"),
        (r"First \boxed{6}, no: \boxed{\frac{1}{2}} and \boxed{", r"\frac{1}{2}", "boxed"),
        (r"\fbox{ 3 }", "3", "boxed"),
        ("9 * 2 = 18\n#### 18\nthat is all", "18", "mark"),
        ("16 - 7 = 9\nA: 18", "18", "line"),
        ("We add.\n**Final Answer:** $1,200", "$1,200", "line"),
        ("Answer: (C) because of 5", "C", "line"),
        ("18", "18", "whole"),
        ("5 miles", "5 miles", "whole"),
        ("x^2 + 1", "x^2 + 1", "whole"),
        ("We add them. The answer is 4 onions and 1 potato.", "4 onions", "sentence"),
        ("So the final answer is $x = 12$. Good.", "12", "sentence"),
        ("The answer to this question is 1 1/2 cups.", "1 1/2 cups", "sentence"),
        ("They eat 3 of 16.\nShe keeps **13** eggs.", "13", "bold"),
        ("She has 3 and 4 of them, in all 7 eggs.", "7", "number"),
        ("It is <<5+2=7>>7 in all; the answer is <<7=7>>7.", "7", "sentence"),
        ("5 because of that</answer>", "5 because of that", "tag"),
        (r"\boxed{5} and then \boxed{}", "5", "boxed"),
        ("#### Step 1: add\nThe answer is 5.", "5", "sentence"),
        ("A: 4\nB: 5\nThe answer is B.", "B", "sentence"),
        ("5 points/answer = 10, so the answer is 20.", "20", "sentence"),
        ("The answer is $x + y = 3$ and $z$.", "$x + y = 3$ and $z$", "sentence"),
        ("The answer is x = 5.", "5", "sentence"),
        ("The answer is $y + 1$.", "y + 1", "sentence"),
        ("**so** we have **7**, it seems **clear**", "7", "bold"),
        ("The answer is 5.\n\nQuestion: What is 2 + 2?\nThe answer is 4.", "5", "sentence"),
    ],
)
def test_the_cascade_finds_what_a_text_states(text, answer, layer):
    found = stated(text)
    assert (found.answer, found.layer) == (answer, layer)


def test_what_states_nothing_has_no_answer():
    assert stated("<think>The answer is 5") is None
    assert stated("") is None
    assert stated("We multiply the answer by 100 to express it as a percentage: 3/10 * 100", weak=False) is None
    assert stated("She has 7 eggs in all, I think", weak=False) is None
    assert stated(r"\boxed{}", weak=False) is None
    assert stated("<answer></answer>", weak=False).answer == ""


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1,000", 1000, ""),
        ("-$18.50", Fraction(-37, 2), "$"),
        ("$-3", -3, "$"),
        ("50%", 50, "%"),
        ("50 percent", 50, "%"),
        ("$5", 5, "$"),
        ("5 dollars", 5, "$"),
        ("3/4", Fraction(3, 4), ""),
        ("1 1/2 cups", Fraction(3, 2), "cup"),
        ("1.5e3", 1500, ""),
        ("2 × 10^3", 2000, ""),
        (".5", Fraction(1, 2), ""),
        ("2 million dollars", 2_000_000, "$"),
        ("5 m", 5, "m"),
        ("5-mile", 5, "mile"),
    ],
)
def test_a_number_is_read_with_its_unit(text, value, unit):
    found = quantity(text)
    assert (found.value, found.unit) == (value, unit)


@pytest.mark.parametrize(
    "text",
    ["", "5x", "5 feet 3 inches", "1,00", "1/0", "3 + 4", "1e999", "9**9**9**9", "7" * 100, "five", "1, 2", "()"],
)
def test_anything_else_is_no_number(text):
    assert quantity(text) is None


@pytest.mark.parametrize(
    ("expected", "right"),
    [
        ("1/2", "0.5"),
        ("1/2", r"\frac{1}{2}"),
        ("1/2", r"$\dfrac 12$"),
        ("-1/2", r"-\frac{1}{2}"),
        ("11/2", r"5\frac{1}{2}"),
        ("1000", "1,000 dollars"),
        ("18", "$18.00"),
        ("18", "18."),
        ("90", r"90^\circ"),
        ("C", "(C)"),
        ("C", "C) 42"),
        ("C", r"\text{C}"),
        ("5", "x = 5"),
        ("[1,2]", r"x \in [1, 2]"),
        ("(1,2)", r"\left( 1, 2.0 \right)"),
        ("Paris", "paris"),
        ("yes", "true"),
        ("50%", "50"),
        ("5 hours", "5 hour"),
        ("x^2+1", "x^{2} + 1"),
        ("1000", r"1{,}000"),
        ("1000", r"1\,000"),
        (r"\frac{\pi}{2}", r"\pi/2"),
        (r"2\sqrt3", r"2 \sqrt{3}"),
        (r"\frac{\frac{1}{2}}{x}", r"\frac{1/2}{x}"),
        (r"\frac{\frac{\frac{1}{2}}{3}}{x}", r"\frac{\frac{\frac12}{3}}{x}"),
    ],
)
def test_equal_answers_are_right(expected, right):
    assert judged(expected, right) is True


@pytest.mark.parametrize(
    ("expected", "wrong"),
    [("18", "19"), ("1/2", "1/3"), ("C", "(D)"), ("yes", "no"), ("5", "5.4"), ("11/2", "1 1/2"), ("2", "-2")],
)
def test_other_answers_are_wrong(expected, wrong):
    assert judged(expected, wrong) is False


@pytest.mark.parametrize(
    ("expected", "answer", "reason"),
    [
        ("2 hours", "120 minutes", "undecided"),
        ("5", "5 or 6 of x", "unparsed_answer"),
        ("$5", "5 cents", "undecided"),
        ("5 hours", "7 eggs", False),
        ("50%", "0.5", "undecided"),
        ("5 hours", "5 minutes", "undecided"),
        ("2/3", "0.67", "undecided"),
        ("x + 1", "y + 2", "undecided"),
        ("5", "x + 1", "unparsed_answer"),
        ("x + 1", "5", "unparsed_expected"),
        ("(1,2)", "[1,2]", "undecided"),
        ("5", " . ", "unparsed_answer"),
        (".", "5", "unparsed_expected"),
    ],
)
def test_what_cannot_be_told_is_unknown_and_not_wrong(expected, answer, reason):
    assert judged(expected, answer) == reason


def test_a_score_keeps_the_answer_and_how_it_was_found():
    right = scored("So the answer is 18 dollars.", 18)
    assert (right.value, right.answer) == (True, "18 dollars")
    assert right.metadata == {"layer": "sentence", "expected": "18"}
    assert scored("19", "#### 18").value is False
    assert scored(None, "18", steps=["9 * 2 = 18", "#### 18"]).value is True


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (scored("5"), "no_expected"),
        (scored("5", ""), "no_expected"),
        (scored("5", ["5"]), "unparsed_expected"),
        (scored("5", True), "unparsed_expected"),
        (scored(None, "5"), "no_answer"),
        (scored(None, "5", steps=["4 + 1 = 5"]), "no_answer"),
        (scored(None, "5", truncated=True), "cut"),
        (scored("5", "5", kind="reference"), "not_applicable"),
        (scored("They have 3 and then 4 left.", "5"), "undecided"),
        (scored("The answer is 4. No, it is 5.", "5"), "undecided"),
        (scored("The answer is not 4 but 5.", "5"), "undecided"),
        (scored("The answer is 4, and that is not x + 1.", "x + 1"), "unparsed_expected"),
        (scored("The number is 4, because we have to add the", "5"), "cut"),
        (scored("7" * 1_000_000, "5"), "too_long"),
        (scored("<answer>" + "x" * 5_000 + "</answer>", "5"), "too_long"),
    ],
)
def test_an_answer_that_is_not_judged_has_a_reason(score, reason):
    assert (score.value, score.reason) == (None, reason)
    assert reason in REASONS


def test_a_weak_number_can_be_right():
    assert scored("In all they have 5 of them left.", "5").value is True


HOSTILE = {
    # A whole path has numbers, one of which could be the answer.
    "code": "__import__('os').system('touch canary')",
    "power": "9**9**9**9",
    "power in LaTeX": r"\boxed{9^{9^{9}}}",
    "brackets": "(" * 100_000,
    "digits": "7" * 1_000_000,
    "boxes": r"\boxed{" * 100_000,
    "fractions": r"\frac{" * 100_000,
    "NUL": "a\0b" * 10_000,
    "surrogates": "\ud800" * 10_000,
    "exponent": "1e999999999",
    "equals": "=" * 100_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("where", ["steps", "final_answer", "expected_answer"])
def test_hostile_texts_are_scored_and_never_run(kind, where):
    from tunix_rt.analysis import FLAGS, SCORERS

    text = HOSTILE[kind]
    texts = Texts(
        "p",
        [f"{text} = 1" if where == "steps" else "1 + 1 = 2"],
        text if where == "final_answer" else "5",
        {"expected_answer": text if where == "expected_answer" else "4"},
    )
    for name in (*SCORERS, *FLAGS):
        score = built_in(name).score(texts)
        assert (score.value is None) == (score.reason in REASONS)
        assert len(json.dumps(dict(score.metadata))) < 10_000
    assert built_in("answer").score(texts).value is not True
    assert not Path("canary").exists()


PIECES = r"answer is |\boxed{|}|\frac|####|A: |<answer>|</answer>|</think>|1/2|5|-|,|.|=| |x|$|%|(C)|**|\text{"
TEXT = st.lists(st.sampled_from([*PIECES.split("|"), "\n"]), max_size=12).map("".join)


@given(expected=TEXT, answer=TEXT, step=TEXT)
def test_any_text_has_a_value_or_a_reason(expected, answer, step):
    score = scored(answer, expected, steps=[step])
    assert (score.value is None) == (score.reason in REASONS)
    assert judged(answer, answer) is True
    assert scored(answer, answer).value is not False or re.search(r"answer|A: |#|boxed|\*|\n", answer)


@given(top=st.integers(-10_000, 10_000), bottom=st.integers(1, 200))
def test_a_fraction_is_itself_however_it_is_written(top, bottom):
    for written in (f"{top}/{bottom}", rf"\frac{{{top}}}{{{bottom}}}", f"${top}/{bottom}$", f"x = {top}/{bottom}"):
        assert judged(f"{top}/{bottom}", written) is True
    assert judged(f"{top}/{bottom}", f"{top + 1}/{bottom}") is False
