"""Lines read without the models: what is accepted, and as what, is exactly what `Trace` says."""

import contextlib
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tunix_rt.formats.native import NativeReader
from tunix_rt.formats.rows.found import plain_draft
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.trace_fields import accepted_fields, fields_of
from tunix_rt.json_values import plain
from tunix_rt.model import LIMITS_1_0, MAX_STEP_INDEX
from tunix_rt.store.engine.rows import encode
from tunix_rt.validation import MAX_META_DEPTH

STEP = {"i": 0, "type": "think", "content": "2 + 2 = 4"}
ROW = {"prompt": "2 + 2?", "steps": [STEP], "final_answer": "4"}


def nested(depth, innermost):
    return innermost if depth == 0 else {"a": nested(depth - 1, innermost)}


def long(name, more):
    return st.just("x" * (LIMITS_1_0[name] + more))


def object_of(fields):
    """A JSON object as text, its keys in any order, any of them twice."""
    pairs = st.tuples(*(st.tuples(st.just(key), value) for key, value in fields.items())).map(list)
    some = pairs.flatmap(
        lambda all_of_them: st.lists(st.sampled_from(all_of_them), max_size=2).map(all_of_them.__add__)
    )
    shuffled = some.flatmap(st.permutations)
    return shuffled.map(lambda pairs: "{" + ", ".join(f"{json.dumps(k)}: {v}" for k, v in pairs if v) + "}")


def as_json(values):
    return values.map(json.dumps)


texts = st.text(max_size=5) | st.sampled_from(["", "a\0b", "\\u0000", "\ud83d\ude00", "\ud800", "é\n"])
odd = st.sampled_from([None, True, 0, 1.0, "", [], {}, float("nan")])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
metas = st.dictionaries(texts, st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
deep = st.builds(nested, st.integers(MAX_META_DEPTH - 1, MAX_META_DEPTH + 2), st.sampled_from([1, "s", 0.5, [], {}]))
indices = st.integers(0, 3) | st.sampled_from([-1, MAX_STEP_INDEX, MAX_STEP_INDEX + 1, 10**30])
names = texts | st.sampled_from(["t" * 64, "t" * 65])
absent = st.just("")
steps = object_of(
    {
        "i": as_json(indices | odd),
        "type": as_json(names | odd),
        "content": as_json(texts | long("content", 0) | long("content", 1) | odd),
        "extra": absent | absent | absent | st.just("1"),
    }
)
usual_steps = as_json(st.integers(0, 5).map(lambda i: STEP | {"i": i}))
lists_of_steps = st.lists(usual_steps | steps, max_size=4).map(lambda some: "[" + ",".join(some) + "]")
many_steps = st.integers(999, 1_001).map(lambda n: json.dumps([STEP | {"i": i} for i in range(n)]))
traces = object_of(
    {
        "trace_version": absent | as_json(st.sampled_from(["1.0", "1.1", "", "v" * 64, "v" * 65]) | odd),
        "prompt": as_json(st.just("p") | texts | long("prompt", 0) | long("prompt", 1) | odd),
        "steps": lists_of_steps | many_steps | st.just('["plain"]') | as_json(odd),
        "final_answer": as_json(st.just("a") | texts | long("final_answer", 0) | long("final_answer", 1) | odd),
        "meta": absent | as_json(metas | deep | odd),
        "extra": absent | absent | absent | st.just("1"),
    }
)
usual = st.sampled_from(["1.0", "1.1", "2"]).flatmap(
    lambda version: st.fixed_dictionaries(
        {"trace_version": st.just(version), "prompt": texts, "steps": st.just([STEP]), "final_answer": texts},
        optional={"meta": metas | deep},
    )
)


@given(traces | as_json(usual) | st.text())
def test_what_is_read_without_the_models_is_what_trace_reads(text):
    line = text.encode(errors="surrogatepass")
    found = fields_of(line)
    if found is not None:
        assert encode(found[0], 10**7) == encode(rt.Trace.from_json(line), 10**7)


step_fields = st.fixed_dictionaries({"i": indices, "type": names, "content": texts | long("content", 1)})


@pytest.mark.slow
@given(
    st.sampled_from(["p", "", "x" * (LIMITS_1_0["prompt"] + 1)]) | texts,
    st.lists(texts) | st.lists(step_fields, max_size=3) | st.just(["x"] * 1_001),
    texts | st.none() | long("final_answer", 1),
    metas | deep.map(lambda value: {"a": value}),
)
def test_what_a_reader_found_is_stored_as_the_trace_of_it(prompt, steps, final_answer, meta):
    given = {"prompt": prompt, "steps": steps, "final_answer": final_answer, "meta": plain(meta)}
    row = Row("f", 1, value={})
    for version in ("1.0", "1.1"):
        with contextlib.suppress(rt.TraceInvalid):
            trace = rt.Trace(**given, trace_version=version)
            assert encode(plain_draft(row, **given).trace, 10**7) == encode(trace, 10**7)
            return
    with pytest.raises(rt.TraceInvalid) as expected:
        rt.Trace(**given, trace_version="1.1")
    with pytest.raises(rt.TraceInvalid) as said:
        plain_draft(row, **given)
    assert said.value.problems == expected.value.problems


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"trace_version": "1.1", "steps": [], "final_answer": None},
        {"trace_version": "v" * 64},
        {"prompt": "p" * LIMITS_1_0["prompt"], "final_answer": "a" * LIMITS_1_0["final_answer"]},
        {"steps": [STEP | {"i": i} for i in range(LIMITS_1_0["steps"])]},
        {"steps": [{"content": "c" * LIMITS_1_0["content"], "type": "t" * 64, "i": MAX_STEP_INDEX}]},
        {"meta": None},
        {"meta": {"b": [0.5, {"é": None}], "a": "\U0001f600"}},
        {"meta": nested(MAX_META_DEPTH - 1, {})},
    ],
)
def test_usual_traces_need_no_models_and_give_the_same_line_and_digest(changed):
    line = json.dumps(ROW | changed).encode()
    fields, *_ = fields_of(line)
    assert encode(fields, 10**7) == encode(rt.Trace.from_json(line), 10**7)


