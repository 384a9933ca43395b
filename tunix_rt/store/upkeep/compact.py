"""Puts a store's rows back into the order of time, piece by piece, while others continue."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duckdb

from tunix_rt import render
from tunix_rt.errors import MemoryLimitReached
from tunix_rt.paths import log_of
from tunix_rt.store.engine.database import ROW_GROUP_ROWS
from tunix_rt.store.engine.expected_counts import loose_changes, merge_after
from tunix_rt.store.engine.session import Session
from tunix_rt.store.progress_bar import Progress, show_progress

# One row in 64 is examined: the disorder of 1,000,000 rows is known in 10 ms.
_ROWS_PER_SAMPLE = 64
# 17,920 rows, give or take the sample's 6 %, fill a row group and three quarters of a second: a piece of a little more
# than two would leave a small third one, and many that are half full would be merged.
_SAMPLES_PER_PIECE = 280
# Traces of 1 MB each would make gigabytes of such a piece.
_PIECE_CHARS = 64 * 2**20
# A piece of rows in order is in two or three row groups.
_MOST_ROW_GROUPS = 3
# Holes of a fifth are worth the writing.
_MOST_HOLES = 1.25
# One change leaves one row group, which is in order in itself.
_CHANGES_LEFT = 1
# At 1,000,000 traces, where the rows of each chunk were sorted, a page in the middle of an open store took 1.1 ms in
# order, 2.8 at 11 row groups and 4.7 at 25.
_DUE = 12.0

_SAMPLE = f"select created_at, id, n_chars, rowid from traces where rowid % {_ROWS_PER_SAMPLE} = 0"

# A moment is 64 of the rows that are examined, so 4,096 rows.
_DISORDER = f"""
select coalesce(avg(row_groups), 1) from (
    select count(distinct row_group) as row_groups from (
        select rowid // {ROW_GROUP_ROWS} as row_group, row_number() over (order by created_at) // 64 as moment
        from ({_SAMPLE})
    )
    group by moment
)
"""

# Cut from the newest, so that its piece is a full one; ids cut what shares one time.
_STARTS = f"""
select created_at::varchar, id::varchar from (
    select
        created_at,
        id,
        (row_number() over newest_first - 1) // {_SAMPLES_PER_PIECE}
            + sum(n_chars) over newest_first * {_ROWS_PER_SAMPLE} // {_PIECE_CHARS} as piece
    from ({_SAMPLE})
    window newest_first as (order by created_at desc, id desc rows unbounded preceding)
)
qualify piece < lead(piece) over (order by created_at desc, id desc)
order by created_at, id
"""
_NEWEST = "select created_at::varchar, id::varchar from traces order by created_at desc, id desc limit 1"
# Spelled out: DuckDB 2.0 makes a BETWEEN of two row comparisons and then refuses it.
_IN_PIECE = """
created_at >= $1::timestamptz and (created_at > $1::timestamptz or id >= $2)
and created_at <= $3::timestamptz and (created_at < $3::timestamptz or id < $4)
"""
_LAYOUT = f"""
select coalesce(sum(n), 0)::bigint, count(*), coalesce(sum(span), 0)::bigint from (
    select count(*) as n, max(rowid) - min(rowid) + 1 as span from traces
    where {_IN_PIECE} group by rowid // {ROW_GROUP_ROWS}
)
"""
_TAKE = f"create or replace temp table moved as select * from traces where {_IN_PIECE}"
_DELETE = f"delete from traces where {_IN_PIECE}"
_PUT = "insert into traces select * from moved order by created_at, id"
_KEYS = f"select created_at::varchar, id::varchar from traces where {_IN_PIECE} order by created_at, id"
_FIRST = ("-infinity", "00000000-0000-0000-0000-000000000000")
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


@render.shows_facts
@dataclass(frozen=True)
class Compaction:
    """What compacting did: traces moved, and bytes on disk and disorder before and after.

    Disorder is the number of row groups that the traces of one moment are in, on average; in order it is about 1.
    """

    moved: int
    size_before: int
    size_after: int
    disorder_before: float
    disorder_after: float

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return [
            ("moved", render.count(self.moved, "trace")),
            ("disorder", f"{self.disorder_before:.1f} → {self.disorder_after:.1f}"),
            ("size", f"{render.size(self.size_before)} → {render.size(self.size_after)}"),
        ]

    def __repr__(self) -> str:
        return (
            f"<Compaction: {self.moved:,} traces moved, disorder {self.disorder_before:.1f} → "
            f"{self.disorder_after:.1f}, {render.size(self.size_before)} → {render.size(self.size_after)}>"
        )


def disorder(cursor: duckdb.DuckDBPyConnection) -> float:
    """The number of row groups that the traces of one moment are in, on average; 1 is perfect order."""
    return float(cursor.execute(_DISORDER).fetchall()[0][0])


def is_due(measured: float) -> bool:
    """Whether a page of an open store of such disorder takes two and a half times as long as in order."""
    return measured > _DUE


def compact(session: Session, path: Path, *, progress: Progress) -> Compaction:
    """Puts the rows of a store back into the order of time; see `TraceStore.compact`."""
    session.refuse_read_only()
    with session.cursor() as cursor:
        before = disorder(cursor)
        starts = cursor.execute(_STARTS).fetchall()
        # Nothing later is moved: a load may add any number of rows meanwhile.
        newest = cursor.execute(_NEWEST).fetchone()
    size_before, moved = _size(path), 0
    pieces = pairwise([_FIRST, *starts, (newest[0], _LAST_ID)]) if newest else ()
    try:
        with show_progress(progress, session.n_traces, "compacting") as advance:
            for since, until in pieces:
                n_rows, apart = _inspect(session, [*since, *until])
                for n_moved in _move_in_parts(session, [*since, *until]) if apart else ():
                    moved += n_moved
                advance(advance.done + n_rows)
        if moved:
            _drop_emptied(session)
    except BaseException as error:
        error.add_note(f"{moved:,} traces were moved before this; compacting again continues from there")
        raise
    with session.cursor() as cursor:
        after = disorder(cursor)
    return Compaction(moved, size_before, _size(path), before, after)


def _inspect(session: Session, piece: list[str]) -> tuple[int, bool]:
    """How many rows the piece has, and whether they are scattered."""
    with session.cursor() as cursor:
        n_rows, row_groups, span = cursor.execute(_LAYOUT, piece).fetchall()[0]
        # The newest are in a row group for each small change.
        small = n_rows > 0 and piece[-1] == _LAST_ID and loose_changes(cursor) > _CHANGES_LEFT
        return n_rows, small or row_groups > _MOST_ROW_GROUPS or span > _MOST_HOLES * n_rows


def _move_in_parts(session: Session, piece: list[str]) -> Iterator[int]:
    """Moves the piece; where DuckDB has too little memory for all of it, half by half. Each part is committed."""
    try:
        yield _move(session, piece)
    except MemoryLimitReached:
        with session.cursor() as cursor:
            n_rows, *_ = cursor.execute(_LAYOUT, piece).fetchall()[0]
            middle = cursor.execute(f"{_KEYS} offset {n_rows // 2} limit 1", piece).fetchone()
        if n_rows <= 1 or middle is None:
            raise
        yield from _move_in_parts(session, [*piece[:2], *middle])
        yield from _move_in_parts(session, [*middle, *piece[2:]])


def _move(session: Session, piece: list[str], *, merge: bool = False) -> int:
    """Rewrites the rows of the piece in order, and returns how many there are."""
    with session.transaction() as cursor:
        cursor.execute(_TAKE, piece)
        cursor.execute(_DELETE, piece)
        n_rows = int(cursor.execute(_PUT).fetchall()[0][0])
        cursor.execute("drop table moved")
        merge_after(cursor, now=merge)
        return n_rows


def _drop_emptied(session: Session) -> None:
    """Has DuckDB drop the emptied row groups, which it does only while it merges, and only in a table that changed.

    A commit that finds more than 16 MB in the write-ahead log writes the table out by itself, and drops nothing. So the
    log is emptied first, and the newest row moved, for a change.
    """
    session.close()
    with session.cursor() as cursor:
        newest = cursor.execute(_NEWEST).fetchall()
    for created_at, trace_id in newest:
        _move(session, [created_at, trace_id, created_at, _LAST_ID], merge=True)
    session.close()


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, log_of(path)) if file.exists())
