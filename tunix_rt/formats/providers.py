"""Responses of the providers' own interfaces: OpenAI Responses, Anthropic Messages, Gemini's generateContent.

Sources: their published references. Each has reasoning in items of its own, open, summarised or sealed; seals and
signatures are kept, since a dialogue can be continued only with them. The request, where it was logged beside the
response, has the prompt.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field, maybe, rest_of, typed
from tunix_rt.formats.text.dialogue import Half, answer_half, found_in_answer, half_with, left_of, prompt_at, sample_of
from tunix_rt.formats.text.messages import (
    Part,
    Turn,
    part_of,
    parts_of,
    speaker,
    turn,
    turn_of,
    turns_of,
)

_SIGNATURES = {"thoughtSignature", "thought_signature"}
_FUNCTION_CALLS = {"functionCall", "function_call"}


class OpenAiResponsesReader:
    """A response with `output`: items of reasoning (open, summarised or sealed), messages, tool calls."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is an output of typed items, one of them a message, reasoning or a call."""
        half = half_with(value, "output")
        kinds = _types(half.fields["output"]) if half else []
        if any(kind in {"message", "reasoning"} or kind.endswith("_call") for kind in kinds):
            return None
        return "no list output of items with type reasoning or message"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: all items of the output are one answer."""
        value = row.fields
        half = answer_half(value, "output")
        path = half.path("output")
        items = field(half.fields, "output", list, at=half.path(""))
        inputs = ("input", "prompt") if isinstance(value.get("prompt"), str) else ("input",)
        prompt, used = prompt_at(value, fields=inputs, system=("instructions",), turns_of=_input_turns)
        used.append((*half.at, "output"))
        model = half.text(used, "model")
        details = half.fields.get("incomplete_details")
        why = Half((*half.at, "incomplete_details"), details if isinstance(details, dict) else {})
        finish = why.text(used, "reason") or half.text(used, "status")
        answer = Turn("assistant", _output_parts(items, path), {}, items)
        meta = {"model": model, "finish_reason": finish}
        yield found_in_answer(prompt, answer, path=path, meta=meta, extra=left_of(value, *used))


class AnthropicReader:
    """A message with `content`: blocks of thinking with its signature, of redacted thinking, of text, of tool use."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a content of typed blocks, in an assistant's message or with thinking in it."""
        half = half_with(value, "content")
        kinds = _types(half.fields["content"]) if half else []
        if (
            half
            and kinds
            and (half.fields.get("role") == "assistant" or {"thinking", "redacted_thinking"} & set(kinds))
        ):
            return None
        return "no list content of blocks with type thinking or text by the assistant"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row."""
        value = row.fields
        half = answer_half(value, "content")
        path = half.path("content")
        answer = Turn("assistant", parts_of(field(half.fields, "content", list, at=half.path("")), path), {}, value)
        prompt, used = prompt_at(value, fields=("messages", "prompt"), system=("system",))
        used.append((*half.at, "content"))
        meta = {"model": half.text(used, "model"), "finish_reason": half.text(used, "stop_reason")}
        if half.fields.get("role") == "assistant":
            used.append((*half.at, "role"))
        yield found_in_answer(prompt, answer, path=path, meta=meta, extra=left_of(value, *used))


class GeminiReader:
    """A response with `candidates`, or the `parts` of one: thoughts, texts and function calls, with signatures."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are candidates with content, or parts among which are thoughts or signatures."""
        half = half_with(value, "candidates", "parts")
        if half is None:
            return "no list candidates or parts"
        found = half.fields.get("candidates")
        if isinstance(found, list) and any(isinstance(one, dict) and _is_content(one.get("content")) for one in found):
            return None
        parts = half.fields.get("parts")
        if isinstance(parts, list) and any(
            isinstance(one, dict) and one.keys() & {"thought", *_SIGNATURES} for one in parts
        ):
            return None
        return "no candidates with content.parts, and no parts with thought or thought_signature"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each candidate, or the one of the parts."""
        value = row.fields
        half = answer_half(value, "candidates", "parts")
        kind = "parts" if half.fields.get("candidates") is None and "parts" in half.fields else "candidates"
        path = half.path(kind)
        found = field(half.fields, kind, list, at=half.path(""))
        prompt, used = prompt_at(
            value, fields=("contents", "prompt"), system=("systemInstruction", "system_instruction"), turns_of=_contents
        )
        used.append((*half.at, kind))
        model = half.text(used, "modelVersion", "model_version", "model")
        extra = left_of(value, *used)
        answers = [found] if kind == "parts" else found
        for n, answer in enumerate(answers):
            at = path if kind == "parts" else f"{path}.{n}"
            meta = {"model": model, **sample_of(n, answers, half.fields)}
            try:
                reply = _gemini_turn(answer, at) if kind == "parts" else _candidate(answer, at, n)
                yield found_in_answer(prompt, reply, path=at, meta=meta, extra=extra)
            except TraceInvalid as error:
                yield error


def _types(items: Any) -> list[str]:
    """The types of a list of typed objects; none of any other value."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return []
    types = [item.get("type") for item in items]
    return types if all(isinstance(kind, str) for kind in types) else []


