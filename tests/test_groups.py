"""The samples of one prompt from one policy: `store.groups`."""

import json
from datetime import UTC, datetime, timedelta

import pytest

import tunix_rt as rt
from tunix_rt.analysis.statistics import Estimate


def sampled(store, prompt, answers, right="513", **meta):
    """Adds a sample for each answer; None is no answer."""
    return [
        store.add(
            {
                "trace_version": "1.1",
                "prompt": prompt,
                "steps": ["thinking"],
                "final_answer": answer,
                "meta": {"source": "rollouts", "model": "toy", "correct": answer == right, **meta},
            }
        )
        for answer in answers
    ]


def scored(store, record, scorer, value=None, *, label=None, answer=None, at=0):
    """Adds a score of a trace, `at` seconds after the first ones."""
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
    row = [scorer, "1", "{}", record.created_at.isoformat(), record.id, value, label, answer, when.isoformat()]
    with store._session.transaction() as cursor:
        cursor.execute("insert into scores values (?, ?, ?, ?, ?, null, 0, ?, ?, ?, null, null, null, ?)", row)


@pytest.fixture
def six(store):
    """Six prompts of four samples: 0, 1, 2, 3, 4 and 4 of them correct."""
    for n, right in enumerate((0, 1, 2, 3, 4, 4)):
        sampled(store, f"{n} × 27?", ["513"] * right + ["540"] * (4 - right))
    return store


def test_the_rates_over_prompts_are_those_of_the_formulas(six):
    groups = six.groups()
    assert len(groups) == 6
    assert groups.n_samples == 24
    assert groups.pass_at(1).value == pytest.approx(14 / 24)
    assert groups.pass_at(4).value == pytest.approx(5 / 6)
    assert groups.pass_all(4).value == pytest.approx(2 / 6)
    # Of two samples, pass@2 = 1 − C(4−c, 2)/6.
    assert groups.pass_at(2).value == pytest.approx((0 + 3 / 6 + 5 / 6 + 1 + 1 + 1) / 6)
    # 2 against 2 shares the win, and 1 against 3 never has it.
    assert groups.majority(4).value == pytest.approx(3.5 / 6)
    assert groups.pass_at(5) == Estimate(None, None, None, 0, 6)
    assert groups.pass_at(1).low < 14 / 24 < groups.pass_at(1).high


def test_the_hardest_come_first_with_their_levels(six):
    table = six.groups().df()
    assert list(table["correct"]) == [0, 1, 2, 3, 4, 4]
    assert list(table["level"]) == ["too hard", *["informative"] * 3, *["too easy"] * 2]
    assert list(table["majority"])[:2] == ["540", "540"]
    assert list(table["agreement"]) == [1, 0.75, 0.5, 0.75, 1, 1]
    assert list(table["majority_correct"]) == [False, False, True, True, True, True]
    assert six.groups().levels == {"too hard": 1, "informative": 3, "too easy": 2}


def test_the_samples_of_a_group_are_a_page(six):
    groups = six.groups()
    page = groups.page(1, limit=3)
    assert [one.answer for one in page] == ["540", "540", "540"]
    assert [one.answer for one in page.next_page()] == ["513"]
    with pytest.raises(rt.QueryInvalid, match="index=6: must be a whole number"):
        groups.page(6)


def test_it_shows_itself(six):
    text, html = str(six.groups()), six.groups()._repr_html_()
    assert "6 of 24 samples" in text
    assert "1 too hard, 3 informative, 2 too easy" in text
    # What all groups share is said once, and is not a column.
    assert "source  rollouts" in text
    header, _, rates = text.splitlines()[5:8]
    assert header.split() == ["pass@1", "pass@4", "maj@4", "n", "n", "≥", "4"]
    assert rates.split()[:2] == ["0.583", "[0.292,"]
    assert rates.split()[-2:] == ["6", "6"]
    assert [line.split()[0] for line in text.splitlines()[-7:-1]] == ["0", "1", "2", "3", "4", "5"]
    assert "3 × 27?        4      3/4  informative  513         3/4" in text
    assert '<td class="trt-n" dir="auto">3/4</td>' in html
    assert repr(six.groups()) == "<Groups: 6 of 24 samples>"
    assert json.loads(json.dumps(six.groups().to_dict()))["policies"][0]["pass_at_1"]["n"] == 6


