"""What rows come in: Arrow, archives, wrapped and keyed rows, columns, conversations, events, cells of JSON."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import zstd
from tests.test_inspect import ENCRYPTED, archive
from tests.test_load import GSM8K, ROW, counts, lines, parquet, rows, write
from tunix_rt.formats import Borrowed, Draft, Reading, Rejection, SourceFile, parts_of
from tunix_rt.formats.containers import arrow_files, files, packings, wrapped_rows
from tunix_rt.formats.containers.archives import tars
from tunix_rt.formats.containers.csv_rows import separator_of
from tunix_rt.formats.containers.line_rows import is_event_stream

ASKED = [{"question": f"{n} + 2?", "answer": f"{n} + 2 = {n + 2}\n#### {n + 2}"} for n in range(5)]
PROMPTS = [row["question"] for row in ASKED]
FOLDER = tarfile.DIRTYPE.decode()
CHAT = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "<think>Two twice.</think>4"}]


def prompts(store):
    return [record.payload.prompt for record in store.records(newest_first=False)]


def stream_of(table, *, file=False, chunk=2, **options):
    sink = io.BytesIO()
    new = pa.ipc.new_file if file else pa.ipc.new_stream
    with new(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return sink.getvalue()


def tar(members, mode="w", **options):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode, **options) as out:
        for name, data in members.items():
            one = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                one.size = len(data)
                out.addfile(one, io.BytesIO(data))
            else:
                one.type, one.linkname = data.encode(), "../../etc/passwd"
                out.addfile(one)
    return sink.getvalue()


def zipped(members):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return sink.getvalue()


TABLE = pa.Table.from_pylist(ASKED)
LINES = lines(ASKED).encode()
KINDS = {
    "Arrow stream": stream_of(TABLE),
    "Arrow file": stream_of(TABLE, file=True),
    "Arrow, packed inside": stream_of(TABLE, options=pa.ipc.IpcWriteOptions(compression="zstd")),
    "wrapped": json.dumps({"metadata": {"model": "m"}, "results": ASKED}).encode(),
    "wrapped, indented": json.dumps({"n": 5, "things": ASKED}, indent=1).encode(),
    "wrapped, twice on a line": b'{"data": %s}{"data": %s}'
    % (json.dumps(ASKED[:2]).encode(), json.dumps(ASKED[2:]).encode()),
    "wrapped, one of several lists": json.dumps({"features": [{"name": "question"}], "rows": ASKED}).encode(),
    "the hub's viewer": json.dumps(
        {"features": [{"a": 1}], "rows": [{"row_idx": n, "row": row} for n, row in enumerate(ASKED)]}
    ).encode(),
    "keyed": json.dumps({f"q{n}": row for n, row in enumerate(ASKED)}).encode(),
    "columns": json.dumps({name: [row[name] for row in ASKED] for name in ASKED[0]}).encode(),
    "columns of pandas": json.dumps(
        {name: {str(n): row[name] for n, row in enumerate(ASKED)} for name in ASKED[0]}
    ).encode(),
    "split": json.dumps(
        {"columns": ["question", "answer"], "index": [0, 1, 2, 3, 4], "data": [[*row.values()] for row in ASKED]}
    ).encode(),
    "table": json.dumps({"schema": {"fields": [{"name": "question"}], "primaryKey": []}, "data": ASKED}).encode(),
    "arrays, one a line": lines([ASKED[:2], ASKED[2:]]).encode(),
    "on one line": b" ".join(json.dumps(row).encode() for row in ASKED),
    "events": b": begun\n\n"
    + b"".join(b"event: row\r\ndata: %s\r\n\r\n" % json.dumps(row).encode() for row in ASKED)
    + b"data: [DONE]\n\n",
    "events without blank lines": b"".join(b"data: %s\n" % json.dumps(row).encode() for row in ASKED),
    "events over lines": b"".join(
        b"data: " + json.dumps(row, indent=1).encode().replace(b"\n", b"\ndata: ") + b"\n\n" for row in ASKED
    ),
    "tar": tar({"runs/": FOLDER, "runs/a.jsonl": LINES}),
    "tar of pax": tar({"x" * 150 + "/é.jsonl": LINES}, format=tarfile.PAX_FORMAT),
    "tar of GNU": tar({"x" * 150 + "/é.jsonl": LINES}, format=tarfile.GNU_FORMAT),
    "zip": zipped({"runs/a.json": json.dumps(ASKED), "readme.txt": "no rows", "__MACOSX/._a.json": b"\0"}),
    "zip of zstd": archive({"a.jsonl": LINES}, method=93),
    "tar of Parquet": tar({"a.parquet": parquet(ASKED)}),
    "tar of gzip": tar({"a.jsonl.gz": gzip.compress(LINES)}),
}
PACKS = {"plain": bytes, "gzip": gzip.compress, "zstd": zstd, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", KINDS)
def test_each_container_is_told_by_its_content(store, kind):
    report = store.load(write("of_no_name", KINDS[kind]))
    assert (report.format, counts(report)) == ("gsm8k", (5, 0, 0))
    assert prompts(store) == PROMPTS
    assert store.load(KINDS[kind]).already_stored == 5


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("kind", ["Arrow file", "wrapped", "tar", "zip", "events"])
def test_each_container_may_be_packed(store, kind, pack):
    assert counts(store.load(write("packed", PACKS[pack](KINDS[kind])))) == (5, 0, 0)


def test_packed_streams_one_behind_the_other_are_one_file(store):
    for pack in (bz2.compress, lzma.compress):
        packed = b"".join(pack(lines([row]).encode()) for row in ASKED)
        padded = packed + b"\0" * 8
        assert sum(counts(store.load(padded))[:2]) == 5


@pytest.mark.slow
@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_a_packed_file_that_is_cut_off_keeps_what_was_before(store, pack):
    many = [ROW | {"prompt": f"{n} {os.urandom(500).hex()}"} for n in range(3_000)]
    report = store.load(write("cut", pack(lines(many).encode())[:-40]))
    assert report.added > 100
    assert "cannot be read to its end: " in report.rejected[-1].reason
    with pytest.raises(rt.SourceInvalid, match="cannot be read to its end"):
        store.load(write("noise", pack(b"")[:8] + b"noise" * 20))


def test_xz_that_claims_more_memory_than_any_packer_needs_is_refused(store, monkeypatch):
    monkeypatch.setattr(packings, "_MOST_XZ_MEMORY", 2**20)
    with pytest.raises(rt.SourceInvalid, match=r"cannot be read to its end: Memory usage limit"):
        store.load(lzma.compress(LINES, preset=9))


# -- Arrow -----------------------------------------------------------------------------------------------------------


def test_feather_and_a_folder_of_a_saved_data_set(store):
    pyarrow.feather.write_feather(TABLE, "rows.feather")
    assert store.load("rows.feather").added == 5
    for name in ("data_set/train", "data_set/test"):
        Path(name).mkdir(parents=True)
        write(f"{name}/state.json", json.dumps({"_data_files": [{"filename": "data-00000-of-00002.arrow"}]}))
        write(f"{name}/dataset_info.json", "{}")
    write("data_set/dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    more = pa.Table.from_pylist([row | {"question": f"{row['question']} Now!"} for row in ASKED])
    write("data_set/train/data-00001-of-00002.arrow", stream_of(more.slice(3)))
    write("data_set/train/data-00000-of-00002.arrow", stream_of(more.slice(0, 3)))
    write("data_set/test/data-00000-of-00001.arrow", stream_of(TABLE))
    report = store.load("data_set/train")
    assert (counts(report), report.rejected) == ((5, 0, 0), [])
    assert prompts(store)[5:] == more["question"].to_pylist()


def test_a_cut_arrow_stream_keeps_the_batches_before_and_names_the_damage(store):
    many = [row | {"question": f"{n} {row['question']}"} for n in range(20) for row in ASKED]
    whole = stream_of(pa.Table.from_pylist(many))
    report = store.load(write("cut.arrow", whole[: len(whole) // 2]))
    assert 20 <= report.added < 100
    assert report.rejected[-1].reason.startswith("damaged Arrow file: ")
    with pytest.raises(rt.SourceInvalid, match=r"damaged Arrow file"):
        store.load(whole[:40])
    with pytest.raises(rt.SourceInvalid, match=r"is Feather of version 1; save it as version 2"):
        store.load(b"FEA1" + bytes(50))


def test_a_batch_that_says_it_is_larger_than_memory_is_not_read(store, monkeypatch):
    monkeypatch.setattr(arrow_files, "_MOST_BATCH_BYTES", 10_000)
    big = pa.Table.from_pylist([GSM8K | {"note": "x" * 20_000}])
    with pytest.raises(rt.SourceInvalid, match=r"has a batch of 2\d,\d+ bytes; at most 10,000 are read at once"):
        store.load(stream_of(big))


def test_a_text_of_arrow_that_is_not_utf8_rejects_its_row_alone(store):
    texts = pa.array([row["question"].encode() for row in ASKED[:2]] + [b"\xff\xfe"], pa.binary()).view(pa.string())
    table = pa.table({"question": texts, "answer": ["#### 1"] * 3})
    report = store.load(stream_of(table, chunk=3))
    assert counts(report) == (2, 0, 1)
    assert (report.rejected[0].line, report.rejected[0].field) == (3, "question")


def test_a_row_of_arrow_larger_than_any_row_is_rejected_alone(store, monkeypatch):
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 10_000)
    table = pa.Table.from_pylist([GSM8K, GSM8K | {"question": "x" * 20_000}, GSM8K | {"question": "b"}])
    report = store.load(stream_of(table, chunk=3))
    assert (counts(report), report.rejected[0].line) == ((2, 0, 1), 2)


# -- rows inside of rows ---------------------------------------------------------------------------------------------


def test_what_stands_beside_rows_is_common_to_all(store):
    wrapped = {"metadata": {"model": "m", "question": "not this"}, "date": "today", "large": ["x"] * 2_000}
    store.load([wrapped | {"results": [ASKED[0], ASKED[1] | {"date": "tomorrow"}]}])
    first, second = [record.payload.meta for record in store.records(newest_first=False)]
    assert (first["extra"]["date"], second["extra"]["date"]) == ("today", "tomorrow")
    assert "large" not in first["extra"]
    assert "m" in (first.get("model"), first["extra"].get("model"))
    assert prompts(store) == PROMPTS[:2]


def test_traces_inside_keep_their_own_fields_and_take_the_rest_into_meta(store):
    store.load([{"model": "m", "traces": [*rows(2), ROW | {"meta": {"model": "own"}}]}])
    assert [record.payload.meta for record in store.records(newest_first=False)] == [
        {"model": "m"},
        {"model": "m"},
        {"model": "own"},
    ]


ONE_ROW = [
    {"eval": {"task": "t"}, "samples": [{"input": "q", "id": 1, "epoch": 1, "target": "", "output": {}}]},
    {"schema_version": "ATIF-v1.4", "agent": {}, "steps": [{"source": "user", "message": "q"}]},
    {"messages": CHAT},
    {"prompt": "q", "choices": [{"message": CHAT[1]}]},
    {"chosen": CHAT, "rejected": CHAT},
    {"prompt": [CHAT[0]], "completion": [CHAT[1]]},
]


@pytest.mark.parametrize("row", ONE_ROW, ids=lambda row: next(iter(row)))
@pytest.mark.usefixtures("store")
def test_what_a_format_reads_as_one_row_stays_one(row):
    with Reading(write("one.json", json.dumps(row))) as reading:
        found = list(reading)
    assert 1 <= len(found) <= 2
    assert all(isinstance(one, Draft) for one in found)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "answer": "a", "examples": [{"input": "1", "output": "2"}]},
        {"prompt": {"text": "q"}, "response": {"text": "a"}},
        {"question": "q", "steps": [{"text": "a"}]},
        {"a": [{"x": 1}], "b": [{"x": 2}], "c": 3},
        {"learning_rate": 0.1, "optimizer": {"name": "adam"}},
        {"columns": [1, 2], "data": [[1, 2]]},
        {"columns": [], "data": []},
        {"a": [], "b": []},
        [[]],
        [1, 2],
        3,
    ],
)
def test_what_is_no_list_of_rows_is_left_as_it_is(row):
    assert list(wrapped_rows._values(row, is_alone=True)) == []


def test_a_mapping_reaches_the_rows_inside(store):
    path = write("t.json", json.dumps({"run": 7, "data": [{"ask": "a", "said": "b"}]}))
    report = store.load(path, mapping={"prompt": "ask", "final_answer": "said"})
    assert counts(report) == (1, 0, 0)
    assert store.latest().payload.meta["run"] == 7
    with pytest.raises(rt.SourceInvalid, match="its fields are run, ask, said"):
        store.load(path)


def test_a_wrapped_row_that_is_bad_is_rejected_by_its_number(store):
    report = store.load([{"results": [ASKED[0], {"question": 3, "answer": "####"}, ASKED[1]]}])
    assert counts(report) == (2, 0, 1)
    assert [(row.line, row.field) for row in report.rejected] == [(2, "question")]


# -- conversations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chat", "format"),
    [
        (CHAT, "messages"),
        ([{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "<think>Two twice.</think>4"}], "sharegpt"),
    ],
)
@pytest.mark.parametrize("as_text", [json.dumps, lambda chat: json.dumps(chat, indent=1), lambda chat: lines([chat])])
def test_an_array_of_messages_is_one_conversation(store, chat, format, as_text):
    report = store.load(write("chat", as_text(chat)))
    assert (report.format, counts(report)) == (format, (1, 0, 0))
    trace = store.latest().payload
    assert (trace.prompt, trace.steps[0].content, trace.final_answer) == ("2 + 2?", "Two twice.", "4")


def test_arrays_of_conversations_and_a_conversation_a_line(store):
    other = [CHAT[0] | {"content": "3 + 3?"}, CHAT[1]]
    for text in (json.dumps([CHAT, other]), lines([CHAT, other])):
        assert sum(counts(store.load(write("chats", text)))[:2]) == 2
    assert prompts(store) == ["2 + 2?", "3 + 3?"]


def test_an_array_of_what_one_side_said_is_rows(store):
    said = [{"role": "assistant", "content": [{"type": "text", "text": f"{n}"}]} for n in range(3)]
    report = store.load(write("t.json", json.dumps(said)))
    assert (report.format, counts(report)) == ("anthropic", (3, 0, 0))


def test_a_conversation_that_is_cut_off_has_no_answer(store):
    text = json.dumps([*CHAT, CHAT[0], CHAT[1]])
    for cut in (text[:-20], text[:-1]):
        with pytest.raises(rt.SourceInvalid, match=r"has no traces: invalid JSON"):
            store.load(write("t.json", cut))


def test_a_conversation_larger_than_any_row_is_not_gathered(store, monkeypatch):
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 10_000)
    with pytest.raises(rt.SourceInvalid, match="its fields are role, content"):
        store.load(write("t.json", json.dumps(CHAT * 200)))


# -- cells and events ------------------------------------------------------------------------------------------------


def csv_of(*cells):
    return "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells)


@pytest.mark.parametrize("written", [json.dumps(CHAT), repr(CHAT), repr([*CHAT[:1], CHAT[1] | {"x": float("nan")}])])
def test_cells_of_json_and_of_python_are_values(store, written):
    report = store.load(write("t.csv", csv_of(["messages", "n", "info"], [written, "1", "{}"], [written, "2", ""])))
    assert (report.format, report.added + report.already_stored) == ("messages", 2)
    assert store.latest().payload.meta["extra"]["n"] in ("1", "2")


def test_a_column_that_holds_anything_else_stays_text(store):
    texts = csv_of(["prompt", "completion", "info"], ["p", "[1, 2]", "[1]"], ["q", '{"a": 1}', "[x"], ["r", "[]", "1"])
    assert counts(store.load(write("t.csv", texts))) == (3, 0, 0)
    found = [record.payload for record in store.records(newest_first=False)]
    assert [trace.final_answer for trace in found] == ["[1, 2]", '{"a": 1}', "[]"]
    assert [trace.meta["extra"]["info"] for trace in found] == ["[1]", "[x", "1"]


def test_a_cell_is_never_run(store):
    hostile = "[__import__('os').mkdir('ran')]"
    store.load(write("t.csv", csv_of(["prompt", "completion", "x"], ["p", "c", hostile])))
    assert store.latest().payload.meta["extra"]["x"] == hostile
    assert not Path("ran").exists()


def test_one_column_is_named_when_it_is_refused_and_loads_by_a_mapping(store):
    for text in ('answer\n"so it is 12"\nit is 13, or so\n', 'any\n"so it is 12"\n'):
        with pytest.raises(rt.SourceInvalid, match=r"its fields are (answer|any)\n"):
            store.load(write("t.csv", text))
    mapping = {"prompt": "answer", "final_answer": "answer"}
    store.load(write("t.csv", 'answer\n"so it\nis 12"\nit is 13, or so\n'), mapping=mapping)
    assert prompts(store) == ["so it\nis 12", "it is 13, or so"]
    assert [separator_of(head) for head in (b"answer\n", b"one\ntwo\n", b'"a"\n"b"\n', b"Dear all\nHello\n")] == [
        None
    ] * 4


def test_what_is_no_event_is_told_and_stops_nothing(store):
    text = b"data: {\nnot an event\ndata: }\n\n" + KINDS["events"] + b"data: {\n"
    report = store.load(text, format="gsm8k")
    assert report.added == 5
    assert next(row.reason[:25] for row in report.rejected) == "is not a line of a server"
    assert not is_event_stream(b"data: about\nit: 3\n")


# -- archives --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_members_are_sources_by_name_in_order_and_a_bad_one_stops_nothing():
    members = {
        "b.jsonl": lines(rows(2)).encode(),
        "notes.txt": b"no rows",
        "bad.json": b"{",
        "empty.jsonl": b"",
        "a.csv": b"question,answer\nq,#### 4\n",
    }
    for data, name in ((tar(members), "t.tar"), (zipped(members), "t.zip")):
        report = rt.TraceStore(f"{name}.duckdb").load(write(name, data))
        assert (counts(report), report.format) == ((3, 0, 2), "trace, gsm8k")
        assert [row.file for row in report.rejected] == [f"{name}/bad.json", f"{name}/empty.jsonl"]


def test_hostile_members_are_names_only(store):
    members = {
        "/etc/a.jsonl": lines(rows(1)).encode(),
        "../../b\x1b[2J.jsonl": b"{",
        "link.jsonl": tarfile.SYMTYPE.decode(),
        "hard.jsonl": tarfile.LNKTYPE.decode(),
        "null.jsonl": tarfile.CHRTYPE.decode(),
        "pipe.jsonl": tarfile.FIFOTYPE.decode(),
        "folder.jsonl": tarfile.DIRTYPE.decode(),
    }
    report = store.load(write("t.tar", tar(members)))
    assert counts(report) == (1, 0, 1)
    assert "\x1b" not in str(report)
    assert [path.name for path in Path.cwd().iterdir() if path.suffix in (".jsonl", ".json")] == []
    pieces = zipped({"/etc/a.jsonl": lines(rows(1)), "../../b.jsonl": "{"})
    assert counts(store.load(write("t.zip", pieces))) == (0, 1, 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (tar({"a.txt": b"x"}), "is an archive without files of traces; their names end in .json"),
        (tar({"a.jsonl": LINES})[:700], "a.jsonl: cannot be read to its end: the archive ends inside of it"),
        (tar({"x.bin": bytes(5_000)})[:2_000], "damaged tar archive: it ends inside of a member"),
        (tar({"x.bin": b"1"})[:1024] + b"noise" * 200, "damaged tar archive: where a member should begin is something"),
        (tar({"in.tar": tar({"a.jsonl": LINES})}), "in.tar: is an archive inside of an archive; unpack the outer one"),
        (zipped({"in.tar": tar({"a.jsonl": LINES})}), "in.tar: is an archive inside of an archive"),
        (zipped({"a.jsonl": LINES})[:-30], "damaged zip archive"),
        (archive({"a.jsonl": LINES}, flags=ENCRYPTED), "a.jsonl: cannot be read to its end: is encrypted"),
        (archive({"a.jsonl": LINES}, method=12), "a.jsonl: cannot be read to its end: is packed by method 12"),
        (archive({"a.jsonl": LINES}, crc=1), "a.jsonl: "),
        (archive({"a.jsonl": LINES, "b.jsonl": LINES}, offset=0), "b.jsonl overlaps the member before it"),
        (
            zipped({"m/data.pkl": b"x", "m/version": b"3"}),
            "is a PyTorch file, and what is pickled in it could run code",
        ),
        (pickle.dumps(ASKED, protocol=2), "is a pickle, and what is pickled in it could run code"),
        (pickle.dumps(ASKED), "is a pickle"),
        (gzip.compress(pickle.dumps(ASKED)), "is a pickle"),
        (b"\x93NUMPY\x01\x00v\x00", "is a NumPy array"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_sentence(same_store, content, told):
    with pytest.raises(rt.SourceInvalid) as caught:
        same_store.load(write("t", content))
    if told != "a.jsonl: ":
        assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_pickle_of_the_oldest_kind_and_a_saved_array_are_never_opened(store):
    class Runs:
        def __reduce__(self):
            return Path.mkdir, (Path("ran"),)

    with pytest.raises(rt.SourceInvalid, match="is a pickle"):
        store.load(write("t.pkl", pickle.dumps(Runs(), protocol=0)))
    np.save("t.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(rt.SourceInvalid, match="is a NumPy array"):
        store.load("t.npy")
    assert not Path("ran").exists()


def test_a_header_that_claims_gigabytes_is_not_read(store):
    long = tarfile.TarInfo("x")
    long.type, long.size = b"L", 2**33
    with pytest.raises(rt.SourceInvalid, match="damaged tar archive: a header of 8,589,934,592 bytes"):
        store.load(write("t.tar", long.tobuf(tarfile.GNU_FORMAT)))


@pytest.mark.slow
def test_a_bomb_in_an_archive_does_not_fill_the_disk(store, temporary):
    bomb = b"PAR1" + bytes(150 * 2**20)
    for name, data in (
        ("t.tar.gz", gzip.compress(tar({"a.parquet": bomb}), 1)),
        ("t.zip", zipped({"a.parquet": bomb})),
    ):
        with pytest.raises(rt.SourceInvalid, match=r"a\.parquet: unpacks to more than 100 times its size"):
            store.load(write(name, data))
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_progress_runs_through_an_archive_and_can_stop_it(store):
    members = {f"{n}.jsonl": lines([ROW | {"prompt": f"{n} {k}"} for k in range(400)]).encode() for n in range(6)}
    path = write("t.tar.gz", gzip.compress(tar(members | {"x.bin": bytes(2**22)}), 0))
    told = []
    assert store.load(path, progress=lambda *done: told.append(done)).added == 2_400
    assert told == sorted(told)
    assert told[-1] == (path.stat().st_size, path.stat().st_size)

    def stop(done, _total):
        if done > 10:
            raise InterruptedError("somebody pressed Stop")

    with pytest.raises(InterruptedError, match="somebody pressed Stop"):
        store.load(path, progress=stop)


def test_a_watched_archive_is_loaded_member_by_member(store):
    Path("runs").mkdir()
    write("runs/t.tar", tar({"a.jsonl": lines(rows(2)).encode(), "bad.jsonl": b"{", "b.jsonl": LINES}))
    watch = store.watch("runs", stop=lambda: True)
    (report,) = list(watch)
    assert counts(report) == (7, 0, 1)


# -- whatever bytes --------------------------------------------------------------------------------------------------

_MAGICS = [
    b"ARROW1\0\0", b"\xff\xff\xff\xff", b"FEA1", b"PAR1", b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\x00", b"\x1f\x8b\x08",
    b"data: {", b"\x80\x04", b"\x93NUMPY", b'[{"role": "user", "content": ', b'{"results": [{', b'answer\n"',
    b"messages,a\n",
]  # fmt: skip


def _read(data):
    found = []
    try:
        for part in parts_of(SourceFile("f", Borrowed(io.BytesIO(data), "f")), lambda _: None):
            with Reading(part) as reading:
                found += reading
    except rt.SourceInvalid:
        pass
    return found


@given(
    st.sampled_from(_MAGICS),
    st.binary(max_size=200) | st.text(max_size=100).map(lambda t: t.encode("utf-8", "replace")),
)
def test_no_bytes_behind_a_magic_raise_anything_but_source_invalid(magic, noise):
    assert all(isinstance(one, Draft | Rejection) for one in _read(magic + noise))


@given(st.sampled_from(list(KINDS)), st.integers(0, 10**6), st.binary(max_size=8), st.booleans())
def test_no_damage_raises_anything_but_source_invalid(kind, place, noise, cut):
    whole = KINDS[kind]
    place %= len(whole)
    data = whole[:place] + noise + (b"" if cut else whole[place + len(noise) :])
    assert all(isinstance(one, Draft | Rejection) for one in _read(data))


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5) | st.just(CHAT[0]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["data", "rows", "0", "1", "columns", "id", "messages", "a"]), inner, max_size=4
            )
        ),
        max_leaves=30,
    )
)
def test_no_value_whatsoever_breaks_the_search_for_rows(value):
    _read(json.dumps(value).encode())
    _read(json.dumps([value, value]).encode())


@given(st.binary(max_size=600))
def test_no_header_of_a_tar_breaks_it(noise):
    header = bytearray((noise + bytes(512))[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert tars.is_tar(bytes(header))
    _read(bytes(header) + noise)
