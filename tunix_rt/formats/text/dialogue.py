"""From a dialogue to a trace: its beginning becomes the prompt, the rest becomes steps and final answer.

Of a chat the last answer is the trace, and all before it the prompt; of an agent's rollout all that came after the
prompt is the trace, a step for each message, call and result.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.trace_fields import StepFields
from tunix_rt.formats.rows.typed_fields import first_text, maybe, rest_of
from tunix_rt.formats.text.chat_templates import reply_in
from tunix_rt.formats.text.messages import Turn, call_text, turn, turns_of
from tunix_rt.formats.text.think_tags import parse_written, split_steps
from tunix_rt.validation import short

REDACTED = "(redacted by the provider)"
# What a turn that is not the model's becomes in a rollout.
_OTHER_ROLES = {"system": "system", "user": "user"}
# Where the halves of an exchange are: in the row itself, as in a log, as in the batch files of the providers.
_HALVES: tuple[tuple[str, ...], ...] = (
    (),
    ("request",),
    ("request", "body"),
    ("response",),
    ("response", "body"),
    ("result", "message"),
)


class Prompt(NamedTuple):
    """The text of a prompt, and what belongs to it in meta."""

    text: str
    meta: dict[str, Any]


class Half(NamedTuple):
    """The request or the response in a row: its path, and its fields."""

    at: tuple[str, ...]
    fields: Mapping[str, Any]

    def path(self, *names: str | int) -> str:
        """The path of a field of it, from the row on."""
        return ".".join(map(str, (*self.at, *names)))

    def text(self, used: list[tuple[str, ...]], *names: str) -> str | None:
        """The first of these fields that is a text; its path goes to `used`."""
        name, found = first_text(self.fields, *names)
        if name is not None:
            used.append((*self.at, name))
        return found


def prompt_of(turns: Sequence[Turn]) -> Prompt:
    """One user's text alone, or the dialogue as it reads; the system's text apart.

    The messages are kept unchanged wherever prompt and system text do not hold all of them.
    """
    n_leading = 0
    while n_leading < len(turns) and turns[n_leading].role == "system":
        n_leading += 1
    leading, spoken = turns[:n_leading], turns[n_leading:]
    system = "\n\n".join([text for turn in leading if (text := turn.text)])
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
    if not (alone or not turns) or n_leading > 1 or not all(turn.is_plain for turn in turns):
        meta["messages"] = [turn.raw for turn in turns]
    return Prompt(text, meta)


def split_at_answer(turns: Sequence[Turn], path: str) -> tuple[int, Turn, Prompt]:
    """The last message of the assistant: its index, itself, and its prompt.

    What comes after it is kept in the prompt's meta. TraceInvalid where there is no such message.
    """
    index = next((n for n in reversed(range(len(turns))) if turns[n].role == "assistant"), None)
    if index is None:
        raise TraceInvalid(Problem(path, "there is no message of the assistant"))
    prompt = prompt_of(turns[:index])
    if after := [turn.raw for turn in turns[index + 1 :]]:
        prompt.meta["messages_after"] = after
    return index, turns[index], prompt


def split_at_beginning(turns: Sequence[Turn]) -> tuple[Prompt, list[Turn]]:
    """What comes before the model's first message, as its prompt, and the rest."""
    index = next((n for n, turn in enumerate(turns) if turn.role == "assistant"), len(turns))
    return prompt_of(turns[:index]), list(turns[index:])


def found_in_answer(
    prompt: Prompt, answer: Turn, *, path: str, meta: Mapping[str, Any], extra: Mapping[str, Any]
) -> Found:
    """The trace of an answer (at `path`) to a prompt.

    Reasoning parts become steps, and parts that only the provider can read become steps of type "redacted". Where there
    are none, the text is searched for the tags of a dialect. What the parts hold besides texts is kept under
    `meta["parts"]` (with the number of their first step), tool calls under `meta["tool_calls"]`, other fields under
    `meta["message"]`.
    """
    rest, finish = answer.rest, meta.get("finish_reason")
    if finish is None and (finish := maybe(rest, "finish_reason", str, at=f"{path}.")) is not None:
        rest = rest_of(rest, "finish_reason")
    if not answer.parts and not finish:
        raise TraceInvalid(Problem(path, "has neither content nor reasoning nor a tool call"))
    steps = _Steps()
    text, is_cut = steps.take(answer, answer.written)
    meta = {
        **meta,
        "truncated": True if is_cut else meta.get("truncated"),
        "finish_reason": finish,
        **prompt.meta,
        "tool_calls": answer.calls or None,
        "parts": steps.kept or None,
        "message": rest or None,
    }
    return Found(prompt.text, steps.all, text or None, meta, extra)


