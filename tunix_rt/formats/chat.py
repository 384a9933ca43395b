"""Chats: OpenAI-style messages in and out; ShareGPT's conversations and the responses of a chat completion in.

Sources: the chat completions interface of OpenAI and of the servers that speak it (vLLM, SGLang, DeepSeek, OpenRouter),
whose reasoning is in `reasoning_content`, `reasoning` or `thinking`; the data sets of ShareGPT's shape.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.tally import NO_ANSWER, Tally
from tunix_rt.formats.rows.typed_fields import field, first_text, maybe, rest_of, typed
from tunix_rt.formats.text.completion import reasoning_of, system_of
from tunix_rt.formats.text.dialogue import (
    Half,
    found_in_answer,
    half_with,
    left_of,
    prompt_at,
    sample_of,
    split_at_answer,
    system_turns,
)
from tunix_rt.formats.text.messages import Part, Turn, speaker, turn_of, turns_of
from tunix_rt.json_values import parsed
from tunix_rt.model import TraceRecord

# Fields that other formats have beside messages; a row of chat messages alone has none of them.
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


class MessagesReader:
    """`messages`, each of `role` and `content`, the last answer of the assistant with its reasoning."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a list of messages with roles, and no field of another format."""
        if not _all_have(value.get("messages"), "role"):
            return "no list messages of objects with role and content"
        other = sorted(_OTHERS & value.keys())
        return f"a field {other[0]} beside messages" if other else None

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: the last answer, to all messages before it."""
        yield _last_answer(row.fields, turns_of(field(row.fields, "messages", list), "messages"), "messages")


class ShareGptReader:
    """`conversations`, each of `from` (human, gpt) and `value`, and maybe `system` beside them."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a list of messages with their speakers."""
        messages = value.get("conversations")
        if _all_have(messages, "from", "value") or _all_have(messages, "role", "content"):
            return None
        return "no list conversations of objects with from and value"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: the last answer, to all messages before it."""
        messages = field(row.fields, "conversations", list)
        turns = [_sharegpt_turn(message, f"conversations.{n}") for n, message in enumerate(messages)]
        yield _last_answer(row.fields, turns, "conversations")


class ChatCompletionReader:
    """A response with `choices`, each of `message` and `finish_reason`; maybe with the request beside it."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are choices with messages, in the row or in its response."""
        half = half_with(value, "choices")
        return (
            None if half and _all_have(half.fields["choices"], "message") else "no list choices of objects with message"
        )

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each choice."""
        value = row.fields
        at, fields = half = half_with(value, "choices") or Half((), value)
        path = half.path("choices")
        choices = field(fields, "choices", list, at=half.path(""))
        prompt, used = prompt_at(value, fields=("messages", "prompt"))
        model = half.text(used, "model")
        extra = left_of(value, (*at, "choices"), *used)
        for n, choice in enumerate(choices):
            at_choice = f"{path}.{n}"
            try:
                parts = typed(choice, dict, at_choice)
                message = field(parts, "message", dict, at=f"{at_choice}.")
                meta = {
                    "model": model,
                    "finish_reason": maybe(parts, "finish_reason", str, at=f"{at_choice}."),
                    **sample_of(n, choices, fields),
                }
                rest = rest_of(parts, "message", "finish_reason", *(["index"] if parts.get("index") == n else []))
                at_message = f"{at_choice}.message"
                answer = turn_of({"role": "assistant"} | message, at_message)
                more = extra | ({"choice": rest} if rest else {})
                yield found_in_answer(prompt, answer, path=at_message, meta=meta, extra=more)
            except TraceInvalid as error:
                yield error


def messages(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`messages`: system (where meta has one), user, and assistant with `reasoning_content` (where there are steps)."""
    trace = record.payload
    if not trace.final_answer:
        tally.left_out[NO_ANSWER] += 1
        return None
    system, reasoning = system_of(trace), reasoning_of(trace)
    answer = {"role": "assistant"} | ({"reasoning_content": reasoning} if reasoning else {})
    return {
        "messages": [
            *([{"role": "system", "content": system}] if system else []),
            {"role": "user", "content": trace.prompt},
            answer | {"content": trace.final_answer},
        ]
    }


def _all_have(messages: Any, *fields: str) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(message, dict) and all(field in message for field in fields) for message in messages)
    )


def _last_answer(value: Mapping[str, Any], turns: list[Turn], at: str) -> Found:
    meta = {name: text for name in ("model", "finish_reason") if (text := first_text(value, name)[1])}
    used = [(at,), *((name,) for name in meta)]
    if value.get("system") is not None:
        turns = system_turns(value["system"], "system") + turns
        used.append(("system",))
    index, answer, prompt = split_at_answer(turns, at)
    path = f"{at}.{index - (('system',) in used)}"
    return found_in_answer(prompt, answer, path=path, meta=meta, extra=left_of(value, *used))


def _sharegpt_turn(value: Any, path: str) -> Turn:
    fields = typed(value, dict, path)
    if "from" not in fields and "role" in fields:
        return turn_of(fields, path)
    by, text = field(fields, "from", str, at=f"{path}."), field(fields, "value", str, at=f"{path}.")
    rest = {name: item for name, item in rest_of(fields, "from", "value").items() if item is not None}
    part = Part("call", "", _call_in(text)) if by == "function_call" else Part("text", text, {})
    return Turn(speaker(by), [part], rest, value)


def _call_in(text: str) -> dict[str, Any]:
    """A tool call is JSON in the text, mostly."""
    try:
        call = parsed(text)
    except (ValueError, RecursionError):
        call = None
    return call if isinstance(call, dict) else {"arguments": text}
