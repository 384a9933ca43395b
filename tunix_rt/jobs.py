"""Bulk work spread over processes: of this machine, or of a Dask cluster.

`spread` returns the same store or lake, whose calls read the traces piece by piece in other processes, which also do
what is done with each trace: they run the same functions as the calls in one process, so the results are the same.
"""

import os
import pickle
import platform
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import duckdb
import pyarrow as pa

from tunix_rt._version import __version__
from tunix_rt.errors import QueryInvalid, TunixRTError, WorkerLost
from tunix_rt.store.filters import Condition, Filters
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.scan import Pace, Scan, pieces_of, read, scanned
from tunix_rt.store.scores.by_workers import pickled
from tunix_rt.validation import short
from tunix_rt.workers import Workers, usable_workers

_MOST_WORKERS = 64
# A piece is a task. It takes seconds at 100 µs a trace, beside which its way to a process and back is short; a small
# set is cut into several pieces for each process, so that none is idle.
_MOST_ROWS, _FEWEST_ROWS, _PIECES_PER_PROCESS = 65_536, 2_048, 4
# For each process one task is in work and another waits.
_AHEAD = 2
# A task whose process is lost, or whose storage fails, is done again this number of times.
_RETRIES = 2
# A cluster may begin without any, and get them for the work that waits.
_SECONDS_WITHOUT_WORKERS = 300
_LOOK_SECONDS = 5.0
# Larger functions go to each process of a cluster once; Dask warns of tasks of 10 MB.
_LARGE_BYTES = 2**20

_WORK = f"{__name__}:work"
Result = TypeVar("Result")
Store = TypeVar("Store", bound=Any)


class _Task(NamedTuple):
    """A piece of a scan: the store, the function and the filters are pickled, `bounds` say which piece it is."""

    store: bytes
    function: bytes
    select: str
    filters: Filters
    bounds: list[Condition]
    newest_first: bool
    rows: int | None
    versions: str


class _Failed(NamedTuple):
    """A piece that is not done, and why."""

    error: Exception


def work(task: _Task, function: bytes | None = None) -> tuple[int, list[Any]] | _Failed:
    """What a process does: reads a piece of the traces, and returns their number and what the function yields."""
    n_done = 0

    def batches() -> Iterator[Any]:
        nonlocal n_done
        session = _opened(task.store)._session  # noqa: SLF001 - the session is what scans are made on
        pace = Pace(task.rows)
        pieces = read(session, task.bounds, task.select, task.filters, pace=pace, newest_first=task.newest_first)
        for n_rows, table in pieces:
            n_done += n_rows
            yield from table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]

    try:
        if task.versions != versions():
            raise WorkerLost(
                f"a worker runs {versions()}, and this process {task.versions}; install the same versions for both"
            )
        # A new one for each piece: it may have processes of its own, and a scorer what it has seen.
        apply = pickle.loads(task.function or function or b"")  # noqa: S301 - from the process that has the job
        results = list(apply(batches()))
    except (TunixRTError, OSError) as error:
        return _Failed(error)
    return n_done, results


def versions() -> str:
    """What must be the same everywhere: a hash of DuckDB's, and what a scorer of this package says, may change."""
    return f"tunix-rt {__version__}, DuckDB {duckdb.__version__}, Python {platform.python_version().rpartition('.')[0]}"


@lru_cache(maxsize=4)
def _opened(store: bytes) -> Any:
    """The store or lake, which a process opens once."""
    return pickle.loads(store)  # noqa: S301 - as above


class _Processes(Protocol):
    """Where pieces are done."""

    @property
    def n(self) -> int:
        """How many at a time."""
        ...

    def submit(self, task: _Task) -> Any:
        """Begins a piece."""
        ...

    def result(self, begun: Any) -> Any:
        """Waits for the result of `work`."""
        ...

    def cancel(self, begun: list[Any]) -> None:
        """Gives up those that are not done yet."""
        ...


class _Here:
    """Child interpreters on this machine, over pipes: no port is opened, to which another user could connect."""

    def __init__(self, workers: Workers, n: int) -> None:
        self.n = n
        self._workers = workers

    def submit(self, task: _Task) -> Future[Any]:
        return self._workers.submit(_WORK, task)

    @staticmethod
    def result(begun: Future[Any]) -> Any:
        found = begun.result()
        return _Failed(found) if isinstance(found, WorkerLost) else found

    @staticmethod
    def cancel(begun: list[Future[Any]]) -> None:
        for future in begun:
            future.cancel()


