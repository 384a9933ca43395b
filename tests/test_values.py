"""Values that JSON does not have: in traces, rows and filters they become ones that it has, or are refused by path."""

import copy
import dataclasses
import enum
import ipaddress
import itertools
import json
import math
import pickle
import subprocess
import sys
import uuid
from array import array
from collections import OrderedDict, UserDict, deque, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import tunix_rt as rt
from tunix_rt.formats import Reading, SourceRows, format_named
from tunix_rt.json_values import parsed, plain
from tunix_rt.store.engine.rows import encode

TRACE = {"prompt": "2 + 2?", "steps": ["two and two"], "final_answer": "4"}


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Score:
    value: float
    by: set[str]


class Verdict(BaseModel):
    right: bool
    score: Score
    spent: timedelta


class Scalar:
    """Like a tensor without dimensions of a library that has no `tolist`."""

    shape = ()

    def item(self):
        return 0.25


class Broken:
    def tolist(self):
        raise RuntimeError("the buffer has been deleted")


Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - as in code of others
FOREIGN = {
    "np.float32": (np.float32(0.5), 0.5),
    "np.float64": (np.float64("nan"), None),
    "np.longdouble": (np.longdouble(0.5), 0.5),
    "long doubles": (np.array([[0.5, math.inf]], np.longdouble), [[0.5, None]]),
    "np.float16": (np.float16(0.5), 0.5),
    "np.int64": (np.int64(2**62), 2**62),
    "np.uint8": (np.uint8(7), 7),
    "np.bool_": (np.bool_(1), True),
    "np.str_": (np.str_("a"), "a"),
    "np.bytes_": (np.bytes_(b"a"), "a"),
    "no dimensions": (np.array(3), 3),
    "array": (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "objects": (np.array([Decimal("0.5"), None, {1}], dtype=object), [0.5, None, [1]]),
    "records": (np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), [[1, 2.0]]),
    "datetime64": (np.datetime64("2026-01-02"), "2026-01-02T00:00:00+00:00"),
    "nanoseconds": (np.array(["2026-01-02T03:04:05.123456789"], "M8[ns]"), ["2026-01-02T03:04:05.123456+00:00"]),
    "timedelta64": (np.timedelta64(1_500, "ms"), 1.5),
    "NaT": (np.datetime64("NaT", "s"), None),
    "a scalar of its own": (Scalar(), 0.25),
    "infinity": ([math.inf, -math.inf, {"x": math.nan}], [None, None, {"x": None}]),
    "decimals": ([Decimal("1.50"), Decimal(10**30), Decimal("Infinity"), Decimal("sNaN")], [1.5, 10**30, None, None]),
    "set": ({3, 1, 20, "b", "a", None, 0.5}, [0.5, 1, 3, 20, "a", "b", None]),
    "sets of sets": ({frozenset({2, 1}), frozenset({0})}, [[0], [1, 2]]),
    "range": (range(3), [0, 1, 2]),
    "deque": (deque([1, (2,)]), [1, [2]]),
    "array.array": (array("d", [0.5]), [0.5]),
    "namedtuple": (Pair(1, 2), [1, 2]),
    "keys": ({"a": 1}.keys(), ["a"]),
    "values": ({"a": 1}.values(), [1]),
    "enums": ([Colour.RED, Level.HIGH], ["red", 3]),
    "dataclass": (Score(0.5, {"b", "a"}), {"value": 0.5, "by": ["a", "b"]}),
    "model": (
        Verdict(right=True, score=Score(math.nan, set()), spent=timedelta(seconds=1)),
        {"right": True, "score": {"value": None, "by": []}, "spent": 1.0},
    ),
    "mappings": ([OrderedDict(a=1), UserDict(a=(1,))], [{"a": 1}, {"a": [1]}]),
    "keys of other types": (
        {1: 1, 0.5: 2, None: 3, Colour.RED: 5, uuid.UUID(int=1): 6, np.int64(7): 7, date(2026, 1, 2): 8},
        {"1": 1, "0.5": 2, "null": 3, "red": 5, str(uuid.UUID(int=1)): 6, "7": 7, "2026-01-02": 8},
    ),
    "boolean key": ({False: 0}, {"false": 0}),
    "moments": (
        [datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime.max, time(1, 2), date.min],  # noqa: DTZ901
        ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999+00:00", "01:02:00", "0001-01-01"],
    ),
    "path": (PurePosixPath("a/b"), "a/b"),
    "bytes": ([b"a", bytearray(b"b"), memoryview(b"c"), b"\xff"], ["a", "b", "c", "/w=="]),
    "address": (ipaddress.ip_address("::1"), "::1"),
    "Arrow": ([pa.scalar(1), pa.array([1, None])], [1, [1, None]]),
    "numbers at the edges": ([10**400, -0.0, 5e-324, -(10**4_299)], [10**400, -0.0, 5e-324, -(10**4_299)]),
    "empty": ([{}, [], "", None, (), set(), {"": {"": []}}], [{}, [], "", None, [], [], {"": {"": []}}]),
    "odd texts": (["\uffff", "\U0010ffff", "\u202e"], ["\uffff", "\U0010ffff", "\u202e"]),
}


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """Every foreign value, taken in by each of the ways in."""
    values = {name: value for name, (value, _) in FOREIGN.items()}
    trace = TRACE | {"meta": values}
    with rt.TraceStore(tmp_path_factory.mktemp("values") / "t.duckdb") as store:
        store.add(trace)
        store.add(rt.Trace(**trace))
        store.add_many([trace, rt.Trace.from_dict(UserDict(trace))])
        store.load([trace], known="add")
        return [record.payload for record in store.records()], [
            name
            for name, (value, expected) in FOREIGN.items()
            if expected is not None and store.count(meta={name: value}) != 5
        ]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_value_becomes_json(taken, name):
    expected = json.dumps(FOREIGN[name][1])
    assert [json.dumps(trace.meta[name]) for trace in taken[0]] == [expected] * 5