def _input_turns(value: Any, path: str) -> list[Turn]:
    """The turns of a Responses input: messages, and items of reasoning, calls and their results between them."""
    if isinstance(value, str):
        return turns_of(value, path)
    return [_input_turn(item, f"{path}.{n}") for n, item in enumerate(typed(value, list, path))]


def _input_turn(value: Any, path: str) -> Turn:
    item = typed(value, dict, path)
    if "role" in item:
        return turn_of(rest_of(item, "type"), path)._replace(raw=value)
    part = part_of(item, path)
    return Turn("tool" if part.kind == "other" else "assistant", [part], {}, value)


def _output_parts(items: list[Any], path: str) -> list[Part]:
    parts: list[Part] = []
    for n, value in enumerate(items):
        item = typed(value, dict, f"{path}.{n}")
        if item.get("type") != "message":
            parts.append(part_of(item, f"{path}.{n}"))
            continue
        content = parts_of(item.get("content"), f"{path}.{n}.content")
        if content and any(part.kind == "text" for part in parts):
            # Two messages in one answer are two paragraphs.
            content.insert(0, Part("text", "\n\n", {}))
        parts += [*content, Part("other", "", rest_of(item, "content"))]
    return parts


def _contents(value: Any, path: str) -> list[Turn]:
    """The turns of Gemini's contents, which may be one text or one content too."""
    if isinstance(value, str):
        return turns_of(value, path)
    if isinstance(value, dict):
        return [_gemini_turn(value, path)]
    return [_gemini_turn(content, f"{path}.{n}") for n, content in enumerate(typed(value, list, path))]


def _is_content(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("parts"), list)


def _gemini_turn(value: Any, path: str, *, role: str = "user") -> Turn:
    """The turn of a content, or of a text or a list of parts in its place."""
    if isinstance(value, str):
        return turn(role, value, path)
    if isinstance(value, list):
        return Turn(role, _gemini_parts(value, path), {}, value)
    fields = typed(value, dict, path)
    role = speaker(maybe(fields, "role", str, at=f"{path}.") or role)
    parts = [] if fields.get("parts") is None else _gemini_parts(fields["parts"], f"{path}.parts")
    return Turn(role, parts, rest_of(fields, "role", "parts"), value)


def _candidate(value: Any, path: str, index: int) -> Turn:
    fields = typed(value, dict, path)
    content = maybe(fields, "content", dict, at=f"{path}.") or {}
    answer = _gemini_turn(content, f"{path}.content", role="assistant")
    rest = rest_of(fields, "content", "finishReason", "index") | answer.rest
    if (finish := maybe(fields, "finishReason", str, at=f"{path}.")) is not None:
        rest["finish_reason"] = finish
    if fields.get("index", index) != index:
        rest["index"] = fields["index"]
    return answer._replace(rest=rest)


def _gemini_parts(value: Any, path: str) -> list[Part]:
    return [_gemini_part(part, f"{path}.{n}") for n, part in enumerate(typed(value, list, path))]


def _gemini_part(value: Any, path: str) -> Part:
    fields = {name: item for name, item in typed(value, dict, path).items() if item is not None}
    if fields.keys() & _FUNCTION_CALLS:
        return Part("call", "", fields)
    if "text" not in fields:
        return Part("other", "", fields)
    text, thought = field(fields, "text", str, at=f"{path}."), maybe(fields, "thought", bool, at=f"{path}.")
    rest = rest_of(fields, "text", "thought")
    if not thought:
        return Part("text", text, rest)
    return Part("redacted" if rest.keys() & _SIGNATURES and not text.strip() else "reasoning", text, rest)
