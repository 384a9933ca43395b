"""Simulate the rollouts of a training run, with troubles in known numbers, and write them as traces.

    python examples/simulate_rollouts.py FILE.jsonl [--steps 6] [--every 1] [--prompts 8] [--samples 8] [--seed 0]
                                         [--same-prompts]

No model wrote them: problems, policy and troubles are drawn from the seed, and each row says so (`meta.generated`).
`meta.planted` lists the flags that should find something in a rollout, `meta.loop` has the kind of a loop. So flags can
be measured: `python -m tests.benchmarks.flags`. Load the file with `store.load("FILE.jsonl")`.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

NAMES = ("Amina", "Bruno", "Chen", "Dalia", "Emeka", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Mateo")
THINGS = ("apples", "books", "bricks", "candles", "chairs", "coins", "crates", "jars", "lamps", "marbles", "pencils")
OPENINGS = (
    "Let us read the problem first: we are asked for a single number.",
    "The question is about {things}, so I count them in the order of the story.",
    "I write down what is known before I compute anything.",
    "There are two things to do here, and the second one needs the first.",
    "Let me think about {name} and the {things} step by step.",
    "First I look for the numbers that matter.",
)
CHECKS = (
    "Does that make sense? It is a whole number, as {things} should be.",
    "I check it backwards, and the numbers of the problem come out again.",
    "A rough estimate gives about as many {things}, so this looks right.",
    "| box | {things} |\n|---|---|\n| 1 | 3 |\n| 2 | 3 |\n| 3 | 3 |\n| 4 | 3 |",
    "Nothing in the story is left unused.",
    "Nobody but {name} takes any {things}, so there is nothing to subtract later.",
)
ENDS = (
    "#### {answer}",
    "The answer is {answer}.",
    "So {name} has \\boxed{{{answer}}} {things}.",
    "{answer}",
    "**Answer:** {answer} {things}",
)


class Problem(NamedTuple):
    """A problem: who has what, the three numbers in it, and the prompt."""

    name: str
    things: str
    a: int
    b: int
    c: int
    prompt: str

    @property
    def answer(self) -> int:
        """The right answer."""
        return self.a * self.b - self.c


class Rollout(NamedTuple):
    """What the policy wrote, what is planted in it, and what else its meta says."""

    steps: list[str]
    final_answer: str | None
    planted: tuple[str, ...] = ()
    meta: dict[str, Any] = {}  # noqa: RUF012 - never changed


def problem(chance: random.Random) -> Problem:
    """A problem of two steps."""
    name, things = chance.choice(NAMES), chance.choice(THINGS)
    a, b = chance.randint(3, 30), chance.randint(4, 30)
    c = chance.randint(1, a * b - 1)
    prompt = f"{name} fills {a} boxes with {b} {things} each and gives {c} of them away. How many {things} are left?"
    return Problem(name, things, a, b, c, prompt)


def attempt(task: Problem, is_right: bool, chance: random.Random) -> Rollout:  # noqa: FBT001
    """A clean rollout: right, or wrong by a slip in the last step."""
    total = task.a * task.b
    answer = task.answer if is_right else task.answer + chance.choice((-10, -2, -1, 1, 2, 10, 100))
    steps = [
        chance.choice(OPENINGS),
        chance.choice(("{a} boxes of {b} are {a} * {b} = {total} {things}.", "In all: {a} × {b} = {total}.")),
        *chance.sample(CHECKS, chance.randint(0, 3)),
        chance.choice(
            ("{name} gives {c} away: {total} - {c} = {answer}.", "Left are {total} - {c} = {answer} {things}.")
        ),
    ]
    facts = {**task._asdict(), "total": total, "answer": answer}
    steps = [step.format(**facts) for step in steps]
    return Rollout(steps, chance.choice(ENDS).format(**facts), () if is_right else ("wrong",))


def cut_in_reasoning(rollout: Rollout, _task: Problem, chance: random.Random) -> Rollout:
    """Out of tokens before an answer; half of the time the source reports it."""
    last = f"We still have to see how many of the {chance.choice(THINGS)} that were given awa"
    meta = chance.choice(({"finish_reason": "length"}, {}))
    return Rollout([*rollout.steps[:2], last], None, ("truncated", "no_answer"), meta)


def cut_in_answer(rollout: Rollout, task: Problem, chance: random.Random) -> Rollout:
    """Reasoning that is complete, and an answer that stops in the middle."""
    told = f"We multiplied {task.a} by {task.b} and took {task.c} away, which means that {task.name} now"
    return Rollout(
        rollout.steps, told + chance.choice((" has a", " has \\boxed{", " can give the")), ("truncated", "answer_cut")
    )


def loop_exact(rollout: Rollout, task: Problem, chance: random.Random) -> Rollout:
    """The same sentence over and over, up to the cap."""
    unit = chance.choice(("Wait, let me check that again. ", f"So there are {task.things} left. ", "Hmm. But no, "))
    return _looping(rollout, unit * chance.randint(20, 60), "T")


def loop_counting(rollout: Rollout, task: Problem, chance: random.Random) -> Rollout:
    """A counter that never comes to its end."""
    start = chance.randint(2, 200)
    lines = (
        f"Box {n}: now {task.name} has {n * task.b} {task.things}."
        for n in range(start, start + chance.randint(30, 90))
    )
    return _looping(rollout, "\n".join(lines), "K")


def loop_solution(rollout: Rollout, task: Problem, chance: random.Random) -> Rollout:
    """The whole solution again, with another word in between."""
    told = [chance.choice(OPENINGS + CHECKS) for _ in range(12)]
    words = [f"{sentence} That was thought number {n} of {task.name}." for n, sentence in enumerate(told)]
    solution = " ".join(words).format(**task._asdict())
    again = ("", "Once more from the beginning. ", "Let me verify all of it. ", "I am not sure yet. ")
    return _looping(rollout, "".join(f"{other}{solution} " for other in again), "N")


def _looping(rollout: Rollout, text: str, kind: str) -> Rollout:
    meta = {"finish_reason": "length", "loop": kind}
    return Rollout([*rollout.steps, text], None, ("loop", "truncated", "no_answer"), meta)


def runs_on(rollout: Rollout, task: Problem, _chance: random.Random) -> Rollout:
    """The answer, and then a question that nobody asked."""
    more = f"Question: {task.name} buys 2 {task.things}. How many are there now?\nThey are more than before."
    return rollout._replace(final_answer=f"The answer is {task.answer}.\n\n{more}", planted=("runs_on",))


def other_script(rollout: Rollout, _task: Problem, chance: random.Random) -> Rollout:
    """A sentence in a script that the prompt does not have."""
    told = chance.choice(("我们先计算一共有多少个。", "Теперь вычтем остальные.", "इसलिए हम घटाते हैं।"))
    return _with_step(rollout, told, "foreign_script")


def refuses(rollout: Rollout, _task: Problem, chance: random.Random) -> Rollout:
    """No answer, but words why not."""
    told = ("It cannot be determined from what is given.", "I'm sorry, but there is not enough information.")
    return Rollout(rollout.steps[:1], chance.choice(told), ("refusal",))


def badly_decoded(rollout: Rollout, _task: Problem, chance: random.Random) -> Rollout:
    """Bytes that were decoded wrongly."""
    told = chance.choice(("That costs 3\ufffd in all.", "It isnâ€™t more than that.", "The cafÃ© is closed."))
    return _with_step(rollout, told, "bad_encoding")


def differs(rollout: Rollout, task: Problem, chance: random.Random) -> Rollout:
    """Reasoning that states one answer, and another final one."""
    other = task.answer + chance.randint(1, 9)
    steps = [*rollout.steps, f"So the answer is {task.answer}."]
    return Rollout(steps, f"#### {other}", ("answer_differs", "wrong"))


def badly_formatted(rollout: Rollout, task: Problem, chance: random.Random) -> Rollout:
    """Tags that do not match, a mark of the chat template, an empty step."""
    steps, answer = list(rollout.steps), f"The answer is {task.answer}."
    kind = chance.randrange(4)
    if kind == 0:
        answer = f"<answer>{task.answer}</answer><answer>{task.answer}</answer>"
    elif kind == 1:
        answer += "<|im_end|>"
    elif kind == 2:  # noqa: PLR2004
        steps.insert(1, " ")
    else:
        answer += "</answer>"
    return Rollout(steps, answer, ("broken_format",))


def _with_step(rollout: Rollout, step: str, flag: str) -> Rollout:
    steps = [*rollout.steps[:1], step, *rollout.steps[1:]]
    return rollout._replace(steps=steps, planted=(*rollout.planted, flag))


# Of every 32 rollouts each of these 11 happens to one, and two are copies; the others are right or wrong.
TROUBLES: tuple[Callable[[Rollout, Problem, random.Random], Rollout], ...] = (
    cut_in_reasoning, cut_in_answer, loop_exact, loop_counting, loop_solution, runs_on, other_script, refuses,
    badly_decoded, differs, badly_formatted,
)  # fmt: skip
ROUND = 32
TROUBLE_AT = {2 * n + 1: trouble for n, trouble in enumerate(TROUBLES)}
COPY_IN_GROUP_AT, COPY_ACROSS_AT = 28, 30
MODEL = "simulated-policy"


def simulate(
    n_steps: int, n_prompts: int, n_samples: int, seed: int, *, every: int = 1, is_same: bool = False
) -> Iterator[dict[str, Any]]:
    """The rows, in the native format: `n_steps` · `n_prompts` · `n_samples`, those of a prompt one behind the other.

    The training steps are 0, `every`, 2 · `every`, …; each has other prompts, or, if `is_same`, the same ones.
    """
    chance = random.Random(seed)
    tasks = [problem(chance) for _ in range(n_prompts)] if is_same else []
    number = 0
    before: Rollout | None = None
    for training_step in range(n_steps):
        for n in range(n_prompts):
            task, told = tasks[n] if is_same else problem(chance), set()
            first: Rollout | None = None
            for sample in range(n_samples):
                place, number = number % ROUND, number + 1
                # The troubles happen to right ones, so that only what is planted as wrong is.
                is_right = place in TROUBLE_AT or chance.random() < 0.4 + 0.5 * training_step / n_steps
                rollout = attempt(task, is_right, chance)
                while (text := "\n".join(rollout.steps)) in told:
                    rollout = attempt(task, is_right, chance)
                told.add(text)
                if place in TROUBLE_AT:
                    rollout = TROUBLE_AT[place](rollout, task, chance)
                elif place == COPY_IN_GROUP_AT and first:
                    rollout = first._replace(planted=(*first.planted, "same_in_group"))
                elif place == COPY_ACROSS_AT and before:
                    rollout = before._replace(planted=("duplicate", "wrong"))
                elif first is None:
                    first = rollout
                yield row(task, rollout, training_step * every, sample)
            before = first or before


def row(task: Problem, rollout: Rollout, training_step: int, sample: int) -> dict[str, Any]:
    """A rollout as a row of the native format."""
    is_answered = not {"no_answer", "refusal"} & set(rollout.planted)
    return {
        "trace_version": "1.1",
        "prompt": task.prompt,
        "steps": [{"i": i, "type": "step", "content": step} for i, step in enumerate(rollout.steps)],
        "final_answer": rollout.final_answer,
        "meta": {
            "source": "simulated",
            "generated": "by examples/simulate_rollouts.py; no model wrote this",
            "model": MODEL,
            "training_step": training_step,
            "sample": sample,
            "expected_answer": str(task.answer),
            "reward": float(is_answered and not {"wrong", "answer_cut"} & set(rollout.planted)),
            "planted": sorted(rollout.planted),
            **rollout.meta,
        },
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Write the rollouts of a simulated training run.")
    arguments.add_argument("file", type=Path, help="the file to write, JSON Lines")
    arguments.add_argument("--steps", type=int, default=6, help="training steps (default: 6)")
    arguments.add_argument("--every", type=int, default=1, help="from a training step to the next (default: 1)")
    arguments.add_argument("--prompts", type=int, default=8, help="prompts in a training step (default: 8)")
    arguments.add_argument("--samples", type=int, default=8, help="samples of a prompt (default: 8)")
    arguments.add_argument("--seed", type=int, default=0, help="what is drawn (default: 0)")
    arguments.add_argument("--same-prompts", action="store_true", help="each training step has the same prompts")
    given = arguments.parse_args()
    shape = (given.steps, given.prompts, given.samples, given.seed)
    rows = list(simulate(*shape, every=given.every, is_same=given.same_prompts))
    given.file.write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in rows), encoding="utf-8")
    planted = Counter(flag for one in rows for flag in one["meta"]["planted"])
    print(f"{len(rows)} simulated rollouts written to {given.file}; planted: ", end="")
    print(", ".join(f"{flag} {n}" for flag, n in sorted(planted.items())))
