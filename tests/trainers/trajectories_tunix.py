"""The contract tests of google/tunix's repository for its store of trajectories, run on ours."""

import itertools
import unittest
from pathlib import Path
from typing import Any

import tunix_rt as rt


def check(folder: Path) -> None:
    """Every test of `TrajectoryReaderTestCase` and `TrajectoryWriterTestCase`, and its own classes come back."""
    from tunix.experimental.trajectory import store, store_testing, trajectory, trajectory_testing

    numbers = itertools.count()

    def new_store() -> rt.TrajectoryStore:
        return rt.TrajectoryStore(folder / f"{next(numbers)}.duckdb")

    class Reader(store_testing.TrajectoryReaderTestCase):
        def _create_reader(self, initial_data: Any = None) -> Any:
            made = new_store()
            for metadata, steps in initial_data or ():
                for step in steps:
                    made.add_step(step, metadata)
            made.flush()
            # Another one, as another process has it.
            return rt.TrajectoryStore(str(made.store.path))

    class Writer(store_testing.TrajectoryWriterTestCase):
        def _create_reader_and_writer(self) -> Any:
            made = new_store()
            return made, made

    load = unittest.defaultTestLoader.loadTestsFromTestCase
    found = unittest.TestResult()
    unittest.TestSuite([load(Reader), load(Writer)]).run(found)
    problems = [f"{test}: {text}" for test, text in found.failures + found.errors]
    assert not problems, "\n".join(problems)
    assert found.testsRun >= 15, found.testsRun

    made = new_store()
    assert isinstance(made, store.TrajectoryReader)
    assert isinstance(made, store.TrajectoryWriter)
    # Those that it has for reinforcement learning, whose steps count from 0.
    run = trajectory.TunixTrajectory(
        trajectory_id="rl", agent=trajectory.Agent(name="a", version="1"), prompt_id="p", group_offset_id="3"
    )
    run.add_step(trajectory.Source.USER, "2 + 2?", trajectory_testing.TEST_TIMESTAMP)
    run.add_step(
        trajectory.Source.AGENT, "4", reasoning_content="Hm.", policy_version=2, logprobs=[-0.5, float("-inf")]
    )
    run.total_reward = 1.0
    for step in run.steps:
        made.add_step(step, run.get_metadata())
    made.flush()
    (again,) = made.get_trajectories(["rl"])
    assert again == run, (again, run)
    assert made.get_trajectories_metadata() == [run.get_metadata()]
    trace = made.store.latest().payload
    assert (trace.prompt, trace.final_answer, trace.steps[0].content) == ("2 + 2?", "4", "Hm.")
    assert (trace.meta["reward"], trace.meta["sample"], trace.meta["group"]) == (1.0, 3, "p")
    assert made.dropped == 0, made
