"""A GRPO run of TRL, recorded: each rollout of each step is in the store once, those of the evaluation too."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import tunix_rt as rt
from tests.trainers.exported import tokenizer

_PROMPTS, _SAMPLES, _STEPS = 4, 2, 4
_TOKENS = 8
# What the trainer itself passes to a function that is not wrapped.
_seen: list[tuple[int, str]] = []


def short(completions: list[str], **_: Any) -> list[float]:
    """A reward."""
    return [-float(len(one)) for one in completions]


def counted(completions: list[str], answer: list[str], **_: Any) -> list[float | None]:
    """Another, which does not apply to each rollout."""
    return [None if int(gold) % 2 else float(len(one) % 3) for one, gold in zip(completions, answer, strict=True)]


async def judged(prompts: list[str], **_: Any) -> list[float]:
    """A third, as a judge over a network is called."""
    await asyncio.sleep(0)
    return [0.5] * len(prompts)


def seen(completions: list[str], trainer_state: Any, **_: Any) -> list[float]:
    """Not wrapped: what the store is compared with."""
    _seen.extend((trainer_state.global_step, one) for one in completions)
    return [0.0] * len(completions)


def _model() -> Any:
    import transformers

    words = tokenizer()
    sizes = dict.fromkeys(("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 1)
    config = transformers.Qwen2Config(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, eos_token_id=words.eos_token_id, **sizes
    )
    return transformers.AutoModelForCausalLM.from_config(config)


def train(path: Path, folder: Path, *, dies_at: int | None = None, n_ranks: int = 1) -> rt.Recorder:
    """A run of some steps, with an evaluation every two steps, on a model that knows nothing."""
    import transformers
    import trl
    from datasets import Dataset

    words, model = tokenizer(), _model()
    rows = [{"prompt": f"{n} + {n}?", "answer": str(2 * n + n % 2)} for n in range(_PROMPTS)]
    asked = [{"prompt": f"{n} * {n}?", "answer": str(n * n)} for n in range(10, 13)]
    run = rt.record(path, run="trl", model="tiny")

    class Ends(transformers.TrainerCallback):
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.global_step == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=[run.wrap(short), run.wrap(counted, weight=2.0), seen, run.wrap(judged)],
        args=trl.GRPOConfig(
            output_dir=str(folder / "trained"),
            max_steps=_STEPS,
            # Two batches are generated between two logs.
            logging_steps=2,
            eval_strategy="steps",
            eval_steps=2,
            per_device_train_batch_size=_PROMPTS * _SAMPLES // n_ranks,
            per_device_eval_batch_size=_SAMPLES,
            num_generations=_SAMPLES,
            max_completion_length=_TOKENS,
            reward_weights=[1.0, 2.0, 1.0, 1.0],
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
        ),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(asked),
        processing_class=words,
        callbacks=[run, Ends()],
    )
    trainer.train()
    run.close()
    return run


def check(folder: Path) -> None:
    """Each rollout once, with its step, its mode and its rewards; what a killed run had acknowledged is there."""
    path = folder / "trl.duckdb"
    run = train(path, folder)
    store = rt.TraceStore(path)
    rollouts = [record.payload for record in store.records(run="trl", newest_first=False)]
    assert run.dropped == 0, run
    assert len(rollouts) == run.recorded == len(_seen), (run, len(_seen))
    found = Counter((one.meta["training_step"], (one.final_answer or "").strip()) for one in rollouts)
    assert found == Counter((step, text.replace("\0", "\ufffd").strip()) for step, text in _seen), (found, _seen)
    modes = Counter((one.meta["mode"], one.meta["training_step"]) for one in rollouts)
    trained = {("train", step): _PROMPTS * _SAMPLES for step in range(_STEPS)}
    evaluated = {("eval", step): 3 * _SAMPLES for step in (2, 4)}
    assert modes == Counter(trained | evaluated), modes
    for one in rollouts:
        assert set(one.meta["rewards"]) == {"short", "counted", "judged"}, one.meta
        assert (one.meta["rewards"]["counted"] is None) == (int(one.meta["expected_answer"]) % 2 == 1)
        told = [
            weight * (one.meta["rewards"][name] or 0) for name, weight in (("short", 1), ("counted", 2), ("judged", 1))
        ]
        assert one.meta["reward"] == sum(told)
        # One that ends by itself with the last token is not truncated.
        assert one.meta["extra"]["n_tokens"] == _TOKENS or not one.meta["truncated"]
        assert one.meta["sample"] in range(_SAMPLES)
    runs = store.runs()
    assert len(runs) == 2, runs
    _check_killed(folder)
    _check_example(folder)
    _check_ranks(folder)


_RANK = """
import json, os, sys
from tests.trainers.recorded_trl import *
from tests.trainers import recorded_trl
folder = Path(sys.argv[1])
run = train(folder / "ranks.duckdb", folder, n_ranks=2)
assert run.dropped == 0 and run.recorded == len(recorded_trl._seen), (run, len(recorded_trl._seen))
(folder / f"rank_{os.environ['RANK']}.json").write_text(json.dumps(recorded_trl._seen))
"""


def _check_ranks(folder: Path) -> None:
    """Two processes train together: each rollout of each is there once; a group is in one process, and so numbered."""
    script = folder / "rank.py"
    script.write_text(_RANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(script), str(folder)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    ranks = [json.loads((folder / f"rank_{n}.json").read_text()) for n in (0, 1)]
    assert all(ranks), ranks
    rollouts = [record.payload for record in rt.TraceStore(folder / "ranks.duckdb").records(run="trl")]
    found = Counter((one.meta["training_step"], (one.final_answer or "").strip()) for one in rollouts)
    told = Counter((step, text.replace("\0", "\ufffd").strip()) for rank in ranks for step, text in rank)
    assert found == told, (found - told, told - found)
    trained = [one for one in rollouts if one.meta["mode"] == "train"]
    samples = Counter((one.meta["training_step"], one.prompt, one.meta["sample"]) for one in trained)
    assert set(samples.values()) == {1}, samples
    assert len(trained) == _STEPS * _PROMPTS * _SAMPLES, len(trained)


def _check_example(folder: Path) -> None:
    """The script in `examples/` runs, on the same model."""
    _model().save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    script = rt.examples.folder() / "record_trl.py"
    path = folder / "example.duckdb"
    command = [sys.executable, str(script), str(folder / "model"), "--store", str(path), "--steps", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = rt.TraceStore(path).runs().arrow().to_pylist()
    # Four rollouts of one prompt in a step, and of each of four prompts in two evaluations.
    assert [(row["mode"], row["steps"], row["rollouts"]) for row in runs] == [("train", 2, 8), ("eval", 2, 32)], runs


def _check_killed(folder: Path) -> None:
    path = folder / "killed.duckdb"
    program = f"from tests.trainers.recorded_trl import *; train(Path({str(path)!r}), Path({str(folder)!r}), dies_at=2)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert rt.TraceStore(path).count(run="trl", meta={"mode": "train"}) == 2 * _PROMPTS * _SAMPLES