def test_of_few_prompts_no_rate_is_shown(store):
    sampled(store, "27 × 19?", ["513"] * 3 + ["540"] * 2)
    assert "too few  too few  too few  1      1" in str(store.groups())


def test_the_largest_k_is_one_that_half_of_the_prompts_have(store):
    for n in range(4):
        sampled(store, f"{n} × 27?", ["513"] * (2 + n))
    assert "pass@4" in str(store.groups())
    assert "n ≥ 4" in str(store.groups())
    sampled(store, "a", ["513"], model="b")
    for n in range(9):
        sampled(store, f"{n} + 27?", ["513"])
    header = str(store.groups(model="toy")).splitlines()[5].split()
    assert header == ["pass@1", "maj@1", "n"]


def test_policies_are_in_the_order_of_their_steps_and_the_hardest_groups_of_all_are_shown(store):
    for step in (10, 9, 100, "v2"):
        sampled(store, f"{step}?", ["513"] * (step == 9) + ["540"], training_step=step)
    groups = store.groups()
    steps = [one["training_step"] for one in groups.policies]
    assert steps == [one.policies[0]["training_step"] for one in groups.by_policy()] == ["9", "10", "100", "v2"]
    # The index is that of the data and of page(), whatever comes first.
    assert [line.split()[0] for line in str(groups).splitlines()[-5:-1]] == ["1", "2", "3", "0"]
    assert groups.page(3)[0].preview == "v2?"
    assert "4 policies, not pooled" in str(groups)
    assert [line.split()[0] for line in str(groups).splitlines()[6:12]] == ["step", "────", "9", "10", "100", "v2"]


def test_of_many_groups_and_policies_twenty_are_shown(store):
    for step in range(21):
        sampled(store, f"{step}?", ["513", "540"], training_step=step)
    text = str(store.groups())
    assert "showing 20 of 21 policies, not pooled · [95 % interval]" in text
    assert "showing 20 of 21 groups, hardest first · samples of one: .page(i) · as data: .df()" in text
    assert max(map(len, text.splitlines())) <= 100
    assert len(store.groups().to_dict()["data"]) == 21


def test_several_policies_are_split_and_never_pooled(store):
    sampled(store, "27 × 19?", ["513", "540"], training_step=1)
    sampled(store, "27 × 19?", ["513", "513"], training_step=2)
    sampled(store, "27 × 19?", ["513"], policy_version="v3")
    for by in (None, "prompt", ("model", "prompt")):
        groups = store.groups(by)
        assert len(groups) == 3
        assert "3, not pooled" in str(groups)
        with pytest.raises(rt.QueryInvalid, match=r"3 policies .* not pooled; use by_policy"):
            groups.pass_at(1)
    by_step = {one.policies[0]["training_step"]: one.pass_at(1).value for one in store.groups().by_policy()}
    assert by_step == {"1": 0.5, "2": 1.0, "v3": 1.0}
    assert store.groups(training_step=1).majority(1).value == 0.5


def test_a_group_that_the_source_names_replaces_prompt_and_system_only(store):
    sampled(store, "27 × 19?", ["513"], group="a", system="Be brief.")
    sampled(store, "19 × 27?", ["513"], group="a", system="Be kind.")
    sampled(store, "19 × 27?", ["513"], group="a", model="other")
    sampled(store, "27 × 19?", ["513"], system="Be brief.")
    sampled(store, "27 × 19?", ["513"], system="Be kind.")
    # A digest of the prompt, as an older version stored it, is no group.
    sampled(store, "27 × 19?", ["513"], system="Be kind.", group="0123456789abcdef")
    assert sorted(store.groups(model="toy").df()["samples"]) == [1, 2, 2]
    assert sorted(store.groups(model="toy", meta={"group": "a"}).df()["samples"]) == [2]
    assert len(store.groups(model="other")) == 1
    assert sorted(store.groups(by=("prompt", "system"), model="toy").df()["samples"]) == [1, 2, 2]
    assert sorted(store.groups(by="group", model="toy").df()["samples"]) == [2, 3]


