"""Health: the store in each of its states, and RediAI as a real HTTP server that answers well, badly or not at all."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import duckdb
import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python
from tests.test_status_form import HOLD
from tunix_rt import health_checks
from tunix_rt.health_checks import rediai_health


class Service(ThreadingHTTPServer):
    """RediAI as it might be: `answer` is the status that it gives, `asked` the paths it was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answer = 200
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(self.server.answer)
        if self.server.answer == 302:
            self.send_header("Location", f"{self.server.url}/login")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def nothing_found_before(monkeypatch):
    monkeypatch.setattr(health_checks, "_found", {})


def real(url, **settings):
    return rt.Settings(rediai_mode="real", rediai_base_url=url, **settings)


def test_rediai_is_off_unless_it_is_configured():
    found = rediai_health(rt.Settings())
    assert found.to_dict() == {"status": "off", "mode": "off"}


def test_a_mock_is_healthy_and_says_that_it_is_one():
    found = rediai_health(rt.Settings(rediai_mode="mock"))
    assert found.to_dict() == {"status": "healthy", "mode": "mock"}
    assert str(found) == "healthy (mock: no request was made)"


def test_rediai_is_asked_at_its_path(service):
    found = rediai_health(real(f"{service.url}/", rediai_health_path="/api/health"))
    assert found.to_dict() == {"status": "healthy", "mode": "real"}
    assert service.asked == ["/api/health"]


@pytest.mark.parametrize("answer", [302, 404, 503])
def test_any_answer_but_2xx_is_told_by_its_code(service, answer):
    service.answer = answer
    assert rediai_health(real(service.url)).to_dict() == {"status": "down", "mode": "real", "error": f"HTTP {answer}"}
    assert service.asked == ["/health"]


