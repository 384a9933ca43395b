"""`compare`: two traces step by step, or two selections prompt by prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, overload
from uuid import UUID

from tunix_rt.analysis.comparison import TraceComparison
from tunix_rt.errors import QueryInvalid
from tunix_rt.model import Trace, TraceRecord, trace_of
from tunix_rt.store.engine.access import Access
from tunix_rt.store.filters import FILTERS, Filters, filters_in
from tunix_rt.store.scores.current import current_scores
from tunix_rt.store.scores.paired import SetComparison, compare_sets
from tunix_rt.store.selection import Selection
from tunix_rt.validation import short

Traced = Trace | TraceRecord | Mapping[str, Any]


@overload
def compare(a: Selection, b: Selection, *, scorer: str = "answer") -> SetComparison: ...


@overload
def compare(a: Traced, b: Traced) -> TraceComparison: ...


def compare(a: Any, b: Any, *, scorer: str = "answer") -> TraceComparison | SetComparison:
    """Two traces step by step, or two selections prompt by prompt.

    A trace is a Trace, a TraceRecord or a dictionary like either; `store.compare(a, b)` also takes ids, and adds the
    stored scores of both. Selections (`store.select(…)`) may be of two stores. They are compared by the current scores
    of `scorer` (numbers, and true and false, or good and bad of a label, as 1 and 0), or by a key of meta such as
    `meta.reward`; for "answer" where there is no score by `meta.correct`. Traces have one prompt where its text is the
    same but for spaces at its ends.

    Raises QueryInvalid for an id, which needs a store, for a trace with a selection, and for a scorer without scores;
    TraceInvalid for what is not a trace.

    >>> compare(
    ...     {"prompt": "27 × 19?", "steps": ["27 × 20 = 540", "540 − 27 = 513"], "final_answer": "513"},
    ...     {"prompt": "27 × 19?", "steps": ["27 × 20 = 540"], "final_answer": "540"},
    ... ).same_answer
    False
    """
    if isinstance(a, Selection) and isinstance(b, Selection):
        return compare_sets(a, b, scorer)
    return TraceComparison(_side(a), _side(b))


def compare_stored(session: Access, a: Traced, b: Traced) -> TraceComparison:
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
    if isinstance(given, Selection):
        raise QueryInvalid("compare: a selection is compared with another selection, not with a trace")
    return given if isinstance(given, TraceRecord) else trace_of(given)


def compare_named(store: Any, sides: Sequence[Any], scorer: str, **common: Any) -> TraceComparison | SetComparison:
    """What a shell or a magic names compared: ids (or `latest`), or for sets a filter each, as `model=A`, `meta.lr<1`.

    `common` filters hold for both sets. Raises QueryInvalid for an id with a filter.
    """
    chosen = [_named_filter(one) if isinstance(one, str) else None for one in sides]
    if common and None in chosen:
        raise QueryInvalid(
            "compare: filters choose among many traces; name two ids without filters, or two sets such as "
            "model=A model=B"
        )
    found = [
        store.select(**_both(common, filters)) if filters is not None else store.latest() if one == "latest" else one
        for one, filters in zip(sides, chosen, strict=True)
    ]
    return cast("TraceComparison | SetComparison", store.compare(*found, scorer=scorer))


def _named_filter(text: str) -> dict[str, Any] | None:
    """The filter that a text such as `model=A` or `meta.lr<0.1` is; None for one that is an id."""
    if text.startswith("meta."):
        return {"meta": [text.removeprefix("meta.")]}
    name, is_filter, value = text.partition("=")
    if not is_filter:
        return None
    if name not in FILTERS:
        raise QueryInvalid(f"unknown filter {short(name)}; the filters are {', '.join(FILTERS)}, and meta.KEY")
    return filters_in({name: [value] if FILTERS[name].kind.repeated else value})


def _both(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    both = {**common, **own}
    for name in set(common) & set(own):
        if not FILTERS[name].kind.as_text:
            raise QueryInvalid(f"compare: {name} is a filter of one set and of both; use only one of them")
        # Lists of terms, all of which must hold.
        both[name] = [*common[name], *own[name]]
    return both
