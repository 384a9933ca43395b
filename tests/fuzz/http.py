"""The HTTP API of a real server: requests of every kind, well-formed or not; it refuses, and never fails."""

import json
import select
import socket
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from urllib.parse import quote, quote_from_bytes, urlsplit

import httpx

from tests.fuzz.damage import damaged
from tests.fuzz.finding import Case
from tests.fuzz.values import as_text, fits_json, json_value, text, trace
from tests.served import serving
from tunix_rt.formats import WRITERS
from tunix_rt.server.parameters import EXPORT, PAGE, SELECTION

_ROUTES = [
    "/traces",
    "/traces/batch",
    "/traces/export",
    "/health",
    "/redi/health",
    "/openapi.json",
    "",
    "/",
    "/nope",
    "/traces/",
    "/traces/export/",
    "/../traces",
    "/traces/%00",
]
_METHODS = ["GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "QUERY", "FOO", "get"]
_SECONDS = 50
_MORE_SECONDS = 0.5


class Part:
    """Draws requests to one server; a traceback in its log is a finding as well."""

    def __init__(self, folder):
        self._context = serving(folder / "server")
        self._served = self._context.__enter__()
        self._n_logged = 0
        self._client = httpx.Client(
            base_url=self._served.api,
            timeout=_SECONDS,
            trust_env=False,
            headers={"Authorization": f"token {self._served.token}"},
        )
        self._ids = [
            self._client.post("/traces", json={"prompt": f"{n}?", "steps": ["s"], "final_answer": "a"}).json()["id"]
            for n in range(30)
        ]
        self._parts = urlsplit(self._served.api)

    def close(self):
        self._client.close()
        self._context.__exit__(None, None, None)

    def draw(self, rng):
        made = {
            "POST a trace": lambda: (trace(rng), self._post),
            "POST bytes": lambda: (self._bytes(rng), self._post_bytes),
            "POST a batch": lambda: ([trace(rng) for _ in range(rng.choice([0, 1, 3, 1_001]))], self._post_batch),
            "GET with a query": lambda: ((self._route(rng), self._query(rng)), self._get),
            "one trace": lambda: ((rng.choice(["GET", "GET", "DELETE"]), self._id(rng)), self._one),
            "any request": lambda: (self._request(rng), self._any),
            "raw bytes": lambda: (self._raw(rng), self._send),
        }
        kind = rng.choice([*made, "POST a trace", "GET with a query"])
        return Case(kind, *made[kind]())

    def _bytes(self, rng):
        data = as_text(rng.choice([trace(rng), json_value(rng), [trace(rng)]]))
        return rng.choice(["/traces", "/traces/batch"]), damaged(rng, data.encode(errors="surrogatepass"))

    def _route(self, rng):
        return rng.choice(["/traces", "/traces", "/traces/export", rng.choice(_ROUTES)])

    def _id(self, rng):
        good = rng.choice(self._ids)
        odd = quote(text(rng)[:500], safe="", errors="replace")
        return rng.choice([good, good[: rng.randrange(36)], odd, quote_from_bytes(rng.randbytes(5))])

    def _request(self, rng):
        body = rng.randbytes(rng.choice([0, 5, 3_000]))
        return rng.choice(_METHODS), rng.choice(_ROUTES), self._headers(rng), body

    def _query(self, rng):
        known = {**PAGE, **SELECTION, **EXPORT}
        good = {
            "limit": "5",
            "offset": "3",
            "format": rng.choice(list(WRITERS)),
            "meta": as_text({text(rng): json_value(rng, 1)})[:2_000],
            "min_steps": str(rng.randrange(10 ** rng.choice([1, 19, 30]))),
            "since": "2026-01-31",
            "until": "0001-01-01T00:00:00-23:59",
            "text": text(rng)[:2_000],
        }
        pairs = []
        for _ in range(rng.randrange(4)):
            name = rng.choice([*known, *good, "nope", text(rng)[:50]])
            value = good.get(name, "1") if rng.randrange(2) else text(rng)[:2_000]
            quoted = quote(value, errors="replace") if rng.randrange(8) else quote_from_bytes(rng.randbytes(6))
            pairs.append(f"{quote(name, errors='replace')}={quoted}")
        return rng.choice(["&", "&", "&", ";", "&&"]).join(pairs)

    def _headers(self, rng):
        odd = {
            "Content-Length": rng.choice(["0", "-1", "9" * 5_000, "x", "5"]),
            "Transfer-Encoding": "chunked",
            "Content-Type": text(rng)[:50].encode("ascii", "ignore").decode(),
            "Content-Encoding": "gzip",
            "Expect": "100-continue",
            "Host": "x.invalid",
            "Origin": "http://evil.invalid",
            "Authorization": "token x",
            "Accept": "text/html",
            "X-Long": "x" * 60_000,
            "Range": "bytes=0-1",
            "If-None-Match": "*",
            "Cookie": "a=b; _xsrf=x",
            "Connection": "close",
        }
        return {name: odd[name] for name in rng.sample(list(odd), rng.choice([0, 1, 1, 2]))}

    def _raw(self, rng):
        body = as_text(trace(rng)).encode(errors="replace")
        lines = [f"POST {self._parts.path}/traces HTTP/1.1", f"Host: {self._parts.netloc}", "Connection: close"]
        lines += [f"Authorization: token {self._served.token}", f"Content-Length: {len(body)}", "", ""]
        return damaged(rng, "\r\n".join(lines).encode() + body)

    def _post(self, given):
        reply = self._client.post("/traces", content=as_text(given).encode(errors="surrogatepass"))
        self._check(reply)
        if reply.status_code != 201:
            return False
        back = self._client.get(f"/traces/{reply.json()['id']}")
        assert back.status_code == 200, "what was created is not there"
        expected = fits_json(json.loads(as_text(given)))
        payload = back.json()["payload"]
        for name in ("prompt", "final_answer", "meta"):
            assert payload.get(name) == expected.get(name), f"another {name} than was sent"
        return True

    def _post_bytes(self, given):
        route, data = given
        reply = self._client.post(route, content=data)
        self._check(reply)
        return reply.status_code == 201

    def _post_batch(self, given):
        reply = self._client.post("/traces/batch", content=as_text(given).encode(errors="surrogatepass"))
        self._check(reply)
        if reply.status_code == 201:
            assert reply.json()["created_count"] == len(given) == len(reply.json()["traces"])
        return reply.status_code == 201

    def _get(self, given):
        route, query = given
        reply = self._client.get(f"{route}?{query}")
        self._check(reply)
        return reply.status_code == 200

    def _one(self, given):
        method, one = given
        reply = self._client.request(method, f"/traces/{one}")
        self._check(reply)
        return reply.is_success

    def _any(self, given):
        method, route, headers, body = given
        lines = [
            f"{method} {self._parts.path}{route} HTTP/1.1",
            f"Host: {self._parts.netloc}",
            f"Authorization: token {self._served.token}",
        ]
        lines = [line for line in lines if line.split(":")[0] not in headers] + [
            f"{name}: {value}" for name, value in headers.items()
        ]
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            lines.append(f"Content-Length: {len(body)}")
        return self._send("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body)

    def _send(self, data):
        """The bytes as they are, on a connection of their own, which then says nothing more."""
        with socket.create_connection((self._parts.hostname, self._parts.port), timeout=_SECONDS) as connection:
            with suppress(OSError):
                # Refused before it was sent, it is an error here.
                connection.sendall(data)
                # Told "100 Continue", or nothing, the server waits for the rest of what was announced.
                if b"100-continue" in data.lower() or not select.select([connection], [], [], _MORE_SECONDS)[0]:
                    connection.shutdown(socket.SHUT_WR)
            reply = HTTPResponse(connection, method=data.partition(b" ")[0].decode("latin-1"))
            try:
                reply.begin()
                reply.read()
            except (HTTPException, ConnectionError):
                # No reply: the connection was closed on what is no request.
                self._look_at_the_log()
                return False
        assert reply.status < 500 or reply.status in (501, 503, 505), f"status {reply.status}"
        self._look_at_the_log()
        return reply.status < 400

    def _check(self, reply):
        assert reply.status_code < 500 or reply.status_code == 503, f"status {reply.status_code}: {reply.text[:300]}"
        if reply.status_code >= 400 and reply.headers.get("content-type", "").startswith("application/json"):
            assert reply.json().get("detail"), f"{reply.status_code} without a word"
        self._look_at_the_log()

    def _look_at_the_log(self):
        said = self._served.log[self._n_logged :]
        self._n_logged += len(said)
        # What is no path of this package's is answered, and logged, by Jupyter.
        is_ours = "/tunix_rt/" in said or "/tunix-rt/api" in said
        assert "Traceback" not in said or not is_ours, f"a traceback in the log: {said[-1_500:]}"
        assert self._served.process.poll() is None, "the server has ended"
