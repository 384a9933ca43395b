"""What exports and backups write to: a file is replaced whole, a device is written into, no store is destroyed."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python, told_by, without_coverage

EXPORT = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for _ in range(8):
    store.export(sys.argv[2], source=sys.argv[3])
print("done", flush=True)
"""

EXPORT_AND_HANG = """
import sys, time
import tunix_rt as rt
def hang(done, total):
    print("here", flush=True)
    time.sleep(600)
rt.TraceStore(sys.argv[1]).export(sys.argv[2], progress=hang)
"""

FILL_UP = """
import resource, signal, sys
import tunix_rt as rt
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = rt.TraceStore(sys.argv[1])
store.count()
store.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for work in (lambda: store.export(sys.argv[2]), lambda: store.backup(sys.argv[2] + ".duckdb")):
    try:
        work()
    except rt.ExportFailed as error:
        print(error)
"""


@pytest.fixture
def two(store, make_trace):
    """A store with 300 traces of the source a and 200 of b."""
    store.add_many(make_trace(f"{n}?", meta={"source": "a" if n < 300 else "b"}) for n in range(500))
    return store


def partials(folder):
    return [file.name for file in folder.iterdir() if "partial" in file.name]


def belong_together(path):
    """Whether the file is whole, and the manifest beside it is its own."""
    content = path.read_bytes()
    manifest = json.loads(path.with_name(f".{path.name}.manifest.json").read_bytes())
    sources = {json.loads(line)["meta"]["source"] for line in content.splitlines()}
    assert (sources, content.count(b"\n")) in (({"a"}, 300), ({"b"}, 200))
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_threads_that_export_to_one_path_never_mix_their_rows(two, tmp_path):
    path = tmp_path / "out.jsonl"

    def export(source):
        for _ in range(8):
            assert two.export(path, source=source).rows == {"a": 300, "b": 200}[source]

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(export, "abab"))
    belong_together(path)
    assert partials(tmp_path) == []


@pytest.mark.slow
def test_processes_that_export_to_one_path_never_mix_their_rows(two, tmp_path):
    path = tmp_path / "out.jsonl"
    two.close()
    for process in [python(EXPORT, two.path, path, source, stdout=subprocess.PIPE, text=True) for source in "ab"]:
        assert process.communicate(timeout=PATIENCE) == ("done\n", None)
    belong_together(path)
    assert partials(tmp_path) == []


@pytest.mark.crash
def test_a_killed_export_leaves_the_file_as_it_was(two, tmp_path):
    path = tmp_path / "out.jsonl"
    two.export(path, source="a")
    two.close()
    with python(EXPORT_AND_HANG, two.path, path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    belong_together(path)
    assert len(partials(tmp_path)) == 1
    two.export(path, source="b")
    belong_together(path)
    # What it left is no file that a load of the folder would take.
    assert rt.TraceStore(tmp_path / "again.duckdb").load(tmp_path / "*.jsonl").added == 200


def test_an_interrupted_export_leaves_nothing(two, tmp_path):
    def interrupt(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two.export(tmp_path / "out.jsonl", progress=interrupt)
    assert not (tmp_path / "out.jsonl").exists()
    assert partials(tmp_path) == []


@pytest.mark.slow
def test_a_disk_that_fills_up_leaves_the_file_as_it_was(store, tmp_path):
    store.add_many(rt.Trace(prompt=os.urandom(2_000).hex(), steps=["s"], final_answer="a") for _ in range(300))
    store.close()
    path = tmp_path / "out.jsonl"
    path.write_text("precious\n")
    told = told_by(FILL_UP, store.path, path, env=without_coverage())
    assert [line.partition(": ")[2] for line in told] == ["cannot be written (File too large)"] * 2
    assert path.read_text() == "precious\n"
    assert not Path(f"{path}.duckdb").exists()
    assert partials(tmp_path) == []


def test_links_are_followed(two, tmp_path):
    (tmp_path / "data").mkdir()
    real, link = tmp_path / "data" / "real.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(real)
    for source in "ab":
        report = two.export(link, source=source)
        assert (report.path, report.manifest) == (real, real.with_name(".real.jsonl.manifest.json"))
        assert link.is_symlink()
        belong_together(real)
    loop = tmp_path / "loop.jsonl"
    loop.symlink_to(loop)
    with pytest.raises(rt.ExportFailed, match=r"loop\.jsonl: cannot be reached"):
        two.export(loop)
    assert loop.is_symlink()


def test_the_mode_of_a_file_is_kept_and_a_new_one_follows_the_umask(two, tmp_path):
    private, new = tmp_path / "private.jsonl", tmp_path / "new.jsonl"
    private.touch()
    private.chmod(0o600)
    before = os.umask(0o027)
    try:
        two.export(private)
        two.export(new)
    finally:
        os.umask(before)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


def test_a_device_is_written_into_and_stays_one(two):
    report = two.export("/dev/null")
    assert (report.rows, report.manifest) == (500, None)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert not Path("/dev/.null.manifest.json").exists()
    with pytest.raises(rt.ExportFailed, match=r"/dev/full: cannot be written \(No space left on device\)"):
        two.export("/dev/full")


def test_a_pipe_is_written_into_and_stays_one(two, tmp_path):
    pipe = tmp_path / "rows.pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    assert two.export(pipe).rows == 500
    reader.join()
    assert read[0].count(b"\n") == 500
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert partials(tmp_path) == []


@pytest.mark.slow
def test_what_stands_behind_a_descriptor_gets_the_rows(two):
    program = "import sys; import tunix_rt as rt; rt.TraceStore(sys.argv[1]).export('/dev/stdout', source='b')"
    assert len(told_by(program, two.path)) == 200


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".journal", ".lock", ".journal-wal", ".journal-shm", ".duckdb.wal", ".duckdb"])
def test_no_file_of_a_store_is_overwritten_whichever_the_store(two, tmp_path, ending):
    other = rt.TraceStore(tmp_path / "other" / "runs.duckdb")
    other.add_many(record.payload for record in two.records())
    n = other.count()
    for store in (two, other):
        target = store.path.with_name(store.path.name.removesuffix(".duckdb") + ending)
        before = target.read_bytes() if ending not in (".duckdb.wal", ".journal-wal", ".journal-shm") else None
        link = tmp_path / f"link-{store.path.stem}{ending}"
        link.symlink_to(target)
        for path in (target, link):
            with pytest.raises(rt.ExportFailed, match=r"choose another file name"):
                two.export(path, format="trace")
            with pytest.raises(rt.ExportFailed, match=r"choose another file name"):
                two.backup(path)
        if before is not None:
            assert target.read_bytes() == before
    assert (two.count(), other.count()) == (500, n)
    assert partials(tmp_path) == []


