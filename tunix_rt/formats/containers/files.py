"""Opening a file of rows: what it is packed with, by its first bytes, and in which notation its rows are.

Everything streams: memory does not grow with the file, only with its largest row.
"""

import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from tunix_rt.errors import SourceInvalid
from tunix_rt.formats.containers import packings
from tunix_rt.formats.containers.archives import tars, zips
from tunix_rt.formats.containers.arrow_files import PARQUET_MAGIC, ipc_rows, is_ipc, parquet_rows
from tunix_rt.formats.containers.csv_rows import csv_rows, separator_of
from tunix_rt.formats.containers.encodings import AsUtf8
from tunix_rt.formats.containers.json_documents import documents, is_document
from tunix_rt.formats.containers.line_rows import event_rows, is_event_stream, line_rows
from tunix_rt.formats.containers.pickles import refuse_pickle
from tunix_rt.formats.containers.sqlite_files import MAGIC as SQLITE_MAGIC
from tunix_rt.formats.rows.row import Rejection, Row

# The largest row read, in bytes: room for a data set's row with dozens of long generations, well within memory.
MAX_ROW_BYTES = 64 * 2**20
# Enough for the first rows of any real file, to see whether each is on a line.
_HEAD_BYTES = 2**20
# What is packed once more on top of its own packing shrinks by a fifth, not to a hundredth.
_MOST_TIMES_UNPACKED = 100
_OTHER_ENCODINGS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_UTF8_MARK = b"\xef\xbb\xbf"


