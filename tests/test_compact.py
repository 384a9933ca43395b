"""Compacting: rows back in the order of time, none lost and none doubled, whoever does what meanwhile."""

import re
import signal
import subprocess
from datetime import UTC, datetime

import pytest

from tests.processes import python
from tunix_rt.store.engine.clock import new_ids
from tunix_rt.store.engine.rows import NewRow, encode, insert, to_microseconds, to_table
from tunix_rt.store.upkeep import compact as compacting

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

COMPACT = """
import sys
import tunix_rt as rt
from tunix_rt.store.upkeep import compact as compacting
compacting._SAMPLES_PER_PIECE = 4
for name in ("_STARTS",):
    setattr(compacting, name, getattr(compacting, name).replace("// 280", "// 4"))
compacting._MOST_ROW_GROUPS = 0
store = rt.TraceStore(sys.argv[1])
print("here", flush=True)
print(store.compact(progress=False).moved)
"""

ADD_READ_DELETE = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for n in range(20):
    kept = store.add(rt.Trace(prompt=f"kept {n}", steps=["s"], final_answer="a"))
    gone = store.add(rt.Trace(prompt=f"gone {n}", steps=["s"], final_answer="a"))
    store.delete(gone.id)
    ids = [record.id for record in store.records(where="prompt like '%?'")]
    assert len(ids) == len(set(ids)) == int(sys.argv[2]), len(ids)
    assert len(store.page(limit=100)) == 100
"""


@pytest.fixture
def put(store, make_trace):
    """Puts one trace for each time (seconds after noon) into the table, in this order."""

    def put(seconds):
        line = encode(make_trace("PLACE?"), 10_000)[0].joined()
        times = [to_microseconds(NOON) + second * 1_000_000 for second in seconds]
        rows = [
            NewRow(trace_id, time, place.to_bytes(16), line.replace(b"PLACE", b"%d" % place))
            for place, (trace_id, time) in enumerate(zip(new_ids(times), times, strict=True))
        ]
        with store._session.transaction() as cursor:
            # As small loads leave them: each in order, all of them across each other.
            for first in range(0, len(rows), 20_000):
                insert(cursor, to_table(rows[first : first + 20_000]))

    return put


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 256 traces, all of which are moved."""
    monkeypatch.setattr(compacting, "_STARTS", compacting._STARTS.replace("// 280", "// 4"))
    monkeypatch.setattr(compacting, "_MOST_ROW_GROUPS", 0)


def shuffled(n):
    """All of 0 to n, in no order; n has no factor in common with the step."""
    return [place * 387_420_489 % n for place in range(n)]


def everything(store):
    with store._session.cursor() as cursor:
        return cursor.sql("select * replace (created_at::varchar as created_at) from traces order by all").fetchall()


def rows_kept(store):
    """Rows in the row groups of the file, deleted ones too: the newest, which is moved last, may leave one."""
    kept = "select sum(count)::int from pragma_storage_info('traces') where column_name = 'n_chars'"
    with store._session.cursor() as cursor:
        return cursor.sql(f"{kept} and segment_type = 'BIGINT'").fetchall()[0][0]


def places(store):
    with store._session.cursor() as cursor:
        return compacting.disorder(cursor)


@pytest.mark.slow
def test_traces_out_of_order_lie_in_order_afterwards(store, put):
    put(shuffled(80_000))
    # One row group of each of the four chunks, and two where a moment lies at their border.
    assert places(store) == pytest.approx(4.3, abs=0.2)
    rows = everything(store)
    done = store.compact(progress=False)
    assert done.moved == 80_000
    assert done.disorder_before == pytest.approx(4.3, abs=0.2)
    assert done.disorder_after == places(store) < 1.5
    assert everything(store) == rows
    with store._session.cursor() as cursor:
        in_order = (
            "select count(*) from (select created_at < lag(created_at) over (order by rowid) as back from traces)"
        )
        assert cursor.sql(f"{in_order} where back").fetchall() == [(0,)]
    assert rows_kept(store) - 80_000 <= 1
    assert re.match(r"<Compaction: 80,000 traces moved, disorder \d\.\d → 1\.\d, \d.* MiB → \d.* MiB>$", repr(done))
    assert done.size_after > done.size_before > 0
    assert store.compact(progress=False).moved == 0


@pytest.mark.slow
def test_traces_in_order_stay_where_they_are(store, put):
    put(range(50_000))
    store.compact(progress=False)
    assert places(store) < 1.5
    done = store.compact()
    assert (done.moved, done.size_before) == (0, done.size_after)
    assert not store.info().compact_due


@pytest.mark.slow
def test_whole_row_groups_elsewhere_in_time_do_no_harm(store, put):
    for start in (60_000, 0, 40_000, 20_000):
        put(range(start, start + 20_000))
    assert places(store) < 2


