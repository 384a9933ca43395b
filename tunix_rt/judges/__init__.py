"""Judges: language models as scorers, behind any server that speaks OpenAI's chat completions."""

from tunix_rt.judges.judge import Judge

__all__ = ["Judge"]
