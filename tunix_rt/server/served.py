"""The store that is served, and the threads that work in it: the server's event loop never waits for a disk."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple, TypeVar

from tunix_rt.errors import TunixRTError
from tunix_rt.server.reply_stream import ReplyStream
from tunix_rt.settings import Settings
from tunix_rt.store import TraceStore

_Found = TypeVar("_Found")

# The journal writes one add after the other; more threads would only hold more of them in memory.
_N_ADDERS = 4
# Each keeps a batch of rows in memory for as long as its client takes; whoever comes later waits.
_N_EXPORTERS = 4
# What is not folded when the server stops is safe in the journal.
_LAST_FOLD_SECONDS = 2


class _Threads(NamedTuple):
    """Each kind of work has threads of its own: adds go on while all readers wait for the file."""

    readers: ThreadPoolExecutor
    adders: ThreadPoolExecutor
    exporters: ThreadPoolExecutor


class ServedStore:
    """The default store, opened when it is first asked for. Its methods belong to the event loop."""

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._store: TraceStore | None = None
        self._streams: set[ReplyStream] = set()

    @cached_property
    def settings(self) -> Settings:
        """The settings of the server's environment; SettingsInvalid, each time, until they are good."""
        return Settings()

    @cached_property
    def _threads(self) -> _Threads:
        n_readers = self.settings.pool_size + self.settings.max_overflow
        return _Threads(*map(ThreadPoolExecutor, (n_readers, _N_ADDERS, _N_EXPORTERS)))

    async def read(self, work: Callable[[TraceStore], _Found]) -> _Found:
        """What the work finds in the store."""
        return await self._in(self._threads.readers, work)

    async def add(self, work: Callable[[TraceStore], _Found]) -> _Found:
        """What comes of work that takes traces apart and adds them."""
        return await self._in(self._threads.adders, work)

    async def look(self, work: Callable[[TraceStore], _Found]) -> _Found:
        """The same for work that shall not wait for others: what the health of the store is."""
        settings = self.settings
        return await asyncio.to_thread(lambda: work(self._open(settings)))

    async def stream(self, stream: ReplyStream, work: Callable[[TraceStore], object]) -> None:
        """Work that writes to the stream, until it is done or the client is gone."""
        self._streams.add(stream)
        try:
            await self._in(self._threads.exporters, work)
        finally:
            self._streams.discard(stream)

    async def stop(self) -> None:
        """Ends the streams, waits for the rest, and gives the file up."""
        for stream in list(self._streams):
            stream.cut()
        if "_threads" in vars(self):
            for threads in self._threads:
                await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        if self._store is not None:
            await asyncio.to_thread(self._close)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[TraceStore], _Found]) -> _Found:
        settings = self.settings
        return await asyncio.get_running_loop().run_in_executor(threads, lambda: work(self._open(settings)))

    def _open(self, settings: Settings) -> TraceStore:
        with self._opening:
            if self._store is None:
                self._store = TraceStore(settings=settings)
            return self._store

    def _close(self) -> None:
        patience = self.settings.model_copy(update={"pool_timeout": _LAST_FOLD_SECONDS})
        with suppress(TunixRTError):
            TraceStore(settings=patience).close()
