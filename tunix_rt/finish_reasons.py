"""Which words for why a model stopped mean that it was cut short."""

from typing import Any

# Why a model stopped, where it had not come to its end: out of tokens, steps or time, or stopped by the server.
# OpenAI (also Responses), vLLM and SGLang, Anthropic and Bedrock, Gemini, Mistral, Cohere, DeepSeek; google/tunix.
_CUT_SHORT = frozenset({
    "length", "max_output_tokens", "incomplete",
    "repetition", "abort",
    "max_tokens", "model_context_window_exceeded",
    "model_length", "insufficient_system_resource",
    "max_context_limit_reached", "max_steps_reached", "timeout", "env_timeout",
})  # fmt: skip


def is_cut_short(finish_reason: Any) -> bool:
    """Whether the word of an interface for why the model stopped means that it was cut short.

    >>> [is_cut_short(word) for word in ("stop", "MAX_TOKENS", "FinishReason.MAX_TOKENS", None)]
    [False, True, True, False]
    """
    return isinstance(finish_reason, str) and finish_reason.rpartition(".")[2].strip().lower() in _CUT_SHORT
