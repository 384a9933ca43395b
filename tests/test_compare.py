"""Two traces, step by step: `rt.compare` and `store.compare`."""

import json
import random
import re
from types import SimpleNamespace
from uuid import uuid4

import pytest
from rapidfuzz.distance import Indel

import tunix_rt as rt
from tests.test_render import ELEMENTS, HOSTILE, Reader
from tunix_rt.analysis import alignment
from tunix_rt.analysis.alignment import align, beside, changed_numbers, changed_words

RIGHT = {
    "prompt": "Janet's ducks lay 16 eggs. She eats 3 and bakes with 4. What does she make at $2 an egg?",
    "steps": [
        "Janet's ducks lay 16 eggs.",
        "She eats 3 and bakes with 4.",
        "That leaves 16 − 3 − 4 = 9 eggs that she can sell.",
        "Check: 9 + 7 = 16.",
        "9 × 2 = 18 dollars.",
    ],
    "final_answer": "18",
    "meta": {"expected_answer": "18", "model": "toy-1b", "reward": 1},
}
WRONG = RIGHT | {
    "steps": [
        "Janet's ducks lay 16 eggs.",
        "She eats 3 and bakes with 4.",
        "That leaves 16 − 4 = 12 eggs which she can sell.",
        "The price of an egg is $2, so we multiply.",
        "12 × 2 = 24 dollars.",
    ],
    "final_answer": "24",
    "meta": {"expected_answer": "18", "model": "toy-1b", "reward": 0.25},
}


class Compared(Reader):
    elements = ELEMENTS | {"del", "ins", "h4"}


def test_the_steps_are_aligned_and_the_first_divergence_found():
    found = rt.compare(RIGHT, rt.Trace(**WRONG))
    kinds = [(one.kind, one.a, one.b) for one in found.steps]
    assert kinds == [
        ("equal", 0, 0),
        ("equal", 1, 1),
        ("changed", 2, 2),
        ("deleted", 3, None),
        ("inserted", None, 3),
        ("changed", 4, 4),
    ]
    assert found.first_divergence == 2
    assert found.steps[2].numbers == (("3", "9"), ("12",))
    assert [span.text for span in found.steps[2].words[1] if span.changed] == ["12", "which"]
    assert (found.same_answer, found.verdicts, found.flips) == (False, (True, False), True)
    assert found.counts == {"equal": 2, "changed": 2, "deleted": 1, "inserted": 1}
    assert found.to_dict()["steps"][2]["words"] == [["3 −", "9", "that"], ["12", "which"]]
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    text = str(found)
    assert "first divergence  changed: step 2 of A, step 2 of B" in text
    assert "A right, B wrong: it flips" in text
    assert "first differ in step 2 of A (3, 9) and step 2 of B (12)" in text
    assert "meta.reward  1  0.25" in text
    assert re.search(r"- \[3\] step\n +Check: 9 \+ 7 = 16\.\n\n  \+ only in B", text)
    assert repr(found) == "<TraceComparison: 2 of 6 steps equal>"


def test_the_same_trace_does_not_diverge():
    found = rt.compare(RIGHT, RIGHT | {"final_answer": "$18.00"})
    assert found.first_divergence is None
    assert (found.same_answer, found.flips, found.prompt.kind) == (True, False, "equal")
    text = str(found)
    assert "none: all steps are equal" in text
    assert "18 and $18.00: the same" in text
    assert "= 5 equal steps: [0] step to [4] step" in text
    assert "both right" in text


def test_what_is_not_there_is_not_the_same():
    empty = {"trace_version": "1.1", "prompt": "", "steps": [], "final_answer": None}
    found = rt.compare(empty, empty)
    assert (found.steps, found.first_divergence, found.same_answer, found.verdicts) == ([], None, None, (None, None))
    assert "no steps" in str(found)
    assert "no steps" in found._repr_html_()
    found = rt.compare(empty, RIGHT | {"meta": {"correct": True}})
    assert found.verdicts == (None, True)
    assert not found.flips
    assert "none in A, 18 in B: whether they are the same cannot be told" in str(found)
    assert {one.kind for one in found.steps} == {"inserted"}
    assert "no final answer (truncated)" in found._repr_html_()


