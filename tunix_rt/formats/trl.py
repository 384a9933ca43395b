"""What TRL trains on: steps that were judged, preferences, prompts with completions; as texts or as messages.

Source: huggingface/trl, docs/source/dataset_formats.md ("standard" and "conversational").
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.process import judged_draft
from tunix_rt.formats.row import Draft, Row, group_of, rest_of, written_draft
from tunix_rt.formats.typed import field, fields_in, maybe, source_of, typed

_REASONING_FIELDS = ("thinking", "reasoning_content", "reasoning")


class StepwiseFormat:
    """`prompt`, `completions` (the steps) and `labels`, true for each right one."""

    name = "stepwise"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a prompt, a list of steps and a list of labels."""
        if "prompt" in value and isinstance(value.get("completions"), list) and isinstance(value.get("labels"), list):
            return None
        return "no prompt with lists completions and labels"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row."""
        fields = fields_in(row)
        source, from_field = source_of(fields, self.name)
        asked = _Asked.of(fields.get("prompt"), "prompt")
        steps = [typed(step, str, f"completions.{i}") for i, step in enumerate(field(fields, "completions", list))]
        labels = field(fields, "labels", list)
        if len(labels) != len(steps):
            raise TraceInvalid(Problem("labels", f"{len(labels):,} labels of {len(steps):,} completions"))
        right = [label if label is None else typed(label, bool, f"labels.{i}") for i, label in enumerate(labels)]
        yield judged_draft(
            row,
            prompt=asked.text,
            source=source,
            steps=steps,
            labels=[None if label is None else 1 if label else -1 for label in right],
            known=asked.meta,
            extra=rest_of(fields, "prompt", "completions", "labels", *from_field),
        )


class PreferenceFormat:
    """`chosen` and `rejected`, both of them answers to `prompt`, or dialogues that begin with it."""

    name = "preference"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where both are there, as texts or as lists of messages."""
        both = (value.get("chosen"), value.get("rejected"))
        return None if all(map(_is_said, both)) else "no chosen and rejected that are texts or lists of messages"

    def drafts(self, row: Row) -> Iterable[Draft | TraceInvalid]:
        """The chosen one and the rejected one, of one group; `meta["preferred"]` tells which is which."""
        fields = fields_in(row)
        prompt, chosen, rejected = (fields.get(name) for name in ("prompt", "chosen", "rejected"))
        asked_in = "prompt"
        if prompt is None:
            asked_in = "chosen"
            prompt, chosen, rejected = _without_beginning(chosen, rejected)
        asked = _Asked.of(prompt, asked_in)
        source, from_field = source_of(fields, self.name)
        extra = rest_of(fields, "prompt", "chosen", "rejected", *from_field)
        for name, said, preferred in (("chosen", chosen, True), ("rejected", rejected, False)):
            try:
                known = {"preferred": preferred}
                yield _answer_draft(row, asked=asked, source=source, said=said, name=name, known=known, extra=extra)
            except TraceInvalid as error:
                yield error


class PromptCompletionFormat:
    """`prompt` and `completion`; with `label`, whether the completion is preferred."""

    name = "prompt_completion"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where both are there, as texts or as lists of messages."""
        both = (value.get("prompt"), value.get("completion"))
        return None if all(map(_is_said, both)) else "no prompt and completion that are texts or lists of messages"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row."""
        fields = fields_in(row)
        source, from_field = source_of(fields, self.name)
        label = fields.get("label")
        of_label = ("label",) if isinstance(label, bool) else ()
        yield _answer_draft(
            row,
            asked=_Asked.of(fields.get("prompt"), "prompt"),
            source=source,
            said=fields.get("completion"),
            name="completion",
            known={"preferred": label} if of_label else {},
            extra=rest_of(fields, "prompt", "completion", *of_label, *from_field),
        )


class _Message(NamedTuple):
    """A message: its role, its text, its reasoning (None where it has no field for that), and whether that is all."""

    role: str
    text: str
    reasoning: str | None
    is_whole: bool
    raw: Any

    @classmethod
    def of(cls, item: Any, path: str) -> Self:
        """The message at this path; a content of parts is the text of those that are text."""
        # Parquet has every field in every message, null where it is not used.
        fields = {name: value for name, value in typed(item, dict, path).items() if value is not None}
        content = fields.get("content", "")
        if isinstance(content, list):
            parts = [typed(part, dict, f"{path}.content.{i}") for i, part in enumerate(content)]
            texts = [maybe(part, "text", str, at=f"{path}.content.{i}.") or "" for i, part in enumerate(parts)]
            text = "\n".join(filter(None, texts))
        else:
            text = typed(content, str, f"{path}.content")
        named = next((name for name in _REASONING_FIELDS if name in fields), None)
        return cls(
            role=field(fields, "role", str, at=f"{path}."),
            text=text,
            reasoning=field(fields, named, str, at=f"{path}.") if named else None,
            is_whole=fields.keys() <= {"role", "content", named} and isinstance(content, str),
            raw=item,
        )


