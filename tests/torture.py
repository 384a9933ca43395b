"""`python -m tests.torture` from the root of the repository: processes that add, beside everything that endangers a store.

In each run processes add, read and load; some are killed, some stopped for a while. Beside that the store's files are
copied, packed, deleted, moved or replaced, or written to in large rows. Each process notes what was acknowledged to it.
Then: all of it is in the store; or where files were taken away on purpose, in those that were taken away; nothing is
there twice, and no error was anything else than one of the package's own. The exit status is 1 where that is not so.
"""

import argparse
import faulthandler
import os
import random
import shutil
import signal
import sqlite3
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import duckdb

import tunix_rt as rt
from tests.processes import start

_HANGS_SECONDS = 90
_ADDER = "import sys; from tests.torture import add_until; add_until(*sys.argv[1:])"
_READER = "import sys; from tests.torture import read_until; read_until(*sys.argv[1:])"
_HOLDER = "import sys; from tests.torture import hold_until; hold_until(*sys.argv[1:])"
_EXPORTER = "import sys; from tests.torture import export_until; export_until(*sys.argv[1:])"


class Case(NamedTuple):
    """What endangers the store: `inside` is done in the processes that add, `outside` beside them, once and again."""

    what: str
    inside: Callable[[Path], object] = lambda folder: None
    outside: "Callable[[Run], object] | None" = None
    others: tuple[str, ...] = ()
    is_big: bool = False


class Took(NamedTuple):
    """Files that were taken away between two moments, and where they are now."""

    begun: float
    ended: float
    grave: Path


# --- in the processes ---------------------------------------------------------------------------------------------


def add_until(path: str, notes: str, case: str, name: str) -> None:
    """Adds, now and then loads and reads, until the file `stop` is there; notes what was acknowledged."""
    faulthandler.register(signal.SIGUSR1)
    noted = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    folder = Path(path).parent
    draw = random.Random(name)
    said, store = None, None
    n = 0

    def trace():
        nonlocal n
        n += 1
        return _trace(draw, f"{name} {n}", is_big=CASES[case].is_big)

    while not (folder.parent / "stop").exists():
        begun = time.monotonic()
        traces = [trace() for _ in range(draw.choice([1, 1, 1, 1, 5]))]
        try:
            if store is None:
                # As the message says, for what was lost with the files.
                store = rt.TraceStore(path, accept_loss=said == "StoreDamaged twice")
                said = None
            if draw.random() < 0.1:
                report = store.load(traces, progress=False)
                assert report.added == len(traces), report
            elif len(traces) == 1:
                store.add(traces[0])
            else:
                store.add_many(traces)
            _note(noted, [f"added\t{begun}\t{trace.prompt}" for trace in traces])
            if draw.random() < 0.1:
                store.page(limit=5)
            if draw.random() < 0.2:
                # What a copy meets that another process has just removed is no fault of the store.
                with suppress(OSError, shutil.Error, tarfile.TarError):
                    CASES[case].inside(folder)
        except rt.TunixRTError as error:
            _note(noted, [f"error\t{time.monotonic()}\t{type(error).__name__}\t{str(error)[:300]!r}"])
            if isinstance(error, rt.StoreDamaged) or not isinstance(error, rt.StoreBusy):
                said = f"{type(error).__name__} twice" if said else type(error).__name__
                store = None
        except Exception as error:  # noqa: BLE001 - that is what must not be
            _note(noted, [f"raw\t{time.monotonic()}\t{type(error).__name__}\t{str(error)[:300]!r}"])
            store = None
    _note(noted, [f"end\t{time.monotonic()}\t"])


def read_until(path: str, notes: str, _case: str, _name: str) -> None:
    """Reads in every way until the file `stop` is there."""

    def read(store):
        store.page(limit=20, text="s")
        store.count(min_steps=1)
        assert len({record.id for record in store.records()}) <= store.count()

    _work_until(path, notes, read)


def hold_until(path: str, notes: str, _case: str, _name: str) -> None:
    """Holds the store for a while, and a while not."""

    def hold(store):
        with store.hold():
            for _ in range(random.randrange(1, 10)):
                store.page(limit=5)
                time.sleep(0.02)
        time.sleep(random.uniform(0, 0.2))

    _work_until(path, notes, hold)


