"""google/tunix: the log of its agentic learner in; the rows that its SFT and RL examples train on out.

Sources: the log of trajectories that version 0.1 writes, `trajectory_log_<time>.csv`, whose cells are Python literals,
with `nan` and `inf` in lists (the columns of tokens are left out); the data sets of the GRPO examples, with `prompts`,
`question` and `answer`; `tunix_sft` and `training_example` are those of m-cahill/tunix-rt, but for the sentence that it
puts behind the prompts of the latter.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, is_for_tokens, literal, number
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.rows.typed_fields import lacking, maybe, rest_of
from tunix_rt.formats.text.completion import numbered, turns
from tunix_rt.formats.text.dialogue import found_in_rollout, split_at_beginning
from tunix_rt.formats.text.messages import turns_of
from tunix_rt.model import Trace, TraceRecord

RL_COLUMNS = pa.schema([("prompts", pa.string()), ("question", pa.string()), ("answer", pa.string())])
_NOTHING = {"", "nan", "None"}
_LITERAL = re.compile(r"\s*(?:[\[({]|[-+]?\d[\d.eE+-]*\s*\Z|True\s*\Z|False\s*\Z)")


class TunixTrajectoriesReader:
    """`conversation_text`, `status`, `trajectory_reward`, `policy_version`, `original_input`, `group_id`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are a conversation, its reward and its status."""
        return lacking(value, "conversation_text", "trajectory_reward", "status")

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row. `policy_version` counts the steps that the weights had been trained for."""
        cells = {name: _value(name, cell) for name, cell in row.fields.items()}
        value = as_json({name: item for name, item in cells.items() if item is not None})
        messages = turns_of(value.get("conversation_text"), "conversation_text")
        if not messages:
            raise TraceInvalid(Problem("conversation_text", "has no messages"))
        prompt, rollout = split_at_beginning(messages)
        task = value.get("original_input")
        meta = {
            "expected_answer": task.get("answer") if isinstance(task, dict) else None,
            "reward": number(value.get("trajectory_reward"), "trajectory_reward"),
            "training_step": number(value.get("policy_version"), "policy_version"),
            "finish_reason": maybe(value, "status", str),
            "group": value.get("group_id"),
        }
        used = ("conversation_text", "trajectory_reward", "policy_version", "status", "group_id")
        yield found_in_rollout(
            prompt,
            rollout,
            path="conversation_text",
            meta=meta,
            extra=rest_of(value, *used),
            messages={"conversation_text": value["conversation_text"]},
        )


def tunix_sft(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`id`, `prompts` (the complete dialogue, rendered), `final_answer`, `metadata`."""
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


def tunix_rl(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`prompts` (rendered, up to where the model begins), `question`, and `answer`."""
    answer = _expected_answer(record.payload, tally)
    prompts = answer and turns(record.payload, tally)
    return {"prompts": prompts, "question": record.payload.prompt, "answer": answer} if prompts else None


def _value(name: str, cell: Any) -> Any:
    """The value of a cell; the text itself where it is not a literal."""
    if not isinstance(cell, str) or name == "status":
        return cell
    if cell.strip() in _NOTHING or is_for_tokens(name):
        return None
    if name == "conversation_text":
        return literal(cell, name)
    if not _LITERAL.match(cell):
        return cell
    try:
        return literal(cell, name)
    except TraceInvalid:
        return cell


def _metadata(record: TraceRecord, **facts: str) -> dict[str, Any]:
    """What the store knows of the trace, then its meta; where both have a key, the store's value counts."""
    facts = {"created_at": record.created_at.isoformat(), "trace_version": record.trace_version} | facts
    return facts | (record.payload.meta or {}) | facts


def _expected_answer(trace: Trace, tally: Tally) -> str | None:
    """The expected answer, else the final answer, if it is not known to be wrong."""
    meta = trace.meta or {}
    expected = meta.get("expected_answer")
    if expected is not None and expected != "":
        if isinstance(expected, str | int | float) and not isinstance(expected, bool):
            return str(expected)
        tally.left_out["an expected answer that is neither text nor number"] += 1
    elif not trace.final_answer:
        tally.left_out["neither an expected nor a final answer"] += 1
    elif meta.get("correct") is False:
        tally.left_out["no expected answer, and a wrong final answer"] += 1
    else:
        return trace.final_answer
    return None
