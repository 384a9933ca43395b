"""Texts in other encodings than UTF-8, made UTF-8 on their way in."""

import codecs
import io
from typing import Any

from tunix_rt.errors import SourceInvalid
from tunix_rt.validation import short

_PIECE_BYTES = 2**20
# Python decodes these too, but no file of rows is written in them.
_NO_FILES = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}
_ZERO_FIRST = {"utf-16": ("utf-16-le", "utf-16-be"), "utf-32": ("utf-32-le", "utf-32-be")}
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
# What cannot be decoded becomes a byte that is never UTF-8, so that its row is refused, and no other.
_SPOILED = "tunix_rt.spoiled"


def _spoil(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return "\udcff", error.end
    if isinstance(error, UnicodeEncodeError):
        return b"\xff", error.end
    raise error


codecs.register_error(_SPOILED, _spoil)


def checked_encoding(name: Any) -> str | None:
    """The encoding by the name that Python has for it, None for UTF-8; SourceInvalid where no text file can have it."""
    if name is None:
        return None
    try:
        found = codecs.lookup(name)
        "".encode(found.name)
    except (LookupError, TypeError, ValueError):
        found = None
    if found is None or found.name in _NO_FILES or found.incrementaldecoder is None:
        raise SourceInvalid(
            f"encoding={short(name)}: is not an encoding of text files that Python knows; common ones are utf-8, "
            "utf-16, windows-1252, latin-1, gb18030, shift_jis"
        )
    return None if found.name == "utf-8" else found.name


class AsUtf8(io.RawIOBase):
    """A stream of bytes in an encoding, read as UTF-8; memory holds a piece of it."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        if encoding in _ZERO_FIRST and not (head := stream.peek(4)).startswith(_MARKS):
            # Without a mark, the first character of JSON or of a header decides: half of it is zeros.
            encoding = _ZERO_FIRST[encoding][head[:1] == b"\0"]
        self._decoder = codecs.getincrementaldecoder(encoding)(errors=_SPOILED)
        self._left = b""
        self._ended = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer as far as the stream goes."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            if not self._left:
                if self._ended:
                    break
                piece = self._stream.read(_PIECE_BYTES)
                self._ended = not piece
                self._left = self._decoder.decode(piece, final=self._ended).encode(errors=_SPOILED)
            taken = self._left[: len(view) - done]
            view[done : done + len(taken)] = taken
            self._left = self._left[len(taken) :]
            done += len(taken)
        return done
