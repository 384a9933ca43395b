"""How far a long call is: a bar, or the caller's own function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

# A bar for what is over in a moment only flickers.
_AFTER_SECONDS = 1.0

Progress = bool | Callable[[int, int], object]


class Teller:
    """Shows how far the work is, in what it is measured in; `done` was shown last."""

    def __init__(self, show: Callable[[int], object]) -> None:
        self._show = show
        self.done = 0

    def __call__(self, done: int) -> None:
        """Shows that so much is done."""
        # A file that is read from its end, as Parquet is, goes back and forth.
        self.done = max(self.done, done)
        self._show(self.done)


@contextmanager
def telling(progress: Progress, total: int, name: str, *, unit: str = " traces") -> Iterator[Teller]:
    """What to call with the amount that is done, of `total` (0: not known); `progress` is what the user passed."""
    if callable(progress):
        yield Teller(lambda done: progress(done, total))
        return
    # None: no bar where standard error is no terminal, as in a training job's log.
    with tqdm(
        total=total or None,
        desc=name,
        unit=unit,
        unit_scale=True,
        leave=False,
        delay=_AFTER_SECONDS,
        disable=None if progress else True,
    ) as bar:
        yield Teller(lambda done: bar.update(done - bar.n))
