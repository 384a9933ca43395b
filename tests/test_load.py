"""Files in: every packing, every format, what is known, and what is told of each bad row and file."""

import gzip
import io
import json
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import zstd
from tunix_rt.store.ingest import chunk, encoding
from tunix_rt.store.ingest import load as loading

ROW = {"prompt": "2 + 2?", "steps": ["2 + 2 = 4"], "final_answer": "4"}


def rows(n):
    return [ROW | {"prompt": f"{k} + 2?"} for k in range(n)]


def write(path, text, encoding="utf-8"):
    path = Path(path)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def lines(values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def counts(report):
    return report.added, report.already_stored, report.rejected_count


def parquet(values, **options):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(values), buffer, **options)
    return buffer.getvalue()


STEPS = [{"i": 0, "type": "step", "content": "2 + 2 = 4"}]
CONTAINERS = {
    "rows to a line": lambda values: lines(values).encode(),
    "an array": lambda values: json.dumps(values).encode(),
    "an indented array": lambda values: json.dumps(values, indent=2).encode(),
    "indented objects": lambda values: "\n".join(json.dumps(value, indent=2) for value in values).encode(),
    "Parquet": lambda values: parquet([value | {"steps": STEPS} for value in values]),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_plain_or_packed_whatever_its_name(store, container, pack):
    path = write("traces.of_no_special_name", pack(CONTAINERS[container](rows(5))))
    report = store.load(path)
    assert counts(report) == (5, 0, 0)
    assert report.format == "trace"
    assert [r.payload for r in store.records(newest_first=False)] == [rt.Trace(**row) for row in rows(5)]
    assert counts(store.load(path)) == (0, 5, 0)


def test_loading_keeps_the_order_of_the_file(store):
    store.load(write("t.jsonl", lines(rows(30))))
    assert [r.preview for r in store.page(limit=30)] == [f"{k} + 2?" for k in reversed(range(30))]


def test_a_file_that_has_grown_adds_only_what_is_new(store):
    path = write("t.jsonl", lines(rows(5)))
    store.load(path)
    write(path, lines(rows(8)))
    assert counts(store.load(path)) == (3, 5, 0)


def test_equal_rollouts_are_data_and_each_copy_counts(store, monkeypatch):
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 3)
    path = write("t.jsonl", lines([ROW] * 4 + rows(2) + [ROW] * 2))
    assert counts(store.load(path)) == (8, 0, 0)
    assert counts(store.load(path)) == (0, 8, 0)
    write(path, lines([ROW] * 8 + rows(2)))
    assert counts(store.load(path)) == (2, 8, 0)
    assert store.count() == 10


def test_a_trace_added_by_hand_is_known_too(store):
    store.add(ROW)
    assert counts(store.load(write("t.jsonl", lines([ROW, ROW])))) == (1, 1, 0)


def test_the_order_of_keys_in_meta_makes_no_other_trace(store):
    store.add(ROW | {"meta": {"a": 1, "b": {"c": 2, "d": 3}}})
    path = write("t.jsonl", lines([ROW | {"meta": {"b": {"d": 3, "c": 2}, "a": 1}}, ROW | {"meta": {"a": 1}}]))
    assert counts(store.load(path)) == (1, 1, 0)


def test_known_add_adds_everything_again(store):
    path = write("t.jsonl", lines(rows(3)))
    store.load(path)
    assert counts(store.load(path, known="add")) == (3, 0, 0)
    export = store.path.with_name("out.jsonl")
    store.export(export)
    assert counts(store.load(export, known="add")) == (6, 0, 0)
    assert len({record.id for record in store.records()}) == 12
    with pytest.raises(rt.QueryInvalid, match='known="all"'):
        store.load(path, known="all")


