"""Rates and their uncertainty, held to exact fractions and to every subset there is."""

import math
import random
from collections import Counter
from fractions import Fraction
from itertools import combinations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_rt.analysis.statistics import (
    Estimate,
    bootstrap,
    kappa,
    maj_at_k,
    mcnemar,
    mean,
    paired,
    pass_all_k,
    pass_at_k,
    wilson,
)


@st.composite
def samples(draw, most=100):
    n = draw(st.integers(1, most))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


@given(samples())
def test_pass_at_k_is_the_exact_fraction(given_samples):
    n, c, k = given_samples
    exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
    assert pass_at_k(n, c, k) == pytest.approx(float(exact), abs=1e-14)
    assert pass_all_k(n, c, k) == float(Fraction(math.comb(c, k), math.comb(n, k)))


def test_fewer_samples_than_k_say_nothing():
    assert pass_at_k(3, 3, 4) is None
    assert pass_all_k(3, 3, 4) is None
    assert maj_at_k({"a": 3}, ["a"], 3, 4) is None


@given(st.lists(st.sampled_from([None, "right", "b", "c", "d"]), min_size=1, max_size=8), st.data())
def test_maj_at_k_is_the_mean_over_every_subset(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    won = Fraction(0)
    for subset in combinations(answers, k):
        votes = Counter(answer for answer in subset if answer is not None)
        first = [answer for answer, n in votes.items() if n == max(votes.values())]
        won += Fraction("right" in first, max(1, len(first)))
    exact = won / math.comb(len(answers), k)
    sizes = Counter(answer for answer in answers if answer is not None)
    assert maj_at_k(sizes, ["right"], len(answers), k) == pytest.approx(float(exact), abs=1e-12)


def test_two_right_answers_both_win():
    assert maj_at_k({"a": 1, "b": 1, "c": 2}, ["a", "b"], 4, 4) == 0
    assert maj_at_k({"a": 1, "b": 1}, ["a", "b"], 2, 2) == 1
    assert maj_at_k({}, [], 4, 2) == 0


def test_maj_at_k_of_a_hundred_samples_is_quick_and_certain():
    assert maj_at_k({"a": 60, **dict.fromkeys(range(40), 1)}, ["a"], 100, 50) == pytest.approx(1.0)
    assert maj_at_k({"a": 50, "b": 50}, ["a"], 100, 50) == pytest.approx(0.5)


# Brown, Cai and DasGupta (2001) and R's prop.test(correct=FALSE).
@pytest.mark.parametrize(("k", "n", "low", "high"), [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1)])
def test_wilson(k, n, low, high):
    found = wilson(k, n)
    assert (found.value, found.low, found.high) == pytest.approx((k / n, low, high), abs=1e-4)


@given(st.integers(5, 10**6), st.data())
def test_wilson_holds_the_share(n, data):
    k = data.draw(st.integers(0, n))
    found = wilson(k, n)
    assert 0 <= found.low <= k / n <= found.high <= 1


def test_few_items_are_counts_only():
    assert wilson(0, 0) == Estimate(None, None, None, 0)
    assert wilson(3, 4) == Estimate(0.75, None, None, 4)
    assert mean([0.5, 0.25]) == Estimate(0.375, None, None, 2)
    assert mean([None, None]) == Estimate(None, None, None, 0, 2)
    assert str(wilson(3, 4)) == "n = 4, too few to say"
    assert str(wilson(5, 10)) == "0.500 [0.237, 0.763], n = 10"
    assert wilson(3, 4).to_dict() == {"value": 0.75, "low": None, "high": None, "n": 4, "left_out": 0}


def test_the_bootstrap_of_a_mean_is_near_the_normal_interval_and_always_the_same():
    values = [random.Random(n).random() ** 2 for n in range(400)]
    found = mean([*values, None])
    half = 1.96 * math.sqrt(sum((v - found.value) ** 2 for v in values) / len(values)) / math.sqrt(len(values))
    assert found == mean([*values, None])
    assert (found.n, found.left_out) == (400, 1)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=half / 5)


@pytest.mark.slow
def test_more_items_than_are_drawn_have_a_narrower_interval():
    values = [float(n % 2) for n in range(40_000)]
    found = mean(values)
    assert (found.low, found.high) == pytest.approx((0.5 - 0.98 / 200, 0.5 + 0.98 / 200), abs=0.0006)


def test_where_all_are_wrong_the_interval_is_not_empty():
    assert mean([0.0] * 10).high == wilson(0, 10).high
    assert mean([1.0] * 10).low == wilson(10, 10).low
    assert mean([0.5] * 10).low == 0.5


def test_kappa_of_known_tables():
    # Cohen's own kind of table: 20 + 15 of 50 agree, by chance half of them.
    found = kappa({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15})
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    # The large-sample error of Fleiss, Cohen and Everitt is 0.127.
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.127, abs=0.06)
    assert kappa({(1, 1): 3, (0, 0): 4}).value == 1
    assert kappa({(1, 0): 3, (0, 1): 3}).value == -1


def test_kappa_says_nothing_where_both_say_one_thing():
    assert kappa({(True, True): 30, (False, False): 0}) == Estimate(None, None, None, 30)
    assert kappa({}) == Estimate(None, None, None, 0)


def test_a_statistic_that_most_draws_lack_has_no_interval():
    assert bootstrap([pa.array([0.5] * 10)], lambda _: None, 0.5) == (None, None)
    assert bootstrap([], lambda _: 1.0, 1.0) == (None, None)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial(a, b):
    n = a + b
    exact = sum(Fraction(math.comb(n, i), 2**n) for i in range(n + 1) if math.comb(n, i) <= math.comb(n, a))
    assert mcnemar(a, b) == pytest.approx(float(exact))


def test_two_sets_are_compared_prompt_by_prompt():
    a = [n / 20 for n in range(20)]
    found = paired([*a, None, 1.0], [*(value + 0.1 * (1 + n % 2) for n, value in enumerate(a)), 1.0, None])
    assert (found.n, found.left_out) == (20, 2)
    assert found.value == pytest.approx(0.15)
    assert 0.1 <= found.low < 0.15 < found.high <= 0.2
