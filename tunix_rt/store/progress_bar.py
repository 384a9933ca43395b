"""The progress of a long call: a bar, or the caller's own function."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

# A bar for short work would only flicker.
_AFTER_SECONDS = 1.0

Progress = bool | Callable[[int, int], object]


class Advance:
    """Shows how much of the work is done; `done` is the amount that was shown last."""

    def __init__(self, show: Callable[[int], object]) -> None:
        self._show = show
        self.done = 0

    def __call__(self, done: int) -> None:
        """Shows that this amount is done."""
        # A file that is read from its end, as Parquet is, goes back and forth.
        self.done = max(self.done, done)
        self._show(self.done)


@contextmanager
def show_progress(
    progress: Progress, total: int, name: str, *, unit: str = " traces", note: Callable[[], str] = str
) -> Iterator[Advance]:
    """An Advance to call with the amount done of `total` (0: unknown); `progress` is what the user passed.

    `note` returns words to show beside the bar.
    """
    if callable(progress):
        yield Advance(lambda done: progress(done, total))
        return
    # tqdm heeds its own TQDM_DELAY only where no delay is passed.
    delay = {} if "TQDM_DELAY" in os.environ else {"delay": _AFTER_SECONDS}
    # None: no bar if standard error is not a terminal, as in a training job's log.
    with tqdm(
        total=total or None,
        desc=name,
        unit=unit,
        unit_scale=True,
        leave=False,
        disable=None if progress else True,
        **delay,
    ) as bar:

        def show(done: int) -> None:
            bar.set_postfix_str(note(), refresh=False)
            bar.update(done - bar.n)

        yield Advance(show)