def test_a_line_keeps_the_order_of_the_format_and_the_digests_that_stores_hold():
    backwards = dict(reversed((ROW | {"meta": {"b": 1, "a": [1.5, "é"]}}).items()))
    (draft,) = NativeReader().found(Row("f", 1, raw=json.dumps(backwards).encode()))
    line, digest = encode(draft.trace, 10**6)
    assert line.joined().decode() == (
        '{"trace_version":"1.0","prompt":"2 + 2?","steps":[{"i":0,"type":"think","content":"2 + 2 = 4"}],'
        '"final_answer":"4","meta":{"b":1,"a":[1.5,"é"]}}'
    )
    # Another digest would make every trace in every store unknown, and a load would add it again.
    assert digest.hex() == "56388299347304503314012f9a66008c"  # pragma: allowlist secret


def test_id_and_time_stand_beside_the_fields():
    stamped = ROW | {"id": "019b76e2-4908-718c-8375-fcf4f3002c1a", "created_at": "2025-12-31T23:00:00.000001+01:00"}
    fields, trace_id, created_at, scores = fields_of(json.dumps(stamped).encode())
    assert scores is None
    assert fields == {"trace_version": "1.0"} | ROW
    assert trace_id == UUID("019b76e2-4908-718c-8375-fcf4f3002c1a")
    assert (created_at, created_at.tzinfo) == (datetime(2025, 12, 31, 22, 0, 0, 1, tzinfo=UTC), UTC)


@pytest.mark.parametrize("bad", ["a\ud800", "a\0b"])
@pytest.mark.parametrize("where", ["prompt", "final_answer", "type", "content"])
def test_texts_that_no_store_keeps_are_left_to_trace(bad, where):
    fields = {
        "trace_version": "1.0",
        "prompt": "p",
        "steps": [{"i": 0, "type": "t", "content": "c"}],
        "final_answer": "a",
    }
    assert accepted_fields(fields)
    (fields if where in fields else fields["steps"][0])[where] = bad
    assert accepted_fields(fields) is None
