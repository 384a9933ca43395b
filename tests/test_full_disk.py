"""A disk that fills up while traces are added, folded and loaded: told, nothing lost, and work goes on with room."""

import os
import subprocess

import pytest

import tunix_rt as rt
from tests.processes import told_by

pytestmark = pytest.mark.slow

# A limit on the size of any file does to a process what a full disk does, and needs no rights.
LIMITED = """
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = sys.argv[1]
def fill():
    sizes = [os.path.getsize(name) for name in (path, path + ".wal") if os.path.exists(name)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes, default=0) + 150_000, resource.RLIM_INFINITY))
def make_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""

# The real thing: a file system of 32 MB, filled to the last 200 kB.
SMALL = """
import os, sys
path = sys.argv[1]
ballast = os.path.join(os.path.dirname(path), "ballast")
def fill():
    free = os.statvfs(os.path.dirname(path)).f_bavail * os.statvfs(os.path.dirname(path)).f_frsize
    with open(ballast, "wb") as file:
        file.write(bytes(max(0, free - 200_000)))
def make_room():
    os.unlink(ballast)
"""

TRACES = """
import json
import tunix_rt as rt
def trace(n):
    return rt.Trace(prompt=f"{n}", steps=[os.urandom(4_000).hex()], final_answer="a")
def refused(work):
    try:
        work()
    except rt.StoreFull as error:
        print(error.args[0].partition(" (")[0], *getattr(error, "__notes__", ()), sep="|")
    else:
        print("not refused")
"""

ADD = """
store = rt.TraceStore(path)
store.add(trace(0))
added = [store.add(trace(0)).id]
def add():
    for n in range(1, 1_000):
        added.append(store.add(trace(n)).id)
store.count()
fill()
refused(add)
refused(lambda: store.add_many(trace(n) for n in range(1_000)))
make_room()
added.append(store.add(trace(-1)).id)
print(store.count(where="prompt <> '0'") == len(added) - 1)
print(sorted(record.id for record in store.records())[1:] == sorted(added))
"""

FOLD = """
store = rt.TraceStore(path)
added = [store.add(trace(0)).id]
store.count()
added += [record.id for record in store.add_many(trace(n) for n in range(100))]
fill()
refused(store.count)
refused(store.page)
make_room()
print(store.count() == len(added))
added.append(store.add(trace(-1)).id)
print(sorted(record.id for record in store.records()) == sorted(added))
"""

# Each small add writes some pages of the journal's log, which so grows larger than DuckDB's files ever get.
BETWEEN_THE_COMMITS = """
store = rt.TraceStore(path)
added = [store.add(rt.Trace(prompt=f"{n}", steps=["s"], final_answer="a")).id for n in range(200)]
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[2]), resource.RLIM_INFINITY))
refused(store.count)
print(len(store._session._files.journal.after(0, 1_000, 2**26)[1]))
make_room()
added.append(store.add(trace(-1)).id)
print(store.count(), sorted(record.id for record in store.records()) == sorted(added))
"""

LOAD = """
from tunix_rt.store.ingest import chunk
chunk.CHUNK_ROWS = 10
source = os.path.join(sys.argv[2], "rows.jsonl")
with open(source, "w") as file:
    for n in range(300):
        line = {"prompt": f"row {n}", "steps": [os.urandom(4_000).hex()], "final_answer": "a"}
        file.write(json.dumps(line) + "\\n")
