"""google/tunix: the log of trajectories that an agentic learner of version 0.1 writes, `trajectory_log_<time>.csv`.

A cell holds what Python writes for a value, so lists have `nan` and `inf` in them; the columns of tokens are left out.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.meta_values import as_json, is_for_tokens, literal, number
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.typed_fields import lacking, maybe, rest_of
from tunix_rt.formats.text.dialogue import rollout_draft, split_at_beginning
from tunix_rt.formats.text.messages import turns_of

_NOTHING = {"", "nan", "None"}
_LITERAL = re.compile(r"\s*(?:[\[({]|[-+]?\d[\d.eE+-]*\s*\Z|True\s*\Z|False\s*\Z)")


class TunixTrajectoriesFormat:
    """`conversation_text`, `status`, `trajectory_reward`, `policy_version`, `original_input`, `group_id`."""

    name = "tunix_trajectories"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are a conversation, its reward and its status."""
        return lacking(value, "conversation_text", "trajectory_reward", "status")

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row. `policy_version` counts the steps that the weights had been trained for."""
        cells = {name: _value(name, cell) for name, cell in row.fields.items()}
        value = as_json({name: item for name, item in cells.items() if item is not None})
        turns = turns_of(value.get("conversation_text"), "conversation_text")
        if not turns:
            raise TraceInvalid(Problem("conversation_text", "holds no messages"))
        prompt, said = split_at_beginning(turns)
        task = value.get("original_input")
        known = {
            "expected_answer": task.get("answer") if isinstance(task, dict) else None,
            "reward": number(value.get("trajectory_reward"), "trajectory_reward"),
            "training_step": number(value.get("policy_version"), "policy_version"),
            "finish_reason": maybe(value, "status", str),
            "group": value.get("group_id"),
        }
        mapped = ("conversation_text", "trajectory_reward", "policy_version", "status", "group_id")
        yield rollout_draft(
            row,
            name=self.name,
            path="conversation_text",
            prompt=prompt,
            turns=said,
            known=known,
            extra=rest_of(value, *mapped),
            whole={"conversation_text": value["conversation_text"]},
        )


def _value(name: str, cell: Any) -> Any:
    """What a cell means; the text itself where it is no literal."""
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