def test_a_hard_link_to_a_store_s_file_is_refused_without_letting_go_of_its_locks(two, tmp_path):
    two.count()
    for name in ("traces.duckdb", "traces.journal", "traces.lock"):
        link = tmp_path / f"hard-{name}.jsonl"
        link.hardlink_to(tmp_path / name)
        with pytest.raises(rt.ExportFailed, match="is a file of a store that is open in this process"):
            two.export(link)


def test_a_backup_goes_where_no_other_store_has_left_files(two, tmp_path):
    (tmp_path / "copy.journal").write_bytes(b"left")
    with pytest.raises(rt.ExportFailed, match=r"copy\.journal: belongs to another store; remove it"):
        two.backup(tmp_path / "copy.duckdb")
    other = rt.TraceStore(tmp_path / "other.duckdb")
    other.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))
    other.close()
    other.path.unlink()
    with pytest.raises(rt.ExportFailed, match=r"other\.journal: belongs to another store"):
        two.backup(other.path)
    with pytest.raises(rt.ExportFailed, match=r"nowhere/copy\.duckdb: cannot be written \(No such file"):
        two.backup(tmp_path / "nowhere" / "copy.duckdb")
    assert partials(tmp_path) == []


def test_a_backup_takes_the_place_of_the_lost_file_beside_its_own_journal(two, tmp_path, make_trace):
    copy = rt.TraceStore(two.backup(tmp_path / "copy.duckdb"))
    two.add(make_trace("waits in the journal"))
    two.path.unlink()
    with pytest.raises(rt.StoreDamaged):
        two.count()
    copy.backup(two.path)
    again = rt.TraceStore(two.path)
    assert again.count() == 501
    assert again.verify().ok


@pytest.mark.slow
def test_backups_are_taken_while_threads_attach_and_add(two, tmp_path, make_trace):
    done = threading.Event()

    def add_and_read():
        while not done.is_set():
            two.add(make_trace("more"))
            two.page(limit=1)

    with ThreadPoolExecutor(2) as threads:
        at_work = [threads.submit(add_and_read) for _ in range(2)]
        try:
            copies = [two.backup(tmp_path / f"copy{n}.duckdb") for n in range(4)]
        finally:
            done.set()
        for each in at_work:
            each.result()
    counts = [rt.TraceStore(copy).count() for copy in copies]
    assert counts == sorted(counts)
    assert counts[0] >= 500
    assert all(rt.TraceStore(copy).verify().ok for copy in copies)
    assert two.verify().ok


@pytest.mark.parametrize("path", ["", "~nosuch/out.jsonl", "a\0b.jsonl", "x" * 5_000, "there.txt/out.jsonl"])
def test_what_is_not_a_path_to_write_to_is_told(two, path):
    Path("there.txt").touch()
    with pytest.raises(rt.ExportFailed):
        two.export(path)


def test_a_name_as_long_as_a_name_may_be_is_written(two, tmp_path):
    assert two.export(tmp_path / ("数" * 74 + ".jsonl"), manifest=False).rows == 500
    with pytest.raises(rt.ExportFailed, match="shorten it by 48 characters"):
        two.backup(tmp_path / ("数" * 74 + ".duckdb"))
    with pytest.raises(rt.ExportFailed, match=r"cannot be written \(File name too long\)"):
        two.export(tmp_path / ("数" * 80 + ".jsonl"))
    assert partials(tmp_path) == []
