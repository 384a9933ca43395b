"""Child interpreters, for work that is pure Python and would keep one core busy while the others wait.

They are started as `python -m tunix_rt.workers` and not by `multiprocessing`, which imports a notebook's or a script's
`__main__` again. Functions are named (`"package.module:function"`); tasks and results are pickled and go over pipes.
"""

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Self, cast

from tunix_rt.errors import TunixRTError, WorkerLost

# For each worker one task is in work and another waits, so that none is idle while the results are used.
_TASKS_PER_WORKER = 2
# For `prctl` of Linux: the signal that a process gets when the thread that started it ends.
_PR_SET_PDEATHSIG = 1
# An idle worker needs hundredths of a second.
_END_SECONDS = 2
_LENGTH_BYTES = 8


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
        pending: deque[Future[Any]] = deque()
        try:
            for task in tasks:
                pending.append(self._threads.submit(self._result, function, task, seconds))
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
                return worker.call(function, task, seconds)
        except WorkerLost as error:
            return error

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
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": path},
                # Ctrl-C goes to the whole group of a terminal; what it ends, this process decides.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerLost(f"a worker process cannot be started ({error.strerror}); set workers=0") from None
        self._stdin, self._stdout = cast("IO[bytes]", self._child.stdin), cast("IO[bytes]", self._child.stdout)
        self._function = ""
        self.is_usable = False

    def call(self, function: str, task: Any, seconds: float | None) -> Any:
        """The result of the function; what it raises is raised. WorkerLost where there is none."""
        self.is_usable = False
        if function != self._function:
            # Apart from the task, so that importing does not count as its time.
            self._function = ""
            is_found, error = self._answer((function, None))
            if not is_found:
                self.is_usable = True
                raise error
            self._function = function
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            self.kill()

        timer = threading.Timer(seconds or 0, end)
        if seconds is not None:
            timer.daemon = True
            timer.start()
        try:
            is_done, result = self._answer(("", task))
        except WorkerLost:
            if is_over.is_set():
                reason = f"a task took longer than {seconds:g} s, and its worker process was ended"
                raise WorkerLost(reason, timed_out=True) from None
            raise
        finally:
            if seconds is not None:
                timer.cancel()
                timer.join()
        # Where the time was over just after the answer, the worker is gone.
        self.is_usable = not is_over.is_set()
        if not is_done:
            raise result
        return result

    def _answer(self, question: Any) -> Any:
        message = pickle.dumps(question, pickle.HIGHEST_PROTOCOL)
        try:
            _write(self._stdin, message)
            answer = _read(self._stdout)
        except OSError:
            answer = None
        if answer is None:
            raise WorkerLost(f"a worker process ended before its task was done ({self._ending()})")
        return pickle.loads(answer)  # noqa: S301 - from a child of this process, over its pipe

    def _ending(self) -> str:
        self.kill()
        code = self._child.wait()
        return f"exit status {code}" if code >= 0 else f"signal {-code}"

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        self._child.kill()

    def close(self) -> None:
        """Waits for its end; an idle one ends when nothing can come any more."""
        with suppress(OSError):
            self._stdin.close()
        try:
            self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._child.wait()
        self._stdout.close()


def _write(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(len(message).to_bytes(_LENGTH_BYTES, "little"))
    pipe.write(message)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes | None:
    """The next message; None where the other end is gone."""
    length = pipe.read(_LENGTH_BYTES)
    message = pipe.read(int.from_bytes(length, "little"))
    return message if len(length) == _LENGTH_BYTES and len(message) == int.from_bytes(length, "little") else None


def _serve() -> None:
    """The life of a worker: tasks come on standard input, results go to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        # In one long operation, such as a power of large numbers, no other thread can see that the parent is gone. It
        # was a thread of the pool that started this process, and that ends with the pool.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    tasks, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # The functions have neither: what they print must not be between the results.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:
        os.dup2(nothing, 1)
    waiting: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_receive, args=(tasks, waiting), daemon=True).start()
    function: Any = None
    # In the main thread, which alone may set alarms.
    while (message := waiting.get()) is not None:
        try:
            name, task = pickle.loads(message)  # noqa: S301 - from the parent, over its pipe
            if name:
                module, _, attribute = name.partition(":")
                function = getattr(import_module(module), attribute)
                answer: tuple[bool, Any] = (True, None)
            else:
                answer = (True, function(task))
            message = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised on the other side
            message = _failure(error)
        try:
            _write(results, message)
        except OSError:
            # Nobody is there to read it.
            os._exit(1)
    results.close()


def _receive(tasks: IO[bytes], waiting: "SimpleQueue[bytes | None]") -> None:
    """Reads tasks also while one is in work: the end of them ends it, so that no worker outlives its process."""
    while (message := _read(tasks)) is not None:
        waiting.put(message)
    waiting.put(None)
    time.sleep(_END_SECONDS)
    os._exit(0)


def _failure(error: BaseException) -> bytes:
    """An error as a message; one that cannot be made again from its pickle is reported in words."""
    told = "".join(traceback.format_exception(error))
    if isinstance(error, Exception):
        if not isinstance(error, TunixRTError):
            error.add_note(f"In the worker:\n{told}")
        with suppress(Exception):
            message = pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
            pickle.loads(message)  # noqa: S301 - made in the line before
            return message
    return pickle.dumps((False, RuntimeError(f"in a worker process: {told}")))


if __name__ == "__main__":
    _serve()
