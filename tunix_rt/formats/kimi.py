"""Kimi CLI and Kimi Code: the log of a session, a message or an event a line; read as one row with all `events`.

Source: the programs that write these files, as published (MoonshotAI/kimi-cli, `soul/context.py`; MoonshotAI/kimi-code,
`agent/records`), and the small logs among the tests of the latter.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found, SessionReader
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each
from tunix_rt.formats.text.messages import call_text
from tunix_rt.formats.text.sessions import Said, found_in_session, parts_left, text_in, told

_RECORDS = ("_system_prompt", "_checkpoint", "_usage")
# How a text begins that the program wrote in the user's name.
_CONTEXT = ("<system>", "<system-reminder>", "<notification", "<task-notification")
# Groups of events that the program notes for itself, or that repeat others.
_BOOKKEEPING = (
    "metadata", "usage", "tools", "permission", "plan_mode", "swarm_mode", "full_compaction", "micro_compaction",
    "llm", "mcp", "goal", "config", "profile", "turn", "context", "forked",
)  # fmt: skip


class KimiCliReader(SessionReader):
    """Kimi CLI's `context.jsonl`: messages of `role`, `content`, `tool_calls`; records of roles such as `_usage`."""

    program = "Kimi CLI"

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session, or of its `wire.jsonl`."""
        return value.get("role") in _RECORDS or _is_wire(value)

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the session, or one for each turn of the user."""
        said: list[Said] = []
        counted: Counter[str] = Counter()
        events = each(row.fields, "events", dict)
        if events and all(_is_wire(event) or event.get("type") == "metadata" for event in events):
            reason = "is what Kimi CLI showed on the screen; its session is in context.jsonl, in the same folder"
            raise TraceInvalid(Problem(None, reason))
        for event in events:
            if event.get("role") == "_system_prompt":
                said.append(Said("context", text_in(event.get("content"))[0]))
            elif event.get("role") in _RECORDS:
                counted[str(event["role"])] += 1
            else:
                said += _of_message(event)
        extra = {"left_out": dict(counted)} if counted else {}
        yield from found_in_session(said, by_turn=self._is_split, path="events", meta={}, extra=extra)


class KimiCodeReader(SessionReader):
    """Kimi Code's `wire.jsonl`: `type` (turn.prompt, context.append_message, context.append_loop_event, …), `time`."""

    program = "Kimi Code"

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session."""
        kind = value.get("type")
        return (kind == "context.append_message" and isinstance(value.get("message"), dict)) or (
            kind == "context.append_loop_event" and isinstance(value.get("event"), dict)
        )

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the session, or one for each turn of the user."""
        said: list[Said] = []
        abandoned: list[Said] = []
        counted: Counter[str] = Counter()
        unknown: list[Mapping[str, Any]] = []
        extra: dict[str, Any] = {}
        events = each(row.fields, "events", dict)
        written = {text_in(event["message"].get("content"))[0] for event in events if _is_message(event)}
        for event in events:
            kind = str(event.get("type"))
            if kind == "context.undo":
                cut = _last_asked(said, event.get("count"))
                abandoned += said[cut:]
                del said[cut:]
            elif here := list(_said(event, written)):
                said += here
            elif kind.partition(".")[0] in _BOOKKEEPING:
                counted[kind] += 1
            else:
                unknown.append(event)
            if isinstance(event.get("cwd"), str):
                extra.setdefault("cwd", event["cwd"])
        if counted:
            extra["left_out"] = dict(counted)
        if unknown:
            extra["other_events"] = unknown
        if abandoned:
            extra["abandoned"] = told(abandoned)
        yield from found_in_session(said, by_turn=self._is_split, path="events", meta={}, extra=extra)


def _is_wire(value: Mapping[str, Any]) -> bool:
    message = value.get("message")
    return "timestamp" in value and isinstance(message, dict) and message.keys() == {"type", "payload"}


def _is_message(event: Mapping[str, Any]) -> bool:
    return event.get("type") == "context.append_message" and isinstance(event.get("message"), dict)


def _last_asked(said: list[Said], count: Any) -> int:
    """The index of the question with which the last `count` turns begin."""
    asked = [n for n, one in enumerate(said) if one.kind == "asked"]
    n_turns = count if isinstance(count, int) and count > 0 else 1
    return asked[-min(n_turns, len(asked))] if asked else len(said)


def _said(event: Mapping[str, Any], written: set[str]) -> Iterator[Said]:
    """What an event holds for the trace."""
    kind = event.get("type")
    inner = event.get("event")
    if kind in ("config.update", "profile.bind"):
        if isinstance(event.get("modelAlias"), str):
            yield Said("model", event["modelAlias"])
        if prompt := text_in(event.get("systemPrompt"))[0]:
            yield Said("context", prompt)
    elif kind == "usage.record" and isinstance(event.get("model"), str):
        yield Said("model", event["model"])
    elif kind == "turn.prompt":
        text, others = text_in(event.get("input"))
        if text not in written:
            yield Said("asked" if _is_users(event) else "context", text, parts_left(others))
    elif kind == "context.apply_compaction":
        yield Said("context", text_in(event.get("summary"))[0])
    elif _is_message(event):
        message = event["message"]
        yield from _of_message({**message, "tool_calls": message.get("toolCalls")}, is_users=_is_users(message))
    elif kind == "context.append_loop_event" and isinstance(inner, dict):
        yield from _of_loop(inner)


def _is_users(value: Mapping[str, Any]) -> bool:
    origin = value.get("origin")
    return not isinstance(origin, dict) or origin.get("kind") in (None, "user")


def _of_loop(event: Mapping[str, Any]) -> Iterator[Said]:
    kind = event.get("type")
    if kind == "content.part":
        yield from _of_part(event.get("part"))
    elif kind == "tool.call":
        yield Said("call", call_text({"name": event.get("name"), "arguments": event.get("args")}))
    elif kind == "tool.result":
        given = event.get("result")
        text, others = text_in(given["output"] if isinstance(given, dict) and "output" in given else given)
        yield Said("result", text, parts_left(others))
    elif kind == "step.end" and isinstance(event.get("finishReason"), str):
        yield Said("finish", event["finishReason"])
    elif kind == "turn.interrupted":
        yield Said("note", f"[interrupted: {text_in(event.get('reason'))[0]}]")


def _of_message(message: Mapping[str, Any], *, is_users: bool = True) -> Iterator[Said]:
    role, content = message.get("role"), message.get("content")
    if role == "assistant":
        for part in content if isinstance(content, list) else [content]:
            yield from _of_part(part)
        for call in each(message, "tool_calls", dict):
            yield Said("call", call_text(call))
        return
    text, others = text_in(content)
    if role == "user" and text.lstrip().startswith(_CONTEXT):
        is_users = False
    kind: Any = "result" if role == "tool" else "asked" if role == "user" and is_users else "context"
    if text or others:
        yield Said(kind, text, parts_left(others))


def _of_part(part: Any) -> Iterator[Said]:
    thought = part.get("think") if isinstance(part, dict) else None
    if isinstance(part, dict) and part.get("type") == "think" and isinstance(thought, str):
        seal = {"encrypted": part["encrypted"]} if part.get("encrypted") else {}
        yield Said("reasoning" if thought.strip() or not seal else "redacted", thought, seal)
        return
    text, others = text_in(part)
    if text or others:
        yield Said("text", text, parts_left(others))
