"""A DuckDB in memory that attaches and detaches a store's file.

Opening DuckDB on a file takes about 20 ms; attaching the file to a DuckDB that runs already takes 0.5 ms, and detaching
it as much. So a process keeps one DuckDB for each store, and the file itself only as long as no other process wants it.
"""

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from tunix_rt.errors import MemoryLimitReached, StoreBusy, StoreDamaged, StoreFull, StoreUnusable, TunixRTError
from tunix_rt.paths import log_of
from tunix_rt.store.engine.locks import Identity, identity, put_in_place
from tunix_rt.store.engine.spill import spill_folder

# The smallest unit that DuckDB skips, merges and rewrites. With its default of 122,880 rows each chunk of a load was
# merged with the one before: 300,000 rows took 31 s and 508 MB, not 9 s and 337 MB. With 20,480 a page of 1,000,000
# took half as long again, and merging a second, in which all others wait; with 4,096 merging took little, but a page
# among 4 writers and 4 readers 118 ms where it takes 82, and the file was 6 % larger. It is not kept in the file.
ROW_GROUP_ROWS = 10_240
# Merging row groups at each detaching cost 20 ms, so it waits until it is asked for. One task at a time merges as many
# as fill up to three.
_MERGE_TASKS = 1
# To make one and have it use the store takes 0.15 ms of the 1.4 ms of a page.
_MOST_SPARE_CURSORS = 8
# Seconds between two tries to attach a file that a program outside of the queue holds.
_RETRY_SECONDS = (0.005, 0.02)

# A scan of more than this has the file attached again, which drops what DuckDB has cached of it. An export of 200,000
# traces took as long as without.
_MOST_CACHED_BYTES = 64 * 2**20
_CACHED = "select memory_usage_bytes from duckdb_memory() where tag = 'BASE_TABLE'"

# Nothing is fetched from the network, no extension is loaded, and no SQL text reads the variables of the kernel.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    # If a thread of DuckDB's own ran the complete query, the main thread would wait and hear no Ctrl-C.
    "scheduler_process_partial": True,
}
# What `detach` changes; all other settings stay as they are, whatever a SQL text tries.
_CHANGING_SETTINGS = ["max_vacuum_tasks"]