def test_a_store_compares_by_ids_and_shows_the_scores_of_both(store):
    a, b = store.add(RIGHT), store.add(WRONG)
    # What is stored counts, also where the texts say otherwise.
    store.score(lambda _: True, name="answer", version="mine", progress=False)
    store.score(lambda record: "fine" if record.id == a.id else None, name="judge", version="1", progress=False)
    found = store.compare(a.id, str(b.id))
    assert found.ids == (a.id, b.id)
    scores = {one.scorer: (one.a, one.b) for one in found.scores}
    assert scores == {"answer": (1.0, 1.0), "judge": ("fine", None), "meta.reward": (1, 0.25)}
    assert (found.verdicts, rt.compare(a, b).verdicts) == ((True, True), (True, False))
    assert str(a.id)[:18] in str(found)
    assert store.compare(a, WRONG).ids == (a.id, None)
    with pytest.raises(rt.TraceNotFound):
        store.compare(a.id, uuid4())
    with pytest.raises(rt.QueryInvalid, match=r"compare: an id is of a store; use store\.compare\(a, b\)"):
        rt.compare(a, str(b.id))
    with pytest.raises(rt.TraceInvalid):
        rt.compare(a, {"prompt": "?"})


def test_the_html_is_static_and_hostile_text_stays_text():
    hostile = rt.Trace(
        trace_version="1.1",
        prompt=HOSTILE.replace("\ud800", "").replace("\x00", ""),
        steps=[
            {"i": n, "type": text, "content": text * 3} for n, text in enumerate(["</del><script>", "<b>x</b> & y"])
        ],
        final_answer="</ins><img src=x onerror=alert(1)>",
        meta={"model": "<i>m</i>", "source": "<u>s</u>"},
    )
    for a, b in ((hostile, RIGHT), (RIGHT, hostile), (hostile, hostile)):
        Compared(rt.compare(a, b)._repr_html_())
        assert "\x1b" not in str(rt.compare(a, b))
    html = rt.compare(RIGHT, WRONG)._repr_html_()
    style = re.sub(r"@container[^{]*|:is\([^)]*\)", "", re.search(r"<style>(.*?)</style>", html)[1])
    selectors = re.sub(r"\{[^{}]*\}", ",", style).replace("{", ",").replace("}", ",").split(",")
    assert all(one.strip().startswith(".trt.trt.trt") for one in selectors if one.strip())
    assert "<del>that</del>" in html
    assert "<ins>which</ins>" in html
    assert html.count("Janet&#39;s ducks lay 16 eggs.") == 2


def test_long_texts_and_many_rows_are_behind_a_click():
    def trace(word):
        return RIGHT | {
            "steps": [f"the {word} step {n}" + " and so on" * 400 * (n == 0) for n in range(130)],
            "trace_version": "1.1",
        }

    found = rt.compare(trace("first"), trace("second"))
    many = {**RIGHT, "trace_version": "1.1", "steps": [str(n) for n in range(1_010)]}
    assert "10 more rows" in rt.compare(many, many)._repr_html_()
    html, text = found._repr_html_(), str(found)
    assert "70 more rows" in html
    assert "more characters" in html
    assert "… 30 more rows in comparison.steps" in text
    assert "more characters in comparison.a" in text


def test_more_words_than_are_compared_are_shown_unmarked():
    long = "word " * (alignment._MOST_WORDS + 1)
    assert changed_words(long, "word") == ((), ())
    found = beside(long, long + "more")
    assert found.kind == "changed"
    assert found.words == ((), ())


