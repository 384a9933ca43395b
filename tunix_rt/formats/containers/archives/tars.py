"""The members of a tar archive, read one after the other from a stream that need not be seekable.

Not by `tarfile`, which reads headers of any length into memory. A name is only shown, never a path.
"""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from tunix_rt.errors import SourceInvalid

_BLOCK = 512
_PIECE_BYTES = 2**20
# Long names and the like stand in members of their own, in front of what they are about.
_MOST_HEADER_BYTES = 2**20
_CHECKSUM = slice(148, 156)
_GNU_NAME, _GNU_LINK, _PAX, _PAX_OF_ALL, _GNU_SPARSE = b"L", b"K", b"x", b"g", b"S"
_FILES = {b"0", b"\0", b"7"}
# Links, devices, folders and pipes have no bytes behind their header, whatever size it has.
_WITHOUT_BYTES = {b"1", b"2", b"3", b"4", b"5", b"6"}


class Member(NamedTuple):
    """A file in the archive; `stream` is good until the next one is asked for."""

    name: str
    stream: io.RawIOBase


def is_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar archive: the checksum of its first header is right."""
    return len(head) >= _BLOCK and _is_header(head[:_BLOCK])


def members(stream: io.BufferedReader, path: Any) -> Iterator[Member]:
    """The files in the archive, in order. Raises SourceInvalid where it is damaged or cut off."""
    name, size = None, None
    while (header := stream.read(_BLOCK)) and any(header):
        if len(header) < _BLOCK or not _is_header(header):
            raise SourceInvalid(f"{path}: damaged tar archive: where a member should begin is something else")
        kind = header[156:157]
        here = _name(header) if name is None else name
        left = _size(header, path) if size is None else size
        if kind in (_GNU_NAME, _GNU_LINK, _PAX, _PAX_OF_ALL):
            left = _size(header, path)
            if left > _MOST_HEADER_BYTES:
                raise SourceInvalid(f"{path}: damaged tar archive: a header of {left:,} bytes")
            told = stream.read(left)
            _pass_over(stream, -left % _BLOCK, path)
            if kind == _GNU_NAME:
                name = told.rstrip(b"\0").decode(errors="replace")
            elif kind == _PAX:
                records = _pax_records(told)
                name = records.get("path", name)
                size = int(records["size"]) if records.get("size", "").isdecimal() else size
            continue
        name = size = None
        if kind == _GNU_SPARSE:
            raise SourceInvalid(f"{path}: {here[:80]} is stored with holes; make the archive without --sparse")
        if kind in _WITHOUT_BYTES:
            continue
        part = _Part(stream, left)
        if kind in _FILES and not here.endswith("/"):
            yield Member(here, part)
        _pass_over(stream, part.left + -left % _BLOCK, path)


class _Part(io.RawIOBase):
    """The bytes of one member."""

    def __init__(self, stream: io.BufferedReader, size: int) -> None:
        self._stream = stream
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: self.left]
        done = 0
        while done < len(view):
            if not (n_read := self._stream.readinto(view[done:])):
                raise OSError("the archive ends inside of it")
            done += n_read
            self.left -= n_read
        return done


def _pass_over(stream: io.BufferedReader, size: int, path: Any) -> None:
    while size > 0:
        piece = stream.read(min(size, _PIECE_BYTES))
        if not piece:
            raise SourceInvalid(f"{path}: damaged tar archive: it ends inside of a member")
        size -= len(piece)


def _is_header(block: bytes) -> bool:
    told = block[_CHECKSUM].strip(b"\0 ")
    # A blank for each byte of the checksum itself; some old archivers added up signed bytes.
    total = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    signed = total - 256 * sum(byte > 127 for place, byte in enumerate(block) if not 148 <= place < 156)  # noqa: PLR2004
    return told.isdigit() and not told.strip(b"01234567") and int(told, 8) in (total, signed)


def _size(header: bytes, path: Any) -> int:
    field = header[124:136]
    if field[0] & 0x80:
        # Beyond 8 GiB it is binary.
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _no_size(path)  # noqa: PLR2004
    told = field.strip(b"\0 ")
    return int(told or b"0", 8) if not told.strip(b"01234567") else _no_size(path)


def _no_size(path: Any) -> int:
    raise SourceInvalid(f"{path}: damaged tar archive: a member without a size")


def _name(header: bytes) -> str:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return (prefix + b"/" * bool(prefix) + name).decode(errors="replace")


def _pax_records(told: bytes) -> dict[str, str]:
    """The records `LENGTH KEY=VALUE` of a header; none behind one that is damaged."""
    records = {}
    while told:
        length, _, _ = told.partition(b" ")
        if not length.isdigit() or len(length) > 8 or not 0 < int(length) <= len(told):  # noqa: PLR2004
            break
        key, _, value = told[len(length) + 1 : int(length) - 1].partition(b"=")
        records[key.decode(errors="replace")] = value.decode(errors="replace")
        told = told[int(length) :]
    return records
