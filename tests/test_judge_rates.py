"""A judge beside labels: TPR, TNR and the corrected share; a judge with planted errors, which the statistics find."""

import json
import random

import pytest

import tunix_rt as rt
from examples.scripted_judge import planted
from tests.test_groups import scored
from tests.test_judge import judge_of, serve
from tunix_rt.analysis.statistics import prevalence

__all__ = ["serve"]


@pytest.mark.slow
def test_planted_errors_are_found_within_their_intervals(store, make_trace, serve):
    # 240 traces, 30 % right; the judge's TPR is 0.9, its TNR 0.8. Every third has a label.
    rng = random.Random(0)
    right = [rng.random() < 0.3 for _ in range(240)]
    records = store.add_many(
        make_trace(f"{n}?", final_answer="yes" if one else "no", meta={"expected_answer": "yes", "few": n < 30})
        for n, one in enumerate(right)
    )
    judge = judge_of(serve(planted(0.9, 0.8)), "correct")
    assert store.score(judge, progress=False).scored == 240
    for record, one in zip(records[::3], right[::3], strict=True):
        scored(store, record, "label:ada", label="good" if one else "bad")
    found = store.agreement("label:ada", judge)
    rates = found.rates
    assert (found.n, found.only_b, rates.judge, rates.truth) == (80, 160, "judge:correct", "label:ada")
    assert rates.tpr.low < 0.9 < rates.tpr.high
    assert rates.tnr.low < 0.8 < rates.tnr.high
    share = sum(right) / 240
    assert rates.prevalence.low < share < rates.prevalence.high
    # What the judge says itself is far off: it calls a fifth of the wrong ones right.
    assert rates.said.value > rates.said.low > share
    assert (found.most_frequent, found.constant.value) == ("false", 1 - sum(right[::3]) / 80)
    # A judge that always says yes has no share to correct, however often it agrees.
    always = judge_of(serve(planted(1.0, 0.0)), "correct")
    store.score(always, name="always", progress=False, meta={"few": True})
    useless = store.agreement("label:ada", "always").rates
    assert (useless.tpr.value, useless.tnr.value, useless.prevalence.value) == (1, 0, None)


@pytest.fixture
def labelled(store, make_trace):
    """22 traces: ten good, eight bad, two unsure, two unlabelled; the judge errs on a good one and two bad ones."""
    records = store.add_many([make_trace(f"{n}?", meta={"correct": n < 10}) for n in range(22)])
    for n, record in enumerate(records):
        if n < 20:
            scored(store, record, "label:me", label="good" if n < 10 else "bad" if n < 18 else "unsure")
        scored(store, record, "judge", float(1 <= n < 12))
    return store


def test_rates_are_of_the_one_that_is_no_person(labelled):
    for found in (labelled.agreement("label:me", "judge"), labelled.agreement("judge", "label:me")):
        rates = found.rates
        assert (rates.judge, rates.truth, found.n) == ("judge", "label:me", 20)
        assert (rates.tpr.value, rates.tpr.n) == (0.9, 10)
        assert (rates.tnr.value, rates.tnr.n) == (0.75, 8)
        assert (rates.said.value, rates.said.n) == (0.5, 22)
        # Rogan–Gladen: (0.5 + 0.75 − 1) / (0.9 + 0.75 − 1).
        assert rates.prevalence.value == pytest.approx(0.25 / 0.65)
        assert rates.prevalence.low < rates.prevalence.value < rates.prevalence.high
        assert (found.most_frequent, found.constant.value) == ("true", 0.5)
        assert json.loads(json.dumps(found.to_dict()))["rates"]["tnr"]["value"] == 0.75
        text = str(found)
        assert "TPR of judge" in text
        assert "yes to 9 of 10: 90.0% (95 % interval 59.6% to 98.2%) that label:me calls yes" in text
        assert "38.5% (95 % interval" in text
    assert labelled.agreement("judge", "meta.correct").rates.truth == "meta.correct"
    assert labelled.agreement("meta.correct", "judge").rates.truth == "meta.correct"
    assert labelled.agreement("judge", "judge").rates is None
    assert "unsure" in {cell.a for cell in labelled.agreement("label:me", "judge").cells}
    assert len(labelled.disagreements("label:me", rt.Judge("correct", model="m", name="judge"))) == 5


def test_without_yes_and_no_on_both_sides_there_are_no_rates(labelled):
    records = [labelled.get(one.id) for one in labelled.page(limit=22)][::-1]
    for n, record in enumerate(records):
        scored(labelled, record, "stars", float(n % 3))
        scored(labelled, record, "words", label="AB"[n % 2])
        scored(labelled, record, "never", float(n >= 10))
    assert labelled.agreement("stars", "label:me").rates is None
    assert labelled.agreement("judge", "stars").rates is None
    assert labelled.agreement("words", "judge").rates is None
    # Two scorers: neither is the truth.
    assert labelled.agreement("judge", "never").rates is None
    wrong = labelled.agreement("label:me", "never")
    assert wrong.rates.prevalence.value is None
    assert "unknown: TPR + TNR is not above 1, which a constant reaches" in str(wrong)
    good = labelled.agreement("label:me", "judge", meta={"correct": True})
    assert good.rates.tnr.value is None
    assert "unknown: it has no verdicts on both a yes and a no of the truth" in str(good)


def test_the_corrected_share_is_a_share_and_says_when_it_is_not_known():
    perfect = prevalence((300, 1_000), (500, 500), (500, 500))
    assert perfect.value == pytest.approx(0.3)
    assert 0.26 < perfect.low < 0.3 < perfect.high < 0.34
    # The labelled are few: the interval is much wider than that of the judge's own share.
    few = prevalence((300, 1_000), (9, 10), (9, 10))
    assert few.high - few.low > 0.3
    below = prevalence((10, 1_000), (45, 50), (40, 50))
    assert (below.value, below.low) == (0, 0)
    above = prevalence((999, 1_000), (45, 50), (40, 50))
    assert (above.value, above.high) == (1, 1)
    assert prevalence((5, 10), (5, 10), (5, 10)).value is None
    assert prevalence((5, 10), (2, 10), (3, 10)).value is None
    assert prevalence((0, 0), (5, 5), (5, 5)).value is None
    assert prevalence((5, 10), (0, 0), (5, 5)).value is None
    assert prevalence((5, 10), (4, 4), (5, 5)).low is None
    # So little above chance, and so few labels, that an interval would be all shares.
    assert prevalence((3, 10), (5, 5), (1, 50)).low is None


def test_the_interval_of_the_corrected_share_holds_the_true_one_as_often_as_it_says():
    rng = random.Random(0)

    def count(share, n):
        return sum(rng.random() < share for _ in range(n)), n

    # 300 traces, 20 % right, TPR 0.9, TNR 0.8, fifty labels.
    of_all = 0.2 * 0.9 + 0.8 * 0.2
    drawn = [prevalence(count(of_all, 300), count(0.9, 15), count(0.8, 35)) for _ in range(400)]
    assert sum(one.low <= 0.2 <= one.high for one in drawn) >= 0.93 * 400
