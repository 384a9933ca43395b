"""Scores that come with traces, as an export writes them: checked, and with their key as it is stored."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tunix_rt.analysis import REASONS
from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.json_values import plain
from tunix_rt.model import in_utc
from tunix_rt.store.engine.rows import to_microseconds
from tunix_rt.store.score_filter import SCORER_NAME
from tunix_rt.store.scores.facts import CarriedScore, ScoreKey
from tunix_rt.store.scores.outcomes import (
    MOST_ANSWER_CHARS,
    MOST_EXPLANATION_CHARS,
    MOST_LABEL_CHARS,
    NoScore,
    metadata_json,
)
from tunix_rt.store.scores.scorers import MOST_PARAMS_CHARS, MOST_VERSION_CHARS
from tunix_rt.validation import short, unstorable

_FIELDS = frozenset({"scorer", "version", "params", "scored_at", *CarriedScore._fields[1:]})
_MOST_INTEGER = 2**31 - 1
# More than anyone has scorers; a row of a million scores would be in memory together, several times its size.
MOST_SCORES = 10_000


def carried_scores(given: Any) -> list[CarriedScore]:
    """The scores in the field `scores` of a row. Raises TraceInvalid with the field that is not valid."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise TraceInvalid(Problem("scores", f"must be a list of scores, not {short(given)}"))
    if len(given) > MOST_SCORES:
        raise TraceInvalid(Problem("scores", f"{len(given):,} scores; at most {MOST_SCORES:,}"))
    scores = []
    for index, one in enumerate(given):
        try:
            scores.append(carried_score(one))
        except TraceInvalid as error:
            raise error.within(f"scores.{index}") from None
    return scores


def carried_score(given: Any) -> CarriedScore:
    """The score of a row or of an item of one. Raises TraceInvalid with the field that is not valid."""
    if not isinstance(given, Mapping):
        raise TraceInvalid(Problem(None, f"must be a score, an object, not {short(given)}"))
    fields = {name: value for name, value in given.items() if value is not None}
    if unknown := fields.keys() - _FIELDS:
        raise TraceInvalid(Problem(min(map(str, unknown)), f"unknown field; a score has {', '.join(sorted(_FIELDS))}"))
    value, label, reason = fields.get("value"), _text(fields, "label", MOST_LABEL_CHARS), fields.get("reason")
    if reason is not None and reason not in REASONS:
        raise TraceInvalid(Problem("reason", f"must be one of {', '.join(REASONS)}, not {short(reason)}"))
    if (value is None and label is None) == (reason is None):
        raise TraceInvalid(Problem(None, "must have either a value or a label, or the reason why it has neither"))
    return CarriedScore(
        key=_key(fields),
        step=_integer(fields, "step", None),
        sample=_integer(fields, "sample", 0) or 0,
        value=_number(value),
        label=label,
        answer=_text(fields, "answer", MOST_ANSWER_CHARS, least=0),
        explanation=_text(fields, "explanation", MOST_EXPLANATION_CHARS, least=0),
        reason=reason,
        metadata=_metadata(fields),
        scored_at=_time(fields),
    )


def _key(fields: Mapping[str, Any]) -> ScoreKey:
    scorer, version, params = fields.get("scorer"), fields.get("version"), fields.get("params")
    if not isinstance(scorer, str) or not SCORER_NAME.fullmatch(scorer):
        raise TraceInvalid(
            Problem("scorer", f'must be 1 to 100 characters, none of them < > = ! , or ", not {short(scorer)}')
        )
    _check_storable("scorer", scorer)
    if not isinstance(version, str) or not 0 < len(version) <= MOST_VERSION_CHARS:
        raise TraceInvalid(
            Problem("version", f"must be a text of 1 to {MOST_VERSION_CHARS} characters, not {short(version)}")
        )
    _check_storable("version", version)
    if not params and isinstance(params, dict | None):
        return ScoreKey(scorer, version, "{}")
    text = _json(params, "params") if isinstance(params, dict) else ""
    if not 0 < len(text) <= MOST_PARAMS_CHARS:
        raise TraceInvalid(Problem("params", f"must be an object of at most {MOST_PARAMS_CHARS:,} characters as JSON"))
    return ScoreKey(scorer, version, text)


def _json(value: Any, name: str) -> str:
    try:
        return json.dumps(plain(value), sort_keys=True, separators=(",", ":"))
    except (TraceInvalid, ValueError) as error:
        raise TraceInvalid(Problem(name, f"is not JSON: {error}")) from None


def _metadata(fields: Mapping[str, Any]) -> str | None:
    try:
        return metadata_json(fields.get("metadata"))
    except NoScore as error:
        raise TraceInvalid(Problem("metadata", f"must be an object as evidence: {error}")) from None


def _text(fields: Mapping[str, Any], name: str, most: int, *, least: int = 1) -> str | None:
    text = fields.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not least <= len(text) <= most:
        raise TraceInvalid(Problem(name, f"must be a text of {least} to {most:,} characters, not {short(text)}"))
    _check_storable(name, text)
    return text


def _check_storable(name: str, text: str) -> None:
    if problems := list(unstorable(name, text)):
        raise TraceInvalid(*problems)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise TraceInvalid(Problem("value", f"must be a finite number or a boolean, not {short(value)}"))
    return number


def _integer(fields: Mapping[str, Any], name: str, default: int | None) -> int | None:
    value = fields.get(name, default)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        # As a column with missing values comes out of pandas.
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_INTEGER:
        raise TraceInvalid(Problem(name, f"must be a whole number from 0 to {_MOST_INTEGER:,}, not {short(value)}"))
    return value


def _time(fields: Mapping[str, Any]) -> int | None:
    given = fields.get("scored_at")
    if given is None:
        return None
    try:
        time = datetime.fromisoformat(given)
        if time.tzinfo is not None:
            return to_microseconds(in_utc(time))
    except (TypeError, ValueError):
        pass
    raise TraceInvalid(
        Problem("scored_at", f"must be a time with its offset, as in 2026-01-31T12:00:00Z, not {short(given)}")
    )
