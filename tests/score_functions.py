"""Scorers that the tests run in this process and in worker processes, which find them by their names."""

import time

import tunix_rt as rt


def of_every_kind(trace):
    """Whatever a user's function may return, by the prompt."""
    what = trace.payload.prompt
    if what == "raises":
        raise ValueError(f"of {trace.id}")
    if what == "prints":
        print("between the results")  # noqa: T201
    if what == "exits":
        raise SystemExit(2)
    return {
        "number": 0.25,
        "prints": True,
        "label": "good",
        "nothing": None,
        "nan": float("nan"),
        "wrong type": [1],
        "evidence": rt.Score(value=1, answer="4\ud800\0", explanation="é" * 3_000, metadata={"at": [1, "\ud800"]}),
        "reason": rt.Score(reason="refused"),
    }[what]


def reward(prompts, completions, level, **columns):
    """A reward function of TRL, which fails for a batch that has a bad row."""
    if "raises" in prompts:
        raise ValueError("a bad row")
    assert len(columns["expected_answer"]) == len(completions)
    return [None if one is None else one * len(text) for one, text in zip(level, completions, strict=True)]


def hangs(prompts, completions):
    """Hangs on one row, and is called with the others, too."""
    if "number" in prompts:
        time.sleep(1_000)
    return [len(text) for text in completions]
