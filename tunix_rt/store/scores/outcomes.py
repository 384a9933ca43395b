"""What a scorer returned, as a score that can be stored; what cannot is the reason `error`."""

import json
import math
import re
from collections.abc import Mapping
from numbers import Number
from typing import Any

from tunix_rt.analysis import REASONS, Score
from tunix_rt.errors import TraceInvalid
from tunix_rt.json_values import plain
from tunix_rt.store.scores.facts import NewScore
from tunix_rt.validation import short

# What a user's function may raise without ending the run; an interrupt is not among it.
FAILURES = (Exception, SystemExit)
_LARGE = 1e300
_SURROGATE = re.compile("[\ud800-\udfff]")
MOST_LABEL_CHARS = 1_000
MOST_ANSWER_CHARS = 4_096
MOST_EXPLANATION_CHARS = 2_000
# Evidence, and not another copy of the trace.
_MOST_METADATA_BYTES = 2**16
# Kept: `json.dumps` would make one for each score.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class NoScore(ValueError):
    """Why a result is not a score."""


def error_score(error: BaseException) -> Score:
    """The score of a trace on which the scorer failed."""
    try:
        said = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception of the user's whose text fails itself
        said = type(error).__name__
    return Score(reason="error", explanation=said)


def new_score(created_at: int, trace_id: str, result: Any) -> NewScore:
    """The row for what a scorer returned of a trace."""
    try:
        return _row(created_at, trace_id, _score_of(result))
    except NoScore as error:
        return _row(created_at, trace_id, Score(reason="error", explanation=f"returned {error}"))
    except Exception as error:  # noqa: BLE001 - a foreign value with a fault of its own
        return _row(created_at, trace_id, error_score(error))


def _score_of(result: Any) -> Score:
    if isinstance(result, Score):
        return result
    if result is None:
        return Score(reason="not_applicable")
    return Score(label=result) if isinstance(result, str) else Score(value=result)


def _row(created_at: int, trace_id: str, score: Score) -> NewScore:
    value = None if score.value is None else _number(score.value)
    label = None if score.label is None else _label(score.label)
    reason = score.reason
    if value is None and label is None:
        if not isinstance(reason, str) or reason not in REASONS:
            raise NoScore(f"a score without value and label, with the reason {short(reason)}")
    elif reason is not None:
        raise NoScore(f"a score that has a value or a label, and the reason {short(reason)}")
    return NewScore(
        created_at=created_at,
        trace_id=trace_id,
        step=None,
        sample=0,
        value=value,
        label=label,
        answer=_text(score.answer, MOST_ANSWER_CHARS),
        explanation=_text(score.explanation, MOST_EXPLANATION_CHARS),
        reason=reason,
        metadata=metadata_json(score.metadata),
    )


def _number(value: Any) -> float:
    if type(value) in (bool, float, int) and -_LARGE < value < _LARGE:
        # As most are: the rest takes a fifth of the time of a row.
        return float(value)
    # A number of numpy, or a tensor without dimensions.
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        value = item()
    if not isinstance(value, Number) or isinstance(value, complex):
        raise NoScore(f"{short(value)}, which is {type(value).__name__}, not a number, a boolean or a label")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise NoScore(f"a number that is not a float: {error}") from None
    if not math.isfinite(number):
        raise NoScore(f"{number}, which is not a finite number")
    return number


def _label(label: Any) -> str:
    if not isinstance(label, str) or not label or len(label) > MOST_LABEL_CHARS:
        raise NoScore(f"the label {short(label)}; a label has 1 to {MOST_LABEL_CHARS:,} characters")
    return _storable(label)


def _text(text: Any, most: int) -> str | None:
    if text is None:
        return None
    # A Score does not check what it is given.
    shown = _storable(str(text))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _storable(text: str) -> str:
    """The text with what cannot be stored, a lone surrogate or NUL, as an escape."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _as_json(metadata: Mapping[str, Any]) -> str:
    try:
        # Mostly it is JSON already; going through all of it takes as long again.
        return _ENCODER.encode(metadata)
    except (TypeError, ValueError):
        return json.dumps(plain(metadata), ensure_ascii=False, separators=(",", ":"))


def metadata_json(metadata: Any) -> str | None:
    """The evidence as it is stored, None where there is none; raises NoScore."""
    if not metadata:
        return None
    try:
        if not isinstance(metadata, Mapping):
            raise NoScore(f"metadata of type {type(metadata).__name__}, not an object")
        text = _as_json(metadata)
    except (TraceInvalid, ValueError) as error:
        if isinstance(error, NoScore):
            raise
        raise NoScore(f"metadata that is not JSON: {error}") from None
    # In JSON an escape of half a pair is not valid: its backslash is escaped as well.
    text = _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)
    if len(text.encode()) > _MOST_METADATA_BYTES:
        raise NoScore(f"metadata of {len(text.encode()):,} bytes; at most {_MOST_METADATA_BYTES:,}")
    return text
