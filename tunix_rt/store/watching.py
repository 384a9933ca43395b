"""The files of a running job, loaded as they appear and grow."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa

from tunix_rt.errors import QueryInvalid, SourceInvalid
from tunix_rt.formats import Borrowed, Format, Reading, Rejection, SourceFile, files_at
from tunix_rt.formats.documents import is_document
from tunix_rt.formats.files import packing_of
from tunix_rt.store.copies import Copies
from tunix_rt.store.loading import Loading
from tunix_rt.store.report import LoadReport
from tunix_rt.store.session import Session

Stop = Callable[[], object] | threading.Event

# So many looks without a change, and the writer is taken to have left the row as it is: writers that fill a buffer
# first stop in the middle of rows, for as long as the next rollouts take.
_QUIET_LOOKS = 5
# A file that grows all the time is read again from its start: at most so much of the time goes into that.
_SHARE_OF_TIME = 0.1
_HEAD_BYTES = 2**20
_TAIL_BYTES = 2**16
_STOP_ASKED_EVERY = 0.2


def watch(
    session: Session, path: str | Path, format: Format | None, *, every: float, stop: Stop | None
) -> Iterator[LoadReport]:
    """Loads what comes; see `TraceStore.watch`."""
    session.refuse_read_only()
    if isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every < threading.TIMEOUT_MAX:
        raise QueryInvalid(f"every={every!r}: must be a number of seconds above 0")
    if stop is not None and not isinstance(stop, threading.Event) and not callable(stop):
        raise QueryInvalid(f"stop={stop!r}: must be a function without arguments or a threading.Event")
    return _reports(_Watch(session, path, format), every, stop)


def _reports(watch: "_Watch", every: float, stop: Stop | None) -> Iterator[LoadReport]:
    stopped = stop.is_set if isinstance(stop, threading.Event) else stop or (lambda: False)
    last = False
    while not last:
        try:
            last = bool(stopped())
            report = watch.look(last=last)
        except KeyboardInterrupt:
            # This is how a cell that watches is ended; what was committed stays.
            return
        if report.added or report.rejected_count:
            yield report
        try:
            until = time.monotonic() + every
            while not last and not stopped() and (left := until - time.monotonic()) > 0:
                time.sleep(min(left, _STOP_ASKED_EVERY))
        except KeyboardInterrupt:
            return


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
        self.told_line = 0
        self.told_reason = ""
        self.not_before = 0.0

    def look(self, stamp: _Stamp) -> None:
        """Takes note of how the file lies there now."""
        if stamp == self.stamp:
            self.quiet_looks += 1
            return
        if self.stamp is None or stamp.inode != self.stamp.inode or stamp.size <= self.stamp.size:
            # Another file, or written anew: nothing of it has been seen.
            self.loaded, self.told_line, self.told_reason = 0, 0, ""
        self.stamp, self.quiet_looks = stamp, 0

    def is_due(self, *, last: bool) -> bool:
        """Whether it may have become whole in this look; so a look opens none of the thousands that are done."""
        if self.stamp is None or self.loaded >= self.stamp.size:
            return False
        return last or self.quiet_looks in (1, _QUIET_LOOKS) or (not self.quiet_looks and self._has_rested())

    def _has_rested(self) -> bool:
        return time.monotonic() >= self.not_before

    def is_news(self, rejection: Rejection, told_line: int) -> bool:
        """Whether it was not told in an earlier look; `told_line` is the last line of which something was."""
        if rejection.line is None:
            known, self.told_reason = rejection.reason == self.told_reason, rejection.reason
            return not known
        self.told_line = max(self.told_line, rejection.line)
        return rejection.line > told_line


class _Watch:
    """The files seen so far, and the digests of what was loaded of them: together they count as one load."""

    def __init__(self, session: Session, path: str | Path, format: Format | None) -> None:
        self._session = session
        self._path = path
        self._format = format
        self._seen: dict[Path, _Seen] = {}
        self._copies = Copies()

    def look(self, *, last: bool) -> LoadReport:
        """Loads what is new and whole; in the last look also what is not whole, and what is wrong with it is told."""
        report = LoadReport(str(self._path))
        loading = Loading(self._session, report, copies=self._copies)
        with loading.noting():
            for path in self._files():
                seen = self._seen.setdefault(path, _Seen())
                try:
                    status = path.stat()
                    seen.look(_Stamp(status.st_size, status.st_mtime_ns, status.st_ino))
                    if not seen.is_due(last=last):
                        continue
                    file = path.open("rb")
                except OSError:
                    # It is gone again, or not for us to read.
                    continue
                with file:
                    end = status.st_size if last else _end_of_whole(file, path, status.st_size, seen.quiet_looks)
                    file.seek(0)
                    if end > seen.loaded:
                        self._load(path, file, end, seen, loading)
        return report

    def _files(self) -> list[Path]:
        try:
            return files_at(self._path)
        except SourceInvalid:
            return []

    def _load(self, path: Path, file: IO[bytes], end: int, seen: _Seen, loading: Loading) -> None:
        started = time.monotonic()
        told_line = seen.told_line
        self._copies.begin(str(path))
        try:
            with Reading(SourceFile(path, Borrowed(file, str(path), end)), format=self._format) as reading:
                loading.report.begin(reading.format.name)
                for found in reading:
                    if not isinstance(found, Rejection) or seen.is_news(found, told_line):
                        loading.take(found)
        except SourceInvalid as error:
            found = Rejection(str(path), None, None, str(error), "")
            if seen.is_news(found, told_line):
                loading.take(found)
        loading.store()
        seen.loaded = end
        seen.not_before = time.monotonic() + (time.monotonic() - started) / _SHARE_OF_TIME


def _end_of_whole(file: IO[bytes], path: Path, size: int, quiet_looks: int) -> int:
    """How many bytes of the file can be loaded now; 0 where it must become whole first."""
    head = file.read(_HEAD_BYTES)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(size - file.tell())
    if not head.strip():
        return 0
    if _stands_in_lines(head):
        is_whole = quiet_looks >= _QUIET_LOOKS or tail.endswith(b"\n")
        return size if is_whole else _after_last_line(file, size)
    return size if quiet_looks and _is_whole(path, head, tail, quiet_looks) else 0


def _stands_in_lines(head: bytes) -> bool:
    """Whether the file is JSON Lines, so that each whole line counts for itself."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return first.startswith(b"{") and (b"\n" not in first.rstrip() or not is_document(first))


def _is_whole(path: Path, head: bytes, tail: bytes, quiet_looks: int) -> bool:
    """Whether a file that has been left alone for a look ends as one of its kind does."""
    if head.startswith(b"PAR1"):
        return len(head) > len(b"PAR1") and tail.endswith(b"PAR1")
    if packing := packing_of(head):
        return _unpacks(path, packing)
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if first.startswith((b"[", b"{")):
        return tail.rstrip().endswith(b"]" if first.startswith(b"[") else b"}")
    return quiet_looks >= _QUIET_LOOKS or tail.endswith(b"\n")


def _unpacks(path: Path, packing: str) -> bool:
    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, packing) as stream:
            while stream.read(_HEAD_BYTES):
                pass
    except OSError:
        return False
    return True


def _after_last_line(file: IO[bytes], size: int) -> int:
    """Where the last whole line ends; 0 where there is none."""
    at = size
    while at > 0:
        start = max(0, at - _TAIL_BYTES)
        file.seek(start)
        if (found := file.read(at - start).rfind(b"\n")) >= 0:
            return start + found + 1
        at = start
    return 0