def found_in_rollout(
    prompt: Prompt,
    turns: Sequence[Turn],
    *,
    path: str,
    meta: Mapping[str, Any],
    extra: Mapping[str, Any],
    messages: Mapping[str, Any],
) -> Found:
    """The trace of all turns (at `path`) after a prompt.

    One message of the model alone is an answer. Otherwise each message, call and result becomes a step, the model's
    last message, if it calls no tool, the final answer; `messages` has them unchanged, and goes to `extra`.
    """
    if len(turns) == 1 and turns[0].role == "assistant" and turns[0].parts and not turns[0].calls:
        return found_in_answer(prompt, turns[0], path=path, meta=meta, extra=extra)
    last = max((n for n, one in enumerate(turns) if one.role == "assistant"), default=None)
    steps, answer, is_cut = _Steps(), None, False
    for n, one in enumerate(turns):
        if one.role != "assistant":
            steps.add(_OTHER_ROLES.get(one.role, "observation"), one.shown)
        elif n == last and not one.calls:
            answer, is_cut = steps.take(one, one.written)
        else:
            steps.add("message", steps.take(one, one.without_calls().shown)[0])
            for call in one.calls:
                steps.add("tool_call", call_text(call))
    meta = {**meta, "truncated": True if is_cut else meta.get("truncated"), **prompt.meta}
    return Found(prompt.text, steps.all, answer or None, meta, {**extra, **messages} if turns else extra)


def found_in_completion(value: Mapping[str, Any], *, meta: Mapping[str, Any], extra: Mapping[str, Any]) -> Found:
    """The trace of a row with `prompt` and `completion`, texts or messages; a null completion is a failed rollout."""
    prompt = prompt_of(turns_of(value.get("prompt"), "prompt"))
    if "completion" not in value:
        raise TraceInvalid(Problem("completion", "missing"))
    completion = value["completion"]
    if isinstance(completion, str):
        completion = reply_in(completion, prompt.text)
    return found_in_rollout(
        prompt,
        [] if completion is None else turns_of(completion, "completion", role="assistant"),
        path="completion",
        meta=meta,
        extra=rest_of(extra, "prompt", "completion"),
        messages={"completion": completion},
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


def answer_half(value: Mapping[str, Any], *names: str) -> Half:
    """The half that has one of these fields, else the row itself. Raises TraceInvalid where it reports an error."""
    if half := half_with(value, *names):
        return half
    result = value.get("result")
    if half := half_with(value, "error") or (half_with(result, "error") if isinstance(result, dict) else None):
        raise TraceInvalid(Problem("error", f"the request failed: {short(half.fields['error'])}"))
    return Half((), value)


def prompt_at(
    value: Mapping[str, Any],
    *,
    fields: Sequence[str],
    system: Sequence[str] = (),
    turns_of: Callable[[Any, str], list[Turn]] = turns_of,
) -> tuple[Prompt, list[tuple[str, ...]]]:
    """The prompt, from the first of these `fields` and of the fields `system`, and the paths of these two.

    The prompt of a response is empty where its row does not have the request.
    """
    turns: list[Turn] = []
    used: list[tuple[str, ...]] = []
    for names, read in ((system, system_turns), (fields, turns_of)):
        if half := half_with(value, *names):
            name = next(name for name in names if half.fields.get(name) is not None)
            turns += read(half.fields[name], half.path(name))
            used.append((*half.at, name))
    return prompt_of(turns), used


def system_turns(content: Any, path: str) -> list[Turn]:
    """The turn of a system prompt beside the messages: a text, a list of parts, or an object of parts."""
    if isinstance(content, dict):
        content, path = content.get("parts"), f"{path}.parts"
    return [turn("system", content, path)]


def sample_of(index: int, samples: Sequence[Any], response: Mapping[str, Any]) -> dict[str, Any]:
    """What marks one of several answers: their group, if the response has an id, and its number."""
    if len(samples) < 2:  # noqa: PLR2004 - one alone is no sample
        return {}
    group = first_text(response, "id", "responseId", "response_id", "gen_ai.response.id")[1]
    return {"group": group, "sample": index}


def left_of(value: Mapping[str, Any], *paths: tuple[str, ...]) -> dict[str, Any]:
    """What is left of a row without the fields at these paths, and without the objects that are empty then."""
    left: dict[str, Any] = {}
    for name, item in value.items():
        inner = [path[1:] for path in paths if path[0] == name]
        if () in inner:
            continue
        if inner and isinstance(item, dict):
            item = left_of(item, *inner)  # noqa: PLW2901 - what is left of it stands for it
            if not item:
                continue
        left[name] = item
    return left


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
        """Takes the reasoning of a turn, from its parts or tags in its text; returns the rest, and if it was cut."""
        n_before = len(self.all)
        for part in turn.parts:
            first_step: dict[str, Any] = {}
            if part.kind == "reasoning" and part.text.strip():
                first_step["step"] = len(self.all)
                self._split(part.text)
            elif part.kind == "redacted":
                if not self.all or self.all[-1]["type"] != "redacted":
                    self.add("redacted", REDACTED)
                first_step["step"] = len(self.all) - 1
            if part.rest and part.kind != "call":
                self.kept.append(first_step | part.rest)
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
