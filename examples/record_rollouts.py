"""Record the rollouts of a training run as traces.

    python examples/record_rollouts.py [STORE] [--steps 5]

The "model" is a toy that adds two numbers and sometimes forgets to carry; the loop around it is that of a real run: at
every training step a prompt is sampled several times, each completion is scored, and all of them are recorded. Open the
same store in a notebook while it runs: `%trace_store STORE`, then `%traces --source rollouts`.
"""

import argparse
import random

import tunix_rt as rt

SAMPLES_PER_PROMPT = 4
CUT_SHORT = 0.05


def sample(a: int, b: int, skill: float, chance: random.Random) -> tuple[list[rt.Step], str | None]:
    """One completion of the toy model: its steps, and its answer (None where it ran out of tokens)."""
    if chance.random() < CUT_SHORT:
        return [rt.Step(i=0, type="parse", content=f"We add {a} and {b}. First the ones, so")], None
    ones, tens = a % 10 + b % 10, a // 10 + b // 10
    carry = ones // 10 if chance.random() < skill else 0
    answer = 10 * (tens + carry) + ones % 10
    contents = [
        ("parse", f"{a} is {a // 10} tens and {a % 10} ones; {b} is {b // 10} tens and {b % 10} ones."),
        ("compute", f"Ones: {a % 10} + {b % 10} = {ones}" + (f", carry {carry}" if carry else "")),
        ("compute", f"Tens: {a // 10} + {b // 10}{f' + {carry}' if carry else ''} = {tens + carry}"),
        ("result", f"Together: {answer}"),
    ]
    return [rt.Step(i=i, type=kind, content=content) for i, (kind, content) in enumerate(contents)], str(answer)


def train(store: rt.TraceStore, n_steps: int, seed: int = 0) -> int:
    """Runs the loop; the number of traces recorded."""
    chance = random.Random(seed)
    recorded = 0
    for training_step in range(n_steps):
        a, b = chance.randrange(10, 100), chance.randrange(10, 100)
        rollouts = []
        for number in range(SAMPLES_PER_PROMPT):
            steps, answer = sample(a, b, skill=training_step / n_steps, chance=chance)
            meta = {
                "source": "rollouts",
                "model": "toy-adder",
                "training_step": training_step,
                "sample": number,
                "expected_answer": str(a + b),
                "reward": float(answer == str(a + b)),
                "truncated": answer is None,
            }
            rollouts.append(
                # Format 1.1 holds a rollout that was cut short: no final answer.
                rt.Trace(prompt=f"{a} + {b}?", steps=steps, final_answer=answer, meta=meta, trace_version="1.1")
            )
        # All samples of a prompt at once: one transaction, all or none.
        recorded += len(store.add_many(rollouts))
    return recorded


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Record the rollouts of a toy training run.")
    arguments.add_argument("store", nargs="?", help="the store's file (default: the one that rt.TraceStore() opens)")
    arguments.add_argument("--steps", type=int, default=5, help="training steps (default: 5)")
    options = arguments.parse_args()
    store = rt.TraceStore(options.store)
    print(f"{train(store, options.steps)} traces recorded in {store.path}")
