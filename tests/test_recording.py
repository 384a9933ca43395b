"""Rollouts recorded straight from a trainer: read as a load reads them, each once; no error reaches the training."""

import asyncio
import pickle
import runpy
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from types import SimpleNamespace

import numpy as np
import pytest

import tunix_rt as rt
from tests.processes import PATIENCE, python, told_by
from tunix_rt.recording import writer


@pytest.fixture
def run(store):
    return rt.record(store, run="first", model="tiny", max_tokens=4)


def recorded(run):
    """The recorded traces, oldest first."""
    run.flush()
    return [record.payload for record in run.store.records(newest_first=False)]


def test_a_loop_adds_rollouts_which_are_read_as_a_load_reads_them(run):
    text = "<|im_start|>assistant\n<think>27 × 20 = 540\n\n540 − 27</think>513<|im_end|>"
    run.add("27 × 19?", text, reward=np.float32(1), training_step=3, n_tokens=4, answer="513", shard=7)
    run.add(
        "27 × 19?", [{"role": "assistant", "reasoning_content": "Hm.", "content": "5"}], training_step=3, n_tokens=3
    )
    run.add("27 × 19?", "<think>never closed", training_step=4, finish_reason="length", group="g", sample=9)
    first, second, third = recorded(run)
    assert ([step.content for step in first.steps], first.final_answer) == (["27 × 20 = 540\n\n", "540 − 27"], "513")
    about_run = {"source": "rollouts", "run": "first", "model": "tiny"}
    own = {"training_step": 3, "reward": 1.0, "truncated": True, "expected_answer": "513", "sample": 0}
    assert first.meta == about_run | own | {"extra": {"n_tokens": 4, "shard": 7}}
    assert (second.steps[0].content, second.meta["sample"], second.meta["truncated"]) == ("Hm.", 1, False)
    assert (third.final_answer, third.meta["truncated"], third.meta["group"], third.meta["sample"]) == (
        None,
        True,
        "g",
        9,
    )
    assert (run.recorded, run.dropped, run.name) == (3, 0, "first")


def test_a_batch_has_a_value_for_each_rollout_or_one_for_all(run, caplog):
    step = iter(range(9))
    later = rt.record(run.store, run="second", training_step=lambda: next(step), policy=lambda: 1 / 0)
    later.add_many(
        np.array(["a", "a"]),
        ["b", "c"],
        reward=np.array([0.5, np.nan]),
        mode="eval",
        tags=[1, 2, 3],
        logps=[[0.1], [0.2]],
    )
    later.add_many(["a"], ["b"], advantage=[-1.5], picture=object())
    first, second, third = recorded(later)
    assert (first.meta["reward"], first.meta["mode"], first.meta["sample"]) == (0.5, "eval", 0)
    assert "reward" not in second.meta
    assert second.meta["sample"] == 1
    assert (third.meta["training_step"], third.meta["advantage"], third.meta.get("extra")) == (1, -1.5, None)
    assert [record.getMessage() for record in caplog.records] == [
        "run second: policy was left out: its function raised ZeroDivisionError: an object of type ZeroDivisionError",
        "run second: tags was left out: it has 3 values for 2 completions",
        "run second: picture was left out: must be a JSON value, not a object",
    ]


class Mode(Enum):
    TRAIN = "train"
    EVAL = "eval"


def test_tunix_calls_it_as_a_metric_function(run):
    texts, replies = ["a", "a"], ["<think>t</think>1", "2"]
    assert run(texts, replies, np.array([1.0, -1.0]), np.array([1, 0]), answer=np.array(["1", "1"])) == {}
    right, short = recorded(run)
    assert (right.meta["reward"], right.meta["advantage"], right.meta["expected_answer"]) == (1, 1.0, "1")
    assert (short.meta["reward"], short.meta["advantage"], short.meta["sample"]) == (0, -1.0, 1)
    # Its reward functions are told the mode, and run first: it is still one rollout.
    named = run.wrap(lambda prompts, **_: [0.25] * len(prompts), name="quarter")
    assert named(prompts=texts, completions=replies, mode="Mode.EVAL") == [0.25, 0.25]
    run(prompts=texts, completions=replies, advantages=[[0.1], [0.2]], rewards=[0.5, 0.25])
    assert [one.meta.get("mode") for one in recorded(run)] == [None, None, "eval", "eval"]
    assert [one.meta["reward"] for one in recorded(run)[2:]] == [0.5, 0.25]
    assert "advantage" not in recorded(run)[3].meta
    named(prompts=texts, completions=["3", "4"], mode=Mode.TRAIN)
    assert recorded(run)[-1].meta["mode"] == "train"


