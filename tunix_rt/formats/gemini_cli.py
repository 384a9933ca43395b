"""Gemini CLI and Qwen Code, which began as a fork of it: sessions as one document, or an event a line.

Sources: google-gemini/gemini-cli, packages/core/src/services/chatRecordingTypes.ts. Of Qwen Code only documentation
was found. A file of lines is read as one row with all `events`.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunix_rt.formats.rows.found import Found, SessionReader
from tunix_rt.formats.rows.meta_values import as_line
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, rest_of
from tunix_rt.formats.text.messages import call_text
from tunix_rt.formats.text.sessions import Said, found_in_session, parts_left, text_in, told, without_abandoned

_GEMINI_TYPES = ("user", "gemini", "qwen", "info", "error", "warning")
_QWEN_TYPES = ("user", "assistant", "tool_result", "tool_call")
_NOTES = ("info", "error", "warning")


class _Session(NamedTuple):
    """A session: its messages in order, those that were taken back, and what else is known of it."""

    messages: Sequence[Mapping[str, Any]]
    abandoned: Sequence[Mapping[str, Any]]
    extra: Mapping[str, Any]


class _GeminiReader(SessionReader):
    """What the two have in common."""

    @abstractmethod
    def _is_message(self, value: Mapping[str, Any]) -> bool:
        """Whether a message of a document is one of such a session."""

    @abstractmethod
    def _session(self, fields: Mapping[str, Any]) -> _Session:
        """The session in a row."""

    @abstractmethod
    def _said(self, message: Mapping[str, Any]) -> Iterator[Said]:
        """What was said in a message."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the row is a session: a document, or the events of one."""
        events, messages = value.get("events"), value.get("messages")
        if isinstance(events, list) and any(isinstance(event, dict) and self.is_event(event) for event in events):
            return None
        if "sessionId" in value and isinstance(messages, list):
            if any(isinstance(one, dict) and self._is_message(one) for one in messages):
                return None
            return "messages that are not those of such a session"
        return "no field sessionId with messages"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the session, or one for each turn of the user."""
        session = self._session(row.fields)
        said = [one for message in session.messages for one in self._said(message)]
        extra = dict(session.extra)
        if session.abandoned:
            extra["abandoned"] = told([one for message in session.abandoned for one in self._said(message)])
        path = "messages" if "messages" in row.fields else "events"
        yield from found_in_session(said, by_turn=self._is_split, path=path, meta={}, extra=extra)


class GeminiCliReader(_GeminiReader):
    """`sessionId`, `messages` of `type` (user, gemini, info, …), `content`, `thoughts`, `toolCalls`; or its lines."""

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session."""
        if "sessionId" in value and "projectHash" in value:
            return "messages" not in value
        return isinstance(value.get("$set"), dict) or isinstance(value.get("$rewindTo"), str)

    def _is_message(self, value: Mapping[str, Any]) -> bool:
        return value.get("type") in _GEMINI_TYPES and "content" in value

    def _session(self, fields: Mapping[str, Any]) -> _Session:
        if "events" not in fields:
            return _Session(each(fields, "messages", dict), (), rest_of(fields, "messages"))
        about: dict[str, Any] = {}
        # A message that grew is written again under its id.
        messages: dict[Any, Mapping[str, Any]] = {}
        abandoned: list[Mapping[str, Any]] = []
        for n, event in enumerate(each(fields, "events", dict)):
            if isinstance(event.get("$rewindTo"), str):
                if event["$rewindTo"] in messages:
                    ids = list(messages)
                    abandoned += [messages.pop(key) for key in ids[ids.index(event["$rewindTo"]) :]]
            elif isinstance(event.get("$set"), dict):
                given = event["$set"]
                about |= rest_of(given, "messages")
                for m, message in enumerate(each(given, "messages", dict, at=f"events.{n}.$set.")):
                    messages[_id_of(message, (n, m))] = message
            elif "sessionId" in event and "type" not in event:
                about = {**about, **event}
            else:
                messages[_id_of(event, n)] = event
        return _Session(list(messages.values()), abandoned, about)

    def _said(self, message: Mapping[str, Any]) -> Iterator[Said]:
        kind = message.get("type")
        text, others = text_in(message.get("content"))
        if kind == "user":
            yield from _asked(message.get("content"))
        elif kind in _NOTES:
            yield Said("note", text, parts_left(others))
        else:
            if isinstance(message.get("model"), str):
                yield Said("model", message["model"])
            for thought in each(message, "thoughts", dict):
                subject, description = text_in(thought.get("subject"))[0], text_in(thought.get("description"))[0]
                yield Said("reasoning", "\n\n".join(filter(None, [subject and f"**{subject}**", description])))
            yield Said("text", text, parts_left(others))
            for call in each(message, "toolCalls", dict):
                yield Said("call", call_text(call))
                yield from _results(call.get("result"))


