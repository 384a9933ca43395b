"""What is loaded besides files by name: bytes, open files, lists, frames, tables, data sets, all in the same way."""

import gzip
import importlib.util
import io
import json
import math
import os
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

import tunix_rt as rt
from tests.test_load import GSM8K, ROW, counts, lines, parquet, rows, write
from tunix_rt.formats import READABLE
from tunix_rt.store.ingest import chunk

COLUMNS = pa.Table.from_pylist([row | {"steps": [{"i": 0, "type": "step", "content": "2 + 2 = 4"}]} for row in rows(5)])


class Dataset:
    """A Hugging Face Dataset as far as a load looks at it: its table, and beside it which rows are selected."""

    features = None

    def __init__(self, data, selected):
        self.data, self._selected = data, selected

    def __len__(self):
        return len(self._selected)

    def __iter__(self):
        raise AssertionError("row by row a data set takes ten times as long")

    def with_format(self, kind):
        assert kind == "arrow"
        return self

    def iter(self, batch_size):
        for start in range(0, len(self), batch_size):
            yield self.data.take(self._selected[start : start + batch_size])


def hugging_face():
    """The real one where it is installed."""
    longer = pa.concat_tables([COLUMNS, COLUMNS])
    if importlib.util.find_spec("datasets") is None:
        return Dataset(longer, [5, 1, 2, 3, 4])
    import datasets

    return datasets.Dataset(datasets.table.InMemoryTable(longer), fingerprint="0").select([5, 1, 2, 3, 4])


