"""Reading everything there is, and saying what is not as it was stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from tqdm.auto import tqdm

from tunix_rt import render
from tunix_rt.errors import StoreUnusable, TraceInvalid
from tunix_rt.model import Trace
from tunix_rt.store.filters import where
from tunix_rt.store.rows import TRACE_JSON, encode
from tunix_rt.store.ruler import EVERYTHING, Ruler, Window, in_window
from tunix_rt.store.session import Session

_PIECE_ROWS = 8_192
# More of them than anyone reads would only fill the page.
_MOST_PROBLEMS = 100
_PROGRESS_AFTER_SECONDS = 1.0
_COLUMNS = f"id::varchar as id, digest::varchar as digest, n_steps, n_chars, {TRACE_JSON} as json"
_TWICE = "select count(*) - count(distinct id) from traces"
# A trace may be larger than what is accepted today.
_ANY_SIZE = 2**62


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found: traces read, and each problem in words; `ok` where there was none."""

    path: str
    n_traces: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is as it was stored."""
        return not self.problems

    @property
    def _facts(self) -> list[tuple[str, str]]:
        found = [("problem", problem) for problem in self.problems] or [("problems", "none")]
        return [("store", self.path), ("traces read", f"{self.n_traces:,}"), *found]

    def __str__(self) -> str:
        return render.facts_text(self._facts)

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return render.facts_html(self._facts)


def verify(session: Session, path: str, *, progress: bool) -> VerifyReport:
    """Reads every trace of the store; see `TraceStore.verify`."""
    problems = session.problems()
    n_read = 0
    pieces = [EVERYTHING]
    try:
        with session.cursor() as cursor:
            pieces = Ruler(cursor, session.n_traces).pieces(_PIECE_ROWS, newest_first=False)
            if twice := cursor.execute(_TWICE).fetchall()[0][0]:
                problems.append(f"{twice:,} traces have an id that another one has too")
    except StoreUnusable as error:
        problems.append(f"ids and times: cannot be read: {error}")
    with tqdm(
        pieces,
        desc="verifying",
        leave=False,
        delay=_PROGRESS_AFTER_SECONDS,
        disable=None if progress else True,
    ) as bar:
        for piece in bar:
            try:
                rows = _read(session, piece)
            except StoreUnusable as error:
                problems.append(f"{_span(piece)}: cannot be read: {error}")
                continue
            n_read += len(rows)
            problems += _faults(rows)
    left_out = len(problems) - _MOST_PROBLEMS
    if left_out > 0:
        problems[_MOST_PROBLEMS:] = [f"and {left_out:,} more"]
    return VerifyReport(path, n_read, tuple(problems))


def _read(session: Session, piece: Window) -> pa.Table:
    clause, values = where(*in_window(piece))
    with session.cursor() as cursor:
        return cursor.sql(f"select {_COLUMNS} from traces{clause}", params=values).to_arrow_table()


def _faults(rows: pa.Table) -> Iterator[str]:
    for row in rows.to_pylist():
        try:
            trace = Trace.from_json(row["json"])
            _, digest = encode(trace, _ANY_SIZE)
        except TraceInvalid as error:
            yield f"trace {row['id']}: {error}"
            continue
        if digest.hex() != row["digest"].replace("-", ""):
            yield f"trace {row['id']}: is not what was stored under this id"
        elif (len(trace.steps), trace.n_chars) != (row["n_steps"], row["n_chars"]):
            yield f"trace {row['id']}: its counts of steps and characters are wrong"


def _span(piece: Window) -> str:
    since = "the beginning" if piece.since is None else f"{piece.since:%Y-%m-%d %H:%M:%S.%f} UTC"
    until = "the end" if piece.until is None else f"{piece.until:%Y-%m-%d %H:%M:%S.%f} UTC"
    return f"traces from {since} to {until}"
