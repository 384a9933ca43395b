"""The recorded runs of a store, their steps and their pictures."""

import pytest

import tunix_rt as rt


@pytest.mark.slow
def test_the_runs_of_a_store(store):
    assert len(store.runs()) == 0
    assert store.runs().to_dict() == {"runs": 0, "data": []}
    assert "0 with 0 rollouts" in str(store.runs())
    with rt.record(store, run="one", model="tiny", max_tokens=2) as run:
        prompts = ["a", "a", "b", "b"]
        run.add_many(prompts, prompts, reward=[1, 1, 0, 1], training_step=2, mode="train", n_tokens=[1, 2, 1, 1])
        run.add_many(prompts, prompts, reward=[0, 0, 1, 1], training_step=10, mode="train")
        run.add_many(["c"], ["c"], reward=[1], training_step=10, mode="eval")
    with rt.record(store, run="two") as run:
        run.add_many(["a"], ["b"])
    store.add(rt.Trace(prompt="of no run", steps=["s"], final_answer="a"))
    runs = store.runs()
    assert (len(runs), runs.names, repr(runs)) == (3, ("two", "one"), "<Runs: 2 of 10 rollouts>")
    two, train, evaluation = runs.arrow().to_pylist()
    assert (two["mode"], two["steps"], two["rollouts"], two["reward"], two["same_reward"]) == (None, 0, 1, None, None)
    assert (train["mode"], train["model"], train["steps"], train["rollouts"]) == ("train", "tiny", 2, 8)
    assert (train["reward"], train["truncated"], train["same_reward"]) == (5 / 8, 1 / 8, 3 / 4)
    assert (evaluation["reward"], evaluation["same_reward"]) == (1.0, None)
    steps = runs.steps("one").arrow().to_pylist()
    assert [(row["mode"], row["training_step"], row["groups"], row["same_reward"]) for row in steps] == [
        *[("eval", "10", 0, None), ("train", "2", 2, 0.5), ("train", "10", 2, 1.0)]
    ]
    assert len(runs.steps()) == 4
    assert list(runs.df()["run"]) == ["two", "one", "one"]
    assert runs.to_dict()["data"][1]["first"] <= runs.to_dict()["data"][1]["last"]
    assert len(store.runs(run="one", meta={"mode": "eval"})) == 1
    assert "train" in runs._repr_html_()
    assert "75%" in str(runs)
    with pytest.raises(rt.QueryInvalid, match='run "three" is not among the recorded runs; there are'):
        runs.steps("three")
    pytest.importorskip("matplotlib")
    picture = runs.plot()
    assert picture.arrow().to_pylist() == [
        {"run": "one", "mode": "train", "step": 2.0, "reward": 0.75, "rollouts": 4},
        {"run": "one", "mode": "train", "step": 10.0, "reward": 0.5, "rollouts": 4},
        {"run": "one", "mode": "eval", "step": 10.0, "reward": 1.0, "rollouts": 1},
    ]
    bundle, _ = picture._repr_mimebundle_()
    assert bundle["text/plain"].startswith("Mean reward, over training steps\n\n")
    assert len(picture.figure.axes[0].lines) == 2
    assert [row["same_reward"] for row in runs.plot("same_reward").arrow().to_pylist()] == [0.5, 1.0]
    assert len(runs.plot("truncated").arrow()) == 3
    with rt.record(store, run="named", training_step=lambda: "warm-up") as run:
        run.add_many(["a"], ["b"], reward=[1])
    assert len(store.runs(run="named").plot().figure.axes[0].lines) == 0
    with pytest.raises(rt.QueryInvalid, match='plot: "loss": must be one of reward, truncated, same_reward'):
        runs.plot("loss")
