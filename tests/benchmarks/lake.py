"""`python -m tests.benchmarks.lake`: a shared lake beside a store: appends of eight processes, pages, a text search."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from uuid import uuid4

import tunix_rt as rt
from tests.benchmarks import growth, results
from tests.benchmarks.ordered import _TRACES
from tests.benchmarks.places import PAGE
from tests.benchmarks.table import aimed, shown, table
from tests.benchmarks.timing import PROCESSES, Cost, here, in_turn
from tests.lake_server import LakeServer

_STORE, _LAKE = "a store", "a lake"
_HEADING = "A shared lake"
_ABOUT = """\
`python -m tests.benchmarks.lake`, with traces of about 2 KB, beside a store in the same run; with `--s3` the lake is in
object storage (SeaweedFS on this machine), else in a folder. Appends are from eight processes, in commits of 1,000.
Medians; no cache is emptied. Before pages are measured, the lake is compacted once."""
_PROCESSES, _BATCH = 8, 1_000
_AT_ONCE = 50_000
_BUDGET_SECONDS = 10.0
_INSERT = _TRACES.replace("insert into traces", "insert into store.traces")
_SCORE = """
insert into store.scores
select
    'rare', '1', '{}', created_at, id, null, 0, (hash(id) % 100 = 0)::int::double,
    null, null, null, null, null, now()
from traces order by created_at, id
"""


def main() -> None:
    """Prints the tables to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.lake", description=main.__doc__)
    parser.add_argument("--sizes", type=_numbers, nargs="+", default=[[1_000_000]], help="also as 1000000,10000000")
    parser.add_argument("--batches", type=int, default=10, help="commits of each of the eight processes")
    parser.add_argument("--repeat", type=int, default=7, help="rounds at most, of each kind of work")
    parser.add_argument("--s3", action="store_true", help="measure in object storage, not in a folder")
    parser.add_argument(
        "--growth", action="store_true", help="measure one lake in a folder at each size, without a store"
    )
    parser.add_argument("--folder", type=Path, help="where the lake is, for as long as this runs (default: temporary)")
    results.add_argument(parser)
    given = parser.parse_args()
    sizes = [size for some in given.sizes for size in some]
    tables: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tunix-rt-", dir=given.folder)))
        os.environ["TUNIX_RT_DATABASE"] = str(folder / "default.duckdb")
        if given.growth:
            for heading, made in growth.growth(folder, sizes, given.repeat):
                tables[heading] = made
                # At once: a run that is ended keeps what it has measured.
                print(f"{heading}\n\n{made}\n", flush=True)  # noqa: T201
                if given.results:
                    results.write(given.results, growth.HEADING, growth.ABOUT, tables)
            return
        if given.s3:
            server = LakeServer(folder)
            server.start()
            stack.callback(server.stop)
            os.environ.update(server.environment)
        root = "s3://traces" if given.s3 else f"delta:{folder}"
        tables["Appends"] = _appends(
            f"{root}/{uuid4()}", given.batches, folder / "ready", aim="" if given.s3 else "≥ 20,000 /s"
        )
        for n_traces in sizes:
            aim = "≤ 60 ms" if n_traces <= 1_000_000 and not given.s3 else ""
            store, lake = rt.TraceStore(folder / f"{n_traces}.duckdb"), rt.connect(f"{root}/{uuid4()}")
            for one in (store, lake):
                _fill(one, n_traces)
            lake.compact(progress=False)
            columns = ("work", "unit", _STORE, _LAKE, "aim")
            with store.hold():
                made = table(columns, ("---", "---", "---:", "---:", "---"), *_reads(store, lake, given.repeat, aim))
            tables[f"{n_traces:,} traces in {lake.info().files} files"] = made
    for heading, made in tables.items():
        print(f"{heading}\n\n{made}\n")  # noqa: T201 - it is what this is for
    if given.results:
        heading = f"{_HEADING} in object storage" if given.s3 else _HEADING
        results.write(given.results, heading, _ABOUT, tables)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def append(target: str, batches: int, ready: Path) -> tuple[float, float]:
    """In a process of its own: commits the batches when all processes are ready; returns when it began and was done."""
    lake = rt.connect(target)
    with lake._session.transaction() as cursor:
        cursor.execute(_INSERT, [0, _BATCH])
        rows = cursor.sql("select * replace (id::varchar as id, digest::varchar as digest) from traces")
        rows = rows.to_arrow_table()
        cursor.execute("delete from store.traces")
    (ready / str(os.getpid())).touch()
    while len(list(ready.iterdir())) < _PROCESSES:
        time.sleep(0.01)
    began = time.time()
    for number in range(batches):
        assert lake._lake.traces.append(rows, app=f"{os.getpid()}", number=number)
    return began, time.time()


def _appends(target: str, batches: int, ready: Path, *, aim: str) -> str:
    lake = rt.connect(target)
    ready.mkdir()
    with PROCESSES.Pool(_PROCESSES) as pool:
        times = pool.starmap(append, [(target, batches, ready)] * _PROCESSES, chunksize=1)
    n_rows = _PROCESSES * batches * _BATCH
    assert lake.count() == n_rows
    rate = n_rows / (max(end for _, end in times) - min(began for began, _ in times))
    row = (f"{_PROCESSES} processes, commits of {_BATCH:,}", "traces/s", f"{rate:,.0f}", aimed(aim, rate))
    return table(("work", "unit", _LAKE, "aim"), ("---", "---", "---:", "---"), row)


def _fill(one: rt.TraceStore, n_traces: int) -> None:
    for first in range(0, n_traces, _AT_ONCE):
        with one._session.transaction() as cursor:
            cursor.execute(_INSERT, [first, min(n_traces, first + _AT_ONCE)])
    with one._session.transaction() as cursor:
        cursor.execute(_SCORE)


def _reads(store: rt.TraceStore, lake: rt.TraceStore, repeat: int, aim: str) -> Iterator[tuple[str, ...]]:
    middle = store.count() // 2
    cursors = {name: one.page(limit=1, offset=middle).next for name, one in ((_STORE, store), (_LAKE, lake))}
    some = {name: one.page(limit=1, offset=middle)[0].id for name, one in ((_STORE, store), (_LAKE, lake))}
    works: tuple[tuple[str, str, Callable[[str, rt.TraceStore], object]], ...] = (
        ("the newest page", aim, lambda _, one: one.page(limit=PAGE)),
        ("a page in the middle, by a cursor", aim, lambda name, one: one.page(limit=PAGE, after=cursors[name])),
        ("a page of the 1 % that pass a score filter", aim, lambda _, one: one.page(limit=PAGE, score={"rare": True})),
        ("one trace by its id", "", lambda name, one: one.get(some[name])),
        ("the count of a source", "", lambda _, one: one.count(source="math")),
        ("a text that none has, in all", "", lambda _, one: one.count(text="tessarine")),
    )
    for words, aim_of_it, work in works:
        contestants = {name: partial(here, partial(work, name, one)) for name, one in ((_STORE, store), (_LAKE, lake))}
        costs = in_turn(contestants, repeat=repeat, budget_seconds=_BUDGET_SECONDS)
        taken = [cost.seconds * 1e3 if isinstance(cost, Cost) else float("nan") for cost in costs.values()]
        yield words, "ms", *map(shown, taken), aimed(aim_of_it, taken[1])


if __name__ == "__main__":
    main()
