"""From a dialogue to a trace: what was asked becomes the prompt, what came of it becomes steps and final answer.

Of a chat the last answer is the trace, and all before it the prompt; of an agent's rollout all that came after the
prompt is the trace, a step for each thing said, done and seen.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.trace_fields import StepFields
from tunix_rt.formats.rows.typed_fields import first_text, maybe, rest_of
from tunix_rt.formats.text.drafts import group_of, outside_draft
from tunix_rt.formats.text.messages import Turn, call_text, turn, turns_of
from tunix_rt.formats.text.think_tags import parse_written, split_steps

REDACTED = "(redacted by the provider)"
# The words of the interfaces for: no room for more tokens.
_CUT_SHORT = {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
# What a turn that is not the model's becomes in a rollout.
_SEEN = {"system": "system", "user": "user"}
# Where the halves of an exchange stand: in the row itself, as a log has them, as the batch files of the providers do.
_HALVES: tuple[tuple[str, ...], ...] = (
    (),
    ("request",),
    ("request", "body"),
    ("response",),
    ("response", "body"),
    ("result", "message"),
)


class Prompt(NamedTuple):
    """The text that was asked, and what of the asking goes to meta."""

    text: str
    meta: dict[str, Any]


class Half(NamedTuple):
    """The request or the response in a row: where it stands, and its fields."""

    at: tuple[str, ...]
    fields: Mapping[str, Any]

    def path(self, *names: str | int) -> str:
        """The path of a field of it, from the row on."""
        return ".".join(map(str, (*self.at, *names)))

    def text(self, used: list[tuple[str, ...]], *names: str) -> str | None:
        """The first of these fields that is a text; its place goes to `used`."""
        name, found = first_text(self.fields, *names)
        if name is not None:
            used.append((*self.at, name))
        return found


def prompt_of(turns: Sequence[Turn]) -> Prompt:
    """One user's text alone, or the dialogue as it reads; the system's text apart.

    The messages are kept as they stand wherever prompt and system text do not say all of them.
    """
    leading = list(takewhile(lambda turn: turn.role == "system", turns))
    spoken = turns[len(leading) :]
    system = "\n\n".join(filter(None, (turn.text for turn in leading)))
    alone = len(spoken) == 1 and spoken[0].role == "user"
    if alone:
        text = spoken[0].text or spoken[0].shown
    elif spoken:
        text = "\n\n".join(f"{turn.role.capitalize()}: {turn.shown}" for turn in spoken)
    else:
        # What the model had before it was the system's text alone.
        text, system = system, ""
    meta: dict[str, Any] = {}
    if system:
        meta["system"] = system
    if not (alone or not turns) or len(leading) > 1 or not all(turn.is_plain for turn in turns):
        meta["messages"] = [turn.raw for turn in turns]
    return Prompt(text, meta)


def split_at_answer(turns: Sequence[Turn], path: str) -> tuple[int, Turn, Prompt]:
    """The last message of the assistant: its place, itself, and what was asked before it.

    What comes after it is kept in the prompt's meta. TraceInvalid where the assistant says nothing.
    """
    place = next((n for n in reversed(range(len(turns))) if turns[n].role == "assistant"), None)
    if place is None:
        raise TraceInvalid(Problem(path, "no message of the assistant"))
    prompt = prompt_of(turns[:place])
    if after := [turn.raw for turn in turns[place + 1 :]]:
        prompt.meta["messages_after"] = after
    return place, turns[place], prompt


def split_at_beginning(turns: Sequence[Turn]) -> tuple[Prompt, list[Turn]]:
    """What was asked before the model spoke for the first time, and all that came of it."""
    place = next((n for n, turn in enumerate(turns) if turn.role == "assistant"), len(turns))
    return prompt_of(turns[:place]), list(turns[place:])


def answer_draft(
    row: Row,
    *,
    name: str,
    path: str,
    prompt: Prompt,
    answer: Turn,
    known: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> Draft:
    """The trace of an answer (at `path`) to a prompt.

    Reasoning parts become steps, and parts that only the provider can read become steps of type "redacted". Where there
    are none, the text is searched for the tags of a dialect. What the parts hold besides texts is kept under
    `meta["parts"]` (with the number of their first step), tool calls under `meta["tool_calls"]`, other fields under
    `meta["message"]`.
    """
    rest, finish = answer.rest, known.get("finish_reason")
    if finish is None and (finish := maybe(rest, "finish_reason", str, at=f"{path}.")) is not None:
        rest = rest_of(rest, "finish_reason")
    if not answer.parts and not finish:
        raise TraceInvalid(Problem(path, "neither content nor reasoning nor a tool call"))
    steps = _Steps()
    said, cut = steps.take(answer, answer.written)
    # Who calls a tool, or stops without a word, was not cut short.
    cut = cut or not (said or answer.calls or (finish and not answer.written))
    meta = {
        **known,
        "truncated": True if cut or _cut_short(known, finish) else None,
        "finish_reason": finish,
        **prompt.meta,
        "tool_calls": answer.calls or None,
        "parts": steps.kept or None,
        "message": rest or None,
    }
    return outside_draft(
        row, prompt=prompt.text, steps=steps.all, final_answer=said or None, name=name, known=meta, extra=extra
    )


def rollout_draft(
    row: Row,
    *,
    name: str,
    path: str,
    prompt: Prompt,
    turns: Sequence[Turn],
    known: Mapping[str, Any],
    extra: Mapping[str, Any],
    whole: Mapping[str, Any],
) -> Draft:
    """The trace of all that came (at `path`) after a prompt.

    One message of the model alone is an answer. Otherwise each thing said, done and seen becomes a step, the model's
    last message, if it calls no tool, the final answer; `whole`, which goes to `extra`, has the messages as they stand.
    """
    if len(turns) == 1 and turns[0].role == "assistant" and turns[0].parts and not turns[0].calls:
        return answer_draft(row, name=name, path=path, prompt=prompt, answer=turns[0], known=known, extra=extra)
    last = max((n for n, one in enumerate(turns) if one.role == "assistant"), default=None)
    steps, answer, cut = _Steps(), None, False
    for n, one in enumerate(turns):
        if one.role != "assistant":
            steps.add(_SEEN.get(one.role, "observation"), one.shown)
        elif n == last and not one.calls:
            answer, cut = steps.take(one, one.written)
        else:
            steps.add("message", steps.take(one, one.without_calls().shown)[0])
            for call in one.calls:
                steps.add("tool_call", call_text(call))
    # Who calls a tool at the end was not cut short.
    cut = cut or not (answer or (turns and turns[-1].calls)) or _cut_short(known, known.get("finish_reason"))
    known = {**known, "truncated": True if cut else None, **prompt.meta}
    extra = {**extra, **whole} if turns else extra
    return outside_draft(
        row, prompt=prompt.text, steps=steps.all, final_answer=answer or None, name=name, known=known, extra=extra
    )


def half_with(value: Mapping[str, Any], *names: str) -> Half | None:
    """The half of the exchange that has one of these fields."""
    for at in _HALVES:
        fields: Any = value
        for name in at:
            fields = fields.get(name) if isinstance(fields, dict) else None
        if isinstance(fields, dict) and any(fields.get(name) is not None for name in names):
            return Half(at, fields)
    return None


def prompt_at(
    value: Mapping[str, Any],
    *,
    asked: Sequence[str],
    system: Sequence[str] = (),
    turns_of: Callable[[Any, str], list[Turn]] = turns_of,
) -> tuple[Prompt, list[tuple[str, ...]]]:
    """What was asked, from the first of the fields `asked` and of the fields `system`, and the places of these two.

    The prompt of a response is empty where its row does not tell the request.
    """
    turns: list[Turn] = []
    used: list[tuple[str, ...]] = []
    for names, read in ((system, system_turns), (asked, turns_of)):
        if half := half_with(value, *names):
            name = next(name for name in names if half.fields.get(name) is not None)
            turns += read(half.fields[name], half.path(name))
            used.append((*half.at, name))
    return prompt_of(turns), used


def system_turns(content: Any, path: str) -> list[Turn]:
    """The turn of a system prompt that stands beside the messages: a text, a list of parts, or an object of parts."""
    if isinstance(content, dict):
        content, path = content.get("parts"), f"{path}.parts"
    return [turn("system", content, path)]


def sample_of(place: int, samples: Sequence[Any], response: Mapping[str, Any], prompt: Prompt) -> dict[str, Any]:
    """What marks one of several answers: their group (the response's id if it has one), and its number."""
    if len(samples) < 2:  # noqa: PLR2004 - one alone is no sample
        return {}
    group = first_text(response, "id", "responseId", "response_id")[1]
    return {"group": group or group_of(prompt.text), "sample": place}


def left_of(value: Mapping[str, Any], *places: tuple[str, ...]) -> dict[str, Any]:
    """What is left of a row without the fields at these places; what is emptied by that goes too."""
    left: dict[str, Any] = {}
    for name, item in value.items():
        inner = [place[1:] for place in places if place[0] == name]
        if () in inner:
            continue
        if inner and isinstance(item, dict):
            item = left_of(item, *inner)  # noqa: PLW2901 - what is left of it stands for it
            if not item:
                continue
        left[name] = item
    return left


def _cut_short(known: Mapping[str, Any], finish: Any) -> bool:
    return bool(known.get("truncated")) or (isinstance(finish, str) and finish.lower() in _CUT_SHORT)


class _Steps:
    """The steps of a trace as they are found, turn by turn."""

    def __init__(self) -> None:
        self.all: list[StepFields] = []
        # What parts hold besides texts and calls, with the number of their first step.
        self.kept: list[dict[str, Any]] = []

    def add(self, kind: str, content: str | None) -> None:
        """One step; none where there is no content."""
        if content:
            self.all.append({"i": len(self.all), "type": kind, "content": content})

    def take(self, turn: Turn, text: str) -> tuple[str | None, bool]:
        """The reasoning of a turn, in its parts or in tags in the text; what else is said, and if that was cut."""
        n_before = len(self.all)
        for part in turn.parts:
            place: dict[str, Any] = {}
            if part.kind == "reasoning" and part.text.strip():
                place["step"] = len(self.all)
                self._split(part.text)
            elif part.kind == "redacted":
                if not self.all or self.all[-1]["type"] != "redacted":
                    self.add("redacted", REDACTED)
                place["step"] = len(self.all) - 1
            if part.rest and part.kind != "call":
                self.kept.append(place | part.rest)
        if len(self.all) > n_before:
            return text, False
        reasoning, answer, cut = parse_written(text)
        if reasoning.strip():
            self._split(reasoning)
        return answer, cut

    def _split(self, reasoning: str) -> None:
        n_before = len(self.all)
        self.all += split_steps(reasoning)
        for step in self.all[n_before:]:
            step["i"] += n_before
