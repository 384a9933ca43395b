"""Traces of any size and shape up to the limit, more of them than fit into the memory that a store may use at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunix_rt as rt

pytestmark = pytest.mark.slow

LARGEST = 10 * 2**20
SETTINGS = rt.Settings(trace_max_bytes=LARGEST, memory_limit=400_000_000)


def _trace(kind, n_bytes):
    """A trace of this kind whose JSON has about so many bytes."""
    parts = {"prompt": kind, "steps": ["s"], "final_answer": "a", "trace_version": "1.1"}
    n = max(1, n_bytes - 200)
    return rt.Trace(
        **parts
        | {
            "prompt": lambda: {"prompt": "x" * n},
            "chinese": lambda: {"final_answer": "数" * (n // 3)},
            "steps": lambda: {"steps": ["s"] * (n // 40 + 1)},
            "numbers": lambda: {"meta": {"ids": [7] * (n // 2)}},
            "floats": lambda: {"meta": {"logprobs": [-0.123456789] * (n // 13)}},
            "objects": lambda: {"meta": {"tokens": [{"t": 1}] * (n // 8)}},
        }[kind]()
    )


KINDS = ("prompt", "chinese", "steps", "numbers", "floats", "objects")
SIZES = st.one_of(st.integers(1_000, 200_000), st.integers(200_000, LARGEST - 1_000))


@settings(max_examples=4)
@given(drawn=st.lists(st.tuples(st.sampled_from(KINDS), SIZES), min_size=1, max_size=6))
def test_traces_of_any_size_and_shape_come_back_as_they_were(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("large")
    traces = [_trace(kind, n_bytes) for kind, n_bytes in drawn]
    store = rt.TraceStore(folder / "runs.duckdb", settings=SETTINGS)
    ids = [store.add(trace).id for trace in traces]
    assert store.count() == len(traces)
    assert [store.get(one).payload for one in ids] == traces
    assert len(store.page(limit=100)) == len(traces)
    assert store.export(folder / "all.jsonl").rows == len(traces)
    again = rt.TraceStore(folder / "again.duckdb", settings=SETTINGS)
    assert (again.load(folder / "all.jsonl").added, again.verify(progress=False).ok) == (len(traces), True)
    for each in (store, again):
        each.close()


def test_many_traces_of_a_megabyte_are_stored_and_read(tmp_path):
    """They were acknowledged, and then every read failed."""
    path = tmp_path / "runs.duckdb"
    store = rt.TraceStore(path)
    for n in range(30):
        store.add(rt.Trace(prompt=f"{n}", steps=["x" * 1_000_000], final_answer="a", trace_version="1.1"))
    assert rt.TraceStore(path).count() == 30
    assert len(store.page(limit=30)) == 30


def test_many_traces_with_ids_and_logprobs_are_stored_and_read(tmp_path):
    path = tmp_path / "runs.duckdb"
    store = rt.TraceStore(path)
    meta = {"token_ids": list(range(4_000)), "logprobs": [-n / 7 for n in range(4_000)]}
    traces = [rt.Trace(prompt=f"{n}", steps=["s"], final_answer="a", meta=meta) for n in range(400)]
    store.add_many(traces)
    assert store.count() == 400
    lines = tmp_path / "all.jsonl"
    lines.write_text("".join(f"{trace.to_json()}\n" for trace in traces))
    assert store.load(lines, progress=False).already_stored == 400


def test_a_fold_that_takes_too_much_memory_takes_fewer_traces_at_once(tmp_path):
    """As with a setting that is lower than any that is accepted: nothing waits for traces of 10 MB."""
    low = rt.Settings.model_construct(**rt.Settings().model_dump() | {"memory_limit": 24_000_000})
    store = rt.TraceStore(tmp_path / "runs.duckdb", settings=low)
    for n in range(40):
        store.add(rt.Trace(prompt=f"{n}", steps=["s"], final_answer="a", meta={"ids": [1] * 60_000}))
    assert store.count() == 40
    lines = tmp_path / "all.jsonl"
    many_steps = [_trace("steps", 200_000 + n) for n in range(24)]
    lines.write_text("".join(f"{trace.to_json()}\n" for trace in many_steps))
    assert store.load(lines, progress=False).added == 24
