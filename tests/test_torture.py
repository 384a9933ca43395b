"""One short run of each case of `python -m tests.torture`: what it looks for, and that it finds it."""

import pytest

import tunix_rt as rt
from tests.torture.cases import CASES
from tests.torture.run import Run, torture


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_nothing_acknowledged_is_lost(tmp_path, case):
    sums, faults = torture(case, runs=1, adders=3, seconds=1.0, folder=tmp_path / "runs", seed=0)
    assert (sums.lost, faults) == (0, [])
    assert sums.acknowledged == sums.found + sums.taken > 0


@pytest.mark.crash
def test_what_was_taken_from_the_store_and_what_is_there_twice_is_found(tmp_path, make_trace):
    run = Run("copied", tmp_path / "run", "seed")
    (tmp_path / "run" / "notes").mkdir(parents=True)
    (tmp_path / "run" / "notes" / "1").write_text("added\t1.0\tthere\tlost\nraw\t2.0\tValueError\t'odd'\n")
    rt.TraceStore(run.path).add_many([make_trace("there"), make_trace("there")])
    assert run.verdict()[:4] == (2, 1, 0, 1)
    assert run.faults == [
        "ValueError: 'odd'",
        "1 acknowledged traces are nowhere, such as ['lost']",
        "1 traces are there twice, such as ['there']",
    ]
