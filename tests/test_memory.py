"""Traces that are large where nobody counts: each call reads them by halves when DuckDB has too little memory."""

import random
import shutil
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tunix_rt as rt
from tunix_rt.store.engine.rows import TRACE_JSON, uuids
from tunix_rt.store.engine.spill import spill_folder
from tunix_rt.store.filters import Filters, where
from tunix_rt.store.ingest import dedup
from tunix_rt.store.upkeep import compact as compacting
from tunix_rt.store.upkeep import verify as verifying

N = 24


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A store of 24 traces with 160 KB of numbers each in meta."""
    store = rt.TraceStore(tmp_path_factory.mktemp("built") / "large.duckdb")
    numbers = random.Random(0)
    store.add_many(
        rt.Trace(
            prompt=f"{n // 2}?",
            steps=["s"],
            final_answer="a",
            meta={"logprobs": [numbers.random() for _ in range(8_000)], "correct": n % 2 == 0},
        )
        for n in range(N)
    )
    store.close()
    return store.path


def limited(path, megabytes):
    """The store with less memory than the setting allows: nobody need wait for traces of 10 MB."""
    settings = rt.Settings.model_construct(**rt.Settings().model_dump() | {"memory_limit": megabytes * 10**6})
    return rt.TraceStore(path, accept_loss=True, settings=settings)


@pytest.fixture
def large(built, tmp_path):
    """A copy of it, for which DuckDB has too little memory: enough for some of the traces, not for all."""
    store = limited(shutil.copy(built, tmp_path / "large.duckdb"), 14)
    with pytest.raises(rt.MemoryLimitReached), store._session.cursor() as cursor:
        cursor.sql(f"select {TRACE_JSON} from traces order by created_at desc, id").fetchall()
    return store


@pytest.mark.slow
def test_scan_and_records_read_all_of_them_in_order(large):
    found = [record.payload.prompt for record in large.records(newest_first=False)]
    assert found == [f"{n // 2}?" for n in range(N)]
    assert sum(map(len, large.scan())) == N


@pytest.mark.slow
def test_every_export_writes_all_of_them(large, tmp_path):
    for name in ("trace", "parquet", "tunix_rl", "preference"):
        expected = N // 2 if name in {"preference", "tunix_rl"} else N
        assert large.export(tmp_path / name, format=name).rows == expected
    again = rt.TraceStore(tmp_path / "again.duckdb")
    assert again.load(tmp_path / "trace").added == N


@pytest.mark.slow
def test_verify_reads_all_of_them(large):
    report = large.verify()
    assert (report.n_traces, report.ok) == (N, True)


@pytest.mark.slow
def test_compact_moves_all_of_them(large, monkeypatch):
    monkeypatch.setattr(compacting, "_MOST_ROW_GROUPS", 0)
    before = list(large.scan(["id", "n_chars"]))
    assert large.compact().moved == N
    assert list(large.scan(["id", "n_chars"])) == before
    assert large.verify().ok


@pytest.mark.slow
@pytest.mark.parametrize(
    "filters",
    [
        {"meta": {"correct": True}},
        {"meta": {"correct": True} | {f"absent {n}": None for n in range(1)}},
        {"where": "(meta ->> '$.correct')::boolean"},
    ],
    ids=["one key", "keys", "where"],
)
def test_pages_and_counts_find_all_that_their_filters_let_through(large, filters):
    expected = [f"{n // 2}?" for n in reversed(range(N)) if n % 2 == 0]
    clause, values = where(*Filters(**filters).conditions)
    with pytest.raises(rt.MemoryLimitReached), large._session.cursor() as cursor:
        cursor.execute(f"select count(*) from traces{clause}", values).fetchall()
    assert large.count(**filters) == len(expected)
    assert [summary.preview for summary in large.page(limit=100, **filters)] == expected
    second = large.page(limit=5, offset=4, **filters)
    assert [summary.preview for summary in second] == expected[4:9]
    assert [summary.preview for summary in second.next_page().previous_page()] == expected[4:9]


@pytest.mark.slow
def test_a_backup_takes_no_memory_for_them(large, tmp_path):
    assert rt.TraceStore(large.backup(tmp_path / "copy.duckdb"), read_only=True).count() == N


@pytest.mark.slow
def test_a_filter_by_many_keys_of_meta_takes_no_more_memory_than_one(large):
    absent = {f"key {n}": None for n in range(49)}
    assert large.count(meta={"correct": True} | absent) == N // 2
    assert len(large.page(limit=100, meta={"correct": False} | absent)) == N // 2


@pytest.mark.slow
def test_a_single_trace_that_is_too_large_is_reported(built, tmp_path):
    large = limited(shutil.copy(built, tmp_path / "large.duckdb"), 5)
    told = r"needs more than the 5 MB of memory .* Increase memory_limit \(TUNIX_RT_MEMORY_LIMIT\)"
    for work in (lambda: list(large.scan()), lambda: large.export(tmp_path / "out")):
        with pytest.raises(rt.MemoryLimitReached, match=told):
            work()
    assert not (tmp_path / "out").exists()
    report = large.verify()
    assert (report.n_traces, report.ok) == (0, False)


def test_a_scan_leaves_little_of_the_file_in_memory_and_disturbs_nobody(same_filled, monkeypatch):
    session, monkey = same_filled._session, monkeypatch.setattr
    session.close_file()
    in_memory = "select memory_usage_bytes from duckdb_memory() where tag = 'BASE_TABLE'"

    def left():
        return session._files.database._running().execute(in_memory).fetchall()[0][0]

    expected = list(same_filled.scan())
    assert left() > 0
    monkey("tunix_rt.store.engine.database._MOST_CACHED_BYTES", 0)
    monkey("tunix_rt.store.query.scan._PIECE_BYTES", 100)
    assert pa.Table.from_batches(same_filled.scan()) == pa.Table.from_batches(expected)
    assert left() == 0
    # A block that keeps the file, and a thread at work in it, keep it between the pieces as well.
    with same_filled.hold():
        list(same_filled.scan())
        assert left() > 0
    with session.cursor() as cursor:
        cursor.execute("create temp table mine as select 1 as n")
        assert len(list(same_filled.records())) == cursor.execute("select count(*) from traces").fetchall()[0][0]
        assert cursor.execute("from mine").fetchall() == [(1,)]


def test_verify_counts_problems_and_keeps_the_first(filled, monkeypatch):
    monkeypatch.setattr(verifying, "_MOST_PROBLEMS", 10)
    with filled._session.transaction() as cursor:
        cursor.execute("update traces set n_chars = 7")
    report = filled.verify()
    assert (len(report.problems), report.n_problems, report.ok) == (10, 25, False)
    assert "and 15 more" in str(report)


def test_scan_sees_older_rows_that_a_load_brings_meanwhile_and_no_newer_ones(store, monkeypatch, make_trace, tmp_path):
    monkeypatch.setattr("tunix_rt.store.query.scan._PIECE_BYTES", 100)
    store.add_many([make_trace(f"{n}?") for n in range(4)])
    store.export(tmp_path / "all.jsonl")
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    old = lines[0].replace("0?", "old")
    old = old.replace(old.split('"id":"')[1][:36], "00000000-0000-4000-8000-000000000000")
    reading = store.records()
    seen = [next(reading).payload.prompt]
    (tmp_path / "old.jsonl").write_text(old + "\n")
    assert store.load(tmp_path / "old.jsonl").added == 1
    store.add(make_trace("newer"))
    seen += [record.payload.prompt for record in reading]
    assert "newer" not in seen
    assert seen[:4] == ["3?", "2?", "1?", "0?"]


def test_two_duckdbs_never_share_a_folder_to_spill_into(store):
    assert spill_folder(store.path) != spill_folder(store.path)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    living = spill_folder(store.path)
    left = living.with_name(living.name.replace(living.name.split(".")[-3], dead.stdout.decode().strip()))
    for folder in (living, left):
        folder.mkdir()
        (folder / "block").write_text("spilled")
    spill_folder(store.path)
    assert (living.exists(), left.exists()) == (True, False)


@pytest.mark.slow
def test_the_digests_of_a_load_spill_beside_the_store_and_leave_nothing(store, monkeypatch):
    monkeypatch.setattr(dedup, "_MEMORY_LIMIT", "20MB")
    seen = dedup.Duplicates(store.path)
    with store._session.cursor() as cursor:
        for part in range(12):
            seen.begin(str(part))
            digests = [random.randbytes(16) for _ in range(50_000)]
            assert seen.already_stored(cursor, uuids(digests), seen.number(digests)) == set()
    assert list(store.path.parent.glob(".traces.duckdb.*.tmp")) != []
    seen.close()
    assert list(store.path.parent.glob(".traces.duckdb.*.tmp")) == []


PARTS = st.tuples(st.sampled_from("ab"), st.lists(st.lists(st.sampled_from([b"x" * 16, b"y" * 16]), max_size=4)))


@settings(max_examples=20)
@given(parts=st.lists(PARTS, max_size=5), at_most=st.sampled_from([0, 3, 8]))
def test_the_first_digests_are_numbered_as_those_in_a_database(store, monkeypatch, parts, at_most):
    monkeypatch.setattr(dedup, "_COUNTED_HERE", at_most)
    seen, expected = dedup.Duplicates(store.path), {}
    for part, chunks in parts:
        seen.begin(part)
        expected[part] = []
        for digests in chunks:
            numbers = []
            for digest in digests:
                expected[part].append(digest)
                numbers.append(sum(earlier.count(digest) for earlier in expected.values()))
            assert seen.number(digests).to_pylist() == numbers
    seen.close()
