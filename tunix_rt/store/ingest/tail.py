"""How much of a file can be loaded while it may still be written."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

from tunix_rt.formats import Format, begins_session
from tunix_rt.formats.containers.arrow_files import IPC_FILE_MAGIC, PARQUET_MAGIC
from tunix_rt.formats.containers.json_documents import is_document
from tunix_rt.formats.containers.packings import packing_of, unpacked

# After this number of polls without a change a row counts as complete: writers that fill a buffer
# first stop in the middle of rows, for as long as the next rollouts take.
QUIET_POLLS = 5
_HEAD_BYTES = 2**20
_TAIL_BYTES = 2**16


def end_of_complete(
    file: IO[bytes],
    path: Path,
    size: int,
    quiet_polls: int,
    check: Callable[[], object] = lambda: None,
    *,
    format: Format | None = None,
) -> int:
    """How many bytes of the file can be loaded now; 0 where it must become complete first.

    `check` is called whenever a part is read; an error that it raises ends the search.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(size - file.tell())
    if not head.strip():
        return 0
    if _is_json_lines(head):
        if begins_session(head, format):
            # All its lines are one trace, which is complete when nobody has gone on with it for a while.
            return size if quiet_polls >= QUIET_POLLS else 0
        is_complete = quiet_polls >= QUIET_POLLS or tail.endswith(b"\n")
        return size if is_complete else _after_last_line(file, size, check)
    return size if quiet_polls and _is_complete(path, head, tail, quiet_polls, check) else 0


def _is_json_lines(head: bytes) -> bool:
    """Whether the file is JSON Lines, so that each complete line can be loaded."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return first.startswith(b"{") and (b"\n" not in first.rstrip() or not is_document(first))


def _is_complete(path: Path, head: bytes, tail: bytes, quiet_polls: int, check: Callable[[], object]) -> bool:
    """Whether a file that did not change since the last poll ends as one of its kind does."""
    for sign in (PARQUET_MAGIC, IPC_FILE_MAGIC):
        if head.startswith(sign):
            return len(head) > len(sign) and tail.endswith(sign)
    if packing := packing_of(head):
        return _unpacks(path, packing, check)
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if first.startswith((b"[", b"{")):
        return tail.rstrip().endswith(b"]" if first.startswith(b"[") else b"}")
    return quiet_polls >= QUIET_POLLS or tail.endswith(b"\n")


def _unpacks(path: Path, packing: str, check: Callable[[], object]) -> bool:
    try:
        # Opened by Python: Arrow takes no name that is not UTF-8.
        with path.open("rb") as file, unpacked(file, packing) as stream:
            while stream.read(_HEAD_BYTES):
                check()
    except OSError:
        return False
    return True


def _after_last_line(file: IO[bytes], size: int, check: Callable[[], object]) -> int:
    """The end of the last complete line; 0 without one."""
    at = size
    while at > 0:
        check()
        start = max(0, at - _TAIL_BYTES)
        file.seek(start)
        if (found := file.read(at - start).rfind(b"\n")) >= 0:
            return start + found + 1
        at = start
    return 0