def export_until(path: str, notes: str, _case: str, name: str) -> None:
    """Two threads export all to one path, each under a name of its own in the format; all who read it see one of them."""
    target = Path(path).parent.parent / "exported.jsonl"

    def write(store, format):
        store.export(target, format=format, progress=False)

    def export(store):
        threads = [threading.Thread(target=write, args=(store, format)) for format in ("trace", "messages")]
        for thread in threads:
            thread.start()
        lines = target.read_bytes().splitlines() if target.exists() else []
        kinds = {line[:7] for line in lines}
        assert len(kinds) <= 1, f"an export of two kinds of lines: {kinds}"
        assert not lines or lines[-1].endswith(b"}"), "half an export"
        for thread in threads:
            thread.join()

    _work_until(path, notes, export)


def _work_until(path: str, notes: str, work: Callable[[rt.TraceStore], object]) -> None:
    faulthandler.register(signal.SIGUSR1)
    noted = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while not (Path(path).parent.parent / "stop").exists():
        try:
            work(rt.TraceStore(path))
        except rt.TunixRTError as error:
            _note(noted, [f"error\t{time.monotonic()}\t{type(error).__name__}\t{str(error)[:300]!r}"])
            time.sleep(0.01)
        except Exception as error:  # noqa: BLE001
            _note(noted, [f"raw\t{time.monotonic()}\t{type(error).__name__}\t{str(error)[:300]!r}"])
    _note(noted, [f"end\t{time.monotonic()}\t"])


def _trace(draw: random.Random, prompt: str, *, is_big: bool) -> rt.Trace:
    steps, meta = ["s"], None
    if is_big and draw.random() < 0.3:
        meta = {"tokens": [draw.random() for _ in range(draw.choice([5_000, 30_000]))]}
    elif is_big and draw.random() < 0.3:
        steps = ["x" * 20_000] * draw.choice([20, 50])
    return rt.Trace(prompt=prompt, steps=steps, final_answer="a", meta=meta)


def _note(file: int, lines: Iterable[str]) -> None:
    os.write(file, "".join(f"{line}\n" for line in lines).encode())


def _copy(folder: Path) -> None:
    target = folder.parent / f"copy-{os.getpid()}"
    shutil.copytree(folder, target, dirs_exist_ok=True)
    shutil.rmtree(target)


def _tar(folder: Path) -> None:
    target = folder.parent / f"{os.getpid()}.tar"
    with tarfile.open(target, "w") as packed:
        packed.add(folder)
    target.unlink()


# --- beside them --------------------------------------------------------------------------------------------------


