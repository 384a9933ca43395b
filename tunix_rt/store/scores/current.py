"""The current scores: of each trace (or step) and scorer the newest; of a selection, of a page, of one trace."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any
from uuid import UUID

import duckdb
from pydantic_core import from_json

from tunix_rt.analysis.answers import expected_answer
from tunix_rt.model import PREVIEW_CHARS, CurrentScore, ScoreSummary, TraceRecord, TraceSummary
from tunix_rt.render.characters import one_line
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.statement import interruptible, parsed
from tunix_rt.store.filters import Filters
from tunix_rt.store.meta_filter import pointers
from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.score_filter import scorer_names
from tunix_rt.store.scores.scorers import ALL_FLAGS

_CURRENT = """
select
    trace_id, created_at, step, scorer, version, params, sample,
    value, label, answer, explanation, reason, metadata, scored_at
from scores
where (? or scorer in (select unnest(?::varchar[]))) and trace_id in (select id from traces{clause})
qualify row_number() over (partition by trace_id, step, scorer order by scored_at desc, sample desc) = 1
order by created_at desc, trace_id desc, scorer, step
"""

# Those of complete traces by one scorer.
CURRENT_OF_TRACES = """
select trace_id, unnest(arg_max(struct_pack(value := value, label := label, answer := answer), (scored_at, sample)))
from scores
where scorer = ? and step is null
group by trace_id
"""

# By the times of the traces, and not only by their ids: DuckDB skips the row groups of other times, and of 2,000,000
# scores a page reads 80 in 3 ms, or, where its traces are far apart, in 7.
_AMONG = """
created_at >= ?::timestamptz and created_at <= ?::timestamptz
and created_at in (select unnest(?::timestamptz[])) and {} in (select unnest(?::uuid[]))
"""
# The scores that every list shows: the verdict, and the flags.
ALL_SHOWN = ("answer", *ALL_FLAGS)
FACTS = ("correct", "reward", "model", "training_step", "truncated", "expected_answer")
_OF_A_PAGE = f"""
select t.id, facts, scorer, said
from (
    select id, json_extract(meta, ?::varchar[]) as facts from traces where {_AMONG.format("id")}
) as t
left join (
    select
        trace_id, scorer,
        arg_max(struct_pack(value := value, label := label, reason := reason), (scored_at, sample)) as said
    from scores
    where {_AMONG.format("trace_id")} and step is null and scorer in (select unnest(?::varchar[]))
    group by trace_id, scorer
) on trace_id = t.id
"""
_OF_ONE_TRACE = """
select scorer, value, label, reason, answer, explanation, metadata::varchar
from scores
where created_at = ? and trace_id = ? and step is null
order by scorer, scored_at, sample
"""
# A solution is read for the answer that it states; what is longer is of no use in a row.
_MOST_FACT_CHARS = 50_000


def with_scores(
    cursor: duckdb.DuckDBPyConnection,
    summaries: Sequence[TraceSummary],
    scorers: Iterable[str],
    keys: Iterable[str] = (),
) -> tuple[TraceSummary, ...]:
    """The summaries with their current scores by these scorers, and with what their meta says of them; in one query.

    `keys` are further keys of meta, whose values are then among the facts; an array or an object as JSON.
    """
    if not summaries:
        return ()
    times = [one.created_at for one in summaries]
    among = [min(times), max(times), times, [one.id for one in summaries]]
    facts: dict[UUID, dict[str, Any]] = {}
    scores: dict[UUID, dict[str, ScoreSummary]] = {one.id: {} for one in summaries}
    paths = {name: [f"/{name}"] for name in FACTS} | {key: pointers(key) for key in keys if key not in FACTS}
    values = [list(chain.from_iterable(paths.values())), *among, *among, list(scorers)]
    for trace_id, known, scorer, said in cursor.execute(parsed(cursor, _OF_A_PAGE), values).fetchall():
        if trace_id not in facts:
            facts[trace_id] = _facts(known, paths)
        if scorer is not None:
            scores[trace_id][scorer] = ScoreSummary(**said, flag=scorer in ALL_FLAGS)
    return tuple(
        one.model_copy(
            update={
                "facts": facts.get(one.id, {}),
                "scores": {name: scores[one.id][name] for name in sorted(scores[one.id])},
            }
        )
        for one in summaries
    )


def judged(
    session: Access, summaries: Sequence[TraceSummary], *, scorers: Sequence[str], keys: Sequence[str]
) -> tuple[TraceSummary, ...]:
    """The same, of a page that is shown some time after it was read."""
    with session.cursor(reusable=True) as cursor, Filters().query_errors(cursor, session.path):
        return with_scores(cursor, summaries, scorers, keys)


def _facts(known: list[str | None] | None, paths: Mapping[str, list[str]]) -> dict[str, bool | int | float | str]:
    """What a list shows of a meta, from its JSON texts: nothing long, and of what was not asked for no containers."""
    facts: dict[str, bool | int | float | str] = {}
    texts = iter(known or ())
    for name, tried in paths.items():
        text = next(filter(None, [next(texts, None) for _ in tried]), None)
        if text is None or len(text) > _MOST_FACT_CHARS:
            continue
        value = from_json(text)
        if name == "expected_answer":
            value = expected_answer({name: value})
        elif isinstance(value, list | dict) and name not in FACTS:
            value = text
        if isinstance(value, str):
            value = one_line(value, PREVIEW_CHARS)
        if isinstance(value, bool | int | float | str) and value != "":
            facts[name] = value
    return facts


def with_its_scores(cursor: duckdb.DuckDBPyConnection, record: TraceRecord) -> TraceRecord:
    """The stored trace with its current scores, by all scorers, and their evidence."""
    rows = cursor.execute(parsed(cursor, _OF_ONE_TRACE), [record.created_at, record.id]).fetchall()
    # The newest of a scorer is the last of it: DuckDB takes three times as long to choose it.
    names = ("value", "label", "reason", "answer", "explanation", "metadata")
    scores = {
        scorer: CurrentScore(
            **dict(zip(names, (*said, metadata and from_json(metadata)), strict=True)), flag=scorer in ALL_FLAGS
        )
        for scorer, *said, metadata in rows
    }
    return record.model_copy(update={"scores": scores}) if scores else record


def current_scores(session: Access, scorers: Sequence[str], filters: Filters) -> SqlResult:
    """The current scores of the selected traces; see `TraceStore.scores`."""
    names = scorer_names("scores", scorers)
    clause, values = filters.clause()
    with session.cursor() as cursor, filters.query_errors(cursor, session.path), interruptible():
        relation = cursor.sql(_CURRENT.format(clause=clause), params=[not names, names, *values])
        return SqlResult(relation.to_arrow_table(), tuple(map(str, relation.types)))
