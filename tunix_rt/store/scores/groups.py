"""The samples of one prompt from one policy, counted: how often they are correct, what most say, what they teach."""

import re
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tunix_rt import render
from tunix_rt.analysis.statistics import Estimate, maj_at_k, mean, pass_all_k, pass_at_k
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import TIME
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.order import NEWEST_FIRST
from tunix_rt.store.query.page import Page
from tunix_rt.store.query.scan import scan
from tunix_rt.store.scores.current import CURRENT_OF_TRACES
from tunix_rt.store.scores.group_matrix import GroupMatrix
from tunix_rt.store.scores.group_tables import group_facts, group_table, policy_table
from tunix_rt.store.scores.policy import CORRECT, NAMED_GROUP, POLICY, POLICY_FIELDS, REWARD
from tunix_rt.validation import short

if TYPE_CHECKING:
    import pandas as pd

_LISTED = 50
# What `by` may name, beside the policy, which always separates. Shown as the first 200 characters.
_BY = {
    **POLICY_FIELDS,
    "prompt": "prompt",
    "system": "meta ->> '$.system'",
    "group": NAMED_GROUP,
    "run": "meta ->> '$.run'",
    "policy_version": "meta ->> '$.policy_version'",
}
# A group that the source names stands for prompt and system.
_OWN = (NAMED_GROUP, *(f"if({NAMED_GROUP} is null, {one}, null)" for one in ("prompt", "meta ->> '$.system'")))
_OWN_SHOWN = ("prompt", "group")
LEVELS = ("too hard", "informative", "too easy", "same reward", "unknown")

_SAMPLE = f"""
id::varchar as id,
{TIME} as moment,
unhex(md5(json_array({POLICY})::varchar)) as policy_key,
unhex(md5(json_array({{key}})::varchar)) as group_key,
{CORRECT} as marked,
{REWARD} as reward,
hash(lower(trim(final_answer))) as stated,
coalesce(trim(final_answer), '') <> '' as answered
"""

# The mean of a group's rewards is taken in one order: a sum of doubles differs with the order in which it is made.
# Answers that were judged right are equal, however they are written; the others are equal where their texts are.
_GROUPED = f"""
with scored as ({CURRENT_OF_TRACES}),
judged as (
    select
        sample.*,
        coalesce(scored.value > 0, marked) as correct,
        scored.answer is not null or answered as has_answer,
        case
            when correct then 0::ubigint
            when has_answer then coalesce(hash(lower(trim(scored.answer))), stated)
        end as answer_key
    from samples as sample
    left join scored on scored.trace_id = sample.id::uuid
),
answers as (
    select
        policy_key,
        group_key,
        answer_key,
        count(*) as votes,
        count(*) filter (correct is not null) as judged_votes,
        coalesce(bool_or(correct), false) as is_right,
        arg_min(id, (moment, id)) as example
    from judged
    where answer_key is not null
    group by all
),
voted as (
    select
        policy_key,
        group_key,
        arg_max(struct_pack(example, votes, is_right), (votes, is_right, example)) as first,
        list(struct_pack(votes := judged_votes, is_right) order by example) filter (judged_votes > 0) as answers
    from answers
    group by all
),
counted as (
    select
        policy_key,
        group_key,
        count(*) as samples,
        count(correct) as judged,
        count(*) filter (correct) as correct,
        count(answer_key) as answered,
        count(*) filter (answer_key is null and correct is null) as silent,
        count(reward) as rewards,
        list_avg(list(reward order by moment desc, id desc) filter (reward is not null)) as reward,
        max(reward) - min(reward) as reward_spread,
        list(id order by moment desc, id desc) as ids,
        list(correct order by moment desc, id desc) as verdicts
    from judged
    group by all
)
select
    counted.*,
    voted.first.example as majority_id,
    voted.first.votes as majority_votes,
    voted.first.is_right as majority_correct,
    voted.answers,
    case
        when judged > 1 and correct = judged then 'too easy'
        when judged > 1 and correct = 0 then 'too hard'
        when judged > 1 or (rewards > 1 and reward_spread > 0) then 'informative'
        when rewards > 1 then 'same reward'
        else 'unknown'
    end as level
from counted
left join voted using (policy_key, group_key)
order by policy_key, correct / nullif(judged, 0), samples desc, ids[len(ids)]
"""

_SHOWN_FIELDS = """
select id::varchar as id, {fields}
from traces
where id in (select ids[1]::uuid from grouped)
"""
_SHOWN_ANSWERS = f"""
with scored as ({CURRENT_OF_TRACES})
select traces.id::varchar as id, left(trim(coalesce(scored.answer, final_answer)), 200) as answer
from traces
left join scored on scored.trace_id = traces.id
where traces.id in (select majority_id::uuid from grouped where majority_id is not null)
"""


