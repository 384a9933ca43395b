"""How right a scorer's yes and no are beside those of a truth, and what share of yes that leaves when it is known."""

from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt import render
from tunix_rt.analysis.statistics import Estimate, prevalence, wilson

YES, NO = "1.0", "0.0"


class VerdictRates:
    """A scorer that says yes or no, `judge`, measured by `truth` on the traces to which both say it.

    `tpr` is its share of yes where the truth is yes, `tnr` its share of no where the truth is no. They add up to 1 for
    a judge that always says the same. `said` is its share of yes of all its traces, and `prevalence` the true share
    that this makes likely: an Estimate, without a value where TPR + TNR ≤ 1.
    """

    def __init__(self, judge: str, truth: str, pairs: Mapping[tuple[str, str], int], n_yes: int, n_judged: int) -> None:
        self.judge, self.truth = judge, truth
        n_found, n_missed = pairs.get((YES, YES), 0), pairs.get((NO, YES), 0)
        n_rejected, n_accepted = pairs.get((NO, NO), 0), pairs.get((YES, NO), 0)
        self._found = n_found, n_found + n_missed
        self._rejected = n_rejected, n_rejected + n_accepted
        self._said = n_yes, n_judged
        self.tpr: Estimate = wilson(*self._found)
        self.tnr: Estimate = wilson(*self._rejected)
        self.said: Estimate = wilson(*self._said)
        self.prevalence: Estimate = prevalence(self._said, self._found, self._rejected)

    def to_dict(self) -> dict[str, Any]:
        """The rates as values of JSON."""
        rates = {name: getattr(self, name).to_dict() for name in ("tpr", "tnr", "said", "prevalence")}
        return {"judge": self.judge, "truth": self.truth, **rates}

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The rates in words."""
        facts = [
            (f"TPR of {self.judge}", f"yes to {render.share(*self._found, self.tpr)} that {self.truth} calls yes"),
            (f"TNR of {self.judge}", f"no to {render.share(*self._rejected, self.tnr)} that {self.truth} calls no"),
            (f"{self.judge} says yes", f"to {render.share(*self._said, self.said)}, its errors included"),
        ]
        share = self.prevalence
        if share.value is None:
            said = "unknown: it has no verdicts on both a yes and a no of the truth"
            if self.tpr.value is not None and self.tnr.value is not None:
                said = "unknown: TPR + TNR is not above 1, which a constant reaches"
        elif share.low is None or share.high is None:
            said = "unknown: too few traces to say"
        else:
            said = f"{share.value:.1%} (95 % interval {share.low:.1%} to {share.high:.1%}) are yes, without its errors"
        return [*facts, ("corrected share", said)]


def truth_of(a: str, b: str) -> str:
    """Which of two scorers measures the other: what a person says, else what the data say, else `b`."""
    return a if _rank(a) > _rank(b) else b


def _rank(name: str) -> int:
    return 2 if name.startswith("label:") else int(name.startswith("meta."))


def verdict_rates(a: str, b: str, counted: Iterable[tuple[str | None, str | None, int]]) -> VerdictRates | None:
    """The rates for traces counted by their labels of `a` and `b`; None where neither is a truth, or both are.

    None, too, where one does not say yes or no: other words of a person, such as "unsure", are left out, but numbers
    besides 0 and 1 are measurements.
    """
    truth = truth_of(a, b)
    judge = b if truth == a else a
    rows = [(of_b, of_a, n) if truth == a else (of_a, of_b, n) for of_a, of_b, n in counted]
    of_judge = {said for said, _, _ in rows if said is not None}
    of_truth = {true for _, true, _ in rows if true is not None}
    if _rank(judge) == _rank(truth) or not of_judge <= {YES, NO} or not of_truth & {YES, NO}:
        return None
    if any(_is_number(one) for one in of_truth - {YES, NO}):
        return None
    pairs = {(said, true): n for said, true, n in rows if said is not None and true is not None}
    n_yes = sum(n for said, _, n in rows if said == YES)
    return VerdictRates(judge, truth, pairs, n_yes, sum(n for said, _, n in rows if said is not None))


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True
