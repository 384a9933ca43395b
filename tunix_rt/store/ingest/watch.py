"""The files of a running job, loaded as they appear and grow."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from tunix_rt.errors import QueryInvalid, SourceInvalid
from tunix_rt.formats import (
    Borrowed,
    Draft,
    Format,
    Reading,
    Rejection,
    Source,
    SourceFile,
    files_at,
    parts_of,
    rejected_source,
)
from tunix_rt.paths import local_path
from tunix_rt.store.engine.session import Session
from tunix_rt.store.ingest.dedup import Copies
from tunix_rt.store.ingest.load import Loading
from tunix_rt.store.ingest.load_report import LoadReport
from tunix_rt.store.ingest.tail import QUIET_LOOKS, end_of_whole
from tunix_rt.validation import short

Stop = Callable[[], object] | threading.Event

# A file that grows all the time is read again from its start: at most so much of the time goes into that.
_SHARE_OF_TIME = 0.1
_STOP_ASKED_EVERY = 0.2


def watch(session: Session, path: str | Path, format: Format | None, *, every: float, stop: Stop | None) -> "Watch":
    """A watch that has not begun; see `TraceStore.watch`."""
    session.refuse_read_only()
    local_path(path, SourceInvalid)
    if isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < threading.TIMEOUT_MAX:
        raise QueryInvalid(f"every={short(every)}: must be a number of seconds above 0")
    if stop is not None and not isinstance(stop, threading.Event) and not callable(stop):
        raise QueryInvalid(f"stop={short(stop)}: must be a function without arguments or a threading.Event")
    return Watch(session, path, format, every=every, stop=stop)


class _Stamp(NamedTuple):
    """What changes when a file does."""

    size: int
    mtime_ns: int
    inode: int


class _Seen:
    """What is known of one file from earlier looks."""

    def __init__(self) -> None:
        self.stamp: _Stamp | None = None
        self.quiet_looks = 0
        # How many of its bytes were loaded, and what was told of them.
        self.loaded = 0
        self.n_rows = 0
        self.n_added = 0
        self.told_line = 0
        self.told_reason = ""
        self.not_before = 0.0
        self.is_half_loaded = False

    def look(self, stamp: _Stamp) -> None:
        """Takes note of how the file lies there now."""
        if stamp == self.stamp:
            self.quiet_looks += 1
            return
        if self.stamp is None or stamp.inode != self.stamp.inode or stamp.size <= self.stamp.size:
            # Another file, or written anew: nothing of it has been seen.
            self.loaded, self.n_added, self.told_line, self.told_reason = 0, 0, 0, ""
        self.stamp, self.quiet_looks = stamp, 0

    def is_unread(self) -> bool:
        """Whether there is something in it that was not loaded."""
        return self.stamp is not None and self.loaded < self.stamp.size

    def is_due(self, *, last: bool) -> bool:
        """Whether it may have become whole in this look; so a look opens none of the thousands that are done."""
        if not self.is_unread():
            return False
        return (
            last
            or self.is_half_loaded
            or self.quiet_looks in (1, QUIET_LOOKS)
            or (not self.quiet_looks and self._has_rested())
        )

    def _has_rested(self) -> bool:
        return time.monotonic() >= self.not_before

    def is_news(self, rejection: Rejection, told_line: int) -> bool:
        """Whether it was not told in an earlier look; `told_line` is the last line of which something was."""
        if rejection.line is None:
            known, self.told_reason = rejection.reason == self.told_reason, rejection.reason
            return not known
        self.told_line = max(self.told_line, rejection.line)
        return rejection.line > told_line


def _never() -> bool:
    return False


class _Stopped(BaseException):
    """The look is wanted no more; nothing that reads takes it for a fault."""


class _Look(NamedTuple):
    """One look: what it loads into, whether it is the last one, and whether it is wanted no more."""

    loading: Loading
    last: bool
    stopped: Callable[[], object]

    def check(self, *_: object) -> None:
        """Called wherever a name, some bytes or a row were read; raises _Stopped."""
        if self.stopped():
            raise _Stopped


class Watch:
    """A watched path: iterated over, it gives a report for each look that brought something.

    `total` is the report of all looks, without samples; what it calls known was in the store before. `waiting` are the
    files that wait for their end, `n_files` is how many were read, and `missing` says why there is no file, if so.
    """

    def __init__(
        self, session: Session, path: str | Path, format: Format | None, *, every: float = 2.0, stop: Stop | None = None
    ) -> None:
        self.path = path
        self.every = every
        self.total = LoadReport(str(path))
        self.missing = ""
        self._stopped = stop.is_set if isinstance(stop, threading.Event) else stop or _never
        self._session = session
        self._format = format
        # Their digests together count as one load.
        self._seen: dict[Path, _Seen] = {}
        self._copies = Copies(session.path)
        self._there: list[Path] = []

    @property
    def n_files(self) -> int:
        """How many files something was read of."""
        return sum(seen.loaded > 0 for seen in self._seen.values())

    @property
    def waiting(self) -> list[Path]:
        """The files with something that was not loaded yet: they may still be written."""
        return [path for path in self._there if (seen := self._seen.get(path)) and seen.is_unread()]

    def __iter__(self) -> Iterator[LoadReport]:
        last = False
        while not last:
            try:
                last = bool(self._stopped())
                report = self.look(last=last)
            except KeyboardInterrupt:
                # This is how a cell that watches is ended; what was committed stays.
                return
            if report.added or report.rejected_count:
                yield report
            try:
                if not last:
                    self.rest()
            except KeyboardInterrupt:
                return

    def rest(self, stopped: Callable[[], object] | None = None) -> None:
        """Waits until the next look is due, or is wanted no more."""
        stopped = stopped or self._stopped
        until = time.monotonic() + self.every
        while not stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _STOP_ASKED_EVERY))

    def look(self, *, last: bool = False, stopped: Callable[[], object] = _never) -> LoadReport:
        """Loads what is new and whole; in the last look also what is not whole, and what is wrong with it is told.

        `stopped` is asked wherever something was read, and ends the look early; the next one goes on.
        """
        report = LoadReport(str(self.path))
        look = _Look(Loading(self._session, report, copies=self._copies), last, stopped)
        try:
            with look.loading.noting(), suppress(_Stopped):
                self._there = self._files(look)
                for path in self._there:
                    look.check()
                    self._look_at(path, look)
        finally:
            self.total.include(report)
            self.total.known = sum(max(0, seen.n_rows - seen.n_added) for seen in self._seen.values())
        return report

    def _files(self, look: _Look) -> list[Path]:
        try:
            found = files_at(self.path, look.check)
        except SourceInvalid as error:
            self.missing = str(error)
            return []
        self.missing = ""
        look.loading.report.passed_over = found.passed_over
        for rejection in found.unreadable:
            if self._seen.setdefault(Path(rejection.file), _Seen()).is_news(rejection, 0):
                look.loading.take(rejection)
        return found.files

    def _look_at(self, path: Path, look: _Look) -> None:
        seen = self._seen.setdefault(path, _Seen())
        try:
            status = path.stat()
            seen.look(_Stamp(status.st_size, status.st_mtime_ns, status.st_ino))
            if not seen.is_due(last=look.last):
                return
            file = path.open("rb")
        except PermissionError as error:
            rejection = Rejection(str(path), None, None, f"cannot be read ({error.strerror})", "")
            if seen.is_news(rejection, 0):
                look.loading.take(rejection)
            return
        except OSError:
            # It is gone again.
            return
        with file:
            # Until it is done, also where it was stopped or the store was busy, the next look begins the file again.
            seen.is_half_loaded = True
            end = status.st_size
            if not look.last:
                end = end_of_whole(file, path, end, seen.quiet_looks, look.check)
            file.seek(0)
            if end > seen.loaded:
                report = look.loading.report
                before = report.added, report.known
                try:
                    self._load(path, file, end, seen, look)
                    seen.loaded = end
                finally:
                    n_added = report.added - before[0]
                    seen.n_added += n_added
                    seen.n_rows = n_added + report.known - before[1]
            seen.is_half_loaded = False

    def _load(self, path: Path, file: IO[bytes], end: int, seen: _Seen, look: _Look) -> None:
        """Loads the file up to a byte."""
        started = time.monotonic()
        loading = look.loading
        told_line = seen.told_line
        # As ASCII: a name need not be UTF-8.
        self._copies.begin(ascii(str(path)))
        try:
            source = SourceFile(path, Borrowed(file, str(path), end))
            for found in self._found_in(source, look):
                look.check()
                if not isinstance(found, Rejection) or seen.is_news(found, told_line):
                    loading.take(found)
        except _Stopped:
            loading.store()
            raise
        loading.store()
        seen.not_before = time.monotonic() + (time.monotonic() - started) / _SHARE_OF_TIME

    def _found_in(self, source: Source, look: _Look) -> Iterator[Draft | Rejection]:
        """What a file holds, or each member of it if it is an archive."""
        try:
            for part in parts_of(source, look.check):
                try:
                    with Reading(part, format=self._format, check=look.check) as reading:
                        look.loading.report.begin(reading.format.name)
                        yield from reading
                except SourceInvalid as error:
                    yield rejected_source(part.path, error)
        except SourceInvalid as error:
            yield rejected_source(source.path, error)
