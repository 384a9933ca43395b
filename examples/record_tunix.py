"""Record every rollout of a GRPO run of google/tunix, evaluations too.

It is a function, since a run needs your model, your cluster and your data: call it where you would make the learner.
Open the same store in a notebook while it runs: `%trace_store STORE`, then `%traces --run tunix`, `store.runs()`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tunix_rt as rt


def recorded_learner(
    cluster: Any, config: Any, reward_fns: Sequence[Callable[..., Any]], store: rt.TraceStore | str | None = None
) -> Any:
    """A GRPOLearner on this RLCluster, whose rollouts are recorded with step, mode, rewards by name and advantage."""
    from tunix.rl.grpo.grpo_learner import GRPOLearner

    run = rt.record(store, run="tunix", training_step=lambda: cluster.global_steps)
    return GRPOLearner(
        rl_cluster=cluster,
        algo_config=config,
        reward_fns=[run.wrap(function) for function in reward_fns],
        metric_fns=[run],
    )
