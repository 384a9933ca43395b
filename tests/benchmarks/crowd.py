"""Many processes at work on one store at once: how much they get done, and how long each call takes."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import chain, pairwise
from threading import Barrier
from typing import NamedTuple

from tests.benchmarks.ours import Ours
from tests.benchmarks.plain_sqlite import PlainSQLite
from tests.benchmarks.table import Row
from tests.benchmarks.timing import PROCESSES, Cost, tried

Maker = Callable[[], Ours | PlainSQLite]

# All stop at the same time, not after the same number of calls: the last ones would have the store to themselves.
# Five seconds are enough: of 1,000 adds a second, the slowest hundredth is then fifty.
_SECONDS_A_ROUND = 0.25
_MOST_SECONDS = 5.0

_IN_ALL = "adds in all"


class _Crowd(NamedTuple):
    """Processes that add and processes that turn to the newest page, and what we aim at, by the figures we show."""

    work: str
    n_adders: int
    n_pagers: int
    aims: Mapping[str, str]


_CROWDS = (
    _Crowd(
        "8 processes adding while a notebook pages",
        n_adders=8,
        n_pagers=1,
        aims={_IN_ALL: "≥ 2,000/s", "add, p50": "", "add, p99": "≤ 20 ms", "page, p50": "", "page, p95": ""},
    ),
    _Crowd(
        "4 writers and 4 readers at work",
        n_adders=4,
        n_pagers=4,
        aims={_IN_ALL: "", "page, p50": "", "page, p95": "≤ 150 ms"},
    ),
)


def crowd_rows(makers: Mapping[str, Maker], repeat: int) -> Iterator[Row]:
    """The rows of the table for crowds; each process makes the contestant that it works with."""
    seconds = min(repeat * _SECONDS_A_ROUND, _MOST_SECONDS)
    for crowd in _CROWDS:
        found = {name: tried(partial(_together, crowd, make, seconds)) for name, make in makers.items()}
        for figure, aim in crowd.aims.items():
            costs = {name: costs if isinstance(costs, str) else costs[figure] for name, costs in found.items()}
            yield Row(f"{crowd.work}: {figure}", "traces/s" if figure == _IN_ALL else "ms", costs, aim)


def _together(crowd: _Crowd, make: Maker, seconds: float) -> dict[str, Cost]:
    n_processes = crowd.n_adders + crowd.n_pagers
    n_before = make().count()
    with PROCESSES.Manager() as manager, ProcessPoolExecutor(n_processes, mp_context=PROCESSES) as pool:
        ready = manager.Barrier(n_processes)
        adders = [pool.submit(_calls, make, "add", ready, seconds) for _ in range(crowd.n_adders)]
        pagers = [pool.submit(_calls, make, "first_page", ready, seconds) for _ in range(crowd.n_pagers)]
        try:
            added: list[list[float]] = []
            paged: list[list[float]] = []
            for done in as_completed(adders + pagers):
                (added if done in adders else paged).append(done.result())
        except BaseException:
            # The first that fails says why; whoever still waits for it shall not.
            ready.abort()
            raise
    adds, pages = sorted(chain.from_iterable(added)), sorted(chain.from_iterable(paged))
    # Every adder has added one more, to warm up.
    n_acknowledged = len(adds) + crowd.n_adders
    n_found = make().count() - n_before
    assert n_found == n_acknowledged, f"{n_acknowledged:,} adds were acknowledged, {n_found:,} are in the store"
    return {
        _IN_ALL: Cost(max(map(sum, added)) / len(adds)),
        "add, p50": _percentile(adds, 50),
        "add, p99": _percentile(adds, 99),
        "page, p50": _percentile(pages, 50),
        "page, p95": _percentile(pages, 95),
    }


def _calls(make: Maker, method: str, ready: Barrier, seconds: float) -> list[float]:
    """The seconds that each call took, one after the other; the last begins before the time is over."""
    call = getattr(make(), method)
    call()
    ready.wait()
    times = [time.perf_counter()]
    while times[-1] - times[0] < seconds:
        call()
        times.append(time.perf_counter())
    return [end - start for start, end in pairwise(times)]


def _percentile(ranked: list[float], percent: int) -> Cost:
    return Cost(ranked[math.ceil(len(ranked) * percent / 100) - 1])
