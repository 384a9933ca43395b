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
from tests.benchmarks.table import MET, NOT_MET, table
from tests.benchmarks.timing import Cost, in_turn
from tunix_rt.formats.text.completion import reasoning_of

_HEADING = "Recording"
_ABOUT = """\
`python -m tests.benchmarks.recording`, with made-up rollouts of about 2 KB, which are read as a load reads them. A
batch is what a reward function is called with. *The trainer's thread* is the processor time of the calls in the thread
that calls: what a training loses while an accelerator works for it. *CPU* has also the thread that reads and writes;
the time, until all is on disk, also the waiting for that."""
_BATCH = 64
# In its thread a trainer should not notice a rollout more than it notices two lines of its own log.
_AIM = 2.0
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
        _PLAIN: partial(lines, synced=False),
        _SYNCED: partial(lines, synced=True),
    }
    cpu: dict[str, list[float]] = {name: [] for name in works}
    own: dict[str, list[float]] = {name: [] for name in works}

    def taken(name: str) -> Cost:
        began, busy, here = time.perf_counter(), time.process_time(), time.thread_time()
        works[name]()
        own[name].append(time.thread_time() - here)
        run.flush()
        cpu[name].append(time.process_time() - busy)
        return Cost(time.perf_counter() - began)

    costs = in_turn({name: partial(taken, name) for name in works}, repeat=repeat, budget_seconds=60)
    assert run.dropped == 0, run
    seconds = {name: cost.seconds for name, cost in costs.items() if isinstance(cost, Cost)}
    least_cpu, least_own = ({name: min(times) for name, times in of.items()} for of in (cpu, own))
    rows = [
        (
            name,
            *(f"{of[name] / n_rollouts * 1e6:,.1f} µs" for of in (least_own, least_cpu, seconds)),
            f"{least_cpu[name] / least_cpu[_PLAIN]:.1f}",
            f"{seconds[name] / seconds[_SYNCED]:.1f}",
            f"{least_own[name] / least_own[_PLAIN]:.1f}" + _verdict(name, least_own),
        )
        for name in works
    ]
    ratios = ("CPU × a line flushed", "time × a line with fsync", f"its thread × a line flushed, aim ≤ {_AIM:g}")
    headings = ("a rollout", "the trainer's thread", "CPU", "time until on disk", *ratios)
    return table(headings, ("---", *["---:"] * 6), *rows)


def _verdict(name: str, least: dict[str, float]) -> str:
    if name in (_PLAIN, _SYNCED):
        return ""
    return MET if least[name] <= _AIM * least[_PLAIN] else NOT_MET


if __name__ == "__main__":
    main()
