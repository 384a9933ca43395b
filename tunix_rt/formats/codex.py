"""Codex: the log of a session (`rollout-….jsonl`), an event a line; read as one row with all `events`.

Source: published descriptions of the events of openai/codex (codex-rs/protocol) with examples, not complete files.
Before version 0.40 the items were in the lines themselves, without `payload`; both are read.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found, SessionReader
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, rest_of
from tunix_rt.formats.text.response_items import is_item, said_in_item
from tunix_rt.formats.text.sessions import Said, found_in_session, text_in

_KINDS = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")
# How a text begins that the program wrote in the user's name.
_CONTEXT = (
    "<environment_context", "<user_instructions", "<permissions instructions", "<collaboration_mode",
    "<skills_instructions", "<INSTRUCTIONS", "# AGENTS.md instructions",
)  # fmt: skip
_NOTES = ("<turn_aborted", "<subagent_notification")
# Events that repeat items; those whose text no item has are read.
_REPEATED = {
    "user_message": ("asked", "message"),
    "agent_message": ("text", "message"),
    "agent_reasoning": ("reasoning", "text"),
    "agent_reasoning_raw_content": ("reasoning", "text"),
}
_HAPPENED = {"turn_aborted": "reason", "error": "message", "stream_error": "message", "warning": "message"}
# What the program notes for itself.
_BOOKKEEPING = {
    "token_count", "task_started", "task_complete", "turn_started", "turn_complete", "agent_reasoning_section_break",
    "ghost_snapshot", "turn_context", "state",
}  # fmt: skip
_INSTRUCTIONS = ("base_instructions", "instructions")


class CodexReader(SessionReader):
    """`timestamp`, `type` (session_meta, response_item, event_msg, turn_context, compacted) and `payload`."""

    program = "Codex"

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session."""
        if value.get("type") in _KINDS:
            return isinstance(value.get("payload"), dict)
        return value.get("record_type") == "state" or (
            {"id", "timestamp", "instructions"} <= value.keys() and "type" not in value
        )

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the session, or one for each turn of the user."""
        events = [_event(event) for event in each(row.fields, "events", dict)]
        extra: dict[str, Any] = {}
        if session := next((payload for kind, payload in events if kind == "session_meta"), None):
            extra["session"] = rest_of(session, *_INSTRUCTIONS)
        said: list[Said] = []
        counted: Counter[str] = Counter()
        unknown: list[Mapping[str, Any]] = []
        written = _written(payload for kind, payload in events if kind == "response_item")
        n_sessions = 0
        for kind, payload in events:
            inner = str(payload.get("type") or kind)
            n_sessions += kind == "session_meta"
            if kind == "session_meta" and n_sessions > 1:
                # That of the session which this one continues.
                counted[kind] += 1
            elif (here := _said(kind, payload, written)) is not None:
                said += here
            elif kind in _BOOKKEEPING or inner in _BOOKKEEPING or inner.startswith(("exec_", "mcp_", "patch_")):
                counted[inner] += 1
            else:
                unknown.append({"type": kind, "payload": payload})
        if counted:
            extra["left_out"] = dict(counted)
        if unknown:
            extra["other_events"] = unknown
        yield from found_in_session(said, by_turn=self._is_split, path="events", meta={}, extra=extra)


def _event(event: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The kind of an event and what it holds, also in the older shape."""
    payload = event.get("payload")
    if isinstance(payload, dict) and isinstance(event.get("type"), str):
        return event["type"], payload
    if is_item(event):
        return "response_item", event
    return ("state" if event.get("record_type") == "state" else "session_meta" if "id" in event else "other"), event


def _written(items: Iterator[Mapping[str, Any]]) -> set[str]:
    """All texts of the items, to know which events repeat them."""
    texts: set[str] = set()
    for item in items:
        for content in (item.get("content"), item.get("summary")):
            parts = content if isinstance(content, list) else [content]
            texts |= {text_in(part)[0].strip() for part in parts}
            texts.add(text_in(content)[0].strip())
    return texts


def _said(kind: str, payload: Mapping[str, Any], written: set[str]) -> list[Said] | None:
    """What an event holds for the trace; None where it is of another kind."""
    found: list[Said] | None = None
    if kind == "session_meta":
        found = [Said("context", text_in(payload.get(name))[0]) for name in _INSTRUCTIONS]
    elif kind == "turn_context" and isinstance(payload.get("model"), str):
        found = [Said("model", payload["model"])]
    elif kind == "compacted":
        found = [Said("context", text_in(payload.get("message"))[0])]
    elif kind == "response_item" and is_item(payload):
        found = [_told(one) for one in said_in_item(payload)]
    elif kind == "event_msg":
        found = _of_event(payload, written)
    return found


def _of_event(payload: Mapping[str, Any], written: set[str]) -> list[Said] | None:
    inner = str(payload.get("type"))
    if inner in _REPEATED:
        what, name = _REPEATED[inner]
        text = text_in(payload.get(name))[0]
        said: Any = what
        return [] if text.strip() in written else [_told(Said(said, text))]
    if inner in _HAPPENED:
        why = text_in(payload.get(_HAPPENED[inner]))[0]
        return [Said("note", f"[{inner.replace('_', ' ')}{': ' if why else ''}{why}]")]
    return None


def _told(one: Said) -> Said:
    """What was said; as context where the program wrote it in the user's name."""
    if one.kind != "asked":
        return one
    begin = one.text.lstrip()
    if begin.startswith(_NOTES):
        return one._replace(kind="note")
    return one._replace(kind="context") if begin.startswith(_CONTEXT) else one
