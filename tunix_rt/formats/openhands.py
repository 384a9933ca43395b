"""OpenHands: the history of a conversation, as rows with `history` (or `trajectory`), or an event a row or a line.

Sources: excerpts of All-Hands-AI/OpenHands (frontend/src/types/core) for events of `action` and `observation`; only the
documentation of OpenHands/software-agent-sdk for those with `kind`, such as ActionEvent.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found, SessionReader
from tunix_rt.formats.rows.meta_values import as_json, as_line
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, field, first_text, maybe, rest_of, typed
from tunix_rt.formats.text.messages import call_text
from tunix_rt.formats.text.sessions import Said, found_in_session, parts_left, text_in, without_data

_PLACES = ("events", "history", "trajectory")
_BOOKKEEPING = {
    "agent_state_changed", "change_agent_state", "null", "recall", "condensation", "condensation_request",
    "ConversationStateUpdateEvent", "CondensationRequest", "PauseEvent", "TokenEvent", "LLMCompletionLogEvent",
}  # fmt: skip
_FINISHED = ("final_thought", "message", "thought")


class OpenHandsReader(SessionReader):
    """`action` with `args`, `observation` with `content`, `source`; or `kind` (MessageEvent, ActionEvent, …)."""

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a history."""
        kind = value.get("kind")
        if isinstance(kind, str) and "source" in value:
            return kind.endswith("Event") and not {"llm_message", "tool_call", "system_prompt", "tool_name"}.isdisjoint(
                value
            )
        if not isinstance(value.get("source"), str) and "cause" not in value:
            return False
        return (isinstance(value.get("action"), str) and isinstance(value.get("args"), dict)) or (
            isinstance(value.get("observation"), str) and "content" in value and "extras" in value
        )

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the row has the events of a history."""
        place = next((name for name in _PLACES if isinstance(value.get(name), list)), None)
        if place is None:
            return "no field history"
        for event in value[place]:
            for one in event if isinstance(event, list) else [event]:
                if isinstance(one, dict) and self.is_event(one):
                    return None
        return f"{place} without events of OpenHands"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the history, or one for each turn of the user."""
        value = as_json(row.fields)
        place = next((name for name in _PLACES if isinstance(value.get(name), list)), "history")
        said: list[Said] = []
        counted: Counter[str] = Counter()
        unknown: list[Any] = []
        for n, event in enumerate(field(value, place, list)):
            # In older files a pair of an action and its observation.
            for one in event if isinstance(event, list) else [event]:
                here = _said(typed(one, dict, f"{place}.{n}"), f"{place}.{n}.")
                kind = str(one.get("kind") or one.get("action") or one.get("observation"))
                if here is not None:
                    said += here
                elif kind in _BOOKKEEPING:
                    counted[kind] += 1
                else:
                    unknown.append(without_data(one))
        extra = rest_of(value, place)
        if not any(one.kind == "asked" for one in said) and isinstance(extra.get("instruction"), str):
            said.insert(0, Said("asked", extra.pop("instruction")))
        if counted:
            extra["left_out"] = dict(counted)
        if unknown:
            extra["other_events"] = unknown
        yield from found_in_session(said, by_turn=self._is_split, path=place, meta=_meta(value), extra=extra)


def _meta(value: Mapping[str, Any]) -> dict[str, Any]:
    """The model and the verdict of an evaluation."""
    meta: dict[str, Any] = {}
    config = value.get("metadata")
    config = config.get("llm_config") if isinstance(config, dict) else None
    if isinstance(config, dict) and isinstance(config.get("model"), str):
        meta["model"] = config["model"]
    result = value.get("test_result")
    for report in (value.get("report"), result.get("report") if isinstance(result, dict) else None):
        if isinstance(report, dict) and isinstance(report.get("resolved"), bool):
            meta["correct"] = report["resolved"]
    return meta


def _said(event: Mapping[str, Any], at: str) -> list[Said] | None:
    """What an event holds for the trace; None where it is of another kind."""
    if isinstance(event.get("kind"), str):
        return _of_kind(event, event["kind"], at)
    observation = event.get("observation")
    if isinstance(observation, str):
        if observation in _BOOKKEEPING or (observation == "finish" and not event.get("content")):
            return None
        text, others = text_in(event.get("content"))
        extras = event.get("extras")
        rest = {"extras": without_data(extras)} if isinstance(extras, dict) and extras else {}
        return [Said("result", text, rest | parts_left(others))]
    action = event.get("action")
    return None if not isinstance(action, str) or action in _BOOKKEEPING else _of_action(event, action, at)


