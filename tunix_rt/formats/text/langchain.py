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
_EMPTY: tuple[Any, ...] = (None, "", [], {}, False)


def is_langchain(message: Any) -> bool:
    """Whether it is a message of LangChain, in one of its three forms."""
    return isinstance(message, dict) and "role" not in message and "role" in langchain_fields(message)


def langchain_fields(message: dict[str, Any]) -> dict[str, Any]:
    """The fields of the message with its `role`; the message as it is where it is none of LangChain's.

    What is empty is left out; reasoning and calls in `additional_kwargs` stand beside the content.
    """
    inner, kind = message, message.get("type")
    if kind == "constructor" and isinstance(message.get("kwargs"), dict):
        inner, name = message["kwargs"], message.get("id")
        kind = name[-1] if isinstance(name, list) and name else inner.get("type")
    elif isinstance(message.get("data"), dict) and "content" in message["data"]:
        inner = message["data"]
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


def _role(kind: Any) -> str | None:
    if not isinstance(kind, str):
        return None
    return _ROLES.get(kind.removesuffix("Chunk").removesuffix("Message").lower())
