"""A GRPO run of google/tunix with JAX, recorded: each rollout of each step is in the store once, evaluations too."""

import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import tunix_rt as rt

_PROMPTS = ("input string", "hello world", "My name", "hello there")
_SAMPLES, _STEPS = 2, 4
# What a reward function was called with: prompt, completion, mode.
_seen: list[tuple[str, str, str]] = []


def long(completions: list[str], **_: Any) -> list[float]:
    """A reward."""
    return [float(len(one)) for one in completions]


def even(answer: list[str], **_: Any) -> list[float]:
    """Another."""
    return [float(len(one) % 2) for one in answer]


def seen(prompts: list[str], completions: list[str], mode: str, **_: Any) -> list[float]:
    """A third, which keeps what the store is compared with."""
    _seen.extend((str(prompt), one, mode) for prompt, one in zip(prompts, completions, strict=True))
    return [0.0] * len(prompts)


def check(folder: Path) -> None:
    """Each rollout once, with step, mode, advantage and rewards by name."""
    import jax
    import optax
    from flax import nnx
    from grain import python as grain
    from tunix.rl import rl_cluster
    from tunix.rl.grpo import grpo_learner
    from tunix.rl.rollout import base_rollout
    from tunix.tests import test_common

    words = test_common.MockVocab()
    sizes = test_common.ModelConfig(vocab_size=words.GetPieceSize())
    model, reference = (test_common.ToyTransformer(config=sizes, rngs=nnx.Rngs(0)) for _ in range(2))
    roles = (rl_cluster.Role.ACTOR, rl_cluster.Role.REFERENCE, rl_cluster.Role.ROLLOUT)
    # Of one device, with the axes that the toy model names.
    mesh = jax.sharding.Mesh([jax.devices()[:1]], ("fsdp", "tp"))
    cluster = rl_cluster.RLCluster(
        actor=model,
        reference=reference,
        tokenizer=words,
        cluster_config=rl_cluster.ClusterConfig(
            role_to_mesh=dict.fromkeys(roles, mesh),
            rollout_engine="vanilla",
            offload_to_cpu=False,
            training_config=rl_cluster.RLTrainingConfig(
                actor_optimizer=optax.sgd(1e-3), eval_every_n_steps=2, max_steps=_STEPS
            ),
            rollout_config=base_rollout.RolloutConfig(
                max_tokens_to_generate=10, max_prompt_length=256, kv_cache_size=1024
            ),
        ),
    )
    store = rt.TraceStore(folder / "tunix.duckdb")
    example = runpy.run_path(str(rt.examples.folder() / "record_tunix.py"))
    learner = example["recorded_learner"](
        cluster, grpo_learner.GRPOConfig(num_generations=_SAMPLES, num_iterations=1), [long, even, seen], store
    )
    (run,) = learner.metric_fns
    data = [
        grain.MapDataset.source(list(_PROMPTS) * times).batch(size).map(lambda row: {"prompts": row, "answer": row})
        for times, size in ((_STEPS, 2), (1, 1))
    ]
    with mesh:
        learner.train(*data)
    run.close()
    assert run.dropped == 0, run
    rollouts = [record.payload for record in store.records(run="tunix", newest_first=False)]
    assert len(rollouts) == run.recorded == len(_seen) > 0, (run, len(_seen))
    modes = Counter((one.meta["mode"], one.meta["training_step"]) for one in rollouts)
    assert {step for mode, step in modes if mode == "train"} == set(range(_STEPS)), modes
    assert {mode for mode, _ in modes} == {"train", "eval"}, modes
    found = Counter((one.prompt, (one.final_answer or "").strip(), one.meta["mode"]) for one in rollouts)
    told = Counter((prompt, text.strip(), mode.rpartition(".")[2].lower()) for prompt, text, mode in _seen)
    assert found == told, (found - told, told - found)
    for one in rollouts:
        assert set(one.meta["rewards"]) == {"long", "even", "seen"}, one.meta
        assert one.meta["reward"] == sum(one.meta["rewards"].values()), one.meta
        assert "advantage" in one.meta, one.meta
        assert one.meta["sample"] in range(_SAMPLES), one.meta
        assert one.meta["expected_answer"] == one.prompt
