"""ATIF, the Agent Trajectory Interchange Format: one document, or a folder with a file for each step.

Source: Harbor's RFC 0001, v1.0–1.7. Later versions added fields and let a message be a list of parts; what is not
known here is kept.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.meta_values import as_json
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.typed_fields import each, field, lacking, maybe, rest_of, typed
from tunix_rt.formats.text.dialogue import rollout_draft, split_at_beginning
from tunix_rt.formats.text.messages import Part, Turn, parts_of, turn

# Beside the steps, in a document of our own writer.
_OWN = {"schema_version", "session_id", "trajectory_id", "agent", "extra"}
_ROLES = {"system": "system", "user": "user", "agent": "assistant"}


class AtifFormat:
    """`schema_version`, `agent`, `steps` of `source`, `message`, `reasoning_content`, `tool_calls`, `observation`."""

    name = "atif"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it says that it is one."""
        if missing := lacking(value, "schema_version", "steps"):
            return missing
        return None if str(value["schema_version"]).upper().startswith("ATIF") else "schema_version is none of ATIF"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row: what stands before the agent's first step is the prompt."""
        value = as_json(row.fields)
        agent = maybe(value, "agent", dict) or {}
        turns: list[Turn] = []
        kept = []
        for place, step in enumerate(field(value, "steps", list)):
            here, rest = _read(typed(step, dict, f"steps.{place}"), f"steps.{place}")
            turns += here
            if rest.keys() - {"step_id"}:
                kept.append(rest)
        prompt, rollout = split_at_beginning(turns)
        known = {"model": maybe(agent, "model_name", str, at="agent.") or None}
        extra = rest_of(value, "steps") | ({"steps": kept} if kept else {})
        if (meta := _own_meta(extra)) is not None:
            known, extra = known | rest_of(meta, "extra"), meta.get("extra") or {}
        yield rollout_draft(
            row,
            name=self.name,
            path="steps",
            prompt=prompt,
            turns=rollout,
            known=known,
            extra=extra,
            whole={},
        )


def _own_meta(extra: Mapping[str, Any]) -> dict[str, Any] | None:
    """The meta of a trace that this package wrote as ATIF; None where anybody else may have had a hand in it."""
    own = extra.get("extra")
    if extra.keys() != _OWN or not isinstance(own, dict) or own.keys() != {"created_at", "trace_version", "meta"}:
        return None
    meta = own["meta"]
    # What a reader keeps under `extra` is an object; where a trace was given another one, nothing is unpacked.
    return meta if isinstance(meta, dict) and isinstance(meta.get("extra", {}), dict) else None


def _read(step: Mapping[str, Any], path: str) -> tuple[list[Turn], dict[str, Any]]:
    """The turns of a step, its own and what was seen then; and what is left of it: times, metrics, ids of calls."""
    at = f"{path}."
    source = step.get("source")
    if not isinstance(source, str) or source not in _ROLES:
        raise TraceInvalid(Problem(f"{path}.source", "must be one of system, user and agent"))
    said = parts_of(step.get("message"), f"{path}.message")
    thought = maybe(step, "reasoning_content", str, at=at)
    calls = each(step, "tool_calls", dict, at=at)
    results = each(maybe(step, "observation", dict, at=at) or {}, "results", dict, at=f"{path}.observation.")
    parts = [Part("reasoning", thought, {})] if thought else []
    parts += [*said, *(Part("call", "", call) for call in calls)]
    turns = [Turn(_ROLES[source], parts, {}, step)] + [
        turn("tool", result.get("content"), f"{path}.observation.results.{place}.content")
        for place, result in enumerate(results)
    ]
    rest = rest_of(step, "source", "message", "reasoning_content", "tool_calls", "observation")
    if any(part.kind != "text" or part.rest for part in said):
        rest["message"] = step["message"]
    if linked := [left for call in calls if (left := rest_of(call, "function_name", "arguments"))]:
        rest["tool_calls"] = linked
    if linked := [left for result in results if (left := rest_of(result, "content"))]:
        rest["observation"] = {"results": linked}
    return turns, rest