store = rt.TraceStore(path)
added = [store.add(trace(0)).id]
store.count()
fill()
refused(lambda: store.load(source, progress=False))
make_room()
before = store.count()
print(before % 10)
report = store.load(source, progress=False)
print(report.added == 301 - before, report.already_stored == before - 1, store.count())
print(len({record.payload.prompt for record in store.records()}))
"""

# The lake is on the full disk, its journal elsewhere; what waits is not committed by the clock.
LAKE = """
from pathlib import Path
from tunix_rt.lake import session
session.FLUSH_SECONDS = 600
lake = rt.connect(f"delta:{path}", settings=rt.Settings(database=sys.argv[2]))
added = [lake.add(trace(0)).id]
lake.count()
added += [record.id for record in lake.add_many(trace(n) for n in range(100))]
fill()
refused(lake.count)
refused(lambda: lake.load([trace(n).model_dump() for n in range(100)], progress=False))
print(len(list(Path(path).rglob("*.parquet"))))
make_room()
print(lake.count() == len(added))
added.append(lake.add(trace(-1)).id)
print(sorted(record.id for record in lake.records()) == sorted(added))
"""

# The other way round.
JOURNAL_OF_A_LAKE = """
from tunix_rt.lake import session
session.FLUSH_SECONDS = 600
lake = rt.connect(f"delta:{sys.argv[2]}", settings=rt.Settings(database=path))
added = [lake.add(trace(0)).id]
lake.count()
def add():
    for n in range(1, 1_000):
        added.append(lake.add(trace(n)).id)
fill()
refused(add)
try:
    lake.count()
except rt.StoreFull:
    print("committed, and not yet forgotten")
make_room()
added.append(lake.add(trace(-1)).id)
print(len(added) > 5, sorted(record.id for record in lake.records()) == sorted(added))
"""


def _can_mount(folder):
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder]
    return os.getuid() == 0 and subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode == 0


@pytest.fixture(params=["limited", "small"])
def full(request, tmp_path):
    """What a program begins with, and the folder in which its disk fills up."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "small" and _can_mount(folder):
        yield SMALL + TRACES, folder
        subprocess.run(["umount", "--lazy", folder], check=True)
    else:
        # Who may not mount sees the limit twice: nothing is left out.
        yield LIMITED + TRACES, folder


def test_a_disk_fills_up_while_traces_are_added(full):
    begin, folder = full
    path = folder / "runs.duckdb"
    told = told_by(begin + ADD, path)
    journal = f"{folder / 'runs.journal'}: the disk is full"
    assert told == [journal, journal, "True", "True"]
    assert rt.TraceStore(path).count(where="prompt = '-1'") == 1
    rt.TraceStore(path).close()


def test_a_disk_fills_up_while_traces_are_folded(full):
    begin, folder = full
    path = folder / "runs.duckdb"
    told = told_by(begin + FOLD, path)
    assert told == [
        *[f"{path}: the disk is full"] * 2,
        "True",
        "True",
    ]
    store = rt.TraceStore(path)
    assert store.count() == 102
    store.close()


def test_a_disk_fills_up_between_the_two_commits_of_a_fold(tmp_path):
    path, journal = tmp_path / "runs.duckdb", tmp_path / "runs.journal"
    told = told_by(LIMITED + TRACES + BETWEEN_THE_COMMITS, path, f"{journal}-wal")
    # In the store, and still in the journal; then in the store, once.
    assert told == [f"{journal}: the disk is full", "200", "201 True"]


def test_a_disk_fills_up_during_a_load(full, tmp_path):
    begin, folder = full
    path = folder / "runs.duckdb"
    told = told_by(begin + LOAD, path, tmp_path)
    said, _, note = told[0].partition("|")
    assert said == f"{path}: the disk is full"
    assert note.endswith("rejected; loading the same again adds only the missing traces")
    assert told[1:] == ["1", "True True 301", "301"]


def test_a_disk_fills_up_beneath_a_lake(full, tmp_path):
    begin, folder = full
    lake = folder / "lake"
    told = told_by(begin + LAKE, lake, tmp_path / "elsewhere" / "default.duckdb")
    assert [line.partition("|")[0] for line in told[:2]] == [f"delta:{lake}: the storage is full"] * 2
    # Nothing is left of the files that did not fit.
    assert told[2:] == ["1", "True", "True"]
    assert rt.connect(f"delta:{lake}").count() == 102


def test_a_disk_fills_up_beneath_the_journal_of_a_lake(full, tmp_path):
    begin, folder = full
    said, *more = told_by(begin + JOURNAL_OF_A_LAKE, folder / "default.duckdb", tmp_path / "lake")
    assert said.startswith(f"{folder / 'lakes'}/")
    assert said.endswith(".journal: the disk is full")
    assert more[-1] == "True True"
    assert len(more) <= 2
