"""The files of a store, opened once in a process however many TraceStores it has on them.

`NAME.duckdb` holds everything, `NAME.journal` what was added since, `NAME.lock` the line of those who want the first.
"""

import atexit
import os
import threading
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

import duckdb

from tunix_rt.errors import StoreUnusable
from tunix_rt.store import schema
from tunix_rt.store.database import Database
from tunix_rt.store.journal import Journal
from tunix_rt.store.lease import Lease
from tunix_rt.store.line import Line
from tunix_rt.store.standing import Standing, compare, read_standing


class Files:
    """The database, the journal, the line and the lease of one store in this process."""

    _of_process: ClassVar[WeakValueDictionary[Path, "Files"]] = WeakValueDictionary()

    def __init__(self, path: Path) -> None:
        self.path = path
        # A store `runs.duckdb` has `runs.journal`; any other name keeps its ending, so that no two stores share one.
        stem = path.stem if path.suffix == ".duckdb" else path.name
        self.line = Line(path.with_name(f"{stem}.lock"))
        self.journal = Journal(path.with_name(f"{stem}.journal"), self.line)
        self.database = Database(path, self._check)
        self.database.read_only = True
        self.lease = Lease(self.database, self.line)
        # One change at a time: two transactions at once would both count theirs, and one fail.
        self.changing = threading.RLock()
        self.standing = Standing(None, 0, 0)
        self.accept_loss = False

    @classmethod
    def of(cls, path: Path, *, read_only: bool) -> "Files":
        """The files at this path; one store of the process that writes opens them for all for writing."""
        if read_only and not path.exists():
            raise StoreUnusable(f"{path}: there is no store to read; without read_only one is made")
        if not read_only:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreUnusable(f"{path}: its folder cannot be made ({error.strerror})") from None
        # One journal and one line for all who come, by whatever links.
        path = path.resolve()
        found = cls._of_process.get(path)
        if found is None:
            found = cls._of_process.setdefault(path, cls(path))
        found.line.open(make=not read_only)
        if found.database.read_only and not read_only:
            with found.lease.closed():
                found.database.read_only = False
        return found

    def _check(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Whenever the file was attached: brings its tables up, and compares it with what was acknowledged."""
        if self.database.read_only:
            schema.prepare(cursor, read_only=True)
            self.standing = read_standing(cursor)
            return
        acknowledged, n_lost = self.journal.standing, self.journal.n_lost
        if not self.accept_loss and schema.current_version(cursor) == 0:
            compare(self.path, None, acknowledged, n_lost)
        schema.prepare(cursor)
        self.standing = read_standing(cursor)
        if self.accept_loss:
            self.journal.accept_loss(self.standing)
            self.accept_loss = False
        elif self.standing != acknowledged or n_lost:
            compare(self.path, self.standing, acknowledged, n_lost)
            self.journal.confirm(self.standing, folded=0)

    @classmethod
    def stop_all(cls) -> list["Files"]:
        """Closes all, and keeps every thread out, for a fork."""
        stopped = list(cls._of_process.values())
        for files in stopped:
            files.lease.stop()
            files.journal.lock.acquire()
            files.journal.close()
        return stopped

    def go_on(self) -> None:
        """Lets the threads in again."""
        self.journal.lock.release()
        self.lease.go_on()

    def begin_anew(self) -> None:
        """In a forked child: without the parent's threads, locks and turns."""
        self.journal.lock = threading.RLock()
        self.changing = threading.RLock()
        self.lease.begin_anew()


_stopped: list[Files] = []


def _before_fork() -> None:
    _stopped.extend(Files.stop_all())


def _after_fork_in_parent() -> None:
    while _stopped:
        _stopped.pop().go_on()


def _after_fork_in_child() -> None:
    while _stopped:
        _stopped.pop().begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


@atexit.register
def _close_all() -> None:
    for files in list(Files._of_process.values()):  # noqa: SLF001
        files.lease.end()
        files.journal.close()
