"""`python -m tests.benchmarks.served`: the HTTP API of a Jupyter Server, beside a plain tornado server on SQLite."""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks import results
from tests.benchmarks.data import Traces
from tests.benchmarks.table import aimed, shown, table
from tests.served import ROOT, serving

_N_UPLOADERS = 50
_N_READERS = 4
_BATCH = 1_000
_PLAIN = "plain tornado, SQLite"


class Caller:
    """A client with one connection; `call` gives the seconds from the first byte sent to the last one received."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path
        self._login = f"Authorization: token {token}\r\n" if token else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: bytes = b"", *, status: int = 200) -> float:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = f"{method} {self._path}{path} HTTP/1.1\r\nHost: localhost\r\n{self._login}"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter()
        writer.write(head.encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert told.startswith(f"http/1.1 {status} "), told
        await reader.readexactly(int(told.partition("content-length: ")[2].partition("\r")[0]))
        return time.perf_counter() - started

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


async def measured(url: str, token: str | None, traces: list[bytes], seconds: float) -> dict[str, float]:
    """The figures of a server: seconds, and requests a second, by what is measured."""
    callers = [Caller(url, token) for _ in range(_N_UPLOADERS + _N_READERS)]
    first, source = callers[0], cycle(traces)
    found: dict[str, float] = {}
    batch = b"[" + b",".join(next(source) for _ in range(_BATCH)) + b"]"
    await first.call("POST", "/traces", next(source), status=201)
    batches = sorted([await first.call("POST", "/traces/batch", batch, status=201) for _ in range(5)])
    found["batch of 1,000"] = batches[2]
    await first.call("GET", "/traces?limit=20")
    adds = [await first.call("POST", "/traces", next(source), status=201) for _ in range(300)]
    pages = [await first.call("GET", f"/traces?limit=20&offset={offset * 10}") for offset in range(300)]
    found["one upload, p50"], found["one upload, p95"] = _share(adds, 50), _share(adds, 95)
    found["one page, p50"], found["one page, p95"] = _share(pages, 50), _share(pages, 95)

    async def all_the_time(ask: Callable[[], object]) -> list[float]:
        taken: list[float] = []
        while time.perf_counter() < end:
            taken.append(await ask())  # type: ignore[misc]
        return taken

    end = time.perf_counter() + seconds
    uploading = [
        all_the_time(lambda one=one: one.call("POST", "/traces", next(source), status=201))
        for one in callers[:_N_UPLOADERS]
    ]
    reading = [all_the_time(lambda one=one: one.call("GET", "/traces?limit=20")) for one in callers[_N_UPLOADERS:]]
    started = time.perf_counter()
    taken = await asyncio.gather(*uploading, *reading)
    passed = time.perf_counter() - started
    adds = [one for some in taken[:_N_UPLOADERS] for one in some]
    pages = [one for some in taken[_N_UPLOADERS:] for one in some]
    crowd = f"{_N_UPLOADERS} clients uploading while {_N_READERS} page"
    found[f"{crowd}: uploads"] = len(adds) / passed
    found[f"{crowd}: upload, p50"], found[f"{crowd}: upload, p99"] = _share(adds, 50), _share(adds, 99)
    found[f"{crowd}: page, p50"], found[f"{crowd}: page, p99"] = _share(pages, 50), _share(pages, 99)
    for one in callers:
        one.close()
    return found


def _share(taken: list[float], percent: int) -> float:
    return sorted(taken)[max(0, len(taken) * percent // 100 - 1)]


async def status_of(url: str, token: str) -> dict[str, float]:
    """What the same server takes for a reply of its own."""
    one = Caller(url, token)
    taken = [await one.call("GET", "/api/status") for _ in range(300)]
    one.close()
    return {
        "the server's own `api/status`, p50": _share(taken, 50),
        "the server's own `api/status`, p95": _share(taken, 95),
    }


@contextmanager
def plain_server(path: Path) -> Iterator[str]:
    """The address of a plain server on a file."""
    command = [sys.executable, "-m", "tests.benchmarks.plain_server", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.terminate()


_AIMS = {"one upload, p95": "≤ 150 ms", "one page, p95": "≤ 200 ms", "batch of 1,000": "≤ 3,000 ms"}
_ABOUT = """\
`python -m tests.benchmarks.served`. A Jupyter Server with its access rules, beside a plain tornado server that has
none, validates nothing and writes to SQLite in its event loop. Traces of about 2 KB, clients on the same machine. The
server's own `api/status` is the part of each request that is Jupyter's."""


def _table(ours: Mapping[str, float], plain: Mapping[str, float]) -> str:
    columns = ("work", "unit", "tunix_rt", _PLAIN, "ratio", "aim")
    return table(columns, ("---", "---", "---:", "---:", "---:", "---"), *_rows(ours, plain))


def _rows(ours: Mapping[str, float], plain: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    for work, number in ours.items():
        unit, factor = ("requests/s", 1) if work.endswith("uploads") else ("ms", 1e3)
        theirs = plain.get(work)
        baseline = ("no counterpart", "") if theirs is None else (shown(theirs * factor), f"{number / theirs:.3g}")
        yield (work, unit, shown(number * factor), *baseline, aimed(_AIMS.get(work, ""), number * factor))


def main() -> None:
    """Prints the table to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.served", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="for the crowd of clients")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a file to take the traces from, of any known format")
    results.add_argument(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as name:
        folder = Path(name)
        Traces(given.data, folder).write(folder / "traces.jsonl", 5_000)
        traces = [json.dumps(json.loads(line)).encode() for line in (folder / "traces.jsonl").open(encoding="utf-8")]
        with serving(folder / "served") as served:
            ours = asyncio.run(measured(served.api, served.token, traces, given.seconds))
            ours |= asyncio.run(status_of(served.url, served.token))
        with plain_server(folder / "plain.sqlite") as url:
            plain = asyncio.run(measured(url, None, traces, given.seconds))
    measured_table = _table(ours, plain)
    print(measured_table)  # noqa: T201
    if given.results:
        results.write(given.results, "The HTTP API", _ABOUT, {"Requests": measured_table})


if __name__ == "__main__":
    main()
