"""`python -m tests.benchmarks.jobs`: scoring a shared lake in one process and spread over others, beside a store."""

import argparse
import os
import tempfile
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.data import Traces
from tests.benchmarks.judging import slow_reward
from tests.benchmarks.table import aimed, shown, table
from tests.benchmarks.timing import Cost, here, in_turn

_HEADING = "Jobs"
_ABOUT = """\
`python -m tests.benchmarks.jobs`, with made-up traces of about 2 KB, which a Python function of about 100 µs scores.
The traces are loaded into a store and published to a lake in a folder, which is then compacted. Seconds include reading
the traces, storing the scores, and the start of the processes; *CPU* is the processor time of all of them. Medians. Up
to 2,048 traces are not spread."""
_STORE, _LAKE, _ONE, _TWO = "a store", "a lake", "the lake, spread over 1 process", "the lake, spread over 2 processes"
_AIM = "≥ 1.5 × one process"
_BUDGET_SECONDS = 300.0


def main() -> None:
    """Prints the tables to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.jobs", description=main.__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeat", type=int, default=3, help="rounds at most, of each size")
    results.add_argument(parser)
    given = parser.parse_args()
    tables: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as folder:
        os.environ["TUNIX_RT_DATABASE"] = str(Path(folder) / "default.duckdb")
        for n_traces in given.sizes:
            heading = f"{n_traces:,} traces"
            tables[heading] = _measured(Path(folder) / str(n_traces), n_traces, given.repeat)
            # At once: a run that is ended keeps what it has measured.
            print(f"{heading}\n\n{tables[heading]}\n", flush=True)  # noqa: T201
            if given.results:
                results.write(given.results, _HEADING, _ABOUT, tables)


def _measured(folder: Path, n_traces: int, repeat: int) -> str:
    folder.mkdir()
    Traces(None, folder).write(folder / "traces.jsonl", n_traces)
    cpu: dict[str, list[float]] = {}
    with rt.TraceStore(folder / "traces.duckdb") as store, rt.connect(f"delta:{folder / 'lake'}") as lake:
        store.load(folder / "traces.jsonl", progress=False)
        store.publish(lake, progress=False)
        lake.compact(progress=False)
        works = {
            _STORE: partial(_scored, store, 0),
            _LAKE: partial(_scored, lake, 0),
            _ONE: partial(_scored, lake, 1),
            _TWO: partial(_scored, lake, 2),
        }

        def timed(name: str) -> Cost:
            before = sum(os.times()[:4])
            cost = here(works[name])
            cpu.setdefault(name, []).append(sum(os.times()[:4]) - before)
            return cost

        costs = in_turn(
            {name: partial(timed, name) for name in works},
            repeat=repeat,
            budget_seconds=_BUDGET_SECONDS,
            warm_up=False,
        )
    seconds = {name: cost.seconds for name, cost in costs.items() if isinstance(cost, Cost)}
    assert seconds.keys() == works.keys(), costs
    rows = []
    for name, taken in seconds.items():
        ratio = seconds[_LAKE] / taken
        numbers = n_traces / taken, taken, median(cpu[name]), seconds[_STORE] / taken, ratio
        rows.append((name, *map(shown, numbers), aimed(_AIM, ratio) if name == _TWO else ""))
    columns = ("scored in", "traces/s", "seconds", "CPU s", "rate × the store", "rate × the lake in one process", "aim")
    return table(columns, ("---", *["---:"] * 5, "---"), *rows)


def _scored(one: rt.TraceStore, workers: int) -> None:
    # Under a name of its own, so that nothing is scored yet.
    name = f"slow_reward {time.time_ns()}"
    with rt.spread(one, workers=workers) if workers else nullcontext(one) as spread:
        report = spread.score(slow_reward, name=name, progress=False)
    assert report.scored == one.count(), report


if __name__ == "__main__":
    main()
