"""Rollouts on their way to the journal: read and written in a thread of their own, not in that of the trainer."""

import threading
from collections.abc import Callable, Sequence

from tunix_rt.errors import TunixRTError
from tunix_rt.recording.later import Later
from tunix_rt.store import TraceStore
from tunix_rt.store.engine.rows import NewRow

# A transaction takes a millisecond, or ten where the disk is busy: single rollouts share one with those that follow.
_WAIT_SECONDS = 0.25
_MOST_TOGETHER = 64
# So many of 2 KB are read and written in a second; a trainer that is faster waits here, and memory stays bounded.
_MOST_WAITING = 4_096


class Writer:
    """Makes rows of rollouts and adds them to a store; `lose` is called with the number of those lost, and why.

    | state | changed by |
    |---|---|
    | `_ready`, `_n_ready`, `recorded` | any thread that has `_lock` |
    | the journal, the numbers of samples | the thread that has `_writing`, which so waits for one that writes |
    """

    def __init__(self, store: TraceStore, lose: Callable[[int, Exception], None]) -> None:
        self._session = store._session  # noqa: SLF001 - the rows are ready, and `add_many` would make them anew
        self._lose = lose
        self._later = Later(self.flush)
        self.begin_anew()

    def begin_anew(self) -> None:
        """As new: in a forked child, whose parent still has the rollouts and the threads."""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._ready: list[tuple[int, Callable[[], Sequence[NewRow]]]] = []
        self._n_ready = 0
        self._later.begin_anew()
        self.recorded = 0

    def check(self) -> None:
        """Raises what would prevent every add."""
        self._session.check_writable()

    def add(self, n: int, read: Callable[[], Sequence[NewRow]], *, soon: bool) -> None:
        """Takes `n` rollouts, of which `read` makes rows: now if `soon`, or within a quarter of a second."""
        with self._lock:
            self._ready.append((n, read))
            self._n_ready += n
            n_ready = self._n_ready
        if n_ready > _MOST_WAITING:
            self.flush()
        else:
            self._later.within(0 if soon or n_ready >= _MOST_TOGETHER else _WAIT_SECONDS)

    def flush(self) -> None:
        """Writes what is ready; when it returns, no other thread is writing what was."""
        with self._writing:
            self._later.begins()
            with self._lock:
                ready, self._ready, self._n_ready = self._ready, [], 0
            rows: list[NewRow] = []
            for n, read in ready:
                try:
                    rows += read()
                except Exception as error:  # noqa: BLE001 - whatever is wrong with these, the others are stored
                    self._lose(n, error)
            try:
                if rows:
                    self._session.add(rows)
            except TunixRTError as error:
                self._lose(len(rows), error)
            else:
                with self._lock:
                    self.recorded += len(rows)
