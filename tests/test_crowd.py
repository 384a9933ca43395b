"""Many processes and threads in one store: everything is there once, in order, and nobody is left waiting."""

import json
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, ended, python, start

ADD = """
import sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
for n in range(int(sys.argv[3])):
    store.add(rt.Trace(prompt=f"{sys.argv[2]} {n}", steps=["s"], final_answer="a"))
print("done", flush=True)
"""

PAGE = """
import os, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
seen = 0
while not os.path.exists(sys.argv[2]):
    page = store.page(limit=20)
    times = [summary.created_at for summary in page]
    assert times == sorted(times, reverse=True)
    n = store.count()
    # What was seen once stays.
    assert n >= seen
    seen = n
print("done", flush=True)
"""

EXPORT = """
import os, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
exported = 0
while not os.path.exists(sys.argv[2]):
    n = store.export(sys.argv[3]).rows
    with open(sys.argv[3]) as lines:
        assert sum(1 for _ in lines) == n >= exported
    exported = n
print("done", flush=True)
"""

# As data loaders and rollout workers are: threads that add beside threads that read.
ADD_AND_READ = """
import sys, threading
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
failures = []
def work(job):
    try:
        for n in range(60):
            job(n)
    except BaseException as error:
        failures.append(error)
def add(n):
    store.add(rt.Trace(prompt=f"{sys.argv[2]} {n}", steps=["s"], final_answer="a"))
threads = [threading.Thread(target=work, args=(job,)) for job in (add, lambda n: store.page(limit=5))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failures or "done", flush=True)
"""

# Each call is a line of the file that all write to, so that the order of the lines is the order of the calls.
COUNT_IN_TURN = """
import os, sys
import tunix_rt as rt
store = rt.TraceStore(sys.argv[1])
os.write(1, f"{sys.argv[2]} begins\\n".encode())
for _ in range(int(sys.argv[3])):
    store.count()
    os.write(1, f"{sys.argv[2]}\\n".encode())
"""

PLAIN_DUCKDB = """
import sys
import duckdb
with duckdb.connect(sys.argv[1]) as plain:
    print("held", flush=True)
    sys.stdin.read()
"""


def all_done(processes):
    for process in processes:
        said, _ = process.communicate(timeout=PATIENCE)
        assert (process.returncode, said) == (0, "done\n")


@pytest.mark.slow
def test_eight_processes_add_while_one_pages_and_one_exports(store, tmp_path):
    stop = tmp_path / "stop"
    out = {"stdout": subprocess.PIPE, "text": True}
    readers = [python(PAGE, store.path, stop, **out), python(EXPORT, store.path, stop, tmp_path / "all.jsonl", **out)]
    all_done([python(ADD, store.path, name, 200, **out) for name in "abcdefgh"])
    stop.touch()
    all_done(readers)
    prompts = Counter(record.payload.prompt for record in store.records())
    assert prompts == Counter(f"{name} {n}" for name in "abcdefgh" for n in range(200))
    assert store.export(tmp_path / "all.jsonl").rows == 1_600
    assert len({json.loads(line)["id"] for line in (tmp_path / "all.jsonl").read_text().splitlines()}) == 1_600


@pytest.mark.slow
def test_processes_whose_threads_add_and_read_are_in_nobodys_way(store):
    out = {"stdout": subprocess.PIPE, "text": True}
    all_done([python(ADD_AND_READ, store.path, name, **out) for name in "abcd"])
    prompts = Counter(record.payload.prompt for record in store.records())
    assert prompts == Counter(f"{name} {n}" for name in "abcd" for n in range(60))


@pytest.mark.slow
def test_fifty_threads_add_and_page_at_once(store):
    together = threading.Barrier(50)

    def work(name):
        together.wait()
        for n in range(6):
            record = store.add(rt.Trace(prompt=f"{name} {n}", steps=["s"], final_answer="a"))
            times = [summary.created_at for summary in store.page(limit=20)]
            assert times == sorted(times, reverse=True)
            assert store.get(record.id) == record
        return name

    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(work, range(50))) == list(range(50))
    prompts = Counter(record.payload.prompt for record in store.records())
    assert prompts == Counter(f"{name} {n}" for name in range(50) for n in range(6))


