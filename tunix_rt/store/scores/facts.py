"""Scores as rows of the table `scores`: they are only added, once under each key, and deleted with their trace."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import BETWEEN, uuids
from tunix_rt.store.filters import Condition

_COLUMNS = pa.schema(
    {
        "created_at": pa.int64(),
        "trace_id": pa.string(),
        "step": pa.int32(),
        "sample": pa.int32(),
        "value": pa.float64(),
        "label": pa.string(),
        "answer": pa.string(),
        "explanation": pa.string(),
        "reason": pa.string(),
        "metadata": pa.string(),
    }
)
_REST = _COLUMNS.names[2:]
# Inside the transaction that looks: another process may have scored a trace since it was read, or deleted it.
_INSERT = """
insert into store.scores
select
    $scorer, $version, $params, created, trace_id, step, sample,
    value, label, answer, explanation, reason, metadata, make_timestamptz($scored_at::bigint)
from (select * exclude (created_at, trace_id), make_timestamptz(created_at) as created, trace_id::uuid as trace_id
      from incoming_scores) as new
where trace_id in (
    select id from traces
    where created_at >= make_timestamptz($since::bigint) and created_at <= make_timestamptz($until::bigint)
) and not exists (
    select 1 from scores as old
    where old.created_at >= make_timestamptz($since::bigint) and old.created_at <= make_timestamptz($until::bigint)
    and old.scorer = $scorer and old.version = $version and old.params = $params
    and old.trace_id = new.trace_id and old.step is not distinct from new.step and old.sample = new.sample
)
order by created, trace_id
returning reason
"""
_INSERT_CARRIED = """
insert into store.scores
select
    scorer, version, params, make_timestamptz(created_at), trace_id, step, sample,
    value, label, answer, explanation, reason, metadata, make_timestamptz(scored_at)
from incoming_scores as new
where not exists (
    select 1 from scores as old
    where old.created_at >= make_timestamptz($since::bigint) and old.created_at <= make_timestamptz($until::bigint)
    and old.trace_id = new.trace_id and old.scorer = new.scorer and old.version = new.version
    and old.params = new.params and old.step is not distinct from new.step and old.sample = new.sample
)
"""
# `sample` counts what one person has said of one thing: what was said elsewhere, under a number that is taken here,
# gets the next one. Which label it is, its time says.
_INSERT_LABELS = """
insert into store.scores
select
    scorer, version, params, make_timestamptz(created_at), trace_id, step,
    most + row_number() over (partition by trace_id, scorer, version, params, step order by scored_at, sample),
    value, label, answer, explanation, reason, metadata, make_timestamptz(scored_at)
from incoming_scores as new
join (
    select trace_id, scorer, version, params, coalesce(step, -1) as at, max(sample) as most from scores
    where created_at >= make_timestamptz($since::bigint) and created_at <= make_timestamptz($until::bigint)
    group by all
) as taken using (trace_id, scorer, version, params)
where taken.at = coalesce(new.step, -1) and not exists (
    select 1 from scores as old
    where old.created_at >= make_timestamptz($since::bigint) and old.created_at <= make_timestamptz($until::bigint)
    and old.trace_id = new.trace_id and old.scorer = new.scorer and old.version = new.version
    and old.params = new.params and old.step is not distinct from new.step
    and old.scored_at = make_timestamptz(new.scored_at)
)
"""
LABEL_PREFIX = "label:"
_KEPT = """
id {} (
    select id from (
        select trace_id as id, created_at from scores
        where scorer = ? and version = ? and params = ? and step is null and sample = 0
    ){{bounds}}
)
"""
_DELETE = """
delete from scores where trace_id not in (select id from traces{bounds}){further}
"""


class ScoreKey(NamedTuple):
    """What scores are kept under, beside the trace: the scorer, its version, and its parameters as canonical JSON."""

    scorer: str
    version: str
    params: str

    def kept(self, *, there: bool) -> Condition:
        """The condition that a trace has a score under this key, or none."""
        return Condition(_KEPT.format("in" if there else "not in"), tuple(self), bounded=True)


class NewScore(NamedTuple):
    """A score about to be stored; `created_at` is the trace's, in microseconds since 1970, `metadata` JSON or None."""

    created_at: int
    trace_id: str
    step: int | None
    sample: int
    value: float | None
    label: str | None
    answer: str | None
    explanation: str | None
    reason: str | None
    metadata: str | None


