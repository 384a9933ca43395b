"""Errors, results and stores go to other processes, and copies of them are worth what they are."""

import copy
import multiprocessing
import pickle

import pytest

import tunix_rt as rt
from tests.test_load import lines, rows, write
from tunix_rt.cli import output
from tunix_rt.errors import Problem
from tunix_rt.server.error_status import BatchInvalid, RequestInvalid
from tunix_rt.widgets.upload import _Cancelled

WAYS = [
    copy.copy,
    copy.deepcopy,
    *(lambda it, protocol=n: pickle.loads(pickle.dumps(it, protocol)) for n in range(pickle.HIGHEST_PROTOCOL + 1)),  # noqa: S301
]


def subclasses(kind):
    return {kind}.union(*map(subclasses, kind.__subclasses__()))


ERRORS = [
    *(
        kind("runs.duckdb: \x1b[2J says\nwhy")
        for kind in sorted(subclasses(rt.TunixRTError), key=str)
        if not issubclass(kind, rt.TraceInvalid | RequestInvalid) and kind.__module__.startswith("tunix_rt.")
    ),
    rt.TraceInvalid(Problem("steps.0", "is bad"), Problem(None, "stops", (3, 4))),
    rt.TraceInvalid(Problem("steps.0", "is bad")).within("traces.7"),
    BatchInvalid(Problem(None, "holds no traces")),
    RequestInvalid("query", Problem("limit", "must be a number")),
    rt.TraceTooLarge(2_000_000, 1_048_576),
]


def test_no_class_of_errors_is_left_out():
    ours = {kind for kind in subclasses(rt.TunixRTError) if kind.__module__.startswith("tunix_rt.")}
    assert ours == {type(error) for error in ERRORS}
    assert {_Cancelled, BatchInvalid} < ours
    assert output.ExportFailed in ours


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled_and_copied(error):
    for way in WAYS:
        again = way(error)
        assert again is not error
        assert type(again) is type(error)
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("way", WAYS)
def test_the_data_of_an_error_goes_with_it(way):
    assert way(rt.StoreBusy("held", holder=7)).holder == 7
    assert way(rt.StoreDamaged("cut off", missing=3)).missing == 3
    assert way(rt.SourceInvalid("unknown", fields=["q", "a"])).fields == ("q", "a")
    assert (way(rt.StoreBusy("held")).holder, way(rt.StoreDamaged("cut off")).missing) == (None, None)
    assert way(rt.SourceInvalid("missing")).fields == ()


@pytest.mark.parametrize("way", WAYS)
def test_what_was_added_to_an_error_goes_with_it(way):
    error = rt.StoreBusy("runs.duckdb: is held")
    error.holder, error.errno, error.filename = {"pid": 7}, 11, "runs.duckdb"
    error.add_note("3 added before this")
    again = way(error)
    assert isinstance(again, TimeoutError)
    assert (again.holder, again.errno, again.filename) == ({"pid": 7}, 11, "runs.duckdb")
    assert (again.__notes__, str(again)) == (["3 added before this"], str(error))


def add_too_much(store):
    store.add({"prompt": "p" * 2**21, "steps": [], "final_answer": None, "trace_version": "1.1"})


def add_one(store):
    return store.add(rt.Trace(prompt="from a worker", steps=["s"], final_answer="a"))


@pytest.mark.slow
def test_a_worker_opens_the_store_and_its_errors_come_back(store):
    store.add(rt.Trace(prompt="from here", steps=["s"], final_answer="a"))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(rt.TraceTooLarge, match="exceeds maximum of") as caught:
            pool.apply_async(add_too_much, (store,)).get(timeout=60)
        assert len(caught.value.problems) == 1
        record = pool.apply_async(add_one, (store,)).get(timeout=60)
    assert store.get(record.id) == record
    assert store.count() == 2


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, WAYS[-1]])
def test_a_copy_of_a_store_is_the_same_store(store, way):
    store.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))
    settings = rt.Settings(trace_max_bytes=2_000, pool_timeout=1)
    again = way(rt.TraceStore(store.path, settings=settings))
    assert (again.path, again.settings, again.count()) == (store.path, settings, 1)
    again.add(rt.Trace(prompt="q", steps=["s"], final_answer="a"))
    assert store.count() == 2
    with pytest.raises(rt.TraceTooLarge):
        again.add(rt.Trace(prompt="p" * 2_000, steps=["s"], final_answer="a"))
    reader = way(rt.TraceStore(store.path, read_only=True))
    with pytest.raises(rt.StoreReadOnly):
        reader.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))


def test_results_can_be_pickled_and_copied(store):
    report = store.load(write("a.jsonl", lines(rows(25)) + "{}\n" + '{"prompt": 3}\n'))
    record = store.latest()
    table = store.sql("select id, created_at, steps, meta, 1::decimal(9, 2) as money from traces order by id")
    results = [report, *report.rejected, *report.samples, table, record, record.payload, *store.page(), store.info()]
    results += [store.verify(progress=False), store.health(), store.compact(progress=False)]
    results += [rt.health(store), *ERRORS[-2].problems]
    for way in WAYS:
        for result in results:
            again = way(result)
            assert type(again) is type(result)
            assert (str(again), repr(again)) == (str(result), repr(result))
        assert vars(way(report)) == vars(report)
        assert way(table).arrow() == table.arrow()
        assert way(record) == record


def test_a_copied_page_can_be_turned(store):
    store.load(write("a.jsonl", lines(rows(25))))
    ids = [record.id for record in store.records()]
    for way in WAYS:
        page = way(store.page(limit=10, ids=iter(ids)))
        assert [record.id for record in page] == ids[:10]
        assert [record.id for record in way(page.next_page())] == ids[10:20]
        assert way(page.next_page()).previous_page().records == page.records


def test_a_copy_keeps_the_path_of_its_store(tmp_path, monkeypatch):
    store = rt.TraceStore("here.duckdb")
    pickled = pickle.dumps(store)
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).path == store.path  # noqa: S301