class Run:
    """One run of a case, in a folder of its own."""

    def __init__(self, case: str, folder: Path, seed: str) -> None:
        self.case, self.top = case, folder
        self.folder = folder / "store"
        self.path = self.folder / "runs.duckdb"
        self.notes = folder / "notes"
        self.took: list[Took] = []
        self.draw = random.Random(seed)
        self.faults: list[str] = []
        self._n_started = 0

    def start(self, program: str) -> object:
        self._n_started += 1
        notes = self.notes / f"{self._n_started}"
        name = f"{self.top.name}-{self._n_started}"
        return start(program, self.path, notes, self.case, name, output=self.top / "printed")

    def go(self, n_adders: int, seconds: float) -> None:
        """All of it, up to the moment when every process has ended."""
        self.notes.mkdir(parents=True)
        self.folder.mkdir()
        with rt.TraceStore(self.path) as store:
            store.add(_trace(self.draw, "first", is_big=False))
        case = CASES[self.case]
        adders = [self.start(_ADDER) for _ in range(n_adders)]
        others = [self.start(program) for program in (_READER, *case.others)]
        end = time.monotonic() + seconds
        next_danger = time.monotonic() + self.draw.uniform(0.3, seconds / 2)
        while time.monotonic() < end:
            time.sleep(self.draw.uniform(0.02, 0.2))
            self._disturb(adders)
            if case.outside and time.monotonic() > next_danger:
                case.outside(self)
                next_danger = time.monotonic() + self.draw.uniform(0.3, seconds / 2)
        (self.top / "stop").touch()
        for process in [*adders, *others]:
            process.join(_HANGS_SECONDS)
            if process.exitcode is None:
                self.faults.append(f"process {process.pid} hangs")
                os.kill(process.pid, signal.SIGUSR1)
                time.sleep(1)
                process.kill()
                process.join()

    def _disturb(self, adders: list) -> None:
        at = self.draw.randrange(len(adders))
        what = self.draw.random()
        if what < 0.05:
            adders[at].kill()
            adders[at].join()
            adders[at] = self.start(_ADDER)
        elif what < 0.2:
            os.kill(adders[at].pid, signal.SIGSTOP)
            time.sleep(self.draw.uniform(0.01, 0.2))
            os.kill(adders[at].pid, signal.SIGKILL if what < 0.08 else signal.SIGCONT)
            if what < 0.08:
                adders[at].join()
                adders[at] = self.start(_ADDER)

    def link(self) -> Path:
        """The store's files under other names, which keep what is written to them when they are gone."""
        grave = self.top / f"grave-{len(self.took)}"
        grave.mkdir(exist_ok=True)
        for file in self.folder.glob("runs.*"):
            with suppress(FileNotFoundError, FileExistsError):
                os.link(file, grave / file.name)
        return grave

    def takes(self, grave: Path, act: Callable[[], object]) -> None:
        begun = time.monotonic()
        act()
        self.took.append(Took(begun, time.monotonic(), grave))

    def verdict(self) -> "Verdict":
        """What was acknowledged, found and lost; each fault in words."""
        acknowledged, errors = {}, Counter()
        damaged: dict[str, float] = {}
        for file in self.notes.iterdir():
            for line in file.read_text().splitlines():
                kind, at, *rest = line.split("\t")
                if kind == "added":
                    acknowledged[rest[0]] = float(at), file.name
                elif kind in ("error", "raw"):
                    errors[rest[0]] += 1
                    if rest[0] == "StoreDamaged":
                        damaged[file.name] = float(at)
                    if kind == "raw":
                        self.faults.append(f"raw {rest[0]}: {rest[1]}")
        there = self._prompts()
        old = set().union(*(_prompts_in(took.grave) for took in self.took)) if self.took else set()
        lost = []
        for prompt, (begun, process) in acknowledged.items():
            if prompt in there:
                continue
            taken = [took for took in self.took if took.ended > begun]
            if taken and (prompt in old or damaged.get(process, 0) > taken[0].begun):
                continue
            lost.append(prompt)
        self.faults += [f"lost: {len(lost)}, such as {lost[:3]}"] if lost else []
        twice = [prompt for prompt, n in there.items() if n > 1]
        self.faults += [f"twice: {twice[:3]}"] if twice else []
        said = (self.top / "printed").read_text() if (self.top / "printed").exists() else ""
        self.faults += [f"printed: {said[-2_000:]}"] if said.strip() else []
        return Verdict(len(acknowledged), sum(prompt in there for prompt in acknowledged), len(lost), errors)

    def _prompts(self) -> Counter:
        """What is in the store now."""
        try:
            store = rt.TraceStore(self.path)
            store.count()
        except rt.StoreDamaged as error:
            if not self.took:
                self.faults.append(f"the store is damaged: {error}")
            store = rt.TraceStore(self.path, accept_loss=True)
        found = Counter(prompt for batch in store.scan(["prompt"]) for prompt in batch.column("prompt").to_pylist())
        report = store.verify(progress=False)
        if not report.ok:
            self.faults.append(f"verify: {report}")
        store.close()
        return found


class Verdict(NamedTuple):
    """The numbers of a run, or of several."""

    acknowledged: int
    found: int
    lost: int
    errors: Counter


def _prompts_in(grave: Path) -> set[str]:
    """The prompts in files that were taken away, read without the package, as far as they can be."""
    found: set[str] = set()
    with tempfile.TemporaryDirectory(dir=grave.parent) as copy:
        shutil.copytree(grave, copy, dirs_exist_ok=True)
        for wal in (True, False):
            if not wal:
                (Path(copy) / "runs.duckdb.wal").unlink(missing_ok=True)
            with suppress(duckdb.Error), duckdb.connect(Path(copy) / "runs.duckdb") as plain:
                found |= {prompt for (prompt,) in plain.execute("select prompt from traces").fetchall()}
        with suppress(sqlite3.Error):
            journal = sqlite3.connect(Path(copy) / "runs.journal")
            found |= {prompt for (prompt,) in journal.execute("select json ->> '$.prompt' from pending")}
            journal.close()
    return found


def _delete(run: Run) -> None:
    def remove():
        for file in sorted(run.folder.glob("runs.*")):
            file.unlink(missing_ok=True)

    run.takes(run.link(), remove)