def insert_scores(session: Access, key: ScoreKey, scores: Sequence[NewScore]) -> list[str | None]:
    """Stores, in one transaction, those that are not there yet and whose trace is; returns their reasons."""
    columns = list(map(list, zip(*scores, strict=True)))
    arrays = [pa.array(values, kind) for values, kind in zip(columns, _COLUMNS.types, strict=True)]
    values = key._asdict() | {
        "since": min(columns[0]),
        "until": max(columns[0]),
        "scored_at": _now(),
    }
    with session.transaction(once=True) as cursor:
        cursor.register("incoming_scores", pa.table(arrays, schema=_COLUMNS))
        return [reason for (reason,) in cursor.execute(_INSERT, values).fetchall()]


class CarriedScore(NamedTuple):
    """A score that was scored elsewhere: its key, its other fields as in `NewScore`, and when it was scored.

    `scored_at` is in microseconds since 1970, None for now.
    """

    key: ScoreKey
    step: int | None
    sample: int
    value: float | None
    label: str | None
    answer: str | None
    explanation: str | None
    reason: str | None
    metadata: str | None
    scored_at: int | None


def insert_carried(cursor: duckdb.DuckDBPyConnection, found: Iterable[tuple[bytes, int, CarriedScore]]) -> int:
    """Stores those that are not there yet, of several with one key the first, and returns how many.

    Labels are there if one of the same time is. Each comes with the id and the time of its trace, which is there.
    """
    now = _now()
    scores: dict[Any, tuple[bytes, int, CarriedScore]] = {}
    labels: dict[Any, tuple[bytes, int, CarriedScore]] = {}
    for one in found:
        trace_id, _, score = one
        scores.setdefault((trace_id, score[:3]), one)
        if score.key.scorer.startswith(LABEL_PREFIX) and score.scored_at is not None:
            labels.setdefault((trace_id, score[:2], score.scored_at), one)
    n_stored = _insert(cursor, _INSERT_CARRIED, _rows(scores.values(), now))
    return n_stored + _insert(cursor, _INSERT_LABELS, _rows(labels.values(), now))


def insert_carried_rows(rows: pa.Table, cursor: duckdb.DuckDBPyConnection) -> int:
    """The same of scores as rows of the table `scores`, of which no two have one key, with times in microseconds."""
    rows = rows.sort_by("created_at")
    labels = rows.filter(pc.starts_with(rows["scorer"], LABEL_PREFIX))
    return _insert(cursor, _INSERT_CARRIED, rows) + _insert(cursor, _INSERT_LABELS, labels)


def _rows(found: Collection[tuple[bytes, int, CarriedScore]], now: int) -> pa.Table:
    """The scores as rows, in the order of time, as the rows of the traces are."""
    if not found:
        return pa.table({"created_at": []})
    ids, times, scores = map(list, zip(*sorted(found, key=itemgetter(1)), strict=True))
    keys, *rest, scored_at = map(list, zip(*scores, strict=True))
    columns = dict(zip(ScoreKey._fields, map(list, zip(*keys, strict=True)), strict=True))
    columns |= {name: pa.array(values, _COLUMNS.field(name).type) for name, values in zip(_REST, rest, strict=True)}
    columns["created_at"] = pa.array(times, pa.int64())
    columns["trace_id"] = uuids(ids)
    columns["scored_at"] = pa.array([now if time is None else time for time in scored_at], pa.int64())
    return pa.table(columns)


def _insert(cursor: duckdb.DuckDBPyConnection, query: str, rows: pa.Table) -> int:
    if not len(rows):
        return 0
    times = rows["created_at"]
    cursor.register("incoming_scores", rows)
    return int(cursor.execute(query, {"since": times[0].as_py(), "until": times[-1].as_py()}).fetchall()[0][0])


def _now() -> int:
    return round(datetime.now(UTC).timestamp() * 1_000_000)


def delete_orphans(cursor: duckdb.DuckDBPyConnection, since: int | None = None, until: int | None = None) -> None:
    """Deletes the scores of traces that are gone, of those created between two times in microseconds since 1970."""
    if cursor.execute("select 1 from scores limit 1").fetchone() is None:
        return
    if since is None or until is None:
        cursor.execute(_DELETE.format(bounds="", further=""))
        return
    query = _DELETE.format(bounds=f" where {BETWEEN}", further=f" and {BETWEEN}")
    cursor.execute(query, [since, until, since, until])
