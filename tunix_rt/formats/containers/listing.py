"""Which files are meant by a path, a folder or a pattern."""

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from tunix_rt.errors import SourceInvalid
from tunix_rt.formats.containers.folders import is_trajectory
from tunix_rt.formats.containers.packings import ENDINGS as PACKED_ENDINGS
from tunix_rt.formats.containers.score_files import score_file_beside
from tunix_rt.formats.rows.row import Rejection
from tunix_rt.paths import is_endless, is_of_store, is_unfinished, kind_of, local_path, status_of

# What an export writes beside its file; no traces are in it.
MANIFEST_ENDING = ".manifest.json"
_KINDS = (".json", ".jsonl", ".ndjson", ".parquet", ".csv", ".eval", ".arrow", ".feather", ".tar", ".traj")
_ENDINGS = (*(kind + packed for kind in _KINDS for packed in ("", *PACKED_ENDINGS)), ".zip", ".tgz", ".tbz2", ".txz")
ENDINGS_READ = f"{', '.join(_KINDS)} (packed or not: {', '.join(PACKED_ENDINGS)}), .zip and .tgz"
# What `save_to_disk` of Hugging Face's datasets writes beside the shards, and macOS beside every file of an archive.
_OF_DATASETS = ("state.json", "dataset_info.json", "dataset_dict.json")
_OF_MACOS = "._"


class Listing(NamedTuple):
    """The files to read in order of name; those of trace stores, which are passed over; folders that cannot be read."""

    files: list[Path]
    passed_over: list[Path]
    unreadable: list[Rejection]


def files_at(pattern: Any, check: Callable[[], object] = lambda: None) -> Listing:
    """The files meant by a path, a folder (with all below it) or a pattern (`runs/*.jsonl`).

    With a Parquet export comes its file of scores. A folder and a pattern pass over the manifests of exports and the
    files of trace stores. `check` is called for each name, and what it raises ends the listing. Raises SourceInvalid
    where there is no file, or the path is not valid.
    """
    path = local_path(pattern, SourceInvalid)
    status = status_of(path, SourceInvalid)
    if status is None and glob.has_magic(str(path)):
        return _of_pattern(path, check)
    if status is None:
        raise SourceInvalid(f"{path}: no such file or folder{_working_folder()}")
    if kind_of(status) == "a folder" and not is_trajectory(path):
        return _of_folder(path, check)
    if is_of_store(path):
        raise SourceInvalid(
            f"{path}: is part of a trace store; open that store, as in store.load(TraceStore(path).records())"
        )
    if is_endless(path, status):
        raise SourceInvalid(f"{path}: is {kind_of(status)}; name a file, a folder or a pattern")
    return Listing(_with_scores([path]), [], [])


def is_named_as_source(name: str) -> bool:
    """Whether a name in a folder or in an archive is that of a file of rows."""
    return name.lower().endswith(_ENDINGS) and not name.rpartition("/")[2].startswith(_OF_MACOS)


def _of_folder(path: Path, check: Callable[[], object]) -> Listing:
    unreadable: list[Rejection] = []

    def note(error: OSError) -> None:
        folder = str(error.filename)
        if folder == str(path):
            raise SourceInvalid(f"{path}: cannot be read ({error.strerror})") from None
        # One that has just been removed has no traces.
        if not isinstance(error, FileNotFoundError):
            unreadable.append(Rejection(folder, None, None, f"cannot be read ({error.strerror})", ""))

    found: set[Path] = set()
    stores: list[Path] = []
    # Not rglob: what it does about a folder that cannot be read depends on the version of Python.
    for folder, _, names in os.walk(path, onerror=note):
        files = []
        check()
        for name in names:
            check()
            file = Path(folder, name)
            if is_of_store(file):
                stores.append(file)
            elif is_named_as_source(name) and _is_source(file):
                files.append(file)
        # Beside anything else than shards, files of these names may be anybody's.
        if any(file.suffix == ".arrow" for file in files):
            files = [file for file in files if file.name not in _OF_DATASETS]
        found |= {Path(folder)} if files and is_trajectory(Path(folder)) else set(files)
    if not found and not unreadable:
        raise SourceInvalid(f"{path}: is a folder without traces; files of traces end in {ENDINGS_READ}")
    return Listing(_each_once(found), sorted(stores), unreadable)


