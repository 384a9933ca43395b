"""A file on its way from the browser: its chunks, put together on disk."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from tunix_rt.errors import SourceInvalid


class IncomingFile:
    """A file that arrives in chunks, in order; it lies in a folder of its own until it is dropped.

    `name` is only for people: what it is called on disk is not up to the sender.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        try:
            if size > (free := shutil.disk_usage(tempfile.gettempdir()).free):
                raise SourceInvalid(f"{name}: {size:,} bytes, and only {free:,} are free in {tempfile.gettempdir()}")
            self._folder = tempfile.TemporaryDirectory(prefix="tunix_rt-", ignore_cleanup_errors=True)
            self.path = Path(self._folder.name) / "received"
            self._file: IO[bytes] = self.path.open("wb")
        except OSError as error:
            raise SourceInvalid(f"{name}: cannot be kept while it is uploaded ({error.strerror})") from None

    def take(self, at: int, chunk: bytes | memoryview) -> None:
        """Adds the chunk that begins at this byte; SourceInvalid where it is not the next one."""
        if at != self._file.tell():
            raise SourceInvalid(
                f"{self.name}: a part was lost on the way, at byte {self._file.tell():,}; upload it again"
            )
        try:
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            raise SourceInvalid(f"{self.name}: cannot be kept while it is uploaded ({error.strerror})") from None

    def finish(self) -> Path:
        """The whole file; SourceInvalid where something is missing."""
        if self._file.tell() != self.size:
            raise SourceInvalid(f"{self.name}: {self._file.tell():,} of {self.size:,} bytes arrived; upload it again")
        return self.path

    def drop(self) -> None:
        """Forgets the file."""
        # On a full disk it fails once more to write what it could not write before.
        with suppress(OSError):
            self._file.close()
        self._folder.cleanup()
