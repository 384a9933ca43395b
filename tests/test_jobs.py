"""Work spread over processes: each call gives what it gives in one process, row by row."""

import os
import random
import signal
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from distributed import Client, SubprocessCluster

import tunix_rt as rt
from tests.score_functions import of_every_kind
from tunix_rt import jobs
from tunix_rt.store.query import scan

SCORES = """
select trace_id, step, scorer, version, params, sample, value, label, answer, explanation, reason, metadata
from scores order by all
"""
KINDS = ("number", "raises", "label", "nothing", "wrong type", "evidence", "reason")


def rollouts(n=300):
    """Four samples of a prompt in a row; some prompts are repeated, some answers copied, one is long."""
    rnd = random.Random(0)
    words = [f"w{number}" for number in range(60)]
    rows = []
    for number in range(n):
        text = " ".join(rnd.choices(words, k=15))
        if number % 10 == 7:
            text = rows[rnd.randrange(number)]["steps"][0]
        if number % 50 == 3:
            text = rows[-1]["steps"][0]
        meta = {"source": "s", "model": f"m{number % 2}", "expected_answer": str(number % 3), "run": "r"}
        rows.append(
            {
                "prompt": KINDS[number // 4 % len(KINDS)] if number < 200 else f"prompt {number // 4}",
                "steps": [text * (40 if number == 99 else 1)],
                "final_answer": "1",
                "meta": meta,
            }
        )
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def local(folder):
    """A store, whose calls say what is right."""
    with rt.TraceStore(folder / "local") as store:
        store.load(rollouts(), progress=False)
        yield store


@pytest.fixture(scope="module")
def client():
    """A Dask cluster of two processes on this machine."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(rt.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    with (
        SubprocessCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as one,
    ):
        yield one


@pytest.fixture(scope="module")
def cut_small():
    """Pieces of 64 traces, so that there are some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_FEWEST_ROWS", 64)
        yield


def all_of(store, folder):
    """What each kind of call says, in order; the traces of the export have the scores of those before."""
    found = {
        "function": store.score(of_every_kind, version="1", progress=False),
        "built-in": store.score("answer", progress=False),
        "flags": store.flag("loop", "duplicate", "same_in_group", "length_outlier", progress=False).flags,
        "groups": store.groups().arrow(),
        "runs": store.runs().to_dict(),
        "agreement": store.agreement("answer", "loop").to_dict(),
        "scan": list(store.scan(["id"], newest_first=True, min_chars=60)),
        "scores": store.sql(SCORES).arrow(),
    }
    found["scan"] = [one for batch in found["scan"] for one in batch["id"].to_pylist()]
    for name in ("function", "built-in"):
        found[name].seconds = 0
    found["errors"] = found["function"].errors
    found["jsonl"] = store.export(folder / "out.jsonl", scores=False, manifest=False, progress=False).sha256
    # Its row groups are those of the pieces.
    store.export(folder / "out.parquet", scores=False, manifest=False, progress=False)
    found["parquet"] = pq.read_table(folder / "out.parquet")
    found["messages"] = store.export(folder / "m.jsonl", format="messages", manifest=False, progress=False).sha256
    return found


@pytest.fixture(scope="module")
def expected(local, folder):
    return all_of(local, folder)


def spread_over(store, where, client):
    return rt.spread(store, **({"client": client} if where == "cluster" else {"workers": 2}))


def lake_of(local, folder):
    """The same traces in a lake of several files, without scores."""
    lake = rt.connect(f"delta:{folder}")
    path = folder.with_suffix(".jsonl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_PIECE_ROWS", 96)
        with rt.TraceStore(":memory:") as store:
            local.export(path, scores=False, manifest=False, progress=False)
            store.load(path, progress=False)
            store.publish(lake, progress=False)
    return lake


@pytest.mark.slow
@pytest.mark.parametrize("where", ["cluster", "here"])
@pytest.mark.usefixtures("cut_small")
def test_spread_calls_say_what_those_in_one_process_say(where, local, expected, client, folder):
    with lake_of(local, folder / f"{where}") as store:
        with spread_over(store, where, client) as spread:
            found = all_of(spread, folder)
            assert spread.score("answer", progress=False).already_scored == len(rollouts())
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name] == value, name
        assert expected["function"].unscorable["error"]
        assert expected["flags"][0].count
        # The store itself is as before.
        assert store._session.spread is None


