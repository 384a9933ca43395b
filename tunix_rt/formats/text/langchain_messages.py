"""Messages of LangChain as those of a chat: of `type` human, ai, tool, alone or as constructors with `kwargs`."""

from typing import Any

_ROLES = {
    "human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool", "developer": "system",
    "chat": "user",
}  # fmt: skip
_KEPT = ("content", "tool_calls", "reasoning_content", "name", "refusal")


def as_chat(message: Any) -> Any:
    """The message with `role` and `content`; anything else as it is.

    >>> as_chat({"type": "human", "content": "2 + 2?"})
    {'role': 'user', 'content': '2 + 2?'}
    """
    if not isinstance(message, dict) or isinstance(message.get("role"), str):
        return message
    fields = message
    kind = str(message.get("type"))
    for name in ("kwargs", "data"):
        if isinstance(message.get(name), dict):
            fields = message[name]
    names = message.get("id")
    if kind in ("constructor", "None") and isinstance(names, list) and names and isinstance(names[-1], str):
        kind = names[-1].removesuffix("Chunk").removesuffix("Message").lower()
    elif isinstance(fields.get("type"), str):
        kind = fields["type"]
    role = _ROLES.get(kind.removesuffix("Chunk").removesuffix("Message").lower())
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
