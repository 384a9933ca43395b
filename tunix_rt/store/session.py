"""Who holds the store's file, and for how long.

DuckDB gives a file to one process at a time, readers included. So a process opens it for a call and closes it after the
call, and a process that finds it taken tries again until `pool_timeout` is over. Within a process all threads share the
open file, with a cursor each: one connection used by two threads gives wrong rows.
"""

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from tunix_rt.errors import StoreBusy, StoreUnusable
from tunix_rt.settings import Settings

# Between two tries to open a taken file, in seconds: opening takes about 20 ms, and a random share keeps waiters apart.
_RETRY_SECONDS = (0.005, 0.02)

# DuckDB would take four fifths of the machine's memory, which a training process needs for itself; beyond this it
# spills to disk. Nothing is fetched from the network.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
}


class Session:
    """The open file and its cursors; `prepare` runs on every opening, before anything else sees the store."""

    def __init__(self, path: Path, settings: Settings, prepare: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        self._path = path
        self._timeout = settings.pool_timeout
        self._most_threads = settings.pool_size + settings.max_overflow
        self._prepare = prepare
        self._places = threading.BoundedSemaphore(self._most_threads)
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._holders = 0
        # Counts up: as long as it stays the same, no other process has written to the file.
        self.openings = 0

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for this thread, for one piece of work; StoreBusy if it cannot be had in `pool_timeout` seconds."""
        if not self._places.acquire(timeout=self._timeout):
            raise StoreBusy(
                f"{self._path}: {self._most_threads} threads have been at work in this store for {self._timeout} s; "
                "let fewer threads in, or raise pool_size or max_overflow"
            )
        try:
            with self.hold() as connection:
                cursor = connection.cursor()
                try:
                    yield cursor
                finally:
                    cursor.close()
        finally:
            self._places.release()

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor inside a transaction: committed at the end, rolled back if the work raises."""
        with self.cursor() as cursor:
            cursor.begin()
            try:
                yield cursor
                cursor.commit()
            except BaseException:
                # DuckDB has rolled back by itself where the commit failed.
                with suppress(duckdb.Error):
                    cursor.rollback()
                raise

    @contextmanager
    def hold(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Keeps the file open over a run of calls; other processes wait meanwhile."""
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            self._holders += 1
            connection = self._connection
        try:
            yield connection
        finally:
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    self._connection = None
                    connection.close()

    def _open(self) -> duckdb.DuckDBPyConnection:
        started = time.monotonic()
        self._refuse_what_is_no_file()
        while True:
            try:
                connection = duckdb.connect(self._path, config=_CONFIG)
                break
            except duckdb.Error as error:
                if "Could not set lock on file" not in str(error):
                    raise StoreUnusable(_why_unusable(self._path, error)) from error
                if time.monotonic() - started > self._timeout:
                    raise StoreBusy(_who_holds(self._path, error, self._timeout)) from None
            time.sleep(random.uniform(*_RETRY_SECONDS))  # noqa: S311 - spreads the waiters, keeps no secret
        try:
            connection.execute("set global TimeZone = 'UTC'")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self.openings += 1
        return connection

    def _refuse_what_is_no_file(self) -> None:
        if self._path.is_dir():
            raise StoreUnusable(f"{self._path}: is a folder; name a file in it, such as {self._path / 'traces.duckdb'}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(f"{self._path}: its folder cannot be made ({error.strerror})") from None


def _why_unusable(path: Path, error: duckdb.Error) -> str:
    if "not a valid DuckDB database file" in str(error):
        return f"{path}: is no DuckDB file; it was left as it is. Name another path for the store"
    return f"{path}: cannot be opened as a store: {error}"


def _who_holds(path: Path, error: duckdb.Error, seconds: int) -> str:
    found = re.search(r"held in (.*?)\(PID (\d+)\)", str(error))
    holder = "another process"
    if found:
        own = " (this very process: the file is open in it outside of tunix_rt)" if int(found[2]) == os.getpid() else ""
        holder = f"process {found[2]} ({found[1].strip() or 'name unknown'}){own}"
    return (
        f"{path}: held by {holder} for all of the {seconds} s that were waited; "
        "close the store there, or set pool_timeout (TUNIX_RT_POOL_TIMEOUT, up to 300) higher"
    )
