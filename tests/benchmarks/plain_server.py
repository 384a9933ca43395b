"""The plain way to the same: a tornado server with a table in SQLite; `python -m tests.benchmarks.plain_server FILE`.

It validates nothing, asks nobody who he is, and works in its event loop; each insert is one durable write.
"""

import asyncio
import json
import sqlite3
import sys
import time
import uuid

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

_PAGE = "select id, created_at, substr(body, 1, 80) from traces order by created_at desc limit ? offset ?"


class _Traces(RequestHandler):
    def initialize(self, table: sqlite3.Connection) -> None:
        self.table = table

    def get(self) -> None:
        limit, offset = self.get_query_argument("limit"), self.get_query_argument("offset", "0")
        self.finish({"data": self.table.execute(_PAGE, (limit, offset)).fetchall()})

    def post(self) -> None:
        given = json.loads(self.request.body)
        rows = [
            (uuid.uuid4().hex, time.time_ns(), json.dumps(one)) for one in (given if type(given) is list else [given])
        ]
        with self.table:
            self.table.executemany("insert into traces values (?, ?, ?)", rows)
        self.set_status(201)
        self.finish({"ids": [row[0] for row in rows]})


async def _serve(path: str) -> None:
    table = sqlite3.connect(path)
    table.executescript(
        "pragma journal_mode=wal; pragma synchronous=full;"
        "create table traces (id text primary key, created_at integer, body text);"
        "create index by_time on traces (created_at);"
    )
    server = HTTPServer(Application([("/traces(?:/batch)?", _Traces, {"table": table})]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
