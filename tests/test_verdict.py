"""What matters most of a trace, where the eye is: is its answer right, flags, reward, origin; as text and as HTML."""

import re

import pytest

import tunix_rt as rt
from tests.test_cli import call
from tests.test_render import Reader, a_page, a_score, a_summary, a_trace
from tunix_rt import render

META = {"expected_answer": "37", "reward": -0.125, "model": "toy-1b", "training_step": 12.0, "truncated": True}
LOOP, QUIET = a_score(1, flag=True), a_score(0, flag=True)


@pytest.mark.parametrize(
    ("meta", "scores", "verdict"),
    [
        ({}, {}, ("unknown", "?", "not scored")),
        ({"correct": True}, {}, ("right", "✓", "meta.correct")),
        ({"correct": False}, {}, ("wrong", "✗", "meta.correct")),
        # The scorer counts more than the data's own mark, but only where it says something.
        ({"correct": True}, {"answer": a_score(0)}, ("wrong", "✗", "score answer")),
        ({"correct": False}, {"answer": a_score(1)}, ("right", "✓", "score answer")),
        ({"correct": True}, {"answer": a_score(reason="undecided")}, ("right", "✓", "meta.correct")),
        ({}, {"answer": a_score(reason="undecided")}, ("unknown", "?", "undecided")),
        # Only a boolean is a mark.
        ({"correct": "yes"}, {"loop": LOOP}, ("unknown", "?", "not scored")),
    ],
)
def test_the_verdict_is_the_score_s_or_else_the_data_s_own(meta, scores, verdict):
    assert render.judged(meta, scores).verdict == verdict


def test_the_head_of_a_trace_shows_what_is_known_and_the_answer_has_the_colour_of_its_verdict():
    scores = {
        "answer": a_score(0, answer="42", metadata={"expected": "37", "layer": "box"}),
        "wrong": LOOP,
        "loop": LOOP,
    }
    scores |= {
        "refusal": QUIET,
        "quality": a_score(0.123456),
        "label:me": a_score(label="good"),
        "x": a_score(reason="cut"),
    }
    trace = a_trace(final_answer="42", meta=META)
    text = render.trace_text(trace, scores=scores)
    told = "✗ wrong · reward -0.125 · toy-1b · training step 12 · flags: truncated, loop"
    assert text.splitlines()[2] == f"{told} · quality 0.1235 · label:me good · x (cut)"
    assert "\nAnswer: ✗ wrong (score answer) · expected 37\n  42\n" in text
    assert "  answer: 0 · answer 42 · expected 37 · layer box\n" in text
    assert "  loop: raised\n" in text
    assert "  not raised: refusal\n" in text
    markup = render.trace_html(trace, scores=scores)
    seen = Reader(markup).text
    for word in ("✗ wrong", "training step", "⚑ truncated", "⚑ loop", "expected 37", "7 scores", "not raised"):
        assert word in re.sub(r"\s+", " ", seen)
    assert 'class="trt-answer trt-says-wrong"' in markup
    right = render.trace_html(a_trace(meta={"correct": True}))
    assert 'class="trt-answer trt-says-right"' in right
    # Nothing is known: the answer is grey, and there is no line about it.
    bare = render.trace_html(a_trace())
    assert 'class="trt-answer trt-says-unknown"' in bare
    assert 'class="trt-known"' not in bare
    assert render.trace_text(a_trace()).splitlines()[1:3] == ["1 step · 19 characters · format 1.0", ""]


def test_a_page_shows_verdicts_rewards_and_scores_as_columns_and_the_rest_below_each_prompt():
    wrong = a_summary(facts=META | {"correct": False}, scores={"loop": LOOP, "quality": a_score(7)})
    right = a_summary(1, facts={"correct": True, "training_step": 13}, scores={"quality": a_score(reason="cut")})
    page = a_page([wrong, right, a_summary(2)], scores=["quality", "loop", "answer", "steps"])
    lines = render.page_text(page, columns=130).splitlines()
    columns = "answer verdict reward quality steps score steps chars source id"
    assert re.findall(r"\w+", lines[2])[3:] == columns.split()
    assert lines[5].strip() == "expected 37 · toy-1b · training step 12 · flags: truncated, loop"
    assert lines[7].strip() == "training step 13"
    assert [re.search(r" 72 +(✗ wrong|✓ right|\?) +(\S+) +(\S+)", lines[n]).groups() for n in (4, 6, 8)] == [
        ("✗ wrong", "-0.125", "7"),
        ("✓ right", "–", "(cut)"),
        ("?", "–", "–"),
    ]
    markup = render.page_html(page)
    seen = re.sub(r"\s+", " ", Reader(markup).text)
    for word in ("✗ wrong", "expected 37", "⚑ truncated ⚑ loop", "toy-1b · training step 12", "steps (score)"):
        assert word in seen
    # What all have in common is said once.
    same = a_page([a_summary(n, facts={"model": "toy-1b"}) for n in range(3)])
    assert "3 traces, newest first · toy-1b\n" in (text := render.page_text(same))
    assert text.count("toy-1b") == Reader(render.page_html(same)).text.count("toy-1b") == 1
    # A page of which nothing is known has the columns that it had.
    assert "verdict" not in render.page_text(a_page([a_summary()]))
    assert "trt-knows" not in re.sub(r"<style>.*?</style>", "", render.page_html(a_page([a_summary()])))


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 140])
def test_a_page_fits_into_a_terminal_with_whatever_is_known(columns):
    facts = META | {"correct": False, "model": "a-model-with-a-long-name" * 2}
    names = [f"a-long-scorer-{n}" for n in range(5)]
    scores = {name: a_score(label="a label of some words") for name in names} | {"loop": LOOP}
    page = a_page([a_summary(n, facts=facts, scores=scores) for n in range(2)], scores=names)
    lines = render.page_text(page, columns=columns).splitlines()[1:]
    assert max(map(len, lines)) <= columns
    assert ("How many" if columns > 40 else "How") in lines[3]


def test_pages_in_the_shell_and_rows_of_the_form_show_the_verdict(store, make_trace, front):
    store.add(make_trace("no meta"))
    store.add(make_trace("judged", final_answer="12", meta=META))
    store.score("answer", progress=False)
    store.flag("loop", progress=False)
    for shown in (str(store.page()), call("list", "--store", store.path)):
        assert "✗ wrong" in shown
        assert "expected 37 · toy-1b · training step 12 · flags: truncated" in shown
    assert "✗ wrong · reward -0.125" in call("show", "--store", store.path)
    form = rt.TraceBrowser(store)
    first, second = front(form).state["shown"]["rows"]
    assert first["verdict"] == {"word": "wrong", "sign": "✗", "by": "score answer"}
    assert [first[name] for name in ("expected", "reward", "model", "training_step", "flags")] == [
        "37",
        "-0.125",
        "toy-1b",
        "12",
        ["truncated"],
    ]
    assert (second["verdict"], second["reward"], second["flags"]) == (None, "", [])
    viewer = rt.TraceViewer(store, store.latest().id)
    assert "trt-says-wrong" in viewer.shown["html"]
