"""Record every rollout of a GRPO run of TRL, evaluations too: two lines more than the run itself.

    pip install trl
    python examples/record_trl.py [MODEL] [--store STORE]

Open the same store in a notebook while it runs: `%trace_store STORE`, then `%traces --run trl`, `store.runs()`.
"""

import argparse
from typing import Any

import tunix_rt as rt


def correct(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """Whether the last word is the answer."""
    return [float(one.split()[-1:] == [right]) for one, right in zip(completions, answer, strict=True)]


def brief(completions: list[str], **_: Any) -> list[float]:
    """The shorter the better."""
    return [-len(one) / 1_000 for one in completions]


if __name__ == "__main__":
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    arguments = argparse.ArgumentParser(description="Record a GRPO run of TRL.")
    arguments.add_argument("model", nargs="?", default="Qwen/Qwen3-0.6B", help="a model of the hub, or its folder")
    arguments.add_argument("--store", help="the store's file (default: the one that rt.TraceStore() opens)")
    arguments.add_argument("--steps", type=int, default=10, help="training steps (default: 10)")
    options = arguments.parse_args()

    run = rt.record(options.store, run="trl", model=options.model)
    sums = [{"prompt": f"{n} + {n + 7} =", "answer": str(2 * n + 7)} for n in range(64)]
    trainer = GRPOTrainer(
        model=options.model,
        reward_funcs=[run.wrap(correct), run.wrap(brief)],
        callbacks=[run],
        args=GRPOConfig(
            output_dir="trained",
            max_steps=options.steps,
            num_generations=4,
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            max_completion_length=64,
            eval_strategy="steps",
            eval_steps=max(1, options.steps // 2),
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            report_to=[],
        ),
        train_dataset=Dataset.from_list(sums[:60]),
        eval_dataset=Dataset.from_list(sums[60:]),
    )
    trainer.train()
    run.close()
    print(run.store.runs())
