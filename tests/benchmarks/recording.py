"""`python -m tests.benchmarks.recording`: what a recorded rollout costs, beside a line of JSON in a file."""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.data import Traces
from tests.benchmarks.table import table
from tests.benchmarks.timing import Cost, in_turn
from tunix_rt.formats.text.completion import reasoning_of

_HEADING = "Recording"
_ABOUT = """\
`python -m tests.benchmarks.recording`, with made-up rollouts of about 2 KB, which are read as a load reads them. A
batch is what a reward function is called with. *CPU* is the processor time of the process, the most that a training
can lose where it waits for nothing else; the time also has the waiting for the disk."""
_BATCH = 64
_PLAIN, _SYNCED = "a line of JSON, flushed", "the same, with fsync for each batch"


def main() -> None:
    """Prints the table to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recording", description=main.__doc__)
    parser.add_argument("--rollouts", type=int, default=2_048, help="rollouts in a round")
    parser.add_argument("--repeat", type=int, default=7, help="rounds at most")
    results.add_argument(parser)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as folder:
        made = _measured(Path(folder), given.rollouts, given.repeat)
    print(made)  # noqa: T201 - it is what this is for
    if given.results:
        results.write(given.results, _HEADING, _ABOUT, {"A rollout": made})


def _measured(folder: Path, n_rollouts: int, repeat: int) -> str:
    prompts, completions = [], []
    for trace in islice(cycle(Traces(None, folder).originals), n_rollouts):
        prompts.append(trace.prompt)
        completions.append(f"<think>{reasoning_of(trace)}</think>\n\n{trace.final_answer}")
    store = rt.TraceStore(folder / "runs.duckdb")
    run = rt.record(store, run="benchmark", model="made-up", max_tokens=1_024)
    starts = range(0, n_rollouts, _BATCH)

    def batches() -> None:
        for at in starts:
            part = slice(at, at + _BATCH)
            rewards = [1.0] * len(prompts[part])
            run.add_many(prompts[part], completions[part], reward=rewards, training_step=at)

    def one_by_one() -> None:
        for at, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            run.add(prompt, completion, reward=1.0, training_step=at)
        run.flush()

    def lines(*, synced: bool) -> None:
        with (folder / "rollouts.jsonl").open("a", encoding="utf-8") as file:
            for at, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
                row = {"prompt": prompt, "completion": completion, "reward": 1.0, "training_step": at}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                if synced and at % _BATCH == _BATCH - 1:
                    os.fsync(file.fileno())

    works: dict[str, Callable[[], None]] = {
        f"recorded in batches of {_BATCH}": batches,
        "recorded one by one": one_by_one,
        _SYNCED: partial(lines, synced=True),
        _PLAIN: partial(lines, synced=False),
    }
    cpu: dict[str, list[float]] = {name: [] for name in works}

    def taken(name: str) -> Cost:
        began, busy = time.perf_counter(), time.process_time()
        works[name]()
        cpu[name].append(time.process_time() - busy)
        return Cost(time.perf_counter() - began)

    costs = in_turn({name: partial(taken, name) for name in works}, repeat=repeat, budget_seconds=60)
    assert run.dropped == 0, run
    found = {
        name: (cost.seconds, min(cpu[name])) if isinstance(cost, Cost) else (0.0, 0.0) for name, cost in costs.items()
    }
    rows = [
        (
            name,
            f"{seconds / n_rollouts * 1e6:,.0f} µs",
            f"{busy / n_rollouts * 1e6:,.0f} µs",
            f"{seconds / found[_PLAIN][0]:.1f}",
            f"{busy / found[_PLAIN][1]:.1f}",
            f"{seconds / found[_SYNCED][0]:.1f}",
        )
        for name, (seconds, busy) in found.items()
    ]
    headings = ("a rollout", "time", "CPU", "× a line flushed", "× its CPU", "× a line with fsync")
    return table(headings, ("---", *["---:"] * 5), *rows)


if __name__ == "__main__":
    main()
