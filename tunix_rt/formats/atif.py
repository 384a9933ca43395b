"""ATIF, the Agent Trajectory Interchange Format: one document, or a folder with a file for each step.

Source: harbor-framework/harbor, rfcs/0001-trajectory-format.md. v1.0–1.7 are read: later versions added fields and let
a message be a list of parts, and unknown fields are kept. v1.7 is written. google/tunix adds fields of its own
(`tunix/experimental/trajectory/trajectory.py`): `prompt_id`, `group_offset_id`, `total_reward`, `status`, and
`policy_version` of a step, whose ids count from 0.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found, plain_draft
from tunix_rt.formats.rows.meta_values import as_json, number
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.rows.typed_fields import each, field, lacking, maybe, rest_of, typed
from tunix_rt.formats.text.completion import reasoning_of, system_of
from tunix_rt.formats.text.dialogue import found_in_rollout, split_at_beginning
from tunix_rt.formats.text.messages import Part, Turn, parts_of, turn
from tunix_rt.model import TraceRecord

# Beside the steps, in a document of our own writer.
_OWN = {"schema_version", "session_id", "trajectory_id", "agent", "extra"}
_ROLES = {"system": "system", "user": "user", "agent": "assistant"}
# google/tunix: its fields that are mapped, and the words of its status for a rollout that was stopped.
_OF_TUNIX = {
    "prompt_id": "group",
    "group_offset_id": "sample",
    "total_reward": "reward",
    "status": "finish_reason",
}
_COUNT = re.compile(r"[0-9]{1,9}")
# ATIF requires the agent's name and version, which a trace need not have.
_UNKNOWN = "unknown"


class AtifReader:
    """`schema_version`, `agent`, `steps` of `source`, `message`, `reasoning_content`, `tool_calls`, `observation`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where its schema is ATIF."""
        if missing := lacking(value, "schema_version", "steps"):
            return missing
        return None if str(value["schema_version"]).upper().startswith("ATIF") else "schema_version is not one of ATIF"

    def found(self, row: Row) -> Iterator[Found | Draft]:
        """The one trace of the row: all before the agent's first step is the prompt."""
        value = as_json(row.fields)
        agent = maybe(value, "agent", dict) or {}
        turns: list[Turn] = []
        kept = []
        for n, step in enumerate(field(value, "steps", list)):
            here, rest = _read(typed(step, dict, f"steps.{n}"), f"steps.{n}")
            turns += here
            if rest.keys() - {"step_id"}:
                kept.append(rest)
        prompt, rollout = split_at_beginning(turns)
        of_tunix = _of_tunix(value)
        meta = {"model": maybe(agent, "model_name", str, at="agent.") or None} | of_tunix
        taken = [name for name, key in _OF_TUNIX.items() if of_tunix[key] is not None]
        extra = rest_of(value, "steps", *taken) | ({"steps": kept} if kept else {})
        if (own := _own_meta(extra)) is None:
            yield found_in_rollout(prompt, rollout, path="steps", meta=meta, extra=extra, messages={})
            return
        # It comes back as it was: nothing is lifted from its extra.
        found = found_in_rollout(prompt, rollout, path="steps", meta=meta | own, extra={}, messages={})
        own = {key: item for key, item in found.meta.items() if item is not None}
        yield plain_draft(
            row, prompt=found.prompt, steps=found.steps, final_answer=found.answer, meta={"source": "atif"} | own
        )


