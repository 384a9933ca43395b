"""Files that break readers, by accident or by malice: each is a rejection or one clear error."""

import contextlib
import gzip
import json
import logging
import os
import pickle
import sys
import traceback
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tunix_rt as rt
from tests.processes import told_by
from tests.test_load import ROW, counts, lines, rows, write
from tunix_rt.formats.containers import files
from tunix_rt.formats.spans import OtelGenAiReader

DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "9" * 10_000


@pytest.fixture
def small_rows(monkeypatch):
    """No row may take more than 10,000 bytes."""
    monkeypatch.setattr(files, "MAX_ROW_BYTES", 10_000)


def test_a_number_of_thousands_of_digits_rejects_its_row(store):
    row = '{"input": "q", "output": "<think>x</think>a", "gts": 1, "score": %s, "step": 1}\n'
    report = store.load(write("a.jsonl", row % DIGITS + row % 1))
    assert counts(report) == (1, 0, 1)
    assert (report.format, report.rejected[0].line) == ("verl", 1)


def test_a_document_over_lines_with_such_a_number_is_still_one_document(store):
    path = write("a.json", f'{{\n"prompt": "p",\n"n": {DIGITS}\n}}\n')
    with pytest.raises(rt.SourceInvalid, match=r"has no traces: invalid JSON at line 1, column 1: .*10000 digits"):
        store.load(path)


def test_json_nested_without_end_inside_of_a_text_rejects_its_row(store):
    report = store.load(write("a.csv", f'prompt,final_answer,meta\np,a,"{DEEP}"\np,a,"{{}}"\n'))
    assert [(found.line, found.field) for found in report.rejected[:1]] == [(2, "meta")]
    span = {"gen_ai.output.messages": DEEP, "gen_ai.input.messages": "[]"}
    assert OtelGenAiReader().misfit(span) is None
    report = store.load(write("b.jsonl", json.dumps(span) + "\n"))
    assert counts(report) == (0, 0, 1)


@pytest.mark.usefixtures("small_rows")
def test_an_element_larger_than_any_row_is_told_as_that(store):
    text = json.dumps([ROW, ROW | {"prompt": "x" * 3_000_000}, ROW])
    report = store.load(write("a.json", text))
    assert counts(report) == (1, 0, 1)
    assert report.rejected[0].reason == "exceeds maximum of 10,000 characters for a row; nothing after it was read"


