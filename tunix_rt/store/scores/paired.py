"""Two selections compared prompt by prompt: on which one is better, by how much, and whether that can be chance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from tunix_rt import render
from tunix_rt.analysis.statistics import FEWEST, Estimate, mcnemar, mean, paired, wilson
from tunix_rt.store.engine.rows import TIME
from tunix_rt.store.filters import Condition, Filters
from tunix_rt.store.query.scan import scan
from tunix_rt.store.scores.agreement import of_meta, require_scores
from tunix_rt.store.scores.current import CURRENT_OF_TRACES
from tunix_rt.store.scores.labels import words_of
from tunix_rt.store.scores.policy import CORRECT, POLICY
from tunix_rt.store.selection import Selection

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 20
_LISTED = 50
_PROMPT = 60  # characters; more would claim a wide column
# Without a stored score of `answer`, what the data itself says counts, as in groups.
_OWN = "answer"

_SAMPLE = f"""
id::varchar as id,
{TIME} as moment,
md5(trim(prompt)) as prompt_key,
preview,
md5(json_array({POLICY})::varchar) as policy,
{{marked}} as marked
"""
_PROMPTS = f"""
with scored as ({CURRENT_OF_TRACES}),
valued as (
    select
        sample.*,
        coalesce(
            {{value}},
            case when lower(scored.label) in {{right}} then 1.0 when lower(scored.label) in {{wrong}} then 0.0 end,
            try_cast(marked as double)
        ) as value
    from samples as sample
    left join scored on scored.trace_id = sample.id::uuid
)
select
    prompt_key,
    min(preview) as preview,
    count(*) as samples,
    count(value) as judged,
    avg(value) as mean,
    coalesce(bool_and(value in (0, 1)), true) as binary,
    list(id order by value is null, moment desc, id desc) as ids,
    arg_min(id, (value, -moment, id)) filter (value is not null) as lowest,
    arg_max(id, (value, moment, id)) filter (value is not null) as highest
