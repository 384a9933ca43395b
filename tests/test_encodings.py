"""Files in other encodings than UTF-8: said what to pass, and read with it, row by row."""

import codecs
import gzip
import io
import json
import tracemalloc

import pytest

import tunix_rt as rt
from tests.test_load import ROW, counts, lines, parquet, write
from tunix_rt.formats.containers import encodings

WORDS = ["naïve", "Größe", "señor", "“quoted” – €"]
TEXTS = [ROW | {"prompt": word} for word in WORDS]
CONTAINERS = {
    "lines": lines,
    "an array": lambda rows: json.dumps(rows, ensure_ascii=False),
    "indented objects": lambda rows: "\n".join(json.dumps(row, ensure_ascii=False, indent=1) for row in rows),
    "CSV": lambda rows: "prompt,final_answer\n" + "".join(f'"{row["prompt"]}",4\n' for row in rows),
}


def prompts(store):
    return [record.payload.prompt for record in store.records(newest_first=False)]


def options(container):
    return {"mapping": {"prompt": "prompt", "final_answer": "final_answer"}} if container == "CSV" else {}


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    "encoding", ["windows-1252", "utf-16", "UTF-16LE", "utf-16-be", "utf-32", "utf-8-sig", "gb18030", "utf-7"]
)
def test_a_file_in_any_encoding_loads_with_its_name(store, container, encoding):
    path = write("t", CONTAINERS[container](TEXTS).encode(encoding))
    assert counts(store.load(path, encoding=encoding, **options(container))) == (4, 0, 0)
    assert prompts(store) == WORDS
    packed = write("t.gz", gzip.compress(path.read_bytes()))
    assert counts(store.load(packed, encoding=encoding, **options(container))) == (0, 4, 0)
    assert counts(store.load(path.read_bytes(), encoding=encoding, **options(container))) == (0, 4, 0)
    with path.open("rb") as file:
        assert counts(store.load(file, encoding=encoding, **options(container))) == (0, 4, 0)


@pytest.mark.parametrize("kind", ["16", "32"])
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("mark", [True, False])
def test_wide_characters_with_and_without_a_mark(store, kind, order, mark):
    start = getattr(codecs, f"BOM_UTF{kind}_{order.upper()}") if mark else b""
    path = write("t.jsonl", start + lines(TEXTS).encode(f"utf-{kind}-{order}"))
    assert counts(store.load(path, encoding=f"utf-{kind}")) == (4, 0, 0)
    assert counts(store.load(path, encoding=f"utf-{kind}-{order}")) == (0, 4, 0)
    assert prompts(store) == WORDS
    with pytest.raises(rt.SourceInvalid, match=r'save it as UTF-8, or pass encoding="utf-(16|32)"'):
        store.load(path)


@pytest.mark.parametrize("container", CONTAINERS)
def test_without_its_name_each_row_at_fault_says_what_to_pass(store, container):
    mixed = [ROW | {"prompt": "plain"}, ROW | {"prompt": "naïve"}, ROW | {"prompt": "plain too"}]
    report = store.load(write("t", CONTAINERS[container](mixed).encode("latin-1")), **options(container))
    assert counts(report) == (2, 0, 1)
    assert 'UTF-8 unless you pass another, as in encoding="windows-1252"' in report.rejected[0].reason
    assert report.rejected[0].line == {"an array": 1, "CSV": 3, "indented objects": 8}.get(container, 2)
    assert prompts(store) == ["plain", "plain too"]


def test_a_file_of_which_nothing_is_utf_8_says_what_to_pass(store):
    for content in (lines(TEXTS[:1]), "größe;länge\n1;2\n"):
        with pytest.raises(rt.SourceInvalid, match='as in encoding="windows-1252"'):
            store.load(write("t", content.encode("latin-1")))


def test_what_the_encoding_does_not_have_is_rejected_with_its_line(store):
    content = (
        lines(TEXTS[:1]).encode("cp1252") + lines([ROW]).encode().replace(b"2 + 2?", b"\x81") + lines([ROW]).encode()
    )
    report = store.load(write("t.jsonl", content), encoding="windows-1252")
    assert counts(report) == (2, 0, 1)
    assert report.rejected[0].line == 2
    assert "it holds bytes that are not text in the file's encoding" in report.rejected[0].reason
    # Half a character at the end.
    report = store.load(write("t.jsonl", lines(TEXTS).encode("utf-16") + b"\n"), encoding="utf-16")
    assert (report.added + report.already_stored, report.rejected_count) == (4, 1)


@pytest.mark.parametrize(
    "name",
    [
        "rot13",
        "base64",
        "hex",
        "zlib",
        "idna",
        "punycode",
        "undefined",
        "unicode_escape",
        "no such",
        "",
        "a\0b",
        8,
        b"utf-8",
    ],
)
def test_what_is_no_encoding_of_files_is_refused(same_store, name):
    path = write("t.jsonl", lines(TEXTS))
    with pytest.raises(
        rt.SourceInvalid, match=r"encoding=.*: is not an encoding of text files that Python knows; common"
    ):
        same_store.load(path, encoding=name)
    assert same_store.count() == 0


def test_what_has_no_encoding_takes_none(store):
    with pytest.raises(rt.QueryInvalid, match='encoding="cp1252": only files and bytes have an encoding; leave it out'):
        store.load(TEXTS, encoding="windows-1252")
    assert counts(store.load(TEXTS, encoding="utf-8")) == (4, 0, 0)
    # Parquet says itself how its texts are written.
    steps = [{"i": 0, "type": "step", "content": "…"}]
    assert store.load(parquet([row | {"steps": steps} for row in TEXTS]), encoding="utf-16").added == 4


@pytest.mark.parametrize("piece", [1, 7])
def test_characters_that_lie_across_two_pieces_are_read_right(monkeypatch, piece):
    monkeypatch.setattr(encodings, "_PIECE_BYTES", piece)
    for encoding in ("utf-16", "utf-32", "gb18030", "utf-7", "iso2022_jp"):
        text = "日本語 " * 20
        stream = encodings.AsUtf8(io.BufferedReader(io.BytesIO(text.encode(encoding))), encoding)
        assert io.BufferedReader(stream, 16).read().decode() == text


def test_a_file_of_any_length_takes_the_memory_of_a_piece():
    class Endless(io.RawIOBase):
        left = 40 * 2**20

        def readable(self):
            return True

        def readinto(self, buffer):
            n = min(len(buffer), self.left)
            buffer[:n] = b"x\0" * (n // 2)
            self.left -= n
            return n

    tracemalloc.start()
    try:
        stream = io.BufferedReader(encodings.AsUtf8(io.BufferedReader(Endless()), "utf-16-le"), 2**20)
        read = 0
        while piece := stream.read(2**20):
            read += len(piece)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == 20 * 2**20
    assert most < 10 * 2**20