def atif(record: TraceRecord, _tally: Tally) -> dict[str, Any]:
    """The document of one trace: a step of the system (where meta has one), one of the user, one of the agent.

    The agent's step has the reasoning and, as its message, the answer; a truncated trace has an empty message. The
    agent is called as `meta["source"]`, its model as `meta["model"]`; the complete meta is in `extra`.
    """
    trace = record.payload
    meta = trace.meta or {}
    model, source, reasoning = meta.get("model"), meta.get("source"), reasoning_of(trace)
    agent = {"name": source if isinstance(source, str) and source else _UNKNOWN, "version": _UNKNOWN}
    steps: list[dict[str, Any]] = [
        {"source": "system", "message": system_of(trace)},
        {"source": "user", "message": trace.prompt},
        {"source": "agent", "message": trace.final_answer or ""}
        | ({"reasoning_content": reasoning} if reasoning else {}),
    ]
    return {
        "schema_version": "ATIF-v1.7",
        "session_id": str(record.id),
        "trajectory_id": str(record.id),
        "agent": agent | ({"model_name": model} if isinstance(model, str) else {}),
        "steps": [
            {"step_id": n} | step for n, step in enumerate((step for step in steps if step["message"] is not None), 1)
        ],
        "extra": {"created_at": record.created_at.isoformat(), "trace_version": record.trace_version}
        | ({} if trace.meta is None else {"meta": trace.meta}),
    }


def _of_tunix(value: Mapping[str, Any]) -> dict[str, Any]:
    """What google/tunix says of a trajectory; a version of the policy only where all steps name the same one."""
    group, sample, status = (_name(value.get(name)) for name in ("prompt_id", "group_offset_id", "status"))
    versions = {number(step["policy_version"], "policy_version") for step in value["steps"] if "policy_version" in step}
    return {
        "group": group,
        "sample": int(sample) if isinstance(sample, str) and _COUNT.fullmatch(sample) else sample,
        "reward": number(value.get("total_reward"), "total_reward"),
        "finish_reason": status,
        "policy_version": versions.pop() if len(versions - {None}) == len(versions) == 1 else None,
    }


def _name(item: Any) -> str | int | None:
    """A text or an integer; None for what google/tunix does not write there, which stays as it is."""
    return item if isinstance(item, str | int) and not isinstance(item, bool) else None


def _own_meta(extra: Mapping[str, Any]) -> dict[str, Any] | None:
    """The meta of a trace that this package wrote as ATIF; None where somebody else may have changed the document."""
    own = extra.get("extra")
    if extra.keys() != _OWN or not isinstance(own, dict) or own.keys() != {"created_at", "trace_version", "meta"}:
        return None
    meta = own["meta"]
    # What a reader keeps under `extra` is an object; where a trace has another value there, nothing is unpacked.
    return meta if isinstance(meta, dict) and isinstance(meta.get("extra", {}), dict) else None


def _read(step: Mapping[str, Any], path: str) -> tuple[list[Turn], dict[str, Any]]:
    """The turns of a step, its own and its observations; and what is left of it: times, metrics, ids of calls."""
    at = f"{path}."
    source = step.get("source")
    if not isinstance(source, str) or source not in _ROLES:
        raise TraceInvalid(Problem(f"{path}.source", "must be one of system, user and agent"))
    message = parts_of(step.get("message"), f"{path}.message")
    thought = maybe(step, "reasoning_content", str, at=at)
    calls = each(step, "tool_calls", dict, at=at)
    results = each(maybe(step, "observation", dict, at=at) or {}, "results", dict, at=f"{path}.observation.")
    parts = [Part("reasoning", thought, {})] if thought else []
    parts += [*message, *(Part("call", "", call) for call in calls)]
    turns = [Turn(_ROLES[source], parts, {}, step)] + [
        turn("tool", result.get("content"), f"{path}.observation.results.{n}.content")
        for n, result in enumerate(results)
    ]
    rest = rest_of(step, "source", "message", "reasoning_content", "tool_calls", "observation")
    if any(part.kind != "text" or part.rest for part in message):
        rest["message"] = step["message"]
    if linked := [left for call in calls if (left := rest_of(call, "function_name", "arguments"))]:
        rest["tool_calls"] = linked
    if linked := [left for result in results if (left := rest_of(result, "content"))]:
        rest["observation"] = {"results": linked}
    return turns, rest