class Database:
    """The DuckDB of one store; `prepare` gets a cursor whenever the file was attached, before anyone else does.

    Not for two threads at once: the lease sees to that.
    """

    def __init__(self, path: Path, prepare: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        self.path = path
        self.read_only = False
        # In bytes; beyond it DuckDB spills to disk.
        self.memory_limit = 0
        self.attached = False
        # The program outside of the queue that has the file, while this one waits for it.
        self.holder: str | None = None
        self._attached_file: Identity | None = None
        self._log_path = log_of(path)
        self._log: Identity | None = None
        # Set when an error has made this DuckDB unusable: it is ended, not only detached.
        self.broken = False
        # Set to let DuckDB merge small row groups when the file is detached next.
        self.merge_next = False
        self._prepare = prepare
        self._duckdb: duckdb.DuckDBPyConnection | None = None
        self._spare_cursors: list[duckdb.DuckDBPyConnection] = []

    @contextmanager
    def cursor(self, *, reusable: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the attached file, for one thread; a `reusable` one serves again if the work went well.

        Such work must leave nothing in it: no registered or temporary table, no transaction, no large result.
        """
        running = self._running()
        cursor = self._spare_cursor() if reusable else None
        if cursor is None:
            cursor = running.cursor()
            cursor.execute("use store")
        try:
            yield cursor
            if reusable and running is self._duckdb and len(self._spare_cursors) < _MOST_SPARE_CURSORS:
                self._spare_cursors.append(cursor)
                return
        except BaseException:
            cursor.close()
            raise
        cursor.close()

    def _spare_cursor(self) -> duckdb.DuckDBPyConnection | None:
        # Another thread may take the last one meanwhile.
        with suppress(IndexError):
            return self._spare_cursors.pop()
        return None

    def attach(self, deadline: float, gives_way: Callable[[], bool]) -> bool:
        """Attaches the file, and creates it if it does not exist; after an error nothing stays open.

        False where another program has it and `gives_way` ended the waiting.
        """
        try:
            if not self.path.exists() and not self.read_only:
                self._make()
            return self._attach(self.path, deadline, gives_way)
        except BaseException as error:
            self.shut()
            if isinstance(error, duckdb.Error):
                raise self.explained(error) from None
            raise

    def is_current(self) -> bool:
        """Whether the attached file and its log, if any, are those at their paths: writes to other files are lost."""
        return not self.attached or (
            identity(self.path) == self._attached_file and (self._log is None or identity(self._log_path) == self._log)
        )

    def caches_much(self) -> bool:
        """Whether much of the attached file is in memory: DuckDB keeps what it has read, up to `memory_limit`."""
        return self.attached and self._running().execute(_CACHED).fetchall()[0][0] > _MOST_CACHED_BYTES

    def note_log(self) -> None:
        """To be called after a commit, which is in DuckDB's write-ahead log, or has been written out of it."""
        before, self._log = self._log, identity(self._log_path)
        if before is not None and self._log is None:
            # If it was deleted, the commit is in a file without a name.
            with suppress(duckdb.Error):
                self._running().execute("checkpoint store")

    def detach(self) -> None:
        """Writes out and closes the file; if that fails, what was committed is in DuckDB's write-ahead log."""
        if not self.attached:
            return
        running = self._running()
        try:
            if self.merge_next:
                running.execute(f"set global max_vacuum_tasks = {_MERGE_TASKS}")
            if self._is_to_be_written_out():
                running.execute("checkpoint store")
            running.execute("detach store")
            self.attached = False
            if self.merge_next:
                running.execute("set global max_vacuum_tasks = 0")
                self.merge_next = False
        except (duckdb.Error, RuntimeError) as error:
            self.shut()
            # This is how DuckDB reports it.
            if str(error) == "Query interrupted":
                raise KeyboardInterrupt from None
        if self.broken:
            self.shut()

    def _is_to_be_written_out(self) -> bool:
        log = identity(self._log_path)
        if identity(self.path) == self._attached_file:
            return self.merge_next or log is not None or self._log is not None
        # Of a file that was deleted or replaced: it removes the log at its path, which may be that of a new file.
        return log is not None and log == self._log

    def shut(self) -> None:
        """Ends the DuckDB and closes everything it has open; the next attach starts a new one."""
        for cursor in [*self._spare_cursors, self._duckdb]:
            if cursor is not None:
                with suppress(duckdb.Error):
                    cursor.close()
        self._spare_cursors.clear()
        self._duckdb = None
        self.attached = self.broken = False

    def explained(self, error: duckdb.Error) -> duckdb.Error | TunixRTError:
        """The error of this package for an error of the file; any other error unchanged."""
        said = str(error)
        if isinstance(error, duckdb.OutOfMemoryException):
            return MemoryLimitReached(
                f"{self.path}: this needs more than the {self.memory_limit // 10**6:,} MB of memory that the store may "
                "use; nothing was changed. Increase memory_limit (TUNIX_RT_MEMORY_LIMIT), or select less at once"
            )
        of_the_file = duckdb.FatalException | duckdb.InternalException | duckdb.ConnectionException | duckdb.IOException
        # A commit that cannot be written is a TransactionException, as many other things are.
        if not isinstance(error, of_the_file) and not re.search("Corrupt|Failed to commit: (Could not|Cannot)", said):
            return error
        self.broken = True
        return self._fault_of_the_file(said)

    def _fault_of_the_file(self, said: str) -> StoreUnusable:
        """DuckDB has no codes for these."""
        first_line = said.partition("\n")[0]
        if re.search(r"No space left|[Dd]isk.* full|File too large|Disk quota", said):
            return StoreFull(
                f"{self.path}: the disk is full ({first_line}); everything that was added before is safe. Free some "
                "space and try again"
            )
        if "not a valid DuckDB database file" in said:
            return StoreUnusable(
                f"{self.path}: is not a DuckDB file, and was not changed. Choose another path for the store, or "
                "restore a backup if this was a store"
            )
        if re.search(r"Corrupt|Could not read enough bytes|checksum|deserialize|WAL", said):
            return StoreDamaged(
                f"{self.path}: is damaged ({first_line}), and was not changed. Restore a backup; if the store still "
                "opens, verify() shows what can be read"
            )
        if "No locks available" in said:
            return StoreUnusable(
                f"{self.path}: cannot be locked ({first_line}), so processes could not share it safely; put the store "
                "on a local disk, or mount its file system with locks"
            )
        return StoreUnusable(f"{self.path}: cannot be used as a store: {said}")

    def _running(self) -> duckdb.DuckDBPyConnection:
        if self._duckdb is None:
            limits = {"memory_limit": f"{self.memory_limit // 1_000}KB", "temp_directory": str(spill_folder(self.path))}
            self._duckdb = started(limits)
            self._duckdb.execute(f"set global allowed_configs = {_CHANGING_SETTINGS}")
            self._duckdb.execute("set global lock_configuration = true")
        return self._duckdb

    def _attach(self, path: Path, deadline: float, gives_way: Callable[[], bool] = lambda: False) -> bool:
        found = identity(path)
        quoted = str(path).replace("'", "''")
        how = "read_only" if self.read_only else f"row_group_size {ROW_GROUP_ROWS}"
        while True:
            try:
                self._running().execute(f"attach '{quoted}' as store ({how})")
                break
            except duckdb.Error as error:
                # The lease is ours, so that the program which has the file does not know the queue.
                if not re.search(r"Conflicting lock is held|Unique file handle conflict", str(error)):
                    raise
                self.holder, pid = _holder_in(error)
                if time.monotonic() >= deadline:
                    raise _busy(self.path, self.holder, pid) from None
            if gives_way():
                return False
            time.sleep(random.uniform(*_RETRY_SECONDS))  # noqa: S311 - spreads the waiters, keeps no secret
        self.holder = None
        self.attached, self._attached_file, self._log = True, found or identity(path), None
        with self.cursor() as cursor:
            self._prepare(cursor)
        return True

    def _make(self) -> None:
        """Creates the file under a temporary name and renames it: a process that dies meanwhile leaves no partial file.

        If another process, which did not see a deleted lock file, has created one, that one stays.
        """
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        try:
            self._attach(new, deadline=0)
            self._running().execute("checkpoint store")
            self._running().execute("detach store")
            put_in_place(new, self.path)
        except OSError as error:
            if isinstance(error, TunixRTError):
                raise
            raise StoreUnusable(f"{self.path}: cannot be created ({error.strerror})") from error
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)


def started(limits: dict[str, str]) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory, which reaches for nothing by itself and writes nothing out unless it is told to."""
    running = duckdb.connect(config=_CONFIG | limits)
    running.execute("set global TimeZone = 'UTC'")
    # Writing out may take seconds, and DuckDB then prints a bar where it finds a notebook or a prompt.
    running.execute("set enable_progress_bar = false")
    running.execute("set global max_vacuum_tasks = 0")
    # Nor when a file is detached: `detach` does it, where that is still the file at the path.
    running.execute("pragma disable_checkpoint_on_shutdown")
    return running


def _holder_in(error: duckdb.Error) -> tuple[str, int | None]:
    """The program that DuckDB's error names, in words, and the id of its process if that is another one."""
    found = re.search(r"held in (.*?)\(PID (\d+)\)", str(error))
    pid = None if found is None or int(found[2]) == os.getpid() else int(found[2])
    if found is None or pid is None:
        holder = "this process, which has it open outside of tunix_rt"
    else:
        holder = f"process {pid} ({Path(found[1].strip()).name or 'name unknown'}), outside of tunix_rt"
    return holder, pid


def _busy(path: Path, holder: str, pid: int | None) -> StoreBusy:
    return StoreBusy(
        f"{path}: held by {holder}; traces can still be added. To read, close the file there, or increase pool_timeout "
        "(TUNIX_RT_POOL_TIMEOUT, up to 300)",
        holder=pid,
    )
