"""What a child interpreter of `workers.py` does: it takes tasks from one pipe and answers on another."""

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from typing import IO, Any

from tunix_rt.errors import TunixRTError, WorkerLost

# An idle worker needs hundredths of a second.
END_SECONDS = 2
# For `prctl` of Linux: the signal that a process gets when the thread that started it ends.
_PR_SET_PDEATHSIG = 1
_LENGTH_BYTES = 8
_END_OF_RESULTS = pickle.dumps(None)


def write(pipe: IO[bytes], message: bytes) -> None:
    """Sends a message."""
    pipe.write(len(message).to_bytes(_LENGTH_BYTES, "little"))
    pipe.write(message)
    pipe.flush()


def read(pipe: IO[bytes]) -> bytes | None:
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
    # What a function forks must neither answer nor keep the pipes open: the process behind them reads until their end.
    process = os.getpid()
    if hasattr(os, "register_at_fork"):
        for pipe in (tasks, results):
            os.register_at_fork(after_in_child=partial(os.close, pipe.fileno()))
    waiting: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_receive, args=(tasks, waiting), daemon=True).start()
    # In the main thread, which alone may set alarms.
    for answer in _answers(waiting):
        if os.getpid() != process:
            os._exit(0)
        try:
            write(results, answer)
        except OSError:
            # Nobody is there to read it.
            os._exit(1)
    results.close()


def _answers(waiting: "SimpleQueue[bytes | None]") -> Iterator[bytes]:
    """The answers to all messages: (true, result), which for items ends with None, or (false, error)."""
    function: Any = None
    is_pickled = False
    while (message := waiting.get()) is not None:
        try:
            new_function, task = pickle.loads(message)  # noqa: S301 - from the parent, over its pipe
            if new_function is not None:
                is_pickled = isinstance(new_function, bytes)
                function = _unpickled(new_function) if is_pickled else _named(new_function)
                yield _done(None)
                continue
            for result in function(*task) if is_pickled else [function(task)]:
                yield _done(result)
            yield _END_OF_RESULTS
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised on the other side
            yield _failure(error)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def _unpickled(function: bytes) -> Any:
    try:
        return pickle.loads(function)  # noqa: S301 - from the parent, over its pipe
    except Exception as error:  # noqa: BLE001 - its module is a user's
        raise WorkerLost(f"a worker process cannot load the function: {type(error).__name__}: {error}") from None


def _done(result: Any) -> bytes:
    return pickle.dumps((True, result), pickle.HIGHEST_PROTOCOL)


def _receive(tasks: IO[bytes], waiting: "SimpleQueue[bytes | None]") -> None:
    """Reads tasks also while one is in work: the end of them ends it, so that no worker outlives its process."""
    while (message := read(tasks)) is not None:
        waiting.put(message)
    waiting.put(None)
    time.sleep(END_SECONDS)
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
