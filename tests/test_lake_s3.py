"""A lake in object storage: SeaweedFS on this machine, started once."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

import tunix_rt as rt
from tests.lake_server import KEY, SECRET, LakeServer
from tests.processes import PATIENCE
from tests.test_jobs import all_of, rollouts
from tests.test_lake import SAME, fill, rows
from tests.test_publish import everything
from tunix_rt import jobs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeServer]:
    server = LakeServer(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def credentials(server: LakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def lake() -> rt.TraceStore:
    return rt.connect(f"s3://traces/{uuid4()}")


def test_a_lake_in_object_storage_returns_what_a_store_returns(lake, tmp_path):
    store = rt.TraceStore(tmp_path / "store.duckdb", settings=rt.Settings(workers=0))
    for one in (store, lake):
        fill(one, 12)
        one.label(rows()[3]["id"], "bad", annotator="ann")
    for call in ("filters", "pages", "scan", "get", "scores", "sql", "groups", "select"):
        assert SAME[call](lake) == SAME[call](store), call
    assert str(lake.path) == lake.info().path == lake.location.target
    assert lake.delete(rows()[3]["id"]) == 1
    assert lake.compact(progress=False).files_after < 12
    assert lake.count() == len(lake.scores("answer")) == 59
    assert rt.connect(lake.location.target, as_of=1).count() == 12


def test_threads_that_append_at_once_lose_nothing_and_double_nothing(lake):
    def append(writer: int) -> None:
        mine = rt.connect(lake.location.target)
        for at in range(3):
            texts = [{"prompt": f"{writer} {at} {n}", "steps": ["s"], "final_answer": "x"} for n in range(20)]
            mine.load(texts, progress=False)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(append, range(4)))
    assert lake.count() == lake.sql("select count(distinct prompt) from traces").rows[0][0] == 240


def test_a_server_that_stops_is_named_and_everything_is_there_when_it_is_back(lake, server):
    lake.load(rows(3), progress=False)
    server.stop()
    try:
        lake.add({"prompt": "while it was down", "steps": ["s"], "final_answer": "x"})
        for work in (lake.count, lambda: rt.connect(lake.location.target), lambda: lake.load(rows(5), progress=False)):
            with pytest.raises(rt.StoreUnreachable, match="safe in the journal") as caught:
                work()
            assert server.url not in str(caught.value)
    finally:
        server.start()
    assert lake.count(text="while it was down") == 1
    assert lake.count() == 4


def test_a_server_that_stops_while_batches_are_appended_gets_each_once(lake, server):
    errors, is_down, is_up, n_done = [], threading.Event(), threading.Event(), 0

    def append() -> None:
        nonlocal n_done
        n_after = 0
        # A server that is to stop goes on for as long as it likes.
        while n_after < 3:
            batch = [{"prompt": f"{n_done} {n}", "steps": ["s"], "final_answer": "x"} for n in range(50)]
            try:
                lake.load(batch, progress=False)
            except rt.StoreUnreachable as error:
                # It may be committed, and only the reply is lost: a load stores what is not there.
                errors.append(error)
                is_down.set()
                is_up.wait(PATIENCE)
                continue
            n_done += 1
            n_after += is_up.is_set()

    with ThreadPoolExecutor(1) as thread:
        appending = thread.submit(append)
        while n_done < 3:
            assert not appending.done()
            threading.Event().wait(0.01)
        try:
            server.stop()
            assert is_down.wait(PATIENCE)
        finally:
            server.start()
            is_up.set()
        appending.result()
    assert errors
    assert lake.sql("select count(*), count(distinct prompt) from traces").rows == [(50 * n_done, 50 * n_done)]


@pytest.mark.parametrize("given", [{}, {"text": "x"}, {"where": "n_steps > 0"}], ids=["all", "text", "where"])
def test_a_file_that_is_gone_is_told_and_not_blamed_on_the_filters(lake, server, given):
    lake.load(rows(3), progress=False)
    [file] = lake._lake.traces.files()
    server._files().delete_file(f"{lake.location.target.removeprefix('s3://')}/traces/{file.path}")
    with pytest.raises(rt.StoreDamaged, match="missing or broken") as caught:
        lake.page(**given)
    assert server.url not in str(caught.value)


def test_jobs_over_object_storage_and_the_way_there_and_back_say_what_a_store_says(lake, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_FEWEST_ROWS", 64)
    with rt.TraceStore(tmp_path / "local") as local, rt.TraceStore(tmp_path / "back") as back:
        local.load(rollouts(), progress=False)
        report = local.publish(lake, progress=False)
        assert (report.new, report.already_there) == (300, 0)
        expected = all_of(local, tmp_path)
        with rt.spread(lake, workers=2) as spread:
            found = all_of(spread, tmp_path)
        for name, value in expected.items():
            assert found[name] == value, name
        # Both have scored the same, so nothing is sent again; with their traces, all scores come back.
        report = local.publish(lake, progress=False)
        assert (report.new, report.scores) == (0, 0)
        report = back.pull(lake, progress=False)
        assert (report.new, report.scores) == (300, len(lake.scores()))
        assert everything(back) == everything(lake)
        again = back.pull(lake, progress=False)
        assert (again.new, again.scores, again.already_there) == (0, 0, 300)


def test_keys_come_from_the_environment_and_are_shown_nowhere(lake, server, monkeypatch, caplog):
    shown = f"{lake!r} {lake.info()} {vars(lake)} {lake.__reduce__()}"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-one")
    with pytest.raises(rt.StoreUnusable, match="refuses the credentials") as caught:
        rt.connect(lake.location.target)
    shown += f"{caught.value} {caught.value.__cause__} {caplog.text}"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(rt.StoreUnusable, match="no such bucket") as caught:
        rt.connect("s3://nobody-has-this/traces")
    shown += str(caught.value)
    for secret in (SECRET, KEY, "another-one", server.url):
        assert secret not in shown
    assert Path(lake.info().journal).exists()
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
