"""The flags that need the whole set: near-copies across prompts and within a group, and outliers of length."""

import json
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa

from tunix_rt.store.engine.access import Access
from tunix_rt.store.filters import Filters
from tunix_rt.store.progress_bar import Progress, show_progress
from tunix_rt.store.query.scan import scan, scan_with
from tunix_rt.store.scores.facts import ScoreKey
from tunix_rt.store.scores.near_copies import NearCopies, shingled, sketches
from tunix_rt.store.scores.policy import NAMED_GROUP, POLICY
from tunix_rt.store.scores.run import ScoreReport

_VERSION = "1"
# Near-copies share at least this part of their 3-word shingles.
_THRESHOLD = 0.8
# The modified z-score of Iglewicz and Hoaglin (1993), over the logarithms: lengths are skewed.
_MOST_DEVIATION = 3.5
# A quarter of what a scan reads together: of texts of 2 kB it takes 100 MB less.
_TEXTS_TOGETHER = 8_192
# Of fewer lengths the median deviation says little.
_FEWEST_LENGTHS = 20

# The model's own words: the prompt is the same for all samples of a group.
_TEXT = "array_to_string(list_transform(steps, lambda s: s.content), chr(10)) || chr(10) || coalesce(final_answer, '')"
_PROMPT = f"{NAMED_GROUP}, prompt, meta ->> '$.system'"
_TEXTS = f'id, hash(prompt) as prompt, hash({POLICY}, {_PROMPT}) as "group", {_TEXT} as text'
_LENGTHS = "id, hash(source, meta ->> '$.model') as policy, n_chars - length(prompt) as chars"

_OUTLIERS = f"""
with logged as (select id, policy, chars, ln(chars + 1) as log from lengths),
medians as (select policy, median(log) as middle, count(*) as n from logged group by policy),
spread as (
    select policy, middle, n, median(abs(log - middle)) as mad
    from logged
    join medians using (policy)
    group by all
)
select
    id,
    json_object('chars', chars, 'median', round(exp(middle) - 1)::bigint, 'unit', 'characters')::varchar as metadata
from logged
join spread using (policy)
where n >= {_FEWEST_LENGTHS} and mad > 0 and abs(log - middle) / (1.4826 * mad) > {_MOST_DEVIATION}
"""
_COPIES = """
select
    id,
    json_object('other', nearest::varchar, 'similarity', round(similarity, 3), 'measure', 'jaccard of 3 words')::varchar
        as metadata
from copies
where inside = ?
"""

# One score for each trace of the population that has none under this key; those deleted meanwhile have gone.
_STORE = """
insert into store.scores
select ?, ?, ?, traces.created_at, traces.id, null, 0, (flagged.id is not null)::double, null, null, null, null,
    flagged.metadata::json, now()
from population
join traces on traces.id = population.id and traces.created_at = population.created_at
left join flagged on flagged.id = population.id
where not exists (
    from scores
    where scorer = ? and version = ? and params = ? and trace_id = population.id and step is null
)
"""
_N_SCORED = "select count(distinct trace_id) from scores where scorer = ? and version = ? and params = ?"


def flag_set(session: Access, names: Sequence[str], filters: Filters, progress: Progress) -> Iterator[ScoreReport]:
    """Computes these of SET_FLAGS over the traces that pass the filters, and stores them; a report for each.

    `duplicate`: at least 0.8 of the 3-word shingles of steps and answer are those of an earlier trace with another
    prompt; `same_in_group`: of one with the same prompt, system text and policy; `length_outlier`: the characters of
    steps and answer are far from the median of the source and model (modified z-score over 3.5, of 20 traces or more).
    The parameters name the set by a digest, so that another set is computed anew.
    """
    session.refuse_read_only()
    begun = time.monotonic()
    population = pa.Table.from_batches(scan(session, "id, created_at", filters, newest_first=False))
    digest = _digest(session, population)
    keys = {name: ScoreKey(name, _VERSION, _params(name, digest)) for name in names}
    # Comparing takes long, and what is stored of the same set stays so.
    new = [name for name, key in keys.items() if _n_scored(session, key) < len(population)]
    flagged = {"length_outlier": _outliers(session, filters)} if "length_outlier" in new else {}
    if copies := [name for name in new if name != "length_outlier"]:
        flagged |= _copies(session, copies, filters, len(population), progress)
    for name, key in keys.items():
        scored = _store(session, key, population, flagged[name]) if name in flagged else 0
        seconds = time.monotonic() - begun
        yield ScoreReport(*key, scored=scored, already_scored=len(population) - scored, seconds=seconds)
        begun = time.monotonic()


def _params(name: str, digest: str) -> str:
    threshold = _MOST_DEVIATION if name == "length_outlier" else _THRESHOLD
    return json.dumps({"population": digest, "threshold": threshold}, separators=(",", ":"))


def _n_scored(session: Access, key: ScoreKey) -> int:
    with session.cursor() as cursor:
        return int(cursor.execute(_N_SCORED, list(key)).fetchall()[0][0])


def _store(session: Access, key: ScoreKey, population: pa.Table, flagged: pa.Table) -> int:
    with session.transaction(once=True) as cursor:
        cursor.register("population", population)
        cursor.register("flagged", flagged)
        try:
            return int(cursor.execute(_STORE, [*key, *key]).fetchall()[0][0])
        finally:
            cursor.unregister("population")
            cursor.unregister("flagged")


def _digest(session: Access, population: pa.Table) -> str:
    """Which traces are compared: their number, and a hash of their ids in any order."""
    with session.cursor() as cursor:
        cursor.register("population", population)
        try:
            query = "select coalesce(bit_xor(md5_number(id::varchar)), 0) from population"
            return f"{len(population)}:{cursor.execute(query).fetchall()[0][0]:032x}"
        finally:
            cursor.unregister("population")


def _outliers(session: Access, filters: Filters) -> pa.Table:
    lengths = pa.Table.from_batches(scan(session, _LENGTHS, filters, newest_first=False))
    with session.cursor() as cursor:
        cursor.register("lengths", lengths)
        try:
            return cursor.sql(_OUTLIERS).to_arrow_table()
        finally:
            cursor.unregister("lengths")


def _copies(
    session: Access, names: list[str], filters: Filters, n_traces: int, progress: Progress
) -> dict[str, pa.Table]:
    near = NearCopies(session.path)
    try:
        with show_progress(progress, 2 * n_traces, "comparing") as advance:
            for sketch in scan_with(session, sketches, _TEXTS, filters, advance=advance, rows=_TEXTS_TOGETHER):
                near.add(sketch)
            if near.pair():
                function = partial(shingled, near.wanted())
                select = f"id, {_TEXT} as text"
                for shingles in scan_with(
                    session,
                    function,
                    select,
                    filters,
                    advance=lambda n: advance(n_traces + n),
                    rows=_TEXTS_TOGETHER,
                ):
                    near.compare(shingles)
        copies = near.found(_THRESHOLD)
    finally:
        near.close()
    with session.cursor() as cursor:
        cursor.register("copies", copies)
        try:
            return {name: cursor.sql(_COPIES, params=[name == "same_in_group"]).to_arrow_table() for name in names}
        finally:
            cursor.unregister("copies")
