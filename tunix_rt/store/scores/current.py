"""The current scores: of each trace (or step) and scorer the newest."""

from collections.abc import Sequence

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.session import Session
from tunix_rt.store.engine.statement import interruptible
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.score_filter import SCORER_NAME
from tunix_rt.validation import short

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


def current_scores(session: Session, scorers: Sequence[str], filters: Filters) -> SqlResult:
    """The current scores of the selected traces; see `TraceStore.scores`."""
    names = checked_names(scorers)
    clause, values = filters.clause()
    with session.cursor() as cursor, filters.query_errors(cursor, session.path), interruptible():
        relation = cursor.sql(_CURRENT.format(clause=clause), params=[not names, names, *values])
        return SqlResult(relation.to_arrow_table(), tuple(map(str, relation.types)))


def checked_names(scorers: Sequence[str]) -> list[str]:
    """The names of scorers; QueryInvalid where one cannot be such a name."""
    for name in scorers:
        if not isinstance(name, str) or not SCORER_NAME.fullmatch(name):
            raise QueryInvalid(f"{short(name)}: is not the name of a scorer")
    return list(scorers)
