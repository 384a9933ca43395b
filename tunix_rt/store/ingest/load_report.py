"""The report of a load."""

import warnings
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, SourceInvalid
from tunix_rt.formats import Rejection
from tunix_rt.model import Trace
from tunix_rt.store.engine.rows import Line

# A file of the wrong kind can be rejected row by row; more of them than anyone reads would only fill the memory.
KEPT_REJECTIONS = 1_000
KEPT_IDS = 1_000
KEPT_SAMPLES = 3
KEPT_NEWEST = 5


@render.shows_itself(render.report_text, render.report_html)
class LoadReport:
    """What a load did: `added`, `already_stored`, and `rejected_count` rows that are not valid traces.

    `scores_added` is how many scores came with them, also with those already stored, and were not there yet.

    `rejected` holds the first 1,000 of these, each with file, line, field, reason and how the row begins, `ids` the ids
    of the first 1,000 traces that were added, and `newest` those of the last five. `source` and `format` say what was
    read and as what, and `samples` holds up to three of the traces that were read, to see whether they were read as
    they were meant. `passed_over` are the files of trace stores in a folder or pattern, which were not opened.

    `mapping` says what was taken for what where only the names of the fields told it, as `load` takes it; else None.
    `tried` has, by file of which nothing could be read, what each format lacks in it, and `help` the SourceInvalid with
    the mappings to try, where a format only seemed to fit.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.formats: list[str] = []
        self.added = 0
        self.already_stored = 0
        self.rejected_count = 0
        self.scores_added = 0
        self.rejected: list[Rejection] = []
        self.ids: list[UUID] = []
        self.newest: list[UUID] = []
        self.passed_over: list[Path] = []
        self.mappings: list[Mapping[str, Any]] = []
        self.tried: dict[str, dict[str, str]] = {}
        self.help: dict[str, SourceInvalid] = {}
        self._samples: dict[str, list[Trace]] = {}

    @property
    def known(self) -> int:
        """The old name of `already_stored`."""
        warnings.warn(
            "LoadReport.known is now already_stored; the old name will be removed in the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.already_stored

    @property
    def format(self) -> str:
        """The formats found, in the order of the files."""
        return ", ".join(dict.fromkeys(self.formats))

    @property
    def samples(self) -> list[Trace]:
        """Up to three traces that were read, added or already stored; some of each format."""
        rounds = zip_longest(*self._samples.values())
        return [trace for round_ in rounds for trace in round_ if trace is not None][:KEPT_SAMPLES]

    @property
    def mapping(self) -> Mapping[str, Any] | None:
        """The first of the mappings that the names of fields gave, or None."""
        return self.mappings[0] if self.mappings else None

    def begin(self, format: str, mapping: Mapping[str, Any] | None = None) -> None:
        """The next traces are of this format, or read by this mapping, which the names of their fields gave."""
        self.formats.append(format)
        self._note(mapping)

    def refuse(self, file: str, why: SourceInvalid | QueryInvalid, *, is_claimed: bool = False) -> None:
        """Nothing of this file could be read, though a format claimed it if `is_claimed`."""
        if isinstance(why, SourceInvalid) and why.tried and len(self.tried) < KEPT_REJECTIONS:
            self.tried[file] = why.tried
            if is_claimed:
                self.help[file] = why

    def _note(self, mapping: Mapping[str, Any] | None) -> None:
        if mapping is not None and mapping not in self.mappings:
            self.mappings.append(mapping)

    def sample(self, line: Line) -> None:
        """Keeps the trace in this line if it is one of the first of its format."""
        kept = self._samples.setdefault(self.formats[-1], [])
        if len(kept) < KEPT_SAMPLES:
            kept.append(Trace.from_json(line.joined()))

    def count_added(self, ids: pa.ChunkedArray) -> None:
        """Counts traces that were added, by their ids."""
        self.added += len(ids)
        self.ids += ids[: KEPT_IDS - len(self.ids)].to_pylist()
        self.newest = [*self.newest, *ids[-KEPT_NEWEST:].to_pylist()][-KEPT_NEWEST:]

    def include(self, other: "LoadReport") -> None:
        """Adds the counts of another report, without its samples."""
        self.formats = list(dict.fromkeys([*self.formats, *other.formats]))
        self.passed_over = other.passed_over
        for mapping in other.mappings:
            self._note(mapping)
        self.tried |= other.tried
        self.help |= other.help
        self.added += other.added
        self.already_stored += other.already_stored
        self.rejected_count += other.rejected_count
        self.scores_added += other.scores_added
        self.rejected += other.rejected[: KEPT_REJECTIONS - len(self.rejected)]
        self.ids += other.ids[: KEPT_IDS - len(self.ids)]
        self.newest = [*self.newest, *other.newest][-KEPT_NEWEST:]

    def reject(self, rejection: Rejection) -> None:
        """Counts a row that is not a trace."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)

    @property
    def counts(self) -> str:
        """The counts in words, for a message."""
        counts = f"{self.added:,} added, {self.already_stored:,} already stored, {self.rejected_count:,} rejected"
        return counts + (f", {self.scores_added:,} scores added" if self.scores_added else "")

    def __repr__(self) -> str:
        return f"<LoadReport: {self.counts}>"
