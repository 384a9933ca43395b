"""A lake under many processes, of which some are killed: nothing is lost, twice, or seen half."""

import pytest

import tunix_rt as rt
from tests.processes import ended, start

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
