"""A lake under many processes, of which some are killed: nothing is lost, twice, or seen half."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.processes import ended, start, told_by
from tests.test_kill import each_once, kill_soon
from tunix_rt.lake.kinds import TRACES
from tunix_rt.lake.location import LakeLocation
from tunix_rt.lake.table import LakeTable

pytestmark = pytest.mark.crash

APPEND = """
import sys, tunix_rt as rt
lake = rt.connect(sys.argv[1])
for batch in range(int(sys.argv[3])):
    rows = [{"prompt": f"{sys.argv[2]} {batch} {n}", "steps": ["s"], "final_answer": "x"} for n in range(1_000)]
    assert lake.load(rows, progress=False).added == 1_000
"""

COMPACT = """
import os, sys, time, tunix_rt as rt
lake = rt.connect(sys.argv[1])
while not os.path.exists(sys.argv[2]):
    print(lake.compact(progress=False).moved, flush=True)
    time.sleep(0.02)
"""

ADD_AND_LOAD = """
import itertools, os, sys, tunix_rt as rt
lake = rt.connect(sys.argv[1])
for n in itertools.count():
    rows = [{"prompt": f"{sys.argv[2]} {n} {k}", "steps": ["s"], "final_answer": "x"} for k in range(50)]
    records = lake.add_many(rows)
    os.write(1, "".join(f"{record.id}\\n" for record in records).encode())
    lake.flush()
    rows = [row | {"prompt": f"loaded {row['prompt']}"} for row in rows]
    report = lake.load(rows, progress=False)
    os.write(1, f"loaded {sys.argv[2]} {n}\\n".encode())
"""

DIE = """
import os, sys, tunix_rt as rt
from tunix_rt.lake.table import LakeTable
from tunix_rt.lake.waiting import Waiting
lake = rt.connect(sys.argv[1])
rows = [{"prompt": f"{sys.argv[2]} {k}", "steps": ["s"], "final_answer": "x"} for k in range(50)]
if sys.argv[2] != "loaded":
    lake.add_many(rows)
kind = Waiting if sys.argv[3] == "forget" else LakeTable
setattr(kind, sys.argv[3], lambda *_, **__: os.kill(os.getpid(), 9))
lake.load(rows, progress=False)
"""

FORK = """
import multiprocessing, os, sys, threading, tunix_rt as rt
lake = rt.connect(sys.argv[1])
def add(name, n=20):
    for k in range(n):
        lake.add({"prompt": f"{name} {k}", "steps": ["s"], "final_answer": "x"})
def of_child(name):
    add(name)
    for work in (lake.count, lake.page, lake.flush, lambda: lake.delete(where="true"), lambda: rt.connect(sys.argv[1])):
        try:
            work()
        except rt.StoreUnusable as error:
            assert "forked from one that used a lake" in str(error)
        else:
            raise AssertionError("a child cannot use Delta")
    if name == "child 0":
        below = os.fork()
        if below == 0:
            add("below")
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(below, 0)[1]) == 0
    lake.close()
add("parent before")
assert lake.count(where="length(prompt) > (select 1 from traces limit 1)") == 20
thread = threading.Thread(target=lambda: [add(f"thread {n}") or lake.count() for n in range(3)])
thread.start()
children = []
for number in range(3):
    children.append(os.fork())
    if not children[-1]:
        of_child(f"child {number}")
        sys.exit(0)
    add(f"parent {number}")