def test_a_store_serves_other_threads_than_the_one_that_made_it(tmp_path, make_trace):
    with ThreadPoolExecutor(1) as maker, ThreadPoolExecutor(1) as other:
        store = maker.submit(rt.TraceStore, tmp_path / "runs.duckdb").result()
        record = other.submit(store.add, make_trace()).result()
        batches = other.submit(store.records).result()
        assert maker.submit(next, batches).result() == record
        other.submit(store.close).result()
        assert maker.submit(store.get, record.id).result() == record
    assert store.latest() == record


@pytest.mark.slow
def test_processes_that_come_by_a_link_see_the_same_store(store, tmp_path):
    link = tmp_path / "elsewhere" / "link.duckdb"
    link.parent.mkdir()
    link.symlink_to(store.path)
    all_done([python(ADD, link, "by the link", 5, stdout=subprocess.PIPE, text=True)])
    assert store.count() == 5
    assert rt.TraceStore(link).count() == 5
    assert [path.name for path in link.parent.iterdir()] == ["link.duckdb"]


@pytest.mark.slow
def test_a_third_process_has_its_turn_while_two_read_all_the_time(store, tmp_path):
    printed = tmp_path / "printed"
    greedy = [start(COUNT_IN_TURN, store.path, name, 1_000_000, output=printed) for name in ("one", "two")]
    while not printed.exists() or set(printed.read_text().split()) < {"one", "two"}:
        time.sleep(0.01)
    third = start(COUNT_IN_TURN, store.path, "third", 40, output=printed)
    assert ended(third) == 0
    for process in greedy:
        process.kill()
        ended(process)
    lines = printed.read_text().splitlines()
    first = lines.index("third begins")
    own = [place for place, line in enumerate(lines) if line == "third"]
    assert len(own) == 40
    between = [here - before for before, here in zip([first, *own], own, strict=False)]
    # One call of each of the others, on a quiet machine; an unfair line let thousands by.
    assert sorted(between)[20] <= 20
    assert max(between) <= 200


@pytest.mark.slow
def test_adds_go_on_while_another_program_holds_the_file(store, make_trace):
    store.add(make_trace("before"))
    assert store.count() == 1
    store.close()
    with python(PLAIN_DUCKDB, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        impatient = rt.TraceStore(store.path, settings=rt.Settings(pool_timeout=1))
        impatient.add(make_trace("meanwhile"))
        store.add_many([make_trace("and"), make_trace("more")])
        with pytest.raises(rt.StoreBusy, match=rf"held by process {other.pid} \(.*python.*\), outside of tunix_rt"):
            impatient.count()
        adding = python(ADD, store.path, "elsewhere", 5, stdout=subprocess.PIPE, text=True)
        all_done([adding])
        other.communicate(timeout=PATIENCE)
    assert impatient.count() == store.count() == 9


@pytest.mark.slow
def test_an_idle_process_gives_the_file_up(tmp_path):
    program = (
        "import sys, time; import tunix_rt as rt; from tunix_rt.store.engine import lease; lease._IDLE_SECONDS = 0.2\n"
        "store = rt.TraceStore(sys.argv[1]); store.add(rt.Trace(prompt='p', steps=['s'], final_answer='a'))\n"
        "print(store.count(), flush=True); sys.stdin.read(); print(store.count())"
    )
    path = tmp_path / "runs.duckdb"
    with python(program, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as idle:
        assert idle.stdout.readline() == "1\n"
        patience = time.monotonic() + PATIENCE
        while True:
            try:
                with duckdb.connect(path) as plain:
                    assert plain.sql("select count(*) from traces").fetchall() == [(1,)]
                break
            except duckdb.IOException:
                assert time.monotonic() < patience
        # To another process that waits it is given at once.
        store = rt.TraceStore(path)
        store.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))
        assert store.count() == 2
        assert idle.communicate(timeout=PATIENCE) == ("2\n", None)


@pytest.mark.slow
def test_a_process_that_waits_gets_the_file_from_one_that_lies_idle(store):
    program = (
        "import sys; import tunix_rt as rt; from tunix_rt.store.engine import lease; lease._IDLE_SECONDS = 1e9\n"
        "store = rt.TraceStore(sys.argv[1]); print(store.count(), flush=True); sys.stdin.read()"
    )
    with python(program, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as idle:
        assert idle.stdout.readline() == "0\n"
        # This waits for less than 30 s, where the other would keep the file for years.
        assert store.count() == 0
        idle.communicate(timeout=PATIENCE)
