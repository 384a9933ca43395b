"""Measuring contestants in turn, so that whatever else the machine does falls on all of them alike."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any, NamedTuple, TypeVar

try:
    import resource
except ImportError:  # Windows has none.
    resource = None  # type: ignore[assignment]

# A child of the fork server begins with that server's few megabytes. A plain subprocess would not do: on Linux its peak
# begins with what the process that started it had.
PROCESSES = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
_PEAK_UNIT_BYTES = 1 if sys.platform == "darwin" else 1_024
_REASON_CHARS = 100

Found = TypeVar("Found")


class Cost(NamedTuple):
    """The seconds that a piece of work took, and the resident peak in bytes where it had a process of its own."""

    seconds: float
    peak_bytes: float | None = None


def here(work: Callable[[], object]) -> Cost:
    """The cost of a piece of work in this process."""
    started = time.perf_counter()
    work()
    return Cost(time.perf_counter() - started)


def alone(work: Callable[..., Cost], *given: Any) -> Cost:
    """The cost of `work(*given)`, which takes the time itself, in a fresh process that has to import `work`."""
    with ProcessPoolExecutor(1, mp_context=PROCESSES) as process:
        return process.submit(_with_peak, work, *given).result()


def _with_peak(work: Callable[..., Cost], *given: Any) -> Cost:
    cost = work(*given)
    if resource is None:
        return cost
    return cost._replace(peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT_BYTES)


def tried(work: Callable[[], Found]) -> Found | str:
    """What the work gives, or why it failed: the table says it in this contestant's place."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        return f"{type(error).__name__}: {error}".partition("\n")[0][:_REASON_CHARS]


def in_turn(
    contestants: Mapping[str, Callable[[], Cost]], *, repeat: int, budget_seconds: float, warm_up: bool = True
) -> dict[str, Cost | str]:
    """The median cost of each contestant, by name, or the reason why it has none.

    They run in turn, A B A B …, for at most `repeat` rounds, none of them begun when the budget is used up. The round
    before them that warms up is not counted.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    faults: dict[str, str] = {}
    started = time.perf_counter()
    for counted in [False] * warm_up + [True] * repeat:
        for name, contestant in contestants.items():
            if name not in faults:
                cost = tried(contestant)
                if isinstance(cost, str):
                    faults[name] = cost
                else:
                    costs[name] += [cost] * counted
        if counted and time.perf_counter() - started > budget_seconds:
            break
    return {name: faults.get(name) or _median(found) for name, found in costs.items()}


def _median(costs: list[Cost]) -> Cost:
    peaks = [cost.peak_bytes for cost in costs if cost.peak_bytes is not None]
    return Cost(median(cost.seconds for cost in costs), median(peaks) if peaks else None)
