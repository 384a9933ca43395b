"""The recorded runs of a training, and their steps: how much was rolled out, and what the rewards say."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import TIME
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.scan import scan
from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.scores.plots import Plot, plot_of_steps
from tunix_rt.store.scores.policy import NAMED_GROUP, REWARD
from tunix_rt.validation import short

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 50
_SAMPLE = f"""
meta ->> '$.run' as run,
meta ->> '$.mode' as mode,
coalesce(meta ->> '$.training_step', meta ->> '$.policy_version') as training_step,
source,
meta ->> '$.model' as model,
{TIME} as moment,
{REWARD} as reward,
coalesce(meta ->> '$.truncated' = 'true', false) as truncated,
hash(coalesce({NAMED_GROUP}, prompt || chr(0) || coalesce(meta ->> '$.system', ''))) as group_key
"""
# A group has something to say about its rewards from two of them on.
_STEPS = """
with grouped as (
    select
        run, mode, training_step,
        min(moment) as first,
        count(reward) as rewards,
        max(reward) - min(reward) as spread
    from samples
    where run is not null
    group by run, mode, training_step, group_key
),
of_groups as (
    select
        run, mode, training_step,
        count(*) filter (rewards > 1) as n_groups,
        count(*) filter (rewards > 1 and spread = 0) as n_same
    from grouped
    group by run, mode, training_step
),
of_step as (
    select
        run, mode, training_step,
        count(*) as rollouts,
        avg(reward) as reward,
        avg(truncated::int) as truncated
    from samples
    where run is not null
    group by run, mode, training_step
)
select s.*, g.n_groups as groups, g.n_same / nullif(g.n_groups, 0) as same_reward
from of_step s
join of_groups g
    on s.run = g.run and s.mode is not distinct from g.mode and s.training_step is not distinct from g.training_step
order by s.run, s.mode, try_cast(s.training_step as double), s.training_step
"""
_RUNS = """
with of_run as (
    select
        run, mode,
        string_agg(distinct source, ', ' order by source) as source,
        string_agg(distinct model, ', ' order by model) as model,
        make_timestamp(min(moment)) as first,
        make_timestamp(max(moment)) as last,
        count(distinct training_step) as steps,
        count(*) as rollouts,
        avg(reward) as reward,
        avg(truncated::int) as truncated
    from samples
    where run is not null
    group by run, mode
),
of_steps as (
    select run, mode, sum(groups * same_reward) / nullif(sum(groups), 0) as same_reward
    from steps
    group by run, mode
)
select r.*, same_reward
from of_run r
left join of_steps s on r.run = s.run and r.mode is not distinct from s.mode
order by max(r.last) over (partition by r.run) desc, r.run, r.mode desc nulls last
"""


@render.shows_summary
class Runs:
    """The recorded runs of a store, the newest first; training and evaluation of a run are rows of their own.

    `df()` and `arrow()` have for each: `run`, `mode`, `source`, `model`, `first` and `last` (UTC), `steps` (how many
    training steps have rollouts), `rollouts`, the mean `reward`, the share `truncated`, and `same_reward`: the share
    of groups, of those with two rewards or more, whose rewards are all equal, from which a policy learns nothing. A
    group is a prompt (or what the source names) in one step. `steps(run)` has the same for each
    step, and `plot()` draws them.
    """

    def __init__(self, runs: pa.Table, steps: pa.Table) -> None:
        self._runs = runs
        self._steps = steps

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the runs, the newest first."""
        return tuple(dict.fromkeys(self._runs["run"].to_pylist()))

    def steps(self, run: str | None = None) -> SqlResult:
        """The steps of a run, or of all, in their order; QueryInvalid for a run that is not there."""
        if run is not None and run not in self.names:
            raise QueryInvalid(f"run {short(run)} is not among the recorded runs; there are {short(list(self.names))}")
        chosen = [run is None or name == run for name in self._steps["run"].to_pylist()]
        table = self._steps.filter(pa.array(chosen, pa.bool_()))
        return SqlResult(table, tuple("VARCHAR" if pa.types.is_string(one) else "DOUBLE" for one in table.schema.types))

    def plot(self, of: str = "reward") -> Plot:
        """A picture over the training steps, with a line for each mode of a run: needs matplotlib.

        `of` is "reward" (the mean), "truncated" (the share of rollouts), or "same_reward" (the share of groups without
        variance). Up to six lines, of the newest runs. Raises QueryInvalid for another, and without matplotlib.
        """
        return plot_of_steps(self._steps, self.names, of)

    def arrow(self) -> pa.Table:
        """The runs as an Arrow table."""
        return self._runs

    def df(self) -> "pd.DataFrame":
        """The runs as a pandas data frame; pandas must be installed."""
        return self._runs.to_pandas()

    def to_dict(self) -> dict[str, Any]:
        """The first 50 rows as values of JSON."""
        rows = self._runs.slice(0, _SHOWN).to_pylist()
        times = ("first", "last")
        return {"runs": len(self.names), "data": [row | {key: row[key].isoformat() for key in times} for row in rows]}

    @property
    def _facts(self) -> list[tuple[str, str]]:
        rollouts = sum(self._runs["rollouts"].to_pylist())
        return [("runs", f"{len(self.names):,} with {render.count(rollouts, 'rollout')}")]

    @property
    def _tables(self) -> list[render.Shown]:
        shares = ("truncated", "same_reward")
        rows = [
            {"run": row["run"], "mode": row["mode"], "model": row["model"], "last": f"{row['last']:%Y-%m-%d %H:%M:%S}"}
            | {"steps": row["steps"], "rollouts": row["rollouts"]}
            | {"reward": None if row["reward"] is None else f"{row['reward']:.3g}"}
            | {key.replace("_", " "): None if row[key] is None else f"{row[key]:.0%}" for key in shares}
            for row in self._runs.slice(0, _SHOWN).to_pylist()
        ]
        caption = f"{render.count(len(self), 'row')}, newest run first · same reward: groups without variance"
        if len(rows) < len(self):
            caption = f"showing {len(rows)} of {caption}"
        caption += " · steps of one: .steps(run) · as data: .df()"
        return [render.Shown.of(rows, len(self), caption, right=("reward", "truncated", "same reward"))]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<Runs: {len(self.names):,} of {sum(self._runs['rollouts'].to_pylist()):,} rollouts>"


def runs(session: Access, filters: Filters) -> Runs:
    """The runs of the traces that pass the filters; see `TraceStore.runs`."""
    samples = pa.Table.from_batches(scan(session, _SAMPLE, filters, newest_first=False))
    with session.cursor() as cursor:
        cursor.register("samples", samples)
        try:
            steps = cursor.sql(_STEPS).to_arrow_table()
            cursor.register("steps", steps)
            return Runs(cursor.sql(_RUNS).to_arrow_table(), steps)
        finally:
            cursor.unregister("samples")
            cursor.unregister("steps")
