"""What changes files of a lake: traces deleted from them, and small ones merged, while others append."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt import render
from tunix_rt.errors import StoreBusy
from tunix_rt.lake.session import SCORES_BEFORE, LakeSession
from tunix_rt.lake.table import KEPT_DAYS, DataFile, LakeTable
from tunix_rt.store.progress_bar import Progress, show_progress

# Some 60,000 traces of 2 KB, of which the merging holds all texts in memory.
_MERGED_BYTES = 32 * 2**20
# Others may replace the same files all the time.
_MOST_TRIES = 10


class Deleted(int):
    """How many traces were deleted, and `kept_until`: until when older versions of the lake may keep them (UTC).

    After that time the next `compact()` removes their files for good.
    """

    kept_until: datetime

    def __new__(cls, n: int) -> Self:  # noqa: D102 - of an int
        deleted = super().__new__(cls, n)
        deleted.kept_until = datetime.now(UTC) + timedelta(days=KEPT_DAYS)
        return deleted


@render.shows_facts
@dataclass(frozen=True)
class LakeCompaction:
    """What compacting did: files of the two tables before and after, rows that were moved, old files that were removed.

    Old files are those that no version of the last seven days needs.
    """

    files_before: int
    files_after: int
    moved: int
    removed: int

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("files", f"{self.files_before:,} → {self.files_after:,}"),
            ("moved", render.count(self.moved, "row")),
            ("old files removed", f"{self.removed:,}"),
        ]


def remove(session: LakeSession, traces: Sequence[tuple[str, int]]) -> None:
    """Rewrites the files that have rows of these traces, given by id and time in microseconds, without them."""
    times = sorted(time for _, time in traces)
    ids = pa.array([trace_id for trace_id, _ in traces], pa.string())
    session.scores.refresh()
    note = {SCORES_BEFORE: session.scores.version}
    # The scores first: those of a trace that is gone would be of nothing, and never be deleted.
    for table in (session.scores, session.traces):
        for _ in range(_MOST_TRIES):
            table.refresh()
            found = [file for file in table.files() if _reaches(file, times) and _has(table, file, ids)]
            if not found or table.replace(found, _without(table, found, ids), changes_data=True, note=note):
                break
        else:
            raise StoreBusy(
                f"{session.location.target}: others replaced the same files all the time; some traces are not deleted. "
                "Try again"
            )


def compact(session: LakeSession, *, progress: Progress) -> LakeCompaction:
    """Merges small files of a day into larger ones, in the order of time, and removes what no version needs."""
    session.refuse_read_only()
    session.flush()
    tables = (session.traces, session.scores)
    before = moved = 0
    for table in tables:
        table.refresh()
        before += len(table.files())
    parts = [(table, part) for table in tables for part in _to_merge(table.files())]
    total = sum(file.n_rows for _, part in parts for file in part)
    with show_progress(progress, total, "compacting") as advance:
        for table, part in parts:
            rows = pa.concat_tables([_rows(table, file) for file in part])
            # Where others were faster, these files are gone, and so is the work.
            if table.replace(part, [rows], changes_data=False):
                moved += len(rows)
            advance(advance.done + sum(file.n_rows for file in part))
    removed = 0
    for table in tables:
        if parts:
            table.checkpoint()
        removed += len(table.vacuum())
    return LakeCompaction(before, sum(len(table.files()) for table in tables), moved, removed)


def n_small(files: Sequence[DataFile]) -> int:
    """How many files compacting would merge."""
    return sum(map(len, _to_merge(files)))


def _to_merge(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """Files of one day, next to each other in time, that are merged into one."""
    for _, of_day in groupby(sorted(files, key=lambda file: (file.day, file.since)), key=lambda file: file.day):
        part: list[DataFile] = []
        for file in of_day:
            if part and sum(one.n_bytes for one in part) + file.n_bytes > _MERGED_BYTES:
                if len(part) > 1:
                    yield part
                part = []
            part.append(file)
        if len(part) > 1:
            yield part


def _reaches(file: DataFile, times: Sequence[int]) -> bool:
    at = bisect_left(times, file.since)
    return at < len(times) and times[at] <= file.until


def _has(table: LakeTable, file: DataFile, ids: pa.Array) -> bool:
    return any(pc.any(pc.is_in(batch.column(0), ids)).as_py() for batch in table.read(file, [table.kind.id]))


def _without(table: LakeTable, files: Collection[DataFile], ids: pa.Array) -> Iterator[pa.Table]:
    for file in files:
        rows = _rows(table, file)
        left = rows.filter(pc.invert(pc.is_in(rows[table.kind.id], ids)))
        if len(left):
            yield left


def _rows(table: LakeTable, file: DataFile) -> pa.Table:
    return pa.Table.from_batches(table.read(file), table.kind.columns)
