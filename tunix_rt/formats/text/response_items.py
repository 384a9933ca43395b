"""The items of OpenAI's Responses API, as agents log them: messages, reasoning, calls of tools and their results."""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.meta_values import as_line
from tunix_rt.formats.rows.typed_fields import rest_of
from tunix_rt.formats.text.messages import call_text
from tunix_rt.formats.text.sessions import Said, parts_left, text_in
from tunix_rt.json_values import parsed


def is_item(item: Mapping[str, Any]) -> bool:
    """Whether it is an item of a kind that is read here."""
    kind = item.get("type")
    return isinstance(kind, str) and (kind in ("message", "reasoning") or kind.endswith(("_call", "_call_output")))


def said_in_item(item: Mapping[str, Any]) -> Iterator[Said]:
    """What an item holds; nothing where it is of another kind."""
    kind = item.get("type")
    if kind == "message":
        text, others = text_in(item.get("content"))
        role = item.get("role")
        said: Any = "text" if role == "assistant" else "asked" if role == "user" else "context"
        yield Said(said, text, parts_left(others))
    elif kind == "reasoning":
        yield from _thought(item)
    elif isinstance(kind, str) and kind.endswith("_call_output"):
        text, rest = _output(item.get("output"))
        yield Said("result", text, rest)
    elif isinstance(kind, str) and kind.endswith("_call"):
        given = item.get("action")
        call = rest_of(item, "id", "call_id", "status") if given is None else {"name": kind, "arguments": given}
        yield Said("call", call_text(call))


def _thought(item: Mapping[str, Any]) -> Iterator[Said]:
    # The content is the reasoning itself; the summary is what there is without it.
    content, _ = text_in(item.get("content"))
    summary = [text_in(part)[0] for part in item["summary"]] if isinstance(item.get("summary"), list) else []
    if text := content or "\n\n".join(filter(None, summary)):
        yield Said("reasoning", text)
    elif item.get("encrypted_content"):
        yield Said("redacted", "")


def _output(output: Any) -> tuple[str, dict[str, Any]]:
    """The text of a tool's result, also where it is inside of an object, or of one written as JSON."""
    value = output
    if isinstance(output, str) and output.startswith("{"):
        try:
            value = parsed(output)
        except (ValueError, RecursionError):
            return output, {}
    if isinstance(value, dict):
        for name in ("output", "content"):
            if isinstance(value.get(name), str | list) and value.keys() <= {name, "metadata", "success"}:
                text, others = text_in(value[name])
                return text, rest_of(value, name) | parts_left(others)
        return (output if isinstance(output, str) else as_line(output)), {}
    text, others = text_in(output)
    return text, parts_left(others)
