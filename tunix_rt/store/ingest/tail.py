"""How much of a file can be loaded while somebody may still be writing it."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

from tunix_rt.formats.containers.arrow_files import IPC_FILE_MAGIC, PARQUET_MAGIC
from tunix_rt.formats.containers.json_documents import is_document
from tunix_rt.formats.containers.packings import packing_of, unpacked

# So many looks without a change, and the writer is taken to have left the row as it is: writers that fill a buffer
# first stop in the middle of rows, for as long as the next rollouts take.
QUIET_LOOKS = 5
_HEAD_BYTES = 2**20
_TAIL_BYTES = 2**16


def end_of_whole(
    file: IO[bytes], path: Path, size: int, quiet_looks: int, check: Callable[[], object] = lambda: None
) -> int:
    """How many bytes of the file can be loaded now; 0 where it must become whole first.

    `check` is called wherever some of it is read, and what it raises ends the search.
    """
    head = file.read(_HEAD_BYTES)
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read(size - file.tell())
    if not head.strip():
        return 0
    if _stands_in_lines(head):
        is_whole = quiet_looks >= QUIET_LOOKS or tail.endswith(b"\n")
        return size if is_whole else _after_last_line(file, size, check)
    return size if quiet_looks and _is_whole(path, head, tail, quiet_looks, check) else 0


def _stands_in_lines(head: bytes) -> bool:
    """Whether the file is JSON Lines, so that each whole line counts for itself."""
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return first.startswith(b"{") and (b"\n" not in first.rstrip() or not is_document(first))


def _is_whole(path: Path, head: bytes, tail: bytes, quiet_looks: int, check: Callable[[], object]) -> bool:
    """Whether a file that has been left alone for a look ends as one of its kind does."""
    for sign in (PARQUET_MAGIC, IPC_FILE_MAGIC):
        if head.startswith(sign):
            return len(head) > len(sign) and tail.endswith(sign)
    if packing := packing_of(head):
        return _unpacks(path, packing, check)
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if first.startswith((b"[", b"{")):
        return tail.rstrip().endswith(b"]" if first.startswith(b"[") else b"}")
    return quiet_looks >= QUIET_LOOKS or tail.endswith(b"\n")


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
    """Where the last whole line ends; 0 where there is none."""
    at = size
    while at > 0:
        check()
        start = max(0, at - _TAIL_BYTES)
        file.seek(start)
        if (found := file.read(at - start).rfind(b"\n")) >= 0:
            return start + found + 1
        at = start
    return 0
