"""Whether a store can do its work: opens, is of the current schema, has room on the disk, keeps up with its journal."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tunix_rt.errors import StoreBusy, TunixRTError
from tunix_rt.store.engine.session import Session
from tunix_rt.store.upkeep.info import StoreInfo

State = Literal["healthy", "compaction due", "disk nearly full", "busy", "unusable"]
Status = Literal["healthy", "degraded", "down"]

# A chunk of a load, and what DuckDB puts aside on disk beyond its 512 MB of memory, have room in it.
LOW_DISK_BYTES = 2**30


@dataclass(frozen=True)
class StoreHealth:
    """A store that was looked at: its state, its numbers, and the error if it could not be read.

    `n_in_journal` traces were waiting for the next read (None where there is no journal), and `disk_free_bytes` were
    free on the disk of the store (None where that is unknown). A store that opens is of the current schema.
    """

    path: str
    state: State
    info: StoreInfo | None
    n_in_journal: int | None
    disk_free_bytes: int | None
    error: str | None = None

    @property
    def status(self) -> Status:
        """Healthy; degraded, where it works but not as it should; or down."""
        return "healthy" if self.state == "healthy" else "down" if self.state == "unusable" else "degraded"

    def to_dict(self) -> dict[str, Any]:
        """The result as values of JSON."""
        return {
            "status": self.status,
            "state": self.state,
            "path": self.path,
            "n_traces": self.info.n_traces if self.info else None,
            "size_bytes": self.info.size_bytes if self.info else None,
            "schema_version": self.info.schema_version if self.info else None,
            "n_in_journal": self.n_in_journal,
            "disk_free_bytes": self.disk_free_bytes,
        } | ({"error": self.error} if self.error else {})


def check_health(session: Session, path: Path, info: Callable[[], StoreInfo]) -> StoreHealth:
    """Checks the store, which takes as long as a read, up to `pool_timeout` seconds; never raises."""
    found: StoreInfo | None = None
    n_in_journal: int | None = None
    free = _free_bytes(path)
    try:
        # Before the read, which empties it.
        n_in_journal = session.n_in_journal
        found = info()
    except Exception as fault:  # noqa: BLE001 - whatever it is, it is what there is to know of this store
        return StoreHealth(str(path), _state_of(fault), found, n_in_journal, free, error_of(fault))
    state: State = "healthy"
    if not session.read_only and free is not None and free < LOW_DISK_BYTES:
        state = "disk nearly full"
    elif found.compact_due:
        state = "compaction due"
    return StoreHealth(str(path), state, found, n_in_journal, free)


def unusable(path: str, fault: Exception) -> StoreHealth:
    """The health of a store that could not be opened at all."""
    return StoreHealth(path, _state_of(fault), None, None, None, error_of(fault))


def error_of(fault: Exception) -> str:
    """The message of an error, with its class if it is not one of this package."""
    return str(fault) if isinstance(fault, TunixRTError) else f"{type(fault).__name__}: {fault}"


def _state_of(fault: Exception) -> State:
    return "busy" if isinstance(fault, StoreBusy) else "unusable"


def _free_bytes(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path.parent).free
    except (OSError, ValueError):
        # The folder is gone, its disk does not answer, or its name is not valid: the read shows whether that matters.
        return None