class QwenCodeReader(_GeminiReader):
    """`type` (user, assistant, tool_result, system), `message` of `role`, `parts`; `parentUuid`; `sessionId`."""

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session."""
        return self._is_message(value) and "sessionId" in value

    def _is_message(self, value: Mapping[str, Any]) -> bool:
        message = value.get("message")
        return value.get("type") in _QWEN_TYPES and (
            (isinstance(message, dict) and isinstance(message.get("parts"), list))
            or isinstance(value.get("toolCall"), dict)
        )

    def _session(self, fields: Mapping[str, Any]) -> _Session:
        name = "events" if "events" in fields else "messages"
        events = each(fields, name, dict)
        extra = rest_of(fields, name)
        for key in ("sessionId", "cwd", "version", "gitBranch"):
            if value := next((event[key] for event in events if event.get(key)), None):
                extra.setdefault(key, value)
        system = [event for event in events if event.get("type") == "system"]
        counted = Counter(str(event.get("subtype")) for event in system if event.get("subtype") == "ui_telemetry")
        if counted:
            extra["left_out"] = dict(counted)
        if others := [event for event in system if event.get("subtype") != "ui_telemetry"]:
            extra["other_events"] = [rest_of(event, "sessionId", "cwd", "version", "uuid") for event in others]
        messages = [event for event in events if event.get("type") != "system"]
        kept, abandoned = without_abandoned(messages, [event.get("type") == "user" for event in messages])
        return _Session(kept, abandoned, extra)

    def _said(self, message: Mapping[str, Any]) -> Iterator[Said]:
        kind, inner = message.get("type"), message.get("message")
        content = inner.get("parts", inner.get("content")) if isinstance(inner, dict) else None
        call = message.get("toolCall")
        if isinstance(message.get("model"), str):
            yield Said("model", message["model"])
        if isinstance(call, dict):
            name = text_in(call.get("title"))[0] or text_in(call.get("kind"))[0]
            yield Said("call", call_text({"name": name, "arguments": call.get("rawInput")}))
            shown = [
                part.get("content", part) if isinstance(part, dict) else part for part in _listed(call.get("content"))
            ]
            text, others = text_in(shown)
            yield Said("result", text, parts_left(others))
        elif kind == "user":
            yield from _asked(content)
        else:
            for part in _listed(content):
                yield from _of_part(part)


def _id_of(message: Mapping[str, Any], otherwise: Any) -> Any:
    return message["id"] if isinstance(message.get("id"), str) else otherwise


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _asked(content: Any) -> Iterator[Said]:
    """What the user said; in the history of a model the results of tools are there as well."""
    parts = _listed(content)
    results = [part for part in parts if isinstance(part, dict) and "functionResponse" in part]
    yield from _results(results)
    text, others = text_in([part for part in parts if not (isinstance(part, dict) and "functionResponse" in part)])
    if text or others:
        yield Said("asked", text, parts_left(others))


def _of_part(part: Any) -> Iterator[Said]:
    if not isinstance(part, dict):
        yield Said("text", text_in(part)[0])
    elif "functionResponse" in part:
        yield from _results([part])
    elif isinstance(part.get("functionCall"), dict):
        yield Said("call", call_text(part))
    else:
        text, others = text_in(part)
        seal = {name: part[name] for name in ("thoughtSignature",) if part.get(name)}
        kind: Any = "reasoning" if part.get("thought") is True else "note" if others else "text"
        yield Said(kind, text, seal | parts_left(others))


def _results(value: Any) -> Iterator[Said]:
    """The results of a tool, mostly in `functionResponse` with their text under `output` or `error`."""
    for part in _listed(value):
        response = part.get("functionResponse") if isinstance(part, dict) else None
        if not isinstance(response, dict):
            text, others = text_in(part)
            yield Said("result", text, parts_left(others))
            continue
        given = response.get("response")
        if isinstance(given, dict):
            named = next((name for name in ("output", "error", "content") if isinstance(given.get(name), str)), None)
            yield Said("result", given[named] if named and len(given) == 1 else as_line(given))
        else:
            yield Said("result", "" if given is None else as_line(given))
        if others := _listed(response.get("parts")):
            text, left = text_in(others)
            yield Said("result", text, parts_left(left))