def test_ids_and_times_of_an_export_are_kept(store):
    stamped = ROW | {"id": "019b76e2-4908-718c-8375-fcf4f3002c1a", "created_at": "2025-12-31T23:00:00.000001+01:00"}
    timed = ROW | {"prompt": "timed", "created_at": "2020-01-01T00:00:00Z"}
    report = store.load(write("t.jsonl", lines([stamped, timed])))
    assert counts(report) == (2, 0, 0)
    record = store.get("019b76e2-4908")
    assert record.created_at == datetime(2025, 12, 31, 22, 0, 0, 1, tzinfo=UTC)
    assert [r.preview for r in store.page()] == ["2 + 2?", "timed"]
    assert counts(store.load(write("t.jsonl", lines([stamped, timed])))) == (0, 2, 0)
    other = stamped | {"prompt": "another trace under this id"}
    report = store.load(write("o.jsonl", lines([other, stamped | {"prompt": "new"} | {"id": None}])))
    assert counts(report) == (1, 0, 1)
    (rejected,) = report.rejected
    assert (rejected.line, rejected.field) == (1, "id")
    assert "is the id of another trace in the store" in rejected.reason


def test_records_of_the_http_shape_are_taken(store):
    record = rt.TraceStore(store.path.with_name("other.duckdb")).add(ROW)
    path = write("t.jsonl", record.model_dump_json() + "\n" + json.dumps({"payload": 3}) + "\n")
    report = store.load(path)
    assert counts(report) == (1, 0, 1)
    assert store.get(record.id) == record
    assert (report.rejected[0].field, report.rejected[0].reason) == ("payload", "must be an object")


def test_the_same_record_twice_in_a_file_is_stored_once(store):
    stamped = ROW | {"id": "019b76e2-4908-718c-8375-fcf4f3002c1a"}
    assert counts(store.load(write("t.jsonl", lines([stamped, stamped])))) == (1, 1, 0)


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ('{"prompt": "p", "steps": ["s"] "final_answer": "a"}', None, "invalid JSON at line 2, column 32: expected"),
        ('{"prompt": "p", "steps": ["s"], "final_answer": "a"', None, "invalid JSON at line 2, column"),
        ('{"prompt": "é", }', None, "invalid JSON at line 2, column 17: trailing comma"),
        ('\ufeff{"prompt": "p"}', None, "invalid JSON at line 2, column 1: expected value"),
        ('{"prompt": "a\0b"}', None, "invalid JSON at line 2, column 14: control character"),
        ('{"prompt": "\\ud800"}', None, "invalid JSON at line 2, column"),
        ('["not", "an", "object"]', None, "must be an object, not a list"),
        ('{"steps": ["s"], "final_answer": "a"}', "prompt", "missing"),
        ('{"prompt": "p", "steps": [], "final_answer": "a"}', "steps", "must have at least one step"),
        ('{"prompt": "p", "steps": ["s"], "final_answer": "a", "x": 1}', "x", "unknown field"),
        ('{"prompt": 3, "steps": ["s"], "final_answer": "a"}', "prompt", "must be a string, not a number"),
        ('{"prompt": "a\\u0000b", "steps": ["s"], "final_answer": "a"}', "prompt", "contains a NUL character"),
        (
            '{"prompt": "p", "steps": ["", ""], "final_answer": "a"}',
            "steps.0.content",
            "must not be empty (and 1 more)",
        ),
        ('{"prompt": "p", "steps": ["s"], "final_answer": "a", "meta": {"x": 1e999}}', "meta.x", "inf is not a JSON"),
        ('{"prompt": "p", "steps": ["s"], "final_answer": "a", "id": "7"}', "id", "UUID"),
        ('{"prompt": "p", "steps": ["s"], "final_answer": "a", "created_at": "soon"}', "created_at", "datetime"),
        ('{"prompt": "p", "steps": ["s"], "final_answer": "a", "created_at": "2026-01-01"}', "created_at", "timezone"),
        (
            '{"prompt": "p", "steps": ["s"], "final_answer": "a", "created_at": "0001-01-01T00:00:00+14:00"}',
            "created_at",
            "must be within the years 1 to 9999 in UTC",
        ),
        (
            '{"prompt": "' + "p" * 2_000_000 + '", "steps": [], "final_answer": null, "trace_version": "1.1"}',
            None,
            "exc",
        ),
        ('{"prompt": "p", "meta": ' + '{"a":' * 500 + "1" + "}" * 501, None, "invalid JSON at line 2, column"),
    ],
)
def test_a_bad_row_is_told_with_line_field_and_reason_and_stops_nothing(store, row, field, reason):
    good = rows(2)
    path = write("t.jsonl", lines(good[:1]) + row + "\n" + lines(good[1:]))
    report = store.load(path)
    assert counts(report) == (2, 0, 1)
    (rejected,) = report.rejected
    assert (rejected.file, rejected.line, rejected.field) == (str(path), 2, field)
    assert reason in rejected.reason
    assert rejected.text == row[:200]


