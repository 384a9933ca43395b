"""For the tests of outside formats: rows to a file and that file to traces, and rows that are broken in every place."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats import READABLE, Draft, Row


def zstd(data):
    """The bytes packed with zstd."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def load(store, *rows, to="rows.jsonl"):
    """Writes the rows, as JSON Lines or as Parquet, and loads them: the report, and the traces in the file's order."""
    before = store.count()
    if to.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(list(rows)), to)
    else:
        Path(to).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    report = store.load(to)
    return report, [record.payload for record in store.records(newest_first=False)][before:]


def told(report):
    """The field and the reason of each rejection."""
    return [(rejected.field, rejected.reason) for rejected in report.rejected]


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def like(value):
    """Values such as this one, with any part of it left out, doubled, or of any other type."""
    if isinstance(value, dict):
        parts = st.fixed_dictionaries({}, optional={name: like(item) for name, item in value.items()})
        return st.just(value) | parts | _JSON
    if isinstance(value, list) and value:
        return st.just(value) | st.lists(st.one_of([like(item) for item in value]), max_size=4) | _JSON
    return st.just(value) | _JSON


def read(format, value):
    """The traces of a row, and what is told of it; nothing but TraceInvalid may come out of a reader."""
    known = READABLE[format]
    if isinstance(value, dict):
        assert isinstance(known.misfit(value), str | None)
    try:
        found = list(known.drafts(Row("file", 1, value=value)))
    except TraceInvalid as error:
        found = [error]
    assert found
    for one in found:
        assert isinstance(one, Draft) or all(problem.reason for problem in one.problems)
    return found
