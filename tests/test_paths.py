"""Paths that lead nowhere, or where nobody should follow: one error of ours for each, whoever is given it."""

import glob
import gzip
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.processes import without_coverage
from tests.test_load import ROW, counts, lines, rows, write
from tunix_rt.formats.containers import listing


@pytest.fixture
def unusual():
    """Things at paths that are neither files nor folders, or not to be had."""
    write("file.jsonl", lines(rows(1)))
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket")
    yield
    listening.close()


NOWHERE = {
    "empty": "",
    "no such user": "~nosuchuser/x.duckdb",
    "NUL": "a\0b.duckdb",
    "5,000 characters": "x" * 5_000,
    "5,000 folders": "x/" * 5_000 + "y.duckdb",
    "a loop": "loop",
    "below a loop": "loop/x.duckdb",
    "below a file": "file.jsonl/x.duckdb",
    "a lone surrogate": "a\ud800.duckdb",
    "a socket": "socket",
    "a device": "/dev/zero",
    "bytes in a path": type("Named", (), {"__fspath__": lambda _: b"x.duckdb"})(),
    "a number": 3,
    "a number with a fraction": 3.5,
    "an object": object(),
    "memory by another name": ":memory:other",
}
URLS = [
    "s3://bucket/x.duckdb",
    "gs://bucket/x.duckdb",
    "az://container/x.duckdb",
    "abfss://container/x",
    "https://host/x.duckdb",
    "HTTP://host/x.duckdb",
    "file:///x.duckdb",
    "file:/x.duckdb",
    "hf://datasets/x",
    "md:x",
    "ducklake:x",
    "unheard.of+scheme://x",
    Path("s3://bucket/x.duckdb"),
]
BAD = NOWHERE | {str(url): url for url in URLS}


def take(store, path):
    for _ in store.watch(path, stop=lambda: True):
        pass


GATES = {
    "store": (rt.StoreUnusable, lambda _, path: rt.TraceStore(path)),
    "load": (rt.SourceInvalid, lambda store, path: store.load(path)),
    "watch": (rt.SourceInvalid, take),
    "export": (rt.ExportFailed, lambda store, path: store.export(path)),
    "backup": (rt.ExportFailed, lambda store, path: store.backup(path)),
}


@pytest.mark.usefixtures("unusual")
@pytest.mark.parametrize("gate", GATES)
def test_a_path_that_cannot_be_is_one_error_of_ours(store, gate):
    error, call = GATES[gate]
    allowed = {
        # What is not there yet may come.
        "watch": {
            "5,000 characters",
            "5,000 folders",
            "a loop",
            "below a loop",
            "below a file",
            "a socket",
            "a device",
        },
        # Whether they are written into is the business of the export.
        "export": {"a socket", "a device"},
    }
    for name, path in BAD.items():
        if name in allowed.get(gate, ()):
            continue
        with pytest.raises(error) as raised:
            call(store, path)
        assert str(raised.value).strip(), name
        if gate == "store" and path == "s3://bucket/x.duckdb":
            assert "open it by tunix_rt.connect(…)" in str(raised.value)
        elif path in URLS:
            assert "is a URL, and tunix_rt reads and writes local files only; download it first" in str(raised.value)
    assert sorted(entry.name for entry in Path.cwd().iterdir()) == ["file.jsonl", "folder", "loop", "pipe", "socket"]


@pytest.mark.usefixtures("unusual")
def test_a_watch_says_why_there_is_nothing_to_watch(store):
    for path in ("x" * 5_000, "loop", "file.jsonl/x", "socket", "nowhere"):
        watch = store.watch(path)
        assert counts(watch.poll()) == (0, 0, 0)
        assert watch.missing


@pytest.mark.usefixtures("unusual")
@pytest.mark.parametrize("path", ["folder", ".", Path(), "folder/", "pipe", "/dev/null", "new.duckdb/"])
def test_a_store_is_a_file_and_nothing_else(path):
    with pytest.raises(
        rt.StoreUnusable, match=r": is a (folder|named pipe|device); name a file|: is the path of a folder"
    ):
        rt.TraceStore(path)


def test_nobody_is_given_none(store):
    for _, call in list(GATES.values())[1:]:
        with pytest.raises(rt.TunixRTError):
            call(store, None)


def test_an_empty_path_is_not_the_working_folder_but_a_dot_is(store):
    write("t.jsonl", lines(rows(2)))
    with pytest.raises(rt.SourceInvalid, match='"": is an empty path'):
        store.load("")
    assert counts(store.load(".")) == counts(rt.TraceStore("other.duckdb").load(Path())) == (2, 0, 0)