SOURCES = {
    "bytes": lambda: lines(rows(5)).encode(),
    "bytearray": lambda: bytearray(lines(rows(5)).encode()),
    "memoryview": lambda: memoryview(gzip.compress(lines(rows(5)).encode())),
    "BytesIO": lambda: io.BytesIO(parquet(COLUMNS.to_pylist())),
    "list": lambda: rows(5),
    "tuple": lambda: tuple(rt.Trace(**row) for row in rows(5)),
    "generator": lambda: (row for row in rows(5)),
    "Table": lambda: COLUMNS,
    "RecordBatch": lambda: COLUMNS.to_batches()[0],
    "RecordBatchReader": lambda: COLUMNS.to_reader(max_chunksize=2),
    "Dataset": hugging_face,
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_traces_that_a_file_gives(store, name):
    report = store.load(SOURCES[name]())
    assert counts(report) == (5, 0, 0)
    assert (report.source, report.format) == (name, "trace")
    assert [record.payload for record in store.records(newest_first=False)] == [rt.Trace(**row) for row in rows(5)]
    assert counts(store.load(write("t.jsonl", lines(rows(6))))) == (1, 5, 0)


@pytest.mark.parametrize("name", SOURCES)
def test_a_bad_row_is_told_with_its_source_and_number(store, name):
    if name in {"list", "tuple", "generator"}:
        good = list(SOURCES[name]())
        report = store.load([good[0], {"prompt": "p", "steps": []}, good[1]])
        (rejected,) = report.rejected
        assert (rejected.file, rejected.line, rejected.field) == ("list", 2, "final_answer")
    else:
        report = store.load(SOURCES[name](), mapping={"prompt": "prompt", "steps": "no such column"})
        assert [(row.file, row.line, row.field) for row in report.rejected] == [
            (name, line, "no such column") for line in range(1, 6)
        ]


@pytest.mark.slow
def test_stored_traces_keep_their_ids_and_times(store, tmp_path):
    store.add_many(rows(3))
    other = rt.TraceStore(tmp_path / "other.duckdb")
    assert counts(other.load(store.records())) == (3, 0, 0)
    assert list(other.records()) == list(store.records())
    assert counts(other.load([*store.records()])) == (0, 3, 0)
    # What a query gives has the columns that the store derives too.
    assert counts(other.load(store.sql("from traces").arrow())) == (0, 3, 0)
    assert counts(store.load(store.records())) == (0, 3, 0)


def test_any_format_is_found_in_any_source(store):
    assert store.load([GSM8K]).format == "gsm8k"
    report = store.load(pa.Table.from_pylist([GSM8K]))
    assert (report.format, counts(report)) == ("gsm8k", (0, 1, 0))
    assert counts(store.load([GSM8K | {"question": "Another?"}, 3, "x", None], format="gsm8k")) == (1, 0, 3)


@pytest.mark.slow
def test_an_open_file_is_read_from_where_it_stands_and_left_open(store):
    path = write("t.jsonl", "not a row\n" + lines(rows(3)))
    with path.open("rb") as file:
        file.readline()
        report = store.load(file)
        assert not file.closed
    assert (report.source, counts(report)) == (str(path), (3, 0, 0))
    file = io.BytesIO(b"before" + gzip.compress(parquet(COLUMNS.to_pylist())))
    file.seek(6)
    assert counts(store.load(file)) == (2, 3, 0)
    file = io.BytesIO(b"before" + parquet(COLUMNS.to_pylist()))
    file.seek(6)
    assert counts(store.load(file)) == (0, 5, 0)
    assert not file.closed
    with path.open() as text, pytest.raises(rt.SourceInvalid, match=r"t\.jsonl: is open as text; open it in binary"):
        store.load(text)


@pytest.mark.parametrize("content", [lines(rows(5)).encode(), parquet(COLUMNS.to_pylist())], ids=["lines", "Parquet"])
def test_a_pipe_is_read_to_its_end_whatever_pieces_it_gives(store, content):
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as end:  # noqa: PTH123 - of a descriptor
        end.writelines(content[at : at + 100] for at in range(0, len(content), 100))
    with open(reading, "rb", buffering=0) as pipe:  # noqa: PTH123
        report = store.load(pipe)
    assert (report.source, counts(report)) == ("FileIO", (5, 0, 0))


OUTSIDE = {
    "nan": (math.nan, None),
    "Infinity": ([math.inf, {"x": -math.inf}], [None, {"x": None}]),
    "decimal": (Decimal("1.50"), 1.5),
    "whole": (Decimal(3), 3),
    "no decimal": (Decimal("nan"), None),
    "naive": (datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02T03:04:05.000006+00:00"),  # noqa: DTZ001 - that is the point
    "aware": (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
    "date": (date(2026, 1, 2), "2026-01-02"),
    "duration": (timedelta(minutes=1), 60.0),
    "id": (UUID(int=1), str(UUID(int=1))),
    "path": (Path("a/b"), "a/b"),
    "text": (b"abc", "abc"),
    "bytes": (b"\xff", "/w=="),
    "tuple": ((1, (2,)), [1, [2]]),
    "step": (rt.Step(i=0, type="step", content="…"), {"i": 0, "type": "step", "content": "…"}),
    "number": ({1: 2}, {"1": 2}),
}


def test_values_that_json_does_not_have_become_ones_that_it_has(store):
    store.load([ROW | {"meta": {name: value for name, (value, _) in OUTSIDE.items()}}])
    assert store.latest().payload.meta == {name: plain for name, (_, plain) in OUTSIDE.items()}


def test_the_types_of_columns_become_json_too_in_memory_and_in_parquet(store):
    moment = 1_767_225_600_123_456_789
    nested = pa.struct([("at", pa.timestamp("ns")), ("long", pa.large_list(pa.time64("ns")))])
    table = pa.table(
        {
            "question": ["How many?"],
            "answer": ["#### 5"],
            "at": pa.array([moment], pa.timestamp("ns")),
            "took": pa.array([1_500_000_000], pa.duration("ns")),
            "score": pa.array([math.nan], pa.float32()),
            "price": pa.array([Decimal("1.50")], pa.decimal128(5, 2)),
            "kind": pa.array(["a"]).dictionary_encode(),
            "nested": pa.array([[{"at": moment, "long": [1_000]}]], pa.list_(nested)),
        }
    )
    store.load(table)
    assert store.latest().payload.meta["extra"] == {
        "at": "2026-01-01T00:00:00.123456+00:00",
        "took": 1.5,
        "score": None,
        "price": 1.5,
        "kind": "a",
        "nested": [{"at": "2026-01-01T00:00:00.123456+00:00", "long": ["00:00:00.000001"]}],
    }
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer)
    assert counts(store.load(buffer.getvalue())) == (0, 1, 0)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = {
    "5,000 digits": ({"x": 10**5_000}, None, "out of range"),
    "a lone surrogate": ({"x": "\ud800"}, "meta.x", "surrogate"),
    "no value at all": ({"x": object()}, "meta.x", "must be a JSON value, not a object"),
    "150 levels": (nested(150), "meta", "must be an object"),
    "100,000 levels": (lambda: {"x": nested(100_000)}, None, "nested"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_row_that_json_cannot_hold_is_told_and_stops_nothing(store, name):
    meta, field, reason = HOSTILE[name]
    # Made here: until it ends, each collection of garbage goes through all of it.
    meta = meta() if callable(meta) else meta
    report = store.load([ROW, ROW | {"meta": meta}, ROW | {"prompt": "after"}])
    assert counts(report) == (2, 0, 1)
    assert field is None or report.rejected[0].field == field
    assert reason in report.rejected[0].reason
    # The same in a data set of another format, where it would go to meta.
    report = store.load([GSM8K, GSM8K | {"extra": meta}, GSM8K | {"question": "after"}])
    assert counts(report) in {(2, 0, 1), (3, 0, 0)}
    if name == "5,000 digits":
        with pytest.raises(rt.TraceInvalid, match=r"meta\.x: a number of more than 4,300 digits; write it as a string"):
            store.add(ROW | {"meta": meta})


@pytest.mark.parametrize("odd", [{True: 1, "x": nested(300)}, {math.nan: nested(300)}, {None: object()}])
def test_a_row_whose_keys_are_no_texts_and_that_json_cannot_hold_is_told(store, odd):
    report = store.load([odd, ROW, odd])
    assert counts(report) == (1, 0, 2)
    assert [rejected.line for rejected in report.rejected] == [1, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [
        json.dumps(ROW)[:-10].encode(),
        b'{"prompt":"' + b"x" * 70 * 2**20 + b'"}',
        b'{"meta":' * 100_000,
        b"[" * 100_000,
        b'{"prompt": "p", "steps": ["s"], "final_answer": "a", "meta": {"x": ' + b"9" * 5_000 + b"}}",
        json.dumps(ROW).encode("utf-16"),
    ],
    ids=["half a line", "70 MB", "100,000 objects", "100,000 lists", "5,000 digits", "UTF-16"],
)
def test_a_hostile_line_is_told_and_stops_nothing(store, row):
    content = lines(rows(2)).encode() + row
    assert counts(store.load(content)) == (2, 0, 1)
    assert counts(store.load(io.BytesIO(gzip.compress(content, 1)))) == (0, 2, 1)


def test_a_folder_may_hold_several_formats_and_half_a_line(store):
    Path("mixed").mkdir()
    write("mixed/a.jsonl", lines([GSM8K] * 5))
    write("mixed/b.jsonl", lines(rows(3)) + '{"prompt": "cut o')
    write("mixed/c.jsonl", '{"text": "hello"}\n')
    report = store.load("mixed")
    assert (counts(report), report.format) == ((8, 0, 2), "gsm8k, trace")
    # Of each format some.
    assert [trace.prompt for trace in report.samples] == [GSM8K["question"], "0 + 2?", GSM8K["question"]]
    assert "check by eye" in str(report)
    assert "How many clips?" in report._repr_html_()


def test_samples_show_what_was_read_also_when_it_was_known(store):
    assert store.load([GSM8K]).samples == store.load([GSM8K]).samples == [store.latest().payload]
    own = store.load(rows(9))
    assert len(own.samples) == 3
    assert "check by eye" not in str(own)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "list: has no traces: it has no rows"),
        ((row for row in ()), "generator: has no traces: it has no rows"),
        (COLUMNS.slice(0, 0), "Table: has no traces: it has no rows"),
        (b"", "bytes: is empty"),
        ([1, 2], "list: has no traces: row 1 is not a JSON object"),
        (None, "NoneType: cannot be loaded from; give a path, a folder or a pattern; bytes"),
        (3, "int: cannot be loaded from"),
        (np.array(100.0), "ndarray: cannot be loaded from"),
        (ROW, "dict: is at most one trace; store.add"),
        (rt.Trace(**ROW), "Trace: is one trace; store.add"),
    ],
)
def test_what_there_is_nothing_to_load_from_is_told(same_store, given, told):
    with pytest.raises(rt.SourceInvalid) as caught:
        same_store.load(given)
    assert str(caught.value).startswith(told)


def test_a_file_of_no_known_format_is_told_what_was_tried_and_how_to_map_it(store):
    with pytest.raises(rt.SourceInvalid) as caught:
        store.load([{"text": "hello", "score": 1} | {f"field {n}": n for n in range(20)}])
    what, mapping, insist = str(caught.value).splitlines()
    fields = ", ".join(f"field {n}" for n in range(10))
    assert what == f"list: of no known format; its fields are text, score, {fields} and 10 more"
    assert caught.value.fields == ("text", "score", *(f"field {n}" for n in range(20)))
    assert mapping == 'say which fields hold what: mapping={"completion": "text", "meta.reward": "score"}'
    assert caught.value.mappings == ({"completion": "text", "meta.reward": "score"},)
    assert insist == "or name its format with format="
    assert set(caught.value.tried) == set(READABLE)
    assert all(caught.value.tried.values())


def test_a_generator_that_raises_midway_leaves_what_was_committed(store, monkeypatch):
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 10)

    def rollouts():
        yield from rows(25)
        raise ConnectionError("the actor is gone")

    with pytest.raises(ConnectionError, match="the actor is gone") as caught:
        store.load(rollouts())
    assert caught.value.__notes__[0].startswith("stopped after 20 added, 0 already stored, 0 rejected; ")
    assert store.count() == 20