def _of_pattern(path: Path, check: Callable[[], object]) -> Listing:
    found: list[Path] = []
    stores: list[Path] = []
    for name in _matching("", path.parts, check):
        file = Path(name)
        if is_of_store(file):
            stores.append(file)
        elif _is_source(file) or is_trajectory(file):
            found.append(file)
    if not found:
        others = ", only files of a trace store" if stores else ""
        raise SourceInvalid(f"{path}: no file matches this pattern{others}{_working_folder()}")
    return Listing(_with_scores(_each_once(found)), sorted(stores), [])


def _matching(base: str, parts: Sequence[str], check: Callable[[], object]) -> Iterator[str]:
    """What `glob.iglob(pattern, recursive=True)` finds; `check` is also called for each name that does not match."""
    n_plain = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    base = os.path.join(base, *parts[:n_plain])  # noqa: PTH118 - the base may be empty
    if n_plain == len(parts):
        if os.path.lexists(base):
            yield base
        return
    first, *rest = parts[n_plain:]
    if first == "**":
        for folder in _below(base, check):
            yield from _matching(folder, rest or ["*"], check)
        if not rest and base:
            yield base
        return
    for name in _names_in(base, check):
        if fnmatch(name, first) and (first.startswith(".") or not name.startswith(".")):
            yield from _matching(_joined(base, name), rest, check)


def _below(folder: str, check: Callable[[], object]) -> Iterator[str]:
    """The folder, and all folders in it but for hidden ones."""
    left = [folder]
    while left:
        yield (folder := left.pop())
        inner = [_joined(folder, name) for name in _names_in(folder, check) if not name.startswith(".")]
        left += filter(os.path.isdir, inner)


def _joined(base: str, name: str) -> str:
    return os.path.join(base, name)  # noqa: PTH118 - the base may be empty


def _names_in(folder: str, check: Callable[[], object]) -> Iterator[str]:
    """The names in a folder, none where it cannot be read."""
    try:
        names = os.listdir(folder or ".")  # noqa: PTH208 - a Path of no name is the working folder
    except OSError:
        return
    for name in names:
        check()
        yield name


def _with_scores(files: list[Path]) -> list[Path]:
    """The files, and behind each that is an export as Parquet the one with its scores."""
    there = set(files)
    beside = {file: scores for file in files if (scores := score_file_beside(file)) and scores not in there}
    return [one for file in files for one in (file, beside.get(file)) if one is not None]


def _working_folder() -> str:
    try:
        return f" (the working folder is {Path.cwd()})"
    except OSError:
        return " (the working folder does not exist any more)"


def _each_once(files: Iterable[Path]) -> list[Path]:
    """In order of name; of several links to a file the one that is no link, or else the first.

    A folder has its `latest.jsonl`, and `**` follows a link that leads back to its own folder some forty times.
    """
    # Not Path.is_symlink, which raises, in Python 3.11, where access is denied.
    last_wins = sorted(files, key=lambda file: (os.path.islink(file), file), reverse=True)  # noqa: PTH114
    return sorted({_identity(file): file for file in last_wins}.values())


def _identity(file: Path) -> object:
    # Seven times as fast as to resolve the links: a watch checks thousands of files every other second.
    try:
        status = file.stat()
    except OSError:
        return file
    return status.st_dev, status.st_ino


def _is_source(file: Path) -> bool:
    """Whether it is a file to be read; where access is denied, reading it will raise."""
    if file.name.endswith(MANIFEST_ENDING) or is_unfinished(file):
        return False
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError as error:
        return isinstance(error, PermissionError)
