"""Processes killed at any moment: every trace they were told of is there, once."""

import json
import os
import random
import signal
import time
from collections import Counter

import duckdb
import pytest

from tests.conftest import PROFILE
from tests.processes import ended, start

pytestmark = pytest.mark.crash

# Each kills at a moment of its own; every week there are many.
ROUNDS = 30 if PROFILE == "weekly" else 8

ADD = """
import itertools, os, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for n in itertools.count():
    record = store.add(rt.Trace(prompt=f"{sys.argv[2]} {n}", steps=["s"], final_answer="a"))
    os.write(1, f"{record.id}\\n".encode())
"""

ADD_AND_FOLD = """
import itertools, os, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for n in itertools.count():
    traces = [rt.Trace(prompt=f"{sys.argv[2]} {n} {k}", steps=["s"], final_answer="a") for k in range(20)]
    records = store.add_many(traces)
    os.write(1, "".join(f"{record.id}\\n" for record in records).encode())
    store.count()
"""

DIE_BETWEEN_THE_COMMITS = """
import os, sys
import tunix_rt as rt
from tunix_rt.store.engine.journal import Journal
store = rt.TraceStore(sys.argv[1])
records = store.add_many(rt.Trace(prompt=f"{sys.argv[2]} {k}", steps=["s"], final_answer="a") for k in range(3))
os.write(1, "".join(f"{record.id}\\n" for record in records).encode())
Journal.confirm = lambda *_, **__: os.kill(os.getpid(), 9)
store.count()
"""

LOAD = """
import itertools, os, sys
import tunix_rt as rt
from tunix_rt.store.ingest import chunk
# Many transactions in one load.
chunk.CHUNK_ROWS = 20
store = rt.TraceStore(sys.argv[1])
os.write(1, b"begun\\n")
for n in itertools.count(int(sys.argv[2])):
    report = store.load(f"{sys.argv[3]}/{n}.jsonl", progress=False)
    os.write(1, f"{n} {report.added + report.already_stored}\\n".encode())
"""

SCORE = """
import os, sys, time
import tunix_rt as rt
from tunix_rt.store.scores import run
run._CHUNK_ROWS = 5
scored = []
def n_chars(trace):
    time.sleep(0.005)
    scored.append(trace.id)
    return len(trace.payload.prompt)
def acknowledge(*_):
    os.write(1, "".join(f"{trace_id}\\n" for trace_id in scored).encode())
    scored.clear()
report = rt.TraceStore(sys.argv[1]).score(n_chars, version="1", progress=acknowledge)
"""


@pytest.fixture
def printed(tmp_path):
    """The file of what the killed ones printed: what was in it is there when they are dead."""
    path = tmp_path / "printed"
    path.touch()
    return path


def kill_soon(process, printed, after=1, within=0.08):
    """Kills the process at a random moment once it has printed `after` more lines."""
    before = printed.read_bytes().count(b"\n")
    while printed.read_bytes().count(b"\n") < before + after:
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(random.uniform(0, within))
    os.kill(process.pid, signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL


def each_once(store, acknowledged):
    """Whether all that was acknowledged is there, and nothing twice."""
    there = Counter(str(record.id) for record in store.records())
    assert set(acknowledged) - set(there) == set()
    assert [(trace_id, n) for trace_id, n in there.items() if n > 1] == []
    return there


def test_processes_are_killed_while_they_add(store, printed):
    for turn in range(ROUNDS):
        kill_soon(start(ADD, store.path, turn, output=printed), printed)
        if turn % 5 == 4:
            each_once(store, printed.read_text().split())
    there = each_once(store, printed.read_text().split())
    # One trace of each of the killed may be there that it had no time to print.
    assert len(there) <= len(printed.read_text().split()) + ROUNDS
    prompts = Counter(record.payload.prompt for record in store.records())
    assert set(prompts.values()) == {1}


def test_processes_are_killed_while_they_fold(store, printed):
    for turn in range(ROUNDS):
        kill_soon(start(ADD_AND_FOLD, store.path, turn, output=printed), printed)
        each_once(store, printed.read_text().split())
    prompts = Counter(record.payload.prompt for record in store.records())
    assert set(prompts.values()) == {1}


def test_processes_are_killed_between_the_two_commits_of_a_fold(store, printed):
    for turn in range(1, ROUNDS + 1):
        # Not kept open here: this process looks into the file with DuckDB itself.
        store.close()
        process = start(DIE_BETWEEN_THE_COMMITS, store.path, turn, output=printed)
        assert ended(process) == -signal.SIGKILL
        with duckdb.connect(store.path, read_only=True) as plain:
            assert plain.sql("select count(*) from traces").fetchall() == [(3 * turn,)]
        assert len(store._session._files.journal.after(0, 100, 2**26)[1]) == 3
        assert len(each_once(store, printed.read_text().split())) == 3 * turn
        assert store._session._files.journal.after(0, 100, 2**26)[1] == []


def test_processes_are_killed_while_they_load(store, printed, tmp_path):
    for n in range(400):
        lines = [json.dumps({"prompt": f"{n} {k}", "steps": ["s"], "final_answer": "a"}) for k in range(60)]
        (tmp_path / f"{n}.jsonl").write_text("\n".join(lines))
    first = 0
    for turn in range(ROUNDS):
        # It says that it begins, then each file that it has loaded: here none, one or two of them.
        kill_soon(start(LOAD, store.path, first, tmp_path, output=printed), printed, after=1 + turn % 3, within=0.3)
        done = [line.split() for line in printed.read_text().splitlines() if line != "begun"]
        assert {n for _, n in done} <= {"60"}
        first = 1 + max((int(n) for n, _ in done), default=-1)
        prompts = Counter(record.payload.prompt for record in store.records())
        assert set(prompts.values()) <= {1}
        assert prompts.keys() >= {f"{n} {k}" for n in range(first) for k in range(60)}
        # What stood in the file when it was killed: whole transactions.
        assert len(prompts) % 20 == 0
    assert first > 0
    store.load(tmp_path / f"{first}.jsonl", progress=False)
    assert store.count() == 60 * (first + 1)


def test_processes_are_killed_while_eight_of_them_score_the_same_traces(store, printed, make_trace):
    n_traces = 300
    store.add_many(make_trace(f"{n}?") for n in range(n_traces))
    store.close()
    processes = [start(SCORE, store.path, output=printed) for _ in range(8)]
    for process in processes[:6]:
        kill_soon(process, printed)
        acknowledged = set(printed.read_text().split())
        scored = Counter(one for (one,) in store.sql("select trace_id from scores").rows)
        assert acknowledged <= set(scored)
        assert set(scored.values()) == {1}
    assert len(scored) < n_traces
    assert [ended(process) for process in processes[6:]] == [0, 0]
    assert store.sql("select count(*), count(distinct trace_id) from scores").rows == [(n_traces, n_traces)]
    assert store.score(lambda _: 1, name="n_chars", version="1", progress=False).already_scored == n_traces
    assert store.verify().ok