class _Cluster:
    """The workers of a Dask cluster."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # What is sent to each worker once, and not with each piece.
        self._sent: tuple[bytes, Any] = b"", None

    @property
    def n(self) -> int:
        """The threads of the workers that there are now: a cluster may grow and shrink."""
        with self._errors():
            return max(1, sum(map(int, self._client.nthreads().values())))

    def submit(self, task: _Task) -> Any:
        with self._errors():
            if len(task.function) <= _LARGE_BYTES:
                return self._client.submit(work, task, pure=False)
            if self._sent[0] != task.function:
                self._sent = task.function, self._client.scatter(task.function, broadcast=True)
            return self._client.submit(work, task._replace(function=b""), self._sent[1], pure=False)

    def result(self, begun: Any) -> Any:
        had_workers = time.monotonic()
        while True:
            with self._errors():
                try:
                    return begun.result(timeout=_LOOK_SECONDS)
                except TimeoutError:
                    if begun.done():
                        return begun.result()
                if self._client.nthreads():
                    had_workers = time.monotonic()
            if time.monotonic() - had_workers > _SECONDS_WITHOUT_WORKERS:
                raise WorkerLost(f"the Dask cluster has had no worker for {_SECONDS_WITHOUT_WORKERS:g} seconds")

    def cancel(self, begun: list[Any]) -> None:
        # It may be the cluster that is gone.
        with suppress(Exception):
            self._client.cancel(begun)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What Dask raises, as WorkerLost; `work` itself returns its errors."""
        from distributed import KilledWorker

        try:
            yield
        except KilledWorker as error:
            raise WorkerLost(f"a piece of the traces ended each worker that it was given to ({error})") from None
        except (ImportError, AttributeError) as error:
            raise WorkerLost(
                f"a worker of the Dask cluster cannot load the work ({error}); install tunix-rt, and what the scorer "
                "imports, on every worker"
            ) from None
        except (OSError, CancelledError) as error:
            raise WorkerLost(f"the Dask cluster cannot be reached any more ({type(error).__name__}: {error})") from None


class Spread:
    """Scans in other processes; see `Session.spread`."""

    def __init__(self, store: Any, processes: _Processes) -> None:
        self._store = store
        self._processes = processes

    def scan_with(
        self, session: Any, function: Callable[[Iterator[Any]], Iterable[Result]], scan: Scan
    ) -> Iterator[Result]:
        """What the function yields for the batches of each piece, in the order of the pieces."""
        rows = session.n_traces // (_PIECES_PER_PROCESS * self._processes.n)
        pieces = pieces_of(session, max(_FEWEST_ROWS, min(rows, _MOST_ROWS)), newest_first=scan.newest_first)
        if len(pieces) == 1:
            # Not worth a way to another process.
            yield from function(scanned(session, scan))
            return
        store, sent = pickle.dumps(self._store), pickled(function)
        task = _Task(store, sent, scan.select, scan.filters, [], scan.newest_first, scan.rows, versions())
        n_done = 0
        for n_rows, results in self._in_order([task._replace(bounds=bounds) for bounds in pieces]):
            yield from results
            n_done += n_rows
            scan.advance(n_done)

    def _in_order(self, tasks: list[_Task]) -> Iterator[tuple[int, list[Any]]]:
        pending: deque[tuple[_Task, Any]] = deque()
        try:
            for task in tasks:
                pending.append((task, self._processes.submit(task)))
                if len(pending) >= _AHEAD * self._processes.n:
                    yield self._result(*pending.popleft())
            while pending:
                yield self._result(*pending.popleft())
        finally:
            self._processes.cancel([begun for _, begun in pending])

    def _result(self, task: _Task, begun: Any) -> tuple[int, list[Any]]:
        for _ in range(_RETRIES):
            found = self._processes.result(begun)
            if not isinstance(found, _Failed) or not isinstance(found.error, OSError | WorkerLost):
                break
            begun = self._processes.submit(task)
        else:
            found = self._processes.result(begun)
        if isinstance(found, _Failed):
            raise found.error
        return cast("tuple[int, list[Any]]", found)


class _Session:
    """A session whose scans are spread; all else is done by the session itself, which others may be using."""

    def __init__(self, session: Any, spread: Spread) -> None:
        self._session = session
        self.spread = spread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@contextmanager
def spread(store: Store, *, workers: int | None = None, client: Any = None) -> Iterator[Store]:
    """The same store or lake, whose calls read and score the traces in other processes, with the same results.

    >>> import tunix_rt as rt
    >>> store = rt.TraceStore(":memory:")
    >>> with rt.spread(store, workers=2) as spread:
    ...     spread.score("structure").scored
    0

    `client` is a `distributed.Client`: the processes are those of its Dask cluster, which need tunix-rt in the same
    version, and a way to the lake. Without one it is the cluster that DASK_SCHEDULER_ADDRESS names, or else `workers`
    processes of this machine (default: one for each core).

    `score`, `flag`, `groups`, `runs`, `agreement`, `overlap`, `export` and `scan` are spread; others work as before.
    Where a process is lost, or storage fails, its piece is done again, twice at most; then WorkerLost is raised. What
    was scored until then stays, and the same call does only what is left. Raises QueryInvalid for both `workers` and a
    `client`.
    """
    if client is not None and workers is not None:
        raise QueryInvalid("spread: `workers` is for this machine; the cluster of a `client` has its own")
    with ExitStack() as stack:
        processes: _Processes
        if workers is None and client is None and (address := os.environ.get("DASK_SCHEDULER_ADDRESS")):
            client = stack.enter_context(_connected(address))
        if client is not None:
            processes = _Cluster(client)
        else:
            n = usable_workers(_MOST_WORKERS) or 1 if workers is None else workers
            whole_number("workers", n, 1, _MOST_WORKERS)
            processes = _Here(stack.enter_context(Workers(n)), n)
        spread = copy(store)
        spread._session = _Session(store._session, Spread(store, processes))  # noqa: SLF001
        yield spread


def _connected(address: str) -> Any:
    try:
        from distributed import Client

        return Client(address)  # type: ignore[no-untyped-call]
    except ImportError:
        raise QueryInvalid("spread: a Dask cluster needs the extra: pip install 'tunix-rt[lake]'") from None
    except (OSError, ValueError) as error:
        raise WorkerLost(
            f"no Dask cluster can be reached at DASK_SCHEDULER_ADDRESS={short(address)} ({error})"
        ) from None
