"""A copy of the store, with the contents of one moment, while others continue."""

import shutil
from pathlib import Path

from tunix_rt.errors import ExportFailed, StoreFull, StoreUnusable
from tunix_rt.paths import beside_store, log_of
from tunix_rt.store.engine.atomic_write import replacing
from tunix_rt.store.engine.journal import Journal
from tunix_rt.store.engine.lock_queue import LockQueue
from tunix_rt.store.engine.session import Session

try:
    import fcntl
except ImportError:  # Windows: DuckDB's own lock there keeps others from the file while it is read.
    fcntl = None  # type: ignore[assignment]

_BLOCK_BYTES = 16 * 2**20


def backup(session: Session, path: Path) -> None:
    """Copies the file of a store to `path`; see `TraceStore.backup`."""
    with replacing(path, new=True) as replacement, session.alone() as file:
        journal, log = beside_store(path, "journal"), log_of(path)
        # Either would be taken for the copy's own. A journal of this same store may stay: its file was lost.
        for left in (journal, log):
            if left.exists() and not (left == journal and _belongs_to(journal, session.store_id)):
                raise ExportFailed(
                    f"{left}: belongs to another store; remove it, or choose another file for the backup"
                )
        if log_of(file).exists():
            raise StoreFull(f"{file}: could not be written out completely, so nothing was copied; free some disk space")
        with file.open("rb") as source:
            if fcntl is not None:
                # As DuckDB does to read: a program that does not use the queue cannot write to the file meanwhile.
                fcntl.lockf(source, fcntl.LOCK_SH | fcntl.LOCK_NB)
            shutil.copyfileobj(source, replacement.file, _BLOCK_BYTES)


def _belongs_to(path: Path, store_id: str | None) -> bool:
    queue = LockQueue(path.with_suffix(".lock"))
    queue.open(make=False)
    journal = Journal(path, queue)
    try:
        return journal.expected[0].store_id == store_id
    except StoreUnusable:
        return False
    finally:
        journal.close()
        queue.close()
