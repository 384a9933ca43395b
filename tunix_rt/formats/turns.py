"""Messages of a dialogue taken apart: what was asked, the steps on the way, and the answer.

Sources: OpenAI's chat messages, and those of Inspect, TRL, verifiers and google/tunix, which are made like them. A
content is a text or a list of parts; reasoning stands in a field of its own (servers differ in its name), in a part, or
in tags inside the text.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.reasoning import parse_written
from tunix_rt.formats.values import as_line, objects, text
from tunix_rt.model import Step

_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
_TEXT_PARTS = {"text", "input_text", "output_text"}
_REASONING_PARTS = {"reasoning", "thinking"}
_BY_THE_MODEL = {"assistant", "model"}
_INSTRUCTIONS = {"system", "developer"}
# Where the model's turn begins in a text rendered by one of the usual chat templates, and what ends it.
_MODEL_TURN = re.compile(
    r"<\|im_start\|>assistant\n|<\|start_header_id\|>assistant<\|end_header_id\|>\n\n"
    r"|<start_of_turn>model\n|<\|assistant\|>\n?|<｜Assistant｜>|\[/INST\]"
)
_TURN_END = re.compile(r"(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<｜end▁of▁sentence｜>|<\|endoftext\|>|</s>)\s*\Z")


class Turn(NamedTuple):
    """One message; `whole` says that it holds nothing else than this, so that nothing else must be kept of it."""

    role: str
    text: str
    reasoning: str = ""
    tool_calls: tuple[str, ...] = ()
    whole: bool = True

    @property
    def by_the_model(self) -> bool:
        """Whether the model wrote it."""
        return self.role in _BY_THE_MODEL


class Dialogue(NamedTuple):
    """A dialogue from its beginning: the prompt, what came of it, and whether these two are all there is of it."""

    prompt: str
    turns: list[Turn]
    whole: bool

    @classmethod
    def of(cls, turns: list[Turn]) -> Self:
        """The dialogue, cut where the model speaks for the first time."""
        first = next((place for place, turn in enumerate(turns) if turn.by_the_model), len(turns))
        alone = [turn.role for turn in turns[:first]] == ["user"] and len(turns) <= first + 1
        return cls(asked(turns[:first]), turns[first:], alone and all(turn.whole for turn in turns))

    @classmethod
    def rendered(cls, text: str) -> Self:
        """The dialogue in a text rendered by one of the usual chat templates, cut where the model speaks last.

        A text without the marks of any has no prompt that could be told from the rest.
        """
        cut = max((mark.end() for mark in _MODEL_TURN.finditer(text)), default=0)
        return cls(text[:cut], [Turn("assistant", _TURN_END.sub("", text[cut:]))], whole=True)


class Told(NamedTuple):
    """What came of a prompt: the reasoning as text or as steps, and the answer (None where there is none)."""

    reasoning: str | list[Step]
    answer: str | None


def turns_of(value: Any, path: str, *, ignoring: Iterable[str] = ()) -> list[Turn]:
    """The messages in `value`; TraceInvalid with the path of what is wrong.

    Fields named in `ignoring` are not worth keeping.
    """
    known = {"role", "content", *_REASONING_FIELDS, *ignoring}
    return [_turn(message, f"{path}.{place}", known) for place, message in enumerate(objects(value, path))]


def asked(turns: list[Turn]) -> str:
    """The one message of the user; or all messages, each behind its role, where there are more."""
    said = [turn for turn in turns if turn.role not in _INSTRUCTIONS]
    if len(said) == 1 and said[0].role == "user":
        return said[0].text
    return "\n\n".join(f"{turn.role}: {turn.text}" for turn in turns)


def told(turns: list[Turn]) -> Told:
    """Reasoning and answer: a lone message of the model taken apart, else a step for each thing said, done and seen."""
    if len(turns) == 1 and turns[0].by_the_model and not turns[0].tool_calls:
        return _taken_apart(turns[0])
    last = max((place for place, turn in enumerate(turns) if turn.by_the_model), default=None)
    kinds: list[tuple[str, str]] = []
    answer = None
    for place, turn in enumerate(turns):
        if not turn.by_the_model:
            kinds.append(("system" if turn.role in _INSTRUCTIONS else "observation", turn.text))
            continue
        reasoning, said = _taken_apart(turn)
        kinds.append(("reasoning", str(reasoning)))
        if place == last and not turn.tool_calls:
            answer = said
        else:
            kinds.append(("message", said or ""))
        kinds += (("tool_call", call) for call in turn.tool_calls)
    return Told(numbered(kinds), answer)


def numbered(kinds: Iterable[tuple[str, str]]) -> list[Step]:
    """Steps of these types and contents; empty contents are none."""
    said = [(kind, content) for kind, content in kinds if content]
    return [Step(i=i, type=kind, content=content) for i, (kind, content) in enumerate(said)]


def call_text(name: Any, arguments: Any) -> str:
    """A call of a tool as a step shows it: `search({"query": "…"})`."""
    return f"{as_line(name)}({'' if arguments is None else as_line(arguments)})"


def parts(content: Any, path: str) -> tuple[str, str]:
    """The text and the reasoning in a content, which is a text or a list of parts; `[image]` for what is no text."""
    if not isinstance(content, list):
        return text(content, path), ""
    said, thought = [], []
    for place, part in enumerate(content):
        here = f"{path}.{place}"
        if isinstance(part, str):
            said.append(part)
            continue
        if not isinstance(part, dict):
            raise TraceInvalid(Problem(here, "must be an object or a string"))
        kind = part.get("type")
        if not isinstance(kind, str):
            raise TraceInvalid(Problem(f"{here}.type", "must be a string" if "type" in part else "missing"))
        if kind in _TEXT_PARTS:
            said.append(text(part.get("text"), f"{here}.text"))
        elif kind in _REASONING_PARTS:
            field = "thinking" if "thinking" in part else "reasoning"
            thought.append(text(part.get(field), f"{here}.{field}"))
        else:
            said.append(f"[{kind}]")
    return "".join(said), "\n\n".join(thought)


def _turn(message: Mapping[str, Any], path: str, known: set[str]) -> Turn:
    # Parquet gives every message the fields of all, null where it has none.
    message = {name: item for name, item in message.items() if item is not None}
    role = message.get("role")
    if not isinstance(role, str):
        raise TraceInvalid(Problem(f"{path}.role", "must be a string" if "role" in message else "missing"))
    said, thought = parts(message.get("content"), f"{path}.content")
    field = next((field for field in _REASONING_FIELDS if message.get(field)), None)
    if field:
        thought = text(message[field], f"{path}.{field}")
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise TraceInvalid(Problem(f"{path}.tool_calls", "must be a list"))
    whole = message.keys() <= known and isinstance(message.get("content", ""), str)
    return Turn(role, said, thought, tuple(map(_call, calls or ())), whole)


def _call(call: Any) -> str:
    """Of OpenAI (`function` is an object), of Inspect (it is the name), or plain."""
    if not isinstance(call, dict):
        return as_line(call)
    function = call.get("function")
    if isinstance(function, dict):
        return call_text(function.get("name", ""), function.get("arguments"))
    name = function or call.get("name")
    return call_text(name, call.get("arguments")) if isinstance(name, str) else as_line(call)


def _taken_apart(turn: Turn) -> Told:
    if turn.reasoning:
        return Told(turn.reasoning, turn.text or None)
    written = parse_written(turn.text)
    return Told(written.reasoning, written.answer or None)
