"""Child interpreters, for work that is pure Python and would keep one core busy while the others wait.

They are started as `python -m tunix_rt.worker_main`, not by `multiprocessing`, which imports a notebook's or a script's
`__main__` again. Functions are named (`"package.module:function"`) or pickled; tasks and results go over pipes.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self, cast

from tunix_rt import worker_main
from tunix_rt.errors import WorkerLost
from tunix_rt.worker_main import END_SECONDS, read, write

# For each worker one task is in work and another waits, so that none is idle while the results are used.
_TASKS_PER_WORKER = 2
_TICKS = 8


def usable_workers(most: int) -> int:
    """How many workers are of use: one for each core, up to the given number; 0 where there is only one core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Without an executable, Python is embedded in another program.
    return min(cores, most) if cores > 1 and sys.executable else 0


class Workers:
    """Up to n child interpreters, each started when it is first needed; all end with the block.

    Threads may share it. What the functions print goes to standard error.

    >>> with Workers(1) as workers:
    ...     list(workers.map("math:factorial", [3, 4]))
    [6, 24]
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self._process = os.getpid()
        self._threads = ThreadPoolExecutor(n, thread_name_prefix="tunix_rt-worker")
        # Guards the two below, and that none is started after the end.
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(self, function: str, tasks: Iterable[Any], *, seconds: float | None = None) -> Iterator[Any]:
        """The results of the function for each task, in order; tasks are taken as they are needed, a few ahead.

        In place of a result is a WorkerLost where the worker ended (killed, out of memory), or took more than this
        many seconds for the task and was killed. Raises what the function raises.
        """
        return self._in_order(lambda task: self._result(function, task, seconds), tasks)

    def submit(self, function: str, task: Any, *, seconds: float | None = None) -> Future[Any]:
        """Begins one task as `map` does; its result, or a WorkerLost, comes in the Future."""
        return self._threads.submit(self._result, function, task, seconds)

    def map_items(
        self, function: bytes, tasks: Iterable[tuple[int, Any]], *, seconds: float | None = None, singly: bool = False
    ) -> Iterator[tuple[list[Any], float]]:
        """For tasks of many items, each given with their number: the results of its items, and the seconds they took.

        The function is the pickle of one that is called with (task, index of the first item that is missing, whether
        the items are to be done one by one), and yields lists of results as they are done. In place of a result is a
        WorkerLost where that item took longer than `seconds`, or where its worker ended twice; the others are not lost
        with it. Items are done one by one if `singly`, and after a worker was lost. Raises what the function raises,
        and WorkerLost where no worker can be started or load the function.
        """
        return self._in_order(lambda task: self._items(function, task, seconds, singly=singly), tasks)

    def _in_order(self, call: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        pending: deque[Future[Any]] = deque()
        try:
            for task in tasks:
                pending.append(self._threads.submit(call, task))
                if len(pending) >= _TASKS_PER_WORKER * self.n:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def close(self) -> None:
        """Ends the workers, with what they are doing."""
        if os.getpid() != self._process:
            # A fork: the workers are those of its parent.
            return
        with self._lock:
            self._is_closed = True
            for worker in self._all.difference(self._idle):
                worker.kill()
            idle = self._idle.copy()
        for worker in idle:
            worker.close()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all.difference(idle):
            worker.close()

    def _result(self, function: str, task: Any, seconds: float | None) -> Any:
        try:
            with self._lent() as worker:
                worker.prepare(function)
                [result] = worker.results(task, seconds)
                return result
        except WorkerLost as error:
            return error

    def _items(
        self, function: bytes, counted: tuple[int, Any], seconds: float | None, *, singly: bool
    ) -> tuple[list[Any], float]:
        n, task = counted
        begun = time.monotonic()
        found: list[Any] = []
        lost_at = None
        while len(found) < n:
            with self._lent() as worker:
                worker.prepare(function)
                try:
                    for results in worker.results((task, len(found), singly), seconds):
                        found += results
                except WorkerLost as error:
                    # It may have been another item of the list that was due; and a worker may be killed for what is no
                    # fault of the item, as where memory is short.
                    is_its_own = singly and (error.timed_out or lost_at == len(found))
                    lost_at, singly = None if is_its_own else len(found), True
                    if is_its_own:
                        found.append(error)
        return found, time.monotonic() - begun

    @contextmanager
    def _lent(self) -> Iterator["_Worker"]:
        with self._lock:
            if self._is_closed:
                raise WorkerLost("the workers were closed while tasks were waiting; open new ones")
            worker = self._idle.pop() if self._idle else _Worker()
            self._all.add(worker)
        try:
            yield worker
        finally:
            with self._lock:
                if worker.is_usable:
                    self._idle.append(worker)
                elif not self._is_closed:
                    self._all.discard(worker)
                    worker.close()


class _Worker:
    """One child interpreter, which does one task at a time."""

    def __init__(self) -> None:
        # The same modules as here, also those beside a notebook: its folder is "" in the path.
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        try:
            self._child = subprocess.Popen(  # noqa: S603 - this very Python
                [sys.executable, "-P", "-m", worker_main.__name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                # Ctrl-C goes to the whole group of a terminal; what it ends, this process decides.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerLost(f"a worker process cannot be started ({error.strerror}); set workers=0") from None
        self._stdin, self._stdout = cast("IO[bytes]", self._child.stdin), cast("IO[bytes]", self._child.stdout)
        self._function: str | bytes = ""
        self.is_usable = False

    def prepare(self, function: str | bytes) -> None:
        """Loads a function, apart from its tasks, so that importing does not count as their time.

        Raises what importing one by its name raises, and WorkerLost where one cannot be loaded from its pickle.
        """
        if function == self._function:
            return
        self.is_usable, self._function = False, ""
        self._send((function, None))
        is_found, error = self._received()
        self.is_usable = True
        if not is_found:
            raise error
        self._function = function

    def results(self, task: Any, seconds: float | None) -> Iterator[Any]:
        """The result of the function if it was named; what it yields, each within these seconds, if it was pickled.

        Raises what the function raises, and WorkerLost where the process ended or was ended for its time.
        """
        self.is_usable = False
        with _Deadline(seconds, self.kill) as deadline:
            try:
                self._send((None, task))
                while (answer := self._received()) is not None:
                    is_done, result = answer
                    if not is_done:
                        self.is_usable = not deadline.is_over
                        raise result
                    deadline.begin()
                    yield result
            except WorkerLost:
                if deadline.is_over:
                    reason = f"a task took longer than {seconds:g} s, and its worker process was ended"
                    raise WorkerLost(reason, timed_out=True) from None
                raise
        # Where the time was over just after the last answer, the worker is gone.
        self.is_usable = not deadline.is_over

    def _send(self, question: Any) -> None:
        try:
            write(self._stdin, pickle.dumps(question, pickle.HIGHEST_PROTOCOL))
        except OSError:
            raise self._lost() from None

    def _received(self) -> Any:
        try:
            answer = read(self._stdout)
        except OSError:
            answer = None
        if answer is None:
            raise self._lost()
        return pickle.loads(answer)  # noqa: S301 - from a child of this process, over its pipe

    def _lost(self) -> WorkerLost:
        return WorkerLost(f"a worker process ended before its task was done ({self._ending()})")

    def _ending(self) -> str:
        self.kill()
        code = self._child.wait()
        return f"exit status {code}" if code >= 0 else f"signal {-code}"

    def kill(self) -> None:
        """Ends the process, whatever it does, and those that a function has forked."""
        if self._child.returncode is not None:
            return
        if hasattr(os, "killpg"):
            # It leads a group of its own, whose number is not free before its end was waited for.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
        self._child.kill()

    def close(self) -> None:
        """Waits for its end; an idle one ends when nothing can come any more."""
        with suppress(OSError):
            self._stdin.close()
        try:
            self._child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._child.wait()
        self._stdout.close()


class _Deadline:
    """Calls `end` where nothing was done for some seconds, in which there are eight ticks.

    By ticks and not by a clock, whose time is also over where this process was stopped meanwhile (Ctrl-Z).
    """

    def __init__(self, seconds: float | None, end: Callable[[], None]) -> None:
        self._seconds = seconds
        self._end = end
        self._n_done = 0
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.is_over = False

    def __enter__(self) -> Self:
        if self._seconds is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._seconds is not None:
            self._is_closed.set()
            self._thread.join()

    def begin(self) -> None:
        """Something is done, and the time begins anew."""
        self._n_done += 1

    def _watch(self) -> None:
        n_done, n_ticks = self._n_done, 0
        while not self._is_closed.wait(cast("float", self._seconds) / _TICKS):
            n_ticks = n_ticks + 1 if n_done == self._n_done else 0
            n_done = self._n_done
            if n_ticks > _TICKS:
                self.is_over = True
                self._end()
                return