def _of_action(event: Mapping[str, Any], action: str, at: str) -> list[Said]:
    args = maybe(event, "args", dict, at=at) or {}
    if action == "message":
        text = text_in(args.get("content") if "content" in args else event.get("content", event.get("message")))[0]
        return _message(event.get("source"), text, args)
    if action == "system":
        return [Said("context", text_in(args.get("content"))[0])]
    said = list(_of_model(event.get("tool_call_metadata")))
    if action == "finish":
        named, final = first_text(args, *_FINISHED)
        text = final or ""
        if named != "thought" and (thought := text_in(args.get("thought"))[0]) and thought != text:
            said.append(Said("reasoning", thought))
        outputs = args.get("outputs")
        return [*said, Said("text", text or (as_line(outputs) if outputs else "") or text_in(event.get("message"))[0])]
    said.append(Said("reasoning", text_in(args.get("thought"))[0]))
    if action != "think":
        given = {name: item for name, item in args.items() if name != "thought" and item not in (None, "", [], {})}
        said.append(Said("call", call_text({"name": action, "arguments": given})))
    return said


def _message(source: Any, text: str, args: Mapping[str, Any]) -> list[Said]:
    pictures = args.get("image_urls")
    rest = {"image_urls": without_data(pictures)} if pictures else {}
    if source == "user":
        return [Said("asked", text, rest)]
    thought = text_in(args.get("thought"))[0]
    return [*([Said("reasoning", thought)] if thought and thought != text else []), Said("text", text, rest)]


def _of_model(metadata: Any) -> Iterator[Said]:
    """The model and its reasoning, from its response, which repeats what the event says."""
    response = metadata.get("model_response") if isinstance(metadata, dict) else None
    if not isinstance(response, dict):
        return
    if isinstance(response.get("model"), str):
        yield Said("model", response["model"])
    choices = response.get("choices")
    for choice in choices[:1] if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict) and isinstance(message.get("reasoning_content"), str):
            yield Said("reasoning", message["reasoning_content"])


def _of_kind(event: Mapping[str, Any], kind: str, at: str) -> list[Said] | None:
    """The same for an event of the newer shape."""
    if kind == "SystemPromptEvent":
        return [Said("context", text_in(event.get("system_prompt"))[0])]
    if kind == "MessageEvent":
        message = maybe(event, "llm_message", dict, at=at) or {}
        text, others = text_in(message.get("content"))
        said: Any = {"user": "asked", "agent": "text"}.get(str(event.get("source")), "context")
        return [*_thoughts(message), Said(said, text, parts_left(others))]
    if kind == "ActionEvent":
        return _of_action_event(event, at)
    if kind == "ObservationEvent":
        return [] if event.get("tool_name") == "finish" else [_observed(event.get("observation"))]
    for name in ("error", "rejection_reason", "summary"):
        if isinstance(event.get(name), str) and kind not in _BOOKKEEPING:
            return [Said("context" if name == "summary" else "result", event[name])]
    return None


def _of_action_event(event: Mapping[str, Any], at: str) -> list[Said]:
    # What the model says beside a call is its reasoning, as in the older shape.
    thoughts = [*_thoughts(event), Said("reasoning", text_in(event.get("thought"))[0])]
    action, call = maybe(event, "action", dict, at=at) or {}, event.get("tool_call")
    if event.get("tool_name") == "finish" or action.get("kind") == "FinishAction":
        return [*thoughts, Said("text", text_in(action.get("message"))[0])]
    if isinstance(call, dict):
        return [*thoughts, Said("call", call_text(call))]
    name = event.get("tool_name") or action.get("kind") or "tool"
    return [*thoughts, Said("call", call_text({"name": name, "arguments": rest_of(action, "kind")}))]


def _thoughts(fields: Mapping[str, Any]) -> list[Said]:
    thoughts = [
        Said("reasoning", block["thinking"])
        for block in each({"blocks": fields.get("thinking_blocks")}, "blocks", dict)
        if isinstance(block.get("thinking"), str)
    ]
    reasoning = text_in(fields.get("reasoning_content"))[0]
    return thoughts or ([Said("reasoning", reasoning)] if reasoning else [])


def _observed(observation: Any) -> Said:
    """The output of a tool: its content, or in the first versions `output`; other fields are kept beside it."""
    if not isinstance(observation, dict):
        return Said("result", text_in(observation)[0])
    named = next((name for name in ("content", "output", "text") if observation.get(name)), "")
    text, others = text_in(observation.get(named)) if named else (as_line(rest_of(observation, "kind")), [])
    rest = without_data(rest_of(observation, named, "kind")) if named else {}
    return Said("result", text, rest | parts_left(others))
