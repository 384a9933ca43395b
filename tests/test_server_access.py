"""Who may ask: Jupyter's token, cookie, XSRF, origin, host and authorizer hold for every route of the HTTP API."""

import json
from contextlib import contextmanager
from itertools import product

import httpx
import pytest
from jupyter_server.auth import Authorizer

from tests.served import TRACE, serving

# Every route, and some that are none.
PATHS = [
    "/traces",
    "/traces/batch",
    "/traces/export",
    "/traces/019b76e2-4908-718c-8375-fcf4f3002c1a",
    "/traces/%FF",
    "/traces?limit=0",
    "/health",
    "/redi/health",
    "/openapi.json",
    "/nothing/here",
    "/",
    "",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"]


class ReadOnly(Authorizer):
    """Lets everybody read, and asks by name."""

    def is_authorized(self, _handler, _user, action, resource):
        return (action, resource) == ("read", "tunix_rt") or resource != "tunix_rt"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    # Below a prefix, as JupyterHub starts it.
    with serving(tmp_path_factory.mktemp("served"), "--ServerApp.base_url=/user/x/") as server:
        yield server


def test_it_is_served_below_a_prefix(served):
    assert served.api.endswith("/user/x/tunix-rt/api")
    created = served.client.post("/traces", json=TRACE)
    assert created.headers["Location"] == f"/user/x/tunix-rt/api/traces/{created.json()['id']}"
    assert served.client.get("/openapi.json").json()["servers"] == [{"url": "/user/x/tunix-rt/api"}]
    assert served.client.delete(f"/traces/{created.json()['id']}").status_code == 204


@pytest.mark.parametrize("token", [None, "wrong"])
def test_whoever_is_not_known_gets_nothing(served, token):
    headers = {"Authorization": f"token {token}"} if token else {}
    with served.new_client(headers=headers) as stranger:
        for path, method in product(PATHS, METHODS):
            reply = stranger.request(method, path, content=json.dumps(TRACE))
            assert reply.status_code == 403, (method, path)
            assert not {"Location", "Allow", "Set-Cookie"} & set(reply.headers), (method, path)
            if method != "HEAD":
                assert reply.headers["Content-Type"] == "application/json"
                (detail,) = reply.json().values()
                assert detail in {"Forbidden", "'_xsrf' argument missing from POST"}
        # What is no method of HTTP is refused before anybody asks who it is.
        for path in PATHS:
            reply = stranger.request("FOO", path)
            assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})
            assert "Allow" not in reply.headers
    assert served.store.count() == 0


def test_whoever_is_not_known_is_refused_before_a_body_is_read(served):
    for path in ("/traces", "/traces/batch", "/nothing"):
        with (
            served.asking("POST", path, token=False, Content_Length=1_000) as connection,
            connection.getresponse() as reply,
        ):
            assert reply.status == 403


def test_a_preflight_tells_what_jupyter_tells_and_no_more(served):
    with served.new_client() as stranger:
        reply = stranger.options("/traces", headers={"Access-Control-Request-Method": "POST"})
    assert (reply.status_code, reply.content) == (200, b"")
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]


@contextmanager
def logged_in(served):
    """A browser that logged in with the token as a password; its cookies are all it has."""
    with served.new_client() as client:
        assert client.get(f"{served.url}/login").status_code == 200
        reply = client.post(f"{served.url}/login", data={"password": served.token, "_xsrf": client.cookies["_xsrf"]})
        assert reply.status_code == 302
        yield client


def test_a_cookie_reads_and_changes_only_with_the_xsrf_token(served):
    with logged_in(served) as browser:
        headers = {"Referer": f"{served.url}/lab"}
        assert browser.get("/traces", headers=headers).status_code == 200

        assert browser.post("/traces", json=TRACE, headers=headers).status_code == 403
        wrong = browser.post("/traces", json=TRACE, headers=headers | {"X-XSRFToken": "wrong"})
        assert wrong.status_code == 403
        assert "XSRF" in wrong.json()["detail"]
        assert served.store.count() == 0

        headers["X-XSRFToken"] = browser.cookies["_xsrf"]
        created = browser.post("/traces", json=TRACE, headers=headers)
        assert created.status_code == 201
        url = f"/traces/{created.json()['id']}"
        assert browser.delete(url, headers={"Referer": headers["Referer"]}).status_code == 403
        assert browser.delete(url, headers=headers).status_code == 204


def test_a_page_of_somebody_else_gets_nothing_by_the_cookie(served):
    elsewhere = "https://elsewhere.example"
    with logged_in(served) as browser:
        for headers in ({"Origin": elsewhere}, {"Origin": elsewhere, "Referer": f"{elsewhere}/page"}):
            assert browser.get("/traces", headers=headers).status_code == 404
            headers["X-XSRFToken"] = browser.cookies["_xsrf"]
            assert browser.post("/traces", json=TRACE, headers=headers).status_code == 404
    assert served.store.count() == 0


def test_the_token_goes_in_the_url_too(served):
    for token, status in (("wrong", 403), (served.token, 200)):
        with served.new_client() as client:
            assert client.get("/traces", params={"token": token}).status_code == status


def test_a_host_that_is_none_of_this_server_s_is_refused(served):
    reply = served.client.get("/traces", headers={"Host": "elsewhere.example"})
    assert reply.status_code == 403


@pytest.mark.slow
def test_the_authorizer_is_asked_before_a_body_is_read(tmp_path):
    options = [
        "--ServerApp.authorizer_class=tests.test_server_access.ReadOnly",
        # Jupyter looks for routes that lack a rule of their own, and finds none here.
        "--ServerApp.allow_unauthenticated_access=False",
    ]
    with serving(tmp_path / "served", *options) as served:
        assert served.client.get("/traces").status_code == 200
        assert served.client.get("/traces/00").status_code == 404
        for reply in (served.client.post("/traces", json=TRACE), served.client.delete(f"/traces/{'0' * 32}")):
            assert reply.status_code == 403
            assert reply.json() == {"detail": "not authorized to write tunix_rt"}
        with served.asking("POST", "/traces", Content_Length=1_000) as connection, connection.getresponse() as reply:
            assert reply.status == 403
        with served.new_client() as stranger:
            assert stranger.get("/traces").status_code == stranger.get("/nothing").status_code == 403
        assert served.store.count() == 0
        assert not [line for line in served.log.splitlines() if line.startswith("- ") and "tunix-rt" in line]


@pytest.mark.slow
def test_it_is_there_beside_jupyterlab(tmp_path):
    pytest.importorskip("jupyterlab")
    with serving(tmp_path / "served", "--ServerApp.jpserver_extensions=jupyterlab=True") as served:
        lab = httpx.get(f"{served.url}/lab", params={"token": served.token}, trust_env=False)
        assert lab.status_code == 200
        assert served.client.get("/health").json()["status"] == "healthy"