@render.shows_summary
class Groups:
    """Groups of samples, by policy, the hardest first; a policy is a source, a model and a point of its training.

    `pass_at(k)`, `pass_all(k)` and `majority(k)` are Estimates over the prompts of one policy; `by_policy()` splits the
    groups of several, which are never pooled. `df()` and `arrow()` have a row for each group: the fields that its
    samples share (prompts up to 200 characters), `samples`, `judged`, `correct`, `answered`, the `majority` answer
    with its `agreement` (its share of the answered) and whether it is correct, mean and spread of the `reward`,
    `level`, and `ids`, newest first, with their `verdicts` (True, False or None). `page(index)` lists the samples of
    one, `matrix()` has the policies side by side.

    A level is "too easy" where all judged samples are correct, "too hard" where none is, "informative" where they
    differ in verdict or reward, "same reward", or "unknown" with fewer than two to compare.
    """

    def __init__(self, table: pa.Table, fields: Sequence[str], get_page: Callable[..., Page]) -> None:
        self._groups = table
        self._get_page = get_page
        self.fields = tuple(fields)
        # Each policy, and where its groups begin; they are in a row.
        policies = zip(*(table[name].to_pylist() for name in POLICY_FIELDS), strict=True)
        self._runs = [(policy, next(run)[0]) for policy, run in groupby(enumerate(policies), itemgetter(1))]

    @property
    def n_samples(self) -> int:
        """How many traces the groups have."""
        return sum(self._groups["samples"].to_pylist())

    @property
    def policies(self) -> tuple[dict[str, str | None], ...]:
        """The policies of the groups: their source, model and training step or policy version, in this order."""
        return tuple(dict(zip(POLICY_FIELDS, one, strict=True)) for one, _ in self._runs)

    def by_policy(self) -> tuple["Groups", ...]:
        """The groups of each policy, in the order of `policies`."""
        edges = [*(start for _, start in self._runs), len(self)]
        return tuple(
            Groups(self._groups.slice(start, end - start), self.fields, self._get_page)
            for start, end in pairwise(edges)
        )

    def pass_at(self, k: int) -> Estimate:
        """pass@k: the chance that of k samples of a prompt one at least is correct, over prompts (Chen et al. 2021).

        Only samples with a verdict count; prompts with fewer than k of them are `left_out`. Raises QueryInvalid for
        groups of several policies.
        """
        return self._over_prompts(k, pass_at_k)

    def pass_all(self, k: int) -> Estimate:
        """pass^k: the chance that k samples of a prompt are all correct; as `pass_at`."""
        return self._over_prompts(k, pass_all_k)

    def majority(self, k: int) -> Estimate:
        """maj@k: the chance that the most frequent answer of k samples is correct; as `pass_at`.

        The k are drawn from the samples with a verdict and those without an answer, which never win. `pass_at` leaves
        the latter out where they have no verdict by `meta.correct`: of a prompt with 2 correct samples, 1 wrong and 1
        without an answer, pass@1 is 2/3 and maj@1 2/4. Samples with an answer that was not judged are in neither.
        """
        whole_number("k", k, 1, None)
        self._refuse_several()
        values = []
        columns = self._groups.select(["judged", "silent", "answers"]).to_pylist()
        for row in columns:
            answers = dict(enumerate(row["answers"] or []))
            votes = {at: one["votes"] for at, one in answers.items()}
            right = [at for at, one in answers.items() if one["is_right"]]
            # Without a verdict on anything, "no answer was right" is not known.
            n = row["judged"] + row["silent"] if row["judged"] else 0
            values.append(maj_at_k(votes, right, n, k))
        return mean(values)

    def _over_prompts(self, k: int, of: Callable[[int, int, int], float | None]) -> Estimate:
        whole_number("k", k, 1, None)
        self._refuse_several()
        rows = zip(self._groups["judged"].to_pylist(), self._groups["correct"].to_pylist(), strict=True)
        return mean([of(judged, correct, k) for judged, correct in rows])

    def _refuse_several(self) -> None:
        if (n := len(self.policies)) > 1:
            raise QueryInvalid(
                f"the groups are of {n} policies (source, model, training step), which are not pooled; use "
                "by_policy(), or filters"
            )

    def page(self, index: int, *, limit: int = 20) -> Page:
        """A page of the samples of the group with this index, newest first; QueryInvalid if there is none."""
        whole_number("index", index, 0, len(self) - 1)
        return self._get_page(ids=self._groups["ids"][index].as_py(), limit=limit, **NEWEST_FIRST)

    def matrix(self) -> GroupMatrix:
        """The same groups as a matrix of prompts × policies: which model fails which problem."""
        return GroupMatrix(self, self._groups["group_key"].to_pylist())

    def arrow(self) -> pa.Table:
        """The groups as an Arrow table."""
        return self._groups.drop_columns(["silent", "group_key", "answers"])

    def df(self) -> "pd.DataFrame":
        """The groups as a pandas data frame; pandas must be installed."""
        return self.arrow().to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """The first 50 groups, the levels, and pass@1 of each policy, as values of JSON."""
        return {
            "groups": len(self),
            "samples": self.n_samples,
            "levels": self.levels,
            "policies": [
                {**policy, "pass_at_1": one.pass_at(1).to_dict()}
                for policy, one in zip(self.policies, self.by_policy(), strict=True)
            ],
            "data": self.arrow().slice(0, _LISTED).to_pylist(),
        }

    @property
    def levels(self) -> dict[str, int]:
        """How many groups are of each level, of those that occur."""
        found = self._groups["level"].to_pylist()
        return {level: n for level in LEVELS if (n := found.count(level))}

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return group_facts(self)

    @property
    def _tables(self) -> list[render.Shown]:
        return [policy_table(self), group_table(self)]

    def __len__(self) -> int:
        return len(self._groups)

    def __repr__(self) -> str:
        return f"<Groups: {len(self):,} of {self.n_samples:,} samples>"


