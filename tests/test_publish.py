"""Traces and scores go to a lake or another store and back: each once, whatever stops or meets them."""

import signal
import threading

import pytest

import tunix_rt as rt
from tests.processes import ended, start
from tunix_rt.store import transfer

ALL = "select * from {} order by all"


def filled(path, n=60):
    store = rt.TraceStore(path)
    store.load(
        [
            {
                "trace_version": "1.1",
                "prompt": f"{number}?",
                "steps": [f"I think of {number}, é, <b> and 'quotes'"],
                "final_answer": None if number % 7 == 0 else str(number),
                "meta": {"source": "odd" if number % 2 else "even", "n": [number, 1e300, None]},
            }
            for number in range(n)
        ],
        progress=False,
    )
    store.score("structure", progress=False)
    return store


@pytest.fixture
def source(tmp_path):
    with filled(tmp_path / "source.duckdb") as store:
        yield store


@pytest.fixture(params=["store", "lake"])
def target(request, tmp_path):
    address = f"delta:{tmp_path / 'lake'}" if request.param == "lake" else tmp_path / "target.duckdb"
    with rt.connect(address) as one:
        yield one


def everything(store):
    return [store.sql(ALL.format(table)).arrow().to_pylist() for table in ("traces", "scores")]


@pytest.mark.slow
def test_what_is_not_there_yet_comes_with_its_scores_and_back_again(source, target, tmp_path):
    report = source.publish(target, progress=False, source="odd")
    assert (report.traces, report.new, report.already_there, report.scores) == (30, 30, 0, 30)
    latest = source.latest()
    source.label(latest, "good", annotator="ann")
    source.label(latest, "bad", step=0, annotator="ann", note="é")
    report = source.publish(target, progress=False)
    assert (report.traces, report.new, report.already_there, report.scores) == (60, 30, 30, 32)
    assert everything(target) == everything(source)
    again = source.publish(target, progress=False)
    assert (again.new, again.already_there, again.scores, again.differing) == (0, 60, 0, ())
    # What another person has said there meanwhile comes back, beside what was said here.
    target.label(target.latest(), "unsure", annotator="ann")
    assert source.pull(target, progress=False).scores == 1
    assert [row[0] for row in source.sql("select label from labels where step is null order by sample").rows] == [
        "good",
        "unsure",
    ]
    with rt.TraceStore(tmp_path / "third.duckdb") as third:
        assert third.pull(target, progress=False, max_chars=18, where="n_chars > 0").new == source.count(max_chars=18)
        assert third.pull(target, progress=False).traces == 60
        assert everything(third) == everything(source)
        assert third.verify(progress=False).ok


def test_the_report_shows_what_was_done(source, target):
    report = source.publish(target, progress=False)
    assert "60 new, 0 already there, 60 scores" in repr(report)
    assert report.to_dict()["target"] == report.target
    assert "already there" in str(report)


def test_a_trace_that_is_another_one_under_the_same_id_is_left_and_named(source, target):
    source.publish(target, progress=False)
    latest = source.latest()
    with source._session.transaction() as cursor:
        cursor.execute("update traces set digest = uuid() where id = ?", [latest.id])
    source.score(lambda _: 1, name="one", version="1", progress=False)
    report = source.publish(target, progress=False)
    assert (report.new, report.already_there, report.scores) == (0, 60, 59)
    assert report.differing == (latest.id,)
    assert "others under the same id" in str(report)
    assert target.get(latest.id).payload == latest.payload


@pytest.mark.slow
def test_large_traces_go_one_by_one(tmp_path, target):
    with rt.TraceStore(tmp_path / "large.duckdb") as store:
        step = "x" * 19_000
        store.add_many(
            [
                {"trace_version": "1.1", "prompt": f"{n}", "steps": [step] * 45, "final_answer": None, "meta": {"n": n}}
                for n in range(6)
            ]
        )
        assert store.publish(target, progress=False).new == 6
        assert [one.payload for one in target.records()] == [one.payload for one in store.records()]


