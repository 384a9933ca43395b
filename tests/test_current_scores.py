"""The current scores of a trace beside it: in the summaries of a page, in the record, over HTTP and in the shell."""

import json

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import tunix_rt as rt
from tests.test_cli import call
from tunix_rt.model import CurrentScore, ScoreSummary

META = {"expected_answer": "513", "correct": False, "reward": 0.25, "model": "toy\n1b", "training_step": 12}


@pytest.fixture
def judged(store, make_trace):
    """Three traces, the newest first: wrong, right and looping, without an expected answer."""
    store.add(make_trace("no meta"))
    store.add(make_trace("right", meta=META))
    store.add(make_trace("wrong", final_answer="512", meta=META | {"reward": [1, 2], "model": "m" * 500}))
    store.score("answer", progress=False)
    store.score(lambda trace: trace.payload.prompt == "right", name="loop", progress=False)
    store.score(lambda trace: len(trace.payload.prompt) - 0.5, name="quality", version="1", progress=False)
    store.score(lambda _: "good", name="label:me", progress=False)
    return store


def test_summaries_have_the_scores_that_were_requested_and_the_facts_of_meta(judged):
    page = judged.page(scores=["answer", "loop", "nobody"])
    wrong, right, bare = page
    assert wrong.scores == {"answer": ScoreSummary(value=0), "loop": ScoreSummary(value=0, flag=True)}
    assert right.scores == {"answer": ScoreSummary(value=1), "loop": ScoreSummary(value=1, flag=True)}
    assert bare.scores["answer"] == ScoreSummary(reason="no_expected")
    # On one line, and nothing that a row has no room for.
    assert right.facts == META | {"model": "toy 1b"}
    assert wrong.facts.keys() == META.keys() - {"reward"}
    assert (len(wrong.facts["model"]), bare.facts) == (80, {})
    assert len({wrong, right, bare}) == 3  # They have a hash, as before.
    # The newest score of a scorer counts, and the way on keeps what was requested.
    judged.score(lambda _: "bad", name="label:me", version="2", progress=False)
    first = judged.page(scores="label:me", limit=2)
    assert [one.scores for one in (*first, *first.next_page())] == [{"label:me": ScoreSummary(label="bad")}] * 3


def test_a_page_without_scores_reads_none_until_it_is_shown(judged):
    page = judged.page()
    assert [(one.scores, one.facts) for one in page] == [({}, {})] * 3
    assert [one.scores["answer"].value for one in page.judged()] == [0, 1, None]
    assert page.judged() is page.shown
    # Of a store that cannot be read, what is known is shown.
    lost = judged.page()
    judged.close()
    judged.path.write_bytes(b"no store")
    with pytest.raises(rt.StoreUnusable):
        lost.judged()
    assert lost.shown == lost.records
    assert "wrong" in str(lost)


def test_a_solution_is_read_for_the_answer_that_it_states(store, make_trace):
    solution = "He has 3 boxes. " * 20 + "3 × 4 = 12\n#### 12"
    store.add_many(make_trace(meta={"expected_answer": given}) for given in (solution, 12, ["12"], "x" * 60_000))
    stated = {"expected_answer": "12"}
    assert [one.facts for one in store.page(scores="answer")] == [{}, {}, stated, stated]


@pytest.mark.parametrize("scores", [5, ["!loop"], [None], "", "a,b"])
def test_what_is_not_the_name_of_a_scorer_is_refused(store, scores):
    with pytest.raises(rt.QueryInvalid, match="is not the name of a scorer"):
        store.page(scores=scores)


def test_a_record_has_all_current_scores_with_their_evidence(judged, make_trace):
    wrong = judged.latest()
    assert wrong.scores.keys() == {"answer", "label:me", "loop", "quality"}
    assert wrong.scores["answer"] == CurrentScore(value=0, answer="512", metadata={"layer": "whole", "expected": "513"})
    assert judged.get(wrong.id) == wrong
    added = judged.add(make_trace())
    assert judged.get(added.id) == added
    assert len({added, wrong}) == 2
    # A record is loaded, also from its JSON, with or without scores: they are the store's.
    with rt.TraceStore(":memory:") as other:
        assert other.load([wrong]).added == 1
        assert other.load([json.loads(added.model_dump_json()), wrong.model_dump(mode="json")]).added == 1
        assert other.get(wrong.id).payload == wrong.payload


def test_the_shell_the_magics_and_http_show_them(judged):
    lines = call("list", "--json", "--scores", "quality", "--scores", "answer", "--store", judged.path).splitlines()
    assert [json.loads(line)["scores"]["quality"]["value"] for line in lines] == [4.5, 4.5, 6.5]
    shown = json.loads(call("show", "--json", "--store", judged.path))
    assert shown["scores"]["answer"]["metadata"]["expected"] == "513"
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "tunix_rt")
    try:
        shell.run_line_magic("trace_store", str(judged.path))
        page = shell.run_line_magic("traces", "-n 1 --scores quality --scores loop")
        line = "%traces --scores "
        with provisionalcompleter():
            offered = {one.text for one in shell.Completer.completions(line, len(line))}
    finally:
        shell.run_line_magic("unload_ext", "tunix_rt")
    assert page[0].scores.keys() == {"quality", "loop"}
    assert {"answer", "loop", "duplicate"} <= offered
