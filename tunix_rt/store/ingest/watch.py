"""The files of a running job, loaded as they appear and grow."""

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from tunix_rt.errors import QueryInvalid, SourceInvalid
from tunix_rt.formats import (
    Borrowed,
    Draft,
    Format,
    Reading,
    Rejection,
    ScoreDraft,
    Source,
    SourceFile,
    files_at,
    parts_of,
    rejected_source,
)
from tunix_rt.paths import local_path
from tunix_rt.store.engine.access import Access
from tunix_rt.store.ingest.dedup import Duplicates, MovedIds
from tunix_rt.store.ingest.encoding import checked_meta, encoded
from tunix_rt.store.ingest.load import Loading, Split, noting, split_format
from tunix_rt.store.ingest.load_report import LoadReport
from tunix_rt.store.ingest.tail import QUIET_POLLS, end_of_complete
from tunix_rt.validation import short

Stop = Callable[[], object] | threading.Event

# A file that keeps growing is read again from its start, for at most this share of the time.
_SHARE_OF_TIME = 0.1
_STOP_ASKED_EVERY = 0.2


def watch(
    session: Access,
    path: str | Path,
    insisted: Format | None,
    *,
    every: float,
    stop: Stop | None,
    split: Split | None,
    meta: Mapping[str, Any] | None,
) -> "Watch":
    """A watch that has not begun; see `TraceStore.watch`."""
    session.refuse_read_only()
    local_path(path, SourceInvalid)
    if isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < threading.TIMEOUT_MAX:
        raise QueryInvalid(f"every={short(every)}: must be a number of seconds above 0")
    if stop is not None and not isinstance(stop, threading.Event) and not callable(stop):
        raise QueryInvalid(f"stop={short(stop)}: must be a function without arguments or a threading.Event")
    insisted = split_format(insisted, split)
    of_each = checked_meta(meta, session.settings.trace_max_bytes)
    return Watch(session, path, insisted, every=every, stop=stop, by_turn=bool(split), meta=of_each)


class _Stamp(NamedTuple):
    """What changes when a file changes."""

    size: int
    mtime_ns: int
    inode: int


class _Seen:
    """The state of one file after earlier polls."""

    def __init__(self) -> None:
        self.stamp: _Stamp | None = None
        self.quiet_polls = 0
        # How many of its bytes were loaded, and what was reported of them.
        self.loaded = 0
        self.n_rows = 0
        self.n_added = 0
        self.reported_line = 0
        self.reported_reason = ""
        self.not_before = 0.0
        self.is_half_loaded = False
        # The size before it became shorter; 0 again when it has grown to that.
        self.was_larger = 0

    def note(self, stamp: _Stamp) -> None:
        """Notes the current state of the file."""
        if stamp == self.stamp:
            self.quiet_polls += 1
            return
        if self.stamp is None or stamp.inode != self.stamp.inode or stamp.size <= self.stamp.size:
            # Another file, or one that was rewritten: nothing of it has been loaded.
            self.loaded, self.n_added, self.reported_line, self.reported_reason = 0, 0, 0, ""
        before = max(self.was_larger, self.stamp.size if self.stamp else 0)
        self.was_larger = before if stamp.size < before else 0
        self.stamp, self.quiet_polls = stamp, 0

    def is_unread(self) -> bool:
        """Whether a part of it was not loaded."""
        return self.stamp is not None and self.loaded < self.stamp.size

    def is_due(self, *, last: bool) -> bool:
        """Whether it may have become complete; a poll opens none of the thousands of files that are done."""
        if not self.is_unread():
            return False
        return (
            last
            or self.is_half_loaded
            or self.quiet_polls in (1, QUIET_POLLS)
            or (not self.quiet_polls and self._has_rested())
        )

    def _has_rested(self) -> bool:
        return time.monotonic() >= self.not_before

    def is_news(self, rejection: Rejection, reported_line: int) -> bool:
        """Whether no earlier poll reported it; `reported_line` is the last line that was reported."""
        if rejection.line is None:
            known, self.reported_reason = rejection.reason == self.reported_reason, rejection.reason
            return not known
        self.reported_line = max(self.reported_line, rejection.line)
        return rejection.line > reported_line


def _never() -> bool:
    return False


class _Stopped(BaseException):
    """The poll was stopped; readers do not treat it as an error of the file."""


class _Poll(NamedTuple):
    """One poll: its loading, whether it is the last one, and whether it was stopped."""

    loading: Loading
    last: bool
    stopped: Callable[[], object]

    def check(self, *_: object) -> None:
        """To be called whenever a name, some bytes or a row were read; raises _Stopped."""
        if self.stopped():
            raise _Stopped