def short(completions, **_):
    """A reward function of TRL's."""
    return [float(len(one)) for one in completions]


def of_trl(step=7, prompts=("a", "a"), completions=("12", "123"), **columns):
    """What TRL calls each reward function with."""
    given = {"prompts": list(prompts), "completions": list(completions), "completion_ids": [[5, 0], [5, 5]]}
    return given | {"trainer_state": SimpleNamespace(global_step=step), "log_extra": print} | columns


def test_trl_s_reward_functions_make_one_rollout_with_all_rewards(run):
    async def judged(**_):
        await asyncio.sleep(0)
        return [None, float("nan")]

    functions = [run.wrap(short, weight=2), run.wrap(short), run.wrap(judged)]
    assert [one.__name__ for one in functions] == ["short", "short", "judged"]
    tokenizer = SimpleNamespace(eos_token_id=0, pad_token_id=None)
    run.on_train_begin(None, None, None, processing_class=SimpleNamespace(tokenizer=tokenizer), model=1)
    for mode, begin, end in (("train", run.on_step_begin, run.on_step_end), ("eval", run.on_log, run.on_evaluate)):
        begin()
        for function in functions[:2]:
            assert function(**of_trl(answer=["1", "2"])) == [2.0, 3.0]
        assert run.store.count(meta={"mode": mode}) == 0
        # As TRL does it; and this thread may have a browser's loop.
        with ThreadPoolExecutor() as pool:
            assert pool.submit(asyncio.run, functions[2](**of_trl(answer=["1", "2"]))).result()[0] is None
        end()
        one, other = run.store.records(newest_first=False, meta={"mode": mode})
        assert one.payload.meta["rewards"] == {"short": 2.0, "short_2": 2.0, "judged": None}
        assert (one.payload.meta["reward"], other.payload.meta["reward"]) == (6.0, 9.0)
        assert (one.payload.meta["training_step"], one.payload.meta["expected_answer"]) == (7, "1")
        assert (one.payload.meta["truncated"], other.payload.meta["truncated"]) == (False, True)
    assert run.recorded == 4
    with pytest.raises(AttributeError, match="'Recorder' object has no attribute 'onward'"):
        run.onward  # noqa: B018


def test_rewards_that_never_come_keep_no_rollout_back(run):
    short_one = run.wrap(short)

    @run.wrap
    def failing(prompts, completions, **_):  # noqa: ARG001
        raise ZeroDivisionError("a bug in the reward")

    short_one(**of_trl(step=1))
    # The next batch of the same thread: nobody else was called with the first.
    short_one(**of_trl(step=2, completions=["1", "2"]))
    run._writer.flush()
    assert run.store.count(training_step=1, meta={"reward": 2}) == 1
    with pytest.raises(ZeroDivisionError, match="a bug in the reward"):
        failing(**of_trl(step=2, completions=["1", "2"]))
    with pytest.raises(ZeroDivisionError, match="a bug in the reward"):
        failing(["a"], ["never scored"], trainer_state=SimpleNamespace(global_step=3))
    run._writer.flush()
    assert run.store.count(training_step=2) == 2
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'completions'"):
        short_one()
    run.close()
    assert run.store.count(training_step=3) == 1
    assert (run.recorded, run.dropped) == (5, 0)


def test_rewards_of_another_shape_are_left_out_and_returned_as_they_are(run, caplog):
    lazy = run.wrap(lambda completions, **_: (1.0 for _ in completions), name="lazy")
    assert list(lazy(**of_trl())) == [1.0, 1.0]
    other = rt.record(run.store, run="few")
    few = other.wrap(lambda **_: [1.0], name="few")
    assert few(**of_trl()) == [1.0]
    for one in (run, other):
        one.flush()
    assert run.store.count(meta={"reward": rt.absent}) == 4
    assert "few was left out: it has 1 values for 2 completions" in caplog.text


