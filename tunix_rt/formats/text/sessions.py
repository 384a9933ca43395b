"""From an agent's session to a trace: the first question is the prompt, all after it steps, the last text the answer.

A reader says what was said, done and seen, in order; this makes one trace of it, or one for each turn of the user.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_line
from tunix_rt.formats.rows.trace_fields import StepFields
from tunix_rt.formats.rows.typed_fields import rest_of
from tunix_rt.formats.text.dialogue import REDACTED
from tunix_rt.formats.text.steps import split_steps
from tunix_rt.formats.text.think_tags import parse_written

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ACTS = {"reasoning", "redacted", "text", "call"}
_MARKS = {"model", "finish"}
_STEP_TYPES = {
    "asked": "user",
    "context": "system",
    "note": "system",
    "redacted": "redacted",
    "text": "message",
    "call": "tool_call",
    "result": "observation",
}
# What changes when a session is continued. A trace of one turn is without, so that it stays the same trace.
_GROWS = (
    "ended_at", "lastUpdated", "left_out", "other_events", "summary", "summaries", "sidechains", "abandoned",
)  # fmt: skip
# A picture in base64 has megabytes; a path or an address is shorter.
_MOST_CHARS_OF_A_PART = 10_000


class Said(NamedTuple):
    """One thing in a session: what the user asked, what the model was told (`context`), thought, wrote, called or got.

    A `note` is about the session itself, such as an interruption. `model` and `finish` name the model from here on, and
    why it stopped. `rest` is what belongs to it besides its text, and goes to `meta["parts"]`.
    """

    kind: Literal["asked", "context", "note", "reasoning", "redacted", "text", "call", "result", "model", "finish"]
    text: str
    rest: Mapping[str, Any] = _NOTHING


def found_in_session(
    said: Sequence[Said], *, by_turn: bool, path: str, meta: Mapping[str, Any], extra: Mapping[str, Any]
) -> Iterator[Found]:
    """The trace of a session, or one for each question of the user with what the model did until the next.

    Questions in a row are one. What comes after the model's last act is kept in `extra["after"]`. Of `extra` a turn
    has only what does not change when the session is continued. Raises TraceInvalid (at
    `path`) where the model did nothing.
    """
    said = [one for one in said if one.text.strip() or one.rest or one.kind == "redacted"]
    if not any(one.kind in _ACTS for one in said):
        raise TraceInvalid(Problem(path, "there is no message of the assistant"))
    if not by_turn:
        yield _found(said, meta, extra)
        return
    extra = rest_of(extra, *_GROWS)
    model: list[Said] = []
    for n, turn in enumerate(_turns(said), start=1):
        yield _found([*model, *turn], meta, {**extra, "turn": n})
        model = [one for one in turn if one.kind == "model"][-1:] or model


def told(said: Sequence[Said]) -> list[dict[str, str]]:
    """What was said beside the session itself, as it is kept in a trace's `extra`."""
    return [
        {"type": _STEP_TYPES.get(one.kind, "step"), "content": one.text}
        for one in said
        if one.text.strip() and one.kind not in _MARKS
    ]


def text_in(content: Any) -> tuple[str, list[Any]]:
    """The texts of a content (a text, a part, a list of parts), and the parts that are something else.

    These have their type in the text, as in `[image]`.
    """
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    others: list[Any] = []
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            texts.append(text)
        elif isinstance(part, dict):
            texts.append(f"[{part.get('type') or next(iter(part), 'part')}]")
            others.append(part)
        elif part is not None:
            texts.append(as_line(part))
    return "\n".join(filter(None, texts)), others


def parts_left(others: Sequence[Any]) -> dict[str, Any]:
    """The parts that are no texts as the `rest` of what was said, without the data of pictures."""
    return {"parts": [without_data(part) for part in others]} if others else {}


def without_data(value: Any) -> Any:
    """The value without texts that are longer than a part's own, as the data of a picture is."""
    if isinstance(value, str) and len(value) > _MOST_CHARS_OF_A_PART:
        return f"({len(value):,} characters left out)"
    if isinstance(value, list):
        return [without_data(item) for item in value]
    if isinstance(value, dict):
        return {name: without_data(item) for name, item in value.items()}
    return value


