"""Columns of Arrow, Parquet, pandas and CSV with values that no trace can hold: those reject their rows by name."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tunix_rt as rt

NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 3, [None, pa.py_buffer(np.array([0, 1, 2, 3], "i4")), pa.py_buffer(b"a\xffb")]
)
FAR = 2**62
# The second of three values cannot be read.
BAD = {
    "year 148107": (pa.array([1, FAR, None], pa.timestamp("us")), "a timestamp[us] that cannot be read"),
    "in UTC": (pa.array([1, FAR, None], pa.timestamp("us", "UTC")), "a timestamp[us, tz=UTC] that cannot be read"),
    "before year 1": (pa.array([1, -FAR, None], pa.timestamp("ms")), "a timestamp[ms] that cannot be read"),
    "date": (pa.array([1, 2**30, None], pa.date32()), "a date32[day] that cannot be read"),
    "duration": (pa.array([1, FAR, None], pa.duration("s")), "a duration[s] that cannot be read"),
    "zone": (pa.array([None, 1, None], pa.timestamp("us", "Mars/Phobos")), 'unknown time zone "Mars/Phobos"'),
    "text": (NOT_UTF8, "a string that cannot be read: UnicodeDecodeError"),
    "words": (pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), NOT_UTF8), "a dictionary<values=string"),
    "within a list": (pa.array([[1], [1, FAR], None], pa.list_(pa.timestamp("us"))), "a list<item: timestamp[us]>"),
    "within a map": (pa.array([None, [("a", FAR)], []], pa.map_(pa.string(), pa.timestamp("us"))), "a map<string"),
    "NUL": (pa.array(["a", "\0", ""]), "contains a NUL character"),
    "a field twice": (
        pa.StructArray.from_arrays(
            [pa.array([1, 2, 3]), pa.array([1, 2, 3])], names=["a", "a"], mask=pa.array([True, False, True])
        ),
        "a struct<a: int64, a: int64> that cannot be read",
    ),
}
GOOD = {
    "Int128": (pa.array([2**100, None], pa.decimal128(38)), [2**100, None]),
    "Decimal256": (pa.array([10**75, None], pa.decimal256(76)), [10**75, None]),
    "half": (pa.array([np.float16(1.5), np.float16("nan")], pa.float16()), [1.5, None]),
    "views": (pa.array(["a", None], pa.string_view()), ["a", None]),
    "list views": (pa.array([[1], None], pa.list_view(pa.int64())), [[1], None]),
    "fixed lists": (pa.array([[1.0, float("inf")], None], pa.list_(pa.float32(), 2)), [[1.0, None], None]),
    "runs": (pa.RunEndEncodedArray.from_arrays([2], ["a"]), ["a", "a"]),
    "union": (
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["x", "y"])]),
        [1, "y"],
    ),
    "months": (pa.array([(1, 2, 3), None], pa.month_day_nano_interval()), [[1, 2, 3], None]),
    "extension": (pa.ExtensionArray.from_storage(pa.opaque(pa.int64(), "t", "v"), pa.array([1, None])), [1, None]),
    "uuid": (pa.array([b"\0" * 16, None], pa.uuid()), ["00000000-0000-0000-0000-000000000000", None]),
    "nulls": (pa.array([None, None]), [None, None]),
    "nested nulls": (pa.array([{"a": None}, {"a": [None]}]), [{"a": None}, {"a": [None]}]),
    "nanoseconds": (
        pa.array([1, FAR], pa.timestamp("ns")),
        ["1970-01-01T00:00:00+00:00", "2116-02-20T23:53:38.427387+00:00"],
    ),
}


def table_of(column):
    n = len(column)
    return pa.table({"question": [f"How many? {i}" for i in range(n)], "answer": ["#### 5"] * n, "x": column})


def containers(table):
    """The table, and as Parquet where that has the types."""
    yield table
    buffer = io.BytesIO()
    try:
        pq.write_table(table, buffer)
    except pa.ArrowNotImplementedError:
        return
    yield buffer.getvalue()


@pytest.mark.parametrize("name", BAD)
def test_a_value_that_cannot_be_read_rejects_its_row_by_the_column(store, name):
    column, reason = BAD[name]
    for given in containers(table_of(column)):
        if isinstance(given, bytes) and name in ("words", "within a list"):
            # Arrow itself refuses the file, or writes the list's milliseconds.
            continue
        report = store.load(given, known="add")
        assert (report.added, report.rejected_count) == (2, 1)
        (rejected,) = report.rejected
        assert (rejected.line, rejected.field.removeprefix("meta.extra.")) == (2, "x")
        assert rejected.reason.startswith(reason)


@pytest.mark.parametrize("name", GOOD)
def test_a_column_of_any_other_type_is_read(store, name):
    column, expected = GOOD[name]
    for given in containers(table_of(column)):
        report = store.load(given, known="add")
        assert report.rejected == []
        found = [record.payload.meta["extra"]["x"] for record in store.records(newest_first=False)]
        assert found[-2:] == expected


def test_bad_rows_at_the_beginning_do_not_hide_the_good_ones(store):
    column = pa.array([FAR] * 50 + [1], pa.timestamp("us"))
    report = store.load(table_of(column))
    assert (report.added, report.rejected_count) == (1, 50)
    with pytest.raises(rt.SourceInvalid, match=r"Table: has no traces: x: a timestamp\[us\] that cannot be read"):
        store.load(table_of(column[:50]))


def test_a_column_that_occurs_twice_is_told_by_name(store, tmp_path):
    table = table_of(pa.array([1, 2])).append_column("x", pa.array([3, 4]))
    (tmp_path / "a.csv").write_text("question,answer,x,x\nHow many?,#### 5,1,2\n")
    for given in [*containers(table), tmp_path / "a.csv"]:
        with pytest.raises(rt.SourceInvalid, match='two columns have the name "x"; rename one of them'):
            store.load(given)
    pq.write_table(table_of(pa.array([1, 2])), tmp_path / "b.parquet")
    report = store.load(tmp_path)
    assert (report.added, report.rejected_count) == (2, 1), "one file of a folder does not stop the others"


@pytest.mark.slow
def test_a_row_of_thousands_of_columns_is_read_and_its_bad_one_named(store):
    table = table_of(pa.array([1, 2]))
    for i in range(2_000):
        table = table.append_column(f"c{i}", pa.array([i, FAR if i == 1_234 else i], pa.timestamp("us")))
    report = store.load(table)
    assert [(rejected.line, rejected.field) for rejected in report.rejected] == [(2, "c1234")]
    assert len(store.latest().payload.meta["extra"]) == 2_001


def test_a_series_holds_rows_where_its_values_are_rows(store):
    pd = pytest.importorskip("pandas")
    row = {"question": "How many?", "answer": "#### 5"}
    assert store.load(pd.Series([row, row | {"answer": "#### 6"}])).added == 2
    for odd in (pd.Series([1.0, None]), pd.Series(["a"]), pd.Index([1, 2]), pd.Series([], dtype=object)):
        with pytest.raises(rt.SourceInvalid, match="has no traces"):
            store.load(odd)


def test_a_duration_that_numpy_reaches_and_pandas_does_not_rejects_its_row_by_name(store):
    frame = table_of(pa.array([1, 2, 3])).to_pandas()
    frame["took"] = [np.timedelta64(2**61, "W"), np.timedelta64(90, "s"), np.timedelta64(1, "M")]
    report = store.load(frame)
    assert [(rejected.line, rejected.field) for rejected in report.rejected] == [(1, "took"), (3, "took")]
    assert store.latest().payload.meta["extra"]["took"] == 90.0


def test_a_time_that_pandas_reaches_and_python_does_not_rejects_its_row(store):
    pd = pytest.importorskip("pandas")
    frame = table_of(pa.array([1, 2**40, None], pa.timestamp("s"))).to_pandas()
    frame["odd"] = pd.Series([pd.NaT, pd.Timestamp(0), pd.Interval(0, 1)], dtype=object)
    report = store.load(frame)
    assert report.added == 1
    assert [(rejected.line, rejected.field) for rejected in report.rejected] == [(2, "x"), (3, "odd")]
