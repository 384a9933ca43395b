"""`python -m tests.benchmarks` from the root of the repository: the arguments, and the tables one after the other."""

import argparse
import os
import platform
import shutil
import sqlite3
import tempfile
from contextlib import nullcontext
from pathlib import Path

import duckdb

import tunix_rt as rt
from tests.benchmarks.contest import Contest
from tests.benchmarks.data import Traces
from tests.benchmarks.imports import import_rows
from tests.benchmarks.places import LEAST_TRACES
from tests.benchmarks.table import markdown

_SIZES = [10_000, 100_000, 1_000_000]
_LEGEND = """\
Medians of runs in turn (tunix_rt, DuckDB, SQLite, tunix_rt, …). A ratio is our number to theirs: less is better for ms
and MB, more is better for traces/s. Peak memory is resident, of a process of its own.

Processes at work together begin at once and go on for some seconds; p50, p95 and p99 are of all their calls. What they
have added is counted afterwards."""


def main() -> None:
    """Prints the tables to standard output, each when it has been measured."""
    given = _arguments()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory(prefix="tunix-rt-") as folder:
        traces = Traces(given.data, Path(folder))
        _show(f"# tunix_rt {rt.__version__} beside plain DuckDB and plain SQLite", _machine(), _LEGEND)
        _show("## At start", markdown(import_rows(given.repeat)))
        for n_traces in given.sizes:
            place = Path(folder) / f"{n_traces}"
            place.mkdir()
            table = markdown(Contest(traces, n_traces, place, given.repeat).rows())
            _show(f"## {n_traces:,} traces", table)
            if not given.keep:
                shutil.rmtree(place)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=main.__doc__)
    parser.add_argument("--sizes", type=_sizes, default=_SIZES, help="traces, such as 10000,100000")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a file to take the traces from, of any known format")
    parser.add_argument("--repeat", type=_rounds, default=21, help="rounds at most, of each kind of work")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder, and leave the stores there")
    return parser.parse_args()


def _sizes(text: str) -> list[int]:
    sizes = [int(size) for size in text.split(",")]
    if min(sizes) < LEAST_TRACES:
        raise argparse.ArgumentTypeError(f"at least {LEAST_TRACES} traces, for two pages far from each other")
    return sizes


def _rounds(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least one round")
    return int(text)


def _show(*paragraphs: str) -> None:
    print(*paragraphs, sep="\n\n", end="\n\n", flush=True)  # noqa: T201 - what the command is for


def _machine() -> str:
    versions = f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, SQLite {sqlite3.sqlite_version}"
    return f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, {versions}"


if __name__ == "__main__":
    main()
