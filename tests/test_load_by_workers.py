"""Large files are read by worker processes: the same report, the same traces, in the same order as by one process."""

import gzip
import json
import os
import pickle
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.made_ready import apart
from tunix_rt.formats import READABLE, Reading, Row, mapped_format, own_formats
from tunix_rt.store.ingest import chunk, encoding
from tunix_rt.store.ingest.encoding import all_encoded
from tunix_rt.workers import Workers

MOST = 2_000_000
GOOD = {
    "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>Two.\n\nFour.</think>4"}]
}


@pytest.fixture(scope="module")
def workers():
    with Workers(2) as workers:
        yield workers


@pytest.fixture(autouse=True)
def _all_files_are_large(monkeypatch):
    monkeypatch.setattr(encoding, "LARGE_FILE_BYTES", 1)
    monkeypatch.setattr(encoding, "_BATCH_ROWS", 3)


def found(path, workers, format=None):
    with Reading(path, format=format) as reading:
        return list(apart(all_encoded(reading, MOST, workers)))


def line(**fields):
    return json.dumps({**GOOD, **fields}, ensure_ascii=False).encode()


def deep(depth):
    return b'{"messages":%b,"x":%b%b}' % (json.dumps(GOOD["messages"]).encode(), b"[" * depth, b"]" * depth)


ROWS = st.one_of(
    st.builds(line, text=st.text(max_size=20), n=st.floats() | st.integers()),
    st.builds(lambda text: line(messages=[*GOOD["messages"][:1], {"role": "assistant", "content": text}]), st.text()),
    st.sampled_from(
        [
            b"",
            b"not json",
            b'{"messages": []}',
            b'{"messages": [{"role": "user"}]}',
            b'{"messages": 3}',
            b'{"a": "\xff\xfe"}',
            b"\xff",
            b"[1, 2]",
            b"null",
            b'{"messages": [{"role": "assistant", "content": "\\ud800"}]}',
            line()[:-3],
            line().replace(b"2+2", b"2\xff2"),
            line(id="019b76e2-4908-718c-8375-fcf4f3002c1a", created_at="2026-01-02T03:04:05Z"),
            deep(150),
            deep(700),
        ]
    ),
)


@pytest.mark.slow
@given(rows=st.lists(ROWS, max_size=12), ends=st.booleans(), mark=st.booleans())
def test_workers_find_what_one_process_finds(tmp_path_factory, workers, rows, ends, mark):
    path = tmp_path_factory.getbasetemp() / "drawn.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" * mark + b"\n".join([line(), *rows]) + b"\n" * ends)
    assert found(path, workers) == found(path, None)


@pytest.mark.slow
def test_rows_of_every_container(tmp_path, workers):
    rows = [{**GOOD, "n": n} for n in range(10)]
    lines = b"\n".join(line(n=n) for n in range(10))
    (tmp_path / "gz.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "array.json").write_text(json.dumps(rows))
    (tmp_path / "cut.json").write_text(json.dumps(rows)[:-9])
    (tmp_path / "wrapped.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "wrapped.jsonl").write_text(json.dumps({"rows": rows}) + "\n" + json.dumps({"rows": 3}))
    (tmp_path / "huge.jsonl").write_bytes(line(x="y" * 1_000_000) + b"\n" + line(x="y" * 3_000_000))
    (tmp_path / "table.csv").write_text("prompt,response\n" + "a b,c\n" * 5 + "d\n")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "table.parquet")
    n_found = {}
    for path in sorted(filter(Path.is_file, tmp_path.iterdir())):
        n_found[path.name] = len(found(path, None))
        assert found(path, workers) == found(path, None), path
    assert n_found.pop("huge.jsonl") == 2
    assert min(n_found.values()) > 5


def test_a_mapping_goes_to_the_workers(tmp_path, workers):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"q": f"{n}+1?", "a": str(n + 1)}) for n in range(9)) + '\n{"q": "x"}')
    mapping = mapped_format({"prompt": "q", "final_answer": "a", "meta.model": {"value": "toy"}})
    both = found(path, workers, mapping), found(path, None, mapping)
    assert both[0] == both[1]
    assert b'"toy"' in both[0][0][1]