def test_nobody_at_the_port_is_told_as_refused():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = rediai_health(real(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (found.status, found.error) == ("down", "Connection refused")


def test_a_host_that_is_none_is_told():
    assert rediai_health(real("http://nowhere.invalid")).error.startswith("Connection failed: ")


@pytest.mark.slow
def test_who_does_not_answer_is_given_up_after_five_seconds():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = rediai_health(real(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert (found.status, found.error) == ("down", "Timeout after 5s")


def test_who_speaks_no_http_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        found = rediai_health(real(f"http://127.0.0.1:{server.getsockname()[1]}"))
        thread.join()
    assert found.error == "Connection failed: the answer is not HTTP (BadStatusLine)"


@contextmanager
def answering(answer):
    """The address of a server that hands each connection to `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(10_000)
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", [b"X-Still: here\r\n", b"H"], ids=["header after header", "a status line without end"]
)
def test_who_answers_in_drops_is_given_up_and_let_go(monkeypatch, piece):
    monkeypatch.setattr(health_checks, "TIMEOUT_SECONDS", 1)
    let_go = threading.Event()

    def drip(connection):
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n" if len(piece) > 1 else b"")
            while True:
                connection.sendall(piece)
                time.sleep(0.2)
        finally:
            let_go.set()

    # A drop comes more often than a socket's own time-out.
    with answering(drip) as url:
        assert rediai_health(real(url)).error == "Timeout after 1s"
        assert let_go.wait(PATIENCE)


def test_a_body_without_end_is_not_waited_for():
    def pour(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 100_000)

    with answering(pour) as url:
        assert rediai_health(real(url)).status == "healthy"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 301 Moved\r\nLocation: http://[::nowhere\r\n\r\n", "HTTP 301"),
        (b"HTTP/1.1 200 " + b"x" * 100_000, "Connection failed: the answer is not HTTP (LineTooLong)"),
        (b"HTTP/1.1 abc\r\n\r\n", "Connection failed: the answer is not HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, "Connection failed: the answer is not HTTP (HTTPException)"),
        (b"", "Connection failed: the answer is not HTTP (RemoteDisconnected)"),
    ],
)
def test_odd_answers_are_told(answer, error):
    with answering(lambda connection: connection.sendall(answer)) as url:
        assert rediai_health(real(url)).error == error


def test_who_speaks_no_tls_is_told():
    with answering(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        assert rediai_health(real(url.replace("http:", "https:"))).error.startswith("Connection failed: ")


def test_a_host_name_that_cannot_be_one_is_told():
    assert rediai_health(real(f"http://{'a' * 70}.b")).error.startswith("Connection failed: ")


def test_callers_who_wait_take_the_answer_they_waited_for():
    n_asked = 0
    several_wait = threading.Event()

    def answer(connection):
        nonlocal n_asked
        n_asked += 1
        assert several_wait.wait(PATIENCE)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with answering(answer) as url, ThreadPoolExecutor(8) as threads:
        # Nothing is kept, and still they do not ask one after the other.
        settings = real(url, rediai_health_cache_ttl_seconds=0)
        began = threading.Barrier(9)

        def look():
            began.wait()
            return rediai_health(settings).status

        looks = [threads.submit(look) for _ in range(8)]
        began.wait()
        # All of them stand in front of the answer before it comes.
        time.sleep(0.1)
        several_wait.set()
        assert [one.result() for one in looks] == ["healthy"] * 8
    assert n_asked <= 2


def test_an_answer_is_kept_for_its_time(service):
    settings = real(service.url, rediai_health_cache_ttl_seconds=300)
    assert rediai_health(settings).status == "healthy"
    service.answer = 503
    assert rediai_health(settings).status == "healthy"
    assert len(service.asked) == 1


@pytest.mark.slow
def test_an_answer_that_is_too_old_is_asked_for_again(service):
    settings = real(service.url, rediai_health_cache_ttl_seconds=1)
    assert rediai_health(settings).status == "healthy"
    service.answer = 503
    time.sleep(1.1)
    assert rediai_health(settings).error == "HTTP 503"


def test_without_a_cache_each_look_asks(service):
    settings = real(service.url, rediai_health_cache_ttl_seconds=0)
    for _ in range(3):
        rediai_health(settings)
    assert len(service.asked) == 3


def test_many_who_ask_at_once_ask_once(service):
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: rediai_health(real(service.url)).status, range(8)))
    assert found == ["healthy"] * 8
    assert len(service.asked) == 1


def test_health_tells_of_the_store_and_of_the_services(store, make_trace):
    store.add_many(make_trace(f"{n}?") for n in range(3))
    found = rt.health(store)
    assert found.status == "healthy"
    told = json.loads(json.dumps(found.to_dict()))
    assert told["services"] == {"rediai": {"status": "off", "mode": "off"}}
    assert told["store"].items() >= {"status": "healthy", "n_traces": 3, "path": str(store.path)}.items()
    assert told["store"]["n_in_journal"] == 3
    assert told["store"]["disk_free_bytes"] > 0
    # The look has emptied the journal.
    assert rt.health(store).store.n_in_journal == 0
    lines = str(found).splitlines()
    assert lines[0].split() == ["health", "healthy"]
    assert "3 traces waited for this check" in str(found)
    assert "RediAI" not in str(found)
    assert "healthy" in found._repr_html_()


def test_health_looks_at_the_store_of_the_settings_where_none_is_given():
    assert rt.health().store.path.endswith("default.duckdb")


def test_a_service_that_is_down_degrades(tmp_path, service):
    service.answer = 503
    store = rt.TraceStore(tmp_path / "a.duckdb", settings=real(service.url))
    found = rt.health(store)
    assert (found.status, found.store.status) == ("degraded", "healthy")
    assert "down: HTTP 503" in str(found)
    form = rt.StoreStatus(store)
    assert (form.state, form.shown["sign"]) == ("service down", "△")
    assert "down: HTTP 503" in form.shown["html"]


@pytest.mark.slow
def test_a_store_held_elsewhere_is_degraded_and_tells_how_many_wait(tmp_path, make_trace):
    store = rt.TraceStore(tmp_path / "held.duckdb", settings=rt.Settings(pool_timeout=1))
    store.count()
    store.close()
    with python(HOLD, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        store.add(make_trace())
        found = rt.health(store)
        holder.stdin.close()
    assert (found.status, found.store.state, found.store.n_in_journal) == ("degraded", "busy", 1)
    assert f"process {holder.pid}" in found.store.to_dict()["error"]
    assert "held.duckdb (busy)" in str(found)


def test_a_damaged_store_is_down(store, make_trace):
    store.add(make_trace())
    store.close()
    os.truncate(store.path, store.path.stat().st_size // 2)
    found = rt.health(store)
    assert (found.status, found.store.state, found.store.info) == ("down", "unusable", None)
    assert "Restore a backup" in str(found)


def test_a_store_whose_folder_is_gone_is_down(store, tmp_path):
    store.close()
    store.path.unlink()
    store.path = tmp_path / "gone" / "traces.duckdb"
    assert rt.health(store).status == "down"


def test_health_never_raises(store, tmp_path, monkeypatch, make_trace):
    store.add(make_trace())
    store.close()

    def said(**changed):
        for name, value in changed.items():
            monkeypatch.setattr(store if name == "path" else store._session, name, value)
        found = rt.health(store)
        assert str(found)
        assert found._repr_html_()
        assert json.dumps(found.to_dict())
        assert store.health().state == found.store.state
        monkeypatch.undo()
        return found

    assert said(path=tmp_path / "nul\0" / "traces.duckdb").status in {"down", "healthy"}
    assert said(path=tmp_path / "gone" / "traces.duckdb").store.disk_free_bytes is None
    # Whatever the libraries below raise.
    for fault in (
        MemoryError(),
        duckdb.OutOfMemoryException("no memory"),
        sqlite3.OperationalError("odd"),
        KeyError(1),
    ):

        def fail(fault=fault):
            raise fault

        found = said(cursor=fail)
        assert (found.status, found.store.state) == ("down", "unusable")
        assert type(fault).__name__ in found.store.error
    assert rt.health(store).status == "healthy"


def test_a_disk_that_does_not_answer_leaves_the_rest(store, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shutil.disk_usage", fail)
    found = rt.health(store)
    assert (found.status, found.store.disk_free_bytes, found.store.info.n_traces) == ("healthy", None, 0)
    assert "room on disk" not in str(found)


def test_a_store_whose_folder_was_deleted_is_down(tmp_path, make_trace):
    folder = tmp_path / "mount"
    folder.mkdir()
    store = rt.TraceStore(folder / "traces.duckdb")
    store.add(make_trace())
    store.close()
    shutil.rmtree(folder)
    for found in (rt.health(store).store, store.health()):
        assert (found.status, found.disk_free_bytes) == ("down", None)
        assert found.error


def test_health_of_settings_that_are_not_valid_is_down(monkeypatch):
    monkeypatch.setenv("TUNIX_RT_POOL_SIZE", "0")
    found = rt.health()
    assert (found.status, found.services) == ("down", ())
    assert "TUNIX_RT_POOL_SIZE=0: must be a whole number" in found.store.error
    assert "TUNIX_RT_POOL_SIZE=0" in str(found)


def test_health_of_a_store_that_cannot_be_made_is_down(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no store")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("TUNIX_RT_DATABASE", str(path))
        found = rt.health()
        assert (found.status, found.store.path) == ("down", str(path))
        assert found.services[0].status == "off"


def test_little_room_on_the_disk_degrades_a_store_that_is_written(store, tmp_path, monkeypatch):
    published = rt.TraceStore(store.backup(tmp_path / "published.duckdb"), read_only=True)
    monkeypatch.setattr("tunix_rt.store.upkeep.health.LOW_DISK_BYTES", 2**62)
    assert rt.health(store).store.state == "disk nearly full"
    found = rt.health(published)
    assert (found.status, found.store.n_in_journal) == ("healthy", None)