def test_rows_are_counted_for_the_progress(store):
    told = []
    store.load(rows(600), progress=lambda *done: told.append(done))
    assert told[-1] == (600, 600)
    told.clear()
    store.load((row for row in rows(600)), progress=lambda *done: told.append(done))
    assert told[-1] == (600, 0)
    assert len(told) > 2


@pytest.mark.slow
def test_a_stream_of_any_length_takes_the_memory_of_a_chunk(store, monkeypatch):
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 100)

    def rollouts():
        for n in range(3_000):
            yield ROW | {"prompt": f"{n} {'x' * 20_000}"}

    tracemalloc.start()
    try:
        store.load(rollouts())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.count() == 3_000
    # All rows together are 60 MB.
    assert most < 20 * 2**20


# -- pandas ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pd():
    return pytest.importorskip("pandas")


def test_a_data_frame(store, pd):
    np = pytest.importorskip("numpy")
    meta = {
        "scalar": (np.float32(1.5), 1.5),
        "array": (np.arange(3), [0, 1, 2]),
        "moment": (np.datetime64("2026-01-01T00:00:00.5", "ns"), "2026-01-01T00:00:00.500000+00:00"),
        "moments": (np.array(["2026-01-01"], "M8[ns]"), ["2026-01-01T00:00:00+00:00"]),
        "missing": ([pd.NA, pd.NaT, np.nan, np.datetime64("NaT", "s")], [None] * 4),
        "duration": (pd.Timedelta("1s"), 1.0),
    }
    frame = pd.DataFrame(
        {
            "prompt": ["p", "q"],
            "steps": [["a", "b"], np.array(["c"])],
            "final_answer": ["1", "2"],
            "created_at": [pd.Timestamp("2026-01-01 00:00:00.123456789"), pd.NaT],
            "meta": [{name: value for name, (value, _) in meta.items()}, None],
        },
        index=["any", "index"],
    )
    report = store.load(frame)
    assert (report.source, report.format, counts(report)) == ("DataFrame", "trace", (2, 0, 0))
    record = store.latest(text="p")
    assert record.created_at == datetime(2026, 1, 1, microsecond=123456, tzinfo=UTC)
    assert [step.content for step in record.payload.steps] == ["a", "b"]
    assert record.payload.meta == {name: plain for name, (_, plain) in meta.items()}
    assert counts(store.load(frame)) == (0, 2, 0)
    assert counts(store.load(store.sql("from traces").df())) == (0, 2, 0)


@pytest.mark.slow
def test_a_data_frame_tells_its_bad_rows_by_number(store, pd):
    frame = pd.DataFrame([GSM8K, GSM8K | {"question": None}, GSM8K | {"x": nested(100_000)}])
    report = store.load(frame)
    assert counts(report) == (1, 0, 2)
    assert [(row.file, row.line) for row in report.rejected] == [("DataFrame", 2), ("DataFrame", 3)]


def test_a_data_frame_without_rows_or_with_two_columns_of_a_name_is_told(store, pd):
    with pytest.raises(rt.SourceInvalid, match="DataFrame: has no traces: it has no rows"):
        store.load(pd.DataFrame({"question": [], "answer": []}))
    with pytest.raises(rt.SourceInvalid, match="DataFrame: two columns have the same name"):
        store.load(pd.DataFrame([["a", "b"]], columns=["question", "question"]))