def _in_order(policy: tuple[str | None, ...]) -> list[tuple[tuple[int, int, str], ...]]:
    """Numbers in a name of a source, model or step are compared as numbers."""
    parts = [re.findall(r"[0-9]+|[^0-9]+", name or "") for name in policy]
    return [
        tuple((0, int(one), "") if one.isdecimal() and one.isascii() else (1, 0, one) for one in of) for of in parts
    ]


def groups(session: Access, filters: Filters, by: Any, get_page: Callable[..., Page]) -> Groups:
    """The groups of the traces that pass the filters; `by` as in `TraceStore.groups`."""
    names = _checked(by)
    # The policy separates the groups, and does not tell their prompts apart.
    key = ", ".join(_OWN if by is None else (_BY[name] for name in names if name not in POLICY_FIELDS))
    samples = pa.Table.from_batches(scan(session, _SAMPLE.format(key=key), filters, newest_first=False))
    shown = (*POLICY_FIELDS, *(name for name in names if name not in POLICY_FIELDS))
    fields = ", ".join(f"left({'preview' if name == 'prompt' else _BY[name]}, 200) as {name}" for name in shown)
    with session.cursor() as cursor:
        cursor.register("samples", samples)
        grouped = cursor.sql(_GROUPED, params=["answer"]).to_arrow_table()
        cursor.register("grouped", grouped)
        try:
            of_group = cursor.sql(_SHOWN_FIELDS.format(fields=fields)).to_arrow_table()
            answers = cursor.sql(_SHOWN_ANSWERS, params=["answer"]).to_arrow_table()
        finally:
            cursor.unregister("samples")
            cursor.unregister("grouped")
    return Groups(_with_texts(grouped, of_group, answers, shown), shown, get_page)


def _checked(by: Any) -> tuple[str, ...]:
    if by is None:
        return _OWN_SHOWN
    names = (by,) if isinstance(by, str) else tuple(by) if isinstance(by, list | tuple) else ()
    if not names or any(not isinstance(name, str) or name not in _BY for name in names):
        raise QueryInvalid(f"by={short(by)}: must be one or several of {', '.join(_BY)}")
    return tuple(dict.fromkeys(names))


def _with_texts(grouped: pa.Table, of_group: pa.Table, answers: pa.Table, shown: Sequence[str]) -> pa.Table:
    """The groups with the texts to show, from one trace of each; None where it was deleted meanwhile."""
    fields = {row.pop("id"): row for row in of_group.to_pylist()}
    texts = {row["id"]: row["answer"] for row in answers.to_pylist()}
    firsts = [ids[0] for ids in grouped["ids"].to_pylist()]
    columns = {name: pa.array([fields.get(one, {}).get(name) for one in firsts], pa.string()) for name in shown}
    majority = pa.array([texts.get(one) for one in grouped["majority_id"].to_pylist()], pa.string())
    votes, answered = grouped["majority_votes"].to_pylist(), grouped["answered"].to_pylist()
    agreement = pa.array([n / of if n and of else None for n, of in zip(votes, answered, strict=True)], pa.float64())
    columns |= {
        name: grouped[name]
        for name in ("samples", "judged", "correct", "answered", "silent", "majority_votes", "majority_correct")
    }
    columns |= {"majority": majority, "agreement": agreement}
    columns |= {name: grouped[name] for name in ("reward", "reward_spread", "level", "ids", "verdicts")}
    columns |= {name: grouped[name] for name in ("group_key", "answers")}
    table = pa.table(columns)
    policies = list(zip(*(table[name].to_pylist() for name in POLICY_FIELDS), strict=True))
    rank = {one: at for at, one in enumerate(sorted(set(policies), key=_in_order))}
    # Stable, so that the hardest stay first.
    return table.take(pa.array(sorted(range(len(policies)), key=lambda at: rank[policies[at]]), pa.int64()))
