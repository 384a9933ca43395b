"""`python -m tests.benchmarks.judging`: how fast traces are scored and duplicates found, pages under a score filter."""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.data import Traces
from tests.benchmarks.table import aimed, shown, table
from tests.benchmarks.timing import Cost, alone, here, in_turn
from tunix_rt.workers import usable_workers

_HEADING = "Scores"
_ABOUT = """\
`python -m tests.benchmarks.judging`, with made-up traces of about 2 KB. Rates include reading the traces and storing
the scores; workers also their start. *CPU* is the processor time of all processes and threads, which says more than the
time where the machine has other work. For the pages the table `scores` is filled by SQL: ten scores for each trace, of
five scorers that each say yes of another hundredth, and of five with a number. Peak memory is resident, of a process of
its own."""
_N_SCORED = 50_000
_SCORERS = 10
# Half of them say yes or no, and half have a number.
_FILL = """
insert into scores
select scorer, '1', '{}', created_at, id, null, 0,
    case when scorer[1] = 'f' then (hash(id, scorer) % 100 = 0)::double else (hash(id, scorer) % 1000)::double end,
    null, null, null, null, null, created_at
from (select created_at, id from traces order by created_at, id)
cross join (select unnest(?::varchar[]) as scorer)
order by scorer, created_at, id
"""
_NAMES = [f"{'fn'[n % 2]}{n // 2}" for n in range(_SCORERS)]
_FILTERS: dict[str, Any] = {
    "1 % pass": {"f0": True},
    "1 % pass, of a number": "n0<10",
    "two filters, 1 in 10,000 passes": {"f0": True, "f1": True},
    "99 % pass": {"f0": False},
}


def main() -> None:
    """Prints the tables to standard output."""
    given = _arguments()
    keep = nullcontext(str(given.keep)) if given.keep else tempfile.TemporaryDirectory(prefix="tunix-rt-")
    tables: dict[str, str] = {}

    def add(name: str, one: str) -> None:
        # At once: a run over 1,000,000 traces that is ended keeps what it has measured.
        print(f"### {name}\n\n{one}\n", flush=True)  # noqa: T201
        tables[name] = one
        if given.results:
            results.write(given.results, _HEADING, _ABOUT, tables)

    with keep as folder:
        for n_traces in given.sizes:
            path = Path(folder) / f"judged_{n_traces}.duckdb"
            _fill(path, n_traces)
            if n_traces == given.sizes[0]:
                add("Scoring", _scoring(path, min(n_traces, given.scored)))
            add(f"Under a score filter, {n_traces:,} traces × {_SCORERS} scorers", _filtered(path, given.repeat))
            add(f"Duplicates among {n_traces:,} traces", _duplicates(path, n_traces))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.judging", description=main.__doc__)
    parser.add_argument(
        "--sizes", type=lambda text: list(map(int, text.split(","))), default=[100_000, 1_000_000], help="traces"
    )
    parser.add_argument("--scored", type=int, default=_N_SCORED, help="traces that are scored, of the first size")
    parser.add_argument("--repeat", type=int, default=21, help="rounds at most, of each kind of page")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder, and leave the stores there")
    results.add_argument(parser)
    return parser.parse_args()


def _fill(path: Path, n_traces: int) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent))
    try:
        Traces(None, scratch).write(scratch / "traces.jsonl", n_traces)
        with rt.TraceStore(path) as store:
            store.load(scratch / "traces.jsonl", progress=False)
    finally:
        shutil.rmtree(scratch)


def slow_reward(trace: rt.TraceRecord) -> int:
    """Pure Python of about 100 µs."""
    return sum(n * n % 7 for n in range(1_600)) + len(trace.payload.prompt)


