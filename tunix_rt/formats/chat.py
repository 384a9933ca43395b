"""Chats: OpenAI-style messages, ShareGPT's conversations, and the responses of a chat completion.

Sources: the chat completions interface of OpenAI and of the servers that speak it (vLLM, SGLang, DeepSeek, OpenRouter),
whose reasoning stands in `reasoning_content`, `reasoning` or `thinking`; the data sets of ShareGPT's shape.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.typed_fields import field, first_text, maybe, rest_of, typed
from tunix_rt.formats.text.dialogue import (
    Half,
    answer_draft,
    half_with,
    left_of,
    prompt_at,
    sample_of,
    split_at_answer,
    system_turns,
)
from tunix_rt.formats.text.messages import Part, Turn, speaker, turn_of, turns_of
from tunix_rt.json_values import parsed

# What other formats have beside messages, and a row of chat messages alone has not.
_OTHERS = {
    "trace_version",
    "payload",
    "steps",
    "final_answer",
    "completion",
    "choices",
    "candidates",
    "content",
    "output",
    "generations",
}


class MessagesFormat:
    """`messages`, each of `role` and `content`, the last answer of the assistant with its reasoning."""

    name = "messages"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a list of messages with roles, and no field of another format."""
        if not _all_have(value.get("messages"), "role"):
            return "no list messages of objects with role and content"
        other = sorted(_OTHERS & value.keys())
        return f"a field {other[0]} beside messages" if other else None

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row: the last answer, to all that was said before."""
        turns = turns_of(field(row.fields, "messages", list), "messages")
        return [_last_answer(row, turns, name=self.name, at="messages")]


class ShareGptFormat:
    """`conversations`, each of `from` (human, gpt) and `value`, and maybe `system` beside them."""

    name = "sharegpt"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a list of conversations with speakers and what they said."""
        said = value.get("conversations")
        if _all_have(said, "from", "value") or _all_have(said, "role", "content"):
            return None
        return "no list conversations of objects with from and value"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row: the last answer, to all that was said before."""
        said = field(row.fields, "conversations", list)
        turns = [_sharegpt_turn(message, f"conversations.{n}") for n, message in enumerate(said)]
        return [_last_answer(row, turns, name=self.name, at="conversations")]


class ChatCompletionFormat:
    """A response with `choices`, each of `message` and `finish_reason`; maybe with the request beside it."""

    name = "chat_completion"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are choices with messages, in the row or in its response."""
        half = half_with(value, "choices")
        return (
            None if half and _all_have(half.fields["choices"], "message") else "no list choices of objects with message"
        )

    def drafts(self, row: Row) -> Iterable[Draft | TraceInvalid]:
        """A trace for each choice."""
        value = row.fields
        at, fields = half = half_with(value, "choices") or Half((), value)
        path = half.path("choices")
        choices = field(fields, "choices", list, at=half.path(""))
        prompt, used = prompt_at(value, asked=("messages", "prompt"))
        model = half.text(used, "model")
        extra = left_of(value, (*at, "choices"), *used)
        for n, choice in enumerate(choices):
            place = f"{path}.{n}"
            try:
                parts = typed(choice, dict, place)
                message = field(parts, "message", dict, at=f"{place}.")
                known = {
                    "model": model,
                    "finish_reason": maybe(parts, "finish_reason", str, at=f"{place}."),
                    **sample_of(n, choices, fields, prompt),
                }
                rest = rest_of(parts, "message", "finish_reason", *(["index"] if parts.get("index") == n else []))
                yield answer_draft(
                    row,
                    name=self.name,
                    path=f"{place}.message",
                    prompt=prompt,
                    answer=turn_of({"role": "assistant"} | message, f"{place}.message"),
                    known=known,
                    extra=extra | ({"choice": rest} if rest else {}),
                )
            except TraceInvalid as error:
                yield error


def _all_have(messages: Any, *fields: str) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(message, dict) and all(field in message for field in fields) for message in messages)
    )


def _last_answer(row: Row, turns: list[Turn], *, name: str, at: str) -> Draft:
    value = row.fields
    known = {name: text for name in ("model", "finish_reason") if (text := first_text(value, name)[1])}
    used = [(at,), *((name,) for name in known)]
    if value.get("system") is not None:
        turns = system_turns(value["system"], "system") + turns
        used.append(("system",))
    place, answer, prompt = split_at_answer(turns, at)
    path = f"{at}.{place - (('system',) in used)}"
    return answer_draft(
        row, name=name, path=path, prompt=prompt, answer=answer, known=known, extra=left_of(value, *used)
    )


def _sharegpt_turn(value: Any, path: str) -> Turn:
    fields = typed(value, dict, path)
    if "from" not in fields and "role" in fields:
        return turn_of(fields, path)
    by, said = field(fields, "from", str, at=f"{path}."), field(fields, "value", str, at=f"{path}.")
    rest = {name: item for name, item in rest_of(fields, "from", "value").items() if item is not None}
    part = Part("call", "", _call_in(said)) if by == "function_call" else Part("text", said, {})
    return Turn(speaker(by), [part], rest, value)


def _call_in(said: str) -> dict[str, Any]:
    """A tool call is JSON in the text, mostly."""
    try:
        call = parsed(said)
    except (ValueError, RecursionError):
        call = None
    return call if isinstance(call, dict) else {"arguments": said}
