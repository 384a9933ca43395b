"""The traces that wait on this machine to be committed to a lake: a journal like that of a store, on disk at once."""

import hashlib
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

from tunix_rt.errors import StoreUnusable
from tunix_rt.lake.location import LakeLocation
from tunix_rt.paths import MEMORY
from tunix_rt.settings import Settings, default_database
from tunix_rt.store.engine.expected_counts import ExpectedCounts
from tunix_rt.store.engine.journal import Journal
from tunix_rt.store.engine.lock_queue import LockQueue
from tunix_rt.store.engine.rows import NewRow

# Committed together: single rows made 45 commits a second, and a file each.
FLUSH_ROWS, FLUSH_BYTES, FLUSH_SECONDS = 1_000, 8 * 2**20, 5.0
# Of a file that is written at once.
_MOST_ROWS, _MOST_BYTES = 20_480, 64 * 2**20


class Waiting:
    """The journal of one lake on this machine; processes share it.

    Its `id`, with the number of the last row of a batch, is what Delta commits once.
    """

    def __init__(self, location: LakeLocation, settings: Settings) -> None:
        database = default_database() if str(settings.database) == MEMORY else settings.database
        folder = database.absolute().parent / "lakes"
        name = hashlib.sha256(location.uri.encode()).hexdigest()[:16]
        self.path = folder / f"{name}.journal"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnusable(f"{folder}: the folder of the journal cannot be created ({error.strerror})") from None
        self._queue = LockQueue(folder / f"{name}.lock")
        self._queue.open(make=True)
        self._journal = Journal(self.path, self._queue)
        self._timeout = settings.pool_timeout
        # What was added here since the last flush.
        self._lock = threading.Lock()
        self._n_rows = self._n_bytes = 0
        counts, _ = self._journal.expected
        if counts.store_id is None:
            self._journal.confirm(ExpectedCounts(str(uuid4()), 0, 0), folded=0)
            counts, _ = self._journal.expected
        self.id = str(counts.store_id)

    @property
    def n_rows(self) -> int:
        """How many traces wait."""
        return self._journal.n_rows

    @property
    def newest(self) -> int:
        """The number of the newest row that waits; 0 if there is none."""
        return self._journal.newest

    def add(self, rows: Sequence[NewRow]) -> bool:
        """Stores the rows, all or none; whether so many wait that they should be committed."""
        self._journal.add(rows, deadline=time.monotonic() + self._timeout)
        with self._lock:
            self._n_rows += len(rows)
            self._n_bytes += sum(len(row.json) for row in rows)
            if self._n_rows < FLUSH_ROWS and self._n_bytes < FLUSH_BYTES:
                return False
            self._n_rows = self._n_bytes = 0
            return True

    def after(self, number: int) -> tuple[int, list[NewRow]]:
        """The next batch behind a number, and the number of its last row."""
        return self._journal.after(number, _MOST_ROWS, _MOST_BYTES)

    def forget(self, number: int) -> None:
        """Deletes the rows up to a number, which are committed."""
        self._journal.confirm(ExpectedCounts(self.id, 0, 0), folded=number)

    def close(self) -> None:
        """Closes the file; the next call opens it again."""
        self._journal.close()

    def stop(self) -> None:
        """Closes the file, and keeps all threads out, for a fork."""
        self._queue.end_waiter()
        self._journal.stop()

    def resume(self) -> None:
        """Lets the threads in again."""
        self._journal.resume()

    def begin_anew(self) -> None:
        """In a forked child, which must not share its parent's locks: those are of an open file."""
        self._lock = threading.Lock()
        self._journal.begin_anew()
        self._queue.close()
        # What keeps it from being opened is reported by the next call.
        with suppress(StoreUnusable):
            self._queue.open(make=True)
