"""What endangers a store: done in the processes that add, or to their files from outside."""

import os
import shutil
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import tunix_rt as rt

if TYPE_CHECKING:
    from tests.torture.run import Run

# Whoever opens the store while its folder is away makes a new one, which has to go first.
_TRIES = 1_000


class Case(NamedTuple):
    """`inside` is done with the store's folder in the processes that add, `outside` to the run, now and again.

    `others` are further processes beside those that add and read; where it `is_big`, the rows are large.
    """

    inside: Callable[[Path], object] | None = None
    outside: "Callable[[Run], object] | None" = None
    others: tuple[str, ...] = ()
    is_big: bool = False


def _copy(folder: Path) -> None:
    target = folder.parent / f"copy-{os.getpid()}"
    shutil.copytree(folder, target, dirs_exist_ok=True)
    shutil.rmtree(target)


def _tar(folder: Path) -> None:
    target = folder.parent / f"{os.getpid()}.tar"
    with tarfile.open(target, "w") as packed:
        packed.add(folder)
    target.unlink()


def _delete(run: "Run") -> None:
    def remove() -> None:
        for file in sorted(run.folder.glob("runs.*")):
            file.unlink(missing_ok=True)

    run.take_away(run.linked(), remove)


def _move(run: "Run") -> None:
    """The folder is elsewhere for a while; what was begun in its place meanwhile is moved away in turn."""
    away = run.top / "away"
    begun = time.monotonic()
    run.folder.rename(away)
    time.sleep(run.draw.uniform(0, 0.5))
    for _ in range(_TRIES):
        grave = run.new_grave()
        with suppress(FileNotFoundError):
            run.folder.rename(grave)
        run.note_taken(begun, grave)
        with suppress(OSError):
            away.rename(run.folder)
            return


def _rename_backup(run: "Run") -> None:
    backup = run.top / "backup.duckdb"
    with suppress(rt.TunixRTError), rt.TraceStore(run.path) as store:
        store.backup(backup)
    time.sleep(run.draw.uniform(0, 0.3))
    if backup.exists():
        run.take_away(run.linked(), lambda: backup.replace(run.path))


def _replace_by_copy(run: "Run") -> None:
    """The folder as it was a moment ago, copied while nobody was at work in the file."""
    copy = run.top / "copy"
    with suppress(rt.TunixRTError, FileNotFoundError), rt.TraceStore(run.path) as store, store._session.alone():
        shutil.copytree(run.folder, copy)
    time.sleep(run.draw.uniform(0, 0.3))

    def swap() -> None:
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                run.folder.rename(run.new_grave())
            with suppress(OSError):
                copy.rename(run.folder)
                return

    if (copy / run.path.name).exists():
        run.take_away(run.linked(), swap)
    shutil.rmtree(copy, ignore_errors=True)


CASES = {
    "copied": Case(inside=_copy),
    "tarred": Case(inside=_tar),
    "deleted": Case(outside=_delete),
    "moved": Case(outside=_move),
    "renamed": Case(outside=_rename_backup),
    "replaced": Case(outside=_replace_by_copy),
    "exported": Case(others=("export", "export")),
    "big": Case(is_big=True),
    "held": Case(inside=_copy, others=("hold",)),
}
