"""The sources in a file: itself, or where it is an archive its members, one after the other.

A member is told by its name as the files of a folder are, and read as a file is; nothing of it becomes a path.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from tunix_rt.errors import SourceInvalid
from tunix_rt.formats.containers.archives import tars, zips
from tunix_rt.formats.containers.files import MAX_ROW_BYTES, SourceFile
from tunix_rt.formats.containers.listing import ENDINGS_READ, is_named_as_source
from tunix_rt.render.characters import one_line

_NAME_CHARS = 200


def sources_of(file: SourceFile, encoding: str | None = None) -> Iterator[SourceFile]:
    """The file itself, or the members of the archive that it is. Each is to be read before the next is asked for.

    Raises SourceInvalid where the archive is damaged, or has no file of rows.
    """
    head = file.head()
    if tars.is_tar(head):
        found = _of_tar(file, encoding)
    elif head.startswith(zips.MAGIC) and (archive := zips.opened(file.seekable(), file.path)) is not None:
        found = _of_zip(file, archive, encoding)
    else:
        yield file
        return
    n_members = 0
    for member in found:
        n_members += 1
        yield member
    if not n_members:
        raise SourceInvalid(f"{file.path}: is an archive without files of traces; their names end in {ENDINGS_READ}")
    file.check_unchanged()


class _Member(SourceFile):
    """A file in an archive; its `position` is that in the archive, and its size is not known beforehand."""

    def __init__(
        self, archive: SourceFile, name: str, stream: io.RawIOBase, encoding: str | None, at: Callable[[], int]
    ) -> None:
        self._at = at
        super().__init__(f"{archive.path}/{one_line(name, _NAME_CHARS)}", stream, encoding=encoding)

    @property
    def position(self) -> int:
        return self._at()


def _of_tar(file: SourceFile, encoding: str | None) -> Iterator[SourceFile]:
    for member in tars.members(file.stream(), file.path):
        if is_named_as_source(member.name):
            yield _Member(file, member.name, member.stream, encoding, lambda: file.position)


def _of_zip(file: SourceFile, archive: zipfile.ZipFile, encoding: str | None) -> Iterator[SourceFile]:
    with archive:
        for member in zips.members(archive, file.path):
            if not member.is_dir() and is_named_as_source(member.filename):
                stream = _ZipStream(archive, member)
                yield _Member(file, member.filename, stream, encoding, lambda: file.position)


class _ZipStream(io.RawIOBase):
    """The bytes of a member, opened when they are first read."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._member = member
        self._stream: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            self._stream = self._stream or zips.stream_of(self._archive, self._member, MAX_ROW_BYTES)
            while done < len(view) and (piece := self._stream.read(len(view) - done)):
                view[done : done + len(piece)] = piece
                done += len(piece)
        except zips.ERRORS as error:
            raise OSError(str(error) or type(error).__name__) from None
        return done
