"""The files of a table where they are: in a folder of this machine, or in object storage."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake._internal import DeltaFileSystemHandler

from tunix_rt.lake.location import LakeLocation


class Storage:
    """The files below the address of a table; their paths are relative to it.

    Errors are those of Delta or of the system (`LakeLocation.explained`).
    """

    def __init__(self, location: LakeLocation, uri: str) -> None:
        self._folder = None if location.folder is None else Path(uri)
        self._uri = uri
        self._options = location.options

    def write(self, path: str, content: bytes) -> None:
        """Writes a new file, which is on disk or acknowledged when this returns."""
        if self._folder is None:
            stream: Any = self._handler().open_output_stream(path)
            stream.write(content)
            stream.close()
            return
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("xb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
        except OSError:
            # On a full disk each try would leave a part.
            file.unlink(missing_ok=True)
            raise
        _sync(file.parent)

    def sync(self, path: str) -> None:
        """Puts a file that Delta has written on disk, which Delta leaves to the system."""
        if self._folder is not None:
            _sync(self._folder / path)
            _sync((self._folder / path).parent)

    def opened(self, path: str, n_bytes: int) -> Any:
        """The file to read, as Arrow reads files."""
        if self._folder is None:
            return pa.PythonFile(self._handler({path: n_bytes}).open_input_file(path))
        return pa.OSFile(str(self._folder / path))

    def delete(self, path: str) -> None:
        """Deletes a file, if it is there."""
        if self._folder is None:
            self._handler().delete_file(path)
        else:
            (self._folder / path).unlink(missing_ok=True)

    def filesystem(self, sizes: Mapping[str, int]) -> Any:
        """The file system of Arrow for files of these sizes."""
        from pyarrow.fs import LocalFileSystem, PyFileSystem, SubTreeFileSystem

        if self._folder is not None:
            return SubTreeFileSystem(self._uri, LocalFileSystem())
        from deltalake.fs import DeltaStorageHandler

        return PyFileSystem(DeltaStorageHandler(self._uri, self._options, dict(sizes)))

    def _handler(self, sizes: dict[str, int] | None = None) -> DeltaFileSystemHandler:
        return DeltaFileSystemHandler(self._uri, self._options, sizes)


def _sync(path: Path) -> None:
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
