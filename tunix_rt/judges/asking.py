"""Asks a server about many traces at once, in a thread beside the notebook's, and hands over what comes back."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar

from tunix_rt.analysis import Score
from tunix_rt.errors import JudgeUnavailable
from tunix_rt.judges.server import Server, Unanswered

_T = TypeVar("_T")
# After this number of traces without an answer to any of them the server is down.
_MOST_SILENT = 3

_Result = tuple[int, Score | Exception]


class Asking:
    """An event loop in a thread of its own, so that the notebook's is left alone; both end with the block."""

    def __init__(self, server: Callable[[], Server]) -> None:
        self._make = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tunix_rt judge", daemon=True)
        self._done: SimpleQueue[_Result] = SimpleQueue()
        # Traces without an answer, while it is not known whether that is about them or about the server.
        self._silent: list[tuple[int, Unanswered, int]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._server = self._run(self._started())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._run(self._ended())
        finally:
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _started(self) -> Server:
        try:
            return self._make()
        except Exception as error:  # noqa: BLE001 - of httpx, ssl, or what a proxy needs
            raise JudgeUnavailable(
                f"no connection can be made ({type(error).__name__}: {error}); check the proxy and the certificates "
                "that the environment names"
            ) from None

    async def _ended(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._server.close()

    def each(
        self, ask: Callable[[Server, _T], Coroutine[Any, Any, Score]], items: Iterable[_T]
    ) -> Iterator[tuple[int, Score]]:
        """The score that `ask` returns for each item, with its index, as it comes.

        An interrupt yields what is done, and passes. Raises JudgeUnavailable where the server answers nothing.
        """
        n_open = 0
        try:
            for index, item in enumerate(items):
                # As many again wait for the first of these to be done.
                if n_open >= 2 * self._server.concurrency:
                    yield from self._taken(self._done.get())
                    n_open -= 1
                asyncio.run_coroutine_threadsafe(self._asked(index, ask(self._server, item)), self._loop)
                n_open += 1
            for _ in range(n_open):
                yield from self._taken(self._done.get())
        except KeyboardInterrupt:
            with suppress(Empty, JudgeUnavailable):
                while True:
                    yield from self._taken(self._done.get_nowait())
            raise
        if self._silent:
            raise self._down()

    async def _asked(self, index: int, coroutine: Coroutine[Any, Any, Score]) -> None:
        try:
            self._done.put((index, await coroutine))
        except Exception as error:  # noqa: BLE001 - raised where the results are taken
            self._done.put((index, error))

    def _taken(self, found: _Result) -> Iterator[tuple[int, Score]]:
        index, result = found
        if isinstance(result, Score):
            yield index, result
        elif not isinstance(result, Unanswered):
            raise result
        elif result.is_alone:
            yield index, _unanswered(result)
        else:
            self._silent.append((index, result, self._server.n_answered))
        if self._silent and self._server.n_answered > self._silent[0][2]:
            # The server is there: it was these traces.
            yield from [(index, _unanswered(error)) for index, error, _ in self._silent]
            self._silent.clear()
        if len(self._silent) >= _MOST_SILENT:
            raise self._down()

    def _down(self) -> JudgeUnavailable:
        error = self._silent[0][1]
        return JudgeUnavailable(
            f"{self._server.url} does not answer ({error}); see that the server runs, then score again, "
            "which continues from here",
            status=error.status,
        )


def _unanswered(error: Unanswered) -> Score:
    return Score(reason=error.reason, explanation=f"{error}")
