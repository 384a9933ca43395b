"""google/tunix's store of trajectories: each clause of its contract, and that nothing acknowledged is lost.

The classes here have the fields of those in its repository that matter; `python -m tests.trainers` runs its own tests.
"""

import pickle
import resource
import sys
import threading
from contextlib import contextmanager
from types import ModuleType

import pydantic
import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python
from tunix_rt.recording import trajectories


class TrajectoryMetadata(pydantic.BaseModel, extra="forbid"):
    trajectory_id: str | None = None
    agent: dict[str, str] = {"name": "a", "version": "1"}
    notes: str | None = None
    extra: dict[str, object] | None = None


class Step(pydantic.BaseModel, extra="forbid"):
    step_id: int
    source: str
    message: str
    extra: dict[str, object] | None = None


class TunixAgentStep(Step):
    logprobs: list[float] | None = None


class Trajectory(TrajectoryMetadata):
    steps: list[Step | TunixAgentStep] = []


class TunixTrajectoryMetadata(TrajectoryMetadata):
    prompt_id: str | None = None
    group_offset_id: str | None = None
    total_reward: float | None = None
    status: str | None = None


class TunixTrajectory(TunixTrajectoryMetadata):
    steps: list[Step | TunixAgentStep] = []


class TrajectoryNotFoundError(KeyError):
    pass


@pytest.fixture(autouse=True)
def tunix(monkeypatch):
    """The modules of its repository, with the classes above."""
    names = ("tunix", "tunix.experimental", "tunix.experimental.trajectory")
    modules = {name: ModuleType(name) for name in (*names, *(f"{names[-1]}.{one}" for one in ("trajectory", "store")))}
    for kind in (TrajectoryMetadata, Step, TunixAgentStep, Trajectory, TunixTrajectoryMetadata, TunixTrajectory):
        setattr(modules[f"{names[-1]}.trajectory"], kind.__name__, kind)
    modules[f"{names[-1]}.store"].TrajectoryNotFoundError = TrajectoryNotFoundError
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def log(store):
    return rt.TrajectoryStore(store, run="agents", model="tiny")


def about(name="t", **facts):
    return TrajectoryMetadata(trajectory_id=name, **facts)


ASKED = Step(step_id=1, source="user", message="2 + 2?")
SAID = Step(step_id=2, source="agent", message="<think>Two and two.</think>4")


def test_a_trajectory_is_one_trace_that_is_read_like_atif(log):
    metadata = TunixTrajectoryMetadata(trajectory_id="t", prompt_id="p", group_offset_id="3", status="COMPLETED")
    log.add_step(ASKED, metadata)
    log.add_step(SAID, metadata)
    # The reward comes last.
    log.update_metadata(metadata.model_copy(update={"total_reward": 0.5}))
    log.flush()
    (record,) = log.store.records(run="agents", source="trajectories")
    trace = record.payload
    assert (trace.prompt, trace.steps[0].content, trace.final_answer) == ("2 + 2?", "Two and two.", "4")
    facts = {"model": "tiny", "group": "p", "sample": 3, "reward": 0.5, "finish_reason": "COMPLETED"}
    assert {name: trace.meta[name] for name in facts} == facts
    assert log.get_trajectories(["t"]) == [
        TunixTrajectory(**metadata.model_dump(exclude={"total_reward"}), total_reward=0.5, steps=[ASKED, SAID])
    ]
    assert log.store.runs().names == ("agents",)


def test_readers_get_what_was_logged_up_to_the_flush(log):
    reader = rt.TrajectoryStore(str(log.store.path), run="agents")
    log.flush()
    assert reader.get_trajectories_metadata() == []
    assert reader.get_trajectories([]) == []
    metadata, step = about(), SAID.model_copy(update={"step_id": 1})
    log.add_step(step, metadata)
    # As they were at the time of the call.
    step.message = metadata.notes = "changed later"
    log.update_metadata(about("alone", notes="no steps yet"))
    log.flush()
    log.flush()
    assert reader.get_trajectories_metadata() == [about(), about("alone", notes="no steps yet")]
    alone, first = reader.get_trajectories(["alone", "t"])
    assert (alone.steps, first.steps[0].message) == ([], SAID.message)
    with pytest.raises(TrajectoryNotFoundError, match="absent"):
        reader.get_trajectories(["t", "absent"])
    assert rt.TrajectoryStore(log.store, run="another").get_trajectories_metadata() == []


@pytest.mark.parametrize("name", ["", None, "half \ud83d", 7])
def test_metadata_without_an_id_are_an_error_for_the_caller(log, name):
    metadata = TrajectoryMetadata.model_construct(trajectory_id=name)
    with pytest.raises(ValueError, match="metadata must have one that is a text and not empty"):
        log.add_step(ASKED, metadata)
    with pytest.raises(rt.QueryInvalid, match="trajectory_id: "):
        log.update_metadata(metadata)


