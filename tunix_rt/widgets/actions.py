"""How the actions of forms run: in threads of their own, one after the other, seen waiting, and interruptible."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from tunix_rt.log import logger
from tunix_rt.store.engine.task import Task

log = logger("tunix_rt.widgets")

# What takes less is seen without a word.
_QUIET_SECONDS = 1.0
_TICK_SECONDS = 0.25
_Method = TypeVar("_Method", bound=Callable[..., Any])


class Waiter(Protocol):
    """A form, as this file sees it: it has a lane, and is told what its actions wait for."""

    @property
    def lane(self) -> "Lane": ...  # noqa: D102
    def show_busy(self, busy: dict[str, Any]) -> None: ...  # noqa: D102


def action(*, aside: bool = False, watch: bool = False) -> Callable[[_Method], _Method]:
    """Marks a method that the front end may request, and that Python may call too; one at a time in a form.

    `aside` runs it in its own thread, beside the others; `watch` is for requests that the form repeats by
    itself. It may return a dictionary, which is sent with the reply; a value of bytes is sent as a buffer.
    """

    def mark(method: _Method) -> _Method:
        @wraps(method)
        def one_at_a_time(self: Waiter, *args: Any, **options: Any) -> Any:
            with self.lane.lock:
                return method(self, *args, **options)

        marked: Any = method if aside else one_at_a_time
        marked.action_mode = Mode(aside, watch)
        return cast("_Method", marked)

    return mark


@dataclass(frozen=True)
class Mode:
    """How an action runs."""

    aside: bool
    watch: bool


class Lane:
    """A thread in which work is done in order; it ends when there is none. Forms that work together share one.

    Python's own calls take `lock`, too.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Lock()
        self._work: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], None]) -> None:
        """Does the work after what was given before; returns at once."""
        with self._changed:
            self._work.append(work)
            # A forked child has none of its parent's threads.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="tunix_rt-actions")
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._work:
                    self._thread = None
                    return
                work = self._work.popleft()
            try:
                work()
            except Exception:
                log.exception("an action of a form failed")


class FormTask(Task):
    """An action of a form, or its work in the background; `doing` says what it does where that takes long."""

    def __init__(self, form: Waiter, doing: str = "") -> None:
        super().__init__()
        self.form = form
        self._doing = doing
        self._since = time.monotonic()

    def busy(self) -> dict[str, Any]:
        """What to say of it now: `text`, and whether it `waits` for others; nothing in its first second."""
        holder = self.waits_for(_QUIET_SECONDS)
        if holder is not None:
            return {"text": f"waiting for {holder}", "waits": True}
        if self._doing and time.monotonic() - self._since >= _QUIET_SECONDS:
            return {"text": self._doing, "waits": False}
        return {}


class _Monitor:
    """The tasks of all forms; while there are any, a thread tells each form what they wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tasks: list[FormTask] = []
        self._thread: threading.Thread | None = None

    def add(self, task: FormTask) -> None:
        """Watches the task until it is removed."""
        with self._changed:
            self._tasks.append(task)
            if self._thread is None or not self._thread.is_alive():
                # A daemon: it only looks, and has no part in the end of a process.
                self._thread = threading.Thread(target=self._watch, name="tunix_rt monitor", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def remove(self, task: FormTask) -> None:
        """The task has ended; what the form said of it goes."""
        with self._changed:
            self._tasks.remove(task)
            self._tell(task.form)

    def of(self, form: Waiter) -> list[FormTask]:
        """The tasks of a form."""
        with self._changed:
            return [task for task in self._tasks if task.form is form]

    def _tell(self, form: Waiter) -> None:
        said = [found for task in self._tasks if task.form is form and (found := task.busy())]
        form.show_busy(max(said, key=lambda found: bool(found["waits"]), default={}))

    def _watch(self) -> None:
        while True:
            with self._changed:
                while not self._tasks:
                    self._changed.wait()
                for task in self._tasks:
                    # Again, for it may have been between two queries; and at the end of the process nobody waits.
                    if task.interrupted or not threading.main_thread().is_alive():
                        task.interrupt()
                for form in {id(task.form): task.form for task in self._tasks}.values():
                    self._tell(form)
            time.sleep(_TICK_SECONDS)


monitor = _Monitor()
