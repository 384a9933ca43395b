"""Forks, as data loaders and worker pools make them, while a store is open: both sides go on as if it were not."""

import subprocess
from collections import Counter

import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python, told_by

pytestmark = pytest.mark.slow

# Every child ends as its own process does: through sys.exit, so that what runs at exit runs.
BEGIN = """
import multiprocessing, os, sys, threading, time
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1], settings=rt.Settings(pool_size=2, max_overflow=0, pool_timeout=60))
def trace(name, n):
    return rt.Trace(prompt=f"{name} {n}", steps=["s"], final_answer="a")
def add_and_read(name):
    for n in range(10):
        record = store.add(trace(name, n))
        assert store.get(record.id) == record
        assert len(store.page(limit=100)) > n
def add_one(n):
    store.add(trace("pool", n))
def children_of(n, work=add_and_read):
    children = []
    for k in range(n):
        child = os.fork()
        if child == 0:
            work(f"child {k}")
            sys.exit(0)
        children.append(child)
    return children
def wait(children):
    print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)
"""

FORK = "children = children_of(3); add_and_read('parent'); wait(children)"

FORK_IN_HOLD = """
with store.hold():
    store.add(trace("held", 0))
    children = children_of(3, lambda name: store.add(trace(name, 0)))
    assert store.count() > 0
    wait(children)
    children = children_of(3)
    add_and_read("parent")
wait(children)
"""

# The child leaves the block with which its parent holds the file, and must not go on as if it held it.
LEAVE_HOLD_IN_CHILD = """
told, tell = os.pipe()
with store.hold():
    child = os.fork()
if child == 0:
    store.add(trace("child", 0))
    assert store.count() == 1
    os.write(tell, b".")
    # It lives on, and reads now and then.
    while not os.path.exists(sys.argv[1] + ".stop"):
        store.count()
        time.sleep(0.01)
    sys.exit(0)
os.read(told, 1)
patient = rt.TraceStore(sys.argv[1])
print(patient.count(), flush=True)
open(sys.argv[1] + ".stop", "w").close()
wait([child])
"""

FORK_BESIDE_THREADS = """
go_on = True
def work(job):
    n = 0
    while go_on:
        job(n)
        n += 1
        added[job] = n
added = {}
add = lambda n: store.add(trace("thread", n))
# More readers than the store has places: some of them always wait for one.
readers = [
    lambda n: store.page(limit=5), lambda n: store.count(), lambda n: store.count(text="t"), lambda n: store.info()
]
threads = [threading.Thread(target=work, args=(job,)) for job in (add, *readers)]
# As multiprocessing ends its children: those of a process with threads that use DuckDB have no better end.
def work_and_exit(name):
    add_and_read(f"{name} of {os.getpid()}")
    os._exit(0)
for thread in threads:
    thread.start()
for _ in range(4):
    time.sleep(0.05)
    wait(children_of(2, work_and_exit))
go_on = False
for thread in threads:
    thread.join()
print(added[add], store.count(where="prompt like 'thread %'"), store.count(where="prompt like 'child %'"))
"""

FORK_BESIDE_WAITING_THREADS = """
store.close()
print("closed", flush=True)
sys.stdin.readline()
found = []
threads = [threading.Thread(target=lambda: found.append(store.count())) for _ in range(4)]
for thread in threads:
    thread.start()
def add_and_exit(name):
    store.add(trace(name, 0))
    os._exit(0)
for _ in range(5):
    wait(children_of(1, add_and_exit))
for thread in threads:
    thread.join()
print(len(found), store.count(), flush=True)
"""

PLAIN_DUCKDB = """
import sys
import duckdb
with duckdb.connect(sys.argv[1]) as plain:
    print("held", flush=True)
    sys.stdin.read()
"""

# The child lives on when its parent is killed while that holds the file.
PARENT_KILLED = """
import signal
store.add(trace("parent", 0))
with store.hold():
    child = os.fork()
    if child == 0:
        store.add(trace("child", 0))
        print("added", flush=True)
        sys.stdin.readline()
        os._exit(0)
    signal.pause()
"""

