"""From a dialogue to a trace: what was asked becomes the prompt, the answer becomes steps and final answer."""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.messages import Turn, as_text, first_text, turn, turns_of
from tunix_rt.formats.reasoning import parse_written, split_steps
from tunix_rt.formats.row import Draft, Row, group_of, rest_of, written_draft
from tunix_rt.model import Step

REDACTED = "(redacted by the provider)"
# The words of the interfaces for: no room for more tokens.
_CUT_SHORT = {"length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"}
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
    if (spoken and not alone) or len(leading) > 1 or not all(turn.is_plain for turn in turns):
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
    finish = known.get("finish_reason")
    rest = answer.rest
    if finish is None and rest.get("finish_reason") is not None:
        finish = as_text(rest["finish_reason"], f"{path}.finish_reason")
        rest = rest_of(rest, "finish_reason")
    if not answer.parts and not finish:
        raise TraceInvalid(Problem(path, "neither content nor reasoning nor a tool call"))
    steps, parts = _steps(answer)
    calls = [part.rest for part in answer.parts if part.kind == "call"]
    said: str | None = "".join(part.text for part in answer.parts if part.kind == "text")
    if not said:
        # Who calls a tool, or stops without a word, was not cut short.
        said = "" if calls or finish else None
    elif not steps:
        written = parse_written(said)
        steps = split_steps(written.reasoning) if written.reasoning.strip() else []
        said = "" if written.answer is None and calls else written.answer
    source = row.value.get("source")
    if isinstance(source, str) and source:
        extra = rest_of(extra, "source")
    else:
        source = name
    meta = {
        **known,
        "finish_reason": finish,
        "truncated": True if finish and finish.lower() in _CUT_SHORT else None,
        **prompt.meta,
        "tool_calls": calls or None,
        "parts": parts or None,
        "message": rest or None,
    }
    return written_draft(row, prompt=prompt.text, source=source, reasoning=steps, answer=said, known=meta, extra=extra)


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


def _steps(answer: Turn) -> tuple[list[Step], list[dict[str, Any]]]:
    """The steps of an answer's reasoning, and what its parts hold besides."""
    steps: list[Step] = []
    kept: list[dict[str, Any]] = []
    for part in answer.parts:
        place: dict[str, Any] = {}
        if part.kind == "reasoning" and part.text.strip():
            place["step"] = len(steps)
            steps += [step.model_copy(update={"i": len(steps) + step.i}) for step in split_steps(part.text)]
        elif part.kind == "redacted":
            if not steps or steps[-1].type != "redacted":
                steps.append(Step(i=len(steps), type="redacted", content=REDACTED))
            place["step"] = len(steps) - 1
        if part.rest and part.kind != "call":
            kept.append(place | part.rest)
    return steps, kept