def test_every_way_in_makes_the_same_trace_and_the_filters_find_it(taken):
    traces, not_found = taken
    assert len(set(traces)) == 1
    # Numbers are compared as doubles, so that these are in lists, which are compared as they are written.
    assert not_found == []


def cycle():
    inner: list = []
    inner.append({"again": inner})
    return inner


REFUSED = {
    "object": (object(), "meta.x", "must be a JSON value, not a object"),
    "function": ([1, print], "meta.x.1", "must be a JSON value, not a builtin_function_or_method"),
    "class": ({"a": np.ndarray}, "meta.x.a", "must be a JSON value, not a type"),
    "generator": ((i for i in range(3)), "meta.x", "must be a JSON value, not a generator"),
    "complex": (np.complex64(1j), "meta.x", "must be a JSON value, not a complex"),
    "fraction": (Fraction(1, 3), "meta.x", "must be a JSON value, not a Fraction"),
    "cycle": (cycle(), "meta.x.0.again.0.again.0.again…", "nested too deeply, or contains itself"),
    "two keys": ({"a": {1: "a", "1": "b"}}, "meta.x.a", 'two keys are "1" when written as strings; rename one of them'),
    "tuple key": ({(1, 2): 3}, "meta.x", "a key must be a string or a number, not a tuple"),
    "far Arrow duration": (
        {"a": pa.scalar(2**62, pa.duration("s"))},
        "meta.x.a",
        "a DurationScalar that cannot be read",
    ),
    "far time": (np.datetime64(2**50, "s"), "meta.x", "a time outside of the years 1 to 9999"),
    "month": (np.timedelta64(1, "M"), "meta.x", "a duration without a fixed number of seconds"),
    "broken": ({"a": Broken()}, "meta.x.a", "a Broken that cannot be read: RuntimeError: the buffer has been deleted"),
    "endless": (range(10**12), "meta.x", "a range of 1,000,000,000,000 items; at most"),
    "10**5000": ([10**5_000], "meta.x.0", "a number of more than 4,300 digits; write it as a string"),
    "key of 10**5000": ({10**5_000: 1}, "meta.x", "a key of more than 4,300 digits; write it as a string"),
    "key of -10**4300": ({-(10**4_300): 1}, "meta.x", "a key of more than 4,300 digits; write it as a string"),
    "Decimal": (Decimal("1e1000000"), "meta.x", "a number of more than 4,300 digits; write it as a string"),
    "surrogate": (np.str_("a\ud800"), "meta.x", "contains a lone surrogate (U+D800, at character 2)"),
    "NUL": ({"b": PurePosixPath("a\0")}, "meta.x.b", "contains a NUL character"),
    "NUL key": ({"b\0": 1}, 'meta.x."b\\u0000"', "contains a NUL character"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_json_has_nothing_for_is_refused_by_its_path(store, name):
    value, field, reason = REFUSED[name]
    for take in (lambda t: rt.Trace(**t), rt.Trace.from_dict, store.add):
        with pytest.raises(rt.TraceInvalid) as caught:
            take(TRACE | {"meta": {"x": value}})
        assert caught.value.problems[0].field == field
        assert caught.value.problems[0].reason.startswith(reason)
    report = store.load([TRACE, TRACE | {"meta": {"x": value}}, TRACE | {"prompt": "after"}])
    assert (report.added, report.rejected_count) == (2, 1)
    assert report.rejected[0].line == 2


@pytest.mark.slow
@pytest.mark.parametrize("steps", [range(10**12), itertools.repeat("again and again")], ids=["range", "iterator"])
def test_steps_without_end_are_refused(store, steps):
    endless = TRACE | {"trace_version": "1.1", "steps": steps}
    for take in (lambda t: rt.Trace(**t), rt.Trace.from_dict, store.add):
        with pytest.raises(rt.TraceInvalid, match="steps: more than 524,288 steps, or steps without end"):
            take(endless)
    assert (report := store.load([endless, TRACE])).added == 1
    assert report.rejected[0].field == "steps"


def test_an_object_that_fails_when_it_is_asked_for_anything_is_refused():
    class Failing:
        def __getattr__(self, name):
            raise OSError(name)

    for field in ("prompt", "steps", "final_answer", "meta"):
        with pytest.raises(rt.TraceInvalid, match=field):
            rt.Trace(**TRACE | {field: Failing()})


def test_a_training_loop_hands_over_what_it_has(store):
    step = rt.Step(i=np.int64(4), type=np.str_("compute"), content=np.str_("c"))
    trace = rt.Trace(
        prompt=np.str_("p"),
        steps=({"i": np.int32(1), "type": "t", "content": np.str_("a")}, step),
        final_answer=np.array(["4"])[0],
        meta={"reward": np.float32(0.5), "step": np.int64(3)},
    )
    assert type(trace.prompt) is str
    assert [type(s.i) for s in trace.steps] == [int, int]
    assert store.add(trace).payload.steps[1] == step
    assert rt.Trace(prompt="p", steps=np.array(["a", "b"]), final_answer="4").steps[1].content == "b"
    with pytest.raises(rt.TraceInvalid, match="steps: must be a list of steps, not a number"):
        rt.Trace(prompt="p", steps=np.array(3), final_answer="4")
    assert store.count(min_steps=np.int64(2), max_steps=np.uint8(2), meta={"reward": np.float32(0.5)}) == 1
    assert store.count(source=np.str_("none")) == 0
    assert store.count(ids=np.array([str(store.latest().id)])) == 1
    for missing in (math.nan, -math.inf, np.float32("nan"), np.datetime64("NaT", "s")):
        with pytest.raises(rt.QueryInvalid, match="must be a JSON value; None finds null and missing keys"):
            store.delete(meta={"reward": missing})
    assert store.count(min_chars=-(10**400), max_chars=10**5_000) == 1


def test_a_record_is_added_as_a_new_trace_and_loaded_as_the_one_that_it_is(store, tmp_path):
    record = store.add(TRACE)
    again = store.add(record)
    assert again.payload == record.payload
    assert again.id != record.id
    assert again.created_at > record.created_at
    assert store.add_many([record, record.model_dump(), record.model_dump(mode="json")])[2].payload == record.payload
    with rt.TraceStore(tmp_path / "other.duckdb") as other:
        other.load([record])
        assert other.latest() == record


def test_a_store_is_closed_behind_its_with(tmp_path):
    with pytest.raises(KeyError), rt.TraceStore(tmp_path / "t.duckdb") as store:
        store.add(TRACE)
        raise KeyError
    assert store.count() == 1, "and opened again by the next call"


RELOADED = """
import importlib, json, sys
import tunix_rt as rt
from tunix_rt import model
store = rt.TraceStore(sys.argv[1])
old = rt.Trace(prompt="old", steps=["s"], final_answer="a", meta={"n": [1]})
record = store.add(old)
importlib.reload(model)
new = model.Trace(prompt="new", steps=[model.Step(i=3, type="t", content="c")], final_answer="a", meta={"n": 1})
assert type(new) is not type(old)
store.add(new)
store.add_many([old, new, model.TraceRecord(**record.model_dump())])
report = store.load([new, old], known="add")
assert report.added == 2, report
for name in [name for name in sys.modules if name.split(".")[0] == "tunix_rt"]:
    del sys.modules[name]
import tunix_rt as upgraded
with upgraded.TraceStore(sys.argv[1] + "2") as other:
    other.add_many([old, new, record])
    print(json.dumps([[r.payload.prompt for r in store.records()], [r.payload.meta for r in other.records()]]))
store.close()
"""


@pytest.mark.slow
def test_a_trace_of_a_class_from_before_an_upgrade_is_added(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", RELOADED, str(tmp_path / "t.duckdb")], capture_output=True, text=True, check=False
    )
    assert json.loads(run.stdout or "null") == [
        ["old", "new"] * 3 + ["old"],
        [{"n": [1]}, {"n": 1}, {"n": [1]}],
    ], run.stderr


CHANGES = {
    "item": lambda m: m.__setitem__("x", 1),
    "delete": lambda m: m.__delitem__("a"),
    "update": lambda m: m.update(x=1),
    "setdefault": lambda m: m.setdefault("x", 1),
    "pop": lambda m: m.pop("a"),
    "popitem": lambda m: m.popitem(),
    "clear": lambda m: m.clear(),
    "|=": lambda m: m.__ior__({"x": 1}),
    "nested": lambda m: m["a"][0].update(b=2),
    "append": lambda m: m["a"].append(1),
    "extend": lambda m: m["a"].extend([1]),
    "+=": lambda m: m["a"].__iadd__([1]),
    "slice": lambda m: m["a"].__setitem__(slice(None), []),
    "sort": lambda m: m["a"].sort(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_meta_of_a_trace_cannot_be_changed(change):
    meta = {"a": [{"b": [1, 2]}], "c": "d"}
    given_meta = copy.deepcopy(meta)
    for trace in (
        rt.Trace(**TRACE, meta=given_meta),
        rt.Trace.from_json(rt.Trace(**TRACE, meta=meta).to_json()),
        pickle.loads(pickle.dumps(rt.Trace(**TRACE, meta=meta))),  # noqa: S301
        copy.deepcopy(rt.Trace(**TRACE, meta=meta)),
    ):
        with pytest.raises(TypeError, match=r"a trace is frozen, and its meta with it; trace\.model_dump"):
            CHANGES[change](trace.meta)
        assert trace.meta == meta
        assert isinstance(trace.meta, dict)
        assert isinstance(trace.meta["a"], list)
    given_meta["a"].append("the caller's own stays the caller's")
    assert repr(trace.meta) == repr(meta)


def test_meta_of_a_trace_serves_as_a_dictionary():
    meta = {"a": [{"b": [1, 2]}], "c": "d"}
    trace = rt.Trace(**TRACE, meta=meta)
    assert json.dumps(trace.meta) == json.dumps(meta)
    for dumped in (trace.model_dump()["meta"], json.loads(trace.model_dump_json())["meta"]):
        dumped["a"][0]["b"].append(3)
    for changed in (trace.meta | {"x": 1}, {**trace.meta, "x": 1}, dict(trace.meta, x=1)):
        assert type(changed) is dict
        assert rt.Trace(**TRACE, meta=changed).meta == meta | {"x": 1}
    assert type(trace.meta.copy()) is dict
    assert trace.meta["a"] + [1] == [*meta["a"], 1]
    assert copy.copy(trace) == copy.deepcopy(trace) == pickle.loads(pickle.dumps(trace)) == trace  # noqa: S301
    assert pickle.loads(pickle.dumps(trace.meta)) == trace.meta == meta  # noqa: S301
    assert rt.Trace(**TRACE, meta=trace.meta) == trace
    assert hash(copy.deepcopy(trace)) == hash(trace)


TEXTS = {
    "lines": lambda text: text.encode(),
    "document": lambda text: b"[" + text.encode() + b"]",
    "record": lambda text: ('{"payload": ' + text + "}").encode(),
}


ROWS = {
    "native": '{"prompt": "NaN", "steps": ["s"], "final_answer": "a", "meta": {"extra": {"x": %s}}}',
    "gsm8k": '{"question": "NaN", "answer": "#### 5", "x": %s}',
    "messages": '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "x": %s}',
}


@pytest.mark.parametrize(
    ("container", "row"),
    # Only a trace has a record.
    [(container, row) for container in TEXTS for row in ROWS if row == "native" or container != "record"],
)
def test_nan_and_infinities_in_a_json_text_become_null_and_a_number_that_is_too_large_is_refused(store, container, row):
    row = ROWS[row]
    constants = '[NaN, Infinity, -Infinity, {"y": NaN}]'
    report = store.load(TEXTS[container](row % constants))
    assert report.rejected == []
    assert store.latest().payload.meta["extra"]["x"] == [None, None, None, {"y": None}]
    report = store.load(TEXTS[container](row % "[1e-400, 5e-324, -0.0, 1E400]"))
    assert (report.added, report.rejected_count) == (0, 1)
    assert (report.rejected[0].field, report.rejected[0].reason) == (
        "meta.extra.x.3",
        "inf is not a JSON number; use null or a string",
    )
    report = store.load(TEXTS[container](row % '[NaN, 1e400, "Infinity"]'))
    assert report.rejected[0].field == "meta.extra.x.1"


def test_json_of_one_trace_may_hold_nan_too():
    text = '{"prompt": "p", "steps": ["s"], "final_answer": "a", "meta": {"x": [NaN, -Infinity]}}'
    assert rt.Trace.from_json(text).meta == rt.Trace.from_json(text.encode()).meta == {"x": [None, None]}
    with pytest.raises(rt.TraceInvalid, match="prompt: must be a string, not null"):
        rt.Trace.from_json(text.replace('"p"', "NaN"))
    with pytest.raises(rt.TraceInvalid, match="invalid JSON at line 1, column 86"):
        rt.Trace.from_json(text + "}}")


@pytest.mark.slow
def test_a_text_of_megabytes_is_stored_exactly(tmp_path):
    long = "\uffff é\t\x01" * 1_500_000
    with rt.TraceStore(tmp_path / "t.duckdb", settings=rt.Settings(trace_max_bytes=10_485_760)) as store:
        with pytest.raises(rt.TraceTooLarge):
            store.add(TRACE | {"meta": {"x": long}})
        long = long[: 10_485_000 // 12]
        store.add(TRACE | {"meta": {"x": long}})
        assert store.latest().payload.meta == {"x": long}


numpy_scalars = st.one_of(
    st.floats(width=32).map(np.float32),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.booleans().map(np.bool_),
    st.text(max_size=3).map(np.str_),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: np.datetime64(n, "ms")),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    # Hypothesis puts values into a set, in which a signaling NaN cannot be.
    st.decimals().filter(lambda number: not number.is_snan()),
    st.text(st.characters(codec=None), max_size=5),
    st.binary(max_size=5),
    st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-12)))),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from([Colour.RED, Level.HIGH, object(), print, 10**400, 1j, PurePosixPath("a")]),
    st.sampled_from([4_299, 4_300]).map(lambda digits: 10**digits),
    numpy_scalars,
)
keys = st.text(max_size=3) | st.integers(0, 3) | st.booleans() | st.none() | st.sampled_from([Colour.RED, (1,), 0.5])
foreign = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.lists(inner, max_size=3).map(lambda items: Score(*[items, None])),
        st.frozensets(scalars.filter(lambda value: getattr(type(value), "__hash__", None)), max_size=3),
        st.dictionaries(keys, inner, max_size=3),
        st.lists(st.floats(), max_size=3).map(np.array),
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    with rt.TraceStore(tmp_path_factory.mktemp("drawn") / "t.duckdb") as store:
        yield store


