"""Files out: whole or not at all, and back in without a difference."""

import gzip
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.test_model import traces


@pytest.fixture
def full(store):
    store.load(rt.examples.folder())
    return store


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet"])
def test_an_export_loaded_into_an_empty_store_gives_the_same_store(full, tmp_path, name):
    path = tmp_path / name
    assert full.export(path).rows == full.count()
    other = rt.TraceStore(tmp_path / "other.duckdb")
    report = other.load(path)
    assert (report.added, report.rejected_count) == (full.count(), 0)
    assert list(other.records()) == list(full.records())
    assert other.load(rt.examples.folder()).added == 0
    again = tmp_path / f"again-{name}"
    other.export(again)
    assert again.read_bytes() == path.read_bytes()
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


def test_lines_are_the_native_format_oldest_first(full, tmp_path):
    full.export(tmp_path / "out.jsonl.gz", source="rollouts", meta={"correct": True})
    with gzip.open(tmp_path / "out.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == 5
    assert list(rows[0]) == ["id", "created_at", "trace_version", "prompt", "steps", "final_answer", "meta"]
    assert [row["created_at"] for row in rows] == sorted(row["created_at"] for row in rows)
    assert rows[0]["created_at"].endswith("Z")


def test_parquet_has_the_store_s_columns_typed(full, tmp_path):
    full.export(tmp_path / "out.parquet")
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert str(schema.field("created_at").type) == "timestamp[us, tz=UTC]"
    assert str(schema.field("steps").type).startswith("list<")
    assert {"id", "prompt", "final_answer", "meta", "n_steps", "n_chars", "source"} <= set(schema.names)


@pytest.fixture
def others(tmp_path):
    """Stores to load exports into, by the names of these."""
    return {name: rt.TraceStore(tmp_path / f"{name}.duckdb") for name in ("out.jsonl", "out.parquet")}


@pytest.mark.slow
@given(st.lists(traces(), min_size=1, max_size=8))
def test_any_traces_come_back_as_they_went(store, others, tmp_path, many):
    store.delete(where="true")
    records = store.add_many(many)
    assert list(store.records(newest_first=False)) == records
    for name, other in others.items():
        store.export(tmp_path / name)
        other.delete(where="true")
        assert repr(other.load(tmp_path / name)) == f"<LoadReport: {len(many)} added, 0 already stored, 0 rejected>"
        assert list(other.records(newest_first=False)) == records
        assert other.load(tmp_path / name).added == 0


def test_an_empty_selection_is_an_empty_file(full, tmp_path):
    with pytest.warns(UserWarning, match=r"none\.jsonl: no rows were written: no trace passed the filters source"):
        assert full.export(tmp_path / "none.jsonl", source="nobody").rows == 0
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    with pytest.warns(UserWarning, match="no rows were written"):
        assert full.export(tmp_path / "none.parquet", source="nobody").rows == 0
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


def test_what_cannot_be_written_is_told_and_what_stood_there_stays(full, tmp_path):
    with pytest.raises(rt.ExportFailed, match="is a folder; name a file in it"):
        full.export(tmp_path)
    with pytest.raises(rt.ExportFailed, match="is the store itself"):
        full.export(full.path)
    with pytest.raises(rt.ExportFailed, match=r"nowhere/out\.jsonl: cannot be written"):
        full.export(tmp_path / "nowhere" / "out.jsonl")
    with pytest.raises(rt.QueryInvalid, match='unknown export format "csv"; known are trace, parquet'):
        full.export(tmp_path / "out.csv", format="csv")
    for odd in ({}, ["trace"], 3, 10**5_000, ""):
        with pytest.raises(rt.QueryInvalid, match=r"unknown export format .*; known are trace, parquet"):
            full.export(tmp_path / "out", format=odd)
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")
    with pytest.raises(rt.QueryInvalid, match='where="nonsense"'):
        full.export(path, where="nonsense")
    assert path.read_text() == "precious\n"
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
