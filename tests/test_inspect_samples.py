"""Samples of Inspect as its hook gets them; `python -m tests.trainers` has a real evaluation with its mock model."""

import importlib
from types import SimpleNamespace

import tunix_rt as rt
from tunix_rt import inspect_hook
from tunix_rt.recording.inspect_samples import Samples

SAMPLE = {
    "id": "sum-1",
    "epoch": 2,
    "input": "2 + 2?",
    "target": "4",
    "messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "<think>t\0</think>4"}],
    "output": {"model": "mockllm/model", "choices": [{"stop_reason": "stop"}]},
    "scores": {"match": {"value": "C"}},
}


def test_a_finished_sample_is_a_trace_and_one_that_cannot_be_read_is_counted(store, caplog):
    samples = Samples(store)
    samples.task_began("e", SimpleNamespace(task="sums", model="m", created="2026-01-31T12:00:00"))
    samples.sample_ended("e", SimpleNamespace(model_dump=lambda **_: dict(SAMPLE)))
    samples.sample_ended("e", SimpleNamespace(model_dump=lambda **_: SAMPLE | {"messages": 7}))
    samples.sample_ended("e", object())
    samples.task_ended("e")
    # Of a task that began before the hook was there.
    samples.sample_ended("f", SimpleNamespace(model_dump=lambda **_: dict(SAMPLE)))
    samples.run.close()
    first, other = [record.payload for record in store.records(newest_first=False)]
    assert (first.prompt, first.steps[0].content, first.final_answer) == ("2 + 2?", "t\ufffd", "4")
    assert (first.meta["run"], other.meta["run"]) == ("sums 2026-01-31T12:00:00", "inspect")
    assert (first.meta["correct"], first.meta["group"], first.meta["sample"]) == (True, "sum-1", 2)
    assert first.meta["extra"]["task"] == "sums"
    assert (samples.run.recorded, samples.run.dropped) == (2, 2)
    assert "run inspect: rollouts are not recorded" in caplog.text


def test_without_the_variable_the_entry_point_does_nothing_and_with_it_it_registers(store, monkeypatch):
    monkeypatch.delenv(inspect_hook.VARIABLE, raising=False)
    importlib.reload(inspect_hook)
    given = []
    monkeypatch.setattr("tunix_rt.recording.inspect_samples.register", given.append)
    monkeypatch.setenv(inspect_hook.VARIABLE, str(store.path))
    importlib.reload(inspect_hook)
    assert given == [str(store.path)]
    assert rt.TraceStore(store.path).count() == 0
