"""Files that arrive from a browser in parts, and where a form takes traces from."""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, SourceInvalid
from tunix_rt.formats import ENDINGS_READ, MANIFEST_ENDING, is_named_as_source
from tunix_rt.validation import short

# The name of a file on disk: nothing of the name that its sender gave; folders are listed by endings, read by content.
_ON_DISK = "{:06}.jsonl"


def _as_it_is(text: str) -> str:
    return text


def _keep(_path: str) -> None:
    """What is on the kernel's machine stays there."""


class Origin(NamedTuple):
    """What to load: its path, what it is called, how a text calls the files in it, how to forget one of them."""

    path: str
    name: str
    named: Callable[[str], str] = _as_it_is
    forget: Callable[[str], None] = _keep


def _is_file(file: Any) -> bool:
    return isinstance(file, Mapping) and isinstance(file.get("name"), str) and isinstance(file.get("size"), int)


class IncomingFiles:
    """Files that arrive in parts, one after the other; they are in a folder of their own until they are forgotten.

    Their names are only shown: the sender does not choose the names on disk. Of those in a folder (names with `/`), if
    there are several, only files whose names end as those of traces do are `wanted`; the others are passed over.
    """

    def __init__(self, files: Sequence[Mapping[str, Any]]) -> None:
        self._names: list[str] = []
        self._sizes: list[int] = []
        self.wanted: list[int] = []
        if not isinstance(files, list | tuple) or not files or not all(map(_is_file, files)):
            raise QueryInvalid(f"files={short(files)}: must be a list of objects with a name and a size in bytes")
        for index, file in enumerate(files):
            name, size = file["name"], file["size"]
            if len(files) > 1 and "/" in name and (not is_named_as_source(name) or name.endswith(MANIFEST_ENDING)):
                continue
            self.wanted.append(index)
            self._names.append(name)
            self._sizes.append(size)
        n_others = len(files) - len(self._names)
        if not self._names:
            raise SourceInvalid(
                f"{render.count(n_others, 'file')}, none of traces; files of traces end in {ENDINGS_READ}"
            )
        several = f"{len(self._names):,} files"
        self.name = self._names[0] if len(self._names) == 1 else several
        if n_others:
            self.name += f" ({render.count(n_others, 'other')} passed over)"
        try:
            if (size := sum(self._sizes)) > (free := shutil.disk_usage(tempfile.gettempdir()).free):
                raise SourceInvalid(
                    f"{self.name}: {size:,} bytes, and only {free:,} are free in {tempfile.gettempdir()}"
                )
            self._temporary = tempfile.TemporaryDirectory(prefix="tunix_rt-", ignore_cleanup_errors=True)
            self._folder = Path(self._temporary.name)
            self._at = 0
            self._file: IO[bytes] = self._path(0).open("wb")
        except OSError as error:
            raise self._unsaved(self.name, error) from None

    def take(self, file: int, at: int, part: bytes | memoryview) -> None:
        """Adds the part of a file (from 0) that begins at byte `at`; SourceInvalid if it is not the next one."""
        try:
            while self._at < file < len(self._names):
                self._next()
            if file != self._at or at != self._file.tell():
                name, arrived = self._names[self._at], self._file.tell()
                raise SourceInvalid(f"{name}: a part was lost on its way, at byte {arrived:,}; choose it again")
            self._file.write(part)
            self._file.flush()
        except OSError as error:
            raise self._unsaved(self._names[self._at], error) from None

    def finish(self) -> Origin:
        """The complete files; SourceInvalid if a part of one is missing."""
        try:
            while self._at < len(self._names) - 1:
                self._next()
            self._check()
            self._file.close()
        except OSError as error:
            raise self._unsaved(self._names[self._at], error) from None
        path = self._folder if len(self._names) > 1 else self._path(0)
        return Origin(str(path), self.name, self._named, self._forget)

    def drop(self) -> None:
        """Deletes all files."""
        # On a full disk, closing fails again to write the rest.
        with suppress(OSError):
            self._file.close()
        self._temporary.cleanup()

    def drop_but(self, kept: Sequence[str]) -> None:
        """Deletes the files except those at these paths, until they are forgotten."""
        if not kept:
            self.drop()
        for path in {*map(str, self._folder.glob("*"))} - {*kept}:
            Path(path).unlink()

    def _forget(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)
        if not any(self._folder.glob("*")):
            self.drop()

    def _path(self, index: int) -> Path:
        return self._folder / _ON_DISK.format(index)

    def _next(self) -> None:
        self._check()
        self._file.close()
        self._at += 1
        self._file = self._path(self._at).open("wb")

    def _check(self) -> None:
        name, size, arrived = self._names[self._at], self._sizes[self._at], self._file.tell()
        if arrived != size:
            raise SourceInvalid(f"{name}: {arrived:,} of {size:,} bytes arrived; choose it again")

    def _unsaved(self, name: str, error: OSError) -> SourceInvalid:
        return SourceInvalid(f"{name}: cannot be saved on the kernel's machine ({error.strerror})")

    def _named(self, text: str) -> str:
        folder = re.escape(str(self._folder))
        text = re.sub(rf"{folder}/(\d+)\.jsonl", lambda found: self._names[int(found[1])], text)
        return text.replace(str(self._folder), self.name)
