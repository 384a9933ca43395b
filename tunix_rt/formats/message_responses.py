"""Responses with one message: of Bedrock's Converse, of Cohere's v2 chat, of Ollama's, and of any that is like these.

The shapes were read from documentation only. A response that was kept without its request has an empty prompt.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field
from tunix_rt.formats.text.dialogue import Half, answer_half, found_in_answer, half_with, left_of, prompt_at
from tunix_rt.formats.text.messages import speaker, turn_of

_FINISH = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_MODEL = ("model", "modelId", "model_id")
# Fields of the events of a session, each of which has a message.
_OF_EVENTS = {"parentUuid", "sessionId", "session_id"}


class MessageResponseReader:
    """`message` of the assistant, with its `finish_reason` or the like beside it."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a message of the assistant, in the row or in its response, that is no event of a log."""
        half = half_with(value, "message")
        if half and _is_answer(half.fields["message"]) and not _OF_EVENTS & value.keys():
            return None
        return "no message of the assistant with content"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row."""
        half = answer_half(row.fields, "message")
        yield _found(row.fields, half, half)


class BedrockReader:
    """`output` with a `message`, whose content has `text`, `reasoningContent` and `toolUse`; `stopReason` beside it."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is an output with a message of the assistant."""
        half = half_with(value, "output")
        output = half.fields["output"] if half else None
        return None if isinstance(output, dict) and _is_answer(output.get("message")) else "no output.message"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row."""
        half = answer_half(row.fields, "output")
        output = field(half.fields, "output", dict, at=f"{half.path()}." if half.at else "")
        yield _found(row.fields, half, Half((*half.at, "output"), output))


def _is_answer(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    return speaker(message["role"]) == "assistant" and bool(
        message.keys() & {"content", "tool_calls", "reasoning_content", "thinking"}
    )


def _found(value: Mapping[str, Any], response: Half, half: Half) -> Found:
    message = field(half.fields, "message", dict, at=f"{half.path()}." if half.at else "")
    path = half.path("message")
    answer = turn_of({"role": "assistant"} | message, path)
    prompt, used = prompt_at(value, fields=("messages", "prompt"), system=("system",))
    used.append((*half.at, "message"))
    asked = half_with(value, *_MODEL) or response
    meta = {"model": asked.text(used, *_MODEL), "finish_reason": response.text(used, *_FINISH)}
    return found_in_answer(prompt, answer, path=path, meta=meta, extra=left_of(value, *used))
