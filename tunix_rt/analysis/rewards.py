"""Rewards that came with the data, as scores: so they are filtered, sorted and compared like any other."""

import math
from typing import Any

from tunix_rt.analysis.score import Score, Texts


def reward(texts: Texts) -> Score:
    """`meta.reward`: a number or a boolean; a text is a label. `not_applicable` where the source gave none."""
    return _score(texts.meta.get("reward"))


def named_reward(name: str, texts: Texts) -> Score:
    """The reward of this name in `meta.rewards`; `not_applicable` where there is none, or it did not apply (null)."""
    rewards = texts.meta.get("rewards")
    return _score(rewards.get(name) if isinstance(rewards, dict) else None)


def _score(value: Any) -> Score:
    if value is None:
        return Score(reason="not_applicable")
    if isinstance(value, str) and value.strip():
        return Score(label=value)
    try:
        if isinstance(value, int | float) and math.isfinite(float(value)):
            return Score(value=value)
    except OverflowError:
        pass
    return Score(reason="unreadable")
