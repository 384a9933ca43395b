"""Pure functions over the texts of traces: answers, truncation, loops, other flags, statistics."""

from tunix_rt.analysis.built_in import FLAGS, SCORERS, built_in
from tunix_rt.analysis.score import REASONS, Score, Scorer, Texts

__all__ = ["FLAGS", "REASONS", "SCORERS", "Score", "Scorer", "Texts", "built_in"]
