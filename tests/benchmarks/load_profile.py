"""`python -m tests.benchmarks.load_profile`: where the processor time of a load goes, beside DuckDB's own `read_json`.

Processor time of all threads and children, not seconds. The stages of a load run one after the other here, in pieces of
the size of a transaction, with the functions of a load; a load runs some of them at the same time.
"""

import argparse
import pickle
import resource
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import duckdb

import tunix_rt as rt
from tests.benchmarks import formats, plain_duckdb, results
from tests.benchmarks.data import Traces
from tests.benchmarks.table import table
from tunix_rt.formats import READABLE, Row, found_in
from tunix_rt.formats.containers.files import SourceFile
from tunix_rt.store.engine import rows
from tunix_rt.store.ingest import plain_lines
from tunix_rt.store.ingest.chunk import CHUNK_ROWS, Chunk, Encoded
from tunix_rt.store.ingest.dedup import Duplicates
from tunix_rt.store.ingest.encoding import encoded
from tunix_rt.store.ingest.homes import find_homes

_ABOUT = """\
`python -m tests.benchmarks.load_profile`. Microseconds of processor time for each trace of about 2 KB, of all threads
and processes; a ratio is that of `read_json` to it. The stages of a load are measured one after the other. *The barest
load* inserts the same columns, a digest and ids, in transactions of the same size, checks nothing and finds no
duplicates: what a load needs beyond it is the price of these. On two cores a load cannot be faster than half of its
processor time, and `read_json` uses both."""
# The same rows in the store's own columns from the lines of a file; of a digest, what one costs in SQL.
_BAREST = """
create or replace temp view incoming as
select uuidv7() as id, make_timestamptz(1767225600000000 + row_number() over ()) as created_at,
    md5(json::varchar)::uuid as digest, json -> 'meta' as meta, json::varchar as json
from read_ndjson_objects('{}')
"""
_MOST_BYTES = 2**30


class Clock:
    """Adds up the processor time of stages by their names."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A part of a stage."""
        before = _processor_seconds()
        yield
        self.seconds[name] += _processor_seconds() - before


