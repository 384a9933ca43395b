"""Logs of Inspect: as one document and as an archive, in every packing, and archives that nobody should trust."""

import bz2
import gzip
import json
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import zstd
from tunix_rt.formats import READABLE, Draft, Row, inspect_logs

STORED, DEFLATED, BZIP2, ZSTD = 0, 8, 12, 93
ENCRYPTED = 1


def deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACK = {STORED: bytes, DEFLATED: deflate, BZIP2: bz2.compress, ZSTD: zstd}


def archive(members, *, method=DEFLATED, flags=0, crc=None, offset=None):
    """A zip archive, byte for byte, so that it can be told lies; Python before 3.14 writes none with zstd."""
    body, directory = b"", b""
    for name, content in members.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        packed = PACK[method](data)
        sizes = struct.pack("<III", zlib.crc32(data) if crc is None else crc, len(packed), len(data))
        head = struct.pack("<HHHHH", 63, flags, method, 0, 33) + sizes
        at = len(body) if offset is None else offset
        body += b"PK\x03\x04" + head + struct.pack("<HH", len(name), 0) + name.encode() + packed
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + head
        directory += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, at) + name.encode()
    n = len(members)
    return body + directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, n, n, len(directory), len(body), 0)


def sample(**fields):
    given = {
        "id": "sum-1",
        "epoch": 1,
        "input": "2 + 2?",
        "target": "4",
        "messages": [
            {"id": "m1", "role": "user", "content": "2 + 2?", "source": "input"},
            {"id": "m2", "role": "assistant", "content": "<think>Two and two make four</think>4", "model": "m"},
        ],
        "output": {"model": "m", "choices": [{"message": {}, "stop_reason": "stop"}], "usage": {"m": {"total": 9}}},
        "scores": {"match": {"value": "C", "answer": "4"}},
        "events": [{"event": "model"}],
        "attachments": {},
    }
    return given | fields


EVAL = {"task": "sums", "model": "openai/m", "dataset": {"name": "sums"}}
LOG = {"version": 2, "status": "success", "eval": EVAL, "results": {}, "samples": [sample(), sample(epoch=2)]}


def expected(epoch=1, *, task=True):
    extra = {"scores": {"match": {"value": "C", "answer": "4"}}, "output": {"usage": {"m": {"total": 9}}}}
    return rt.Trace(
        prompt="2 + 2?",
        steps=["Two and two make four"],
        final_answer="4",
        meta={
            "source": "inspect",
            "expected_answer": "4",
            "model": "m",
            "finish_reason": "stop",
            "group": "sum-1",
            "sample": epoch,
            "correct": True,
            "extra": extra | ({"task": "sums"} if task else {}),
        },
    )


def write(name, content):
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=2).encode())
    return path


def traces(store):
    return [record.payload for record in store.records(newest_first=False)]


def the_trace(store, **fields):
    report = store.load(write("log.json", {"eval": {}, "samples": [sample(**fields)]}))
    assert report.rejected == []
    return store.latest().payload


def test_a_log_in_one_document_gives_a_trace_for_each_sample(store):
    report = store.load(write("log.json", LOG))
    assert (report.format, report.rejected) == ("inspect", [])
    assert traces(store) == [expected(1), expected(2)]


@pytest.mark.parametrize("method", [STORED, DEFLATED, ZSTD])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("header", ["header.json", "_journal/start.json", None])
def test_an_archive_gives_the_same_in_every_packing(store, method, pack, header):
    members = {"samples/sum-1_epoch_1.json": sample(), "samples/sum-1_epoch_2.json": sample(epoch=2)}
    members |= {"summaries.json": [{"id": 1}], "reductions.json": []} | ({header: {"eval": EVAL}} if header else {})
    report = store.load(write("log.eval", pack(archive(members, method=method))))
    assert (report.format, report.rejected) == ("inspect", [])
    assert traces(store) == [expected(1, task=header is not None), expected(2, task=header is not None)]


