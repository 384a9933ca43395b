"""`python -m tests.benchmarks.flags`: what the flags find, and what they find where nothing is wrong.

On the simulated rollouts of `examples/simulate_rollouts.py`, where it is known what was planted; by option on solutions
by people, where each alarm is false, and on rollouts that somebody has marked as right or wrong.
"""

import argparse
import importlib.util
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import tunix_rt as rt
from tests.benchmarks import results
from tests.benchmarks.table import aimed, table
from tunix_rt.analysis import Score, Texts, built_in
from tunix_rt.store.scores.scorers import ALL_FLAGS, SET_FLAGS

_ABOUT = """\
`python -m tests.benchmarks.flags`. Precision and recall on simulated rollouts (`examples/simulate_rollouts.py`), where
it is known what was planted: they show that the flags find what they are made for, not how often it happens in real
rollouts. What `duplicate` finds beside the planted copies are refusals in the same words, and `same_in_group` rollouts
that differ in their answers only; no `length_outlier` is planted, and it finds loops. Alarms on solutions by people
(`--human`): what `duplicate`, `same_in_group` and `length_outlier` find there may be alike, or long; all others are
false. After 0 of n the true rate is at most 3/n, with 95 % confidence. What `answer` says beside the marks of a file of
rollouts (`--marked`)."""
_SIMULATOR = Path(rt.__file__).parents[1] / "examples" / "simulate_rollouts.py"
# What a flag must never find in a solution that ended by itself.
_AIMED = ("truncated", "loop", "answer_cut", "runs_on", "bad_encoding")
_KINDS_OF_LOOPS = ("T", "K", "N")


class _Read(NamedTuple):
    """A trace that was loaded, its texts as scorers read them, and which flags of the set it has."""

    meta: dict[str, Any]
    texts: Texts
    set_flags: frozenset[str]


def main() -> None:
    """Prints the tables to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flags", description=main.__doc__)
    parser.add_argument("--size", type=int, default=6, help="training steps to simulate, of 64 prompts and 8 samples")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    parser.add_argument("--human", type=Path, metavar="FILE", help="solutions by people, of any known format")
    parser.add_argument("--marked", type=Path, metavar="FILE", help="rollouts with meta.correct and an expected answer")
    results.add_argument(parser)
    given = parser.parse_args()
    tables = {"Planted": _planted(given.size, given.seed)}
    if given.human:
        tables["Solutions by people"] = _alarms(given.human)
    if given.marked:
        tables["Beside marks"] = _marked(given.marked)
    print(*tables.values(), sep="\n\n")  # noqa: T201
    if given.results:
        results.write(given.results, "Flags", _ABOUT, tables)


def _planted(size: int, seed: int) -> str:
    spec = importlib.util.spec_from_file_location("simulate_rollouts", _SIMULATOR)
    assert spec is not None
    assert spec.loader is not None
    simulator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(simulator)
    with tempfile.TemporaryDirectory(prefix="tunix-rt-") as folder:
        file = Path(folder) / "simulated.jsonl"
        rows = simulator.simulate(size, 64, 8, seed)
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        traces = _read(file)
    columns = (f"{len(traces):,} simulated rollouts", "planted", "found", "precision", "recall")
    lines = [_precision(flag, traces) for flag in ALL_FLAGS]
    lines += [
        _precision("loop", [one for one in traces if one.meta.get("loop") == kind], kind) for kind in _KINDS_OF_LOOPS
    ]
    return table(columns, ("---", *["---:"] * 4), *lines)


def _precision(flag: str, traces: list[_Read], kind: str = "") -> tuple[str, ...]:
    planted = {n for n, one in enumerate(traces) if flag in one.meta["planted"]}
    found = _found(flag, traces)
    right = len(planted & found)
    precision = f"{right / len(found):.3f}" if planted and found else ""
    recall = f"{right / len(planted):.3f}" if planted else ""
    name = f"`{flag}`" + (f", kind {kind}" if kind else "")
    return name, str(len(planted)), str(len(found)), precision, recall


def _alarms(file: Path) -> str:
    traces = _read(file)
    rows = []
    for flag in ALL_FLAGS:
        alarms = len(_found(flag, traces))
        rows.append((f"`{flag}`", str(alarms), aimed("≤ 0", alarms) if flag in _AIMED else ""))
    return table((f"{file.name}, {len(traces):,} solutions", "alarms", "aim"), ("---", "---:", "---"), *rows)


def _marked(file: Path) -> str:
    traces = [one for one in _read(file) if isinstance(one.meta.get("correct"), bool)]
    if not traces:
        raise SystemExit(f"--marked {file}: no traces with meta.correct in it")
    scores = _scores("answer", traces)
    cells = Counter((one.meta["correct"], score.value) for one, score in zip(traces, scores, strict=True))
    decided = sum(n for (_, value), n in cells.items() if value is not None)
    differ = cells[True, False] + cells[False, True]
    for one, score in zip(traces, scores, strict=True):
        if isinstance(score.value, bool) and score.value != one.meta["correct"]:
            print(f"marked {one.meta['correct']}: {score.answer!r} of {score.metadata}: {one.texts.prompt[:80]!r}")  # noqa: T201
    share = 100 * decided / len(traces)
    rows = [
        ("right, marked right", f"{cells[True, True]:,}", ""),
        ("wrong, marked wrong", f"{cells[False, False]:,}", ""),
        ("right, marked wrong", f"{cells[False, True]:,}", ""),
        ("wrong, marked right", f"{cells[True, False]:,}", ""),
        ("other than the mark, of those decided", str(differ), aimed("≤ 0", differ)),
        ("decided, %", f"{share:.2f}", aimed("≥ 99.5", share)),
        *((f"unknown: `{reason}`", str(n), "") for reason, n in Counter(s.reason for s in scores if s.reason).items()),
    ]
    return table((f"{file.name}, {len(traces):,} rollouts", "`answer`", "aim"), ("---", "---:", "---"), *rows)


def _found(flag: str, traces: list[_Read]) -> set[int]:
    """The indices of the traces that have the flag."""
    if flag in SET_FLAGS:
        return {n for n, one in enumerate(traces) if flag in one.set_flags}
    return {n for n, score in enumerate(_scores(flag, traces)) if score.value is True}


def _scores(name: str, traces: list[_Read]) -> list[Score]:
    scorer = built_in(name)
    return [scorer.score(one.texts) for one in traces]


def _read(file: Path) -> list[_Read]:
    store = rt.TraceStore(":memory:")
    report = store.load(file, progress=False)
    if not report.added:
        raise SystemExit(f"{file}: no traces in it: {report!r}")
    store.flag(*SET_FLAGS, progress=False)
    found = {flag: {record.id for record in store.records(score={flag: True})} for flag in SET_FLAGS}
    return [_of_record(record, found) for record in store.records(newest_first=False)]


def _of_record(record: rt.TraceRecord, found: dict[str, set[UUID]]) -> _Read:
    trace = record.payload
    meta = dict(trace.meta or {})
    texts = Texts(trace.prompt, [step.content for step in trace.steps], trace.final_answer, meta)
    return _Read(meta, texts, frozenset(flag for flag, ids in found.items() if record.id in ids))


if __name__ == "__main__":
    main()