@pytest.mark.parametrize(
    ("a", "b", "only"),
    [
        ("16 - 3 = 13", "16 − 4 = 12", (("3", "13"), ("4", "12"))),
        ("1,000 and 2.50", "1000.0 and 2.5", ((), ())),
        ("x = -5", "x = 5", (("-5",), ("5",))),
        ("2 2 2", "2", (("2", "2"), ())),
        ("f(1,2)", "f(1, 2)", ((), ())),
        ("0 and 0.0", "", (("0", "0.0"), ())),
        ("111," * 50_000, "111," * 50_000, ((), ())),
    ],
)
def test_numbers_are_compared_as_numbers(a, b, only):
    assert changed_numbers(a, b) == only


def words(rng, n):
    return " ".join("".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(n))


def largest_sum(a, b):
    """By the textbook: a cell for each pair of beginnings."""
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            similar = Indel.normalized_similarity(one, other)
            pair = best[i][j] + (similar if similar > alignment.LEAST_SIMILAR - 1e-9 else 0)
            best[i + 1][j + 1] = max(pair, best[i][j + 1], best[i + 1][j])
    return best[-1][-1]


def test_the_alignment_has_the_largest_sum_and_every_step_once():
    rng = random.Random(7)
    for _ in range(100):
        a = [words(rng, rng.randint(0, 4)) for _ in range(rng.randint(0, 8))]
        b = [rng.choice(a) if a and rng.random() < 0.5 else words(rng, 3) for _ in range(rng.randint(0, 8))]
        found = align(a, b)
        assert [one.a for one in found if one.a is not None] == list(range(len(a)))
        assert [one.b for one in found if one.b is not None] == list(range(len(b)))
        assert sum(one.similarity for one in found) == pytest.approx(largest_sum(a, b), abs=0.01)
        for one in found:
            if one.kind == "changed":
                both = ["".join(span.text for span in spans) for spans in one.words]
                assert both == [a[one.a], b[one.b]]


def test_many_steps_are_compared_near_the_diagonal(monkeypatch):
    monkeypatch.setattr(alignment, "_MOST_PAIRS", 2_000)
    monkeypatch.setattr(alignment, "_MOST_WORK", 1)
    rng = random.Random(3)
    a = [words(rng, 12) for _ in range(200)]
    b = ["a new beginning", *(f"{text} then" if n % 3 else text for n, text in enumerate(a)), "and a new end"]
    del b[100]
    found = align(a, b)
    assert [one.kind for one in found if one.kind == "deleted"] == ["deleted"]
    assert [one.b for one in found if one.kind == "inserted"] == [0, 200]
    assert all(one.b == one.a + (one.a < 99) for one in found if one.a is not None and one.b is not None)
    assert len(align(a, b[:3])) >= 200


def test_steps_that_differ_only_in_the_middle_are_not_equal():
    same = ["x" * 600, "y" * 600]
    found = align([same[0] + "1" + same[1], "z"], [same[0] + "2" + same[1], same[0] + "1" + same[1]])
    assert [(one.kind, one.a, one.b) for one in found] == [("inserted", None, 0), ("equal", 0, 1), ("deleted", 1, None)]
    (one,) = align([same[0] + "1" + same[1]], [same[0] + "2" + same[1]])
    assert (one.kind, one.similarity < 1) == ("changed", True)


def test_a_comparison_changes_nothing_of_the_traces_beside_it():
    from tunix_rt.render.html import css

    # All outputs of a notebook share one page, and its styles.
    shared, own = (set(re.findall(r"\.(trt-[\w-]+)", css(name))) for name in ("style", "comparison"))
    assert own
    assert shared & own == set()
    html = rt.compare(RIGHT, WRONG)._repr_html_()
    badges = re.findall(r'trt-verdict trt-says-(\w+)" title=""><span aria-hidden="true">(.)</span> (\w+)', html)
    assert badges == [("right", "✓", "right"), ("wrong", "✗", "wrong")]


def test_anything_with_the_attributes_can_be_shown():
    from tunix_rt import render

    found = rt.compare(RIGHT, WRONG)
    names = ("a", "b", "ids", "prompt", "answer", "steps", "verdicts", "_facts", "_tables")
    like = SimpleNamespace(**{name: getattr(found, name) for name in names})
    assert render.comparison_text(like, columns=40) != str(found)
    assert render.comparison_html(like) == found._repr_html_()
