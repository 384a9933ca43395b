"""Scoring by worker processes: the same as in process, with a time-out for each trace."""

import sys
import threading
from uuid import UUID

import pytest

import tunix_rt as rt
from tests.score_functions import hangs, of_every_kind, reward
from tunix_rt.store.scores import by_workers, run

KINDS = ("number", "raises", "prints", "exits", "label", "nothing", "nan", "wrong type", "evidence", "reason")
COLUMNS = "trace_id, step, scorer, version, params, sample, value, label, answer, explanation, reason, metadata"


@pytest.fixture
def rollouts(store):
    """Three of each kind, with one long trace between them."""
    for n, kind in enumerate(KINDS * 3):
        steps = ["I count. " * (2_000 if n == 13 else 1)]
        meta = {"expected_answer": "4", "extra": {"level": n if n % 2 else None}}
        store.add({"trace_version": "1.1", "prompt": kind, "steps": steps, "final_answer": str(n), "meta": meta})
    return store


def stored(store):
    return store.sql(f"select {COLUMNS} from scores order by rowid").rows


@pytest.mark.slow
@pytest.mark.parametrize("scorer", [of_every_kind, reward])
def test_workers_store_the_same_scores_in_the_same_order_and_report_the_same(rollouts, scorer, monkeypatch):
    # Pieces of a few traces, so that there are some.
    monkeypatch.setattr(by_workers, "_MOST_ROWS", 4)
    monkeypatch.setattr(by_workers, "_FIRST_ROWS", 4)
    expected = rollouts.score(scorer, progress=False)
    in_process = stored(rollouts)
    with rollouts._session.transaction() as cursor:
        cursor.execute("delete from scores")
    report = rollouts.score(scorer, workers=2, progress=False)
    assert stored(rollouts) == in_process
    assert len(in_process) == 3 * len(KINDS)
    expected.seconds = report.seconds
    assert report == expected
    assert rollouts.score(scorer, workers=2, progress=False).already_scored == 3 * len(KINDS)


@pytest.mark.slow
def test_a_trace_that_takes_too_long_is_a_reason_and_the_others_are_scored(rollouts):
    report = rollouts.score(hangs, workers=1, timeout=1, progress=False, ids=[one.id for one in first(rollouts, 4)])
    [(number, said)] = rollouts.sql("select trace_id, explanation from scores where reason = 'timeout'").rows
    assert said == "a task took longer than 1 s, and its worker process was ended"
    assert (report.scored, report.unscorable, report.errors) == (3, {"timeout": 1}, {UUID(number): said})
    assert rollouts.get(number).payload.prompt == "number"
    assert "timeout" in str(report)


def first(store, n):
    return [record for record, _ in zip(store.records(newest_first=False), range(n), strict=False)]


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_scored_and_ends_the_workers(rollouts, monkeypatch):
    monkeypatch.setattr(run, "_CHUNK_ROWS", 5)

    def interrupted(done, _):
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        rollouts.score(of_every_kind, workers=1, progress=interrupted)
    n_stored = rollouts.scores().n_rows
    assert 10 <= n_stored < 30
    assert caught.value.__notes__[0].startswith("stopped after ")
    assert not [one for one in threading.enumerate() if one.name.startswith("tunix_rt-worker")]
    assert rollouts.score(of_every_kind, progress=False).already_scored == n_stored
    assert rollouts.scores().n_rows == 30


@pytest.mark.slow
def test_a_function_of_the_notebook_goes_to_workers_with_its_code(rollouts, monkeypatch):
    factor = 3

    def tripled(trace):
        return factor * len(trace.payload.prompt)

    assert rollouts.score(tripled, workers=1, progress=False).scored == 30
    lock = threading.Lock()
    with pytest.raises(rt.QueryInvalid, match=r"cannot be sent to a worker process \(TypeError: .*lock"):
        rollouts.score(lambda trace: lock.locked(), name="locked", workers=1, progress=False)  # noqa: ARG005
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(rt.QueryInvalid, match="; pip install cloudpickle, or define it in a module"):
        rollouts.score(tripled, version="2", workers=1, progress=False)
    monkeypatch.setattr(of_every_kind, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "of_every_kind", of_every_kind, raising=False)
    with pytest.raises(rt.QueryInvalid, match=r"defined in a notebook or script, .* pip install cloudpickle"):
        rollouts.score(of_every_kind, workers=1, progress=False)


@pytest.mark.slow
def test_flags_by_workers_are_the_same(rollouts):
    expected = rollouts.flag("no_answer", progress=False)
    in_process = stored(rollouts)
    with rollouts._session.transaction() as cursor:
        cursor.execute("delete from scores")
    assert rollouts.flag("no_answer", workers=1, progress=False).flags == expected.flags
    assert stored(rollouts) == in_process
    with pytest.raises(rt.QueryInvalid, match="workers=65"):
        rollouts.flag("duplicate", workers=65)


def test_bad_options_are_refused_before_anything_is_scored(store):
    for options, said in [
        ({"timeout": 2}, "timeout: only a worker process can be ended"),
        ({"workers": 1, "timeout": 0}, "timeout=0: must be a number of seconds"),
        ({"workers": 1, "timeout": float("nan")}, "timeout=nan: must be"),
        ({"workers": 1, "timeout": "2"}, 'timeout="2": must be'),
        ({"workers": 1, "timeout": True}, "timeout=true: must be"),
        ({"workers": -1}, "workers=-1: must be a whole number from 0 to 64"),
        ({"workers": None}, "workers=null: must be a whole number"),
    ]:
        with pytest.raises(rt.QueryInvalid, match=said):
            store.score("loop", progress=False, **options)