MULTIPROCESSING = """
with store.hold():
    store.count()
    with multiprocessing.get_context("fork").Pool(3) as pool:
        pool.map_async(add_one, range(30)).get(60)
with multiprocessing.get_context("fork").Pool(3) as pool:
    pool.map_async(add_and_read, ["a", "b", "c"]).get(60)
    add_and_read("parent")
    pool.close()
    pool.join()
worker = multiprocessing.get_context("fork").Process(target=add_and_read, args=("d",))
worker.start()
worker.join()
print(worker.exitcode, store.count())
"""

FORK_OF_A_FORK = """
def with_a_child_of_its_own(name):
    add_and_read(name)
    child = os.fork()
    add_and_read(f"{name} {'below' if child == 0 else 'above'}")
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
wait(children_of(2, with_a_child_of_its_own))
"""


def all_of(path):
    return Counter(record.payload.prompt for record in rt.TraceStore(path).records())


@pytest.mark.parametrize(
    "opened", ["add_and_read('before'); store.count(where='1 = 1')", "store.add(trace('before', 0))", ""]
)
def test_a_parent_and_its_forked_children_add_and_read(tmp_path, opened):
    path = tmp_path / "runs.duckdb"
    assert told_by(f"{BEGIN}\n{opened}\n{FORK}", path) == ["[0, 0, 0]"]
    expected = {f"{name} {n}" for name in ("parent", "child 0", "child 1", "child 2") for n in range(10)}
    assert {prompt: n for prompt, n in all_of(path).items() if not prompt.startswith("before")} == dict.fromkeys(
        expected, 1
    )


def test_children_are_forked_while_the_file_is_held(tmp_path):
    path = tmp_path / "runs.duckdb"
    assert told_by(BEGIN + FORK_IN_HOLD, path) == ["[0, 0, 0]"] * 2
    found = all_of(path)
    assert found.pop("held 0") == 1
    assert sum(found.values()) == 3 + 3 * 10 + 10


def test_a_child_that_leaves_its_parents_hold_lets_others_in(tmp_path):
    assert told_by(BEGIN + LEAVE_HOLD_IN_CHILD, tmp_path / "runs.duckdb") == ["1", "[0]"]


def test_children_are_forked_while_threads_add_and_read(tmp_path):
    *status, counts = told_by(BEGIN + FORK_BESIDE_THREADS, tmp_path / "runs.duckdb")
    assert status == ["[0, 0]"] * 4
    added, of_threads, of_children = map(int, counts.split())
    assert added == of_threads > 0
    assert of_children == 80


def test_a_fork_does_not_wait_for_those_who_wait_for_the_file(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    path = tmp_path / "runs.duckdb"
    with python(BEGIN + FORK_BESIDE_WAITING_THREADS, path, **pipes) as forking:
        assert forking.stdout.readline() == "closed\n"
        with python(PLAIN_DUCKDB, path, **pipes) as other:
            assert other.stdout.readline() == "held\n"
            forking.stdin.write("\n")
            forking.stdin.flush()
            # The file stays where it is until all the children have ended.
            assert [forking.stdout.readline() for _ in range(5)] == ["[0]\n"] * 5
            other.communicate(timeout=PATIENCE)
        assert forking.communicate(timeout=PATIENCE)[0] == "4 5\n"
        assert forking.returncode == 0


def test_a_child_keeps_no_lock_of_its_parent_that_was_killed(tmp_path):
    path = tmp_path / "runs.duckdb"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with python(BEGIN + PARENT_KILLED, path, **pipes) as parent:
        assert parent.stdout.readline() == "added\n"
        parent.kill()
        assert rt.TraceStore(path).count() == 2
        parent.stdin.write("\n")


def test_a_pool_of_forked_workers_adds_and_reads(tmp_path):
    assert told_by(BEGIN + MULTIPROCESSING, tmp_path / "runs.duckdb") == ["0 80"]


def test_a_forked_child_forks_in_turn(tmp_path):
    path = tmp_path / "runs.duckdb"
    assert told_by(BEGIN + FORK_OF_A_FORK, path) == ["[0, 0]"]
    assert set(all_of(path).values()) == {1}
    assert sum(all_of(path).values()) == 2 * 30
