"""Atomic writes: a file is replaced completely or not at all, and never a file of a store."""

import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from tunix_rt.errors import ExportFailed, TunixRTError
from tunix_rt.paths import is_beside_store
from tunix_rt.store.engine.files import Files

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# The folder is locked for two renames. A process that holds it longer was stopped or hangs.
_LOCK_SECONDS = 10.0
_LOCK_POLL_SECONDS = 0.002
# Of a long name the beginning is enough to recognise it, and leaves room for the rest of the temporary name.
_NAME_CHARS = 40
_HEAD_BYTES = 16
_SQLITE_HEAD = b"SQLite format 3\0"
_DUCKDB_HEAD = slice(8, 12)
# Links to descriptors of a process: replacing the file behind them would leave the descriptor with the old one.
_DESCRIPTORS = re.compile(r"/dev|/dev/fd|/proc/[^/]+(/task/[^/]+)?/fd")

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

# If a folder cannot be locked, at least the threads of this process wait for one another.
_one_at_a_time = threading.Lock()


class Replacement:
    """A file being written, which replaces `path` in the end, together with those beside it."""

    def __init__(self, path: Path, file: IO[bytes], opened: Callable[[Path], IO[bytes]]) -> None:
        self.path = path
        self.file = file
        self._opened = opened
        self._gone: list[Path] = []

    def beside(self, path: Path) -> IO[bytes]:
        """A new file, which replaces the one at `path` when this one is replaced."""
        self._gone.append(path)
        return self._opened(path)

    def without(self, path: Path) -> None:
        """The file at `path`, which was about the old content, is removed when that is replaced."""
        self._gone.append(path)

    def remove_old(self) -> None:
        """Removes the files beside it: should the process die here, no file has another one's companion."""
        for path in self._gone:
            try:
                if os.path.lexists(path):
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise _failed(path, error) from error


def destination(path: Path) -> Path | None:
    """The file that `path` leads to, through links, there or not; None for a device, a pipe or an open descriptor.

    Raises ExportFailed for a folder, and for what cannot be a path.
    """
    try:
        parent, file = os.path.realpath(path.parent), Path(os.path.realpath(path))
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise ExportFailed(f"{path}: is a folder; name a file in it")
            if not stat.S_ISREG(mode) or _DESCRIPTORS.fullmatch(parent):
                return None
    except (OSError, ValueError) as error:
        if isinstance(error, TunixRTError):
            raise
        raise _failed(path, error) from error
    return file


@contextmanager
def written_into(path: Path) -> Iterator[IO[bytes]]:
    """A device, a pipe or a descriptor, open for writing; ExportFailed where that cannot be."""
    try:
        with path.open("ab", buffering=0) as file:
            yield file
    except TunixRTError:
        raise
    except OSError as error:
        raise _failed(path, error) from error


@contextmanager
def replacing(path: Path, *, new: bool = False) -> Iterator[Replacement]:
    """A new file that replaces the file `path` when the block ends; ExportFailed if that is not possible.

    Readers of `path` see the old content or the new one, both complete, also after a power cut. The mode of a file that
    is there is kept, and its owner where the system lets us; `new` refuses to replace one. Two that replace one file
    both succeed: the later one stays, with its manifest.
    """
    made: list[tuple[Path, Path]] = []
    try:
        there = _stat(path, new=new)
        refuse_file_of_a_store(path)
        with ExitStack() as files:

            def opened(target: Path) -> IO[bytes]:
                return files.enter_context(_temporary(target, there if target == path else None, made))

            replacement = Replacement(path, opened(path), opened)
            yield replacement
            if there is not None:
                _keep_owner_and_mode(replacement.file.fileno(), there)
        with _folder_alone(path.parent):
            _stat(path, new=new)
            replacement.remove_old()
            for temporary, target in made:
                temporary.replace(target)
    except TunixRTError:
        raise
    except (OSError, ValueError) as error:
        raise _failed(path, error) from error
    finally:
        for temporary, _ in made:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def refuse_file_of_a_store(path: Path) -> None:
    """Raises ExportFailed if writing to `path` would destroy a store, or any other database.

    A file belongs to a store by its name, even if it does not exist now, or is a database by its content.
    """
    if is_beside_store(path):
        raise ExportFailed(f"{path}: belongs to the trace store beside it; choose another file name")
    try:
        there = path.stat()
    except (OSError, ValueError):
        return
    # Files of stores that this process has open are not opened here: closing them would drop its locks on them.
    if (there.st_dev, there.st_ino) in Files.identities():
        raise ExportFailed(f"{path}: is a file of a store that is open in this process; choose another file name")
    head = b""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head == _SQLITE_HEAD or head[_DUCKDB_HEAD] == b"DUCK":
        raise ExportFailed(f"{path}: is a database, perhaps a store; choose another file name, or delete it first")


def _stat(path: Path, *, new: bool) -> os.stat_result | None:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return None
    if new:
        raise ExportFailed(f"{path}: already exists and was not changed; choose another file name")
    if not os.access(path, os.W_OK):
        raise ExportFailed(f"{path}: is read-only and was not changed; make it writable, or choose another file name")
    return there


@contextmanager
def _temporary(path: Path, there: os.stat_result | None, made: list[tuple[Path, Path]]) -> Iterator[IO[bytes]]:
    """A new file beside `path`, so that the last step is a rename; no other process uses its name.

    When the block ends, its content is on disk.
    """
    temporary = path.with_name(f".{path.name[:_NAME_CHARS]}.{secrets.token_hex(8)}.partial")
    mode = 0o666 if there is None else stat.S_IMODE(there.st_mode) & 0o666
    # Nobody else can read it before it has the file's mode.
    descriptor = os.open(temporary, _NEW_FILE, mode)
    made.append((temporary, path))
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _keep_owner_and_mode(descriptor: int, there: os.stat_result) -> None:
    if hasattr(os, "fchown"):
        ours = os.fstat(descriptor)
        if (ours.st_uid, ours.st_gid) != (there.st_uid, there.st_gid):
            with suppress(OSError):
                os.fchown(descriptor, there.st_uid, there.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(there.st_mode))


@contextmanager
def _folder_alone(folder: Path) -> Iterator[None]:
    """Excludes other replacements in the folder; afterwards the renames are on disk."""
    descriptor = None
    if fcntl is not None:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    if descriptor is None:
        with _one_at_a_time:
            yield
        return
    try:
        _lock(descriptor, folder)
        try:
            yield
        finally:
            with suppress(OSError):
                os.fsync(descriptor)
            # Not left to the closing: a child that was forked meanwhile has the descriptor as well.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ExportFailed(
                    f"{folder}: another process has locked this folder for {_LOCK_SECONDS:.0f} s; end that process, or "
                    "choose a file in another folder"
                ) from None
            time.sleep(_LOCK_POLL_SECONDS)
        except OSError:
            # A file system without locks.
            return
        else:
            return


def _failed(path: Path, error: Exception) -> ExportFailed:
    return ExportFailed(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})")
