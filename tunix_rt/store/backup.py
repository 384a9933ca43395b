"""A copy of the store, as it was at one moment, while others go on."""

import os
import shutil
from pathlib import Path

from tunix_rt.errors import ExportFailed, StoreFull
from tunix_rt.store.placing import placed
from tunix_rt.store.session import Session

try:
    import fcntl
except ImportError:  # Windows: DuckDB's own lock there keeps others from the file while it is read.
    fcntl = None  # type: ignore[assignment]

_BLOCK_BYTES = 16 * 2**20


def backup(session: Session, path: Path) -> None:
    """Copies the file of a store to `path`; see `TraceStore.backup`."""
    if path.exists() or path.is_symlink():
        raise ExportFailed(f"{path}: is there already and was left as it is; name another file for the backup")
    with placed(path) as partial, session.alone() as file:
        if Path(f"{file}.wal").exists():
            raise StoreFull(f"{file}: could not be written out whole, so no copy was made; make room on its disk")
        _copy(file, partial)


def _copy(file: Path, target: Path) -> None:
    with file.open("rb") as source, target.open("wb") as copy:
        if fcntl is not None:
            # As DuckDB does to read: a program that does not know the line cannot write to the file meanwhile.
            fcntl.lockf(source, fcntl.LOCK_SH | fcntl.LOCK_NB)
        shutil.copyfileobj(source, copy, _BLOCK_BYTES)
        copy.flush()
        os.fsync(copy.fileno())
