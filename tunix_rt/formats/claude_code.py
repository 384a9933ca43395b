"""Claude Code: the log of a session, an event a line; read as one row with all `events`.

Source: no specification is published. The shape was read from excerpts of published programs that read these files
(versions 1.0 to 2.1), not from complete files.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.found import Found, SessionReader
from tunix_rt.formats.rows.meta_values import as_line
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, rest_of
from tunix_rt.formats.text.messages import call_text
from tunix_rt.formats.text.sessions import Said, found_in_session, parts_left, text_in, told, without_abandoned

_OF_THE_SESSION = {
    "sessionId": "session_id",
    "session_id": "session_id",
    "cwd": "cwd",
    "gitBranch": "git_branch",
    "version": "version",
}
# What the program notes for itself; it repeats what the messages have, or has no text.
_BOOKKEEPING = ("progress", "file-history-snapshot", "queue-operation", "last-prompt", "permission-mode")
# Of another event; the output of a program has its answer once more as its `result`.
_LEFT_OUT = (*_OF_THE_SESSION, "uuid", "parentUuid", "result")
# How a text begins that the program wrote in the user's name.
_INTERRUPTED = "[Request interrupted by user"
_LOCAL = ("<local-command-", "<bash-stdout>", "<bash-stderr>", "<bash-input>")
_COMMAND = ("<command-name>", "<command-message>")
_SYNTHETIC = "<synthetic>"


class ClaudeCodeReader(SessionReader):
    """`type` (user, assistant, summary, system), `message` of `role`, `content`; `uuid`, `parentUuid`, `sessionId`."""

    program = "Claude Code"

    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session."""
        kind, message = value.get("type"), value.get("message")
        if kind in ("user", "assistant"):
            return (
                isinstance(message, dict)
                and "content" in message
                and not {"uuid", "parentUuid", "sessionId", "session_id"}.isdisjoint(value)
            )
        return (kind == "summary" and "leafUuid" in value) or (kind == "file-history-snapshot" and "messageId" in value)

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each session in the row, or for each turn of the user in it."""
        events = _once(each(row.fields, "events", dict))
        for session in _sessions(events):
            try:
                yield from _found(session, by_turn=self._is_split)
            except TraceInvalid as error:
                yield error


def _found(events: Sequence[Mapping[str, Any]], *, by_turn: bool) -> Iterator[Found]:
    spoken = [event for event in events if isinstance(event.get("message"), dict)]
    beside = [event for event in spoken if event.get("isSidechain") is True or event.get("parent_tool_use_id")]
    if len(beside) == len(spoken):
        # The log of a subagent, in a file of its own.
        beside = []
    asides = {id(event) for event in beside}
    main = [event for event in spoken if id(event) not in asides]
    kept, abandoned = without_abandoned(main, [_asks(event) for event in main])
    extra: dict[str, Any] = {}
    for name, key in _OF_THE_SESSION.items():
        if value := next((event[name] for event in events if event.get(name)), None):
            extra[key] = value
    times = [event["timestamp"] for event in kept if isinstance(event.get("timestamp"), str)]
    if times:
        extra |= {"started_at": min(times), "ended_at": max(times)}
    if summaries := [event["summary"] for event in events if isinstance(event.get("summary"), str)]:
        extra["summaries"] = summaries
    others = [event for event in events if not isinstance(event.get("message"), dict) and "summary" not in event]
    counted = Counter(str(event.get("type")) for event in others if event.get("type") in _BOOKKEEPING)
    if counted:
        extra["left_out"] = dict(counted)
    if unknown := [event for event in others if event.get("type") not in _BOOKKEEPING]:
        extra["other_events"] = [rest_of(event, *_LEFT_OUT) for event in unknown]
    if beside:
        extra["sidechains"] = [told(_said(chain)) for chain in _chains(beside)]
    if abandoned:
        extra["abandoned"] = told(_said(abandoned))
    yield from found_in_session(_said(kept), by_turn=by_turn, path="events", meta={}, extra=extra)


def _once(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events without those that a resumed session wrote again."""
    seen: set[str] = set()
    found = []
    for event in events:
        uuid = event.get("uuid")
        if isinstance(uuid, str):
            if uuid in seen:
                continue
            seen.add(uuid)
        found.append(event)
    return found


