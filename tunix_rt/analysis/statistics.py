"""Rates and their uncertainty: pass@k, pass^k, maj@k, intervals, agreement, comparison; pure and the same each time."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# The two-sided 95 % of the normal distribution.
_Z = 1.959963984540054
_DRAWS = 2_000
_SEED = 20_261_125
# More items are not drawn (2,000 draws of 10,000 take half a second): see `bootstrap`.
_MOST_DRAWN = 10_000
_NUMBERS_AT_ONCE = 1_000_000
_ROUNDING = 1e-9
# Below this number of items a rate says less than its counts.
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval, from `n` items; `left_out` items had no value, as prompts of under k samples.

    `value` is None without any item; `low` and `high` are None below 5 items, where a face shows counts only.

    >>> print(wilson(40, 50)), print(wilson(2, 3))
    0.800 [0.670, 0.888], n = 50
    n = 3, too few to say
    (None, None)
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    left_out: int = 0

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return f"n = {self.n:,}, too few to say"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}], n = {self.n:,}"

    def to_dict(self) -> dict[str, float | int | None]:
        """The estimate as values of JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "left_out": self.left_out}


def wilson(k: int, n: int) -> Estimate:
    """The share `k` of `n`, with Wilson's score interval (1927)."""
    if n == 0:
        return Estimate(None, None, None, 0)
    share, z2 = k / n, _Z * _Z
    if n < FEWEST:
        return Estimate(share, None, None, n)
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # Exact at the ends, where rounding could pass 0 and 1.
    return Estimate(share, 0.0 if k == 0 else middle - half, 1.0 if k == n else middle + half, n)


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """The chance that of `k` of the `n` samples, `c` of them correct, at least one is: 1 − C(n−c, k)/C(n, k).

    In the product form of Chen et al. (2021), eq. 1. None where n < k.
    """
    if n < k:
        return None
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def pass_all_k(n: int, c: int, k: int) -> float | None:
    """The chance that `k` of the `n` samples, `c` of them correct, are all correct: C(c, k)/C(n, k); None for n < k."""
    return None if n < k else math.comb(c, k) / math.comb(n, k)


def maj_at_k(answers: Mapping[Any, int], correct: Sequence[Any], n: int, k: int) -> float | None:
    """The chance that the most frequent answer of `k` of the `n` samples is correct; None where n < k.

    `answers` has the number of samples with each answer, `correct` the right ones among the answers; the samples left
    over gave none. The k are drawn without replacement; answers that are equally frequent share the win; no answer
    never wins.
    """
    right = {answer: size for answer, size in answers.items() if answer in correct}
    wrong = sorted(size for answer, size in answers.items() if answer not in right)
    return None if n < k else _majority(tuple(sorted(right.values())), tuple(wrong), n, k)


@lru_cache(maxsize=4_096)
def _majority(right: tuple[int, ...], wrong: tuple[int, ...], n: int, k: int) -> float:
    won = 0.0
    for at, size in enumerate(right):
        others = right[:at] + right[at + 1 :] + wrong
        for votes in range(1, min(size, k) + 1):
            # Answers that cannot reach as many votes are one pool, with the samples without an answer.
            rivals = [other for other in others if other >= votes]
            pool = n - size - sum(rivals)
            for ties, ways in _ways(rivals, votes, pool, k - votes).items():
                won += math.comb(size, votes) * ways / math.comb(n, k) / (ties + 1)
    return won


def _ways(rivals: list[int], votes: int, pool: int, left: int) -> dict[int, int]:
    """The ways to draw `left` samples with at most `votes` of each rival, by the number of rivals that have as many."""
    drawn = {(0, 0): 1}
    for size in rivals:
        more: dict[tuple[int, int], int] = {}
        for (n_drawn, ties), ways in drawn.items():
            for one in range(min(votes, left - n_drawn) + 1):
                key = n_drawn + one, ties + (one == votes)
                more[key] = more.get(key, 0) + ways * math.comb(size, one)
        drawn = more
    by_ties: dict[int, int] = {}
    for (n_drawn, ties), ways in drawn.items():
        by_ties[ties] = by_ties.get(ties, 0) + ways * math.comb(pool, left - n_drawn)
    return by_ties


def mean(values: Sequence[float | None]) -> Estimate:
    """The mean of a value for each prompt, with a bootstrap interval over the prompts; None is left out.

    Where all values are 0, or all 1, no draw would differ: the interval is Wilson's.
    """
    known = [value for value in values if value is not None]
    left_out = len(values) - len(known)
    if not known:
        return Estimate(None, None, None, 0, left_out)
    value = math.fsum(known) / len(known)
    if value in (0, 1) and len(set(known)) == 1:
        share = wilson(len(known) * int(value), len(known))
        low, high = share.low, share.high
    else:
        low, high = bootstrap([pa.array(known, pa.float64())], lambda means: means[0], value)
    return Estimate(value, low, high, len(known), left_out)


