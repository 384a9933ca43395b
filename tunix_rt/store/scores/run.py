"""Scores the traces of a selection that have no score under a key: in order, in bounded memory, chunk by chunk."""

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from tunix_rt import render
from tunix_rt.errors import JudgeUnavailable, TunixRTError, WorkerLost
from tunix_rt.store.engine.access import Access
from tunix_rt.store.filters import Filters
from tunix_rt.store.progress_bar import Advance, Progress, show_progress
from tunix_rt.store.query.page import Search
from tunix_rt.store.query.scan import scan_with
from tunix_rt.store.scores.by_workers import ScoringWorkers, scored
from tunix_rt.store.scores.facts import NewScore, ScoreKey, insert_scores
from tunix_rt.store.scores.scorers import Scoring

# A row group of the store's file.
_CHUNK_ROWS = 20_480
_CHUNK_CHARS = 16 * 2**20
# A scorer may take seconds for a trace; what is older than this is not lost with the process.
_CHUNK_SECONDS = 5.0
_MOST_ERRORS = 5


@render.shows_facts
@dataclass
class ScoreReport:
    """What scoring did: how many traces were `scored`, were `already_scored` under this key, and are `unscorable`.

    `unscorable` counts by the reason, which is stored with the trace; a trace with the reason `error` or `timeout` has
    the message in its explanation, and `errors` has the first five, by id. The key is `scorer`, `version` and `params`
    (JSON). `usage` counts what a judge has used: requests, tokens.
    """

    scorer: str
    version: str
    params: str
    scored: int = 0
    already_scored: int = 0
    unscorable: dict[str, int] = field(default_factory=dict)
    errors: dict[UUID, str] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return asdict(self) | {"errors": {str(trace_id): said for trace_id, said in self.errors.items()}}

    @property
    def counts(self) -> str:
        """The counts in words, for a message."""
        n_unscorable = sum(self.unscorable.values())
        return f"{self.scored:,} scored, {self.already_scored:,} already scored, {n_unscorable:,} unscorable"

    @property
    def _facts(self) -> list[tuple[str, str]]:
        facts = [("scorer", self.scorer), ("version", self.version)]
        facts += [("params", self.params)] if self.params != "{}" else []
        facts += [("scored", f"{self.scored:,}"), ("already scored", f"{self.already_scored:,}")]
        facts += [("unscorable", f"{n:,}: {reason}") for reason, n in self.unscorable.items()]
        ids = render.short_ids([[str(trace_id)] for trace_id in self.errors])
        facts += [(f"error in {one}", said) for (one,), said in zip(ids, self.errors.values(), strict=True)]
        facts += [(name.replace("_", " "), f"{n:,}") for name, n in self.usage.items()]
        return [*facts, ("seconds", f"{self.seconds:.1f}")]

    def __repr__(self) -> str:
        return render.visible(f"<ScoreReport of {self.scorer}: {self.counts}>")


class _Run:
    """Gathers scores in chunks and stores them; counts in the report what was committed."""

    def __init__(self, session: Access, key: ScoreKey, report: ScoreReport, advance: Advance) -> None:
        self._session = session
        self._key = key
        self._report = report
        self._advance = advance
        self._waiting: list[NewScore] = []
        self._n_chars = 0
        self._stored_at = time.monotonic()

    def take(self, score: NewScore) -> None:
        """Adds a score to the chunk, which is stored when it is full or old."""
        self._waiting.append(score)
        self._n_chars += len(score.answer or "") + len(score.explanation or "") + len(score.metadata or "")
        if (
            len(self._waiting) >= _CHUNK_ROWS
            or self._n_chars >= _CHUNK_CHARS
            or time.monotonic() - self._stored_at > _CHUNK_SECONDS
        ):
            self.store()

    def store(self) -> None:
        """Stores the chunk, and shows the progress."""
        n_stored = len(self._waiting)
        self.save()
        self._advance(self._advance.done + n_stored)

    def save(self) -> None:
        """Stores the chunk."""
        if self._waiting:
            self._count(insert_scores(self._session, self._key, self._waiting))
        self._waiting, self._n_chars, self._stored_at = [], 0, time.monotonic()

    def _count(self, reasons: list[str | None]) -> None:
        report = self._report
        for reason in reasons:
            if reason is None:
                report.scored += 1
            else:
                report.unscorable[reason] = report.unscorable.get(reason, 0) + 1
        # Another process was faster, or the trace is gone.
        report.already_scored += len(self._waiting) - len(reasons)
        for score in self._waiting:
            if score.reason in ("error", "timeout") and len(report.errors) < _MOST_ERRORS:
                report.errors[UUID(score.trace_id)] = score.explanation or ""


def run(
    session: Access,
    scoring: Scoring,
    filters: Filters,
    *,
    progress: Progress,
    workers: int = 0,
    timeout: float | None = None,
) -> ScoreReport:
    """Scores the selected traces that have no score under the key; see `TraceStore.score`."""
    session.refuse_read_only()
    begun = time.monotonic()
    report = ScoreReport(*scoring.key)
    scorers = ScoringWorkers(scoring, workers, timeout)
    missing = filters.also(scoring.key.kept(there=False))
    with session.cursor() as cursor, filters.query_errors(cursor, session.path):
        index = session.time_index(cursor)
        n_missing = Search(cursor, index, missing).count()
        n_traces = Search(cursor, index, filters).count()
        report.already_scored = n_traces - n_missing
    # What was used in worker processes is not known here.
    usage = {} if workers else scoring.usage or {}
    used = dict(usage)

    def count_usage() -> str:
        report.usage = {name: n - used[name] for name, n in usage.items()}
        return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in report.usage.items())

    name = f"scoring {scoring.key.scorer}"
    with show_progress(progress, n_missing, name, note=count_usage) as advance:
        run = _Run(session, scoring.key, report, advance)
        try:
            # What a judge has asked for is given up at once, and not when the traceback is forgotten.
            with closing(scan_with(session, partial(scored, scorers), scoring.columns, missing)) as scores:
                for score in scores:
                    run.take(score)
            run.store()
        except BaseException as error:
            if isinstance(error, JudgeUnavailable | WorkerLost) or not isinstance(error, TunixRTError):
                # An interrupt, or `progress` that raises; an error of the store would come again.
                run.save()
            error.add_note(f"stopped after {report.counts}; scoring the same again continues from there")
            raise
    # Another process may have scored some after they were counted, and before they were read.
    n_done = report.scored + sum(report.unscorable.values())
    report.already_scored = max(report.already_scored, n_traces - n_done)
    count_usage()
    report.seconds = time.monotonic() - begun
    return report
