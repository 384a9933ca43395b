"""Groups as a matrix of prompts × policies: `Groups.matrix`."""

import json

import pytest

import tunix_rt as rt
from tests.test_groups import sampled

HOSTILE = "<script>alert(1)</script>\u202e\x1b[2J" + "𝔁" * 300


@pytest.fixture(scope="module")
def three():
    """Three models and three prompts: all fail one, they differ in one, and one is of two models only."""
    with rt.TraceStore(":memory:") as store:
        for model, right in {"toy-1b": (0, 1, 2), "toy-2b": (0, 4, None), "toy-3b": (0, 3, 1)}.items():
            for n, correct in enumerate(right):
                if correct is not None:
                    sampled(store, f"{n} × 27?", ["513"] * correct + ["540"] * (4 - correct), model=model)
        yield store


def test_a_row_is_a_prompt_and_a_column_a_policy(three):
    matrix = three.groups().matrix()
    assert matrix.policies == ("toy-1b", "toy-2b", "toy-3b")
    # First where the policies differ most.
    assert [row.fields["prompt"] for row in matrix.rows] == ["1 × 27?", "2 × 27?", "0 × 27?"]
    assert [row.difference for row in matrix.rows] == [0.75, 0.25, 0]
    cell = matrix.cell(0, "toy-1b")
    assert (cell.samples, cell.judged, cell.correct, cell.pass_rate) == (4, 4, 1, rt.Estimate(0.25, None, None, 4))
    assert matrix.cell(1, "toy-2b") is None
    assert matrix.cell(1, 2) == matrix.cell(1, "toy-3b")
    page = matrix.page(0, "toy-1b", limit=3)
    assert [(one.preview, one.answer) for one in page] == [("1 × 27?", "540")] * 3
    assert [one.answer for one in page.next_page()] == ["513"]


def test_it_is_a_table_of_one_value(three):
    matrix = three.groups().matrix()
    table = matrix.df()
    assert list(table.columns) == ["toy-1b", "toy-2b", "toy-3b"]
    assert table.loc["1 × 27?"].to_list() == [0.25, 1, 0.75]
    assert table.isna().to_numpy().sum() == 1
    assert matrix.df("samples").loc["2 × 27?"].to_list() == [4, 0, 4]
    assert matrix.arrow("correct").to_pylist()[0] == {
        "prompt": "1 × 27?", "group": None, "toy-1b": 1, "toy-2b": 4, "toy-3b": 3,
    }  # fmt: skip
    found = json.loads(json.dumps(matrix.to_dict()))
    assert (found["prompts"], len(found["policies"])) == (3, 3)
    assert [one and one["correct"] for one in found["data"][1]["cells"]] == [2, None, 1]


def test_it_shows_itself(three):
    text, html = str(three.groups().matrix()), three.groups().matrix()._repr_html_()
    assert "3 prompts × 3 policies" in text
    assert "policies differ in 2 of 3 prompts" in text
    assert "0  1 × 27?   1/4 ▃   4/4 █   3/4 ▆" in text
    assert "1  2 × 27?   2/4 ▅       –   1/4 ▃" in text
    assert "4/4 █" in html
    assert "pass@1" in text
    assert repr(three.groups().matrix()) == "<GroupMatrix: 3 prompts × 3 policies>"
    # Of one policy it is a list, and of none empty.
    assert "3 prompts × 1 policy" in str(three.groups(model="toy-1b").matrix())
    empty = three.groups(source="none").matrix()
    assert (len(empty), empty.policies, len(empty.df())) == (0, (), 0)
    assert "0 prompts × 0 policies" in str(empty)


def test_policies_are_never_pooled_and_have_a_name_each(store):
    # The same text for two policies; and a policy of which nothing is known.
    sampled(store, "a", ["513"], model="toy · step 2", training_step=None)
    sampled(store, "a", ["540"], model="toy", training_step=2)
    sampled(store, "a", [None], model="prompt", correct=None)
    sampled(store, "a", ["513"], model=None)
    for n in range(7):
        sampled(store, "b", ["513"], model=f"q{n}")
    for n in range(20):
        sampled(store, f"{n}", ["513"], model="q0")
    matrix = store.groups().matrix()
    assert sorted(matrix.policies)[-3:] == ["toy · step 2", "toy · step 2 (2)", "–"]
    assert matrix.cell(0, "prompt").share is None
    text = str(matrix)
    assert "showing 20 of 22 prompts, where policies differ most first · 8 of 11 policies" in text
    assert "1 sample" in text
    # A model may be called like the field of the prompt.
    assert matrix.df()["prompt"].isna().all()


def test_prompts_are_told_apart_by_what_groups_are(store):
    for model in ("toy-1b", "toy-2b"):
        sampled(store, "a", ["513"], model=model, run="x", system="Be brief.")
        sampled(store, "a", ["540"], model=model, run="y", system="Be brief.")
        sampled(store, "a", ["540"], model=model, run="y", system="Be kind.")
    # The fields of a policy separate columns, not rows.
    assert len(store.groups().matrix()) == 2
    assert len(store.groups("prompt").matrix()) == len(store.groups(("model", "prompt")).matrix()) == 1
    assert len(store.groups("model").matrix()) == 1
    by_run = store.groups(("run", "prompt")).matrix()
    assert by_run.df().to_dict("index") == {
        ("x", "a"): {"toy-1b": 1.0, "toy-2b": 1.0},
        ("y", "a"): {"toy-1b": 0.0, "toy-2b": 0.0},
    }


def test_hostile_texts_stay_texts(store):
    sampled(store, HOSTILE, ["513"], model=HOSTILE)
    sampled(store, HOSTILE, ["540"], model="other")
    matrix = store.groups().matrix()
    html = matrix._repr_html_()
    assert "<script" not in html
    assert "\x1b" not in html + str(matrix)
    assert len(html) < 20_000


def test_what_is_not_there_is_one_clear_error(three):
    matrix = three.groups().matrix()
    with pytest.raises(rt.QueryInvalid, match="row=3: must be a whole number from 0 to 2"):
        matrix.cell(3, 0)
    with pytest.raises(rt.QueryInvalid, match="column=3: must be a whole number from 0 to 2"):
        matrix.cell(0, 3)
    with pytest.raises(rt.QueryInvalid, match='column="none": must be one of toy-1b, toy-2b, toy-3b, or its index'):
        matrix.cell(0, "none")
    with pytest.raises(rt.QueryInvalid, match='row=1, column="toy-2b": the policy has no samples of this prompt'):
        matrix.page(1, "toy-2b")
    for value in ("rate", None, ["samples"]):
        with pytest.raises(rt.QueryInvalid, match="must be one of pass_rate, correct, judged, samples"):
            matrix.df(value)