def test_a_trajectory_grows_in_several_processes_and_stays_one_trace(log):
    other = rt.TrajectoryStore(log.store, run="agents")
    log.add_step(ASKED, about())
    log.flush()
    # Two that both know only the first step, as if at the same time; one knows the outcome.
    other.update_metadata(about(notes="right"))
    other.flush()
    log.add_step(SAID, about())
    log.flush()
    (found,) = other.get_trajectories(["t"])
    assert (found.steps, found.notes) == ([ASKED, SAID], "right")
    assert log.store.count(run="agents") == 1
    # What somebody has judged is not taken away, and is read as one with what came later.
    log.store.score(lambda _: 1.0, name="seen")
    log.add_step(SAID.model_copy(update={"message": "5"}), about())
    log.flush()
    assert [one.message for one in other.get_trajectories(["t"])[0].steps] == ["2 + 2?", "5"]
    assert log.store.count(run="agents") == 2
    assert other.get_trajectories_metadata() == [about(notes="right")]
    again = pickle.loads(pickle.dumps(log))  # noqa: S301 - our own
    assert again.get_trajectories(["t"]) == other.get_trajectories(["t"])


def test_numbers_beyond_json_and_any_text_come_back(log):
    step = TunixAgentStep(step_id=1, source="agent", message="a\0b", logprobs=[-0.5, float("-inf")])
    log.add_step(step, TunixTrajectoryMetadata(trajectory_id="t/1 ü", total_reward=float("inf")))
    log.flush()
    (found,) = log.get_trajectories(["t/1 ü"])
    assert found.steps == [step.model_copy(update={"message": "a\ufffdb"})]
    assert found.total_reward == float("inf")
    assert "reward" not in log.store.latest().payload.meta


def test_what_cannot_be_stored_is_counted_and_never_raised(store, caplog):
    log = rt.TrajectoryStore(rt.TraceStore(store.path, settings=rt.Settings(trace_max_bytes=4_000)))
    log.add_step(object(), about())
    log.add_step(Step(step_id=1, source="nobody", message=""), about("odd"))
    log.add_step(ASKED.model_copy(update={"message": "x" * 4_000}), about("large"))
    log.add_step(ASKED, about("good"))
    log.flush()
    assert log.get_trajectories_metadata() == [about("good")]
    assert log.dropped == 3
    assert "run trajectories: steps of trajectories are not recorded, training continues: AttributeError" in caplog.text
    assert len(caplog.records) == 1
    assert "dropped steps  3, the first because: AttributeError" in str(log)
    assert repr(log) == "<TrajectoryStore trajectories>"
    with pytest.raises(rt.StoreReadOnly):
        rt.TrajectoryStore(rt.TraceStore(store.path, read_only=True))


@contextmanager
def full_disk():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_while_the_disk_is_full_steps_wait_as_far_as_there_is_room(log, monkeypatch):
    log.add_step(ASKED, about())
    with full_disk():
        log.flush()
        log.add_step(SAID, about())
        with pytest.raises(rt.StoreFull):
            rt.TrajectoryStore(log.store)
    log.flush()
    assert (log.get_trajectories(["t"])[0].steps, log.dropped) == ([ASKED, SAID], 0)
    monkeypatch.setattr(trajectories, "_MOST_WAITING", 1)
    for step in (ASKED, SAID):
        log.add_step(step, about("late"))
    with full_disk():
        log.flush()
    log.add_step(ASKED, about("late"))
    log.flush()
    assert (log.get_trajectories(["late"])[0].steps, log.dropped) == ([ASKED], 2)


def test_without_tunix_only_its_objects_are_missing(log, monkeypatch):
    log.add_step(ASKED, about())
    log.flush()
    for name in [name for name in sys.modules if name.partition(".")[0] == "tunix"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(rt.QueryInvalid, match=r"needs a google-tunix with tunix\.experimental"):
        log.get_trajectories(["t"])
    assert log.store.latest().payload.prompt == "2 + 2?"


def test_steps_are_stored_soon_without_a_flush_and_threads_share_it(log, monkeypatch):
    monkeypatch.setattr(trajectories, "_WAIT_SECONDS", 0.01)
    steps = [Step(step_id=number, source="agent", message=str(number)) for number in range(1, 9)]
    threads = [threading.Thread(target=log.add_step, args=(step, about())) for step in steps]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    while not (found := log.get_trajectories_metadata()) or len(log.get_trajectories(["t"])[0].steps) < len(steps):
        pass
    assert found == [about()]


KILLED = """
import os, sys
import tunix_rt as rt
from tests.test_trajectory_store import SAID, ASKED, about
log = rt.TrajectoryStore(sys.argv[1])
if sys.argv[2] == "fork":
    log.add_step(ASKED, about())
    if os.fork() == 0:
        log.add_step(SAID, about("child"))
        log.flush()
        os._exit(0)
    os.wait()
else:
    log.add_step(ASKED, about())
    log.flush()
    log.add_step(SAID, about())
    os.kill(os.getpid(), 9)
"""


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize(("how", "names"), [("kill", ["t"]), ("fork", ["child", "t"])])
def test_what_flush_acknowledged_survives_and_a_child_has_its_own(tmp_path, how, names):
    path = tmp_path / "runs.duckdb"
    with python(KILLED, path, how) as process:
        process.wait(timeout=PATIENCE)
    log = rt.TrajectoryStore(path)
    assert sorted(one.trajectory_id for one in log.get_trajectories_metadata()) == names
    assert log.get_trajectories(["t"])[0].steps[0] == ASKED