def test_an_archive_that_zipfile_wrote_is_found_in_a_folder(store):
    Path("logs").mkdir()
    with zipfile.ZipFile("logs/log.eval", "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("samples/1.json", json.dumps(sample(scores=None)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            # Scored later.
            log.writestr("samples/1.json", json.dumps(sample()))
    assert store.load("logs").added == 1
    assert traces(store) == [expected(task=False)]


def test_attachments_stand_where_they_are_named(store):
    messages = [
        {"role": "user", "content": "attachment://q"},
        {"role": "assistant", "content": [{"type": "text", "text": "attachment://a"}]},
    ]
    held = {"q": "A long question?", "a": "<think>Hm.</think>4"}
    trace = the_trace(store, input="attachment://q", messages=messages, attachments=held, metadata="attachment://gone")
    assert (trace.prompt, trace.steps[0].content, trace.final_answer) == ("A long question?", "Hm.", "4")
    assert trace.meta["extra"]["metadata"] == "attachment://gone"


def test_attachments_that_are_named_again_and_again_do_not_fill_the_memory(store, monkeypatch):
    monkeypatch.setattr(inspect_logs, "_MAX_ATTACHED_CHARS", 1_000)
    bomb = sample(metadata=["attachment://x"] * 50, attachments={"x": "x" * 100})
    report = store.load(write("log.json", {"eval": {}, "samples": [bomb, sample()]}))
    assert [(found.field, found.reason) for found in report.rejected] == [
        ("samples.0.attachments", "must have at most 1,000 characters")
    ]
    assert report.added == 1


def test_reasoning_parts_tools_and_a_system_message(store):
    call = {"id": "c", "type": "function", "function": "add", "arguments": {"a": 2, "b": 2}}
    messages = [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "2 + 2?"},
        {
            "role": "assistant",
            "content": [{"type": "reasoning", "reasoning": "A sum."}, {"type": "image", "image": "data:…"}],
            "tool_calls": [call],
        },
        {"role": "tool", "function": "add", "content": "4"},
        {"role": "assistant", "content": "4"},
    ]
    trace = the_trace(store, messages=messages)
    assert [(step.type, step.content) for step in trace.steps] == [
        ("step", "A sum."),
        ("message", "[image]"),
        ("tool_call", 'add({"a": 2, "b": 2})'),
        ("observation", "4"),
    ]
    assert (trace.prompt, trace.final_answer) == ("2 + 2?", "4")
    assert trace.meta["extra"]["messages"] == messages


def test_examples_in_the_input_are_part_of_the_prompt(store):
    given = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "2 + 2?"},
    ]
    trace = the_trace(store, input=given, messages=[*given, {"role": "assistant", "content": "4"}])
    assert trace.prompt == "User: 1 + 1?\n\nAssistant: 2\n\nUser: 2 + 2?"
    assert (trace.steps, trace.final_answer, trace.meta["messages"]) == ((), "4", given)


def test_a_sample_without_messages_has_its_output(store):
    output = {"model": "m", "choices": [{"message": {"role": "assistant", "content": "4"}, "stop_reason": "stop"}]}
    assert the_trace(store, messages=[], output=output).final_answer == "4"
    assert the_trace(store, messages=None, output={"completion": "5"}).final_answer == "5"


def test_an_answer_that_was_cut_off_is_truncated_and_one_that_never_came_is_missing(store):
    output = {"choices": [{"stop_reason": "max_tokens"}]}
    assert the_trace(store, output=output).meta["truncated"] is True
    missing = the_trace(store, messages=[], output={"choices": []}, error={"message": "…"})
    assert (missing.final_answer, missing.meta.get("truncated")) == (None, None)


@pytest.mark.parametrize(
    ("scores", "known"),
    [
        ({"a": {"value": "I"}}, {"correct": False}),
        ({"a": {"value": True}}, {"correct": True}),
        ({"a": {"value": "C"}, "b": {"value": "I"}}, {}),
        ({"a": {"value": "C"}, "b": {"value": 0.5}}, {"correct": True, "reward": 0.5}),
        ({"a": {"value": 1}, "b": {"value": float("nan")}}, {"rewards": {"a": 1, "b": None}}),
        ({"a": {"value": "N"}, "b": {"value": {"x": 1}}}, {}),
        (None, {}),
    ],
)
def test_scores(store, scores, known):
    meta = the_trace(store, scores=scores).meta
    assert {name: meta[name] for name in ("correct", "reward", "rewards") if name in meta} == known