def without_abandoned(
    events: Sequence[Mapping[str, Any]], is_question: Sequence[bool]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """The events that led to the end of the session, and those that were taken back.

    Events name the one before them (`uuid`, `parentUuid`). Two questions after the same event are one that was asked
    again: all that followed the first was taken back. Other forks are calls of tools side by side, and events whose
    parent is missing begin anew.
    """
    last_asked: dict[Any, int] = {}
    for n, (event, asks) in enumerate(zip(events, is_question, strict=True)):
        if asks and isinstance(event.get("parentUuid"), str):
            last_asked[event["parentUuid"]] = n
    gone: set[str] = set()
    kept: list[Mapping[str, Any]] = []
    abandoned: list[Mapping[str, Any]] = []
    for n, (event, asks) in enumerate(zip(events, is_question, strict=True)):
        parent, uuid = event.get("parentUuid"), event.get("uuid")
        is_text = isinstance(parent, str)
        if is_text and (parent in gone or (asks and last_asked[parent] != n)):
            abandoned.append(event)
            if isinstance(uuid, str):
                gone.add(uuid)
        else:
            kept.append(event)
    return kept, abandoned


def _turns(said: Sequence[Said]) -> Iterator[list[Said]]:
    turn: list[Said] = []
    acted = False
    for one in said:
        if one.kind == "asked" and acted:
            # What the model is told just before a question belongs to that.
            cut = len(turn)
            while turn[cut - 1].kind in ("context", "model"):
                cut -= 1
            yield turn[:cut]
            turn, acted = turn[cut:], False
        acted = acted or one.kind in _ACTS
        turn.append(one)
    yield turn


def _found(said: Sequence[Said], meta: Mapping[str, Any], extra: Mapping[str, Any]) -> Found:
    models = list(dict.fromkeys(one.text for one in said if one.kind == "model"))
    finish = next((one.text for one in reversed(said) if one.kind == "finish"), None)
    said = [one for one in said if one.kind not in _MARKS]
    first = next((n for n, one in enumerate(said) if one.kind in _ACTS), len(said))
    end = 1 + max((n for n, one in enumerate(said) if one.kind in _ACTS or one.kind == "result"), default=first - 1)
    asked = [one for one in said[:first] if one.kind == "asked"]
    context = [one.text for one in said[:first] if one.kind == "context" and one.text]
    prompt = "\n\n".join(one.text for one in asked if one.text)
    if not asked:
        prompt, context = "\n\n".join(context), []
    steps = _Steps()
    for one in asked:
        steps.keep(one)
    for one in said[:first]:
        if one.kind in ("note", "result"):
            steps.take(one)
    answer, is_cut = None, False
    for n, one in enumerate(said[first:end], start=first):
        if one.kind == "text":
            text, is_cut = steps.spoken(one)
            if n == end - 1:
                answer = text or None
            else:
                steps.add("message", text)
        else:
            steps.take(one)
    meta = {
        **meta,
        "model": models[-1] if models else meta.get("model"),
        "finish_reason": finish or meta.get("finish_reason"),
        "truncated": True if is_cut else None,
        "system": "\n\n".join(context) or None,
        "parts": steps.kept or None,
    }
    extra = {**extra, **({"models": models} if len(models) > 1 else {})}
    if after := told(said[end:]):
        extra["after"] = after
    return Found(prompt, steps.all, answer, meta, extra)


class _Steps:
    """The steps of a trace, and what belongs to them besides their texts."""

    def __init__(self) -> None:
        self.all: list[StepFields] = []
        self.kept: list[dict[str, Any]] = []

    def add(self, kind: str, content: str) -> None:
        if content.strip():
            self.all.append({"i": len(self.all), "type": kind, "content": content})

    def keep(self, one: Said, *, step: int | None = None) -> None:
        if one.rest:
            self.kept.append(({} if step is None else {"step": step}) | dict(one.rest))

    def take(self, one: Said) -> None:
        self.keep(one, step=len(self.all))
        if one.kind == "reasoning":
            self._split(one.text)
        elif one.kind == "redacted":
            if not self.all or self.all[-1]["type"] != "redacted":
                self.add("redacted", REDACTED)
        else:
            self.add(_STEP_TYPES[one.kind], one.text)

    def spoken(self, one: Said) -> tuple[str, bool]:
        """What the model wrote, without the reasoning between tags at its beginning; and if that was cut."""
        self.keep(one, step=len(self.all))
        if not one.text.lstrip().startswith("<think"):
            return one.text, False
        reasoning, answer, is_cut = parse_written(one.text)
        self._split(reasoning)
        return answer or "", is_cut

    def _split(self, reasoning: str) -> None:
        if not reasoning.strip():
            return
        n_before = len(self.all)
        for step in split_steps(reasoning):
            self.all.append({**step, "i": n_before + step["i"]})
