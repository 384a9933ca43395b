"""Record every sample of an evaluation of Inspect, with its scores, as soon as it is finished.

    pip install inspect-ai
    TUNIX_RT_INSPECT=evals.duckdb inspect eval examples/record_inspect.py --model mockllm/model

Nothing in the task knows of the store. Open it in a notebook while the evaluation runs: `%trace_store evals.duckdb`,
then `%traces`, `store.runs()`.
"""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match
from inspect_ai.solver import chain_of_thought, generate


@task
def sums() -> Task:
    """Ten sums."""
    return Task(
        dataset=[Sample(id=f"sum-{n}", input=f"{n} + {n + 7}?", target=str(2 * n + 7)) for n in range(10)],
        solver=[chain_of_thought(), generate()],
        scorer=match(numeric=True),
    )