ONE = {"samples/1.json": sample()}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (archive(ONE)[:-30], "damaged zip archive"),
        (archive(ONE)[40:].join([b"PK\x03\x04", b""]), "damaged zip archive"),
        (archive({}), "without samples/*.json, so it is not an Inspect log"),
        (
            archive({"word/document.xml": b"<w/>"}),
            "without samples/*.json, so it is not an Inspect log",
        ),
        (archive(ONE | {"samples/2.json": sample()}, offset=0), "samples/2.json overlaps the member before it"),
        (archive(ONE, flags=ENCRYPTED), "has no traces: samples/1.json: is encrypted"),
        (archive(ONE, method=BZIP2), "samples/1.json: is packed by method 12"),
        (archive(ONE, crc=1), "samples/1.json: is damaged"),
        (archive(ONE, crc=1, method=ZSTD), "samples/1.json: is damaged: its checksum does not match"),
        (archive(ONE, offset=9), "samples/1.json: is damaged"),
        (archive(ONE, offset=9, method=ZSTD), "samples/1.json: is damaged: there is no header before it"),
        (archive({"samples/1.json": b"{"}), "samples/1.json: invalid JSON"),
        (archive({"samples/1.json": b"[" * 100_000}), "samples/1.json: invalid JSON"),
        (archive({"samples/1.json": [1]}), "row 1 is not a JSON object"),
    ],
)
def test_an_archive_that_cannot_be_loaded_at_all_is_told(same_store, content, told):
    with pytest.raises(rt.SourceInvalid) as caught:
        same_store.load(write("log.eval", content))
    assert told in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", [STORED, DEFLATED, ZSTD])
def test_a_bomb_is_rejected_and_its_neighbours_are_loaded(store, monkeypatch, method):
    monkeypatch.setattr("tunix_rt.formats.containers.files.MAX_ROW_BYTES", 100_000)
    members = {"header.json": b" " * 10**7, "samples/bomb.json": b" " * 10**7} | ONE
    report = store.load(write("log.eval", archive(members, method=method)))
    (rejected,) = report.rejected
    assert rejected.reason == "samples/bomb.json: exceeds maximum of 100,000 bytes for a row"
    assert traces(store) == [expected(task=False)]


def test_names_that_climb_out_of_the_archive_lead_nowhere(store):
    members = {"samples/../../../climbed.json": sample(), "samples//etc/passwd.json": sample(epoch=2)}
    assert store.load(write("log.eval", archive(members))).added == 2
    assert [path.name for path in Path.cwd().iterdir()] == ["log.eval"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"input": 3}, "input", "must be a string or a list of messages"),
        ({"input": [3]}, "input.0", "must be an object"),
        ({"messages": {}}, "messages", "must be a list"),
        ({"messages": [{"role": 3}]}, "messages.0.role", "must be a string"),
        ({"output": []}, "output", "must be an object"),
        ({"output": {"choices": [1]}}, "output.choices.0", "must be an object"),
        ({"output": {"choices": [{"stop_reason": 1}]}}, "output.choices.0.stop_reason", "must be a string"),
        ({"scores": {"a": "C"}}, "scores.a", "must be an object"),
        ({"epoch": "first"}, "epoch", "must be a number"),
        ({"attachments": []}, "attachments", "must be an object"),
    ],
)
def test_a_wrong_type_is_told_by_its_path(store, fields, field, reason):
    report = store.load(write("log.json", {"eval": {}, "samples": [sample(**fields), sample()]}))
    (rejected,) = report.rejected
    assert (report.added, rejected.field, rejected.reason) == (1, f"samples.0.{field}", reason)
    report = store.load(write("log.eval", archive({"samples/1.json": sample(**fields), "samples/2.json": sample()})))
    assert [(found.field, found.reason) for found in report.rejected] == [(field, reason)]


NAMES = "id epoch input target messages output scores attachments role content tool_calls choices message value samples"
keys = st.sampled_from(NAMES.split()) | st.text(max_size=3)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["assistant", "attachment://a", "C"])
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5))


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(list(sample())), anything, max_size=4), st.booleans(), anything)
def test_no_sample_whatsoever_raises_anything_but_trace_invalid(fields, in_a_log, evaluation):
    value = sample(**fields)
    if in_a_log:
        value = {"eval": evaluation, "samples": [value]}
    READABLE["inspect"].misfit(value)
    try:
        found = list(READABLE["inspect"].drafts(Row("log.json", 1, value=value)))
    except rt.TraceInvalid:
        return
    assert all(isinstance(draft, Draft | rt.TraceInvalid) for draft in found)


@given(st.sampled_from([STORED, DEFLATED, ZSTD]), st.integers(0, 2_000), st.binary(min_size=1, max_size=8))
def test_no_archive_whatsoever_raises_anything_but_source_invalid(tmp_path_factory, method, place, noise):
    from tunix_rt.formats import Reading

    whole = archive(ONE | {"header.json": {"eval": EVAL}}, method=method)
    place %= len(whole)
    path = tmp_path_factory.mktemp("noise") / "log.eval"
    path.write_bytes(whole[:place] + noise + whole[place + len(noise) :])
    try:
        with Reading(path) as reading:
            list(reading)
    except rt.SourceInvalid:
        pass
