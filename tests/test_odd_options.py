"""Options and ids of any type, whose own code may fail: one error each, which names them."""

import numpy as np
import pyarrow as pa
import pytest

import tunix_rt as rt


class Broken:
    """Fails wherever it is touched."""

    def __iter__(self):
        raise RuntimeError("the buffer has been deleted")

    __str__ = __repr__ = __len__ = __iter__


def nested():
    value = []
    for _ in range(3_000):
        value = [value]
    return value


# Python writes no number of so many digits, and compares it well.
LARGE = 10**5_000
# Arrow writes no text of such a duration.
ODD = [Broken(), nested(), {}, LARGE, -1.5, pa.scalar(2**62, pa.duration("s")), np.array([1, 2]), b"\xff", object()]
CALLS = {
    "get": lambda store, odd: store.get(odd),
    "delete": lambda store, odd: store.delete(odd),
    "ids": lambda store, odd: store.count(ids=[odd]),
    "limit": lambda store, odd: store.page(limit=odd),
    "offset": lambda store, odd: store.page(offset=odd),
    "after": lambda store, odd: store.page(after=odd),
    "before": lambda store, odd: store.page(before=odd),
    "columns": lambda store, odd: store.scan([odd]),
    "export": lambda store, odd: store.export("out", format=odd),
    "tags": lambda store, odd: store.export("out", format="prompt_completion", tags=odd),
    "other tags": lambda store, odd: store.export("out", tags=(odd, odd)),
    "load": lambda store, odd: store.load(b"{}", format=odd),
    "known": lambda store, odd: store.load(b"{}", known=odd),
    "encoding": lambda store, odd: store.load(b"{}", encoding=odd),
    "mapping": lambda store, odd: store.load(b"{}", mapping={"prompt": odd}),
    "no mapping": lambda store, odd: store.load(b"{}", mapping=odd),
    "watch": lambda store, odd: store.watch("runs", format=odd),
    "stop": lambda store, odd: store.watch("runs", stop=odd),
    **{
        name: lambda store, odd, name=name: store.count(**{name: odd})
        for name in (
            "text",
            "source",
            "since",
            "until",
            "min_steps",
            "max_chars",
            "trace_version",
            "model",
            "run",
            "training_step",
            "where",
        )
    },
}


@pytest.mark.parametrize("call", CALLS)
def test_an_odd_value_is_told_by_an_error_of_the_package(same_filled, call):
    for odd in ODD:
        if odd is LARGE and call in ("min_steps", "max_chars", "offset"):
            CALLS[call](same_filled, odd)
            continue
        if odd is ODD[4] and call == "training_step":
            assert CALLS[call](same_filled, odd) == 0
            continue
        with pytest.raises(rt.TunixRTError) as caught:
            CALLS[call](same_filled, odd)
        assert len(str(caught.value)) < 3_000
    assert same_filled.count() == 25


def test_the_largest_offset_is_behind_everything_with_a_cursor_too(filled):
    first = filled.page(limit=5)
    for offset in (2**63 - 1, 2**63, 10**30):
        assert not len(filled.page(offset=offset))
        assert not len(filled.page(offset=offset, after=first.next))


def test_a_parameter_that_holds_itself_is_told(store):
    """DuckDB would follow it until the process dies."""
    items, named = [], {}
    items.append({"a": items})
    named["a"] = (named,)
    objects = np.empty(2, dtype=object)
    objects[0] = items
    for value in (items, named, objects, [objects]):
        with pytest.raises(rt.QueryInvalid, match="SQL: a parameter is nested too deeply, or contains itself"):
            store.sql("select ?", value)
    assert store.sql("select ? as x", [[1, 2], [3]]).rows == [([[1, 2], [3]],)]