thread.join()
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], flush=True)
worker = multiprocessing.get_context("fork").Process(target=add, args=("worker",))
worker.start()
worker.join()
print(worker.exitcode, lake.count(), lake.info().waiting)
"""


@pytest.fixture
def address(tmp_path):
    return f"delta:{tmp_path / 'lake'}"


def keys(page):
    return [(record.created_at, record.id) for record in page]


def test_eight_processes_append_while_one_compacts_and_one_pages(address, tmp_path):
    n_batches = 4
    with rt.connect(address) as lake:
        moved, stop = tmp_path / "moved", tmp_path / "stop"
        compacting = start(COMPACT, address, stop, output=moved)
        writers = [start(APPEND, address, n, n_batches, output=tmp_path / "printed") for n in range(8)]
        n_before, newest, n_pages = 0, None, 0
        while any(writer.poll() is None for writer in writers):
            first = lake.page(limit=100)
            found = keys(first)
            assert len(found) >= min(n_before, 100)
            # What was there is still there; each has its place, and the next page begins behind it.
            assert newest is None or found[0] >= newest
            if first.next is not None:
                found += keys(first.next_page())
            assert found == sorted(set(found), reverse=True)
            newest = found[0] if found else None
            assert n_before <= (n_before := lake.count())
            n_pages += bool(found)
        stop.touch()
        assert [ended(process) for process in (*writers, compacting)] == [0] * 9
        there = lake.sql("select created_at, id, prompt from traces order by created_at desc, id desc").arrow()
        there = list(zip(*there.to_pydict().values(), strict=True))
        for offset in range(0, len(there), 3_333):
            found = [str(record.id) for record in lake.page(limit=100, offset=offset)]
            assert found == [str(row[1]) for row in there[offset : offset + 100]]
        prompts = {row[2] for row in there}
        expected = {f"{name} {batch} {n}" for name in range(8) for batch in range(n_batches) for n in range(1_000)}
        assert prompts == expected
        assert len(there) == len({row[1] for row in there}) == len(expected)
    assert n_pages > 10
    assert sum(map(int, moved.read_text().split())) > 1_000


def test_writers_are_killed_at_any_moment_and_the_next_one_goes_on(address, tmp_path):
    printed = tmp_path / "printed"
    printed.touch()
    n_killed = 6
    for turn in range(n_killed):
        # Fifty ids in one write, then a line for the load; a round of both takes some 150 ms.
        kill_soon(start(ADD_AND_LOAD, address, turn, output=printed), printed, after=1 + 51 * (turn % 2), within=0.2)
    lines = printed.read_text().splitlines()
    loaded = {line for line in lines if line.startswith("loaded")}
    with rt.connect(address) as lake:
        each_once(lake, set(lines) - loaded)
        prompts = Counter(lake.sql("select prompt from traces").arrow()["prompt"].to_pylist())
        assert set(prompts.values()) == {1}
        # Each batch of fifty is there as a whole; beside those acknowledged at most the one that was under way.
        batches = Counter(prompt.rpartition(" ")[0] for prompt in prompts)
        assert set(batches.values()) == {50}
        assert loaded <= batches.keys()
        assert len(batches) <= len(lines) // 50 + len(loaded) + n_killed
        assert lake.load([{"prompt": "next", "steps": ["s"], "final_answer": "x"}], progress=False).added == 1
        assert lake.info().waiting == 0


def test_a_writer_is_killed_between_data_and_commit_and_between_commit_and_journal(address, tmp_path):
    # The table as another machine sees it, which does not have this one's journal.
    elsewhere = LakeTable(LakeLocation.of(address), TRACES)
    # What waits is committed before a load: with what the one killed before had added.
    for name, at, n_committed, n_left in (
        ("a", "_commit", 0, 1),
        ("b", "forget", 100, 1),
        ("loaded", "_commit", 100, 2),
    ):
        assert ended(start(DIE, address, name, at, output=tmp_path / "printed")) == -signal.SIGKILL
        elsewhere.refresh()
        assert elsewhere.n_rows == n_committed
        named = set(map(Path, elsewhere.paths(elsewhere.files())))
        left = set(Path(elsewhere.uri).rglob("*.parquet")) - named
        assert len(left) == n_left
    with rt.connect(address) as lake:
        prompts = lake.sql("select prompt from traces").arrow()["prompt"].to_pylist()
        assert Counter(prompts) == Counter(f"{name} {k}" for name in "ab" for k in range(50))
        assert lake.info().waiting == 0
        assert lake.load([{"prompt": "next", "steps": ["s"], "final_answer": "x"}], progress=False).added == 1
        # What the killed have left goes with the files that no version of a week needs, and not before.
        assert lake.compact(progress=False).removed == 0
        a_week_ago = time.time() - 8 * 24 * 3_600
        for file in left | named:
            os.utime(file, (a_week_ago, a_week_ago))
        assert lake.compact(progress=False).removed == len(left)
        assert lake.count() == 101


@pytest.mark.slow
def test_a_parent_and_its_forked_children_add_to_a_lake_and_only_the_parent_reads(address):
    lines = told_by(FORK, address)
    names = [
        "parent before",
        "below",
        "worker",
        *(f"{of} {n}" for of in ("parent", "child", "thread") for n in range(3)),
    ]
    assert lines == ["[0, 0, 0]", f"0 {20 * len(names)} 0"]
    with rt.connect(address) as lake:
        prompts = lake.sql("select prompt from traces").arrow()["prompt"].to_pylist()
        assert Counter(prompts) == Counter(f"{name} {k}" for name in names for k in range(20))
