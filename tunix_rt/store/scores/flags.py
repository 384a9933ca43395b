"""Flags: scores with yes and no, and the report of what to look at first."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tunix_rt import render
from tunix_rt.analysis.statistics import FEWEST, wilson
from tunix_rt.store.engine.access import Access
from tunix_rt.store.filters import Filters
from tunix_rt.store.progress_bar import Progress
from tunix_rt.store.query.page import Search
from tunix_rt.store.score_filter import scorer_names
from tunix_rt.store.scores.flag_set import flag_set
from tunix_rt.store.scores.run import ScoreReport, run
from tunix_rt.store.scores.scorers import ALL_FLAGS, SET_FLAGS, scoring_of

_QUERY = """
select
    scorer,
    count(*) filter (score.value = 1) as n,
    count(score.value) as looked_at,
    count(*) - count(score.value) as undecided,
    coalesce(arg_max(id::varchar, created_at, 3) filter (score.value = 1), []) as examples
from (
    select
        scorer, id, any_value(created_at) as created_at,
        arg_max(struct_pack(value := value), (scored_at, sample)) as score
    from (select trace_id as id, * from scores)
    where step is null and scorer in (select unnest(?::varchar[])) and id in (select id from traces{clause})
    group by scorer, id
)
group by scorer
"""


@dataclass(frozen=True)
class FlagCount:
    """A flag: `count` traces have it, of those `looked_at`; of `undecided` ones it says nothing.

    `share` is between `low` and `high` (a 95 % Wilson interval); None where fewer than five were looked at. `examples`
    are the ids of up to three traces that have it, the newest first.
    """

    flag: str
    count: int
    looked_at: int
    undecided: int
    share: float | None
    low: float | None
    high: float | None
    examples: tuple[str, ...]


@render.shows_summary
@dataclass(frozen=True)
class FlagReport:
    """What to look at first: `flags`, the most frequent first, over the `n_traces` that passed the filters.

    After `TraceStore.flag`, `runs` are the reports of scoring.
    """

    n_traces: int
    flags: tuple[FlagCount, ...]
    runs: tuple[ScoreReport, ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {
            "n_traces": self.n_traces,
            "flags": [asdict(one) | {"examples": list(one.examples)} for one in self.flags],
        }

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return []

    @property
    def _tables(self) -> list[render.Shown]:
        rows = [
            {
                "flag": one.flag,
                "traces": one.count,
                "of": one.looked_at,
                "share": None if one.share is None else f"{one.share:.1%}",
                "95 % interval": None if one.low is None or one.high is None else f"{100 * one.low:.1f}–{one.high:.1%}",
                "undecided": one.undecided,
                "newest": ids,
            }
            for one, ids in zip(self.flags, render.short_ids([one.examples for one in self.flags]), strict=True)
        ]
        caption = f"{render.count(len(rows), 'flag')} over {render.count(self.n_traces, 'trace')}"
        return [render.Shown.of(rows, len(rows), caption, right=("share", "95 % interval"))]


def flag(session: Access, names: Sequence[str], filters: Filters, *, progress: Progress) -> FlagReport:
    """Runs flags; see `TraceStore.flag`."""
    names = list(dict.fromkeys(names or ALL_FLAGS))
    scorings = [scoring_of(name, name=None, version=None, params=None) for name in names if name not in SET_FLAGS]
    runs = [run(session, scoring, filters, progress=progress) for scoring in scorings]
    if of_sets := [name for name in names if name in SET_FLAGS]:
        runs += flag_set(session, of_sets, filters, progress)
    report = flag_report(session, names, filters)
    return FlagReport(report.n_traces, report.flags, tuple(runs))


def flag_report(session: Access, names: Sequence[str], filters: Filters) -> FlagReport:
    """The counts of flags, the most frequent first; see `TraceStore.flags`."""
    names = scorer_names("flags", names or ALL_FLAGS)
    clause, values = filters.clause()
    with session.cursor() as cursor, filters.query_errors(cursor, session.path):
        n_traces = Search(cursor, session.time_index(cursor), filters).count()
        rows = cursor.execute(_QUERY.format(clause=clause), [names, *values]).fetchall()
    found = {row[0]: row[1:] for row in rows}
    counts = [_counted(name, *found.get(name, (0, 0, 0, []))) for name in dict.fromkeys(names)]
    return FlagReport(n_traces, tuple(sorted(counts, key=lambda one: (-one.count, -one.looked_at))))


def _counted(name: str, n: int, looked_at: int, undecided: int, examples: list[str]) -> FlagCount:
    share = wilson(n, looked_at)
    value = share.value if looked_at >= FEWEST else None
    return FlagCount(name, n, looked_at, undecided, value, share.low, share.high, tuple(examples))
