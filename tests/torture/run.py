"""One run of a case: its processes, what is done to them, and what is left of what they added."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

import tunix_rt as rt
from tests.processes import PATIENCE, start
from tests.torture.cases import CASES

_HANGS_SECONDS = 90
_PROGRAM = "import sys; from tests.torture.workers import work; work(*sys.argv[1:])"
# Of all looks at the processes so many end in a kill, a stop with a kill behind it, or a stop for a while.
_KILLS, _STOPS_AND_KILLS, _STOPS = 0.05, 0.08, 0.2


class Taken(NamedTuple):
    """Files that were taken away between two moments; what was in them is in the folder `grave`."""

    begun: float
    ended: float
    grave: Path


class Sums(NamedTuple):
    """How many traces were acknowledged, are there, were taken away, and are lost; and the errors by their class."""

    acknowledged: int = 0
    found: int = 0
    taken: int = 0
    lost: int = 0
    errors: Counter[str] = Counter()  # noqa: RUF012 - never changed

    def plus(self, other: "Sums") -> "Sums":
        return Sums(*(one + more for one, more in zip(self, other, strict=True)))


class Run:
    """`top` is the folder of all of it, `folder` the store's, `faults` what must not be, in words."""

    def __init__(self, case: str, top: Path, seed: str) -> None:
        self.top, self.folder, self.path = top, top / "store", top / "store" / "runs.duckdb"
        self.draw = random.Random(seed)
        self.faults: list[str] = []
        self._case = case
        self._taken: list[Taken] = []
        self._notes = top / "notes"
        self._n_started = self._n_graves = 0

    def go(self, n_adders: int, seconds: float) -> None:
        """Everything, up to the moment at which every process has ended."""
        self._notes.mkdir(parents=True)
        self.folder.mkdir()
        case = CASES[self._case]
        with ExitStack() as self._ending:
            adders = [self._start("add") for _ in range(n_adders)]
            others = [self._start(what) for what in ("read", *case.others)]
            self._await_first_trace()
            end = time.monotonic() + seconds
            due = time.monotonic() + self.draw.uniform(0.3, seconds / 2)
            while time.monotonic() < end:
                time.sleep(self.draw.uniform(0.02, 0.2))
                self._disturb(adders)
                if case.outside and time.monotonic() > due and self.path.exists():
                    case.outside(self)
                    due = time.monotonic() + self.draw.uniform(0.3, seconds / 2)
            (self.top / "stop").touch()
            for process in [*adders, *others]:
                self._await(process)

    def _await_first_trace(self) -> None:
        """On a busy machine the processes take longer to start than a short run lasts."""
        given_up = time.monotonic() + PATIENCE
        while time.monotonic() < given_up:
            if any("added\t" in file.read_text() for file in self._notes.iterdir()):
                return
            time.sleep(0.05)

    def linked(self) -> Path:
        """A grave with the store's files under other names, which keep what is still written to them."""
        grave = self.new_grave()
        for file in self.folder.glob("runs.*"):
            with suppress(FileNotFoundError):
                os.link(file, grave / file.name)
        return grave

    def new_grave(self) -> Path:
        """An empty folder."""
        self._n_graves += 1
        grave = self.top / f"grave-{self._n_graves}"
        grave.mkdir()
        return grave

    def take_away(self, grave: Path, act: Callable[[], object]) -> None:
        """Does what takes the files away that are linked in the grave."""
        begun = time.monotonic()
        act()
        self.note_taken(begun, grave)

    def note_taken(self, begun: float, grave: Path) -> None:
        """Notes that files were taken away from `begun` until now."""
        self._taken.append(Taken(begun, time.monotonic(), grave))

    def verdict(self) -> Sums:
        """Compares what was acknowledged with what is there.

        What was acknowledged before files were taken away may be in these; or the process was told afterwards.
        """
        acknowledged: dict[str, tuple[float, str]] = {}
        damaged: dict[str, float] = {}
        errors: Counter[str] = Counter()
        for file in self._notes.iterdir():
            for line in file.read_text().splitlines():
                kind, at, *rest = line.split("\t")
                if kind == "added":
                    acknowledged |= dict.fromkeys(rest, (float(at), file.name))
                    continue
                errors[rest[0]] += 1
                if rest[0] == "StoreDamaged":
                    damaged[file.name] = float(at)
                if kind == "raw":
                    self.faults.append(f"{rest[0]}: {rest[1]}")
        there = self._there()
        in_graves = set().union(*(_prompts_in(grave) for grave in self.top.glob("grave-*")))
        missing = {prompt: where for prompt, where in acknowledged.items() if prompt not in there}
        lost = [
            prompt
            for prompt, (begun, process) in missing.items()
            if not (taken := [one for one in self._taken if one.ended > begun])
            or not (prompt in in_graves or damaged.get(process, 0) > taken[0].begun)
        ]
        if lost:
            self.faults.append(f"{len(lost):,} acknowledged traces are nowhere, such as {lost[:3]}")
        if twice := [prompt for prompt, n in there.items() if n > 1]:
            self.faults.append(f"{len(twice):,} traces are there twice, such as {twice[:3]}")
        n_found = len(acknowledged) - len(missing)
        return Sums(len(acknowledged), n_found, len(missing) - len(lost), len(lost), errors)

    def _start(self, what: str) -> Any:
        self._n_started += 1
        arguments = (
            what,
            self.path,
            self._notes / str(self._n_started),
            self._case,
            f"{self.top.name}-{self._n_started}",
        )
        return self._ending.enter_context(start(_PROGRAM, *arguments, output=self.top / "printed"))

    def _disturb(self, adders: list[Any]) -> None:
        at, what = self.draw.randrange(len(adders)), self.draw.random()
        if what > _STOPS:
            return
        if what > _KILLS:
            os.kill(adders[at].pid, signal.SIGSTOP)
            time.sleep(self.draw.uniform(0.01, 0.2))
        if what > _STOPS_AND_KILLS:
            os.kill(adders[at].pid, signal.SIGCONT)
            return
        adders[at].kill()
        adders[at].wait()
        adders[at] = self._start("add")

    def _await(self, process: Any) -> None:
        try:
            status = process.wait(_HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            # It writes where it hangs.
            os.kill(process.pid, signal.SIGUSR1)
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)
            process.kill()
            process.wait()
            said = (self.top / "printed").read_text()
            self.faults.append(f"process {process.pid} hangs: {said[-2_000:]}")
        else:
            if status:
                self.faults.append(f"process {process.pid} ended with {status}")

    def _there(self) -> Counter[str]:
        """How often each prompt is in the store now."""
        try:
            store = rt.TraceStore(self.path)
            store.count()
        except rt.StoreDamaged as error:
            if not self._taken:
                self.faults.append(f"the store is damaged: {error}")
            store = rt.TraceStore(self.path, accept_loss=True)
        with store:
            report = store.verify(progress=False)
            if not report.ok:
                self.faults.append(f"verify: {report}")
            return Counter(prompt for batch in store.scan(["prompt"]) for prompt in batch.column("prompt").to_pylist())


