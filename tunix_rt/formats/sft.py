"""Rows for supervised fine-tuning: a trace each.

Sources: TRL's data set formats "prompt-completion" and "language modeling" (huggingface/trl, docs/source/
dataset_formats.md), with the reasoning beside the content as OpenAI-style servers give it; `tunix_sft` and
`training_example` are those of m-cahill/tunix-rt, but for the sentence that it puts behind the prompts of the latter.
"""

from typing import Any

from tunix_rt.formats.rows.tally import NO_ANSWER, Tally
from tunix_rt.formats.text.completion import Tags, completion, numbered, reasoning_of, system_of, turns
from tunix_rt.model import TraceRecord


def tunix_sft(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`id`, `prompts` (the rendered dialogue, whole), `final_answer`, `metadata`."""
    response = numbered(record.payload, tally)
    prompts = response and turns(record.payload, tally, response)
    if not prompts:
        return None
    return {
        "id": str(record.id),
        "prompts": prompts,
        "final_answer": record.payload.final_answer,
        "metadata": _metadata(record, format="tunix_sft"),
    }


def training_example(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`prompt`, `response` (numbered steps and the answer), `metadata`."""
    response = numbered(record.payload, tally)
    if not response:
        return None
    return {
        "prompt": record.payload.prompt,
        "response": response,
        "metadata": _metadata(record, source_trace_id=str(record.id)),
    }


def messages(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`messages`: system (where meta has one), user, and assistant with `reasoning_content` (where there are steps)."""
    trace = record.payload
    if not trace.final_answer:
        tally.left_out[NO_ANSWER] += 1
        return None
    system, reasoning = system_of(trace), reasoning_of(trace)
    answer = {"role": "assistant"} | ({"reasoning_content": reasoning} if reasoning else {})
    return {
        "messages": [
            *([{"role": "system", "content": system}] if system else []),
            {"role": "user", "content": trace.prompt},
            answer | {"content": trace.final_answer},
        ]
    }


def prompt_completion(record: TraceRecord, tally: Tally, *, tags: Tags) -> dict[str, Any] | None:
    """`prompt` and `completion`, with the reasoning between the tags."""
    text = completion(record.payload, tally, tags=tags)
    return None if text is None else {"prompt": record.payload.prompt, "completion": text}


def _metadata(record: TraceRecord, **facts: str) -> dict[str, Any]:
    """What the store knows of the trace, then its meta; the store's word counts where both have one."""
    facts = {"created_at": record.created_at.isoformat(), "trace_version": record.trace_version} | facts
    return facts | (record.payload.meta or {}) | facts
