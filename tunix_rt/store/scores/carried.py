"""Scores that come with traces, as an export writes them: checked, and with their key as it is stored."""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from tunix_rt.analysis import REASONS
from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.model import in_utc
from tunix_rt.store.engine.rows import to_microseconds
from tunix_rt.store.score_filter import SCORER_NAME
from tunix_rt.store.scores.facts import CarriedScore, ScoreKey
from tunix_rt.store.scores.labels import WITHDRAWN
from tunix_rt.store.scores.outcomes import (
    MOST_ANSWER_CHARS,
    MOST_EXPLANATION_CHARS,
    MOST_LABEL_CHARS,
    NoScore,
    metadata_json,
)
from tunix_rt.store.scores.scorers import MOST_PARAMS_CHARS, MOST_VERSION_CHARS
from tunix_rt.validation import short, storable, unstorable

_REASONS = (*REASONS, WITHDRAWN)
_FIELDS = frozenset({"scorer", "version", "params", "scored_at", *CarriedScore._fields[1:]})
_MOST_INTEGER = 2**31 - 1
# More than anyone has scorers; a row of a million scores would be in memory together, several times its size.
MOST_SCORES = 10_000
# As `params` are stored. Kept: `json.dumps` would make one for each score.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


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
    if not isinstance(given, dict):
        raise TraceInvalid(Problem(None, f"must be a score, an object, not {short(given)}"))
    if not given.keys() <= _FIELDS:
        unknown = min(map(str, given.keys() - _FIELDS))
        raise TraceInvalid(Problem(unknown, f"unknown field; a score has {', '.join(sorted(_FIELDS))}"))
    value, label, reason = given.get("value"), _text(given, "label", 1, MOST_LABEL_CHARS), given.get("reason")
    if reason is not None and reason not in _REASONS:
        raise TraceInvalid(Problem("reason", f"must be one of {', '.join(_REASONS)}, not {short(reason)}"))
    if (value is None and label is None) == (reason is None):
        raise TraceInvalid(Problem(None, "must have either a value or a label, or the reason why it has neither"))
    scored_at = given.get("scored_at")
    return CarriedScore(
        _key(given.get("scorer"), given.get("version"), given.get("params")),
        None if given.get("step") is None else _integer(given, "step"),
        0 if given.get("sample") is None else _integer(given, "sample"),
        None if value is None else _number(value),
        label,
        _text(given, "answer", 0, MOST_ANSWER_CHARS),
        _text(given, "explanation", 0, MOST_EXPLANATION_CHARS),
        reason,
        _metadata(given.get("metadata")),
        None if scored_at is None else _microseconds(scored_at if isinstance(scored_at, str) else short(scored_at)),
    )


def _key(scorer: Any, version: Any, params: Any) -> ScoreKey:
    for name, text in (("scorer", scorer), ("version", version)):
        if not isinstance(text, str):
            raise TraceInvalid(Problem(name, f"must be a text, not {short(text)}; every score has one"))
    if not params and isinstance(params, dict | None):
        return _checked_key(scorer, version, "{}")
    if not isinstance(params, dict):
        raise TraceInvalid(Problem("params", f"must be an object, not {short(params)}"))
    try:
        return _checked_key(scorer, version, _canonical(params))
    except (TypeError, ValueError) as error:
        raise TraceInvalid(Problem("params", f"cannot be written as JSON: {error}")) from None


# Most scores of a load have one of a few keys, and were scored together.
@lru_cache(maxsize=4_096)
def _checked_key(scorer: str, version: str, params: str) -> ScoreKey:
    _check_storable("scorer", scorer)
    _check_storable("version", version)
    if not SCORER_NAME.fullmatch(scorer):
        reason = f'must be 1 to 100 characters, none of them < > = ! , or ", not {short(scorer)}'
        raise TraceInvalid(Problem("scorer", reason))
    if not 0 < len(version) <= MOST_VERSION_CHARS:
        raise TraceInvalid(Problem("version", f"must be a text of 1 to {MOST_VERSION_CHARS} characters"))
    if len(params) > MOST_PARAMS_CHARS:
        raise TraceInvalid(Problem("params", f"{len(params):,} characters as JSON; at most {MOST_PARAMS_CHARS:,}"))
    return ScoreKey(scorer, version, params)


@lru_cache(maxsize=4_096)
def _microseconds(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return to_microseconds(in_utc(time))
    except ValueError:
        pass
    reason = f"must be a time with its offset, as in 2026-01-31T12:00:00Z, not {short(text)}"
    raise TraceInvalid(Problem("scored_at", reason))


def _metadata(given: Any) -> str | None:
    if given is None:
        return None
    try:
        return metadata_json(given)
    except NoScore as error:
        raise TraceInvalid(Problem("metadata", f"is not evidence that can be stored: {error}")) from None


def _text(fields: Mapping[str, Any], name: str, least: int, most: int) -> str | None:
    text = fields.get(name)
    if text is None:
        return None
    if not isinstance(text, str) or not least <= len(text) <= most:
        raise TraceInvalid(Problem(name, f"must be a text of {least} to {most:,} characters, not {short(text)}"))
    _check_storable(name, text)
    return text


def _check_storable(name: str, text: str) -> None:
    if not storable(text):
        raise TraceInvalid(*unstorable(name, text))


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise TraceInvalid(Problem("value", f"must be a finite number or a boolean, not {short(value)}"))
    return number


def _integer(fields: Mapping[str, Any], name: str) -> int:
    value = fields[name]
    if isinstance(value, float) and value.is_integer():
        # As a column with missing values comes out of pandas.
        value = int(value)
    if type(value) is not int or not 0 <= value <= _MOST_INTEGER:
        reason = f"must be a whole number from 0 to {_MOST_INTEGER:,}, not {short(value)}"
        raise TraceInvalid(Problem(name, reason))
    return value
