"""GitHub Copilot CLI: the log of a session (`events.jsonl`), an event a line; read as one row with all `events`.

Source: the types of these events as the project publishes them (github/copilot-sdk, `session-events`), and a published
excerpt of a real log of version 1.0; not complete files.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found, SessionReader
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, rest_of
from tunix_rt.formats.text.messages import call_text
from tunix_rt.formats.text.sessions import Said, found_in_session, parts_left, text_in, told

_SURE = (
    "session.start", "user.message", "assistant.message", "assistant.turn_start", "tool.execution_start",
    "tool.execution_complete",
)  # fmt: skip
_SEALS = ("reasoningOpaque", "encryptedContent")
_MODEL = {"session.start": "selectedModel", "session.model_change": "newModel"}
_CONTEXT = {"system.message": "content", "session.compaction_complete": "summaryContent"}
_HAPPENED = {"abort": "reason", "session.error": "message", "session.warning": "message"}
# Groups of events that the program notes for itself, or that repeat others in pieces.
_BOOKKEEPING = (
    "session", "assistant", "tool", "hook", "permission", "mcp", "model", "command", "commands", "pending_messages",
    "capabilities", "subagent", "user_input", "elicitation", "external_tool",
)  # fmt: skip


class CopilotCliReader(SessionReader):
    """`type` (session.start, user.message, assistant.message, tool.execution_complete, …), `data`, `id`, `parentId`."""

    program = "GitHub Copilot CLI"

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session."""
        return value.get("type") in _SURE and isinstance(value.get("data"), dict)

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the session, or one for each turn of the user."""
        events = each(row.fields, "events", dict)
        written = _Written(events)
        said: list[Said] = []
        # What subagents said, by the call that began them.
        beside: dict[str, list[Said]] = {}
        counted: Counter[str] = Counter()
        unknown: list[Mapping[str, Any]] = []
        extra: dict[str, Any] = {}
        for event in events:
            kind, given = str(event.get("type")), event.get("data")
            data = given if isinstance(given, dict) else {}
            if kind == "session.start" and "session" not in extra:
                extra["session"] = data
            here = list(_said(kind, data, written))
            if here:
                agent = data.get("parentToolCallId") or event.get("agentId")
                (beside.setdefault(str(agent), []) if agent else said).extend(here)
            elif kind.partition(".")[0] in _BOOKKEEPING:
                counted[kind] += 1
            elif kind != "user.message":
                unknown.append(rest_of(event, "id", "parentId"))
        if counted:
            extra["left_out"] = dict(counted)
        if unknown:
            extra["other_events"] = unknown
        if beside:
            extra["sidechains"] = [told(chain) for chain in beside.values()]
        yield from found_in_session(said, by_turn=self._is_split, path="events", meta={}, extra=extra)


class _Written:
    """What the messages of the model hold, to know which events repeat it."""

    def __init__(self, events: list[Any]) -> None:
        given = [event.get("data") for event in events if event.get("type") == "assistant.message"]
        messages = [message for message in given if isinstance(message, dict)]
        self.reasoning = {text_in(message.get("reasoningText"))[0].strip() for message in messages}
        self.calls = {str(request.get("toolCallId")) for message in messages for request in _requests(message)}


def _requests(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return each(message, "toolRequests", dict, at="assistant.message.")


def _said(kind: str, data: Mapping[str, Any], written: _Written) -> Iterator[Said]:
    """What an event holds for the trace."""
    if kind in _CONTEXT:
        if text := text_in(data.get(_CONTEXT[kind]))[0]:
            yield Said("context", text)
    elif kind in _MODEL:
        if isinstance(data.get(_MODEL[kind]), str):
            yield Said("model", data[_MODEL[kind]])
    elif kind in _HAPPENED:
        why = text_in(data.get(_HAPPENED[kind]))[0]
        yield Said("note", f"[{kind.rpartition('.')[2]}{': ' if why else ''}{why}]")
    elif kind == "user.message":
        yield from _of_user(data)
    else:
        yield from _of_model(kind, data, written)


def _of_user(data: Mapping[str, Any]) -> Iterator[Said]:
    text, others = text_in(data.get("content"))
    # What the program adds in the user's name has a source, such as a skill.
    is_own = data.get("source") in (None, "", "user")
    if text or others:
        yield Said("asked" if is_own else "context", text, parts_left([*others, *_attached(data)]))


def _attached(data: Mapping[str, Any]) -> list[Any]:
    attachments = data.get("attachments")
    return attachments if isinstance(attachments, list) else []


def _of_model(kind: str, data: Mapping[str, Any], written: _Written) -> Iterator[Said]:
    """What the model wrote or called, and what it got."""
    if kind == "assistant.message":
        yield from _of_message(data)
    elif kind == "assistant.reasoning":
        text = text_in(data.get("content"))[0]
        if text.strip() not in written.reasoning:
            yield Said("reasoning", text)
    elif kind == "tool.execution_start":
        if str(data.get("toolCallId")) not in written.calls:
            yield Said("call", call_text({"name": data.get("toolName"), "arguments": data.get("arguments")}))
    elif kind == "tool.execution_complete":
        yield _result(data)


def _of_message(data: Mapping[str, Any]) -> Iterator[Said]:
    if isinstance(data.get("model"), str):
        yield Said("model", data["model"])
    seals = {name: data[name] for name in _SEALS if data.get(name)}
    reasoning = text_in(data.get("reasoningText"))[0]
    if reasoning.strip() or seals:
        yield Said("reasoning" if reasoning.strip() else "redacted", reasoning, seals)
    text, others = text_in(data.get("content"))
    if text or others:
        yield Said("text", text, parts_left(others))
    for request in _requests(data):
        yield Said("call", call_text(request))


def _result(data: Mapping[str, Any]) -> Said:
    """The result of a tool; the longer text for the screen (`detailedContent`) is left out."""
    result, error = data.get("result"), data.get("error")
    given = result if result is not None else data.get("output", error)
    if isinstance(given, dict):
        given = next((given[name] for name in ("content", "message") if name in given), given)
    text, others = text_in(given)
    return Said("result", text, parts_left(others))
