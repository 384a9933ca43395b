"""Opening a store at the path that was named, or, for `:memory:`, in a temporary folder that goes with it."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from tunix_rt.errors import StoreUnusable
from tunix_rt.paths import MEMORY, store_path
from tunix_rt.settings import Settings
from tunix_rt.store.engine.session import Session


def open_session(named: Any, settings: Settings, *, read_only: bool, accept_loss: bool) -> tuple[Path, Session]:
    """The absolute path of the store, and the way to its files. Raises StoreUnusable where no store can be there."""
    is_temporary = str(named) == MEMORY
    path = _temporary_path() if is_temporary else store_path(named)
    try:
        session = Session(path, settings, read_only=read_only, accept_loss=accept_loss)
    except BaseException:
        if is_temporary:
            _remove(path.parent, os.getpid())
        raise
    if is_temporary:
        # The session and not the store: what still reads from it has nothing else of it.
        weakref.finalize(session, _remove, path.parent, os.getpid())
    return path, session


def _temporary_path() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="tunix_rt-")) / "traces.duckdb"
    except OSError as error:
        raise StoreUnusable(f":memory:: no temporary folder can be created ({error.strerror})") from None


def _remove(folder: Path, process: int) -> None:
    # A forked child has the session too, and its end is not the parent's.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
