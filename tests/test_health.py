"""Health: the store in each of its states, and RediAI as a real HTTP server that answers well, badly or not at all."""

import json
import os
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import tunix_rt as rt
from tests.processes import python
from tests.test_status_form import HOLD
from tunix_rt import services
from tunix_rt.services import rediai_health


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
    monkeypatch.setattr(services, "_found", {})


def real(url, **settings):
    return rt.Settings(rediai_mode="real", rediai_base_url=url, **settings)


def test_rediai_is_off_unless_it_is_configured():
    found = rediai_health(rt.Settings())
    assert found.to_dict() == {"status": "off", "mode": "off"}


def test_a_mock_is_healthy_and_says_that_it_is_one():
    found = rediai_health(rt.Settings(rediai_mode="mock"))
    assert found.to_dict() == {"status": "healthy", "mode": "mock"}
    assert str(found) == "healthy (mock: nothing was asked)"


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
    assert found.error == "Connection failed: what answered speaks no HTTP (BadStatusLine)"


def test_an_answer_is_kept_for_its_time(service):
    settings = real(service.url, rediai_health_cache_ttl_seconds=300)
    assert rediai_health(settings).status == "healthy"
    service.answer = 503
    assert rediai_health(settings).status == "healthy"
    assert len(service.asked) == 1


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
    assert "3 traces waited for this look" in str(found)
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
    assert "Put it back" in str(found)


def test_a_store_whose_folder_is_gone_is_down(store, tmp_path):
    store.close()
    store.path.unlink()
    store.path = tmp_path / "gone" / "traces.duckdb"
    assert rt.health(store).status == "down"


def test_little_room_on_the_disk_degrades_a_store_that_is_written(store, tmp_path, monkeypatch):
    published = rt.TraceStore(store.backup(tmp_path / "published.duckdb"), read_only=True)
    monkeypatch.setattr("tunix_rt.store.health.LOW_DISK_BYTES", 2**62)
    assert rt.health(store).store.state == "disk nearly full"
    found = rt.health(published)
    assert (found.status, found.store.n_in_journal) == ("healthy", None)