def _move(run: Run) -> None:
    away = run.top / f"away-{len(run.took)}"
    begun = time.monotonic()
    run.folder.rename(away)
    time.sleep(run.draw.uniform(0, 0.5))
    for n in range(1_000):
        # Whoever opened the store meanwhile has begun a new one.
        grave = run.top / f"grave-{len(run.took)}-{n}"
        grave.mkdir()
        with suppress(FileNotFoundError):
            run.folder.rename(grave)
        try:
            away.rename(run.folder)
        except OSError:
            run.took.append(Took(begun, time.monotonic(), grave))
        else:
            run.took.append(Took(begun, time.monotonic(), grave))
            return


def _replace_by_backup(run: Run) -> None:
    backup = run.top / "backup.duckdb"
    backup.unlink(missing_ok=True)
    with suppress(rt.TunixRTError), rt.TraceStore(run.path) as store:
        store.backup(backup)
    time.sleep(run.draw.uniform(0, 0.3))
    if backup.exists():
        run.takes(run.link(), lambda: backup.replace(run.path))


def _replace_by_copy(run: Run) -> None:
    """The folder as it was a moment ago, copied while nobody was in it."""
    copy = run.top / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    with suppress(rt.TunixRTError):
        store = rt.TraceStore(run.path)
        with store._session.alone():  # noqa: SLF001
            copy.mkdir()
            for file in run.folder.glob("runs.*"):
                with suppress(FileNotFoundError):
                    shutil.copy(file, copy)
        store.close()
    time.sleep(run.draw.uniform(0, 0.3))
    if not (copy / "runs.duckdb").exists():
        return
    grave = run.link()

    def swap():
        for n in range(1_000):
            run.folder.rename(run.top / f"gone-{len(run.took)}-{n}")
            with suppress(OSError):
                copy.rename(run.folder)
                return

    run.takes(grave, swap)


CASES = {
    "copied": Case("the folder is copied in the processes that add", inside=_copy),
    "tarred": Case("the folder is packed in them", inside=_tar),
    "deleted": Case("rm runs.*", outside=_delete),
    "moved": Case("the folder is moved away and back", outside=_move),
    "renamed": Case("a backup is put in place by a rename", outside=_replace_by_backup),
    "replaced": Case("the folder is replaced by a copy", outside=_replace_by_copy),
    "exported": Case("two threads in each of two processes export to one path", others=(_EXPORTER, _EXPORTER)),
    "big": Case("rows of 1 MB and of thousands of numbers", is_big=True),
    "held": Case("one process holds the store while others copy the folder", inside=_copy, others=(_HOLDER,)),
}


def torture(case: str, *, runs: int, adders: int, seconds: float, folder: Path, seed: int) -> tuple[Verdict, list[str]]:
    """Runs a case several times: the sums, and the faults."""
    total, faults = Verdict(0, 0, 0, Counter()), []
    for n in range(runs):
        run = Run(case, folder / f"{case}-{n}", f"{seed} {case} {n}")
        run.go(adders, seconds)
        found = run.verdict()
        total = Verdict(*(a + b for a, b in zip(total, found, strict=True)))
        if run.faults:
            faults += [f"{case}, run {n}: {fault}" for fault in run.faults]
        else:
            shutil.rmtree(run.top)
    return total, faults


def main() -> int:
    """Prints a table, a row for each case."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--adders", type=int, default=8, help="processes that add at once")
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--seconds", type=float, default=3.0, help="that a run takes")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tunix-rt-torture-"))
    print("| case | runs | acknowledged | found | lost | errors | faults |\n|---|---|---|---|---|---|---|", flush=True)
    all_faults = []
    for case in given.case or CASES:
        total, faults = torture(
            case, runs=given.runs, adders=given.adders, seconds=given.seconds, folder=folder, seed=given.seed
        )
        errors = ", ".join(f"{name} {n:,}" for name, n in sorted(total.errors.items())) or "none"
        numbers = f"{total.acknowledged:,} | {total.found:,} | {total.lost:,}"
        print(f"| {case} | {given.runs} | {numbers} | {errors} | {len(faults)} |", flush=True)
        all_faults += faults
    for fault in all_faults:
        print(fault)
    if all_faults:
        print(f"the files of the runs that failed are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(bool(all_faults))


if __name__ == "__main__":
    sys.exit(main())