class Watch:
    """A watched path: iterating over it yields a report for each poll that found something.

    `total` is the report of all polls, without samples; its `already_stored` traces were in the store before. `waiting`
    are the files that are not complete yet, `n_files` is how many were read, and `missing` is why there is no file.
    `gone` are files that were read and are no longer there, `shorter` those that were longer before, and are read again
    from their start; their traces stay.
    """

    def __init__(
        self,
        session: Access,
        path: str | Path,
        format: Format | None,
        *,
        every: float = 2.0,
        stop: Stop | None = None,
        by_turn: bool = False,
        meta: dict[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.every = every
        self.total = LoadReport(str(path))
        self.missing = ""
        self._stopped = stop.is_set if isinstance(stop, threading.Event) else stop or _never
        self._session = session
        self._format = format
        self._by_turn = by_turn
        self._meta = meta
        # All their digests count as one load.
        self._seen: dict[Path, _Seen] = {}
        self._duplicates = Duplicates(session.path)
        self._moved = MovedIds(session.path)
        self._there: list[Path] = []

    @property
    def n_files(self) -> int:
        """How many files something was read of."""
        return sum(seen.loaded > 0 for seen in self._seen.values())

    @property
    def waiting(self) -> list[Path]:
        """The files with something that was not loaded yet: they may still be written."""
        return [path for path in self._there if (seen := self._seen.get(path)) and seen.is_unread()]

    @property
    def gone(self) -> list[Path]:
        """The files that were read, and that the last poll did not find."""
        there = {*self._there}
        return [path for path, seen in self._seen.items() if seen.loaded and path not in there]

    @property
    def shorter(self) -> list[Path]:
        """The files that are there and were longer before."""
        return [path for path in self._there if (seen := self._seen.get(path)) and seen.was_larger]

    def __iter__(self) -> Iterator[LoadReport]:
        last = False
        while not last:
            try:
                last = bool(self._stopped())
                report = self.poll(last=last)
            except KeyboardInterrupt:
                # An interrupt ends a cell that watches; what was committed stays.
                return
            if report.added or report.scores_added or report.rejected_count:
                yield report
            try:
                if not last:
                    self.rest()
            except KeyboardInterrupt:
                return

    def rest(self, stopped: Callable[[], object] | None = None) -> None:
        """Waits until the next poll is due, or until it is stopped."""
        stopped = stopped or self._stopped
        until = time.monotonic() + self.every
        while not stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _STOP_ASKED_EVERY))

    def look(self, *, last: bool = False, stopped: Callable[[], object] = _never) -> LoadReport:
        """The old name of `poll`; it goes in the next release."""
        warnings.warn("Watch.look is now Watch.poll", DeprecationWarning, stacklevel=2)
        return self.poll(last=last, stopped=stopped)

    def poll(self, *, last: bool = False, stopped: Callable[[], object] = _never) -> LoadReport:
        """Loads complete new rows; the last poll also loads incomplete rows, and reports their errors.

        `stopped` is called whenever something was read, and ends the poll early; the next one continues.
        """
        report = LoadReport(str(self.path))
        poll = _Poll(Loading(self._session, report, duplicates=self._duplicates, moved=self._moved), last, stopped)
        try:
            with noting(report), suppress(_Stopped):
                self._there = self._files(poll)
                for path in self._there:
                    poll.check()
                    self._poll_file(path, poll)
        finally:
            self.total.include(report)
            self.total.already_stored = sum(max(0, seen.n_rows - seen.n_added) for seen in self._seen.values())
        return report

    def _files(self, poll: _Poll) -> list[Path]:
        try:
            found = files_at(self.path, poll.check)
        except SourceInvalid as error:
            self.missing = str(error)
            return []
        self.missing = ""
        poll.loading.report.passed_over = found.passed_over
        for rejection in found.unreadable:
            if self._seen.setdefault(Path(rejection.file), _Seen()).is_news(rejection, 0):
                poll.loading.take(rejection)
        return found.files

    def _poll_file(self, path: Path, poll: _Poll) -> None:
        seen = self._seen.setdefault(path, _Seen())
        try:
            status = path.stat()
            seen.note(_Stamp(status.st_size, status.st_mtime_ns, status.st_ino))
            if not seen.is_due(last=poll.last):
                return
            file = path.open("rb")
        except PermissionError as error:
            rejection = Rejection(str(path), None, None, f"cannot be read ({error.strerror})", "")
            if seen.is_news(rejection, 0):
                poll.loading.take(rejection)
            return
        except OSError:
            # It has vanished again.
            return
        with file:
            # Until it is done, or after a stop or a busy store, the next poll begins the file again.
            seen.is_half_loaded = True
            end = status.st_size
            if not poll.last:
                end = end_of_complete(file, path, end, seen.quiet_polls, poll.check, format=self._format)
            file.seek(0)
            if end > seen.loaded:
                report = poll.loading.report
                before = report.added, report.already_stored
                try:
                    self._load(path, file, end, seen, poll)
                    seen.loaded = end
                finally:
                    n_added = report.added - before[0]
                    seen.n_added += n_added
                    seen.n_rows = n_added + report.already_stored - before[1]
            seen.is_half_loaded = False

    def _load(self, path: Path, file: IO[bytes], end: int, seen: _Seen, poll: _Poll) -> None:
        """Loads the file up to a byte."""
        started = time.monotonic()
        loading = poll.loading
        reported_line = seen.reported_line
        # As ASCII: a name need not be UTF-8.
        self._duplicates.begin(ascii(str(path)))
        try:
            source = SourceFile(path, Borrowed(file, str(path), end))
            for found in self._found_in(source, poll):
                poll.check()
                if not isinstance(found, Rejection) or seen.is_news(found, reported_line):
                    loading.take(encoded(found, self._session.settings.trace_max_bytes, self._meta))
        except _Stopped:
            loading.store()
            raise
        loading.store()
        seen.not_before = time.monotonic() + (time.monotonic() - started) / _SHARE_OF_TIME

    def _found_in(self, source: Source, poll: _Poll) -> Iterator[Draft | ScoreDraft | Rejection]:
        """What a file holds, or each member of it if it is an archive."""
        try:
            for part in parts_of(source, poll.check):
                try:
                    with Reading(part, format=self._format, check=poll.check, by_turn=self._by_turn) as reading:
                        poll.loading.report.begin(reading.format.name, reading.mapping)
                        yield from reading
                except (SourceInvalid, QueryInvalid) as error:
                    yield rejected_source(part.path, error)
        except SourceInvalid as error:
            yield rejected_source(source.path, error)
