"""The native format: a trace a row, as JSON (`trace`) or typed columns (`parquet`), with `id` and `created_at`.

Its scores are in the row, or in rows of their own, as beside a Parquet export. The store itself writes all of them,
from its own columns (`store/export/export.py`).
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.row import Draft, Row, ScoreDraft
from tunix_rt.formats.rows.trace_fields import StoredId, StoredTime, fields_of
from tunix_rt.formats.rows.typed_fields import field, rest_of
from tunix_rt.json_values import parsed
from tunix_rt.model import Trace
from tunix_rt.validation import short

# Columns that the store derives from a trace; a Parquet export carries them for analysis, a query also the digest.
DERIVED_COLUMNS = ("preview", "n_steps", "n_chars", "source", "digest")


# What makes a row that of a score.
_SCORE_FIELDS = {"trace_id", "scorer", "version"}


class _Exported(Trace):
    """A row of an export: the trace's own fields beside the stored id, time and scores."""

    id: StoredId = None
    created_at: StoredTime = None
    scores: Any = None


class NativeReader:
    """Rows as the store exports them, and as `TraceRecord` writes itself (the trace under `payload`)."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where a row has `trace_version`, a text as its prompt beside steps or a final answer, or is a score."""
        payload = value.get("payload")
        trace = payload if isinstance(payload, dict) else value
        if "trace_version" in value or "trace_version" in trace:
            return None
        if _is_score(value):
            return None
        if isinstance(trace.get("prompt"), str) and trace.keys() & {"steps", "final_answer"}:
            return None
        return "no trace_version, and no prompt that is a text beside steps or final_answer"

    def found(self, row: Row) -> Iterable[Draft | ScoreDraft]:
        """The one trace of the row, or the one score."""
        if row.raw is None and _is_score(row.fields):
            return [_score_in(row)]
        if row.raw is None:
            exported = _Exported.from_plain(_from_columns(row.fields))
        elif (found := fields_of(row.raw)) is not None:
            return [Draft(row, *found)]
        elif b'"trace_id"' in row.raw and isinstance(row.value, dict) and _is_score(row.value):
            return [_score_in(row)]
        elif b'"payload"' in row.raw and isinstance(row.value, dict) and "payload" in row.value:
            exported = _Exported.from_plain(_from_record(row.value))
        else:
            exported = _Exported.from_json(row.raw, first_line=row.line)
        # What was validated is used as it is; the id and the time are not part of the trace.
        trace = Trace.model_construct(**{name: getattr(exported, name) for name in Trace.model_fields})
        return [Draft(row, trace, exported.id, exported.created_at, exported.scores)]


def _is_score(value: Mapping[str, Any]) -> bool:
    return value.keys() >= _SCORE_FIELDS and not value.keys() & {"trace_version", "prompt"}


def _score_in(row: Row) -> ScoreDraft:
    score = dict(row.fields)
    # That of its trace is the one that counts.
    score.pop("created_at", None)
    try:
        trace_id = UUID(str(score.pop("trace_id")))
    except ValueError:
        raise TraceInvalid(
            Problem("trace_id", f"must be the id of a trace, not {short(row.fields['trace_id'])}")
        ) from None
    if row.raw is None:
        for name in ("params", "metadata"):
            _parse(score, name)
    return ScoreDraft(row, trace_id, score)


def _parse(fields: dict[str, Any], name: str) -> None:
    """Replaces the text of a column of JSON by its value."""
    if isinstance(fields.get(name), str):
        try:
            fields[name] = parsed(fields[name])
        except (ValueError, RecursionError) as error:
            raise TraceInvalid(Problem(name, f"invalid JSON: {error}")) from None


def _from_columns(value: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: item for name, item in value.items() if name not in DERIVED_COLUMNS}
    _parse(fields, "meta")
    created_at = fields.get("created_at")
    if isinstance(created_at, datetime) and created_at.tzinfo is None:
        # A column without a time zone is UTC, as every time in a store.
        fields["created_at"] = created_at.replace(tzinfo=UTC)
    return fields


def _from_record(value: Mapping[str, Any]) -> dict[str, Any]:
    # Its scores are the store's, not the trace's.
    return field(value, "payload", dict) | rest_of(value, "payload", "trace_version", "scores")