def test_an_empty_store_and_filters_that_nothing_passes(source, target, tmp_path):
    assert source.publish(target, progress=False, source="none").traces == 0
    with rt.TraceStore(tmp_path / "empty.duckdb") as empty:
        assert empty.publish(target, progress=False).traces == 0
        assert empty.pull(target, progress=False).traces == 0


def test_what_stops_it_half_way_loses_and_doubles_nothing(source, target, monkeypatch):
    committed = transfer._committed

    def then_stopped(*given):
        committed(*given)
        raise KeyboardInterrupt

    # After the traces and before their scores.
    monkeypatch.setattr(transfer, "_committed", then_stopped)
    with pytest.raises(KeyboardInterrupt) as caught:
        source.publish(target, progress=False)
    assert "the same call again brings what is left" in caught.value.__notes__[0]
    monkeypatch.undo()
    report = source.publish(target, progress=False)
    assert (report.new, report.already_there, report.scores) == (0, 60, 60)
    assert everything(target) == everything(source)


PUBLISH = """
import sys, tunix_rt as rt
from tunix_rt.store.query import scan
# Many small pieces, so that they meet.
scan._PIECE_ROWS = 32
with rt.TraceStore(sys.argv[1]) as store, rt.connect(sys.argv[2]) as lake:
    print("begun", flush=True)
    report = store.publish(lake, progress=False)
    print(report.new, report.scores, flush=True)
"""


@pytest.mark.slow
def test_several_publish_at_once_and_nothing_is_there_twice(tmp_path):
    filled(tmp_path / "a.duckdb", 200).close()
    with rt.TraceStore(tmp_path / "a.duckdb") as first:
        first.backup(tmp_path / "b.duckdb")
    address = f"delta:{tmp_path / 'lake'}"
    outputs = [tmp_path / name for name in ("a.txt", "b.txt")]
    stores = [tmp_path / name for name in ("a.duckdb", "b.duckdb")]
    processes = [start(PUBLISH, store, address, output=out) for store, out in zip(stores, outputs, strict=True)]
    assert [ended(one) for one in processes] == [0, 0]
    new = [tuple(map(int, out.read_text().splitlines()[-1].split())) for out in outputs]
    assert [sum(counts) for counts in zip(*new, strict=True)] == [200, 200]
    with rt.TraceStore(stores[0]) as first:
        assert everything(rt.connect(address)) == everything(first)


@pytest.mark.crash
def test_a_publisher_that_is_killed_leaves_what_the_next_one_completes(tmp_path):
    filled(tmp_path / "a.duckdb", 2_000).close()
    address = f"delta:{tmp_path / 'lake'}"
    for seconds in (0.2, 0.5):
        process = start(PUBLISH, tmp_path / "a.duckdb", address, output=tmp_path / "out.txt")
        threading.Event().wait(seconds)
        process.kill()
        assert ended(process) in (-signal.SIGKILL, 0)
    with rt.TraceStore(tmp_path / "a.duckdb") as store:
        target = rt.connect(address)
        report = store.publish(target, progress=False)
        assert report.new + report.already_there == 2_000
        assert everything(target) == everything(store)


def test_what_cannot_be_published_to(source, tmp_path):
    with pytest.raises(rt.QueryInvalid, match="is not a store or a lake"):
        source.publish(str(tmp_path))
    with pytest.raises(rt.QueryInvalid, match="cannot be published to itself"):
        source.pull(source)
    source.close()
    read_only = rt.TraceStore(source.path, read_only=True)
    with pytest.raises(rt.StoreReadOnly):
        read_only.pull(rt.TraceStore(tmp_path / "other.duckdb"))
    with pytest.raises(rt.QueryInvalid, match="unknown filter"):
        source.publish(read_only, color="red")


def test_traces_that_are_lost_after_they_were_written_are_an_error(source, tmp_path, monkeypatch):
    with rt.TraceStore(tmp_path / "target.duckdb") as target:
        monkeypatch.setattr(transfer, "_insert", lambda *_: 0)
        with pytest.raises(rt.StoreDamaged, match="60 traces that were written there a moment ago are missing"):
            source.publish(target, progress=False)