def test_a_score_of_the_answer_counts_before_the_mark(store):
    half, wrong, unknown = sampled(store, "1 ÷ 2?", ["So it is ½", "0.25", "perhaps"], right="¼")
    scored(store, half, "answer", 0.0, answer="2", at=0)
    scored(store, half, "answer", 1.0, answer="½", at=1)
    scored(store, wrong, "answer", 1.0, answer="2/4", at=1)
    scored(store, unknown, "other", 1.0)
    (row,) = store.groups().df().to_dict("records")
    assert (row["correct"], row["judged"], row["answered"]) == (2, 3, 3)
    # Both were judged right, so they are one answer.
    assert (row["majority"], row["agreement"]) == ("½", pytest.approx(2 / 3))


def test_samples_without_a_verdict_are_neither_right_nor_wrong(store):
    sampled(store, "27 × 19?", ["513", None, "540"], correct=None)
    groups = store.groups()
    assert (groups.df()["judged"][0], groups.df()["level"][0]) == (0, "unknown")
    assert groups.pass_at(1) == Estimate(None, None, None, 0, 1)
    assert groups.majority(1) == Estimate(None, None, None, 0, 1)
    assert 'no sample has a verdict; run store.score("answer")' in str(groups)
    assert "pass@" not in str(groups)


def test_rewards_teach_where_they_differ(store):
    for reward in (0.0, 1.0, 0.5):
        sampled(store, "write a poem", ["…"], correct=None, reward=reward)
        sampled(store, "write an ode", ["…"], correct=None, reward=0.5)
    sampled(store, "write", ["…"], correct="yes", reward="much")
    table = store.groups().df().set_index("prompt")
    assert table["level"].to_dict() == {
        "write a poem": "informative",
        "write an ode": "same reward",
        "write": "unknown",
    }
    assert table["reward_spread"]["write a poem"] == 1
    rows = [line.split() for line in str(store.groups()).splitlines()]
    assert any("informative" in row and row[-2:] == ["0.5", "1"] for row in rows)
    assert any("reward" in row and row[-2:] == ["0.5", "–"] for row in rows)


def test_an_unanswered_sample_is_drawn_and_never_wins(store):
    sampled(store, "27 × 19?", [None, None, "513"])
    assert store.groups().majority(1).value == pytest.approx(1 / 3)
    assert store.groups().majority(3).value == 1
    # One that nothing marks as wrong is in no pass@k.
    sampled(store, "1 + 1?", ["2", "2", "3"], right="2", model="other")
    sampled(store, "1 + 1?", [None], model="other", correct=None)
    groups = store.groups(model="other")
    assert (groups.pass_at(1).value, groups.majority(1).value) == (pytest.approx(2 / 3), 2 / 4)


def test_an_empty_store_has_no_groups(store):
    groups = store.groups()
    assert (len(groups), groups.n_samples, groups.policies, groups.levels) == (0, 0, (), {})
    assert groups.pass_at(1) == Estimate(None, None, None, 0)
    assert "0 of 0 samples" in str(groups)
    assert "0 of 0" in groups._repr_html_()
    assert groups.by_policy() == ()
    assert groups.to_dict() == {"groups": 0, "samples": 0, "levels": {}, "policies": [], "data": []}


def test_hostile_texts_stay_texts(store):
    sampled(store, "<script>alert(1)</script>\x1b[2J'\"; drop table traces; --", ["<img onerror=x>", "b" * 9_000])
    html = store.groups()._repr_html_()
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "\x1b" not in str(store.groups())
    assert max(len(text) for text in store.groups().df()["majority"]) <= 200


@pytest.mark.parametrize("by", ["question", [], ["prompt", 3], 7, {"prompt": 1}])
def test_unknown_fields_are_refused_with_the_known_ones(store, by):
    with pytest.raises(rt.QueryInvalid, match=r"by=.*: must be one or several of source, model, training_step, prompt"):
        store.groups(by)


@pytest.mark.parametrize("k", [0, -1, 1.5, "2", True])
def test_k_is_a_whole_number(six, k):
    for rate in (six.groups().pass_at, six.groups().pass_all, six.groups().majority):
        with pytest.raises(rt.QueryInvalid, match=r"k=.*: must be a whole number"):
            rate(k)
