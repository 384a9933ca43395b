"""SWE-agent and mini-swe-agent: the trajectory of an agent that solves an issue, a document in a file `.traj`.

Sources: only the documentation, of SWE-agent (swe-agent.com, Output files) and of mini-swe-agent
(docs/usage/output_files.md, formats mini-swe-agent-1 and 1.1).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, as_line
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, field, first_text, lacking, maybe, rest_of
from tunix_rt.formats.text.messages import call_text
from tunix_rt.formats.text.response_items import said_in_item
from tunix_rt.formats.text.sessions import Said, found_in_session, parts_left, text_in
from tunix_rt.json_values import parsed

# A step's own text, and what the model was sent for it, are in its other fields and in the steps before.
_REPEATED = ("response", "query", "messages")


class SweAgentReader:
    """`trajectory` of `thought`, `action`, `observation`, `response`; `history` of messages; `info`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it has a trajectory of actions and observations."""
        if missing := lacking(value, "trajectory"):
            return missing
        steps = value["trajectory"] if isinstance(value["trajectory"], list) else []
        if any(isinstance(step, dict) and {"action", "observation"} <= step.keys() for step in steps):
            return None
        return "trajectory without action and observation"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace: the issue is its prompt; thoughts, actions, observations its steps; the patch its answer."""
        value = as_json(row.fields)
        said = _asked(value)
        for n, step in enumerate(each(value, "trajectory", dict)):
            said += _step(step, f"trajectory.{n}.")
        info = maybe(value, "info", dict) or {}
        extra = rest_of(value, "trajectory", "history", "info")
        yield _submitted(said, info, extra, path="trajectory", model=_model(value))


class MiniSweAgentReader:
    """`messages` of a chat, `info` with `exit_status` and `submission`, `trajectory_format`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it has messages, and says that it is of mini-swe-agent."""
        if missing := lacking(value, "messages", "info"):
            return missing
        name, info = value.get("trajectory_format"), value["info"]
        if isinstance(name, str) and name.startswith("mini-swe-agent"):
            return None
        if isinstance(info, dict) and {"mini_version", "exit_status"} & info.keys():
            return None
        return "info without exit_status"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace: all before the first message of the model is the prompt, the submission the answer."""
        value = as_json(row.fields)
        said: list[Said] = []
        has_acted = False
        for n, message in enumerate(each(value, "messages", dict)):
            here = _message(message, f"messages.{n}.", has_acted=has_acted)
            has_acted = has_acted or any(one.kind in ("text", "call", "reasoning") for one in here)
            said += here
        info = maybe(value, "info", dict) or {}
        config = info.get("config")
        model = config.get("model") if isinstance(config, dict) else None
        name = model.get("model_name") if isinstance(model, dict) else None
        extra = rest_of(value, "messages", "info")
        yield _submitted(said, info, extra, path="messages", model=name if isinstance(name, str) else None)


def _submitted(
    said: list[Said], info: Mapping[str, Any], extra: dict[str, Any], *, path: str, model: str | None
) -> Found:
    """The trace of what was said, with the submission as its answer; without one the agent did not finish."""
    named, submission = first_text(info, "submission")
    (found,) = found_in_session(said, by_turn=False, path=path, meta={"model": model}, extra=extra)
    status = info.get("exit_status")
    meta = {**found.meta, "finish_reason": status if isinstance(status, str) else None}
    if left := rest_of(info, *(["submission"] if named else []), "exit_status"):
        extra["info"] = left
    if submission is None:
        return found._replace(meta=meta, extra={**extra, **found.extra})
    steps = list(found.steps)
    if found.answer and found.answer.strip() != submission.strip():
        steps.append({"i": len(steps), "type": "message", "content": found.answer})
    return found._replace(steps=steps, answer=submission, meta=meta, extra={**extra, **found.extra})


def _asked(value: Mapping[str, Any]) -> list[Said]:
    """What the model was sent before its first step; demonstrations are not part of it."""
    history: Sequence[Any] = maybe(value, "history", list) or []
    steps = field(value, "trajectory", list)
    if not history and steps and isinstance(steps[0], dict):
        query = steps[0].get("query")
        history = query if isinstance(query, list) else []
    said: list[Said] = []
    for message in history:
        if not isinstance(message, dict) or message.get("is_demo"):
            continue
        if message.get("role") == "assistant":
            break
        text, others = text_in(message.get("content"))
        said.append(Said("context" if message.get("role") == "system" else "asked", text, parts_left(others)))
    return said


def _step(step: Mapping[str, Any], at: str) -> Iterator[Said]:
    thought, action = text_in(step.get("thought"))[0], text_in(step.get("action"))[0]
    for block in each(step, "thinking_blocks", dict, at=at):
        if isinstance(block.get("thinking"), str):
            yield Said("reasoning", block["thinking"])
    left = rest_of(step, *_REPEATED, "thought", "action", "observation", "thinking_blocks")
    rest = {name: item for name, item in left.items() if item not in (None, {}, [])}
    if not thought and not action:
        # The parser refused what the model wrote.
        thought = text_in(step.get("response"))[0]
    yield Said("reasoning", thought)
    yield Said("call", action, rest)
    observation, others = text_in(step.get("observation"))
    yield Said("result", observation, parts_left(others))


def _model(value: Mapping[str, Any]) -> str | None:
    """The model's name, from the configuration, which is there as JSON text."""
    config = value.get("replay_config")
    if isinstance(config, str):
        try:
            config = parsed(config)
        except (ValueError, RecursionError):
            return None
    for name in ("agent", "model", "name"):
        config = config.get(name) if isinstance(config, dict) else None
    return config if isinstance(config, str) and config else None


def _message(message: Mapping[str, Any], at: str, *, has_acted: bool) -> list[Said]:
    """What a message holds: one of a chat, an output of the Responses API, or the end of the run."""
    role = message.get("role")
    if role is None and isinstance(message.get("output"), list):
        return [one for item in each(message, "output", dict, at=at) for one in said_in_item(item)]
    if role is None and isinstance(message.get("type"), str):
        return list(said_in_item(message))
    text, others = text_in(message.get("content"))
    rest = parts_left(others)
    if role != "assistant":
        if role == "exit":
            # What was submitted, which info has as well.
            return [Said("text", text, rest)] if text else []
        kind: Any = "context" if role == "system" else "result" if has_acted else "asked"
        return [Said(kind, text, rest)]
    said = [
        Said("reasoning", thought if isinstance(thought, str) else as_line(thought))
        for name in ("reasoning_content", "reasoning")
        if (thought := message.get(name))
    ][:1]
    said.append(Said("text", text, rest))
    return said + [Said("call", call_text(call)) for call in each(message, "tool_calls", dict, at=at)]
