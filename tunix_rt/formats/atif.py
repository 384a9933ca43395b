"""ATIF, the Agent Trajectory Interchange Format: one document, or a folder with a file for each step.

Source: Harbor's RFC 0001, v1.0–1.7. Later versions added fields and let a message be a list of parts; what is not
known here is kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.reasoning import parse_written
from tunix_rt.formats.row import Draft, Row, written_draft
from tunix_rt.formats.turns import call_text, numbered, parts
from tunix_rt.formats.values import extra_of, lacking, object_of, objects, text

_SOURCES = {"system", "user", "agent"}


class AtifFormat:
    """`schema_version`, `agent`, `steps` of `source`, `message`, `reasoning_content`, `tool_calls`, `observation`."""

    name = "atif"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it says that it is one."""
        if missing := lacking(value, "schema_version", "steps"):
            return missing
        return None if str(value["schema_version"]).upper().startswith("ATIF") else "schema_version is none of ATIF"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row: the first message of the user is the prompt, the agent's last one the answer."""
        value = object_of(row, "steps")
        agent = value.get("agent") or {}
        if not isinstance(agent, dict):
            raise TraceInvalid(Problem("agent", "must be an object"))
        said = [_Said(step, f"steps.{place}") for place, step in enumerate(objects(value["steps"], "steps"))]
        asking = next((one for one in said if one.source == "user"), None)
        last = next((one for one in reversed(said) if one.source == "agent"), None)
        answer = last.close() if last else None
        for one in said[: said.index(asking) if asking else 0]:
            one.set_aside()
        extra = extra_of(value, "steps")
        if rest := [one.rest for one in said if one.rest.keys() - {"step_id"}]:
            extra["steps"] = rest
        yield written_draft(
            row,
            prompt=asking.message if asking else "",
            source=self.name,
            reasoning=numbered(kind for one in said if one is not asking for kind in one.kinds()),
            answer=answer,
            known={"model": text(agent.get("model_name"), "agent.model_name") or None},
            extra=extra,
        )


class _Said:
    """One step of the document: what was said, thought, done and seen in it, and the `rest` of its fields."""

    def __init__(self, step: Mapping[str, Any], path: str) -> None:
        source = step.get("source")
        if not isinstance(source, str) or source not in _SOURCES:
            raise TraceInvalid(Problem(f"{path}.source", "must be one of system, user and agent"))
        self.source = source
        self.message, thought = parts(step.get("message"), f"{path}.message")
        self.reasoning = text(step.get("reasoning_content"), f"{path}.reasoning_content") or thought
        calls = objects(step.get("tool_calls"), f"{path}.tool_calls")
        self._calls = [call_text(call.get("function_name", ""), call.get("arguments")) for call in calls]
        observation = step.get("observation") or {}
        if not isinstance(observation, dict):
            raise TraceInvalid(Problem(f"{path}.observation", "must be an object"))
        results = objects(observation.get("results"), f"{path}.observation.results")
        self._seen = [
            parts(result.get("content"), f"{path}.observation.results.{place}.content")[0]
            for place, result in enumerate(results)
        ]
        self.rest = _rest(step, calls, results)

    def set_aside(self) -> None:
        """Leaves the instructions of the system, which stand before the prompt, to the rest."""
        if self.source == "system" and self.message:
            self.rest["message"], self.message = self.message, ""

    def close(self) -> str | None:
        """The message as the answer; it is no step any more, but for the reasoning that stands in it."""
        if self.reasoning:
            answer, self.message = self.message, ""
            return answer or None
        written = parse_written(self.message)
        self.reasoning, self.message = written.reasoning, ""
        return written.answer or None

    def kinds(self) -> Iterator[tuple[str, str]]:
        """Types and contents of the steps that this one becomes, in the order in which it came about."""
        yield "reasoning", self.reasoning
        yield ("message" if self.source == "agent" else self.source), self.message
        yield from (("tool_call", call) for call in self._calls)
        yield from (("observation", seen) for seen in self._seen)


def _rest(step: Mapping[str, Any], calls: list[Mapping[str, Any]], results: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What is left of a step: its times, its metrics, the ids that link results to calls."""
    rest = extra_of(step, "source", "message", "reasoning_content", "tool_calls", "observation")
    if linked := [left for call in calls if (left := extra_of(call, "function_name", "arguments"))]:
        rest["tool_calls"] = linked
    if linked := [left for result in results if (left := extra_of(result, "content"))]:
        rest["observation"] = {"results": linked}
    return rest
