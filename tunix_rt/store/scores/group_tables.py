"""Groups of samples as they are shown: in facts, the rates of each policy, and the hardest groups."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tunix_rt import render
from tunix_rt.analysis.statistics import FEWEST, Estimate
from tunix_rt.store.scores.policy import POLICY_FIELDS

if TYPE_CHECKING:
    from tunix_rt.store.scores.groups import Groups

_SHOWN = 20
# A step is a number of few digits.
_HEADERS = {"training_step": "step"}
_TO_THE_RIGHT = ("i", "step", "samples", "correct", "votes", "reward", "spread")


def group_facts(groups: "Groups") -> list[tuple[str, str]]:
    """The counts, what all groups share, and the levels."""
    levels = ", ".join(f"{n:,} {level}" for level, n in groups.levels.items())
    facts = [("groups", f"{len(groups):,} of {groups.n_samples:,} samples"), *constant_fields(groups).items()]
    if (n := len(groups.policies)) > 1:
        facts.append(("policies", f"{n:,}, not pooled; see .by_policy()"))
    if len(groups) and not any(groups.arrow()["judged"].to_pylist()):
        facts.append(("correct", 'no sample has a verdict; run store.score("answer"), or load meta.correct'))
    return [*facts, ("levels", levels or "none")]


def policy_table(groups: "Groups") -> render.Shown:
    """The rates of each policy over its prompts; without rows where no sample has a verdict."""
    judged = sorted(n for n in groups.arrow()["judged"].to_pylist() if n)
    # At least half of the prompts have as many.
    k = judged[len(judged) // 2] if judged else 1
    policies, constant = groups.policies, constant_fields(groups)
    rows: list[dict[str, Any]] = []
    for policy, one in zip(policies[:_SHOWN], groups.by_policy(), strict=False) if judged else ():
        rates = {f"pass@{each}": one.pass_at(each) for each in (1, k)} | {f"maj@{k}": one.majority(k)}
        counts = {"n": rates["pass@1"].n} | ({f"n ≥ {k}": rates[f"pass@{k}"].n} if k > 1 else {})
        named = {_HEADERS.get(name, name): value for name, value in policy.items() if name not in constant}
        rows.append(named | {name: _rate(rate) for name, rate in rates.items()} | counts)
    caption = f"{len(policies):,} policies, not pooled" if len(policies) > 1 else "mean over prompts"
    if len(policies) > _SHOWN:
        caption = f"showing {_SHOWN} of {caption}"
    caption += " · [95 % interval] · n: prompts" + (f", of ≥ {k} verdicts" if k > 1 else "")
    return _shown(rows, len(policies), caption)


def group_table(groups: "Groups") -> render.Shown:
    """The hardest groups of all policies, each with its index."""
    table = groups.arrow()
    verdicts = zip(table["correct"].to_pylist(), table["judged"].to_pylist(), strict=True)
    # Those without a verdict come last.
    rates = [correct / judged if judged else 2 for correct, judged in verdicts]
    hardest = sorted(range(len(rates)), key=rates.__getitem__)[:_SHOWN]
    counted = f"{render.count(len(groups), 'group')}, hardest first"
    if len(hardest) < len(groups):
        counted = f"showing {len(hardest)} of {counted}"
    return rows_table(groups, hardest, f"{counted} · samples of one: .page(i) · as data: .df()")


def rows_table(groups: "Groups", chosen: Sequence[int], caption: str) -> render.Shown:
    """The groups with these indices, in this order."""
    fields = [name for name in groups.fields if name not in constant_fields(groups)]
    rows = [
        {"i": f"{at}"} | {_HEADERS.get(name, name): row[name] for name in fields} | _counts(row)
        for at, row in zip(chosen, groups.arrow().take(pa.array(chosen, pa.int64())).to_pylist(), strict=True)
    ]
    return _shown(rows, len(groups), caption)


def constant_fields(groups: "Groups") -> dict[str, str]:
    """The fields of the policy that all groups share, said once."""
    values = {name: {policy[name] for policy in groups.policies} for name in POLICY_FIELDS}
    return {name: one for name, found in values.items() if len(found) == 1 for one in found if one is not None}


def _shown(rows: list[dict[str, Any]], n_rows: int, caption: str) -> render.Shown:
    """Without columns that are empty."""
    names = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
    right = [name for name in names if "@" in name or name in _TO_THE_RIGHT]
    return render.Shown.of([{name: row[name] for name in names} for row in rows], n_rows, caption, right=right)


def _counts(row: dict[str, Any]) -> dict[str, Any]:
    """What a row shows of a group: k/n where a share would need more words and, below five samples, say nothing."""
    return {
        "samples": row["samples"],
        "correct": f"{row['correct']}/{row['judged']}" if row["judged"] else None,
        "level": row["level"],
        "majority": row["majority"],
        "votes": f"{row['majority_votes']}/{row['answered']}" if row["answered"] else None,
        "reward": None if row["reward"] is None else f"{row['reward']:.3g}",
        "spread": f"{row['reward_spread']:.3g}" if row["reward_spread"] else None,
    }


def _rate(rate: Estimate) -> str | None:
    if rate.value is None:
        return None
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]" if rate.n >= FEWEST else "too few"