def test_compaction_is_due_where_a_moment_lies_in_many_places():
    assert compacting.is_due(49.0)
    assert not compacting.is_due(1.2)


@pytest.mark.slow
@pytest.mark.usefixtures("small_pieces")
def test_an_export_is_the_same_before_and_after(store, put, tmp_path):
    put(shuffled(3_001))
    store.export(tmp_path / "before.jsonl")
    assert store.compact(progress=False).moved == 3_001
    store.export(tmp_path / "after.jsonl")
    assert (tmp_path / "before.jsonl").read_bytes() == (tmp_path / "after.jsonl").read_bytes()


def test_an_empty_store_and_one_of_few_traces(store, make_trace):
    assert store.compact().moved == 0
    records = store.add_many([make_trace(), make_trace()])
    store.compact()
    assert [record.id for record in store.page()] == [record.id for record in records[::-1]]


@pytest.mark.slow
@pytest.mark.usefixtures("small_pieces")
def test_many_traces_of_one_moment_are_cut_by_id(store, put):
    put([7] * 3_000 + [1, 9])
    rows = everything(store)
    done = store.compact(progress=False)
    assert done.moved == 3_002
    assert everything(store) == rows


@pytest.mark.slow
def test_holes_of_deleted_traces_are_closed(store, put):
    put(range(60_000))
    store.delete(where="try_cast(rtrim(prompt, '?') as int) % 3 = 0")
    rows = everything(store)
    assert rows_kept(store) == 60_000
    store.compact(progress=False)
    assert everything(store) == rows
    assert rows_kept(store) - 40_000 <= 1


def test_large_traces_make_small_pieces(store, put, monkeypatch):
    put(shuffled(3_001))
    monkeypatch.setattr(compacting, "_STARTS", compacting._STARTS.replace(str(64 * 2**20), "4096"))
    with store._session.cursor() as cursor:
        assert len(cursor.execute(compacting._STARTS).fetchall()) > 10


@pytest.mark.slow
def test_a_read_only_store_is_refused(store, make_trace):
    store.add(make_trace())
    store.close()
    program = "import sys, tunix_rt as rt; rt.TraceStore(sys.argv[1], read_only=True).compact()"
    with python(program, store.path, stderr=subprocess.PIPE, text=True) as reader:
        assert "StoreReadOnly" in reader.communicate()[1]


@pytest.mark.slow
@pytest.mark.usefixtures("small_pieces")
def test_others_add_read_and_delete_meanwhile(store, put):
    put(shuffled(4_000))
    other = python(ADD_READ_DELETE, store.path, 4_000)
    moved = 0
    while other.poll() is None:
        moved += store.compact(progress=False).moved
    assert other.returncode == 0
    assert moved >= 4_000
    assert store.count(where="prompt like '%?'") == 4_000
    assert store.count(text="kept") == 20
    assert store.count() == 4_020


@pytest.mark.slow
@pytest.mark.usefixtures("small_pieces")
def test_an_export_beside_it_has_every_trace_once(store, put, monkeypatch):
    monkeypatch.setattr("tunix_rt.store.query.scan._PIECE_ROWS", 2_048)
    put(shuffled(9_001))
    ids = [record.id for record in store.records()]
    records = store.records()
    seen = [next(records).id]
    with python(COMPACT, store.path, stdout=subprocess.PIPE, text=True) as other:
        for record in records:
            seen.append(record.id)
            if len(seen) % 2_048 == 0:
                store.close()
        assert int(other.communicate()[0].split()[-1]) == 9_001
    assert seen == ids


@pytest.mark.crash
@pytest.mark.usefixtures("small_pieces")
def test_killed_half_way_it_leaves_every_trace_and_goes_on(store, put):
    put(shuffled(9_001))
    rows = everything(store)
    for _ in range(3):
        with python(COMPACT, store.path, stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            generation = store._session._files.counts.generation
            while store.count() == 9_001 and store._session._files.counts.generation < generation + 5:
                pass
            other.send_signal(signal.SIGKILL)
        assert everything(store) == rows
    assert store.compact(progress=False).moved == 9_001
    assert everything(store) == rows


@pytest.mark.slow
@pytest.mark.usefixtures("small_pieces")
def test_interrupted_it_says_how_far_it_came(store, put, monkeypatch):
    put(shuffled(3_001))
    rows = everything(store)
    move, done = compacting._move, []

    def interrupted(session, piece):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(move(session, piece))
        return done[-1]

    monkeypatch.setattr(compacting, "_move", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        store.compact(progress=False)
    assert caught.value.__notes__ == [
        f"{sum(done):,} traces were moved before this; compacting again continues from there"
    ]
    assert everything(store) == rows