def test_which_rows_may_be_read_elsewhere(tmp_path, workers):
    alone = {name for name, one in READABLE.items() if one.reads_rows_alone}
    assert {"messages", "gsm8k", "openr1_math", "verl", "trace"} <= alone
    assert not alone & {"claude_code", "codex", "chunks"}

    class Reader:
        def misfit(self, value):
            return None if "ours" in value else "no ours"

        def found(self, row):
            yield rt.formats.Found(row.fields["ours"], [str(os.getpid())], "a")

    own = rt.formats.Format("ours", "own", "of a notebook", Reader())
    # As `register` leaves it.
    guarded = own._replace(reader=own_formats._Guarded("ours", own.reader))
    path = tmp_path / "own.jsonl"
    path.write_text('{"ours": "a"}\n' * 4)
    # Its reader is known to this process alone.
    assert all(str(os.getpid()).encode() in one[0] for one in found(path, workers, own))
    assert not guarded.reads_rows_alone


def test_a_row_goes_without_the_value_that_was_parsed_from_its_text():
    row = Row("f", 3, raw=b'{"a": 1}')
    assert row.value == {"a": 1}
    again = pickle.loads(pickle.dumps(row))  # noqa: S301
    assert "value" not in vars(again)
    assert again.value == {"a": 1}
    assert pickle.loads(pickle.dumps(Row("f", 3, value=[1]))).value == [1]  # noqa: S301


def write(path, n):
    rows = [line(n=k) if k % 50 else b"broken" for k in range(n)]
    path.write_bytes(b"\n".join(rows))
    return n - len([k for k in range(n) if k % 50 == 0])


def stored(folder, path, workers, **how):
    store = rt.TraceStore(folder / f"{workers}.duckdb", settings=rt.Settings(workers=workers))
    report = store.load(path, progress=False, **how)
    return report, [record.payload.to_json() for record in store.records()]


@pytest.mark.slow
def test_the_report_and_the_store_are_the_same(tmp_path):
    n_good = write(tmp_path / "rows.jsonl", 400)
    (alone, traces), (together, same) = (stored(tmp_path, tmp_path / "rows.jsonl", n) for n in (0, 2))
    assert traces == same
    assert len(traces) == n_good == together.added
    assert together.rejected == alone.rejected
    assert (together.samples, together.format, together.counts) == (alone.samples, "messages", alone.counts)
    assert len(together.samples) == 3


def children():
    found = set()
    for task in Path("/proc/self/task").iterdir():
        # A thread may end meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


@pytest.mark.crash
@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs /proc and two cores")
@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_what_ends_a_load_half_way_loses_nothing_that_was_stored(tmp_path, monkeypatch, how):
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 50)
    monkeypatch.setattr(encoding, "_BATCH_ROWS", 20)
    path = tmp_path / "rows.jsonl"
    n_good = write(path, 1_000)
    before, ended = children(), set()
    store = rt.TraceStore(tmp_path / "s.duckdb", settings=rt.Settings(workers=2))

    def progress(*_):
        if store.count() >= 50 and not ended:
            ended.update(children() - before)
            if how == "interrupted":
                raise KeyboardInterrupt
            for pid in ended:
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(rt.WorkerLost if how == "killed" else KeyboardInterrupt) as caught:
        store.load(path, progress=progress)
    if how == "killed":
        assert str(caught.value).startswith(f"{path}: rows ")
        assert "(signal 9). Load it again, with workers=0 (TUNIX_RT_WORKERS)" in str(caught.value)
    n_stored = store.count()
    assert caught.value.__notes__[-1].startswith(f"stopped after {n_stored} added")
    assert ended
    assert not children() & ended
    report = store.load(path, progress=False)
    assert (report.added, report.already_stored) == (n_good - n_stored, n_stored)
