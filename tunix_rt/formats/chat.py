"""Chats: OpenAI-style messages in and out; ShareGPT's conversations, LangChain's messages and templated texts in.

Sources: the messages of OpenAI and of the servers that speak its interface (vLLM, SGLang, DeepSeek, OpenRouter), whose
reasoning is in `reasoning_content`, `reasoning` or `thinking`; the data sets of ShareGPT's shape, with LLaMA-Factory's
additions, from its documentation; LangChain's messages as excerpts of published files have them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.containers.wrapped_rows import conversation_of, speaker_of
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.tally import NO_ANSWER, Tally
from tunix_rt.formats.rows.typed_fields import field, first_text, rest_of
from tunix_rt.formats.text.chat_templates import split_turns
from tunix_rt.formats.text.completion import reasoning_of, system_of
from tunix_rt.formats.text.dialogue import (
    found_in_answer,
    found_in_rollout,
    left_of,
    split_at_answer,
    split_at_beginning,
    system_turns,
)
from tunix_rt.formats.text.langchain import is_langchain
from tunix_rt.formats.text.messages import Turn, turn, turns_of
from tunix_rt.model import TraceRecord

_OF_LANGCHAIN = {
    "model": ("model_name", "model"),
    "finish_reason": ("finish_reason", "stop_reason", "done_reason"),
}
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
        yield _last_answer(row.fields, turns_of(messages, "conversations"), "conversations")


class LangChainReader:
    """`messages` of LangChain: `type` human, ai or tool, with `content`; in each form that it writes."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a list of messages whose types say who speaks."""
        given = value.get("messages")
        if isinstance(given, list) and given and all(map(is_langchain, given)):
            return None
        return "no list messages of objects with type human, ai or tool"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: the last answer; its model and reason to end are in `response_metadata`."""
        turns = turns_of(field(row.fields, "messages", list), "messages")
        yield _last_answer(row.fields, turns, "messages")


class OtherMessagesReader:
    """A list of messages under any other name, where the row has exactly one; of an agent, each turn is a step."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where exactly one field is a dialogue of a model and others."""
        names = [name for name, item in value.items() if isinstance(item, list) and _is_dialogue(item)]
        return None if len(names) == 1 else "not one list alone of messages with role and content"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: the last answer, or all of an agent's turns after the prompt."""
        value = row.fields
        name = next((name for name, item in value.items() if isinstance(item, list) and _is_dialogue(item)), "messages")
        turns = turns_of(field(value, name, list), name)
        if not any(turn.role == "tool" or turn.calls for turn in turns):
            yield _last_answer(value, turns, name)
            return
        prompt, rollout = split_at_beginning(turns)
        meta = {key: text for key in ("model", "finish_reason") if (text := first_text(value, key)[1])}
        extra = rest_of(value, name, *meta)
        yield found_in_rollout(prompt, rollout, path=name, meta=meta, extra=extra, messages={name: value[name]})


class TemplatedTextReader:
    """`text`: a whole dialogue, by the marks of a chat template, such as `<|im_start|>user`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the text begins with the mark of a template, and a model speaks in it."""
        text = value.get("text")
        turns = split_turns(text) if isinstance(text, str) else None
        return None if turns and any(turn.role == "assistant" for turn in turns) else "no text with a chat template"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: the last answer, to all turns before it."""
        text = field(row.fields, "text", str)
        turns = [turn(said.role, said.text, "text") for said in split_turns(text) or []]
        yield _last_answer(row.fields, turns, "text")


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


def _is_dialogue(messages: list[Any]) -> bool:
    """Whether these are messages, of a model and of others."""
    if not messages or not all(isinstance(message, dict) for message in messages):
        return False
    if all(map(is_langchain, messages)):
        return True
    speakers = [speaker_of(message) for message in messages]
    return all(speakers) and conversation_of([one for one in speakers if one]) is not None


def _all_have(messages: Any, *fields: str) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(message, dict) and all(field in message for field in fields) for message in messages)
    )


def _last_answer(value: Mapping[str, Any], turns: list[Turn], at: str) -> Found:
    meta: dict[str, Any] = {name: text for name in ("model", "finish_reason") if (text := first_text(value, name)[1])}
    used = [(at,), *((name,) for name in meta)]
    # As KTO has it: whether this answer is a good one.
    if label := next((name for name in ("label", "kto_tag") if isinstance(value.get(name), bool)), None):
        meta["preferred"] = value[label]
        used.append((label,))
    if value.get("system") is not None:
        turns = system_turns(value["system"], "system") + turns
        used.append(("system",))
    index, answer, prompt = split_at_answer(turns, at)
    if isinstance(told := answer.rest.get("response_metadata"), dict):
        for key, names in _OF_LANGCHAIN.items():
            if key not in meta and (text := first_text(told, *names)[1]):
                meta[key] = text
    path = f"{at}.{index - (('system',) in used)}"
    return found_in_answer(prompt, answer, path=path, meta=meta, extra=left_of(value, *used))
