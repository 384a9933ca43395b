"""`compare`: two traces side by side."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tunix_rt.analysis.comparison import TraceComparison
from tunix_rt.errors import QueryInvalid
from tunix_rt.model import Trace, TraceRecord, trace_of
from tunix_rt.store.engine.session import Session
from tunix_rt.store.filters import Filters
from tunix_rt.store.scores.current import current_scores

Traced = Trace | TraceRecord | Mapping[str, Any]


def compare(a: Traced, b: Traced) -> TraceComparison:
    """Two traces, step by step; each a Trace, a TraceRecord or a dictionary like either.

    `store.compare(a, b)` also takes ids, and adds the stored scores of both. Raises QueryInvalid for an id, which needs
    a store, and TraceInvalid for what is not a trace.

    >>> compare(
    ...     {"prompt": "27 × 19?", "steps": ["27 × 20 = 540", "540 − 27 = 513"], "final_answer": "513"},
    ...     {"prompt": "27 × 19?", "steps": ["27 × 20 = 540"], "final_answer": "540"},
    ... ).same_answer
    False
    """
    return TraceComparison(_side(a), _side(b))


def compare_stored(session: Session, a: Traced, b: Traced) -> TraceComparison:
    """Two traces with the current scores of those that are in the store."""
    sides = [_side(a), _side(b)]
    said: list[dict[str, float | str | None]] = [{}, {}]
    ids = [str(one.id) for one in sides if isinstance(one, TraceRecord)]
    for row in current_scores(session, (), Filters(ids=ids)).arrow().to_pylist() if ids else ():
        for of, side in zip(said, sides, strict=True):
            if isinstance(side, TraceRecord) and row["step"] is None and UUID(str(row["trace_id"])) == side.id:
                of[row["scorer"]] = row["value"] if row["label"] is None else row["label"]
    return TraceComparison(*sides, scores=said)


def _side(given: Any) -> Trace | TraceRecord:
    if isinstance(given, str | UUID):
        raise QueryInvalid("compare: an id is of a store; use store.compare(a, b)")
    return given if isinstance(given, TraceRecord) else trace_of(given)
