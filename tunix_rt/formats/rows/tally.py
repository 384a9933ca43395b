"""What became of the traces of an export."""

from collections import Counter

NO_ANSWER = "no final answer"
NO_PARTNER = "no partner in its group"


class Tally:
    """How many traces were read and how many rows they made; why the others are `left_out`, and what was `shortened`.

    The last two count traces by reason; `scores` is how many were written with the rows, `scores_left_out` how many of
    those traces were not, though they were wanted.
    """

    def __init__(self) -> None:
        self.traces = 0
        self.rows = 0
        self.scores = 0
        self.scores_left_out = 0
        self.left_out: Counter[str] = Counter()
        self.shortened: Counter[str] = Counter()