@pytest.mark.usefixtures("small_rows")
def test_a_row_of_parquet_larger_than_any_row_is_rejected_alone(store):
    prompts = ["a", "x" * 20_000, "b"]
    numbers = [[], [], [0] * 5_000]
    table = pa.table({"prompt": prompts, "completion": ["<think>y</think>z"] * 3, "numbers": numbers})
    pq.write_table(table, "a.parquet")
    report = store.load("a.parquet")
    assert counts(report) == (1, 0, 2)
    assert [(found.line, found.reason) for found in report.rejected] == [
        (line, "exceeds maximum of 10,000 bytes for a row") for line in (2, 3)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("head", [b"PAR1", b"PK\x03\x04"])
def test_what_unpacks_without_end_does_not_fill_the_disk(store, temporary, head):
    path = Path("bomb.gz")
    with gzip.open(path, "wb") as out:
        out.write(head)
        for _ in range(150):
            out.write(b"\0" * 2**20)
    with pytest.raises(rt.SourceInvalid, match=r"bomb\.gz: unpacks to more than 100 times its size"):
        store.load(path)
    assert list(temporary.iterdir()) == []


FULL = """
import resource, signal, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    store.load("a.parquet.gz")
except rt.SourceInvalid as error:
    print(error)
"""


@pytest.mark.slow
def test_what_cannot_be_unpacked_for_lack_of_space_is_told(tmp_path):
    with gzip.open("a.parquet.gz", "wb") as out:
        out.write(b"PAR1" + os.urandom(3 * 2**20))
    assert told_by(FULL, tmp_path / "own.duckdb") == ["a.parquet.gz: cannot be unpacked (File too large)"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_another_encoding_is_told_also_without_its_mark(store, encoding):
    path = write("a.jsonl", lines(rows(2)).encode(encoding))
    with pytest.raises(rt.SourceInvalid, match=r"a\.jsonl: is UTF-16 or UTF-32 text; save it as UTF-8"):
        store.load(path)


@pytest.mark.slow
def test_a_folder_of_loops_pipes_and_misnamed_folders_gives_its_files_once(store):
    (folder := Path("runs")).mkdir()
    write(folder / "a.jsonl", lines(rows(2)))
    (folder / "loop").symlink_to("../runs")
    (folder / "self.jsonl").symlink_to("self.jsonl")
    (folder / "same.jsonl").symlink_to("a.jsonl")
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "b.jsonl").mkdir()
    write(folder / "b.jsonl" / "c.jsonl", lines(rows(3)[2:]))
    assert counts(store.load("runs/**/*.jsonl")) == (3, 0, 0)
    for source, n_rows in (("runs/*.jsonl", 2), ("runs", 3)):
        assert counts(rt.TraceStore(f"{n_rows}.duckdb").load(source)) == (n_rows, 0, 0)


@pytest.mark.slow
def test_a_file_that_shrinks_while_it_is_read_keeps_what_was_read(store):
    path = write("a.jsonl", lines(rows(40_000)))
    size = path.stat().st_size

    def cut(done, total):
        if 0 < done < total and path.stat().st_size == size:
            os.truncate(path, done)

    report = store.load(path, progress=cut)
    assert 0 < report.added < 40_000
    # The row in which the cut is, and that there was one.
    assert report.rejected_count <= 2
    assert report.rejected[-1].reason == "changed while it was read; load it again when nothing writes to it"
    assert store.count() == report.added


# -- what is printed and logged --------------------------------------------------------------------------------------

# One of each: clears the screen, names the window, makes a link, C1, overwrites, goes back, reverses, hides.
ACTS = "\x1b[2J \x1b]0;t\x07 \x1b]8;;http://a.b\x1b\\ \x9b31m \r \b \u202e \u2066 \u200b"
SIGNS = set(ACTS) - set("[2J]0;t8http://a.b\\ 31m")


def harmless(text):
    assert text
    assert not set(text) & SIGNS, ascii(text)
    return text


def told_in_every_way(error):
    """What a terminal gets of an error that was raised: print, traceback, IPython."""
    from IPython.core.ultratb import FormattedTB

    yield str(error)
    yield repr(error)
    yield "".join(traceback.format_exception(error))
    for mode in ("Plain", "Context"):
        yield FormattedTB(mode=mode, theme_name="nocolor").text(type(error), error, error.__traceback__)


NAME = ACTS.replace("/", "").replace("\\", "")


def named(text, suffix=".jsonl"):
    return write(f"a{NAME}{suffix}", text)


@pytest.mark.parametrize(
    "fails",
    [
        lambda store: store.load(f"missing {ACTS}.jsonl"),
        lambda store: store.load(named("no traces")),
        lambda store: store.load(named("{}"), format=ACTS),
        lambda store: store.load(named("{}"), mapping={ACTS: ACTS}),
        lambda store: store.add({"prompt": "p", ACTS: 1}),
        lambda store: store.add(rt.Trace(prompt="p", steps=["s"], final_answer="a", meta={ACTS: object()})),
        lambda _: rt.Trace.from_json(f'{{"{ACTS}'),
        lambda store: store.add_many([{"prompt": "p", "steps": [{"i": 0, "type": ACTS, "contents": 1}]}]),
        lambda store: store.get(ACTS),
        lambda store: store.page(after=ACTS),
        lambda store: store.page(where=f"'{ACTS}' + nonsense"),
        lambda store: store.page(where=f"{ACTS}"),
        lambda store: store.page(since=ACTS),
        lambda store: store.page(ids=[ACTS]),
        lambda store: store.sql(f'select "{ACTS}" from traces'),
        lambda store: store.sql("select error(?)", ACTS),
        lambda store: store.export(f"missing{NAME}/x.jsonl"),
        lambda store: store.export("x.jsonl", format=ACTS),
        lambda store: store.backup(named("{}")),
        lambda _: rt.TraceStore(named("this is no store" * 1000, ".duckdb")),
        lambda _: rt.Settings(rediai_mode=ACTS),
        lambda _: rt.examples.get(ACTS),
    ],
)
def test_no_error_lets_a_text_act_in_a_terminal(same_store, fails):
    with pytest.raises(rt.TunixRTError) as caught:
        fails(same_store)
    for told in told_in_every_way(caught.value):
        harmless(told)
    harmless("".join(traceback.format_exception(pickle.loads(pickle.dumps(caught.value)))))  # noqa: S301


def test_an_error_shows_controls_and_keeps_the_text_in_its_args():
    error = rt.QueryInvalid(f"a\tb\n{ACTS}")
    error.add_note(ACTS)
    assert str(error).startswith("a\tb\n␛[2J ␛]0;t␇ ")
    assert error.args == (f"a\tb\n{ACTS}",)
    for told in told_in_every_way(error):
        harmless(told)


def test_no_report_or_result_lets_a_text_act_in_a_terminal(store):
    named(f'{{"prompt": 3, "{ACTS}": 1}}\n' + json.dumps(ROW | {"meta": {ACTS: ACTS, "source": ACTS}}) + "\n")
    report = store.load(".")
    assert counts(report) == (1, 0, 1)
    shown = [report, *report.rejected, store.page(), store.page(source=ACTS), store.latest(), store.info()]
    shown += [store.verify(progress=False), store.health(), rt.TraceStore(f"b{NAME}.duckdb"), *store.page()]
    shown += [rt.TraceStore(f"b{NAME}.duckdb").verify(progress=False), rt.TraceStore(f"b{NAME}.duckdb").health()]
    shown += [store.sql(f"select 1 as \"{ACTS}\", ? as b, {{'{ACTS}': ?}} as c", ACTS, ACTS)]
    for each in shown:
        harmless(str(each))
        harmless(repr(each))
        if hasattr(each, "_repr_html_"):
            harmless(each._repr_html_())


@pytest.mark.parametrize("kind", [rt.SourceInvalid, RuntimeError])
def test_no_log_of_a_form_lets_a_text_act(store, caplog, kind):
    form = rt.UploadForm(store)
    with form.reporting():
        try:
            raise ValueError(ACTS)  # noqa: TRY301
        except ValueError as cause:
            cause.add_note(ACTS)
            raise kind(f"cannot: {ACTS}") from cause
    harmless(form.problem)
    harmless(caplog.text)
    assert "cannot: ␛[2J" in caplog.text
    assert caplog.records[0].name == "tunix_rt.widgets"
    form.close()


def test_no_form_and_no_warning_lets_a_name_act(store, capfd):
    folder = Path("runs")
    folder.mkdir()
    write(folder / f"a{NAME}.jsonl", '{"prompt": 3}\n{"half')
    form = rt.FolderWatch(store, f"runs/*{NAME}.jsonl", every=0.05)
    form.stop()
    with form._at_work:
        harmless(json.dumps(form.shown, ensure_ascii=False))
    form.close()
    with contextlib.suppress(rt.TunixRTError):
        rt.UploadForm(store).load_path(f"x{ACTS}")
    logging.getLogger("tunix_rt.widgets").handle(
        logging.LogRecord("tunix_rt.widgets", logging.ERROR, "", 0, "%s", (ACTS,), (None, None, None))
    )
    sys.stderr.flush()
    out, err = capfd.readouterr()
    assert not set(out + err) & SIGNS