def test_verl_calls_it_for_each_rollout(run):
    def compute_score(data_source, solution_str, ground_truth, extra_info=None):  # noqa: ARG001
        return {"score": 1.0, "acc": True, "pred": solution_str[-1]} if data_source == "sums" else 0.5

    scored = run.wrap(compute_score)
    given = {"solution_str": "<think>t</think>#### 4", "ground_truth": "4"}
    assert scored("sums", "#### 4", "4", {"question": "2 + 2?", "index": 3})["pred"] == "4"
    assert scored(data_source="others", extra_info=None, **given) == 0.5
    first, second = recorded(run)
    assert (first.prompt, first.final_answer, first.meta["reward"]) == ("2 + 2?", "#### 4", 1.0)
    assert first.meta["extra"]["extra_info"] == {"question": "2 + 2?", "index": 3}
    assert (first.meta["extra"]["pred"], first.meta["expected_answer"]) == ("4", "4")
    assert (second.prompt, second.steps[0].content, second.meta["reward"]) == ("", "t", 0.5)
    for other in ("a/reward-model", SimpleNamespace(named_parameters=1, __call__=1), 3):
        with pytest.raises(rt.QueryInvalid, match="is not a function; a reward model cannot be wrapped"):
            run.wrap(other)


def test_the_example_for_verl_records_what_it_scores(store, monkeypatch):
    monkeypatch.setenv("TRACE_STORE", str(store.path))
    example = runpy.run_path(str(rt.examples.folder() / "record_verl.py"))
    assert example["compute_score"]("sums", "It is 4", "4", {"question": "2 + 2?"}) == 1.0
    example["run"].close()
    (record,) = store.records(run="verl")
    assert (record.payload.prompt, record.payload.meta["reward"]) == ("2 + 2?", 1.0)


def test_the_trainer_may_change_what_it_passed(run):
    said, ids, facts = {"role": "assistant", "content": "<think>t</think>4"}, [1, 2], {"shard": 1}
    run.add_many(["2 + 2?"], [[said]], completion_ids=[ids], about=[facts])
    said["content"], facts["shard"] = "other", 2
    ids.clear()
    (one,) = recorded(run)
    assert (one.final_answer, one.meta["extra"]["about"], one.meta["extra"]["n_tokens"]) == ("4", {"shard": 1}, 2)


def test_a_trainer_that_is_faster_than_the_disk_waits_and_one_without_threads_goes_on(run, monkeypatch):
    monkeypatch.setattr(writer, "_MOST_WAITING", 8)
    run.add_many(["p"] * 9, ["c"] * 9)
    assert run.recorded == 9

    def none_left(_):
        raise RuntimeError("can't start new thread")

    # As at the exit of an interpreter: it is written in the trainer's.
    monkeypatch.setattr(threading.Timer, "start", none_left)
    run.add_many(["p"], ["c"])
    assert (run.recorded, run.dropped) == (10, 0)


class Spoiled(Exception):
    def __str__(self):
        raise ValueError("no text")


class Hostile:
    def __len__(self):
        raise Spoiled


def test_what_is_no_rollout_is_counted_told_once_and_never_raised(store, caplog):
    store = rt.TraceStore(store.path, settings=rt.Settings(trace_max_bytes=10_000))
    run = rt.record(store, run="bad")
    run.add("p", 5, reward="high")
    run.add("p", object())
    run.add("p", "x" * 10_001)
    run.flush()
    run.add_many(["p"], ["a", "b"])
    run.add_many("p", "ab")
    run.add_many(["p"], Hostile())
    assert run(completions=(one for one in "ab")) == {}
    assert (run.recorded, run.dropped) == (0, 8)
    run.add("a\0b", [{"role": "assistant", "content": "half \ud83d of a pair"}], reward="high", advantage=None)
    run.add("empty", "")
    run.add("failed", None)
    first, empty, failed = recorded(run)
    assert (first.prompt, first.final_answer) == ("a\ufffdb", "half \ufffd of a pair")
    assert first.meta["extra"] == {"reward": "high"}
    assert (empty.final_answer, failed.final_answer) == (None, None)
    run.close()
    run.close()
    loss, total = [record.getMessage() for record in caplog.records]
    assert loss == (
        "run bad: rollouts are not recorded, and training continues; `dropped` counts them: TraceInvalid: completion: "
        "must be a string or a list of messages"
    )
    assert total.startswith(
        "run bad: 3 rollouts were recorded, 8 were not; the first because: TraceInvalid: completion"
    )
    assert repr(run) == "<Recorder bad: 3 recorded, 8 dropped>"
    assert "first because: TraceInvalid" in str(run)
    assert "first because: TraceInvalid" in run._repr_html_()


