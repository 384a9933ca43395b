"""`python -m tests.benchmarks.formats`: how fast traces come in from each format, and go out to each, beside `trace`.

The same traces, of about 2 KB each, stand in files of each shape; a ratio is the format's rate to that of `trace`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.data import Traces
from tests.benchmarks.table import table
from tunix_rt.formats import WRITERS

_ABOUT = """\
`python -m tests.benchmarks.formats`. The same traces of about 2 KB in files of each shape. Rows of other formats are
taken apart, cut into steps and validated; those of the native format are only validated. `preference` finds no
verdicts in these traces: its figure is the reading of all of them."""

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
    parser.add_argument("--data", type=Path, metavar="FILE", help="a file to take the traces from, of any known format")
    results.add_argument(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as name:
        folder = Path(name)
        source = folder / "source.jsonl"
        Traces(given.data, folder).write(source, given.size)
        store = rt.TraceStore(folder / "all.duckdb")
        store.load(source, progress=False)
        tables = {"In": _table(given.size, _loads(folder, store)), "Out": _table(given.size, _exports(folder, store))}
    print(*tables.values(), sep="\n\n")  # noqa: T201
    if given.results:
        results.write(given.results, "By format", _ABOUT, tables)


def _loads(folder: Path, store: rt.TraceStore) -> Iterator[tuple[str, float]]:
    for name, shape in _SHAPES.items():
        path = folder / f"{name}.in.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(shape(record.payload), ensure_ascii=False) + "\n" for record in store.records())
        into = rt.TraceStore(folder / f"{name}.duckdb")
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


def _table(size: int, rates: Iterator[tuple[str, float]]) -> str:
    found = dict(rates)
    rows = ((f"`{name}`", f"{rate:,.0f}", f"{rate / found['trace']:.2f}") for name, rate in found.items())
    return table((f"{size:,} traces", "traces/s", "to `trace`"), ("---", "---:", "---:"), *rows)


if __name__ == "__main__":
    main()