def _scoring(path: Path, n_traces: int) -> str:
    rows = []
    with rt.TraceStore(path) as store:
        # The newest of them: a page of the time index says since when.
        since = store.page(limit=1, offset=n_traces - 1)[0].created_at
        for scorer in ("loop", "answer", "structure", slow_reward):
            name = scorer if isinstance(scorer, str) else "a Python function of 100 µs"
            found = {n: _scored(store, scorer, n, since) for n in (0, usable_workers(2))}
            (alone, by_itself), (seconds, together) = found[0], found[usable_workers(2)]
            aim = "" if isinstance(scorer, str) else "≥ 1.5 × one process"
            ratio = alone / seconds
            rows.append(
                (
                    f"`{name}`" if isinstance(scorer, str) else name,
                    f"{n_traces / alone:,.0f}",
                    f"{n_traces / seconds:,.0f}",
                    f"{ratio:.2f}",
                    f"{by_itself:.1f}",
                    f"{together:.1f}",
                    aimed(aim, ratio),
                )
            )
    columns = (f"{n_traces:,} traces by", "one process, traces/s", "two workers", "ratio", "CPU s", "CPU s", "aim")
    return table(columns, ("---", *["---:"] * 5, "---"), *rows)


def _scored(store: rt.TraceStore, scorer: Any, workers: int, since: Any) -> tuple[float, float]:
    # Under a name of its own, so that nothing is scored yet.
    name = f"{scorer if isinstance(scorer, str) else scorer.__name__} {workers} {time.time_ns()}"
    before = os.times()
    seconds = here(lambda: store.score(scorer, name=name, workers=workers, since=since, progress=False)).seconds
    return seconds, sum(os.times()[:4]) - sum(before[:4])


def _filtered(path: Path, repeat: int) -> str:
    with rt.TraceStore(path) as store:
        if not store.sql("select 1 from scores where scorer = 'f0' limit 1").rows:
            with store._session.transaction() as cursor:
                cursor.execute(_FILL, [_NAMES])
        middle = store.page(limit=1, offset=store.count() // 2).next
        rows = []
        for name, score in _FILTERS.items():
            aim = "≤ 10 ms" if name == "1 % pass" else ""
            calls: dict[str, Callable[[], Any]] = {
                "newest page": partial(store.page, score=score),
                "page in the middle": partial(store.page, score=score, after=middle),
                "count": partial(store.count, score=score),
            }
            rows += [
                _timed(store, f"{work}, {name}", call, repeat, "" if work == "count" else aim)
                for work, call in calls.items()
            ]
        rows.append(_timed(store, "newest page without a filter", store.page, repeat))
    return table(("work, inside `hold()`", "ms", "CPU ms", "aim"), ("---", "---:", "---:", "---"), *rows)


def _timed(store: rt.TraceStore, work: str, call: Callable[[], Any], repeat: int, aim: str = "") -> tuple[str, ...]:
    cpu: list[float] = []

    def timed() -> Cost:
        before = time.process_time()
        cost = here(call)
        cpu.append(time.process_time() - before)
        return cost

    with store.hold():
        cost = in_turn({work: timed}, repeat=repeat, budget_seconds=5)[work]
    if isinstance(cost, str):
        return work, cost, "", aim
    return work, shown(cost.seconds * 1e3), shown(median(cpu) * 1e3), aimed(aim, cost.seconds * 1e3)


def _duplicates(path: Path, n_traces: int) -> str:
    cost = alone(_flagged, path)
    aims = ("≤ 180 s", "≤ 1,000 MB") if n_traces >= 1_000_000 else ("", "")
    rows = [("seconds", shown(cost.seconds), aimed(aims[0], cost.seconds))]
    if cost.peak_bytes is not None:
        megabytes = cost.peak_bytes / 1e6
        rows.append(("peak memory, MB", shown(megabytes), aimed(aims[1], megabytes)))
    return table(("the flag `duplicate`", "", "aim"), ("---", "---:", "---"), *rows)


def _flagged(path: Path) -> Cost:
    with rt.TraceStore(path) as store:
        # Of the same set it is not computed again.
        with store._session.transaction() as cursor:
            cursor.execute("delete from scores where scorer = 'duplicate'")
        before = time.process_time()
        cost = here(lambda: store.flag("duplicate", progress=False))
        # The only row that can say so: the time of this process is not known to the one that started it.
        print(f"CPU seconds of the flag `duplicate`: {time.process_time() - before:.1f}")  # noqa: T201
        return cost


if __name__ == "__main__":
    main()
