"""Rows that are nearly right: examples in which some value is something else, for the readers of outside formats."""

import copy

from hypothesis import strategies as st

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats import READABLE, Draft, Row
from tunix_rt.model import Trace


def places_in(value, place=()):
    """The place of every value inside a JSON value, its own first."""
    yield place
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places_in(item, (*place, key))


def replaced(value, place, new):
    if not place:
        return new
    value = copy.copy(value)
    value[place[0]] = replaced(value[place[0]], place[1:], new)
    return value


@st.composite
def spoiled(draw, *examples):
    """One of the examples, with up to three of its values replaced by any JSON made of the examples' own words."""
    words = sorted({key for one in examples for place in places_in(one) for key in place if isinstance(key, str)})
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from([*words, "[]", "{}", 10**400])
    )
    noise = st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(words) | st.text(), inner, max_size=4)
        ),
        max_leaves=12,
    )
    value = draw(st.sampled_from(examples))
    for _ in range(draw(st.integers(1, 3))):
        value = replaced(value, draw(st.sampled_from(list(places_in(value)))), draw(noise))
    return value


def trace_of(draft):
    """The trace of a draft, which a reader mostly gives as plain fields."""
    return draft.trace if isinstance(draft.trace, Trace) else Trace.from_dict(draft.trace)


def read(name, value):
    """What a reader gives for a row: traces, and what is wrong in the place of bad ones."""
    return [
        found if isinstance(found, TraceInvalid) else trace_of(found)
        for found in READABLE[name].drafts(Row("rows.jsonl", 1, value=value))
    ]


def only_refuses(name, value):
    """Whether the reader takes the row or refuses it, and does nothing else."""
    if isinstance(value, dict):
        misfit = READABLE[name].misfit(value)
        assert misfit is None or isinstance(misfit, str)
    try:
        found = list(READABLE[name].drafts(Row("rows.jsonl", 1, value=value)))
    except TraceInvalid as error:
        return bool(error.problems)
    return all(isinstance(one, Draft | TraceInvalid) for one in found)
