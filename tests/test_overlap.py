"""Which prompts of an evaluation set are in a store: `store.overlap`."""

import json

import pytest

import tunix_rt as rt

EGGS = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends "
    "every day with four. How much does she make?"
)
ROBE = (
    "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take to make?"
)


@pytest.fixture
def training(store, make_trace):
    store.add(make_trace("Nothing of it."))
    store.add(make_trace(EGGS.upper().replace(".", " —")))
    store.add(make_trace("Solve.", steps=[f"The question was: {ROBE[:80]} and so on"]))
    return store


def test_a_prompt_that_is_there_is_found_however_it_is_written(training):
    found = training.overlap([EGGS, "What is the capital of France, and how many people live there in a normal year?"])
    assert (found.n_prompts, found.found, found.n) == (2, 1, 13)
    (row,) = found.df().to_dict("records")
    assert row["complete"]
    assert row["shared"] == row["of"] == len(EGGS.replace("'", " ").split()) - 12
    assert [one.preview[:5] for one in found.page(0)] == ["JANET"]


@pytest.mark.slow
def test_thirteen_words_in_a_row_of_the_reasoning_are_enough_and_shown(training):
    (row,) = training.overlap([ROBE]).df().to_dict("records")
    assert not row["complete"]
    assert 0 < row["shared"] < row["of"]
    assert row["evidence"] == "a robe takes 2 bolts of blue fiber and half that much white"
    assert training.overlap([ROBE], n=20).found == 0


def test_a_short_prompt_is_compared_as_a_whole_only(training):
    assert training.overlap(["nothing of it", "of it", "…"]).df()["prompt"].to_list() == ["nothing of it"]


@pytest.mark.slow
def test_the_template_of_a_set_is_no_evidence(training):
    template = " ".join(f"word{n}" for n in range(20))
    training.add({"prompt": template, "steps": ["s"], "final_answer": "a"})
    assert training.overlap([f"{template} question {n}" for n in range(11)]).found == 0
    assert training.overlap([f"{template} question {n}" for n in range(10)]).found == 10


@pytest.mark.slow
def test_the_set_is_a_file_rows_or_a_store(training, tmp_path, make_trace):
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps({"question": EGGS, "answer": "9 * 2 = 18\n#### 18"}) + "\n")
    assert training.overlap(path, progress=False).found == 1
    with rt.TraceStore(":memory:") as other:
        other.add_many([make_trace(EGGS), make_trace(EGGS), make_trace("another")])
        assert (training.overlap(other).found, training.overlap(other).n_prompts) == (1, 2)
    assert training.overlap([make_trace(EGGS)]).found == 1
    assert training.count() == 3


@pytest.mark.slow
def test_filters_choose_the_traces(training):
    assert training.overlap([EGGS], text="nothing").found == 0
    assert training.overlap([EGGS], text="janet").found == 1


def test_it_shows_itself(training):
    found = training.overlap([EGGS, ROBE, "x", "y", "z"])
    assert "2 of 5: 40.0% (95 % interval" in str(found)
    assert "found by  13 words in a row" in str(found)
    assert "2 prompts found · traces of one: .page(i)" in str(found)
    assert training.get(str(found).splitlines()[-2].split()[-1]).id == found.page(1)[0].id
    assert "all of it" in found._repr_html_()
    assert repr(found) == "<Overlap: 2 of 5 prompts>"
    assert [row["complete"] for row in json.loads(json.dumps(found.to_dict()))["data"]] == [True, False]
    assert found.arrow().num_rows == 2
    with pytest.raises(rt.QueryInvalid, match=r"index=2: must be a whole number"):
        found.page(2)


@pytest.mark.slow
def test_nothing_in_an_empty_store(store):
    found = store.overlap([EGGS])
    assert (found.found, found.n_prompts) == (0, 1)
    assert "0 of 1" in str(found)


@pytest.mark.slow
def test_progress_is_shown(training):
    done = []
    training.overlap([EGGS], progress=lambda n, of: done.append((n, of)))
    assert done[-1] == (3, 3)


@pytest.mark.parametrize("n", [3, 51, "13", 2.5])
def test_n_is_in_bounds(training, n):
    with pytest.raises(rt.QueryInvalid, match=r"n=.*: must be a whole number from 4 to 50"):
        training.overlap([EGGS], n=n)


def test_a_source_that_cannot_be_loaded_is_refused(training, tmp_path):
    with pytest.raises(rt.SourceInvalid):
        training.overlap(tmp_path / "none.jsonl")
