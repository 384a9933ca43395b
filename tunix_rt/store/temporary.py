"""The store of `:memory:`: files of its own in a temporary folder, which goes when nothing uses the store any more."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from tunix_rt.errors import StoreUnusable


def temporary_path() -> Path:
    """A path for a store in a new folder; `removed_with` says when the folder goes."""
    try:
        return Path(tempfile.mkdtemp(prefix="tunix_rt-")) / "traces.duckdb"
    except OSError as error:
        raise StoreUnusable(f":memory:: no temporary folder can be made ({error.strerror})") from None


def removed_with(owner: object, path: Path) -> None:
    """Removes the folder of the path when its owner is gone, or at the end of the process."""
    weakref.finalize(owner, _remove, path.parent, os.getpid())


def _remove(folder: Path, process: int) -> None:
    # A forked child has the owner too, and its end is not the parent's.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