def _sessions(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The events of each session; one that goes on from another, whose event it names as its parent, is part of it."""
    session_of: dict[str, str] = {}
    joined: dict[str, str] = {}

    def root(name: str) -> str:
        while joined.get(name, name) != name:
            name = joined[name]
        return name

    named = [event.get("sessionId") for event in events]
    first = next((name for name in named if isinstance(name, str)), "")
    # A summary has no session of its own.
    names = [name if isinstance(name, str) else first for name in named]
    for event, name in zip(events, names, strict=True):
        parent, uuid = event.get("parentUuid"), event.get("uuid")
        if isinstance(parent, str) and parent in session_of:
            joined[root(name)] = root(session_of[parent])
        if isinstance(uuid, str):
            session_of[uuid] = name
    found: dict[str, list[Mapping[str, Any]]] = {}
    for event, name in zip(events, names, strict=True):
        found.setdefault(root(name), []).append(event)
    return list(found.values())


def _chains(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The events of each subagent; its first has no parent among them."""
    chain_of: dict[Any, int] = {}
    chains: list[list[Mapping[str, Any]]] = []
    for event in events:
        parent = event.get("parentUuid")
        place = chain_of.get(parent) if isinstance(parent, str) else None
        if place is None:
            place = len(chains)
            chains.append([])
        chains[place].append(event)
        if isinstance(event.get("uuid"), str):
            chain_of[event["uuid"]] = place
    return chains


def _asks(event: Mapping[str, Any]) -> bool:
    return event.get("type") == "user" and any(one.kind == "asked" for one in _of_user(event))


def _said(events: Sequence[Mapping[str, Any]]) -> list[Said]:
    said: list[Said] = []
    # Each block of a message is an event of its own; some versions repeat in it the blocks before.
    blocks: dict[str, set[str]] = {}
    for event in events:
        if event.get("type") != "assistant" and event["message"].get("role") != "assistant":
            said += _of_user(event)
            if said and said[-1].text.startswith(_LOCAL):
                _make_local(said)
            continue
        message = event["message"]
        content = message.get("content")
        given = content if isinstance(content, list) else [content]
        if isinstance(message.get("id"), str):
            seen = blocks.setdefault(message["id"], set())
            given = [block for block in given if as_line(block) not in seen]
            seen |= set(map(as_line, given))
        if event.get("isApiErrorMessage") is True:
            said.append(Said("note", text_in(given)[0]))
            continue
        if isinstance(message.get("model"), str) and message["model"] not in ("", _SYNTHETIC):
            said.append(Said("model", message["model"]))
        for block in given:
            said += _of_block(block)
        if isinstance(message.get("stop_reason"), str):
            said.append(Said("finish", message["stop_reason"]))
    return said


def _make_local(said: list[Said]) -> None:
    """A command that the program answered itself was not for the model."""
    for n in range(len(said) - 2, -1, -1):
        if said[n].kind not in ("asked", "context"):
            return
        if said[n].text.startswith(_COMMAND):
            said[n] = said[n]._replace(kind="context")
            return


def _of_user(event: Mapping[str, Any]) -> list[Said]:
    content = event["message"].get("content")
    is_told = event.get("isMeta") is True or event.get("isCompactSummary") is True or event.get("type") != "user"
    said: list[Said] = []
    beside: list[Any] = []
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            text, others = text_in(block.get("content"))
            said.append(Said("result", text, parts_left(others)))
            continue
        beside.append(block)
    text, others = text_in(beside)
    if text or others:
        kind: Any = "context" if is_told or text.startswith(_LOCAL) else "asked"
        said.append(Said("note" if text.startswith(_INTERRUPTED) else kind, text, parts_left(others)))
    return said


def _of_block(block: Any) -> Iterator[Said]:
    if not isinstance(block, dict):
        text, _ = text_in(block)
        yield Said("text", text)
        return
    kind = str(block.get("type"))
    thought = block.get("thinking")
    if kind == "thinking" and isinstance(thought, str):
        rest = rest_of(block, "thinking") if block.get("signature") else {}
        yield Said("reasoning" if thought.strip() or not rest else "redacted", thought, rest)
    elif kind == "redacted_thinking":
        yield Said("redacted", "", block)
    elif kind.endswith("tool_use"):
        yield Said("call", call_text(block))
    elif kind.endswith("tool_result"):
        text, others = text_in(block.get("content"))
        yield Said("result", text, parts_left(others))
    else:
        text, others = text_in(block)
        yield Said("text" if not others else "note", text, parts_left(others))
