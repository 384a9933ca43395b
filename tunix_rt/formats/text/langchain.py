"""Messages as LangChain writes them, in the fields that other messages have.

Their `type` says who speaks (`human`, `ai`, `tool`); written by `dumps` they are in `kwargs`, beside the name of their
class, and by `messages_to_dict` in `data`. The shapes were read from excerpts of published files,
`messages_to_dict` from documentation.
"""

from typing import Any

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
# Of the fields of a message, in a chat.
_KEPT = ("content", "tool_calls", "reasoning_content", "name", "refusal")
_EMPTY: tuple[Any, ...] = (None, "", [], {}, False)


def is_langchain(message: Any) -> bool:
    """Whether it is a message of LangChain, in one of its three forms."""
    return isinstance(message, dict) and "role" not in message and "role" in langchain_fields(message)


def langchain_fields(message: dict[str, Any]) -> dict[str, Any]:
    """The fields of the message with its `role`; the message as it is where it is none of LangChain's.

    What is empty is left out; reasoning and calls in `additional_kwargs` stand beside the content.
    """
    inner, kind = _inside(message)
    role = _role(kind)
    if role is None or "content" not in inner:
        return message
    fields = {name: item for name, item in inner.items() if item not in _EMPTY or name == "content"}
    more = fields.get("additional_kwargs")
    if isinstance(more, dict):
        lifted = {name: more[name] for name in ("reasoning_content", "function_call", "refusal") if more.get(name)}
        left = {name: item for name, item in more.items() if name not in lifted}
        if left.get("tool_calls") and fields.get("tool_calls"):
            # The same calls, as the provider wrote them.
            del left["tool_calls"]
        fields |= lifted | {"additional_kwargs": left}
        if not left:
            del fields["additional_kwargs"]
    fields.pop("type", None)
    return fields | {"role": role}


def as_chat(message: Any) -> Any:
    """The message with `role`, `content` and what a chat's message has besides; anything else as it is.

    >>> as_chat({"type": "human", "content": "2 + 2?"})
    {'role': 'user', 'content': '2 + 2?'}
    """
    if not isinstance(message, dict) or isinstance(message.get("role"), str):
        return message
    fields, kind = _inside(message)
    role = "user" if kind == "chat" else _role(kind)
    if role is None:
        return message
    chat = {name: fields[name] for name in _KEPT if fields.get(name) not in (None, [], "")}
    beside = fields.get("additional_kwargs")
    for name in ("tool_calls", "reasoning_content", "refusal", "function_call"):
        if isinstance(beside, dict) and name not in chat and beside.get(name):
            chat[name] = beside[name]
    content = chat.get("content")
    if "tool_calls" in chat and isinstance(content, list):
        # Anthropic's content repeats the calls.
        chat["content"] = [part for part in content if not (isinstance(part, dict) and part.get("type") == "tool_use")]
    return {"role": role, "content": ""} | chat


def _inside(message: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The fields of a message in any of its three forms, and the word for who speaks."""
    kind, arguments, data = message.get("type"), message.get("kwargs"), message.get("data")
    if kind in ("constructor", None) and isinstance(arguments, dict):
        name = message.get("id")
        return arguments, name[-1] if isinstance(name, list) and name else arguments.get("type")
    if isinstance(data, dict) and ("content" in data or "content" not in message):
        return data, kind
    return message, kind


def _role(kind: Any) -> str | None:
    if not isinstance(kind, str):
        return None
    return _ROLES.get(kind.removesuffix("Chunk").removesuffix("Message").lower())