class Ends:
    """A scorer that ends its process on one trace, the first time: it leaves a file behind."""

    name, version, params = "ends", "1", {}

    def __init__(self, file, *, always=False):
        self.file, self.always = file, always

    def score(self, texts):
        if texts.prompt == "prompt 60" and (self.always or not self.file.exists()):
            self.file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return len(texts.steps[0])


@pytest.mark.crash
@pytest.mark.parametrize("where", ["cluster", "here"])
@pytest.mark.usefixtures("cut_small")
def test_a_piece_whose_process_is_killed_is_done_again_and_nothing_twice(where, local, client, folder, tmp_path):
    with lake_of(local, folder / f"killed-{where}") as store:
        with spread_over(store, where, client) as spread:
            report = spread.score(Ends(tmp_path / "ended"), progress=False)
            assert (tmp_path / "ended").exists()
            assert (report.scored, report.already_scored) == (300, 0)
            again = spread.score(Ends(tmp_path / "ended"), progress=False)
            assert (again.scored, again.already_scored) == (0, 300)
        in_one = lake_of(local, tmp_path / "one")
        in_one.score(Ends(tmp_path / "ended"), progress=False)
        assert in_one.sql(SCORES).arrow() == store.sql(SCORES).arrow()


@pytest.mark.crash
@pytest.mark.usefixtures("cut_small")
def test_a_trace_that_ends_every_process_ends_the_call_and_what_was_scored_stays(local, folder, tmp_path):
    with lake_of(local, folder / "ends") as store, rt.spread(store, workers=1) as spread:
        with pytest.raises(rt.WorkerLost, match="signal 9") as caught:
            spread.score(Ends(tmp_path / "ended", always=True), progress=False)
        assert "scoring the same again continues from there" in caught.value.__notes__[0]
        left = spread.score(Ends(tmp_path / "ended"), progress=False)
        assert left.scored + left.already_scored == 300
        assert left.already_scored >= 128


@pytest.mark.slow
def test_progress_counts_the_traces_and_what_it_raises_stops_the_call(local, monkeypatch):
    monkeypatch.setattr(jobs, "_FEWEST_ROWS", 64)
    seen = []
    with rt.spread(local, workers=1) as spread:
        spread.overlap(["w1 w2 w3 w4 w5"], n=4, progress=lambda *said: seen.append(said))
        with pytest.raises(ZeroDivisionError):
            spread.score("structure", progress=lambda *_: 1 / 0)
    assert seen[-1] == (300, 300)
    assert len(seen) > 3


@pytest.mark.slow
@pytest.mark.usefixtures("cut_small")
def test_errors_of_a_call_are_those_of_the_call_in_one_process(local):
    lock = threading.Lock()
    with rt.spread(local, workers=1) as spread:
        with pytest.raises(rt.QueryInvalid, match="no_such_column"):
            list(spread.scan(["id"], where="no_such_column = 1"))
        with pytest.raises(rt.QueryInvalid, match="cannot be sent to a worker process"):
            spread.score(lambda _: lock.locked(), name="locked", progress=False)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"workers": 1, "client": object()}, rt.QueryInvalid, "the cluster of a `client` has its own"),
        ({"workers": 0}, rt.QueryInvalid, "workers=0"),
        ({"workers": "two"}, rt.QueryInvalid, 'workers="two"'),
    ],
)
def test_options_that_are_not_valid(local, options, error, message):
    with pytest.raises(error, match=message), rt.spread(local, **options):
        pass


@pytest.mark.slow
@pytest.mark.usefixtures("cut_small")
def test_other_versions_are_refused(local, monkeypatch):
    with rt.spread(local, workers=1) as spread:
        monkeypatch.setattr(jobs, "versions", lambda: "tunix-rt 9")
        with pytest.raises(rt.WorkerLost, match=r"a worker runs tunix-rt .*, and this process tunix-rt 9"):
            list(spread.scan(["id"]))


@pytest.mark.slow
def test_the_cluster_that_the_environment_names(local, client, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", client.scheduler.address)
    with rt.spread(local) as spread:
        assert sum(map(len, spread.scan(["id"]))) == 300
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "nowhere")
    with pytest.raises(rt.WorkerLost, match='DASK_SCHEDULER_ADDRESS="nowhere"'), rt.spread(local):
        pass