def bootstrap(
    columns: Sequence[pa.Array], of: Callable[[Sequence[float]], float | None], value: float | None
) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of a statistic by the percentiles of 2,000 draws of the items, always the same draws.

    `columns` have a number for each item, `of` computes the statistic of their means over the drawn items, and `value`
    is that of all items. Over 10,000 items, 10,000 are drawn, and the interval shrinks by √(10,000/n) (the m-out-of-n
    bootstrap; Bickel et al. 1997). None, None below 5 items, or where the statistic of half of the draws is None.
    """
    n = len(columns[0]) if columns else 0
    if n < FEWEST or value is None:
        return None, None
    m = min(n, _MOST_DRAWN)
    found: list[float] = []
    at_once = max(1, _NUMBERS_AT_ONCE // m)
    for first in range(0, _DRAWS, at_once):
        draws = min(at_once, _DRAWS - first)
        drawn = pc.cast(pc.floor(pc.multiply(pc.random(m * draws, initializer=_SEED + first), n)), pa.int64())
        means = [_means(column.take(drawn), m) for column in columns]
        found += [one for one in map(of, zip(*means, strict=True)) if one is not None]
    if len(found) <= _DRAWS // 2:
        return None, None
    found.sort()
    shrunk = math.sqrt(m / n)
    low, high = (found[round(share * (len(found) - 1))] for share in (0.025, 0.975))
    return value + (low - value) * shrunk, value + (high - value) * shrunk


def _means(drawn: pa.Array, m: int) -> list[float]:
    """The mean of each run of `m` numbers."""
    ends = pc.cumulative_sum(drawn).take(pa.array(range(m - 1, len(drawn), m))).to_pylist()
    return [(end - begin) / m for begin, end in zip([0.0, *ends], ends, strict=False)]


def kappa(counts: Mapping[tuple[Any, Any], int]) -> Estimate:
    """Cohen's kappa (1960) of a confusion table, {(label of a, label of b): items}, with a bootstrap interval.

    Its value is None where both always give the same single label: chance alone would agree as often.
    """
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    labels = list(dict.fromkeys(label for pair in counts for label in pair))
    columns = [pa.array([float(a == b) for a, b in pairs], pa.float64())]
    columns += [
        pa.array([float(pair[at] == label) for pair in pairs], pa.float64()) for label in labels for at in (0, 1)
    ]
    shares = [math.fsum(column.to_pylist()) / max(1, len(pairs)) for column in columns]
    value = _kappa(shares) if pairs else None
    low, high = bootstrap(columns, _kappa, value)
    return Estimate(value, low, high, len(pairs))


def _kappa(shares: Sequence[float]) -> float | None:
    """Of the share that agrees, and the shares of each label in `a` and in `b`."""
    agreed, *of_labels = shares
    by_chance = math.fsum(a * b for a, b in zip(of_labels[::2], of_labels[1::2], strict=True))
    return None if 1 - by_chance < _ROUNDING else (agreed - by_chance) / (1 - by_chance)


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact two-sided p: items that only `a` got right, against those that only `b` did."""
    n, fewer = only_a + only_b, min(only_a, only_b)
    tail: int = sum(math.comb(n, i) for i in range(fewer + 1))
    # Integers of any size: their quotient is exact to a double.
    return min(1.0, 2 * tail / (1 << n))


def paired(a: Sequence[float | None], b: Sequence[float | None]) -> Estimate:
    """The mean of `b` − `a` over prompts that both have, with a paired bootstrap; pairs with a None are left out."""
    found = mean([None if x is None or y is None else y - x for x, y in zip(a, b, strict=True)])
    # Where all are equal, the next pair may differ in either direction.
    return replace(found, low=-found.high) if found.value == found.low == 0 and found.high else found


def ratio(sums: Sequence[float], counts: Sequence[int]) -> Estimate:
    """The mean over the traces of prompts that have several each: their `sums` over their `counts`.

    The interval is a bootstrap over the prompts, `n` their number; where all traces are 0, or all 1, it is Wilson's.
    """
    total, n = math.fsum(sums), sum(counts)
    if not n:
        return Estimate(None, None, None, 0)
    value = total / n
    if value in (0, 1) and all(one == value * of for one, of in zip(sums, counts, strict=True)):
        share = wilson(len(counts) * int(value), len(counts))
        return Estimate(value, share.low, share.high, len(counts))
    columns = [pa.array(sums, pa.float64()), pa.array(counts, pa.float64())]
    low, high = bootstrap(columns, lambda means: means[0] / means[1] if means[1] else None, value)
    return Estimate(value, low, high, len(counts))


def prevalence(said: tuple[int, int], found: tuple[int, int], rejected: tuple[int, int]) -> Estimate:
    """The true share of yes among items of which a judge with known errors says yes: (p + TNR − 1)/(TPR + TNR − 1).

    `said` is its yes of all items; `found` and `rejected` are its right verdicts on items that are known to be yes and
    to be no, each with their number. Rogan and Gladen (1978), kept within 0 and 1; the interval is Lang and Reiczigel's
    (2014), which counts the errors of all three. The value is None where TPR + TNR ≤ 1: the
    verdicts of such a judge say nothing.
    """
    n = said[1]
    if not (n and found[1] and rejected[1]):
        return Estimate(None, None, None, n)
    p, tpr, tnr = (k / of for k, of in (said, found, rejected))
    if tpr + tnr - 1 < _ROUNDING:
        return Estimate(None, None, None, n)
    value = _within((p + tnr - 1) / (tpr + tnr - 1))
    if min(n, found[1], rejected[1]) < FEWEST:
        return Estimate(value, None, None, n)
    z2 = _Z * _Z
    p = (said[0] + z2 / 2) / (n + z2)
    tpr, tnr = ((k + 1) / (of + 2) for k, of in (found, rejected))
    informed = tpr + tnr - 1
    if informed < _ROUNDING:
        return Estimate(value, None, None, n)
    share = _within((p + tnr - 1) / informed)
    of_tpr, of_tnr = tpr * (1 - tpr) / (found[1] + 2), tnr * (1 - tnr) / (rejected[1] + 2)
    middle = share + 2 * z2 * (share * of_tpr - (1 - share) * of_tnr)
    variance = p * (1 - p) / (n + z2) + share**2 * of_tpr + (1 - share) ** 2 * of_tnr
    half = _Z * math.sqrt(variance) / informed
    # The estimate is inside, also where it was kept within 0 and 1.
    return Estimate(value, min(value, _within(middle - half)), max(value, _within(middle + half)), n)


def _within(share: float) -> float:
    return min(1.0, max(0.0, share))