class SourceFile:
    """An open file of rows; iterate over `rows()` once.

    `opened` is what is read in place of the file at `path`, which then is only a name for it. `encoding` is that of a
    text file; by default UTF-8. `on_read` is called before each piece is read. Raises SourceInvalid where the file
    cannot be read at all: missing, a folder, empty, of another encoding.
    """

    def __init__(self, path: Path | str, opened: Any = None, *, encoding: str | None = None) -> None:
        self.path = path
        self.on_read: Callable[[], object] = lambda: None
        self._encoding = encoding
        try:
            self._file = opened or Path(path).open("rb")  # noqa: SIM115 - open until close()
            self._stamp = None if opened is not None else os.fstat(self._file.fileno())
        except OSError as error:
            raise SourceInvalid(f"{path}: cannot be read ({error.strerror})") from None
        self.size = getattr(opened, "size", 0) if self._stamp is None else self._stamp.st_size
        self._start = self.position
        self._stream: io.BufferedReader | None = None
        self._seekable: IO[bytes] | None = None
        self._head: bytes | None = None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        if self._seekable is not None:
            self._seekable.close()

    @property
    def position(self) -> int:
        """Bytes of the file read so far, before unpacking; 0 for a named pipe, whose position is not known."""
        if self._file.closed or not (self._file.seekable() or self.size):
            return self.size
        return min(self._file.tell(), self.size)

    def rows(self) -> Iterator[Row | Rejection]:
        """The file's rows in order; a Rejection for a part that is not a row.

        Raises SourceInvalid at the end of a file that was changed meanwhile: its rows may be of both.
        """
        yield from self._rows()
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raises SourceInvalid where somebody has written to the file since it was opened."""
        # Parquet and archives, read from their end, are damaged then, and closed by now.
        if self._stamp is not None and stat.S_ISREG(self._stamp.st_mode) and not self._file.closed:
            now = os.fstat(self._file.fileno())
            # One that has grown was read as it was, or further.
            if now.st_size < self.size or (now.st_size == self.size and now.st_mtime_ns != self._stamp.st_mtime_ns):
                raise SourceInvalid(f"{self.path}: changed while it was read; load it again when nothing writes to it")

    def stream(self) -> io.BufferedReader:
        """The file's bytes, unpacked; read once."""
        if self._stream is None:
            plain = self._buffered(self._file)
            packing = packings.packing_of(plain.peek(_HEAD_BYTES))
            self._stream = plain if packing is None else self._buffered(packings.unpacked(plain, packing))
        return self._stream

    def head(self) -> bytes:
        """How they begin."""
        if self._head is None:
            self._head = self.stream().peek(_HEAD_BYTES)
        return self._head

    def seekable(self) -> IO[bytes]:
        """All of them from the start, for what is read from its end, as Parquet is.

        Packed once more, it is unpacked to a temporary file.
        """
        if self._seekable is None:
            stream = self.stream()
            if cast("_Readable", stream.raw).source is self._file and self._file.seekable():
                self._seekable = cast("IO[bytes]", self._file)
            else:
                self._seekable = self._unpacked_to_disk(stream)
        self._seekable.seek(0)
        return self._seekable

    def _rows(self) -> Iterator[Row | Rejection]:
        head = self.head()
        refuse_pickle(self.path, head)
        if head.startswith(SQLITE_MAGIC):
            raise SourceInvalid(
                f"{self.path}: is a SQLite database; save it, unpacked, as a file whose name ends in .db, and load that"
            )
        if head.startswith(PARQUET_MAGIC):
            return parquet_rows(self.seekable(), self.path, MAX_ROW_BYTES, self.on_read)
        if head.startswith(zips.MAGIC):
            return zips.sample_rows(self.seekable(), self.path, MAX_ROW_BYTES)
        if tars.is_tar(head):
            raise SourceInvalid(f"{self.path}: is an archive inside of an archive; unpack the outer one first")
        if is_ipc(head):
            return ipc_rows(self.stream(), self.path, MAX_ROW_BYTES, self.on_read)
        return self._text_rows(self.stream(), str(self.path))

    def _text_rows(self, stream: io.BufferedReader, name: str) -> Iterator[Row | Rejection]:
        head = stream.peek(_HEAD_BYTES)
        if self._encoding is not None:
            stream = self._buffered(AsUtf8(stream, self._encoding))
            head = stream.peek(_HEAD_BYTES)
        self._refuse_other_encodings(head)
        if head.startswith(_UTF8_MARK):
            stream.read(len(_UTF8_MARK))
            head = head[len(_UTF8_MARK) :]
        if not head.strip() and len(head) < _HEAD_BYTES:
            raise SourceInvalid(f"{self.path}: is empty; there is nothing to load")
        if is_event_stream(head):
            return event_rows(stream, name, MAX_ROW_BYTES)
        if separator := separator_of(head):
            return csv_rows(stream, name, separator, MAX_ROW_BYTES)
        if is_document(head):
            return documents(stream, name, MAX_ROW_BYTES)
        return line_rows(stream, name, MAX_ROW_BYTES)

    def _refuse_other_encodings(self, head: bytes) -> None:
        for mark, encoding in _OTHER_ENCODINGS.items():
            if head.startswith(mark):
                raise SourceInvalid(
                    f'{self.path}: is {encoding} text; save it as UTF-8, or pass encoding="{encoding.lower()}"'
                )
        if head[:2].count(0) == 1 or (head.startswith(b"\0\0\0") and not head.startswith(b"\0\0\0\0")):
            raise SourceInvalid(
                f'{self.path}: is UTF-16 or UTF-32 text; save it as UTF-8, or pass encoding="utf-16" or "utf-32"'
            )

    def _buffered(self, source: Any) -> io.BufferedReader:
        return io.BufferedReader(_Readable(source, self), _HEAD_BYTES)

    def _unpacked_to_disk(self, stream: io.BufferedReader) -> IO[bytes]:
        unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        try:
            self._unpack(stream, unpacked)
        except BaseException:
            # On a full disk it fails once more to write what it could not write before.
            with suppress(OSError):
                unpacked.close()
            raise
        return unpacked

    def _unpack(self, stream: io.BufferedReader, unpacked: IO[bytes]) -> None:
        while piece := stream.read(_HEAD_BYTES):
            try:
                unpacked.write(piece)
            except OSError as error:
                raise SourceInvalid(f"{self.path}: cannot be unpacked ({error.strerror})") from None
            if unpacked.tell() > _MOST_TIMES_UNPACKED * max(self.position - self._start, _HEAD_BYTES):
                times = f"more than {_MOST_TIMES_UNPACKED} times its size"
                raise SourceInvalid(f"{self.path}: unpacks to {times}; if that is right, unpack it first")
        unpacked.seek(0)


class _Readable(io.RawIOBase):
    """A plain or unpacking stream whose errors name the file."""

    def __init__(self, source: Any, of: SourceFile) -> None:
        self.source = source
        self._of = of

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # Here and not at the rows: a file of garbage, of one endless line or of packed zeros has none.
        self._of.on_read()
        try:
            return int(self.source.readinto(buffer))
        except OSError as error:
            raise SourceInvalid(f"{self._of.path}: cannot be read to its end: {error}") from None