def test_a_row_beyond_all_reason_is_passed_over(store, monkeypatch):
    monkeypatch.setattr("tunix_rt.formats.containers.files.MAX_ROW_BYTES", 1_000)
    report = store.load(write("t.jsonl", lines(rows(3)) + '{"prompt": "' + "x" * 5_000 + '"}\n' + lines([ROW])))
    assert counts(report) == (4, 0, 1)
    (rejected,) = report.rejected
    assert (rejected.line, rejected.reason) == (4, "exceeds maximum of 1,000 bytes for a row")


def test_windows_files_with_a_mark_and_crlf_load(store):
    text = lines(rows(3)).replace("\n", "\r\n")
    assert counts(store.load(write("t.jsonl", text, "utf-8-sig"))) == (3, 0, 0)
    assert counts(store.load(write("t.json", json.dumps(rows(3), indent=1), "utf-8-sig"))) == (0, 3, 0)


def test_blank_lines_are_no_rows(store):
    report = store.load(write("t.jsonl", "\n\n" + lines(rows(1)) + '  \n\n{"steps": 1}\n\n'))
    assert counts(report) == (1, 0, 1)
    assert report.rejected[0].line == 6


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.jsonl", b"", "is empty; there is nothing to load"),
        ("blank.jsonl", b"  \n\n \n", "is empty; there is nothing to load"),
        ("empty.json.gz", gzip.compress(b"", mtime=0), "is empty; there is nothing to load"),
        ("none.json", b"[]", "has no traces: it has no rows"),
        ("wide.jsonl", lines(rows(1)).encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("wider.jsonl", lines(rows(1)).encode("utf-32"), "is UTF-32 text; save it as UTF-8"),
        ("picture.jsonl", b"\x89PNG\r\n\x1a\n\0\0\0", "has no traces: invalid JSON at line 1, column 1"),
        ("broken.json", b'{"prompt": "p" "steps": []}', "has no traces: invalid JSON at line 1, column 16"),
        ("broken.json", b'{\n  "prompt": "p"\n  "steps": []\n}', "invalid JSON at line 3, column 3"),
        ("broken.json", b'[{"prompt": "p" "steps": []}]', "invalid JSON at line 1, column 16"),
        (
            "text.jsonl",
            b'{"text": "hello"}\n',
            ": of no known format; its fields are text\nsay which fields hold what: ",
        ),
        ("empty.jsonl", b"{}\n", ": of no known format; its rows are empty\n"),
        ("numbers.jsonl", b"1\n2\n", "row 1 is not a JSON object"),
        ("cut.parquet", parquet(rows(3))[:-20], "damaged Parquet file"),
        ("cut.jsonl.gz", gzip.compress(lines(rows(3)).encode(), mtime=0)[:-20], "cannot be read to its end"),
        ("noise.zst", b"\x28\xb5\x2f\xfd" + b"noise" * 9, "cannot be read to its end"),
    ],
)
def test_a_file_that_cannot_be_loaded_at_all_is_told_in_one_error(same_store, name, content, told):
    path = write(name, content)
    with pytest.raises(rt.SourceInvalid) as caught:
        same_store.load(path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)
    assert same_store.count() == 0


def test_a_missing_file_or_folder_is_told(store):
    for nowhere in ("nowhere.jsonl", "nowhere/", "*.nothing"):
        with pytest.raises(rt.SourceInvalid, match=r"no such file or folder|no file matches this pattern"):
            store.load(nowhere)


