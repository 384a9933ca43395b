"""Pure functions over the texts of traces: answers, truncation, loops, other flags, statistics."""

from tunix_rt.analysis.score import REASONS, Score, Scorer, Texts

__all__ = ["REASONS", "Score", "Scorer", "Texts"]
