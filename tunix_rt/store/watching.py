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
    stopped = stop.is_set if isinstance(stop, threading.Event) else stop or bool
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
        # How much of it was loaded: -1 of bytes that are there no longer, as the file was replaced.
        self.loaded = -1
        self.told_line = 0
        self.not_before = 0.0

    def look(self, stamp: _Stamp) -> None:
        """Takes note of how the file lies there now."""
        if stamp == self.stamp:
            self.quiet_looks += 1
            return
        grown = self.stamp is not None and stamp.inode == self.stamp.inode and stamp.size > self.stamp.size
        if not grown:
            self.loaded, self.told_line = -1, 0
        self.stamp, self.quiet_looks = stamp, 0


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
                    end = _end_of_whole(path, status.st_size, quiet_looks=seen.quiet_looks, last=last)
                except (OSError, SourceInvalid):
                    # It is gone again, or cannot be read yet.
                    continue
                if end > max(0, seen.loaded) and (last or seen.quiet_looks or time.monotonic() >= seen.not_before):
                    self._load(path, end, seen, report, loading)
        return report

    def _files(self) -> list[Path]:
        try:
            return files_at(self._path)
        except SourceInvalid:
            return []

    def _load(self, path: Path, end: int, seen: _Seen, report: LoadReport, loading: Loading) -> None:
        started = time.monotonic()
        told = seen.told_line
        self._copies.begin(str(path))
        try:
            with (
                path.open("rb") as file,
                Reading(SourceFile(path, Borrowed(file, str(path), end)), format=self._format) as reading,
            ):
                report.begin(reading.format.name)
                for found in reading:
                    if isinstance(found, Rejection) and found.line is not None:
                        # What stands before the growth was told when it was new.
                        seen.told_line = max(seen.told_line, found.line)
                        if found.line <= told:
                            continue
                    loading.take(found)
        except SourceInvalid as error:
            report.reject(Rejection(str(path), None, None, str(error), ""))
        except OSError:
            return
        loading.store()
        seen.loaded = end
        seen.not_before = time.monotonic() + (time.monotonic() - started) / _SHARE_OF_TIME


def _end_of_whole(path: Path, size: int, *, quiet_looks: int, last: bool) -> int:
    """How many bytes of the file can be loaded now; 0 where it must become whole first."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if not head.strip():
            return 0
        if last:
            return size
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read(size - file.tell())
        if not _stands_in_lines(head):
            return size if quiet_looks and _is_whole(path, head, tail) else 0
        if quiet_looks >= _QUIET_LOOKS or tail.endswith(b"\n"):
            return size
        return _after_last_line(file, size)


def _stands_in_lines(head: bytes) -> bool:
    """Whether the file is JSON Lines, so that each whole line counts for itself."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return first.startswith(b"{") and (b"\n" not in first.rstrip() or not is_document(first))


def _is_whole(path: Path, head: bytes, tail: bytes) -> bool:
    """Whether a file that has been left alone for a look ends as one of its kind does."""
    if head.startswith(b"PAR1"):
        return tail.endswith(b"PAR1") and len(tail) > len(head[:4])
    if packing := packing_of(head):
        return _unpacks(path, packing)
    ends = {ord("["): b"]", ord("{"): b"}"}
    first, end = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1], tail.rstrip()[-1:]
    return end == ends[first[0]] if first and first[0] in ends else tail.endswith(b"\n")


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
