"""Long reasoning cut into steps."""

import re
from itertools import pairwise

from tunix_rt.model import Step

_BREAK = re.compile(r"\n[ \t]*\n\s*")


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