def test_a_folder_loads_with_all_below_it_and_one_bad_file_does_not_stop_the_others(store):
    Path("runs/deep").mkdir(parents=True)
    write("runs/a.jsonl", lines(rows(2)))
    write("runs/deep/b.json.gz", gzip.compress(json.dumps(ROW | {"prompt": "deep"}).encode()))
    write("runs/config.json", '{"learning_rate": 0.1}')
    write("runs/readme.txt", "not a file of traces")
    report = store.load("runs")
    assert counts(report) == (3, 0, 1)
    rejection = report.rejected[0]
    assert rejection.file.endswith("config.json")
    assert rejection.reason.startswith("of no known format; its fields are learning_rate\nsay which")
    # The report tells it in a line; what each format lacks can be opened, where something can.
    assert "learning_rate; say which fields hold what" in " ".join(str(report).split())
    assert "gsm8k: no fields" not in str(report)
    assert "gsm8k: no fields question and answer<br>" in report._repr_html_()
    assert counts(store.load("runs/*.jsonl")) == (0, 2, 0)
    assert counts(store.load("runs/**/*.gz")) == (0, 1, 0)


def test_a_folder_without_traces_is_told(store):
    Path("empty").mkdir()
    write("empty/notes.txt", "…")
    with pytest.raises(rt.SourceInvalid, match=r"empty: is a folder without traces; files of traces end in \.json"):
        store.load("empty")


