"""`python -m tests.benchmarks` from the root of the repository: the arguments, and the tables one after the other."""

import argparse
import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tests.benchmarks import results
from tests.benchmarks.contest import Contest
from tests.benchmarks.data import Traces
from tests.benchmarks.imports import import_rows
from tests.benchmarks.places import LEAST_TRACES
from tests.benchmarks.table import markdown, short

_SIZES = [10_000, 100_000, 1_000_000]
_HEADING = "The store, beside plain DuckDB and plain SQLite"
_ABOUT = """\
`python -m tests.benchmarks`. Medians of runs in turn (tunix_rt, DuckDB, SQLite, tunix_rt, …); plain SQLite has an
index on `created_at`. Peak memory is resident, of a process of its own.

Processes that work together begin at the same time and continue for some seconds; p50, p95 and p99 are of all their
calls. What they added is counted afterwards. Plain DuckDB has no counterpart there: it gives the file to one process
at a time.

What keeps a load below 0.7 of plain DuckDB: *Where the time of a load goes* has the processor time of each stage, and
that of the barest load, which inserts the same columns in transactions of the same size and checks nothing. The largest
part of all three is DuckDB's compression of the texts: of 26 µs for inserting ready columns, 7 were left without it.
ZSTD took 14 in all, but then a trace by its id took twice as long."""


def main() -> None:
    """Prints the tables to standard output, each when it has been measured."""
    given = _arguments()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory(prefix="tunix-rt-") as folder:
        traces = Traces(given.data, Path(folder))
        _show(f"# {_HEADING}", results.machine(), _ABOUT)
        tables = {"At start": markdown(import_rows(given.repeat))}
        _show("## At start", tables["At start"])
        for n_traces in sorted(given.sizes):
            place = Path(folder) / f"{n_traces}"
            place.mkdir()
            rows = list(Contest(traces, n_traces, place, given.repeat).rows())
            name = f"{n_traces:,} traces"
            tables[name] = markdown(rows)
            _show(f"## {name}", tables[name])
            if not given.keep:
                shutil.rmtree(place)
        if given.results:
            in_short = f"{name}, of about 2 KB each:\n\n{short(rows)}"
            results.write(given.results, _HEADING, _ABOUT, {results.IN_SHORT: in_short} | tables)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=main.__doc__)
    parser.add_argument("--sizes", type=_sizes, default=_SIZES, help="traces, such as 10000,100000")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a file to take the traces from, of any known format")
    parser.add_argument("--repeat", type=_rounds, default=21, help="rounds at most, of each kind of work")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder, and leave the stores there")
    results.add_argument(parser)
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


if __name__ == "__main__":
    main()
