"""Rows of cells: told by their content, streamed, and rejected one by one."""

import csv
import gzip
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tunix_rt.formats.containers.csv_rows import csv_rows, separator_of
from tunix_rt.formats.rows.row import Rejection

HEADER = "question,answer\n"


def write(name, text, pack=bytes):
    path = Path(name)
    path.write_bytes(pack(text.encode("utf-8", "surrogateescape")))
    return path


def cells(rows, **options):
    text = io.StringIO()
    csv.writer(text, **options).writerows(rows)
    return text.getvalue()


def prompts(store):
    return [record.payload.prompt for record in store.records(newest_first=False)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("lineterminator", ["\n", "\r\n"])
def test_a_csv_file_loads_whatever_its_name(store, pack, delimiter, lineterminator):
    rows = [["question", "answer"], ["a, b; c\td?", "Two\nlines of «it».\n#### 4"], ['"quoted"', "#### 5"]]
    path = write("data", cells(rows, delimiter=delimiter, lineterminator=lineterminator), pack)
    report = store.load(path)
    assert (report.format, report.added, report.rejected) == ("gsm8k", 2, [])
    assert prompts(store) == ["a, b; c\td?", '"quoted"']
    assert store.load(path).already_stored == 2


def test_csv_files_are_found_in_folders(store):
    Path("run").mkdir()
    write("run/a.csv", HEADER + "q,#### 4\n")
    write("run/b.csv.gz", HEADER + "r,#### 4\n", gzip.compress)
    assert store.load("run").added == 2


def test_a_mark_and_the_index_of_pandas_are_no_hindrance(store):
    assert store.load(write("t.csv", "\ufeff,question,answer\n0,q,#### 4\n")).added == 1
    assert store.latest().payload.meta["extra"] == {"": "0"}


def test_a_trajectory_log_of_google_tunix(store):
    conversation = [
        {"role": "user", "content": "2 + 2?\n'It's \"simple\"'"},
        {"role": "assistant", "content": "<think>" + "Two and two make four. " * 20_000 + "</think>4"},
    ]
    header = ["conversation_text", "prompt_tokens", "old_logprobs", "status", "trajectory_reward", "policy_version"]
    header += ["original_input", "group_id", "env_time", "note"]
    task = {"question": "2 + 2?", "answer": "4", "weight": math.nan, "most": -math.inf}
    row = [conversation, [1, 2], [math.nan, -math.inf], "SUCCEEDED", 1.0, 3, task, 17, {"step_latency": [0.5]}, "007"]
    failed = [conversation[:1], [], [], "FAILED", "nan", 3.0, "", "", "", ""]
    path = write("trajectory_log_1700000000.csv", cells([header, row, failed]))
    assert len(str(conversation)) > 131_072, "the limit of the csv module"
    report = store.load(path)
    assert (report.format, report.rejected) == ("tunix_trajectories", [])
    first, second = [record.payload for record in store.records(newest_first=False)]
    assert first == rt.Trace(
        prompt=conversation[0]["content"],
        steps=[("Two and two make four. " * 20_000).rstrip()],
        final_answer="4",
        trace_version="1.1",
        meta={
            "source": "tunix_trajectories",
            "expected_answer": "4",
            "reward": 1.0,
            "training_step": 3,
            "finish_reason": "SUCCEEDED",
            "group": 17,
            "extra": {
                "original_input": {"question": "2 + 2?", "answer": "4", "weight": None, "most": None},
                "env_time": {"step_latency": [0.5]},
                "note": "007",
            },
        },
    )
    assert (second.steps, second.final_answer) == ((), None)
    assert second.meta == {
        "source": "tunix_trajectories",
        "training_step": 3.0,
        "finish_reason": "FAILED",
    }


def test_bad_rows_are_told_with_the_line_they_begin_on_and_stop_nothing(store):
    text = HEADER + 'a,"#### 1\nmore"\n\nonly one\nb,#### 2,3\nc\udcff,#### 3\nd,#### 4\n'
    report = store.load(write("t.csv", text))
    assert prompts(store) == ["a", "d"]
    assert [(found.line, found.field, found.text[:8]) for found in report.rejected] == [
        (5, None, "only one"),
        (6, None, "b,#### 2"),
        (7, "prompt", "{'questi"),
    ]
    assert [found.reason for found in report.rejected[:2]] == [
        "has 1 cells; the header has 2",
        "has 3 cells; the header has 2",
    ]
    assert "contains a lone surrogate" in report.rejected[2].reason


def test_what_stands_before_an_open_quote_is_loaded_and_the_rest_told(store):
    report = store.load(write("t.csv", HEADER + 'a,#### 1\nb,"#### 2\nc,#### 3\n'))
    assert prompts(store) == ["a"]
    (rejected,) = report.rejected
    assert (rejected.line, rejected.text) == (3, 'b,"#### 2')
    assert rejected.reason.endswith("unexpected end of data")
    report = store.load(write("u.csv", HEADER + 'd,"#### 1"x\ne,#### 2\n'))
    assert (prompts(store), report.rejected[0].line) == (["a", "e"], 2)


def test_a_row_beyond_all_reason_ends_the_reading(store, monkeypatch):
    monkeypatch.setattr("tunix_rt.formats.containers.files.MAX_ROW_BYTES", 1_000)
    report = store.load(write("t.csv", HEADER + "a,#### 1\n" + 'b,"' + "x\n" * 5_000 + '"\nc,#### 3\n'))
    assert prompts(store) == ["a"]
    assert "exceeds maximum of 1,000 bytes for a row" in report.rejected[0].reason


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"one\ntwo\n",
        b'{"a": 1, "b": 2}\n',
        b'[{"a": 1}, 2]\n',
        b"1,2\n3,4\n",
        b"a, b,\n",
        b"Hello, world! How are you?\n",
        b'a,b\n{"prompt": "p"}\n',
        b'"a,b\n',
        b"\0,a\n",
        b"a,b,a\n",
    ],
)
def test_what_does_not_begin_with_a_header_is_no_csv(head):
    assert separator_of(head) is None


@given(
    rows=st.lists(st.tuples(st.text(), st.text(min_size=1)).map(list), max_size=5),
    noise=st.binary(max_size=40),
    delimiter=st.sampled_from(",;\t"),
)
def test_every_row_comes_out_as_it_was_written_whatever_stands_behind(rows, noise, delimiter):
    text = cells([["question", "answer"], *rows], delimiter=delimiter, quoting=csv.QUOTE_ALL)
    data = text.encode(errors="surrogatepass")
    if b"\xed" in data:
        return
    stream = io.BufferedReader(io.BytesIO(data + noise))
    found = list(csv_rows(stream, "f", delimiter, 10**6))
    assert [list(row.value.values()) for row in found[: len(rows)]] == rows
    assert all(isinstance(row, Rejection) or row.value.keys() == {"question", "answer"} for row in found)
