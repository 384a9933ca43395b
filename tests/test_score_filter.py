"""The filter `score`: what scorers say of a trace, wherever traces are selected."""

import json

import pytest
from IPython.core.interactiveshell import InteractiveShell

import tunix_rt as rt
from tests.shared_store import shared
from tests.test_cli import call
from tests.test_filters import found
from tunix_rt.store.score_filter import SCORE_TERMS

RIGHT = {"0": True, "1": False, "2": None, "3": True}


@pytest.fixture
def scored(store, make_trace):
    return fill(store, make_trace)


@pytest.fixture(scope="module")
def same_scored(empty_store, tmp_path_factory, make_trace):
    """For tests that change nothing in it."""
    with shared(empty_store, tmp_path_factory, lambda store: fill(store, make_trace)) as store:
        yield store


def fill(store, make_trace):
    """Traces 0 to 4: right, wrong, undecided, right, and one that was added after the scoring."""
    store.add_many(make_trace(str(n)) for n in range(4))
    store.score(lambda trace: RIGHT[trace.payload.prompt], name="right", version="1", progress=False)
    store.score(lambda trace: int(trace.payload.prompt) * 10, name="points", version="1", progress=False)
    store.score(lambda trace: f"l, {trace.payload.prompt}", name="label:me", version="1", progress=False)
    store.add(make_trace("4"))
    return store


@pytest.mark.parametrize(
    ("score", "prompts"),
    [
        ({"right": True}, ["3", "0"]),
        ({"right": False}, ["1"]),
        ({"right": None}, ["4", "2"]),
        ({"points": 20}, ["2"]),
        ({"points": 20, "right": None}, ["2"]),
        ({"label:me": "l, 3"}, ["3"]),
        ({"nobody": None}, ["4", "3", "2", "1", "0"]),
        ({"nobody": True}, []),
        ("right", ["3", "0"]),
        ("!right", ["1"]),
        (" ! right ", ["1"]),
        ("right=null", ["4", "2"]),
        ("right!=null", ["3", "1", "0"]),
        ("right!=true", ["1"]),
        ("points<20", ["1", "0"]),
        ("points <= 20", ["2", "1", "0"]),
        ("points>=20, right", ["3"]),
        (["points>10", "right"], ["3"]),
        ("points!=10", ["3", "2", "0"]),
        ("points=1e1", ["1"]),
        ('label:me="l, 3"', ["3"]),
        ('label:me!="l, 3"', ["2", "1", "0"]),
        ({}, ["4", "3", "2", "1", "0"]),
    ],
)
def test_a_term_says_what_the_current_score_must_be(same_scored, score, prompts):
    assert found(same_scored, score=score) == prompts
    assert [page.preview for page in same_scored.page(score=score, limit=1)] == prompts[:1]


def test_the_newest_score_counts_also_where_it_has_no_value(scored):
    scored.score(lambda trace: None if trace.payload.prompt == "0" else 1, name="right", version="2", progress=False)
    assert found(scored, score="right") == ["4", "3", "2", "1"]
    assert found(scored, score="right=null") == ["0"]


def test_it_goes_with_the_other_filters_in_all_directions(same_scored):
    assert found(same_scored, score="right", where="prompt <> '3'") == ["0"]
    middle = same_scored.page()[2].created_at
    assert found(same_scored, score="points>=0", since=middle) == ["3", "2"]
    page = same_scored.page(score="points>=0", limit=2)
    assert [one.preview for one in page] == ["3", "2"]
    assert [one.preview for one in page.next_page()] == ["1", "0"]
    assert [one.preview for one in page.next_page().previous_page()] == ["3", "2"]
    assert [one.preview for one in same_scored.page(score="points>=0", offset=3)] == ["0"]
    assert same_scored.latest(score="right").payload.prompt == "3"
    # `{bounds}` in a text of the user is a text.
    assert found(same_scored, score="right", where="prompt <> '{bounds}'") == ["3", "0"]


def test_export_and_delete_take_it(scored, tmp_path):
    assert scored.export(tmp_path / "right.jsonl", score="right", progress=False).rows == 2
    assert json.loads((tmp_path / ".right.jsonl.manifest.json").read_text())["filters"] == {"score": "right"}
    assert scored.delete(score="!right") == 1
    assert found(scored) == ["4", "3", "2", "0"]
    assert scored.verify().ok


@pytest.mark.slow
@pytest.mark.parametrize(
    ("score", "said"),
    [
        ("", 'score: "" is not the name of a scorer; write what its scores must be, such as'),
        ("a,,b", '"" is not the name of a scorer'),
        ("!a=1", '"!a" is not the name of a scorer'),
        ("a<", "a label can only be equal or not; write = or !="),
        ("a<good", "a label can only be equal or not"),
        ("a<null", "must be a boolean, a number, a label or null"),
        ("a=[1]", "must be a boolean, a number, a label or null"),
        ("a=1e999", "must be a number of at most 1.8e308|must be a boolean"),
        ({"a": 10**400}, "must be a number of at most"),
        ({"a": float("nan")}, "must be a boolean, a number, a label or null"),
        ({"a": object()}, "must be a JSON value"),
        ({"a": "\ud800"}, "contains a lone surrogate"),
        ({"a" * 101: True}, "is not the name of a scorer"),
        ({"": True}, "is not the name of a scorer"),
        (7, "score=7: must be names with what their values must be: loop"),
        ([7], "must be names"),
    ],
)
def test_what_has_no_meaning_is_refused(same_scored, score, said):
    with pytest.raises(rt.QueryInvalid, match=f"^(?=score).*({said})"):
        same_scored.count(score=score)


def test_terms_are_written_as_text_that_is_read_as_the_same_terms():
    text = 'loop, !answer, structure<50, label:me="a, \\"b\\"", x=null, y!=true'
    assert SCORE_TERMS.text(SCORE_TERMS.terms("score", text)) == text
    assert SCORE_TERMS.terms("score", SCORE_TERMS.text(SCORE_TERMS.terms("score", {"a": "50", "b": 50.5}))) == [
        ("a", "=", "50"),
        ("b", "=", 50.5),
    ]


def test_the_shell_the_magics_and_the_form_take_it_as_text(scored, front):
    listed = call("list", "--json", "--score", "!right", "--score", "points<20", "--store", scored.path)
    assert [json.loads(line)["preview"] for line in listed.splitlines()] == ["1"]
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "tunix_rt")
    try:
        shell.run_line_magic("trace_store", str(scored.path))
        page = shell.run_line_magic("traces", "--score !right --score 'points < 20'")
    finally:
        shell.run_line_magic("unload_ext", "tunix_rt")
    assert [one.preview for one in page] == ["1"]
    form = rt.TraceBrowser(scored)
    form.filters = {"score": {"right": False}}
    assert (form.filters, [one.preview for one in form.page]) == ({"score": "!right"}, ["1"])
    front(form).do("find", filters={"score": "right, points>0"})
    assert [one.preview for one in form.page] == ["3"]