def test_a_store_that_cannot_be_written_is_told_at_the_start(store, tmp_path):
    store.close()
    with pytest.raises(rt.StoreReadOnly, match="is open with read_only=True"):
        rt.record(rt.TraceStore(store.path, read_only=True))
    (tmp_path / "file").write_text("")
    with pytest.raises(rt.StoreUnusable):
        rt.record(tmp_path / "file" / "runs.duckdb")
    with pytest.raises(rt.TraceInvalid, match=r"meta\.model: must be a JSON value, not a object"):
        rt.record(store, model=object())
    assert rt.record(str(store.path)).store.path == store.path
    assert rt.record().store.path == rt.TraceStore().path
    assert rt.record(store).name != rt.record(store).name


FULL = """
import logging, resource, signal, sys
import tunix_rt as rt
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
logging.basicConfig(stream=sys.stdout, format="%(message).80s")
store = rt.TraceStore(sys.argv[1])
run = rt.record(store, run="full")
run.add_many(["p"] * 9, ["c"] * 9)
run.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
run.add_many(["p"] * 9, ["c" * 1_000] * 9)
run.add("p", "c")
run.flush()
print(run)
try:
    rt.record(store)
except rt.StoreFull as error:
    print("StoreFull")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
run.add("p", "c")
run.flush()
print(run.recorded, store.count(run="full"))
"""


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_ends_no_training(tmp_path):
    path = tmp_path / "runs.duckdb"
    told = told_by(FULL, path)
    assert told[0].startswith("run full: rollouts are not recorded, and training continues;")
    assert told[3] == "recorded  9"
    assert told[4].startswith("dropped   10, the first because: StoreFull")
    assert told[5:7] == ["StoreFull", "10 10"]
    # At its exit it says once more what was lost.
    assert told[7].startswith("run full: 10 rollouts were recorded, 10 were not; the first because: StoreFull")


WORKERS = """
import multiprocessing, os, sys, threading
import tunix_rt as rt

def work(run, name):
    for n in range(5):
        run.add(f"{name} {n}", "c")

if __name__ == "__main__":
    run = rt.record(sys.argv[1], run="workers")
    run.add("waits in the parent", "c")
    threads = [threading.Thread(target=work, args=(run, f"thread {n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    children = [
        multiprocessing.get_context(how).Process(target=work, args=(run, how)) for how in ("fork", "spawn")
    ]
    for child in children:
        child.start()
    for one in threads + children:
        one.join()
    print([child.exitcode for child in children], run.recorded + run.dropped <= 21)
"""


@pytest.mark.slow
def test_threads_forked_and_spawned_workers_record_each_rollout_once(tmp_path):
    path, program = tmp_path / "runs.duckdb", tmp_path / "program.py"
    program.write_text(WORKERS)
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", program, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("[0, 0] True\n", "")
    prompts = sorted(record.payload.prompt for record in rt.TraceStore(path).records(run="workers"))
    names = [*(f"thread {n}" for n in range(4)), "fork", "spawn"]
    assert prompts == sorted(["waits in the parent", *(f"{name} {n}" for name in names for n in range(5))])


ENDLESS = """
import sys
import tunix_rt as rt
with rt.record(sys.argv[1], run="endless") as run:
    for step in range(1_000_000):
        run.add_many(["p"] * 8, [f"{step}"] * 8, training_step=step)
        run.flush()
        print(run.recorded, flush=True)
"""


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_a_run_that_is_killed_keeps_what_was_acknowledged(tmp_path, how):
    path = tmp_path / "runs.duckdb"
    with python(ENDLESS, path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        acknowledged = [int(process.stdout.readline()) for _ in range(5)][-1]
        process.send_signal(getattr(signal, how))
        more, complained = process.communicate(timeout=PATIENCE)
    assert ("KeyboardInterrupt" in complained) == (how == "SIGINT")
    acknowledged = max(map(int, [str(acknowledged), *more.splitlines()]))
    assert rt.TraceStore(path).count(run="endless") >= acknowledged >= 40


def test_a_recorder_is_pickled_with_its_store_and_its_run(run):
    again = pickle.loads(pickle.dumps(run))  # noqa: S301 - our own
    again.add("p", "c", n_tokens=4)
    assert recorded(again)[0].meta["truncated"] is True
    assert (again.name, again.recorded) == ("first", 1)
