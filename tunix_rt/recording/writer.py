"""Rows on their way to the journal: batches at once, and single ones together with those that follow."""

import multiprocessing.process
import threading
from collections.abc import Callable, Sequence

from tunix_rt.errors import TunixRTError
from tunix_rt.store import TraceStore
from tunix_rt.store.engine.rows import NewRow

# A transaction is on disk in a millisecond, or ten where the disk is busy: too long for each reward of verl's, which
# come one by one. A rollout that waits is visible a moment later; this is the most that a killed process loses.
_WAIT_SECONDS = 0.25
_MOST_ROWS = 64


class Writer:
    """Adds rows to a store; `lose` is called with the number of those that could not be, and why.

    | state | changed by |
    |---|---|
    | `_ready`, `_timer`, `recorded` | any thread that has `_lock` |
    | the journal | the thread that has `_writing`, which so waits for one that writes |
    """

    def __init__(self, store: TraceStore, lose: Callable[[int, Exception], None]) -> None:
        self._session = store._session  # noqa: SLF001 - the rows are ready, and `add_many` would make them anew
        self._lose = lose
        self.begin_anew()

    def begin_anew(self) -> None:
        """As new: in a forked child, whose parent still has the rows and the threads."""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._ready: list[NewRow] = []
        self._timer: threading.Timer | None = None
        self._ends_with_child = False
        self.recorded = 0

    def check(self) -> None:
        """Raises what would prevent every add."""
        self._session.check_writable()

    def add(self, rows: Sequence[NewRow], *, at_once: bool) -> None:
        """Takes rows: they are on disk when this returns, or within a quarter of a second if not `at_once`."""
        if not rows:
            return
        with self._lock:
            self._ready += rows
            at_once = at_once or len(self._ready) >= _MOST_ROWS
            if not at_once and self._timer is None:
                self._timer = threading.Timer(_WAIT_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()
        if at_once:
            self.flush()
        else:
            self._flush_at_end_of_child()

    def flush(self) -> None:
        """Writes what is ready; when it returns, no other thread is writing what was."""
        with self._writing:
            with self._lock:
                rows, self._ready = self._ready, []
                timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            try:
                if rows:
                    self._session.add(rows)
            except TunixRTError as error:
                self._lose(len(rows), error)
            else:
                with self._lock:
                    self.recorded += len(rows)

    def _flush_at_end_of_child(self) -> None:
        """A child of multiprocessing ends without what runs at exit, but for this."""
        if not self._ends_with_child and multiprocessing.process.parent_process() is not None:
            self._ends_with_child = True
            from multiprocessing.util import Finalize

            Finalize(None, self.flush, exitpriority=100)