@pytest.mark.slow
@given(foreign)
def test_a_value_is_refused_or_comes_back_as_the_same_json_whichever_way_it_goes_in(drawn, value):
    row = TRACE | {"meta": {"x": value}}
    (loaded,) = Reading(SourceRows([row], "rows"), format=format_named("trace"))
    try:
        record = drawn.add(row)
    except rt.TraceInvalid as error:
        refused = error.problems[0]
    else:
        refused = None
    if refused is not None:
        # A number of too many digits is refused by the parser, which knows its column and not its field.
        assert loaded.field is None or loaded.field.startswith("meta")
        assert refused.field.startswith("meta")
        return
    assert encode(loaded.trace, 10**7) == encode(record.payload, 10**7)
    assert json.loads(json.dumps({"x": plain(value)}, allow_nan=False)) == record.payload.meta
    back = drawn.get(record.id).payload
    assert back == record.payload
    assert json.dumps(back.meta) == json.dumps(record.payload.meta)
    same = plain(value)
    if isinstance(same, int) and abs(same) >= 2**1024:
        with pytest.raises(rt.QueryInvalid, match=r"must be a number of at most 1\.8e308"):
            drawn.count(ids=[record.id], meta={"x": value})
    elif same is not None:
        assert drawn.count(ids=[record.id], meta={"x": value}) == 1


def test_what_the_fast_parser_of_json_refuses_is_read_by_python():
    assert parsed('["\\ud800", NaN, 1]') == ["\ud800", None, 1]
    assert parsed('["\ud800"]') == ["\ud800"]
    assert parsed('{"a": "é"}'.encode("utf-16")) == {"a": "é"}
    assert parsed("[1e400]") == [math.inf]
    deep = parsed("[" * 300 + "]" * 300)
    assert len(deep) == 1
    with pytest.raises(ValueError, match="Expecting value"):
        parsed("[1,")
