"""What a model wrote: one text with think tags, or reasoning and answer apart."""

from collections.abc import Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.text.chat_templates import reply_in
from tunix_rt.formats.text.think_tags import parse_written, split_steps


def found_in_text(prompt: str, written: str, *, meta: Mapping[str, Any], extra: Mapping[str, Any]) -> Found:
    """The trace in a text, whose tags tell the reasoning from the answer; a tag that is never closed truncates it.

    A prompt that the text repeats, in the marks of a chat template, is left out.
    """
    reasoning, answer, is_cut = parse_written(reply_in(written, prompt))
    if is_cut:
        meta = {**meta, "truncated": True}
    return found_in_parts(prompt, reasoning, answer, meta=meta, extra=extra)


def found_in_parts(
    prompt: str, reasoning: str, answer: str | None, *, meta: Mapping[str, Any], extra: Mapping[str, Any]
) -> Found:
    """The trace of reasoning and answer, which is None where the model never came to it."""
    return Found(prompt, split_steps(reasoning), answer or None, meta, extra)
