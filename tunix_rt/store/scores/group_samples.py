"""What a list of groups shows of their samples, a page at a time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.scores.policy import REWARD
from tunix_rt.store.scores.scorers import ALL_FLAGS

# Of an answer or its beginning; a page of groups has hundreds.
_CHARS = 80
_SAMPLES = f"""
with said as (
    select trace_id, scorer, arg_max(struct_pack(value := value), (scored_at, sample)) as said
    from scores
    where step is null and scorer in (select unnest(?::varchar[])) and trace_id in (select unnest(?::uuid[]))
    group by trace_id, scorer
),
flagged as (
    select trace_id, list(scorer order by scorer) as flags from said where said.value > 0 group by trace_id
)
select
    traces.id::varchar as id, left(trim(final_answer), {_CHARS}) as answer, {REWARD} as reward,
    coalesce(flags, []) as flags
from traces left join flagged on flagged.trace_id = traces.id
where traces.id in (select unnest(?::uuid[]))
"""


class Sample(NamedTuple):
    """A sample in a list: the beginning of its answer, its reward, and its raised flags."""

    answer: str | None
    reward: float | None
    flags: list[str]


def samples(sql: Callable[..., SqlResult], ids: Sequence[str]) -> dict[str, Sample]:
    """The samples with these ids that are still stored, by `store.sql`; of 320 among 120,000 it takes 10 to 30 ms."""
    rows = sql(_SAMPLES, list(ALL_FLAGS), list(ids), list(ids)).arrow().to_pylist() if ids else ()
    return {row.pop("id"): Sample(**row) for row in rows}
