"""The one gate for paths: a path from a caller becomes a Path on this machine, or one error with the reason.

`error` is the class to raise: SourceInvalid for what is loaded or watched, ExportFailed for what is written,
StoreUnusable for a store. Python raises seven classes of errors for bad paths, and other ones in other versions.
"""

import errno
import json
import os
import re
import stat
from os import PathLike
from pathlib import Path
from typing import Any

from tunix_rt.errors import ExportFailed, StoreUnusable, TunixRTError

MEMORY = ":memory:"
# A Path makes one slash of two: `s3:/bucket`. Drives of Windows are a single letter.
_URL = re.compile(
    r"[a-z][a-z0-9+.-]+://|(s3[an]?|r2|gs|gcs|az|azure|abfss?|wasbs?|adl|hf|https?|ftps?|sftp|file|hdfs|dbfs|memory|"
    r"postgres(ql)?|mysql|sqlite|jdbc):/|(md|motherduck|ducklake|quack):",
    re.IGNORECASE,
)
# What a store puts beside its file has a longer name: `.NAME.4194304.140737488355328.new-journal`.
_ROOM = 48
# The names of standard input; no other device ends.
_OPEN_FILES = re.compile(r"/dev/(stdin|fd/\d+)|/proc/(self|\d+)/fd/\d+")
_KINDS = {
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}

# The files that a store keeps beside its own, `NAME.duckdb`; what `spill_folder` names.
_BESIDE = re.compile(
    r"(?P<base>.+)\.(?P<ending>journal(-wal|-shm|-journal)?|lock(-latch|-write|-queue)?|wal)", re.DOTALL
)
_SPILL_FOLDER = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.tmp", re.DOTALL)
_MAGIC = slice(8, 12)


class PathInvalid(ValueError):
    """Why a path is refused, without the path."""


def checked_path(given: Any) -> Path:
    """The path with `~` expanded; PathInvalid if it cannot be a path on this machine."""
    if not isinstance(given, str | PathLike):
        raise PathInvalid(
            f"must be a path, not a value of type {type(given).__name__}; pass a string or a pathlib.Path"
        )
    text = os.fspath(given)
    if not isinstance(text, str):
        raise PathInvalid("is a path as bytes; pass a string, such as os.fsdecode(path)")
    if not text:
        raise PathInvalid('is an empty path; name a file or a folder ("." is the working folder)')
    if "\0" in text:
        raise PathInvalid("contains a NUL character, which a path cannot have")
    if _URL.match(text):
        raise PathInvalid(
            f"is a URL, and tunix_rt reads and writes local files only; download it first, or mount it as a folder "
            f"(for a file of that name, put {os.curdir}{os.sep} in front)"
        )
    if text.startswith(MEMORY):
        raise PathInvalid(f'is not a file; only a store can have this name: TraceStore("{MEMORY}")')
    try:
        os.fsencode(text)
        return Path(text).expanduser()
    except UnicodeEncodeError:
        raise PathInvalid("contains characters that file names on this system cannot have") from None
    except RuntimeError as error:
        raise PathInvalid(f"there is no such home folder ({error})") from None


def local_path(given: Any, error: type[TunixRTError]) -> Path:
    """`checked_path`, with the error of the caller, which names what was given."""
    try:
        return checked_path(given)
    except PathInvalid as fault:
        raise error(f"{_shown(given)}: {fault}") from None


def status_of(path: Path, error: type[TunixRTError]) -> os.stat_result | None:
    """What is at the path, links followed, None if there is nothing; raises `error` if it cannot be reached."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise error(f"{path}: cannot be reached ({fault.strerror})") from None


def size_of(path: Path) -> int:
    """The bytes of what is at the path; 0 where it has just vanished."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def kind_of(status: os.stat_result) -> str | None:
    """The kind of what is not a file, in words; None for a file."""
    return _KINDS.get(stat.S_IFMT(status.st_mode))


def is_endless(path: Path, status: os.stat_result) -> bool:
    """Whether reading it never ends or makes no sense: a device or a socket, except standard input."""
    return kind_of(status) in ("a device", "a socket") and not _OPEN_FILES.fullmatch(str(path))


def target_path(given: Any, error: type[TunixRTError] = ExportFailed) -> Path:
    """The absolute path of a file to write, which need not exist; raises `error` if no file can have it."""
    path = local_path(given, error)
    if os.fspath(given).endswith(("/", os.sep)):
        raise error(f"{given}: is the path of a folder; name a file in it")
    try:
        path = path.absolute()
    except OSError as fault:
        raise error(f"{path}: the working folder is gone ({fault.strerror})") from None
    status_of(path, error)
    return path