@pytest.mark.slow
def test_what_stands_before_the_damage_is_loaded_and_the_damage_told(store):
    packed = gzip.compress(
        lines([ROW | {"prompt": f"{k} {'x' * 50_000}"[:40_000] + str(k)} for k in range(200)]).encode(), 0
    )
    report = store.load(write("t.jsonl.gz", packed[: len(packed) // 2]))
    assert report.added > 50
    # The row that was cut in two, and why.
    assert report.rejected_count <= 2
    assert "cannot be read to its end" in report.rejected[-1].reason
    document = json.dumps(rows(50), indent=1)
    report = store.load(write("t.json", document[: len(document) // 2]))
    assert (report.added > 10, report.rejected_count) == (True, 1)
    assert "nothing after it was read" in report.rejected[0].reason
    report = store.load(write("open.json", json.dumps(rows(60))[:-1]))
    assert "the array is not closed" in report.rejected[0].reason


def test_a_format_can_be_insisted_on(store):
    path = write("t.jsonl", '{"question": "2 + 2?", "answer": "4"}\n')
    with pytest.raises(rt.SourceInvalid) as caught:
        store.load(path)
    assert "no #### in answer" in caught.value.tried["gsm8k"]
    assert counts(store.load(path, format="gsm8k")) == (1, 0, 0)
    report = store.load(path, format="trace")
    assert counts(report) == (0, 0, 1)
    with pytest.raises(rt.SourceInvalid, match=r"unknown format \"gsm9k\"; known are gsm8k_solutions, .*, trace"):
        store.load(path, format="gsm9k")
    for odd in ({}, ["gsm8k"], 3, 10**5_000):
        with pytest.raises(rt.SourceInvalid, match=r"unknown format .+; known are gsm8k_solutions, .*, trace"):
            store.load(path, format=odd)
        with pytest.raises(rt.QueryInvalid, match=r'known=.*: must be "skip"'):
            store.load(path, known=odd)


def test_only_the_first_rejections_are_kept_and_all_are_counted(store):
    report = store.load(write("t.jsonl", lines([ROW] + [{"steps": n} for n in range(1_500)])))
    assert (report.rejected_count, len(report.rejected)) == (1_500, 1_000)
    assert repr(report) == "<LoadReport: 1 added, 0 already stored, 1,500 rejected>"


@pytest.mark.slow
def test_an_interrupted_load_keeps_what_was_committed_and_says_how_much(store, monkeypatch):
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 10)
    real, chunks = loading.insert, []

    def interrupted_at_the_third(cursor, table):
        chunks.append(len(table))
        if len(chunks) == 3:
            raise KeyboardInterrupt
        real(cursor, table)

    path = write("t.jsonl", lines(rows(45)))
    with monkeypatch.context() as patched:
        patched.setattr(loading, "insert", interrupted_at_the_third)
        with pytest.raises(KeyboardInterrupt) as caught:
            store.load(path)
    (note,) = caught.value.__notes__
    assert note.startswith("stopped after 20 added, 0 already stored, 0 rejected; loading the same again")
    assert store.count() == 20
    assert counts(store.load(path)) == (25, 20, 0)


def test_a_function_is_told_the_progress(store):
    Path("runs").mkdir()
    write("runs/a.jsonl", lines(rows(1_000)))
    write("runs/b.jsonl.gz", gzip.compress(lines(rows(10)).encode()))
    n_bytes = sum(file.stat().st_size for file in Path("runs").iterdir())
    told, stored = [], []

    def tell(done, total):
        told.append((done, total))
        stored.append(store.count())

    assert store.load("runs", progress=tell).added == 1_010
    assert told[-1] == (n_bytes, n_bytes)
    assert len(told) > 3
    assert told == sorted(told)
    assert {total for _, total in told} == {n_bytes}
    # The last time all is stored.
    assert stored[-1] == 1_010


@pytest.mark.slow
def test_what_the_function_raises_stops_the_load(store, monkeypatch):
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 100)
    monkeypatch.setattr(encoding, "_CHECKED_ROWS", 100)

    def stop(_done, _total):
        if store.count() >= 400:
            raise InterruptedError("somebody pressed Stop")

    path = write("t.jsonl", lines(rows(2_000)))
    with pytest.raises(InterruptedError, match="somebody pressed Stop") as caught:
        store.load(path, progress=stop)
    added = store.count()
    assert 400 <= added < 2_000
    assert caught.value.__notes__[0].startswith(f"stopped after {added:,} added, 0 already stored, 0 rejected; ")
    assert counts(store.load(path)) == (2_000 - added, added, 0)


GSM8K = {
    "question": "How many clips?",
    "answer": "In April 48/2 = <<48/2=24>>24.\n\nTogether 1,000+24 = <<1000+24=1024>>1,024.\n#### 1,024",
}


def test_gsm8k(store):
    report = store.load(write("t.jsonl", lines([GSM8K, {"question": 3, "answer": "#### 4"}])))
    assert report.format == "gsm8k"
    assert counts(report) == (1, 0, 1)
    assert (report.rejected[0].field, report.rejected[0].reason) == ("question", "must be a string")
    assert store.latest().payload == rt.Trace(
        prompt="How many clips?",
        steps=["In April 48/2 = <<48/2=24>>24.", "Together 1,000+24 = <<1000+24=1024>>1,024."],
        final_answer="1024",
        meta={
            "source": "gsm8k",
            "expected_answer": "1024",
            "kind": "reference",
            "extra": {"answer": "1,024"},
        },
    )


def test_a_row_that_is_no_object_is_told_behind_ones_that_are(store):
    report = store.load(write("t.jsonl", lines([GSM8K]) + "[1]\n3\n"))
    assert counts(report) == (1, 0, 2)
    assert (report.rejected[0].line, report.rejected[0].reason) == (2, "must be an object, not a list")


def test_gsm8k_without_reasoning_or_without_an_answer_takes_format_1_1(store):
    store.load(write("t.jsonl", lines([{"question": "q", "answer": "#### 5", "split": "x"}])))
    trace = store.latest().payload
    assert (trace.trace_version, trace.steps, trace.final_answer) == ("1.1", (), "5")
    assert trace.meta == {
        "source": "gsm8k",
        "expected_answer": "5",
        "kind": "reference",
        "extra": {"split": "x"},
    }
    store.load(write("u.jsonl", lines([{"question": "q", "answer": "step"}])), format="gsm8k")
    unanswered = store.latest().payload
    assert unanswered.final_answer is None
    assert "expected_answer" not in unanswered.meta


def test_gsm8k_model_solutions_give_a_trace_for_each_model(store):
    row = {
        "question": "How many?",
        "ground_truth": "2 + 2 = 4\nA: 4",
        "6b": {"is_correct": True, "solution": "2 + 2 = <<2+2=4>>4\nA: 4"},
        "175b": {"is_correct": False, "solution": "2 + 2 = 5 = 3333333"},
        "bad": {"is_correct": False, "solution": "\0\nA: 1,000"},
        "lines": 7,
    }
    report = store.load(write("t.jsonl", lines([row])))
    assert report.format == "gsm8k_solutions"
    assert counts(report) == (2, 0, 1)
    assert report.rejected[0].field == "steps.0.content"
    right, wrong = [record.payload for record in store.records(newest_first=False)]
    assert (right.steps[0].content, right.final_answer) == ("2 + 2 = <<2+2=4>>4", "4")
    assert right.meta == {
        "source": "gsm8k_solutions",
        "model": "6b",
        "correct": True,
        "expected_answer": "4",
        "extra": {"ground_truth": "2 + 2 = 4\nA: 4", "lines": 7},
    }
    assert (wrong.final_answer, wrong.meta.get("truncated"), wrong.trace_version) == (None, None, "1.1")


@pytest.mark.slow
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda t: t.encode(errors="surrogatepass")), st.booleans())
def test_no_file_whatsoever_crashes_a_load(store, noise, behind_good_rows):
    path = write("noise", lines(rows(2)).encode() + noise if behind_good_rows else noise)
    if behind_good_rows:
        report = store.load(path)
        assert report.added + report.already_stored >= 2
    else:
        with suppress(rt.SourceInvalid):
            assert sum(counts(store.load(path))) > 0


@pytest.mark.slow
@given(
    values=st.lists(
        st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
        max_size=5,
    ),
    chunk=st.integers(1, 40),
    indent=st.none() | st.integers(0, 3),
)
def test_a_document_gives_each_value_once_wherever_the_pieces_are_cut(values, chunk, indent):
    from tunix_rt.formats.containers import json_documents as documents

    values = [{"value": value} for value in values]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(documents, "_CHUNK_CHARS", chunk)
        text = json.dumps(values, indent=indent, ensure_ascii=False).encode(errors="surrogatepass")
        if b"\xed" not in text:
            found = list(documents.documents(io.BufferedReader(io.BytesIO(text)), "f", 10**6))
            assert [row.value for row in found] == values


@pytest.fixture
def meanwhile(monkeypatch):
    """Does something at the first row of `a.jsonl`, while the rest of it and the other files are still to be read."""

    def arrange(act):
        real, done = loading.Loading.take, []

        def take(self, found):
            if not done:
                done.append(act())
            real(self, found)

        monkeypatch.setattr(loading.Loading, "take", take)

    return arrange


def test_a_file_that_vanishes_is_rejected_alone_and_by_name(store, meanwhile):
    Path("runs/traj_1").mkdir(parents=True)
    for name in "abc":
        write(f"runs/{name}.jsonl", lines([ROW | {"prompt": name}]))
    write("runs/traj_1/metadata.json", "{}")
    write("runs/traj_1/step_000001.json", "{}")

    def vanish():
        Path("runs/b.jsonl").unlink()
        shutil.rmtree("runs/traj_1")

    meanwhile(vanish)
    report = store.load("runs")
    assert counts(report) == (2, 0, 2)
    assert [(Path(row.file).name, row.line) for row in report.rejected] == [("b.jsonl", None), ("traj_1", None)]
    assert {row.reason for row in report.rejected} == {"cannot be read (No such file or directory)"}


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", lines(rows(1)).encode(), lines(reversed(rows(30_000))).encode()])
def test_a_file_that_is_written_to_while_it_is_read_is_reported(store, meanwhile, content):
    path = write("a.jsonl", lines(rows(30_000)))
    meanwhile(lambda: (os.utime(path, (0, 0)), write(path, content)))
    report = store.load(path)
    assert report.added > 0
    assert "changed while it was read; load it again when nothing writes to it" in report.rejected[-1].reason
    assert report.rejected[-1].line is None


def test_a_file_that_grows_or_is_replaced_meanwhile_is_read_as_it_was(store, meanwhile):
    path = write("a.jsonl", lines(rows(2_000)))

    def replace():
        write("new", lines(rows(1)))
        Path("new").replace(path)

    meanwhile(replace)
    assert counts(store.load(path)) == (2_000, 0, 0)


def test_the_old_name_of_already_stored_still_works(store):
    line = b'{"prompt": "p", "steps": ["s"], "final_answer": "a"}'
    store.load(line)
    report = store.load(line)
    with pytest.deprecated_call(match="LoadReport.known is now already_stored") as warned:
        assert report.known == report.already_stored == 1
    assert warned[0].filename == __file__
