"""Lines of the native format in the store's own notation are checked by DuckDB: with the same result as by `Trace`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.made_ready import apart
from tunix_rt.formats import READABLE, Reading, Row, found_in
from tunix_rt.store.engine.rows import encode_parts
from tunix_rt.store.ingest import chunk, encoding
from tunix_rt.store.ingest.chunk import Chunk
from tunix_rt.store.ingest.encoding import all_encoded, encoded
from tunix_rt.store.ingest.plain_lines import PlainLines

MOST = 30_000
WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
TEXT = WORDS | WORDS | st.sampled_from(["", "\\u00", '":""', '","meta":{}', '}],"final_answer":"', "\n\t\x7f", "é\x1b"])
VALUES = st.recursive(
    TEXT | st.none() | st.integers() | st.floats(), lambda one: st.lists(one, max_size=2), max_leaves=3
)
STEPS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3).flatmap(
    lambda texts: st.sampled_from([0, 0, 0, 1, 7, 2**63 - 2]).map(
        lambda first: [{"i": first + n, "type": kind, "content": text} for n, (kind, text) in enumerate(texts)]
    )
)
FIELDS = st.builds(
    dict,
    trace_version=st.sampled_from(["1.0", "1.0", "1.1", "2"]),
    prompt=TEXT,
    steps=STEPS,
    final_answer=TEXT,
    meta=st.dictionaries(TEXT, VALUES, max_size=3) | st.none(),
)
PIECES = [
    b'"',
    b"{",
    b"}",
    b"null",
    b'""',
    b"1",
    b" ",
    b"\\",
    b"\\u00e9",
    b"\\u0000",
    b"\xff",
    b"-",
    b".0",
    b',"meta":1',
    b"\0",
]
GIVEN = b'"id":"019b76e2-4908-718c-8375-fcf4f3002c1a","created_at":"%b",'


def compact(fields):
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


@st.composite
def lines(draw):
    """A line as the store would write it, or nearly so."""
    fields = draw(FIELDS)
    line = compact(fields)
    if draw(st.booleans()):
        time = draw(
            st.sampled_from(
                [b"2026-01-02T03:04:05.000006Z", b"2026-13-02T03:04:05.000006Z", b"0001-01-01T00:00:00.000000Z"]
            )
        )
        line = b"{" + GIVEN % time + line[1:]
    if draw(st.booleans()):
        at, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
        line = line[:at] + draw(st.sampled_from(PIECES)) + line[draw(st.sampled_from([at, end])) :]
    return line.replace(b"\n", b" ") or b"x"


@pytest.fixture(scope="module")
def plain_lines():
    return PlainLines()


def by_the_reader(line):
    """What the reader of the format makes of a line."""
    return [encoded(found, MOST) for found in found_in(Row("f", 1, raw=line), READABLE["trace"])]


@given(drawn=st.lists(lines(), min_size=1, max_size=8))
def test_what_duckdb_accepts_is_what_a_trace_accepts(plain_lines, drawn):
    found, fields = plain_lines.among(drawn)
    assert (fields is None) == (None in found)
    for n, (line, one) in enumerate(zip(drawn, found, strict=True)):
        if one is not None:
            [by_reader] = by_the_reader(line)
            assert (*encode_parts(one.body, one.meta, MOST), one.id, one.created_at, ()) == by_reader[1:]
            if fields is not None:
                assert fields[n].as_py() == json.loads(one.body)


TRACE = {
    "trace_version": "1.0",
    "prompt": 'A "quoted" \\ text, ½',
    "steps": [{"i": n, "type": "step", "content": f"line\n{n}"} for n in range(3)],
    "final_answer": "4",
    "meta": {"source": "s", "reward": 0.5},
}


def changed(**fields):
    return compact({**TRACE, **fields})


def steps(*contents, type="step", first=0):
    return [{"i": first + n, "type": type, "content": content} for n, content in enumerate(contents)]


def test_which_lines_are_plain(plain_lines):
    plain = [
        compact(TRACE),
        compact({name: value for name, value in TRACE.items() if name != "meta"}),
        changed(meta=None),
        changed(steps=steps("a", "b", first=1)),
        changed(steps=steps("é" * 20_000, type="t" * 64), prompt="p" * 50_000),
        changed(trace_version="1.1", steps=[], final_answer=None),
        compact(TRACE).replace(b',"meta":{', b',"meta": { '),
    ]
    others = [
        json.dumps(TRACE).encode(),
        changed(steps=steps("a" * 20_001)),
        changed(steps=steps("a", type="t" * 65)),
        changed(steps=steps("a") * 2),
        changed(steps=steps(*["a"] * 1_001)),
        changed(steps=[]),
        changed(steps=[None]),
        changed(final_answer=None),
        changed(prompt="p" * 50_001),
        changed(prompt=""),
        changed(meta={"n": float("nan")}),
        changed(meta={"x": "y" * 2**20}),
        compact(TRACE).replace(b'"prompt":', b'"prompt":"x","prompt":'),
        compact(TRACE)[:-2],
        b"\xff",
        b"",
    ]
    found, fields = plain_lines.among([*plain, None, *others])
    assert fields is None
    assert [one is not None for one in found] == [True] * len(plain) + [False] * (1 + len(others))
    # Bytes that are not text, among the others, send all of them to the reader.
    assert plain_lines.among([compact(TRACE), compact(TRACE).replace(b"line", b"\xff\xfe")]) == ([None, None], None)


@pytest.mark.slow
def test_a_large_export_comes_back_as_it_was(tmp_path, plain_lines):
    store = rt.TraceStore(tmp_path / "a.duckdb")
    store.add_many([rt.Trace.from_dict({**TRACE, "meta": {"n": n, "pad": "x" * (9_900 + n)}}) for n in range(200)])
    path = tmp_path / "out.jsonl"
    store.export(path)
    written = path.read_bytes().splitlines()
    found, fields = plain_lines.among(written)
    assert (None in found, len(fields)) == (False, 200)
    # A row that is not valid, one with the id of another trace, and one more that is not valid keep their order.
    taken = written[0].replace(b'"final_answer":"4"', b'"final_answer":"5"')
    path.write_bytes(b"\n".join([*written, b'{"prompt":1}', taken, b"[]"]))
    copy = rt.TraceStore(tmp_path / "b.duckdb")
    report = copy.load(path)
    assert (report.added, [one.line for one in report.rejected]) == (200, [201, 203, 202])
    assert [one.id for one in copy.records()] == [one.id for one in store.records()]
    assert list(copy.records()) == list(store.records())
    # Some of them are too large, in the same words.
    for most in (MOST, 10_200):
        with Reading(path) as reading:
            one_by_one = [encoded(found, most) for found in reading]
        with Reading(path) as reading:
            together = list(all_encoded(reading, most, None))
        assert list(apart(together)) == list(apart(one_by_one))
    assert {type(one) for one in together} == {rt.Rejection, Chunk}


def test_chunks_of_lines_read_by_duckdb_and_by_python_keep_their_order(tmp_path, monkeypatch):
    for name, value in {"_FEW_BYTES": 1, "_CHECKED_ROWS": 5}.items():
        monkeypatch.setattr(encoding, name, value)
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 7)
    written = [changed(prompt=f"{n} é", trace_version="1.1", final_answer=None if n % 2 else "4") for n in range(27)]
    # In another notation: its chunk is parsed again. Before and behind it are some that are not; one is a large row.
    written[17] = json.dumps({**TRACE, "prompt": "17 é"}).encode()
    written[22] = changed(prompt="22 é" + "x" * 49_000)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(written))
    store = rt.TraceStore(tmp_path / "a.duckdb")
    assert store.load(path).added == 27
    assert [one.payload for one in store.records(newest_first=False)] == [rt.Trace.from_json(one) for one in written]
    again = store.load(path)
    assert (again.added, again.already_stored) == (0, 27)
    previews = store.sql("select preview, n_steps, n_chars from traces order by created_at").arrow().to_pylist()
    assert previews[0] == {"preview": "0 é", "n_steps": 3, "n_chars": 3 + 3 * 6 + 1}
