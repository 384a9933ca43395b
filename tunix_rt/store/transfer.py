"""Traces and their scores from one store to another, or to a lake and back: each once, also after a stop half-way."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt import render
from tunix_rt.errors import StoreDamaged
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import BETWEEN, uuids
from tunix_rt.store.engine.score_rows import SCORES_LIST
from tunix_rt.store.filters import Condition, Filters
from tunix_rt.store.progress_bar import Progress, show_progress
from tunix_rt.store.query.page import Search
from tunix_rt.store.query.scan import Pace, read, scan
from tunix_rt.store.scores.facts import insert_carried_rows

_MOST_DIFFERING = 1_000
# Of each trace what tells whether it is there already, and its scores: what is there is not read any further.
_KEYS = f"id, epoch_us(created_at) as created_at, digest, {SCORES_LIST} as scores"
_ROWS = """
id, created_at, trace_version, preview, n_steps, n_chars, source, digest, prompt, steps, final_answer,
meta::varchar as meta
"""
_THERE = f"""
select incoming.id, there.digest is distinct from incoming.digest::uuid
from incoming
join (select id, digest from traces where {BETWEEN}) as there on there.id = incoming.id::uuid
"""
_INSERT = f"""
insert into store.traces
select
    id::uuid, created_at, trace_version, preview, n_steps, n_chars, source, digest::uuid, prompt, steps, final_answer,
    meta::json
from incoming
where id::uuid not in (select id from traces where {BETWEEN})
order by created_at, id::uuid
"""
# As DuckDB has them in memory: thirty traces of 1 MB took more than its 512 MB.
_LARGE_BYTES, _PART_BYTES = 2**13, 4 * 2**20


@render.shows_facts
@dataclass
class TransferReport:
    """What went from one store to another: of `traces` that passed the filters how many are `new` there, with `scores`.

    The rest were `already_there`, each compared by its digest: those that are other traces under the same id are left
    as they are, and `differing` has the first 1,000 of their ids. `scores` are those that were not there yet, of old
    and new traces.
    """

    source: str
    target: str
    traces: int = 0
    new: int = 0
    already_there: int = 0
    scores: int = 0
    differing: tuple[UUID, ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return asdict(self) | {"differing": list(map(str, self.differing))}

    @property
    def counts(self) -> str:
        """The counts in words, for a message."""
        return f"{self.new:,} new, {self.already_there:,} already there, {self.scores:,} scores"

    @property
    def _facts(self) -> list[tuple[str, str]]:
        facts = [("from", self.source), ("to", self.target), ("traces", f"{self.traces:,}"), ("new", f"{self.new:,}")]
        facts += [("already there", f"{self.already_there:,}"), ("scores", f"{self.scores:,}")]
        if self.differing:
            ids = ", ".join(one for (one,) in render.short_ids([[str(one)] for one in self.differing[:3]]))
            facts.append(("others under the same id", f"{len(self.differing):,}: {ids}"))
        return [*facts, ("seconds", f"{self.seconds:.1f}")]

    def __repr__(self) -> str:
        return render.visible(f"<TransferReport to {self.target}: {self.counts}>")


def transfer(
    source: Access, target: Access, filters: Filters, *, names: tuple[str, str], progress: Progress
) -> TransferReport:
    """Brings what passes the filters, and is not there, from one to the other; see `TraceStore.publish`."""
    target.refuse_read_only()
    begun = time.monotonic()
    report = TransferReport(*names)
    with source.cursor() as cursor, filters.query_errors(cursor, source.path):
        n_traces = Search(cursor, source.time_index(cursor), filters).count()
    with show_progress(progress, n_traces, "transferring") as advance:
        try:
            for batch in scan(source, _KEYS, filters, newest_first=False):
                if len(batch):
                    _transfer(source, target, pa.table(batch), report)
                    advance(report.traces)
        except BaseException as error:
            error.add_note(f"stopped after {report.counts}; the same call again brings what is left")
            raise
    report.seconds = time.monotonic() - begun
    return report


def _transfer(source: Access, target: Access, keys: pa.Table, report: TransferReport) -> None:
    """A piece: the traces that are not there, then the scores, each of those that are there now."""
    times = pc.min_max(keys["created_at"]).as_py()
    span = [times["min"], times["max"]]
    there = _there(target, keys, span)
    missing = [one for one in keys["id"].to_pylist() if one not in there]
    n_new = 0
    if missing:
        sent: list[str] = []
        bounds = [Condition(BETWEEN, tuple(span)), Condition("id in (select unnest(?::uuid[]))", (missing,))]
        for _, rows in read(source, bounds, _ROWS, Filters(), pace=Pace(), newest_first=False):
            for part in _parts(rows):
                n_new += _committed(target, partial(_insert, part, span))
            sent += rows["id"].to_pylist()
        there = _there(target, keys, span)
        if lost := sum(one not in there for one in sent):
            raise StoreDamaged(f"{report.target}: {lost:,} traces that were written there a moment ago are missing")
    differing = [UUID(one) for one, differs in there.items() if differs]
    report.differing += tuple(islice(differing, _MOST_DIFFERING - len(report.differing)))
    same = pc.is_in(keys["id"], pa.array([one for one, differs in there.items() if not differs]))
    scores = _scores(keys.filter(same))
    if len(scores):
        report.scores += _committed(target, partial(insert_carried_rows, scores))
    # Without those that were deleted meanwhile.
    report.traces += len(there)
    report.new += n_new
    report.already_there += len(there) - n_new


def _parts(rows: pa.Table) -> Iterator[pa.Table]:
    """The rows in parts that DuckDB can store within its memory."""
    n_rows = len(rows)
    if rows.nbytes > _LARGE_BYTES * n_rows:
        n_rows = max(1, _PART_BYTES * n_rows // rows.nbytes)
    for start in range(0, len(rows), max(n_rows, 1)):
        yield rows.slice(start, n_rows)


def _scores(keys: pa.Table) -> pa.Table:
    """The scores of these traces, a row each, with the times in microseconds."""
    found = keys["scores"].combine_chunks()
    scores, of_rows = pc.list_flatten(found), pc.list_parent_indices(found)
    names = [field.name for field in found.type.value_type]
    columns = {name: pc.struct_field(scores, name) for name in names}
    columns |= {"created_at": keys["created_at"].take(of_rows), "trace_id": _uuids(keys["id"]).take(of_rows)}
    columns["scored_at"] = columns["scored_at"].cast(pa.int64())
    return pa.table(columns)


def _uuids(ids: pa.ChunkedArray) -> pa.Array:
    # Arrow carries them as text.
    return uuids([UUID(one).bytes for one in ids.to_pylist()])


def _there(target: Access, keys: pa.Table, span: list[int]) -> dict[str, bool]:
    """Those that are there, by their ids: whether they are other traces."""
    with target.cursor() as cursor:
        cursor.register("incoming", keys.select(["id", "digest"]))
        try:
            return dict(cursor.execute(_THERE, span).fetchall())
        finally:
            cursor.unregister("incoming")


def _insert(rows: pa.Table, span: list[int], cursor: duckdb.DuckDBPyConnection) -> int:
    cursor.register("incoming", rows)
    return int(cursor.execute(_INSERT, span).fetchall()[0][0])


def _committed(target: Access, change: Callable[[duckdb.DuckDBPyConnection], int]) -> int:
    """How many rows the change has added, without those that others were faster to add."""
    with target.transaction(once=True) as cursor:
        n = change(cursor)
    target.drop_cache()
    return n - getattr(cursor, "left_out", 0)