from valued
group by prompt_key
order by prompt_key
"""


class Prompt(NamedTuple):
    """A prompt that both sets have values for: the mean of each, `b` − `a`, how many samples, and their ids.

    The first ids are of the samples that differ most; the others are newest first, those without a value last.
    """

    prompt: str
    a: float
    b: float
    difference: float
    samples_a: int
    samples_b: int
    ids_a: list[str]
    ids_b: list[str]


@render.shows_summary
class SetComparison:
    """Two selections `a` and `b`, compared on the prompts that both have, by the mean value of each prompt's samples.

    `prompts` have a row for each, those with the largest difference first; `flips` are those that differ. `wins` is on
    how many `b` is better, `losses` on how many `a` is, `ties` the others. `mean_a`, `mean_b` and `difference` (b − a)
    are Estimates over the prompts; the interval of the difference is a paired bootstrap. Where each prompt has
    one sample in each, right or wrong, `mcnemar` is the p of McNemar's exact test, else None.

    `only_a` and `only_b` prompts are in one set, `without_value` in both, but without a value in one.
    """

    def __init__(self, a: Selection, b: Selection, scorer: str, tables: Sequence[list[dict[str, Any]]]) -> None:
        self.a, self.b, self.scorer = a, b, scorer
        self._n_policies = tuple(table[0]["policies"] if table else 0 for table in tables)
        of_a, of_b = ({row["prompt_key"]: row for row in table} for table in tables)
        both = [(of_a[key], of_b[key]) for key in of_a if key in of_b]
        self.only_a, self.only_b = len(of_a) - len(both), len(of_b) - len(both)
        judged = [(one, other) for one, other in both if one["judged"] and other["judged"]]
        self.without_value = len(both) - len(judged)
        self._values = tuple(sum(row["judged"] for row in table) for table in tables)
        rows = [_prompt(one, other) for one, other in judged]
        self.prompts = sorted(rows, key=lambda row: (-abs(row.difference), row.prompt, row.ids_a))
        self.flips = [row for row in self.prompts if row.difference]
        self.wins = sum(row.difference > 0 for row in rows)
        self.losses = sum(row.difference < 0 for row in rows)
        self.ties = len(rows) - self.wins - self.losses
        binary = all(row["binary"] for pair in judged for row in pair)
        single = binary and all(row["judged"] == 1 for pair in judged for row in pair)
        means: tuple[list[float | None], list[float | None]] = ([row.a for row in rows], [row.b for row in rows])
        self.mean_a, self.mean_b = (
            wilson(round(sum(one or 0 for one in values)), len(rows)) if single else mean(values) for values in means
        )
        self.difference: Estimate = paired(*means)
        self.mcnemar = mcnemar(self.losses, self.wins) if single and rows else None

    def to_dict(self) -> dict[str, Any]:
        """The counts, the estimates, and the first 50 flips, as values of JSON."""
        return {
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "scorer": self.scorer,
            "prompts": len(self.prompts),
            "only_a": self.only_a,
            "only_b": self.only_b,
            "without_value": self.without_value,
            "wins": self.wins,
            "losses": self.losses,
            "ties": self.ties,
            "mean_a": self.mean_a.to_dict(),
            "mean_b": self.mean_b.to_dict(),
            "difference": self.difference.to_dict(),
            "mcnemar": self.mcnemar,
            "flips": [row._asdict() for row in self.flips[:_LISTED]],
        }

    def arrow(self) -> pa.Table:
        """The prompts as an Arrow table."""
        columns = zip(*self.prompts, strict=True) if self.prompts else [()] * len(Prompt._fields)
        ids = pa.list_(pa.string())
        types = [pa.string(), *[pa.float64()] * 3, *[pa.int64()] * 2, ids, ids]
        return pa.table(
            {
                name: pa.array(list(values), type_)
                for name, values, type_ in zip(Prompt._fields, columns, types, strict=True)
            }
        )

    def df(self) -> "pd.DataFrame":
        """The prompts as a pandas data frame; pandas must be installed."""
        return self.arrow().to_pandas()

    @property
    def _facts(self) -> list[tuple[str, str]]:
        n = len(self.prompts)
        facts = [
            (name, f"{render.count(len(one), 'trace')}: {one.said}{_pooled(policies)}")
            for name, one, policies in zip("AB", (self.a, self.b), self._n_policies, strict=True)
        ]
        facts += [
            ("compared by", f"{self.scorer}, the mean of each prompt's samples"),
            ("prompts", f"{n:,} in both with values, {self.only_a:,} only in A, {self.only_b:,} only in B"),
        ]
        if self.without_value:
            facts.append(("left out", f"{render.count(self.without_value, 'prompt')} without a value in A or B"))
        if not n:
            return [*facts, ("to do", self._missing)]
        facts += [("mean of A", _said(self.mean_a)), ("mean of B", _said(self.mean_b))]
        facts.append(("B − A", _said(self.difference, sign="+")))
        facts.append(("B is better", f"on {self.wins:,}; worse on {self.losses:,}; equal on {self.ties:,}"))
        if self.mcnemar is not None:
            facts.append(("chance", f"p = {self.mcnemar:.2g} (McNemar's exact test, of the {len(self.flips):,} flips)"))
        return facts

    @property
    def _missing(self) -> str:
        """What to do where no prompt has values in both sets."""
        if self.only_a + self.only_b and not self.without_value:
            return "nothing to compare: the sets have no prompt in common; change the filters"
        lacking = [name for name, n in zip("AB", self._values, strict=True) if not n] or ["A", "B"]
        way = (
            f"load traces that have {self.scorer}"
            if self.scorer.startswith("meta.")
            else f"run store.score({self.scorer!r}) with the same filters"
        )
        return f"nothing to compare: no values in {' and '.join(lacking)}; {way}"

    @property
    def _tables(self) -> list[render.Shown]:
        flips = self.flips[:_SHOWN]
        ids = render.short_ids([one[:1] for row in flips for one in (row.ids_a, row.ids_b)])
        rows = [
            {
                "prompt": render.one_line(row.prompt, _PROMPT),
                "A": f"{row.a:.3g}",
                "B": f"{row.b:.3g}",
                "B − A": f"{row.difference:+.3g}",
                "samples": f"{row.samples_a:,}, {row.samples_b:,}",
                "trace of A": of_a,
                "trace of B": of_b,
            }
            for row, of_a, of_b in zip(flips, ids[::2], ids[1::2], strict=True)
        ]
        caption = render.count(len(self.flips), "prompt") + " on which they differ"
        if len(rows) < len(self.flips):
            caption = f"showing {len(rows)} of {caption}"
        caption += ", largest difference first · two traces step by step: store.compare(a, b) · as data: .df()"
        return [render.Shown.of(rows, len(self.flips), caption, right=("A", "B", "B − A", "samples"))]

    def __repr__(self) -> str:
        return f"<SetComparison on {render.count(len(self.prompts), 'prompt')}>"


def compare_sets(a: Selection, b: Selection, scorer: str) -> SetComparison:
    """Two selections, of one store or of two, compared; see `tunix_rt.compare`."""
    marked = f"({CORRECT})::double::varchar" if scorer == _OWN else of_meta(scorer, "compare")
    return SetComparison(a, b, scorer, [_by_prompt(one, scorer, marked) for one in (a, b)])


def _by_prompt(selection: Selection, scorer: str, marked: str) -> list[dict[str, Any]]:
    """A row for each prompt of a selection that has a text, with the number of policies of all."""
    session = selection.session
    if scorer != _OWN:
        with session.cursor() as cursor:
            require_scores(cursor, (scorer,), "compare")
    # Traces without a prompt are not samples of one.
    filters = Filters(ids=selection).also(Condition("trim(prompt) <> ''"))
    samples = pa.Table.from_batches(scan(session, _SAMPLE.format(marked=marked), filters, newest_first=False))
    value = "(scored.value > 0)::double" if scorer == _OWN else "scored.value"
    right, wrong = words_of(scorer)
    with session.cursor() as cursor:
        cursor.register("samples", samples)
        try:
            found = (
                cursor.sql(_PROMPTS.format(value=value, right=right, wrong=wrong), params=[scorer])
                .to_arrow_table()
                .to_pylist()
            )
        finally:
            cursor.unregister("samples")
    n_policies = len(samples["policy"].unique())
    return [{**row, "policies": n_policies} for row in found]


def _prompt(a: dict[str, Any], b: dict[str, Any]) -> Prompt:
    difference = b["mean"] - a["mean"]
    # Those that make the difference, to be compared step by step.
    first_a, first_b = ("lowest", "highest") if difference > 0 else ("highest", "lowest")
    ids = [
        [row[first], *(one for one in row["ids"] if one != row[first])] for row, first in ((a, first_a), (b, first_b))
    ]
    return Prompt(a["preview"], a["mean"], b["mean"], difference, a["judged"], b["judged"], *ids)


def _pooled(n_policies: int) -> str:
    return f" (of {n_policies:,} policies, taken together)" if n_policies > 1 else ""


def _said(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None:
        return "none"
    said = f"{estimate.value:{sign}.3f}"
    if estimate.n < FEWEST or estimate.low is None or estimate.high is None:
        return f"{said}, of too few prompts for an interval"
    return f"{said} (95 % interval {estimate.low:{sign}.3f} to {estimate.high:{sign}.3f})"
