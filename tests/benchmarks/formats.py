"""`python -m tests.benchmarks.formats`: how fast traces come in from each format, and go out to each, beside `trace`.

The same traces, of about 2 KB each, stand in files of each shape; a ratio is the format's rate to that of `trace`.
`--large BYTES` measures instead the memory of a load of a file of this size, with its workers.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.data import Traces
from tests.benchmarks.table import aimed, table
from tunix_rt.formats import WRITERS

_ABOUT = """\
`python -m tests.benchmarks.formats`. The same traces of about 2 KB in files of each shape. Rows of other formats are
taken apart, cut into steps and validated, on every core. Those of `trace` have blanks between their fields, so that
pydantic reads them, in one process; lines as the store writes them are checked by DuckDB, and are faster.
`preference` finds no verdicts in these traces: its figure is the reading of all of them."""
# Of an outside format to the native one, on two cores and more.
_AIM = "≥ 0.6 of `trace`"
_MEMORY_AIM = "≤ 1,000"
_LOOK_EVERY = 0.1
_LOADING = """
import sys
import tunix_rt as rt
path, store, workers = sys.argv[1:]
rt.TraceStore(store, settings=rt.Settings(workers=int(workers))).load(path, known="add", progress=False)
"""

Row = Mapping[str, Any]


def _written(trace: rt.Trace) -> str:
    return "<think>" + "\n\n".join(step.content for step in trace.steps) + f"</think>\n\n{trace.final_answer}"


def _messages(trace: rt.Trace) -> list[Row]:
    return [{"role": "user", "content": trace.prompt}, {"role": "assistant", "content": _written(trace)}]


# One trace as a row of each shape that comes in; the readers' tests hold every detail of them.
_SHAPES: dict[str, Callable[[rt.Trace], Row]] = {
    "trace": lambda trace: trace.model_dump(mode="json", exclude_none=True),
    "gsm8k": lambda trace: {
        "question": trace.prompt,
        "answer": "\n".join(step.content for step in trace.steps) + f"\n#### {trace.final_answer}",
    },
    "messages": lambda trace: {"messages": _messages(trace)},
    "sharegpt": lambda trace: {
        "conversations": [{"from": "human", "value": trace.prompt}, {"from": "gpt", "value": _written(trace)}]
    },
    "prompt_completion": lambda trace: {"prompt": trace.prompt, "completion": _written(trace)},
    "openr1_math": lambda trace: {
        "problem": trace.prompt,
        "solution": "",
        "answer": trace.final_answer,
        "generations": [_written(trace)],
        "is_reasoning_complete": [True],
        "correctness_math_verify": [True],
        "uuid": trace.prompt[:20],
    },
    "verl": lambda trace: {
        "input": trace.prompt,
        "output": _written(trace),
        "gts": trace.final_answer,
        "score": 1.0,
        "step": 1,
    },
    "anthropic": lambda trace: {
        "request": {"messages": _messages(trace)[:1]},
        "response": {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "\n\n".join(step.content for step in trace.steps), "signature": "s"},
                {"type": "text", "text": trace.final_answer},
            ],
        },
    },
}


def main() -> None:
    """Prints the tables to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.formats", description=main.__doc__)
    parser.add_argument("--size", type=int, default=20_000, help="traces")
    parser.add_argument("--workers", type=int, default=rt.Settings().workers, help="processes that read large files")
    parser.add_argument("--large", type=int, metavar="BYTES", help="measure the memory of a load of a file this large")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a file to take the traces from, of any known format")
    results.add_argument(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as name:
        folder = Path(name)
        source = folder / "source.jsonl"
        Traces(given.data, folder).write(source, given.size)
        store = rt.TraceStore(folder / "all.duckdb")
        store.load(source, progress=False)
        if given.large:
            print(_memory(folder, store, given.large, given.workers))  # noqa: T201
            return
        loads = _loads(folder, store, given.workers)
        tables = {
            "In": _table(given.size, loads, _AIM),
            "Out": _table(given.size, _exports(folder, store)),
        }
    print(*tables.values(), sep="\n\n")  # noqa: T201
    if given.results:
        results.write(given.results, "By format", _ABOUT, tables)


def _written_as(name: str, folder: Path, store: rt.TraceStore) -> Path:
    """A file of the store's traces in this shape."""
    path = folder / f"{name}.in.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for record in store.records():
            file.write(json.dumps(_SHAPES[name](record.payload), ensure_ascii=False) + "\n")
    return path


def _loads(folder: Path, store: rt.TraceStore, workers: int) -> Iterator[tuple[str, float]]:
    for name in _SHAPES:
        path = _written_as(name, folder, store)
        into = rt.TraceStore(folder / f"{name}.duckdb", settings=rt.Settings(workers=workers))
        started = time.perf_counter()
        report = into.load(path, progress=False)
        yield name, report.added / (time.perf_counter() - started)
        assert (report.format, report.rejected) == (name, []), report


def _exports(folder: Path, store: rt.TraceStore) -> Iterator[tuple[str, float]]:
    for name in WRITERS:
        started = time.perf_counter()
        store.export(folder / name, format=name)
        # What has nothing to write, as preferences without verdicts, has read all traces to find that out.
        yield name, store.count() / (time.perf_counter() - started)


def _memory(folder: Path, store: rt.TraceStore, n_bytes: int, workers: int) -> str:
    """The highest memory of a process that loads a file of this size, with that of its workers, as a table."""
    path = _written_as("messages", folder, store)
    once = path.read_bytes()
    with path.open("ab") as file:
        for _ in range(n_bytes // len(once)):
            file.write(once)
    loading = subprocess.Popen([sys.executable, "-c", _LOADING, path, folder / "large.duckdb", str(workers)])
    peak = 0
    while loading.poll() is None:
        peak = max(peak, _resident(loading.pid))
        time.sleep(_LOOK_EVERY)
    assert loading.returncode == 0
    cells = (f"{path.stat().st_size / 1e9:.2f} GB", f"{peak / 1e6:,.0f}", aimed(_MEMORY_AIM, peak / 1e6))
    return table(("a load of `messages`", "MB", "aim"), ("---", "---:", "---"), cells)


def _resident(pid: int) -> int:
    """Bytes of memory of a process and its children, without what is swapped out; shared pages count once (Linux)."""
    # A process that ends meanwhile has no figures.
    with suppress(OSError, StopIteration):
        figures = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        own = next(int(line.split()[1]) for line in figures if line.startswith("Pss:"))
        children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return 1_024 * own + sum(_resident(int(child)) for child in chain(*children))
    return 0


def _table(size: int, rates: Iterator[tuple[str, float]], aim: str = "") -> str:
    found = dict(rates)
    rows = []
    for name, rate in found.items():
        ratio = rate / found["trace"]
        cells = [f"`{name}`", f"{rate:,.0f}", f"{ratio:.2f}"]
        rows.append([*cells, aimed(aim, rate, ratio) if name != "trace" else ""] if aim else cells)
    columns, align = (f"{size:,} traces", "traces/s", "to `trace`", "aim"), ("---", "---:", "---:", "---")
    n = 4 if aim else 3
    return table(columns[:n], align[:n], *rows)


if __name__ == "__main__":
    main()
