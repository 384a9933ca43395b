"""The store that is served, and the threads that work in it: the server's event loop never waits for a disk."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple, TypeVar

from tunix_rt.errors import TunixRTError
from tunix_rt.health_checks import Health, ServiceHealth, health, rediai_health
from tunix_rt.server.response_stream import ReplyStream
from tunix_rt.server.threads import Threads
from tunix_rt.settings import Settings
from tunix_rt.store import TraceStore

_Found = TypeVar("_Found")

# Adds that wait for the disk are committed together; with 32 threads pages took twice as long. Each
# holds a body of at most `_SMALL_BYTES`.
_N_ADDERS = 8
_SMALL_BYTES = 64 * 2**10
# Larger bodies take many times their size while they are parsed.
_N_LARGE_ADDERS = 4
# Each keeps a batch of rows in memory for as long as its client reads; further exports wait.
_N_EXPORTERS = 4
# Checks of the health of the store and of RediAI, which must not wait for other work.
_N_LOOKERS = 8
# The server waits up to N seconds for work when it ends: what was acknowledged is on disk.
_LAST_WORK_SECONDS = 2.0
# What is not folded when the server stops is safe in the journal.
_LAST_FOLD_SECONDS = 2


class _Rooms(NamedTuple):
    """Each kind of work has its own threads: adds continue while all readers wait for the file."""

    readers: Threads
    adders: Threads
    large_adders: Threads
    exporters: Threads
    lookers: Threads


class ServedStore:
    """The default store, opened when it is first used. Its methods belong to the event loop."""

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._store: TraceStore | None = None
        self._streams: set[ReplyStream] = set()

    @cached_property
    def settings(self) -> Settings:
        """The settings of the server's environment; SettingsInvalid, each time, until they are good."""
        return Settings()

    @cached_property
    def _threads(self) -> _Rooms:
        n_readers = self.settings.pool_size + self.settings.max_overflow
        return _Rooms(*map(Threads, (n_readers, _N_ADDERS, _N_LARGE_ADDERS, _N_EXPORTERS, _N_LOOKERS)))

    async def read(self, work: Callable[[TraceStore], _Found]) -> _Found:
        """The result of work that reads the store."""
        return await self._in(self._threads.readers, work)

    async def add(self, body: bytes, work: Callable[[TraceStore], _Found]) -> _Found:
        """The result of work that parses this body and adds its traces."""
        threads = self._threads
        return await self._in(threads.adders if len(body) <= _SMALL_BYTES else threads.large_adders, work)

    async def health(self) -> Health:
        """The result of `tunix_rt.health`; does not wait for other work."""
        settings = self.settings

        def look() -> Health:
            try:
                store = self._open(settings)
            except TunixRTError:
                # It reports the error too.
                store = None
            return health(store)

        found: Health = await self._threads.lookers.run(look)
        return found

    async def service(self) -> ServiceHealth:
        """The health of RediAI."""
        settings = self.settings
        found: ServiceHealth = await self._threads.lookers.run(lambda: rediai_health(settings))
        return found

    async def stream(self, stream: ReplyStream, work: Callable[[TraceStore], object]) -> None:
        """Work that writes to the stream, until it is done or the client is gone."""
        self._streams.add(stream)
        try:
            await self._in(self._threads.exporters, work)
        finally:
            self._streams.discard(stream)

    async def stop(self) -> None:
        """Ends the streams, waits a moment for other work, and closes the store if it is free."""
        for stream in list(self._streams):
            stream.cut()
        if "_threads" in vars(self):
            done = await asyncio.gather(*(threads.end(_LAST_WORK_SECONDS) for threads in self._threads))
            if all(done) and self._store is not None:
                closer = Threads(1)
                await asyncio.wait((asyncio.ensure_future(closer.run(self._close)),), timeout=_LAST_FOLD_SECONDS + 1)

    async def _in(self, threads: Threads, work: Callable[[TraceStore], _Found]) -> _Found:
        settings = self.settings
        found: _Found = await threads.run(lambda: work(self._open(settings)))
        return found

    def _open(self, settings: Settings) -> TraceStore:
        with self._opening:
            if self._store is None:
                self._store = TraceStore(settings=settings)
            return self._store

    def _close(self) -> None:
        patience = self.settings.model_copy(update={"pool_timeout": _LAST_FOLD_SECONDS})
        with suppress(TunixRTError):
            TraceStore(settings=patience).close()
