"""Work that is done soon, in a thread of its own: what a trainer hands over costs it no waiting."""

import multiprocessing.process
import threading
import time
from collections.abc import Callable


class Later:
    """Does `work`, which raises nothing, within the seconds that were asked for, and before a child process ends.

    | state | changed by |
    |---|---|
    | `_timer`, `_due` | any thread that has `_lock` |
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self.begin_anew()

    def begin_anew(self) -> None:
        """As new: in a forked child, whose parent still has the threads."""
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._due = 0.0
        self._ends_with_child = False

    def within(self, seconds: float) -> None:
        """Has the work done so soon, or sooner if that was asked for before."""
        due = time.monotonic() + seconds
        with self._lock:
            if self._timer is not None and self._due <= due:
                return
            before, timer = self._timer, threading.Timer(seconds, self._work)
            timer.daemon = True
            self._timer, self._due = timer, due
        if before is not None:
            before.cancel()
        try:
            timer.start()
        except RuntimeError:
            # The interpreter ends, or the machine has no more threads: here, then.
            self._work()
        self._work_at_end_of_child()

    def begins(self) -> None:
        """The work begins, in whatever thread: what comes from now on needs another time."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _work_at_end_of_child(self) -> None:
        """A child of multiprocessing ends without what runs at exit, but for this."""
        if not self._ends_with_child and multiprocessing.process.parent_process() is not None:
            self._ends_with_child = True
            from multiprocessing.util import Finalize

            Finalize(None, self._work, exitpriority=100)
