"""The HTTP API under load and in trouble: many clients, clients that vanish, a store that is busy, full or broken."""

import json
import resource
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import duckdb
import httpx
import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python
from tests.served import TRACE, serving

pytestmark = pytest.mark.slow

# As a notebook beside the server is.
READ = """
import os, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
n = 0
while not os.path.exists(sys.argv[2]):
    assert store.count() >= n
    n = store.count()
    times = [summary.created_at for summary in store.page(limit=100)]
    assert times == sorted(times, reverse=True)
print("done", flush=True)
"""

# Not one of those that give the file up when somebody asks.
PLAIN_DUCKDB = """
import sys
import duckdb
with duckdb.connect(sys.argv[1]) as plain:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    # Where the file is held, readers wait until it is not.
    with serving(tmp_path_factory.mktemp("served"), environment={"TUNIX_RT_POOL_TIMEOUT": "300"}) as server:
        yield server


@pytest.fixture
def large(client, served):
    """More than the sockets between a server and its client hold: 60 MB in an export."""
    for _ in range(3):
        served.store.add_many(
            rt.Trace(trace_version="1.1", prompt=f"{n}", steps=[], final_answer="x" * 1_000_000) for n in range(20)
        )
    return client


def holding(path):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return python(PLAIN_DUCKDB, path, text=True, **pipes)


def until(condition):
    patience = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.02)


def test_fifty_clients_upload_at_once_while_a_notebook_reads(client, served, tmp_path):
    together = threading.Barrier(50)
    told = []

    def upload(name):
        with served.new_client(headers=client.headers) as own:
            together.wait()
            for n in range(8):
                reply = own.post("/traces", json=TRACE | {"prompt": f"{name} {n}"})
                assert reply.status_code == 201
                told.append(reply.json()["id"])
                assert own.get("/traces", params={"limit": 5}).status_code == 200
            batch = own.post("/traces/batch", json=[TRACE | {"prompt": f"{name} batch {n}"} for n in range(20)])
            told.extend(trace["id"] for trace in batch.json()["traces"])

    stop = tmp_path / "stop"
    with python(READ, served.database, stop, stdout=subprocess.PIPE, text=True) as notebook:
        with ThreadPoolExecutor(50) as clients:
            list(clients.map(upload, range(50)))
        stop.touch()
        assert notebook.communicate(timeout=PATIENCE)[0] == "done\n"
    records = list(served.store.records())
    assert {str(record.id) for record in records} == set(told)
    prompts = Counter(record.payload.prompt for record in records)
    single = [f"{name} {n}" for name in range(50) for n in range(8)]
    assert prompts == Counter(single + [f"{name} batch {n}" for name in range(50) for n in range(20)])


def test_a_client_that_vanishes_while_it_uploads_leaves_nothing(client, served):
    body = json.dumps(TRACE).encode()
    for path in ("/traces", "/traces/batch"):
        with served.asking("POST", path, Content_Length=len(body)) as connection:
            connection.send(body[:-5])
        with served.asking("POST", path, Transfer_Encoding="chunked") as connection:
            connection.send(b"5\r\n" + body[:5] + b"\r\n")
    assert client.get("/traces").json()["data"] == []
    assert client.post("/traces", json=TRACE).status_code == 201


def test_clients_that_vanish_while_they_export_are_let_go(large, served):
    before = {path.name for path in served.home.iterdir()}
    n_told = served.log.count("an export ended early")
    # More than there are threads for exports.
    for _ in range(6):
        with large.stream("GET", "/traces/export") as reply:
            assert reply.status_code == 200
            next(reply.iter_raw())
    until(lambda: served.log.count("an export ended early") == n_told + 6)
    assert len(large.get("/traces/export").content) > 60_000_000
    assert {path.name for path in served.home.iterdir()} - before <= {"served.duckdb.wal"}


def test_clients_that_take_nothing_are_in_nobody_s_way(large, served):
    def slow():
        return large.stream("GET", "/traces/export")

    with slow(), slow(), slow(), slow():
        assert len(large.get("/traces", params={"limit": 3}).json()["data"]) == 3
        assert large.post("/traces", json=TRACE).status_code == 201
        assert large.get("/health").json()["status"] == "healthy"
        assert served.store.count() == 61


def test_nobody_waits_for_the_store_but_who_reads_it(client, served):
    client.post("/traces", json=TRACE)
    served.store.close()
    with ThreadPoolExecutor(40) as clients:
        with holding_once_free(served) as other:
            # More than the server has threads to read.
            reading = [clients.submit(client.get, "/traces") for _ in range(40)]
            assert client.get(f"{served.url}/api/status").status_code == 200
            assert client.post("/traces", json=TRACE).status_code == 201
            assert client.post("/traces/batch", json=[TRACE, TRACE]).status_code == 201
            assert client.post("/traces", json={}).status_code == 422
            assert client.get("/nothing").status_code == 404
            assert client.get("/redi/health").status_code == 200
            # A terminal is a fork of the server.
            terminal = client.post(f"{served.url}/api/terminals")
            assert terminal.status_code == 200
            assert client.delete(f"{served.url}/api/terminals/{terminal.json()['name']}").status_code == 204
            assert not any(reply.done() for reply in reading)
            other.communicate(timeout=PATIENCE)
        assert [reply.result().status_code for reply in reading] == [200] * 40
    assert len(client.get("/traces").json()["data"]) == 4


def test_an_export_that_fails_in_the_middle_does_not_look_whole(tmp_path):
    with serving(tmp_path / "served", environment={"TUNIX_RT_POOL_TIMEOUT": "1"}) as served:
        served.store.add_many(
            rt.Trace(trace_version="1.1", prompt=f"{n}", steps=[], final_answer="x" * 1_000_000) for n in range(100)
        )
        with served.client.stream("GET", "/traces/export") as reply:
            pieces = reply.iter_raw()
            next(pieces)
            served.store.close()
            # What the server read at once, 64 MB, is not all. It waits for its client, and the file lies idle.
            with holding_once_free(served) as other:
                with pytest.raises(httpx.TransportError):
                    list(pieces)
                other.communicate(timeout=PATIENCE)
        assert "held by process" in served.log
        assert "Traceback" not in served.log
        assert len(served.client.get("/traces/export").content) > 100_000_000


def holding_once_free(served):
    """Another program with the file; it comes by when the server has given it up."""
    patience = time.monotonic() + PATIENCE
    while True:
        other = holding(served.database)
        if other.stdout.readline() == "held\n":
            return other
        other.communicate(timeout=PATIENCE)
        assert time.monotonic() < patience


def test_a_busy_store_is_told_and_takes_adds(tmp_path):
    with serving(tmp_path / "served", environment={"TUNIX_RT_POOL_TIMEOUT": "1"}) as served:
        rt.TraceStore(served.database).close()
        with holding(served.database) as other:
            assert other.stdout.readline() == "held\n"
            for reply in (served.client.get("/traces"), served.client.get("/traces/export")):
                assert reply.status_code == 503
                assert f"held by process {other.pid}" in reply.json()["detail"]
                assert int(reply.headers["Retry-After"]) > 0
            told = served.client.get("/health")
            assert (told.status_code, told.json()["status"], told.json()["store"]["state"]) == (200, "degraded", "busy")
            assert served.client.post("/traces", json=TRACE).status_code == 201
            other.communicate(timeout=PATIENCE)
        assert len(served.client.get("/traces").json()["data"]) == 1


def test_a_server_that_stops_gives_the_store_up_and_lets_exports_go(tmp_path):
    with serving(tmp_path / "served") as served:
        served.client.post("/traces", json=TRACE)
        store = served.store
        store.add_many(
            rt.Trace(trace_version="1.1", prompt=f"{n}", steps=[], final_answer="x" * 1_000_000) for n in range(40)
        )
        with served.client.stream("GET", "/traces/export") as reply:
            pieces = reply.iter_raw()
            next(pieces)
            served.process.terminate()
            assert served.process.wait(PATIENCE) == 0
            # What came is not all, and the client is told.
            with pytest.raises(httpx.TransportError):
                list(pieces)
        assert "Traceback" not in served.log
    store.close()
    with duckdb.connect(served.database) as plain:
        assert plain.sql("select count(*) from traces").fetchall() == [(41,)]


@pytest.mark.slow
def test_a_server_ends_at_once_though_its_readers_wait_for_the_store(tmp_path):
    # Each of them would wait for five minutes.
    with serving(tmp_path / "served", environment={"TUNIX_RT_POOL_TIMEOUT": "300"}) as served:
        rt.TraceStore(served.database).close()
        with holding(served.database) as other, ThreadPoolExecutor(50) as clients:
            assert other.stdout.readline() == "held\n"

            def ask(path):
                with served.new_client(headers=served.client.headers) as own, suppress(httpx.TransportError):
                    return own.get(path).status_code

            asking = [clients.submit(ask, path) for path in ["/traces", "/traces/export", "/health", "/traces/00"] * 10]
            assert served.client.post("/traces", json=TRACE).status_code == 201
            served.process.terminate()
            assert served.process.wait(PATIENCE) == 0
            assert {one.result() for one in asking} <= {None, 503}
            other.communicate(timeout=PATIENCE)
        assert "Traceback" not in served.log
    # What was acknowledged is there.
    assert served.store.count() == 1


def test_bad_settings_are_told_and_jupyter_starts_all_the_same(tmp_path):
    hidden = "hunter2"
    environment = {
        "TUNIX_RT_POOL_SIZE": "0",
        "TUNIX_RT_REDIAI_BASE_URL": f"http://me:{hidden}@host",
    }  # pragma: allowlist secret
    with serving(tmp_path / "served", environment=environment) as served:
        assert served.client.get(f"{served.url}/api/status").status_code == 200
        told = "the settings of the server are not valid; its log names the variable and what is allowed"
        for reply in (
            served.client.get("/traces"),
            served.client.post("/traces", json=TRACE),
            served.client.post("/traces/batch", json=[TRACE]),
            served.client.get("/traces/00"),
            served.client.get("/traces/export"),
            served.client.get("/health"),
            served.client.get("/redi/health"),
        ):
            assert (reply.status_code, reply.json()) == (503, {"detail": told})
        assert "TUNIX_RT_POOL_SIZE=0: must be a whole number from 1 to 50" in served.log
        assert "TUNIX_RT_REDIAI_BASE_URL=…: must have only a scheme, host, port and path" in served.log
        assert hidden not in served.log
        assert "Traceback" not in served.log


def test_a_file_that_is_no_store_is_told_without_a_traceback(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "served.duckdb").write_bytes(b"not a store" * 1_000)
    with serving(tmp_path / "served") as served:
        for reply in (served.client.get("/traces"), served.client.post("/traces", json=TRACE)):
            assert reply.status_code == 500
            assert "served.duckdb" in reply.json()["detail"]
            assert "Traceback" not in reply.text
        assert served.client.get("/health").status_code >= 500
        assert "Traceback" not in served.log


def test_a_store_that_lost_traces_is_told(tmp_path):
    with serving(tmp_path / "served") as served:
        served.client.post("/traces", json=TRACE)
        assert len(served.client.get("/traces").json()["data"]) == 1
    served.database.unlink()
    with serving(tmp_path / "served" / "again", environment={"TUNIX_RT_DATABASE": str(served.database)}) as again:
        reply = again.client.get("/traces")
        assert reply.status_code == 500
        assert "1 trace" in reply.json()["detail"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux'")
def test_a_full_disk_is_told_and_work_goes_on_with_room(tmp_path):
    with serving(tmp_path / "served") as served:
        served.client.post("/traces", json=TRACE)
        pid, free = served.process.pid, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        size = max(path.stat().st_size for path in served.home.glob("served*"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))
        large = TRACE | {"trace_version": "1.1", "final_answer": "x" * 1_000_000}
        reply = served.client.post("/traces", json=large)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, free)
        assert reply.status_code == 507
        assert "full" in reply.json()["detail"]
        assert served.client.post("/traces", json=large).status_code == 201
        assert served.store.count() == 2


def test_health_tells_of_rediai(tmp_path):
    environment = {"TUNIX_RT_REDIAI_MODE": "real", "TUNIX_RT_REDIAI_BASE_URL": "http://127.0.0.1:9"}
    with serving(tmp_path / "served", environment=environment) as served:
        down = {"status": "down", "mode": "real", "error": "Connection refused"}
        assert served.client.get("/redi/health").json() == down
        told = served.client.get("/health").json()
        assert (told["status"], told["store"]["status"], told["services"]) == ("degraded", "healthy", {"rediai": down})
