"""Scores by worker processes: on every core, and with a time-out for each trace."""

import functools
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Self

import pyarrow as pa

from tunix_rt.analysis import Score
from tunix_rt.errors import QueryInvalid, WorkerLost
from tunix_rt.store.engine.rows import TIME
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.scores.facts import NewScore
from tunix_rt.store.scores.outcomes import new_score
from tunix_rt.store.scores.scorers import Scoring
from tunix_rt.validation import short
from tunix_rt.workers import Workers, usable_workers

MOST_WORKERS = 64
_MOST_SECONDS = 86_400
# A task of this time is long beside its way to the worker and back, and short beside the time in which scores may be
# lost with the process. The first tasks are small: how long a trace takes, is known afterwards.
_TASK_SECONDS = 0.2
_FIRST_ROWS = 16
_MOST_ROWS = 1_024
_TASK_BYTES = 4 * 2**20
# An answer costs both processes 20 µs. Less than a time-out that anybody sets.
_ANSWER_SECONDS = 0.002


class ScoringWorkers:
    """Up to n workers that score, each trace within `timeout` seconds (None: without a limit); they end with the block.

    Raises QueryInvalid for options that are not valid, and where the scorer cannot be sent to another process.
    """

    def __init__(self, scoring: Scoring, n: int, timeout: float | None) -> None:
        whole_number("workers", n, 0, MOST_WORKERS)
        if scoring.timeout is not None:
            n, timeout = max(n, 1), scoring.timeout if timeout is None else timeout
        if timeout is not None and not _is_time(timeout):
            raise QueryInvalid(f"timeout={short(timeout)}: must be a number of seconds, up to {_MOST_SECONDS:,}")
        if timeout is not None and not n:
            raise QueryInvalid(
                "timeout: only a worker process can be ended when it is over; set workers to 1 or more, too"
            )
        # Where there is one core, a worker is of no use but for the time-out.
        self._workers = Workers(usable_workers(n) or 1) if n else None
        self._function = pickled(functools.partial(scored_rows, scoring.scores)) if n else b""
        self._scoring = scoring
        self._timeout = timeout
        self._made_of = scoring, n, timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process it has workers of its own.
        return type(self), self._made_of

    def scores(self, batches: Iterable[pa.RecordBatch]) -> Generator[NewScore]:
        """The scores of all rows, in order; in this process where there are no workers.

        A trace that took longer than the time-out has the reason `timeout`, one that ended its worker twice `error`.
        Raises WorkerLost where no worker can be started, or none can load the scorer.
        """
        if self._workers is None:
            for batch in batches:
                yield from self._scoring.scores(batch)
            return
        pending: deque[pa.RecordBatch] = deque()
        n_rows = _FIRST_ROWS

        def tasks() -> Iterator[tuple[int, bytes]]:
            for batch in batches:
                start = 0
                while start < len(batch):
                    n_fitting = _TASK_BYTES * len(batch) // max(batch.nbytes, 1)
                    pending.append(batch.slice(start, max(1, min(n_rows, n_fitting))))
                    start += len(pending[-1])
                    yield len(pending[-1]), _sent(pending[-1])

        # A function of many traces at once is called with one, so that the time is that of one.
        singly = self._timeout is not None and self._scoring.is_of_many
        for results, seconds in self._workers.map_items(self._function, tasks(), seconds=self._timeout, singly=singly):
            batch = pending.popleft()
            n_in_time = int(_TASK_SECONDS * len(batch) / max(seconds, 1e-6))
            n_rows = max(1, min(4 * n_rows, n_in_time, _MOST_ROWS))
            for index, result in enumerate(results):
                yield _lost(batch, index, result) if isinstance(result, WorkerLost) else NewScore(*result)


def scored(scorers: ScoringWorkers, batches: Iterable[pa.RecordBatch]) -> Iterator[NewScore]:
    """The scores of all rows, in order; then the workers end."""
    with scorers:
        yield from scorers.scores(batches)


def _is_time(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= _MOST_SECONDS


def _lost(batch: pa.RecordBatch, index: int, error: WorkerLost) -> NewScore:
    created_at, trace_id = (batch.column(name)[index].as_py() for name in (TIME, "id"))
    return new_score(
        created_at, str(trace_id), Score(reason="timeout" if error.timed_out else "error", explanation=f"{error}")
    )


def pickled(function: Callable[..., Any]) -> bytes:
    """A function as bytes: by its name if it is in a module, else, by cloudpickle, with its code."""
    try:
        import cloudpickle
    except ImportError:
        cloudpickle = None
    try:
        found: bytes = (cloudpickle or pickle).dumps(function)
    except Exception as error:  # noqa: BLE001 - a user's object
        advice = "" if cloudpickle else "; pip install cloudpickle, or define it in a module"
        raise QueryInvalid(
            f"workers: the scorer cannot be sent to a worker process{advice} ({type(error).__name__}: {error})"
        ) from None
    if cloudpickle is None and b"__main__" in found:
        raise QueryInvalid(
            "workers: the scorer is defined in a notebook or script, and cannot be sent to a worker process; "
            "pip install cloudpickle, or define it in a module"
        )
    return found


def _sent(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def scored_rows(
    scores: Callable[[pa.RecordBatch], Iterator[NewScore]],
    sent: bytes,
    start: int,
    singly: bool,  # noqa: FBT001
) -> Iterator[list[tuple[Any, ...]]]:
    """What a worker does: the scores of the rows from `start`, some at a time, or one by one."""
    with pa.ipc.open_stream(sent) as reader:
        batch = reader.read_next_batch().slice(start)
    pieces = [batch.slice(index, 1) for index in range(len(batch))] if singly else [batch]
    done: list[tuple[Any, ...]] = []
    sent_at = time.monotonic()
    for piece in pieces:
        for score in scores(piece):
            # In a third of the bytes of a named tuple.
            done.append(tuple(score))
            if singly or time.monotonic() - sent_at > _ANSWER_SECONDS:
                yield done
                done, sent_at = [], time.monotonic()
    yield done
