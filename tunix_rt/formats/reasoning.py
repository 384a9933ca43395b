"""What a model wrote, taken apart: reasoning and answer told apart by tags, and long reasoning cut into steps."""

import re
from itertools import pairwise
from typing import NamedTuple

from tunix_rt.model import Step


class Written(NamedTuple):
    """What a model wrote: its `reasoning`, its `answer` (None where it never came to one)."""

    reasoning: str
    answer: str | None

    @property
    def truncated(self) -> bool:
        """Whether it stopped before the answer."""
        return self.answer is None


_TAGS = re.compile(r"\A\s*(?:<think>)?(?P<reasoning>.*?)</think>(?P<answer>.*)\Z", re.DOTALL)
_OPEN = re.compile(r"\A\s*<think>(?P<reasoning>.*)\Z", re.DOTALL)
_BREAK = re.compile(r"\n[ \t]*\n\s*")


def parse_written(text: str) -> Written:
    """Reasoning and answer of a completion, by the tags of its dialect; all is the answer where it has none.

    >>> parse_written("<think>27 × 20 − 27</think>513")
    Written(reasoning='27 × 20 − 27', answer='513')
    """
    if found := _TAGS.match(text):
        return Written(found["reasoning"], found["answer"].strip() or None)
    if found := _OPEN.match(text):
        return Written(found["reasoning"], None)
    return Written("", text)


def split_steps(text: str) -> list[Step]:
    r"""The reasoning as steps; their contents, joined, are the text.

    >>> [step.content for step in split_steps("First.\n\nSecond.")]
    ['First.\n\n', 'Second.']
    """
    if not text:
        return []
    ends = [match.end() for match in _BREAK.finditer(text) if match.end() < len(text)]
    bounds = [0, *ends, len(text)]
    return [Step(i=i, type="step", content=text[start:end]) for i, (start, end) in enumerate(pairwise(bounds))]
