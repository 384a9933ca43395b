"""Trackio: the traces that a run logged, from its SQLite file or from `{project}_traces.parquet`.

Source: `trackio/trace.py` and `trackio/sqlite_storage.py` of gradio-app/trackio, which write both; the keys of
`metadata` are the caller's own, and those are read that trainers use: reward, correct, group_id and the like.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, number
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field, lacking, maybe, rest_of, typed
from tunix_rt.formats.text.dialogue import found_in_rollout, split_at_beginning
from tunix_rt.formats.text.messages import turns_of
from tunix_rt.json_values import parsed

# The text in it is that of the messages, once more.
_COPY = "search_text"


class TrackioReader:
    """`messages` and `metadata`, as values or as JSON texts, and `run_name`, `step`, `key` beside them."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are the columns of Trackio's table of traces."""
        return lacking(value, "messages", "metadata", "run_name", "step", "key")

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: all that came after its prompt."""
        fields = row.fields
        value = as_json({**fields, "messages": _value(fields, "messages"), "metadata": _value(fields, "metadata")})
        messages = typed(value["messages"], list, "messages")
        if not messages:
            raise TraceInvalid(Problem("messages", "has no messages"))
        notes = maybe(value, "metadata", dict) or {}
        prompt, rollout = split_at_beginning(turns_of(messages, "messages"))
        rewards = notes.get("rewards")
        verdict = notes.get("correct")
        meta = {
            "model": _text(notes, "model"),
            "run": maybe(value, "run_name", str),
            "training_step": number(value.get("step"), "step"),
            "policy_version": notes.get("policy_version"),
            "group": notes.get("group_id"),
            "sample": notes.get("sample"),
            "expected_answer": notes.get("expected_answer"),
            "reward": number(notes.get("reward"), "metadata.reward"),
            "rewards": rewards if isinstance(rewards, dict) else None,
            "correct": verdict if isinstance(verdict, bool) else None,
            "finish_reason": _text(notes, "finish_reason"),
        }
        own = {"group_id" if name == "group" else name for name, item in meta.items() if item is not None}
        left = rest_of(notes, *(own - {"run", "training_step"}))
        rest = rest_of(value, "messages", "metadata", "run_name", "step", _COPY)
        extra = {name: item for name, item in rest.items() if item is not None} | ({"metadata": left} if left else {})
        yield found_in_rollout(
            prompt, rollout, path="messages", meta=meta, extra=extra, messages={"messages": messages}
        )


def _value(fields: Mapping[str, Any], name: str) -> Any:
    item = field(fields, name, object)
    if not isinstance(item, str):
        return item
    try:
        return parsed(item)
    except ValueError as error:
        raise TraceInvalid(Problem(name, f"invalid JSON: {error}")) from None


def _text(notes: Mapping[str, Any], name: str) -> str | None:
    item = notes.get(name)
    return item if isinstance(item, str) and item else None
