"""A reward function for verl that records what it scores.

    python -m verl.trainer.main_ppo … \
        custom_reward_function.path=examples/record_verl.py custom_reward_function.name=compute_score

verl passes no prompt and no step: the prompt is `extra_info["question"]` where the data set has it. With
`trainer.rollout_data_dir=rollouts`, `store.watch("rollouts")` loads prompts and steps as well.
"""

import os
from typing import Any

import tunix_rt as rt

run = rt.record(os.environ.get("TRACE_STORE"), run=os.environ.get("RUN_NAME", "verl"))


@run.wrap
def compute_score(
    data_source: str,  # noqa: ARG001 - the names are verl's
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,  # noqa: ARG001
) -> float:
    """Whether the last word is the answer."""
    return float(solution_str.split()[-1:] == [ground_truth])
