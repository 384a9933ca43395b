"""A score: what a scorer says of a trace, or why it says nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# Why a trace has no value under a scorer; never 0, and never right.
REASONS = (
    "no_expected",
    "no_answer",
    "unparsed_expected",
    "unparsed_answer",
    "undecided",
    "not_applicable",
    "too_long",
    "timeout",
    "cut",
    "refused",
    "unreadable",
    "error",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a scorer says of a trace: a number, a boolean or a label, or a `reason` (of REASONS) why it says nothing.

    `answer` is what was extracted from the trace, `metadata` the evidence (for a flag: where, how often, in what unit).
    """

    value: float | bool | None = None
    label: str | None = None
    answer: str | None = None
    explanation: str | None = None
    reason: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Texts:
    """What a scorer reads of a trace."""

    prompt: str
    steps: Sequence[str]
    final_answer: str | None
    meta: Mapping[str, Any]


class Scorer(Protocol):
    """Scores traces one by one; `name`, `version` and `params` are the key under which its scores are stored."""

    name: str
    version: str
    params: Mapping[str, Any]

    def score(self, texts: Texts, /) -> Score:
        """The score of one trace."""
