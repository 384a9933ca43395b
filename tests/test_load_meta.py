"""What a load adds to the meta of each trace: `load(..., meta={"run": "A"})`."""

import json
import threading
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.made_ready import apart
from tests.test_cli import call, said
from tunix_rt.formats import Reading
from tunix_rt.store.ingest import encoding
from tunix_rt.workers import Workers

ROW = {"prompt": "2 + 2?", "steps": ["2 + 2 = 4"], "final_answer": "4"}
CHAT = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}


def lines(name, *given):
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in given), encoding="utf-8")
    return name


def metas(store, **filters):
    return [record.payload.meta for record in store.records(newest_first=False, **filters)]


def test_it_is_added_to_each_trace_and_goes_before_what_the_row_has(store):
    path = lines("a.jsonl", ROW, ROW | {"prompt": "3?", "meta": {"run": "old", "lr": 0.1}})
    given = {"run": "A", "config": {"temperature": 1.0}}
    assert store.load(path, meta=given, progress=False).added == 2
    assert metas(store) == [given, {**given, "lr": 0.1}]
    assert store.count(run="A") == 2
    # The source that a reader names, too; a file of another format, of rows, of traces.
    for rows in (lines("chat.jsonl", CHAT), [CHAT], [rt.Trace(**ROW)], [rt.Trace(**ROW, meta={"source": "s"})]):
        with rt.TraceStore(":memory:") as other:
            assert other.load(rows, meta={"source": "mine", "run": "A"}, progress=False).added == 1
            (meta,) = metas(other)
            assert (meta["source"], meta["run"], other.count(source="mine")) == ("mine", "A", 1)


def test_the_same_file_adds_nothing_again_wherever_it_is_and_another_run_is_another(store):
    path = lines("a.jsonl", ROW, ROW)
    assert store.load(path, meta={"run": "A", "n": 1}, progress=False).added == 2
    Path("elsewhere").mkdir()
    moved = Path(path).rename("elsewhere/b.jsonl")
    again = store.load(moved, meta={"n": 1, "run": "A"}, progress=False)
    assert (again.added, again.already_stored) == (0, 2)
    assert store.load(moved, meta={"run": "B", "n": 1}, progress=False).added == 2
    # Nothing to add is no other meta.
    assert store.load(moved, progress=False).added == 2
    assert store.load(moved, meta={}, progress=False).added == 0
    # An export has it, and comes back.
    store.export("out.jsonl", progress=False)
    with rt.TraceStore(":memory:") as copy:
        assert copy.load("out.jsonl", progress=False).added == 6
        assert (copy.count(run="A"), copy.load("out.jsonl", meta={}, progress=False).added) == (2, 0)


@pytest.mark.slow
def test_all_ways_to_read_a_file_add_it(monkeypatch):
    native = lines("native.jsonl", *(ROW | {"trace_version": "1.0", "meta": {"run": "old", "n": n}} for n in range(3)))
    plain = {
        "trace_version": "1.0",
        "prompt": "é",
        "steps": [{"i": 0, "type": "a", "content": "b"}],
        "final_answer": "c",
    }
    Path("plain.jsonl").write_text(
        json.dumps(plain, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8"
    )
    chat = lines("chat.jsonl", *([CHAT] * 3))
    monkeypatch.setattr(encoding, "LARGE_FILE_BYTES", 1)
    monkeypatch.setattr(encoding, "_FEW_BYTES", 1)

    def found(path, workers):
        with Reading(Path(path)) as reading:
            ready = list(encoding.all_encoded(reading, 10_000, workers, {"run": "A"}))
        return [(json.loads(meta), digest) for _, meta, digest, *_ in apart(ready)]

    with Workers(1) as workers:
        for path in (native, "plain.jsonl", chat):
            by_workers, alone = found(path, workers), found(path, None)
            assert by_workers == alone
            assert {meta["run"] for meta, _ in alone} == {"A"}
    assert [meta["n"] for meta, _ in found(native, None)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (3, "meta=3: cannot be added to each trace: meta: must be an object"),
        ([("run", "A")], "cannot be added to each trace"),
        ({"a": object()}, r"cannot be added to each trace: meta\.a"),
        ({"a": "\0"}, "NUL"),
        ({"a": "\ud800"}, r"meta\.a"),
        ({"a": "x" * 2_000_000}, "meta: has 2,000,008 bytes of JSON; a trace may have 1,048,576 in all"),
    ],
)
def test_what_no_trace_could_have_is_refused_once_before_anything_is_read(store, meta, message):
    with pytest.raises(rt.QueryInvalid, match=message):
        store.load("not there.jsonl", meta=meta, progress=False)
    with pytest.raises(rt.QueryInvalid, match=message):
        store.watch("not there", meta=meta)


def test_a_trace_that_becomes_too_large_is_rejected(store):
    path = lines("a.jsonl", ROW, ROW | {"meta": {"x": "y" * 1_000_000}})
    report = store.load(path, meta={"note": "z" * 100_000}, progress=False)
    assert (report.added, report.rejected_count) == (1, 1)


@pytest.mark.slow
def test_a_watch_and_the_command_line_add_it(store):
    Path("runs").mkdir()
    lines("runs/a.jsonl", ROW)
    stop = threading.Event()
    stop.set()
    (report,) = store.watch("runs", meta={"run": "A"}, stop=stop)
    assert (report.added, store.count(run="A")) == (1, 1)
    call("load", "runs/a.jsonl", "--meta", "run=A", "--meta", "training_step=20", "--meta", "tag=1e", "-q")
    call("watch", "runs", "--once", "--meta", "run=B", "-q")
    assert metas(rt.TraceStore()) == [{"run": "A", "training_step": 20, "tag": "1e"}, {"run": "B"}]
    assert "--meta run: must be KEY=VALUE" in said("load", "runs/a.jsonl", "--meta", "run", status=2)
    assert "--meta run=B: the key is given twice" in said("load", "a", "--meta", "run=A", "--meta", "run=B", status=2)
    assert "--meta =B: the key is missing" in said("watch", "a", "--meta", "=B", status=2)