def store_target(given: Any, error: type[TunixRTError] = ExportFailed) -> Path:
    """The absolute path of a store's file to write, which need not exist; raises `error` if no store can have it."""
    path = target_path(given, error)
    try:
        path.with_name(path.name + "x" * _ROOM).lstat()
    except OSError as fault:
        if fault.errno == errno.ENAMETOOLONG:
            raise error(
                f"{path}: the name is too long, because a store creates files with longer names beside its own; "
                f"shorten it by {_ROOM} characters"
            ) from None
    return path


def store_path(given: Any) -> Path:
    """The absolute path of a store's file, which need not exist; StoreUnusable if no store can have it."""
    if isinstance(given, str) and given.startswith(("s3://", "delta:")):
        raise StoreUnusable("the address of a shared lake is not the path of a store; open it by tunix_rt.connect(…)")
    path = store_target(given, StoreUnusable)
    status = status_of(path, StoreUnusable)
    if status is not None and (kind := kind_of(status)):
        example = f", such as {path / 'traces.duckdb'}" if kind == "a folder" else ""
        raise StoreUnusable(f"{path}: is {kind}; name a file{' in it' * bool(example)}{example}")
    for real in {str(path), os.path.realpath(path)}:
        if os.sep != "\\" and "\\" in real:
            raise StoreUnusable(f"{real}: contains a backslash, which DuckDB reads as a slash; choose another name")
        if "?" in os.path.dirname(real):  # noqa: PTH120
            raise StoreUnusable(
                f"{real}: has a question mark in the name of its folder, so DuckDB cannot find its log; "
                "rename the folder"
            )
        if any("\ud800" <= character <= "\udfff" for character in real):
            raise StoreUnusable(f"{_shown(real)}: is not valid UTF-8, which DuckDB needs; choose another name")
    if _BESIDE.fullmatch(path.name):
        raise StoreUnusable(
            f"{path}: has the ending of the files that a store creates beside its own; choose another name"
        )
    twin = path.with_name(path.stem if path.suffix == ".duckdb" else f"{path.name}.duckdb")
    if twin.name != path.name and _holds_duckdb(twin):
        raise StoreUnusable(f"{path}: would share its journal with the store {twin}; choose another name")
    return path


def beside_store(store: Path, ending: str) -> Path:
    """The file that a store keeps beside its own: `runs.duckdb` has `runs.journal`.

    A store of any other name keeps its ending in the name of such a file, so that no two stores share one.
    """
    return store.with_name(f"{store.stem if store.suffix == '.duckdb' else store.name}.{ending}")


def is_of_store(path: Path) -> bool:
    """Whether a file belongs to a trace store, by its name and those beside it.

    Such files are not opened to find out: closing them would drop the locks that DuckDB and SQLite have on them here.
    """
    # Texts and os.path: a watch checks thousands of files every other second, and a Path takes twice as long.
    text = os.path.realpath(path) if os.path.islink(path) else str(path)  # noqa: PTH114
    return _is_database(text) or _is_beside_store(text)


def is_beside_store(path: Path) -> bool:
    """Whether it is a file that a store keeps beside its own; it need not exist yet."""
    return _is_beside_store(str(path))


def log_of(path: Path) -> Path:
    """The path of the write-ahead log that DuckDB uses for a file; it treats a question mark in a name specially."""
    name, mark, rest = path.name.partition("?")
    return path.with_name(f"{name}.wal{mark}{rest}")


def is_unfinished(path: Path) -> bool:
    """Whether it is the temporary file of a store or an export."""
    return path.name.startswith(".") and path.name.endswith((".new", ".partial"))


def _is_database(text: str) -> bool:
    # Beside `runs.jsonl`, `runs.jsonl.journal` may be that of the store `runs.jsonl.duckdb`.
    return text.endswith(".duckdb") or (_is_file(f"{text}.journal") and not _is_file(f"{text}.duckdb"))


def _is_beside_store(text: str) -> bool:
    folder, name = os.path.split(text)
    if _SPILL_FOLDER.fullmatch(os.path.basename(folder)):  # noqa: PTH119
        return True
    found = _BESIDE.fullmatch(name)
    if found is None:
        return False
    base = os.path.join(folder, found["base"])  # noqa: PTH118
    if found["ending"] == "wal":
        return _is_database(base)
    # Any one of them is there with another one.
    return any(one != text and _is_file(one) for one in (f"{base}.duckdb", f"{base}.journal", f"{base}.lock"))


def _is_file(text: str) -> bool:
    return os.path.isfile(text)  # noqa: PTH113


def _holds_duckdb(path: Path) -> bool:
    status = status_of(path, StoreUnusable)
    if status is None or kind_of(status):
        return False
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC.stop)[_MAGIC] == b"DUCK"
    except OSError:
        return False


def _shown(given: Any) -> str:
    text = os.fspath(given) if isinstance(given, PathLike) else given
    return (
        text if isinstance(text, str) and text else json.dumps(text) if isinstance(text, str) else type(text).__name__
    )