ODD_NAMES = [
    "a'b",
    'a"b',
    "a\nb",
    "a*b",
    "a[1]",
    "a?b",
    "a b ",
    "-n",
    "$HOME",
    "a%41",
    "a\x1bb",
    "é",
    "a.b.c",
    ".hidden",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_store_and_a_file_may_have_any_name_that_the_system_gives(name, tmp_path):
    with_store = rt.TraceStore(tmp_path / f"{name}.duckdb")
    with_store.add(ROW)
    assert with_store.export(tmp_path / f"{name}.jsonl").rows == 1
    assert (tmp_path / f"{name}.duckdb").is_file()
    other = rt.TraceStore(with_store.backup(tmp_path / f"{name} 2.duckdb"))
    assert counts(other.load(tmp_path / f"{name}.jsonl")) == (0, 1, 0)
    take(other, tmp_path / f"{name}.jsonl")
    other.close()
    with_store.close()


@pytest.mark.skipif(os.sep == "\\", reason="a backslash is a slash there")
def test_a_store_is_not_put_elsewhere_by_a_backslash(tmp_path):
    for place in ("a\\b.duckdb", "a\\b/c.duckdb"):
        with pytest.raises(rt.StoreUnusable, match="contains a backslash, which DuckDB reads as a slash"):
            rt.TraceStore(tmp_path / place)
    Path("a\\b").mkdir()
    Path("link").symlink_to("a\\b")
    with pytest.raises(rt.StoreUnusable, match="contains a backslash"):
        rt.TraceStore("link/c.duckdb")
    Path("a?b").mkdir()
    with pytest.raises(
        rt.StoreUnusable, match="has a question mark in the name of its folder, so DuckDB cannot find its log; rename"
    ):
        rt.TraceStore("a?b/c.duckdb")
    # It is a name like another for everything else.
    write("a\\b.jsonl", lines(rows(1)))
    assert counts(rt.TraceStore("x.duckdb").load("a\\b.jsonl")) == (1, 0, 0)


def test_no_two_stores_share_a_journal():
    first = rt.TraceStore("runs.duckdb")
    first.add(ROW)
    with pytest.raises(rt.StoreUnusable, match=r"runs: would share its journal with the store .*runs\.duckdb"):
        rt.TraceStore("runs")
    rt.TraceStore("plain").close()
    with pytest.raises(rt.StoreUnusable, match=r"plain\.duckdb: would share its journal with the store .*plain;"):
        rt.TraceStore("plain.duckdb")
    for name in ("runs.journal", "runs.lock", "new.journal", "runs.duckdb.wal", "runs.journal-wal"):
        with pytest.raises(rt.StoreUnusable, match="has the ending of the files that a store creates beside its own"):
            rt.TraceStore(name)
    # A program beside the store of its traces.
    write("train", "#!/bin/sh\n")
    rt.TraceStore("train.duckdb").close()


def test_links_and_dots_lead_to_the_same_store():
    store = rt.TraceStore("t.duckdb")
    store.add(ROW)
    Path("link.duckdb").symlink_to("t.duckdb")
    Path("sub").mkdir()
    assert rt.TraceStore("link.duckdb").count() == rt.TraceStore("sub/../t.duckdb").count() == 1


def test_a_store_in_memory_is_one_of_its_own_and_leaves_nothing(temporary):
    first, second = rt.TraceStore(":memory:"), rt.TraceStore(":memory:")
    first.add(ROW)
    assert (first.count(), second.count()) == (1, 0)
    assert len(list(temporary.iterdir())) == 2
    rows = first.records()
    del first, second
    # What is still read is still there.
    assert len(list(rows)) == 1
    del rows


@pytest.mark.slow
def test_a_store_in_memory_goes_with_its_process(tmp_path):
    program = (
        "import os, tunix_rt as rt; s = rt.TraceStore(settings=rt.Settings(database=':memory:')); "
        f"s.add({ROW!r}); print(s.path, s.count(), flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{tmp_path}/tunix_rt-")
    assert done.stderr == ""
    assert list(tmp_path.glob("tunix_rt-*")) == []


def test_the_setting_goes_through_the_gate_too(monkeypatch):
    for path, told in (("s3://b/x", "is a URL"), ("~nosuchuser/x", "no such home"), ("", "must be the path of a file")):
        monkeypatch.setenv("TUNIX_RT_DATABASE", path)
        with pytest.raises(rt.SettingsInvalid, match=f"^TUNIX_RT_DATABASE=…: .*{told}"):
            rt.Settings()
    with pytest.raises(rt.SettingsInvalid, match="must be a path, not a value of type int"):
        rt.Settings(database=3)


UNPRIVILEGED = """
import os, sys
import tunix_rt as rt
# Whatever is imported on use is imported now: the other user may not be able to read it.
warm = rt.TraceStore(":memory:")
warm.load("runs/open")
warm.export("warm.jsonl")
warm.backup("warm.duckdb")
str(warm.watch("runs/open").poll())
del warm
os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = rt.TraceStore("mine/t.duckdb")
report = store.load("runs")
print(report.added, sorted((os.path.basename(row.file), row.reason) for row in report.rejected))
for call in (
    lambda: store.load("runs/closed"), lambda: store.load("runs/closed/b.jsonl"), lambda: store.load("runs/no.jsonl"),
    lambda: rt.TraceStore("runs/closed/t.duckdb"), lambda: store.export("runs/closed/out.jsonl"),
    lambda: store.backup("runs/closed/t.duckdb"), lambda: rt.TraceStore("runs/other.duckdb"),
    lambda: store.export("runs/out.jsonl"),
):
    try:
        call()
    except rt.TunixRTError as error:
        print(type(error).__name__)
watch = store.watch("runs")
print([[row.reason for row in watch.poll().rejected] for _ in range(2)])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_what_may_not_be_read_is_rejected_alone_and_by_name(tmp_path):
    # Reading is refused to no root, so a process of another user does it.
    place = Path(f"/tmp/tunix_rt-test-{os.getpid()}")  # noqa: S108 - pytest's own folders are closed to other users
    try:
        for folder in ("runs/open", "runs/closed", "runs/listed", "mine"):
            (place / folder).mkdir(parents=True)
        os.chown(place / "mine", 65534, 65534)
        for name in ("runs/open/a.jsonl", "runs/closed/b.jsonl", "runs/listed/c.jsonl", "runs/no.jsonl"):
            write(place / name, lines(rows(2)))
        (place / "runs/closed").chmod(0o000)
        (place / "runs/listed").chmod(0o744)
        (place / "runs/no.jsonl").chmod(0o000)
        said = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED],
            cwd=place,
            env={**without_coverage(), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(place)
    assert said.stderr == ""
    first, *errors, watched = said.stdout.splitlines()
    denied = "cannot be read (Permission denied)"
    assert first == f"2 {[('c.jsonl', denied), ('closed', denied), ('no.jsonl', denied)]}"
    assert errors == ["SourceInvalid"] * 3 + ["StoreUnusable"] + ["ExportFailed"] * 2 + [
        "StoreUnusable",
        "ExportFailed",
    ]
    assert watched == f"{[[denied] * 3, []]}"


def names_of(paths):
    return [path.name for path in paths]


@pytest.mark.slow
def test_the_files_of_stores_are_passed_over_and_the_report_says_so(store, tmp_path):
    folder = store.path.parent
    store.add(ROW)
    store.count()
    store.add(ROW)
    published = rt.TraceStore(folder / "other.db")
    published.add(ROW)
    published.close()
    write(folder / "a.jsonl", lines(rows(2)))
    # None of a store.
    write(folder / "notes.lock", "…")
    write(folder / "a.jsonl.lock", "…")
    write(folder / ".out.jsonl.12.partial", lines(rows(9)))
    (folder / "latest").symlink_to(store.path)
    report = store.load(folder)
    assert counts(report) == (2, 0, 0)
    expected = {
        "traces.duckdb",
        "traces.journal",
        "traces.lock",
        "other.db",
        "other.db.journal",
        "other.db.lock",
        "latest",
    }
    assert expected <= set(names_of(report.passed_over))
    assert not {"a.jsonl", "a.jsonl.lock", "notes.lock"} & set(names_of(report.passed_over))
    report = store.load(str(tmp_path / "*"))
    assert counts(report) == (0, 2, 2)
    assert [Path(row.file).name for row in report.rejected] == ["a.jsonl.lock", "notes.lock"]
    assert f"{len(report.passed_over)} files of trace stores passed over" in str(report)
    assert f"{len(report.passed_over)} files of trace stores passed over" in report._repr_html_()
    (watched,) = store.watch(str(tmp_path / "*.*"), stop=lambda: True)
    assert expected - {"latest"} <= set(names_of(watched.passed_over))
    for name in expected:
        with pytest.raises(rt.SourceInvalid, match=f"{name}: is part of a trace store; open that store"):
            store.load(folder / name)
    with pytest.raises(rt.SourceInvalid, match=r"no file matches this pattern, only files of a trace store"):
        store.load(str(tmp_path / "*.duckdb"))
    # None was opened and closed, so the locks that this process has on its store are still there.
    with store.hold():
        store.load(folder)
        taken = subprocess.run(
            [sys.executable, "-c", f"import duckdb; duckdb.connect({str(store.path)!r})"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "Could not set lock" in taken.stderr


def test_a_name_that_is_not_utf_8_ends_nothing(store, runs):
    for name in (b"a\xff.jsonl", b"b\xe9\x1b[2J.jsonl.gz", b"c.jsonl"):
        path = os.fsdecode(name)
        text = lines([ROW | {"prompt": ascii(name)}]) + "{}\n"
        write(runs / path, gzip.compress(text.encode()) if path.endswith("gz") else text)
    watch = store.watch(runs)
    for _ in range(3):
        watch.poll()
    assert counts(watch.total) == (3, 0, 3)
    assert "a‹U+DCFF›.jsonl" in str(watch.total)
    str(watch.total).encode()
    watch.total._repr_html_().encode()
    assert counts(store.load(runs)) == (0, 3, 3)
    report = store.load(os.fsdecode(b"runs/a\xff.jsonl"))
    assert counts(report) == (0, 1, 1)
    str(report).encode()
    assert store.export(os.fsdecode(b"out\xff.jsonl")).rows == 3
    with pytest.raises(rt.StoreUnusable, match="is not valid UTF-8, which DuckDB needs"):
        rt.TraceStore(os.fsdecode(b"s\xff.duckdb"))


def test_a_pipe_is_loaded_to_its_end(store):
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: write("pipe", lines(rows(3))))
    writer.start()
    assert counts(store.load("pipe")) == (3, 0, 0)
    writer.join()
    with pytest.raises(rt.StoreUnusable, match="pipe: is a named pipe; name a file"):
        rt.TraceStore("pipe")


@pytest.mark.slow
def test_standard_input_by_its_name(tmp_path):
    program = "import tunix_rt as rt, sys; print(rt.TraceStore(sys.argv[1]).load('/dev/stdin', progress=False).added)"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "t.duckdb")],
        input=lines(rows(3)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "3\n"


def fine(character):
    return character not in "/\0"


SPECIAL = st.sampled_from(
    [
        "~",
        "~root",
        ".",
        "..",
        "*",
        "?",
        "[",
        "]",
        "**",
        "\\",
        "'",
        '"',
        "\n",
        " ",
        "%",
        "#",
        ":memory:",
        "s3://",
        "md:",
        "//",
    ]
)
PATHS = (
    st.lists(SPECIAL | st.text(max_size=6), max_size=6).map("".join)
    | st.binary(max_size=12).map(os.fsdecode)
    | st.text(max_size=300)
    | st.none()
    | st.integers()
    | st.binary(max_size=4)
)


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:[\s\S]*no rows were written")
@given(path=PATHS, gate=st.sampled_from(sorted(GATES)))
def test_no_path_whatsoever_raises_anything_else(store, path, gate):
    # Nothing outside of the test's own folder.
    if isinstance(path, str) and (path.startswith(("/", "~")) or ".." in path):
        return
    try:
        GATES[gate][1](store, path)
    except rt.TunixRTError as error:
        assert str(error)  # noqa: PT017 - what is raised is the question, and whether


PATTERNS = [
    *("*", "**", "**/*", "a/**", "a/**/*.jsonl", "**/c/*", "*/*.jsonl", "a/[bc]", ".*", ".h/*", "**/.h/*"),
    *("a/b", "no/*", "[[]x/*", "?/**/b*", "a/**/**/*"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_what_glob_matches(pattern):
    for name in ("a/b/c/1.jsonl", "a/c/2.jsonl", "a/3.jsonl", ".h/4.jsonl", "a/.h/5.jsonl", "[x/6.jsonl", "b/b1", ".7"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("a/b/link").symlink_to(Path("b").absolute())
    Path("a/gone").symlink_to("nothing")
    for one in (pattern, str(Path(pattern).absolute())):
        found = {os.path.normpath(name) for name in listing._matching("", Path(one).parts, int)}
        # That of the standard library also names the empty path.
        expected = {os.path.normpath(name) for name in glob.iglob(one, recursive=True) if name}  # noqa: PTH207
        assert found == expected
