"""Threads that work for the event loop. The end of the server does not wait for them."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from tunix_rt.errors import StoreBusy


class Threads:
    """Up to `most` threads, each for one piece of work at a time; the methods belong to the event loop.

    Those of `concurrent.futures` would keep a process alive for as long as one of them waits for the store.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._n_threads = 0
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._unfinished: set[Future[Any]] = set()
        self._ended = False

    async def run(self, work: Callable[[], Any]) -> Any:
        """The result of the work, done in a thread; StoreBusy where the server ends before a thread is free."""
        future: Future[Any] = Future()
        if self._ended:
            raise _ending()
        self._unfinished.add(future)
        self._queue.put((future, work))
        if self._n_threads < min(self._most, len(self._unfinished)):
            self._n_threads += 1
            threading.Thread(target=self._serve, name="tunix_rt", daemon=True).start()
        try:
            # Shielded: work that has begun continues when its result is no longer awaited.
            return await asyncio.shield(asyncio.wrap_future(future))
        finally:
            if future.done():
                self._unfinished.discard(future)
            else:
                future.add_done_callback(self._unfinished.discard)

    async def end(self, seconds: float) -> bool:
        """Refuses work that has not begun, waits up to `seconds` for the rest, and returns whether all is done."""
        self._ended = True
        while True:
            try:
                future, _ = self._queue.get_nowait()
            except Empty:
                break
            future.set_exception(_ending())
        rest = [asyncio.wrap_future(one) for one in self._unfinished]
        if not rest:
            return True
        for one in rest:
            # Its errors are raised where it is awaited, in `run`.
            one.add_done_callback(lambda done: done.cancelled() or done.exception())
        _, late = await asyncio.wait(rest, timeout=seconds)
        return not late

    def _serve(self) -> None:
        while True:
            self._do(*self._queue.get())

    @staticmethod
    def _do(future: "Future[Any]", work: Callable[[], Any]) -> None:
        # In its own frame, which does not keep the work and its result until the next work.
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)
        else:
            future.set_result(result)


def _ending() -> StoreBusy:
    return StoreBusy("the server is shutting down; nothing was done. Try again when it is back")
