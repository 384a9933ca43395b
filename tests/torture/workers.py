"""What the processes of a run do until the file `stop` is there; each notes what was acknowledged and every error."""

import faulthandler
import os
import random
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import tunix_rt as rt
from tests.torture.cases import CASES


class Notes:
    """Lines of a file that was opened before: what was written is there when the process is killed."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, kind: str, at: float, *rest: str) -> None:
        os.write(self._file, ("\t".join([kind, str(at), *rest]) + "\n").encode())

    def error(self, error: Exception) -> None:
        kind = "error" if isinstance(error, rt.TunixRTError) else "raw"
        self.write(kind, time.monotonic(), type(error).__name__, repr(str(error)[:300]))


def work(what: str, path: str, notes: str, case: str, name: str) -> None:
    """Does `what` with the store at `path` until it is to stop; `name` is of this process alone."""
    # Says where it hangs, if it does.
    faulthandler.register(signal.SIGUSR1)
    store, noted = Path(path), Notes(notes)
    do = (
        Adder(store, noted, case, name).add
        if what == "add"
        else {"read": _read, "hold": _hold, "export": _export}[what]
    )
    while not (store.parent.parent / "stop").exists():
        try:
            do(store)
        except Exception as error:  # noqa: BLE001 - which ones there are is what is looked at
            noted.error(error)
            time.sleep(0.01)


class Adder:
    """A process that adds, and does what a message says to do."""

    def __init__(self, path: Path, notes: Notes, case: str, name: str) -> None:
        self._path, self._notes, self._case, self._name = path, notes, CASES[case], name
        self._draw = random.Random(name)
        self._store: rt.TraceStore | None = None
        self._n = 0
        self._accepts_loss = False

    def add(self, path: Path) -> None:
        """Adds some traces in one of the ways, and now and then reads, and does what endangers the store."""
        begun = time.monotonic()
        try:
            if self._store is None:
                self._store = rt.TraceStore(path, accept_loss=self._accepts_loss)
                self._accepts_loss = False
            traces = self._add_to(self._store)
            self._notes.write("added", begun, *(trace.prompt for trace in traces))
            if self._draw.random() < 0.1:
                self._store.page(limit=5)
            self._accepts_loss = False
        except rt.StoreUnusable as error:
            # Opened anew; where that does not help, what is lost is accepted.
            if not isinstance(error, rt.StoreBusy):
                self._accepts_loss = self._store is None
                self._store = None
            raise
        if self._case.inside and self._draw.random() < 0.2:
            # What a copy meets that another process has just removed is no fault of the store.
            with suppress(OSError, shutil.Error, tarfile.TarError):
                self._case.inside(path.parent)

    def _add_to(self, store: rt.TraceStore) -> list[rt.Trace]:
        traces = [self._trace() for _ in range(self._draw.choice([1, 1, 1, 1, 5]))]
        if self._draw.random() < 0.1:
            report = store.load(traces, progress=False)
            assert report.added == len(traces), report
        elif len(traces) == 1:
            store.add(traces[0])
        else:
            store.add_many(traces)
        return traces

    def _trace(self) -> rt.Trace:
        self._n += 1
        steps, meta = ["s"], None
        if self._case.is_big and self._draw.random() < 0.3:
            meta = {"logprobs": [self._draw.random() for _ in range(self._draw.choice([5_000, 30_000]))]}
        elif self._case.is_big and self._draw.random() < 0.3:
            steps = ["x" * 20_000] * self._draw.choice([20, 50])
        return rt.Trace(prompt=f"{self._name} {self._n}", steps=steps, final_answer="a", meta=meta)


def _read(path: Path) -> None:
    store = rt.TraceStore(path)
    store.page(limit=20, text="s")
    store.count(min_steps=1)
    ids = [record.id for record in store.records()]
    assert len(set(ids)) == len(ids), "a trace was read twice"


def _hold(path: Path) -> None:
    store = rt.TraceStore(path)
    with store.hold():
        for _ in range(random.randrange(1, 10)):
            store.page(limit=5)
            time.sleep(0.02)
    time.sleep(random.uniform(0, 0.2))


def _export(path: Path) -> None:
    """Two threads export to one path in formats of their own; whoever reads it sees one of them, and all of it."""
    store, target = rt.TraceStore(path), path.parent.parent / "exported.jsonl"
    reports: list[rt.ExportReport] = []

    def export(format: str) -> Callable[[], None]:
        return lambda: reports.append(store.export(target, format=format, progress=False))

    threads = [threading.Thread(target=export(name)) for name in ("trace", "messages")]
    for thread in threads:
        thread.start()
    lines = target.read_bytes().splitlines() if target.exists() else []
    assert len({line[:7] for line in lines}) <= 1, "lines of two formats in one file"
    assert not lines or lines[-1].endswith(b"}"), "half an export"
    for thread in threads:
        thread.join()
    assert len(reports) == len(threads), "an export failed"