class _Asked(NamedTuple):
    """A prompt: its text, what of it goes to meta, and the messages that it was made of, if it was."""

    text: str
    meta: dict[str, Any]
    messages: list[_Message]

    @classmethod
    def of(cls, prompt: Any, path: str) -> Self:
        """A text; or messages: the user's text where it is the only one, else all that was said, each by its role.

        What the system says goes to `meta["system"]`, and messages that these texts do not tell to `meta["messages"]`.
        """
        return cls(prompt, {}, []) if isinstance(prompt, str) else cls.from_messages(_messages(prompt, path))

    @classmethod
    def from_messages(cls, messages: list[_Message]) -> Self:
        """The prompt that these messages are."""
        system = [message for message in messages if message.role == "system"]
        spoken = [message for message in messages if message.role != "system"]
        alone = [message.role for message in spoken] == ["user"]
        text = "\n\n".join(one.text if alone else f"{one.role.capitalize()}: {one.text}" for one in spoken)
        of_system = "\n\n".join(one.text for one in system)
        meta: dict[str, Any] = {"system": of_system} if spoken and system else {}
        if not alone or messages[:-1] != system[:1] or not all(one.is_whole for one in messages):
            meta["messages"] = [one.raw for one in messages]
        # Where nobody else speaks, what the system says is all that the model was given.
        text = text if spoken else of_system
        return cls(text, meta, messages)


def _answer_draft(
    row: Row, *, asked: _Asked, source: str, said: Any, name: str, known: Mapping[str, Any], extra: Mapping[str, Any]
) -> Draft:
    """The trace of what was said to a prompt: a text, or messages, the last of which by the assistant is the answer.

    Messages that the trace does not hold entirely stay in `extra` under their field's name.
    """
    if isinstance(said, str):
        answer = _Message("assistant", said, None, is_whole=True, raw=said)
    else:
        messages = _messages(said, name)
        place = next((i for i in reversed(range(len(messages))) if messages[i].role == "assistant"), None)
        if place is None:
            raise TraceInvalid(Problem(name, "no message of the assistant"))
        answer, before = messages[place], messages[:place]
        if before and not asked.messages and before[-1].text.strip() == asked.text.strip():
            # Beside a text many data sets have it once more in the dialogue, and there with the system's.
            asked, before = _Asked.from_messages(before), []
        elif before[: len(asked.messages)] == asked.messages:
            before = before[len(asked.messages) :]
        if before or messages[place + 1 :] or not answer.is_whole:
            extra = {**extra, name: said}
    # Who calls a tool was not cut short, even if there is no text.
    text = answer.text or (None if answer.is_whole else "")
    in_fields = answer.reasoning is not None or not text
    return written_draft(
        row,
        prompt=asked.text,
        source=source,
        written=None if in_fields else text,
        reasoning=answer.reasoning or "",
        answer=text,
        known={"group": group_of(asked.text), **asked.meta, **known},
        extra=extra,
    )


def _messages(item: Any, path: str) -> list[_Message]:
    if not _is_said(item):
        raise TraceInvalid(Problem(path, "missing" if item is None else "must be a string or a list of messages"))
    return [_Message.of(message, f"{path}.{i}") for i, message in enumerate(item)]


def _is_said(item: Any) -> bool:
    return isinstance(item, str | list)


def _without_beginning(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """The prompt that both begin with, and both: texts without it, and from a whole word on; dialogues as they are."""
    shared: Any = []
    if isinstance(chosen, str) and isinstance(rejected, str):
        spaces = list(re.finditer(r"(?<!\s)\s", chosen[: _n_alike(chosen, rejected)]))
        shared = chosen[: spaces[-1].start()] if spaces else ""
        chosen, rejected = chosen[len(shared) :], rejected[len(shared) :]
    elif isinstance(chosen, list) and isinstance(rejected, list):
        # The last message is an answer even where both give the same.
        shared = chosen[: _n_alike(chosen[:-1], rejected[:-1])]
    if not shared:
        raise TraceInvalid(Problem("prompt", "missing, and chosen and rejected have no beginning in common"))
    return shared, chosen, rejected


def _n_alike(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items are the same from the beginning on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (item, beside) in pairs if item != beside), min(len(one), len(other)))