def _processor_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Prints the tables to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load_profile", description=main.__doc__)
    parser.add_argument("--size", type=int, default=100_000, help="traces")
    parser.add_argument("--workers", type=int, default=rt.Settings().workers, help="processes that read large files")
    results.add_argument(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as name:
        folder = Path(name)
        source = folder / "source.jsonl"
        Traces(None, folder).write(source, given.size)
        tables = {
            "Lines as the store writes them": _table(given.size, _native(folder, source)),
            "`messages`": _table(given.size, _messages(folder, source, given.workers)),
        }
    print(*tables.values(), sep="\n\n")  # noqa: T201
    if given.results:
        results.write(given.results, "Where the time of a load goes", _ABOUT, tables)


def _table(n: int, clock: Clock) -> str:
    base = next(iter(clock.seconds.values()))
    found = [[name, f"{s / n * 1e6:.1f}", f"{base / s:.2f}" if s else ""] for name, s in clock.seconds.items()]
    return table((f"{n:,} traces", "µs of processor time", "`read_json` to it"), ("---", "---:", "---:"), *found)


def _baselines(clock: Clock, folder: Path, source: Path) -> None:
    empty = folder / "empty.duckdb"
    rt.TraceStore(empty).close()
    with clock.stage("**DuckDB's own `read_json`**"):
        plain_duckdb.load(folder / "plain" / "p.duckdb", source, empty)
    parts = [folder / f"part{n}.jsonl" for n, _ in enumerate(_pieces(source, folder))]
    shutil.copyfile(empty, folder / "barest.duckdb")
    with clock.stage("**the barest load**"), duckdb.connect() as connection:
        connection.execute("set enable_progress_bar = false")
        path = str(folder / "barest.duckdb").replace("'", "''")
        connection.execute(f"attach '{path}' as store; use store")
        for part in parts:
            connection.execute(_BAREST.format(str(part).replace("'", "''")))
            connection.execute(rows._INSERT.format(fields=rows._FROM_LINES))
        connection.execute("checkpoint")


def _pieces(source: Path, folder: Path) -> Iterator[None]:
    with source.open("rb") as lines:
        for n, first in enumerate(lines):
            (folder / f"part{n}.jsonl").write_bytes(b"".join([first, *islice(lines, CHUNK_ROWS - 1)]))
            yield


def _loaded(clock: Clock, folder: Path, source: Path, workers: int) -> None:
    store = rt.TraceStore(folder / f"{source.stem}.whole.duckdb", settings=rt.Settings(workers=workers))
    with clock.stage("**a load**"):
        store.load(source, progress=False)
        store.close()


def _native(folder: Path, source: Path) -> Clock:
    clock = Clock()
    _baselines(clock, folder, source)
    _loaded(clock, folder, source, 0)
    checking = plain_lines.PlainLines()
    with _storing(clock, folder / "native.duckdb") as store:
        for some in _read(clock, source):
            with clock.stage("lines taken apart, meta validated"):
                taken = [plain_lines._taken_apart(row.raw or b"") for row in some]
            with clock.stage("DuckDB parses and checks"):
                checked = checking._read([one.body for one in taken if one])
            chunk = Chunk()
            with clock.stage("digests, meta as JSON"):
                parts = [rows.encode_parts(one.body, one.meta, _MOST_BYTES) for one in taken if one]
            with clock.stage("a chunk gathered"):
                for row, part in zip(some, parts, strict=True):
                    chunk.add(Encoded(row, *part, None, None))
                chunk.fields.append(checked[1])
            store(chunk)
    return clock


def _messages(folder: Path, source: Path, workers: int) -> Clock:
    clock = Clock()
    _baselines(clock, folder, source)
    all_traces = rt.TraceStore(folder / "all.duckdb")
    all_traces.load(source, progress=False)
    path = formats._written_as("messages", folder, all_traces)
    _loaded(clock, folder, path, workers)
    with _storing(clock, folder / "messages.duckdb") as store:
        for some in _read(clock, path):
            with clock.stage("JSON parsed"):
                for row in some:
                    row.value  # noqa: B018 - it is kept
            with clock.stage("turns, tags, steps and their types; fields validated"):
                drafts = [draft for row in some for draft in found_in(row, READABLE["messages"])]
            with clock.stage("line and digest made"):
                ready = [encoded(draft, _MOST_BYTES) for draft in drafts]
            chunk = Chunk()
            for one in ready:
                chunk.add(one)
            sent = [(row.file, row.line, row.raw, row.is_spoiled) for row in some]
            with clock.stage("to workers and back, as pickles"):
                for one in (sent, chunk):
                    pickle.loads(pickle.dumps(one, pickle.HIGHEST_PROTOCOL))  # noqa: S301 - made here
            store(chunk)
    return clock


def _read(clock: Clock, path: Path) -> Iterator[list[Row]]:
    found = SourceFile(path).rows()
    while True:
        with clock.stage("file cut into rows"):
            some = list(islice(found, CHUNK_ROWS))
        if not some:
            return
        yield some


@contextmanager
def _storing(clock: Clock, path: Path) -> Iterator[Callable[[Chunk], None]]:
    duplicates = Duplicates(path)
    store = rt.TraceStore(path)

    def stored(chunk: Chunk) -> None:
        with clock.stage("times, ids, copies counted"):
            chunk.complete(duplicates)
        with clock.stage("DuckDB finds duplicates, stores and commits"), store._session.transaction() as cursor:
            find_homes(cursor, chunk, adds_all=False)
            rows.insert(cursor, chunk.table())

    yield stored
    duplicates.close()
    with clock.stage("row groups merged, checkpoint"):
        store.close()


if __name__ == "__main__":
    main()
