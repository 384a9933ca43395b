"""What a file is packed with, by its first bytes, and its bytes unpacked piece by piece."""

import bz2
import io
import lzma
from typing import Any

import pyarrow as pa

_PIECE_BYTES = 2**18
# `xz -9` needs 65 MiB to unpack; a header can claim a dictionary of 4 GiB.
_MOST_XZ_MEMORY = 2**27
_PACKINGS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
# Behind the ending of its kind, a packed file's name has one of these.
ENDINGS = (".gz", ".zst", ".zstd", ".bz2", ".xz")


def packing_of(head: bytes) -> str | None:
    """What a file that begins so is packed with."""
    return next((name for sign, name in _PACKINGS.items() if head.startswith(sign)), None)


def unpacked(stream: Any, packing: str) -> Any:
    """A stream of the bytes that another one holds packed. Reading it raises OSError where they are damaged."""
    if packing == "bz2":
        return _Unpacked(stream, bz2.BZ2Decompressor)
    if packing == "xz":
        return _Unpacked(stream, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_XZ_MEMORY))
    return pa.CompressedInputStream(stream, packing)


class _Unpacked(io.RawIOBase):
    """One packed stream behind the other, as `cat a.xz b.xz` and parallel packers write them."""

    def __init__(self, stream: Any, new: Any) -> None:
        self._stream = stream
        self._new = new
        self._unpacker = new()
        self._fault: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        # Filled to the end: the kind of a file is told by its whole beginning.
        while done < len(view) and (piece := self._next(len(view) - done)):
            view[done : done + len(piece)] = piece
            done += len(piece)
        if self._fault is not None and not done:
            raise self._fault
        return done

    def _next(self, most: int) -> bytes:
        """Some of the bytes; none at the end, and where they are damaged."""
        while self._fault is None:
            packed = b""
            if self._unpacker.eof:
                # Zeros may pad what comes between two streams.
                packed = (self._unpacker.unused_data or self._stream.read(_PIECE_BYTES)).lstrip(b"\0")
                while not packed:
                    if not (more := self._stream.read(_PIECE_BYTES)):
                        return b""
                    packed = more.lstrip(b"\0")
                self._unpacker = self._new()
            elif self._unpacker.needs_input and not (packed := self._stream.read(_PIECE_BYTES)):
                self._fault = OSError("it ends too early")
                break
            try:
                if piece := self._unpacker.decompress(packed, most):
                    return bytes(piece)
            except (lzma.LZMAError, OSError, EOFError, ValueError) as error:
                self._fault = OSError(str(error))
        return b""
