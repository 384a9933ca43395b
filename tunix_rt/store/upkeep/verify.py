"""Reads all traces, and reports those that differ from what was stored."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from tunix_rt import render
from tunix_rt.errors import MemoryLimitReached, StoreUnusable, TraceInvalid
from tunix_rt.model import Trace
from tunix_rt.store.engine.rows import TRACE_JSON, encode
from tunix_rt.store.engine.session import Session
from tunix_rt.store.engine.time_index import EVERYTHING, Window
from tunix_rt.store.filters import Filters
from tunix_rt.store.named_selections import faults
from tunix_rt.store.progress_bar import Progress, show_progress
from tunix_rt.store.query.scan import Pace, in_window, read

_PIECE_ROWS = 8_192
# As objects of Python they take several times the memory.
_ROWS_AT_ONCE = 256
# Nobody reads more of them.
_MOST_PROBLEMS = 100
_COLUMNS = f"id::varchar as id, digest::varchar as digest, n_steps, n_chars, {TRACE_JSON} as json"
_TWICE = "select count(*) - count(distinct id) from traces"
_ORPHANS = "select count(*) from scores where trace_id not in (select id from traces)"
# A page under a score filter looks for them at the time of their trace.
_DISPLACED = """
select count(*) from scores join traces on traces.id = scores.trace_id where traces.created_at <> scores.created_at
"""
_SCORED_TWICE = """
select coalesce(sum(n - 1), 0)::bigint from (
    select count(*) as n from scores group by trace_id, step, scorer, version, params, sample having count(*) > 1
)
"""
_COUNTED = {
    _TWICE: "traces have the id of another trace",
    _ORPHANS: "scores are of traces that are not there",
    _DISPLACED: "scores have another time than their trace",
    _SCORED_TWICE: "scores are there twice",
}
# A trace may be larger than what is accepted today.
_ANY_SIZE = 2**62


@render.shows_facts
@dataclass(frozen=True)
class VerifyReport:
    """The result of `verify`: how many traces were read, and what is wrong; `ok` if nothing is.

    `problems` has the first 100 in words, `n_problems` is how many there are.
    """

    path: str
    n_traces: int
    problems: tuple[str, ...]
    n_problems: int

    @property
    def ok(self) -> bool:
        """Whether everything is as it was stored."""
        return not self.problems

    @property
    def _facts(self) -> list[tuple[str, str]]:
        found = [("problem", problem) for problem in self.problems] or [("problems", "none")]
        if self.n_problems > len(self.problems):
            found.append(("problems", f"and {self.n_problems - len(self.problems):,} more"))
        return [("store", self.path), ("traces read", f"{self.n_traces:,}"), *found]


class _Problems:
    """The first problems in words, and how many there are."""

    def __init__(self, found: list[str]) -> None:
        self.kept = found[:_MOST_PROBLEMS]
        self.n = len(found)

    def add(self, problem: str) -> None:
        self.n += 1
        if len(self.kept) < _MOST_PROBLEMS:
            self.kept.append(problem)


def verify(session: Session, path: str, *, progress: Progress) -> VerifyReport:
    """Reads every trace of the store; see `TraceStore.verify`."""
    problems = _Problems(session.problems())
    n_read = 0
    pieces = [EVERYTHING]
    try:
        with session.cursor() as cursor:
            pieces = session.time_index(cursor).pieces(_PIECE_ROWS, newest_first=False)
            for query, what in _COUNTED.items():
                if n := cursor.execute(query).fetchall()[0][0]:
                    problems.add(f"{n:,} {what}")
            for fault in faults(cursor):
                problems.add(fault)
    except (StoreUnusable, MemoryLimitReached) as error:
        problems.add(f"ids, times, scores and selections: cannot be read: {error}")
    pace = Pace()
    with show_progress(progress, session.n_traces, "verifying") as advance:
        for piece in pieces:
            try:
                for n_rows, rows in read(
                    session, [*in_window(piece)], _COLUMNS, Filters(), pace=pace, newest_first=False
                ):
                    n_read += n_rows
                    for problem in _faults(rows):
                        problems.add(problem)
                    advance(n_read)
            except (StoreUnusable, MemoryLimitReached) as error:
                problems.add(f"{_span(piece)}: cannot be read: {error}")
    return VerifyReport(path, n_read, tuple(problems.kept), problems.n)


def _faults(rows: pa.Table) -> Iterator[str]:
    for row in (row for batch in rows.to_batches(max_chunksize=_ROWS_AT_ONCE) for row in batch.to_pylist()):
        try:
            trace = Trace.from_json(row["json"])
            _, digest = encode(trace, _ANY_SIZE)
        except TraceInvalid as error:
            yield f"trace {row['id']}: {error}"
            continue
        if digest.hex() != row["digest"].replace("-", ""):
            yield f"trace {row['id']}: differs from what was stored under this id"
        elif (len(trace.steps), trace.n_chars) != (row["n_steps"], row["n_chars"]):
            yield f"trace {row['id']}: its counts of steps and characters are wrong"


def _span(piece: Window) -> str:
    since = "the beginning" if piece.since is None else f"{piece.since:%Y-%m-%d %H:%M:%S.%f} UTC"
    until = "the end" if piece.until is None else f"{piece.until:%Y-%m-%d %H:%M:%S.%f} UTC"
    return f"traces from {since} to {until}"
