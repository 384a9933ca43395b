"""The scores of a trace, selected with its row, in an order that is always the same."""

from tunix_rt.store.engine.rows import TIME_FORMAT

# Without what most scores do not have.
_SCORE_JSON = f"""
'{{"scorer":' || to_json(scorer)
|| ',"version":' || to_json(version)
|| coalesce(',"params":' || nullif(params, '{{}}'), '')
|| coalesce(',"step":' || step, '')
|| coalesce(',"sample":' || nullif(sample, 0), '')
|| coalesce(',"value":' || to_json(value), '')
|| coalesce(',"label":' || to_json(label), '')
|| coalesce(',"answer":' || to_json(answer), '')
|| coalesce(',"explanation":' || to_json(explanation), '')
|| coalesce(',"reason":' || to_json(reason), '')
|| coalesce(',"metadata":' || metadata::varchar, '')
|| ',"scored_at":"' || strftime(scored_at, '{TIME_FORMAT}') || '"}}'
"""
_SCORE_STRUCT = """
struct_pack(
    scorer, version, params, step, sample,
    value, label, answer, explanation, reason, metadata := metadata::varchar, scored_at
)
"""
_BYTES = "200 + strlen(params) + strlen(concat(answer, explanation)) + coalesce(strlen(metadata::varchar), 0)"


def _of_trace(aggregate: str) -> str:
    """An aggregate of the scores of the row of `traces`; `{bounds}` is for the bounds of its row (see `scan`)."""
    of_range = "select * from (select *, trace_id as id from scores){bounds}"
    return f"(select {aggregate} from ({of_range}) as score where score.id = traces.id)"


# Sorted behind the aggregate: sorting in it, by the columns of the key, took twice as long.
SCORES_JSON = _of_trace(
    f"""struct_pack(
        text := ',"scores":[' || array_to_string(list_sort(list({_SCORE_JSON})), ',') || ']', n := count(*)
    )"""
)
SCORES_LIST = _of_trace(f"list_sort(list({_SCORE_STRUCT}))")
# How much memory they take, about.
SCORES_BYTES = f"coalesce({_of_trace(f'sum({_BYTES})')}, 0)::bigint"
