"""Preference pairs: within the samples of one prompt a right one against a wrong one."""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt.errors import MemoryLimitReached
from tunix_rt.formats.rows.tally import NO_ANSWER, NO_PARTNER, Tally
from tunix_rt.model import TraceRecord
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import RECORD_COLUMNS, TIME, to_record
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.scan import scan
from tunix_rt.store.scores.policy import NAMED_GROUP, POLICY, REWARD

# Read together. As Python strings they take four times their size in the file.
_CHUNK_PAIRS = 512
_CHUNK_BYTES = 32 * 2**20

# A group that the source names stands for prompt and system; still it never spans two prompts, as a pair has one.
_PROMPT = f"prompt, coalesce({NAMED_GROUP}, meta ->> '$.system')"
# A trace with a verdict is compared with verdicts, one that has only a reward with rewards.
_JUDGED = f"""
id::varchar as id,
{TIME} as moment,
n_chars + coalesce(strlen(meta), 0) as n_bytes,
coalesce(final_answer, '') <> '' as answered,
unhex(md5(json_array({{of_group}})::varchar)) as prompt_group,
json_type(meta, '$.correct') = 'BOOLEAN' as by_verdict,
case
    when json_type(meta, '$.correct') = 'BOOLEAN' then (meta ->> '$.correct')::boolean::double
    else {REWARD}
end as score
"""

# The best with the worst, the second with the last but one: no trace is in two pairs, and the pairs differ most.
_PAIRS = """
with ranked as (
    select
        *,
        coalesce(by_verdict, false) as kind,
        row_number() over (partition by prompt_group, kind order by score desc, moment, id) as best,
        row_number() over (partition by prompt_group, kind order by score, moment, id) as worst
    from judged
    where answered and score is not null
)
select
    chosen.id as chosen,
    rejected.id as rejected,
    least(chosen.moment, rejected.moment) as since,
    greatest(chosen.moment, rejected.moment) as until,
    chosen.n_bytes + rejected.n_bytes as n_bytes
from ranked as chosen
join ranked as rejected
    on chosen.prompt_group = rejected.prompt_group
    and chosen.kind = rejected.kind
    and chosen.best = rejected.worst
where chosen.score > rejected.score
order by chosen.moment, chosen.id
"""

_RECORDS = f"""
select {RECORD_COLUMNS}
from traces
where created_at between make_timestamptz(?::bigint) and make_timestamptz(?::bigint)
    and id in (select unnest(?::uuid[]))
"""


class _Pair(NamedTuple):
    chosen: str
    rejected: str
    since: int
    until: int
    n_bytes: int


def pairs(
    session: Access,
    filters: Filters,
    tally: Tally,
    advance: Callable[[int], object] = lambda _: None,
    *,
    across_policies: bool = False,
) -> Iterator[tuple[TraceRecord, TraceRecord]]:
    """Right and wrong samples of one prompt, the oldest right one first; each trace is in one pair at most.

    The traces of a group have the same prompt, the same system text or, where the source names one, the same
    `meta["group"]`, and are of one policy: source, model, and training step or policy version; `across_policies` pairs
    them whatever the policy. Right is `meta["correct"]` true against
    false; where there is no such verdict, the higher `meta["reward"]`. The k-th best is paired with the k-th worst, the
    older first among equals. It takes about 100 bytes of memory for each trace, and the texts of a chunk of pairs.
    `advance` is called with the number of traces that are done.
    """
    of_group = _PROMPT if across_policies else f"{POLICY}, {_PROMPT}"
    judged = pa.Table.from_batches(scan(session, _JUDGED.format(of_group=of_group), filters, newest_first=False))
    tally.traces += len(judged)
    with session.cursor() as cursor:
        cursor.register("judged", judged)
        try:
            found = cursor.sql(_PAIRS).to_arrow_table()
        finally:
            cursor.unregister("judged")
    n_answered = _count(judged["answered"])
    n_scored = _count(pc.and_(judged["answered"], pc.is_valid(judged["score"])))
    tally.left_out[NO_ANSWER] += len(judged) - n_answered
    tally.left_out["neither correct nor reward in its meta"] += n_answered - n_scored
    tally.left_out[NO_PARTNER] += n_scored - 2 * len(found)
    n_traces, n_done = len(judged), 0
    del judged
    for chunk in _chunks(found):
        advance(n_traces * n_done // len(found))
        n_done += len(chunk)
        there = _records(session, chunk)
        for pair in chunk:
            chosen, rejected = there.get(pair.chosen), there.get(pair.rejected)
            if chosen is None or rejected is None:
                tally.left_out["deleted meanwhile, or its partner was"] += 2
            else:
                yield chosen, rejected


def _count(flags: pa.ChunkedArray) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _chunks(found: pa.Table) -> Iterator[list[_Pair]]:
    """The pairs in runs whose texts are in memory together."""
    chunk: list[_Pair] = []
    held = 0
    for batch in found.to_batches(max_chunksize=_CHUNK_PAIRS):
        for pair in map(_Pair._make, zip(*(column.to_pylist() for column in batch.columns), strict=True)):
            if chunk and (len(chunk) == _CHUNK_PAIRS or held + pair.n_bytes > _CHUNK_BYTES):
                yield chunk
                chunk, held = [], 0
            chunk.append(pair)
            held += pair.n_bytes
    if chunk:
        yield chunk


def _records(session: Access, chunk: list[_Pair]) -> dict[str, TraceRecord]:
    """The traces of the pairs by their ids; where DuckDB has too little memory for all of them, half by half."""
    ids = [UUID(trace_id) for pair in chunk for trace_id in (pair.chosen, pair.rejected)]
    since, until = min(pair.since for pair in chunk), max(pair.until for pair in chunk)
    try:
        with session.cursor() as cursor:
            rows = cursor.execute(_RECORDS, [since, until, ids]).fetchall()
    except MemoryLimitReached:
        if len(chunk) == 1:
            raise
        middle = len(chunk) // 2
        return _records(session, chunk[:middle]) | _records(session, chunk[middle:])
    return {str(row[0]): to_record(row) for row in rows}