def torture(
    case: str, *, runs: int, adders: int, seconds: float, folder: Path, seed: int
) -> tuple[Sums, Sequence[str]]:
    """Runs a case several times: the sums, and the faults. The files of runs without any are removed."""
    sums, faults = Sums(), []
    for n in range(runs):
        run = Run(case, folder / f"{case}-{n}", f"{seed} {case} {n}")
        run.go(adders, seconds)
        sums = sums.plus(run.verdict())
        faults += [f"{case}, run {n}: {fault}" for fault in run.faults]
        if not run.faults:
            shutil.rmtree(run.top)
    return sums, faults


def _prompts_in(grave: Path) -> set[str]:
    """The prompts in files that were taken away, read without the package, as far as they can be read."""
    found: set[str] = set()
    with tempfile.TemporaryDirectory(dir=grave.parent) as copy:
        database, log = Path(copy) / "runs.duckdb", Path(copy) / "runs.duckdb.wal"
        shutil.copytree(grave, copy, dirs_exist_ok=True)
        for _ in range(2):
            with suppress(duckdb.Error), duckdb.connect(database) as plain:
                found |= {prompt for (prompt,) in plain.execute("select prompt from traces").fetchall()}
            # It may be of another file.
            log.unlink(missing_ok=True)
        with suppress(sqlite3.Error):
            journal = sqlite3.connect(Path(copy) / "runs.journal")
            found |= {prompt for (prompt,) in journal.execute("select json ->> '$.prompt' from pending")}
            journal.close()
    return found
