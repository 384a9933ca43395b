"""Adding, finding, listing, deleting, and asking in SQL, on one store."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import duckdb
import numpy as np
import pytest

import tunix_rt as rt


def test_what_is_added_is_got_back(store, make_trace):
    record = store.add(make_trace(meta={"source": "mine", "big": 10**40, "small": 0.1, "nested": [{}, None]}))
    assert store.get(record.id) == record
    assert record.id.version == 7
    assert record.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - record.created_at) < timedelta(minutes=1)


def test_a_dictionary_shaped_like_a_trace_is_taken_too(store):
    record = store.add({"prompt": "2 + 2?", "steps": ["2 + 2 = 4"], "final_answer": "4"})
    assert record.payload == rt.Trace(prompt="2 + 2?", steps=["2 + 2 = 4"], final_answer="4")
    with pytest.raises(rt.TraceInvalid, match="final_answer: missing"):
        store.add({"prompt": "2 + 2?", "steps": ["…"]})


def test_it_is_still_there_in_another_store_object_on_the_file(store, make_trace):
    record = store.add(make_trace())
    assert rt.TraceStore(store.path).get(record.id) == record


def test_add_many_takes_all_or_none(store, make_trace):
    records = store.add_many(make_trace(f"{n}?") for n in range(50))
    assert [r.payload.prompt for r in store.records(newest_first=False)] == [f"{n}?" for n in range(50)]
    assert list(store.records()) == records[::-1]
    with pytest.raises(rt.TraceInvalid, match=r"^traces\.2\.prompt: must be a string, not null$"):
        store.add_many([make_trace(), make_trace(), {"prompt": None, "steps": ["s"], "final_answer": "a"}])
    assert store.count() == 50
    assert store.add_many([]) == []


def test_a_trace_over_trace_max_bytes_is_refused(tmp_path, make_trace):
    store = rt.TraceStore(tmp_path / "small.duckdb", settings=rt.Settings(trace_max_bytes=1_024))
    fits = make_trace("x" * 800)
    store.add(fits)
    with pytest.raises(rt.TraceTooLarge, match=r"trace of 2,\d\d\d bytes exceeds maximum of 1,024 bytes"):
        store.add(make_trace("é" * 1_000))
    with pytest.raises(rt.TraceInvalid, match=r"^traces\.1: trace of .* exceeds maximum"):
        store.add_many([fits, make_trace("é" * 1_000)])
    assert store.count() == 1


def test_get_takes_any_unambiguous_beginning_of_an_id(store, make_trace):
    record = store.add(make_trace())
    written = str(record.id)
    for beginning in (written, written.upper(), written[:8], written[:13], written.replace("-", "")[:20], "0"):
        assert store.get(beginning) == record
    store.add_many([make_trace()] * 3)
    with pytest.raises(rt.IdAmbiguous, match="id 0 is ambiguous: 4 ids begin with it; give more digits"):
        store.get("0")


@pytest.mark.parametrize("absent", [UUID(int=0), "ffffffff", "nonsense", "", "0" * 33, "%"])
def test_an_id_that_is_not_there_is_not_found(store, make_trace, absent):
    store.add(make_trace())
    with pytest.raises(rt.TraceNotFound, match="not found"):
        store.get(absent)


def test_latest_is_the_newest_of_those_that_fit(store, make_trace):
    with pytest.raises(rt.TraceNotFound, match="has none yet"):
        store.latest()
    first, second = store.add_many([make_trace(meta={"source": "a"}), make_trace(meta={"source": "b"})])
    assert store.latest() == second
    assert store.latest(source="a") == first
    with pytest.raises(rt.TraceNotFound, match="has none that passes the filters"):
        store.latest(source="c")


def test_delete_by_ids_or_by_filters_says_how_many(store, make_trace):
    records = store.add_many([make_trace(f"{n}?", meta={"source": "even" if n % 2 == 0 else "odd"}) for n in range(10)])
    assert store.delete(records[0].id, str(records[1].id)) == 2
    assert store.delete(source="even") == 4
    assert store.delete(ids=[records[1].id]) == 0
    assert store.delete(source="nobody") == 0
    assert [r.payload.prompt for r in store.records()] == ["9?", "7?", "5?", "3?"]
    with pytest.raises(rt.TraceNotFound):
        store.delete(records[3].id, records[0].id)
    for nothing in ({}, {"source": None}):
        with pytest.raises(rt.QueryInvalid, match="pass either ids or filters"):
            store.delete(**nothing)
    with pytest.raises(rt.QueryInvalid, match="either ids or filters"):
        store.delete(records[3].id, source="odd")
    assert store.count() == 4
    assert store.delete(where="true") == 4
    assert store.info().n_traces == 0


def test_delete_takes_the_beginning_of_an_id_and_deletes_nothing_where_several_begin_so(store, make_trace):
    records = [
        rt.TraceRecord(
            id=UUID(digits.ljust(32, "0")),
            created_at=datetime.now(UTC),
            trace_version="1.0",
            payload=make_trace(f"{digits}?"),
        )
        for digits in ("00", "01", "1f")
    ]
    store.load(records)
    with pytest.raises(rt.IdAmbiguous, match="id 0 is ambiguous: 2 ids begin with it; give more digits"):
        store.delete(records[2].id, "0")
    assert store.count() == 3
    assert store.delete("1", records[0].id, str(records[0].id)) == 2
    assert [record.id for record in store.records()] == [records[1].id]


def test_scan_gives_sorted_arrow_batches_of_the_columns_asked_for(store, make_trace):
    store.add_many([make_trace(f"{n}?") for n in range(5)])
    (batch,) = store.scan(["prompt", "n_steps"])
    assert batch.to_pydict() == {"prompt": ["4?", "3?", "2?", "1?", "0?"], "n_steps": [2] * 5}
    (batch,) = store.scan(newest_first=False, text="3?")
    assert batch.column("prompt").to_pylist() == ["3?"]
    assert batch.column("steps").to_pylist()[0][0] == {"i": 0, "type": "step", "content": "27 × 20 = 540"}
    assert "digest" not in batch.schema.names
    for columns in (
        ["prompt", "nonsense"],
        [],
        ["1 from traces; drop table traces"],
        3,
        np.array(7),
        [{}],
        [10**5_000],
    ):
        with pytest.raises(rt.QueryInvalid, match="scan: unknown columns"):
            store.scan(columns)


def test_scan_of_an_empty_store_gives_nothing(store):
    (batch,) = store.scan(["id", "n_steps"])
    assert batch.to_pydict() == {"id": [], "n_steps": []}
    assert list(store.records()) == []


def test_scan_does_not_see_what_is_added_meanwhile(store, make_trace):
    store.add_many([make_trace(f"{n}?") for n in range(3)])
    reading = store.records(newest_first=False)
    seen = [next(reading)]
    store.add(make_trace("later"))
    assert [r.payload.prompt for r in [*seen, *reading]] == ["0?", "1?", "2?"]


def test_scan_cuts_large_traces_into_pieces_that_fit_the_memory(store, monkeypatch, make_trace):
    monkeypatch.setattr("tunix_rt.store.query.scan._PIECE_BYTES", 1_000)
    records = store.add_many([make_trace(f"{n}" * 400) for n in range(10)])
    sizes = [len(batch) for batch in store.scan(["id"])]
    assert sum(sizes) == 10
    assert max(sizes) == 2
    assert list(store.records()) == records[::-1]
    assert list(store.records(newest_first=False, where="n_steps = 2")) == records


@pytest.mark.slow
def test_traces_of_a_megabyte_are_exported_and_read_in_duckdb_s_memory(store, make_trace, tmp_path):
    for character, size in (("x", 1_000_000), ("鶴", 330_000), ('"', 500_000)):
        store.add_many(make_trace(trace_version="1.1", final_answer=character * size) for _ in range(50))
    assert store.export(tmp_path / "all.jsonl").rows == 150
    assert sum(1 for _ in store.records()) == 150


def test_sql_reads(store, make_trace):
    store.add_many([make_trace(meta={"source": source}) for source in ("a", "b", "a")])
    result = store.sql("select source, count(*) as n from traces where source >= ? group by all order by all", "a")
    assert result.columns == ("source", "n")
    assert result.rows == [("a", 2), ("b", 1)]
    assert result.arrow().to_pydict() == {"source": ["a", "b"], "n": [2, 1]}
    assert len(result) == 2
    assert store.sql("select created_at, id from traces").n_rows == 3
    assert store.sql("explain select 1").n_rows == 1


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("insert into traces (id) values (uuid())", "INSERT writes or changes settings"),
        ("delete from traces", "DELETE writes"),
        ("update traces set prompt = ''", "UPDATE writes"),
        ("drop table traces", "DROP writes"),
        ("create temp table t (a int)", "CREATE writes"),
        ("copy traces to 'stolen.csv'", "COPY writes"),
        ("attach 'other.duckdb'", "ATTACH writes"),
        ("set threads = 1", "SET writes"),
        ("begin", "TRANSACTION writes"),
        ("select 1; drop table traces", "2 statements; run one at a time"),
        ("with gone as (delete from traces returning 1) select * from gone", ""),
        ("", "0 statements"),
        ("selec", "syntax error"),
        ("select nonsense from traces", "nonsense"),
        ("select ? from traces", "parameter"),
    ],
)
def test_sql_that_writes_or_fails_is_refused_and_changes_nothing(store, make_trace, query, told):
    store.add(make_trace())
    with pytest.raises(rt.QueryInvalid, match=f"(?i)^SQL: .*{told}"):
        store.sql(query)
    assert store.count() == 1


def test_info_tells_the_store_s_numbers(store, make_trace):
    empty = store.info()
    assert (empty.n_traces, empty.oldest, empty.newest, empty.sources) == (0, None, None, ())
    first, *_, last = store.add_many([make_trace(meta={"source": s} if s else None) for s in ("a", "b", "a", None)])
    info = store.info()
    assert (info.path, info.n_traces, info.schema_version) == (str(store.path), 4, 4)
    assert (info.oldest, info.newest) == (first.created_at, last.created_at)
    assert info.sources == (("a", 2), ("b", 1), (None, 1))
    assert info.size_bytes > 0


def test_the_default_store_is_the_one_of_the_settings(tmp_path, make_trace):
    record = rt.TraceStore().add(make_trace())
    assert rt.TraceStore(tmp_path / "default.duckdb").get(record.id) == record


def test_missing_folders_are_made(tmp_path):
    assert rt.TraceStore(tmp_path / "new" / "folder" / "traces.duckdb").count() == 0


def test_a_path_that_cannot_be_a_store_is_refused_and_left_as_it_is(tmp_path):
    with pytest.raises(rt.StoreUnusable, match="is a folder; name a file in it"):
        rt.TraceStore(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("not a database\n" * 1_000)
    with pytest.raises(rt.StoreUnusable, match=r"notes\.txt: is not a DuckDB file, and was not changed"):
        rt.TraceStore(text)
    assert text.read_text() == "not a database\n" * 1_000
    with pytest.raises(rt.StoreUnusable, match="its folder cannot be created"):
        rt.TraceStore(text / "traces.duckdb")
    other = tmp_path / "other.duckdb"
    with duckdb.connect(other) as connection:
        connection.execute("create table sales (a int)")
    with pytest.raises(rt.StoreUnusable, match=r"a DuckDB file, but not a trace store \(its tables: sales\)"):
        rt.TraceStore(other)


def test_a_store_from_a_newer_version_is_refused_and_names_what_to_install(store):
    store.close()
    with duckdb.connect(store.path) as connection:
        connection.execute("insert into schema_history values (99, now(), 'tunix-rt 9.1')")
    with pytest.raises(rt.StoreUnusable, match=r"schema 99; .* up to 4\); install tunix-rt 9\.1 or newer"):
        rt.TraceStore(store.path)


def test_a_migration_that_fails_leaves_nothing_half_made(tmp_path, monkeypatch):
    from tunix_rt.store.engine import schema

    broken = schema.Migration(1, "create table traces (id uuid); select nonsense", "")
    path = tmp_path / "broken.duckdb"
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (broken,))
        with pytest.raises(duckdb.Error):
            rt.TraceStore(path)
    assert rt.TraceStore(path).count() == 0


def test_a_store_says_in_its_repr_where_it_lies(store):
    assert repr(store) == f"TraceStore({str(store.path)!r})"


def test_ids_sort_as_times_do(store, make_trace):
    records = store.add_many([make_trace()] * 2_000)
    assert [record.id for record in records] == sorted(record.id for record in records)
    assert [record.created_at for record in records] == sorted({record.created_at for record in records})
    assert all(record.id.version == 7 and record.id.variant == "specified in RFC 4122" for record in records)
    milliseconds = records[0].id.int >> 80
    assert milliseconds == int(records[0].created_at.timestamp() * 1_000)
