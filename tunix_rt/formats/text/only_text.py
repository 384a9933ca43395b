"""The text of an object whose names say nothing: its only text. Where it has several, they are refused by name."""

from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid

# Texts about a message or a part of it, which are not what it says.
_ABOUT = {
    *("type", "role", "from", "name", "id", "uuid", "index", "status", "phase", "format", "lang", "language", "title"),
    *("model", "timestamp", "created_at", "created", "date", "time", "source", "author", "channel", "recipient"),
    *("tool_call_id", "call_id", "finish_reason", "stop_reason", "object", "content_type", "mime_type", "mimeType"),
    *("url", "uri", "file_id", "file_name", "filename", "path", "detail", "cache_control", "citations"),
    *("encrypted_content", "data", "redacted_data", "signature", "thoughtSignature", "thought_signature"),
}


def texts_in(fields: Mapping[str, Any], *, besides: Iterable[str] = ()) -> list[str]:
    """The names of the fields that are texts and may be what is said."""
    passed = {*_ABOUT, *besides}
    return [
        name
        for name, item in fields.items()
        if isinstance(item, str) and item.strip() and name not in passed and not name.endswith("_id")
    ]


def only_text(fields: Mapping[str, Any], path: str) -> str | None:
    """The name of the only text of an object, None where it has none; TraceInvalid where there are several."""
    names = texts_in(fields)
    if len(names) > 1:
        known = f"{path}.{names[0]}"
        raise TraceInvalid(Problem(known, f"holds text, and so does {', '.join(names[1:4])}: which of them is said?"))
    return names[0] if names else None


def refuse_unread(fields: Mapping[str, Any], path: str, *, besides: Iterable[str] = ()) -> None:
    """Raises TraceInvalid, with the name of the field, where an object of which nothing was read holds a text."""
    if names := texts_in(fields, besides=besides):
        raise TraceInvalid(Problem(f"{path}.{names[0]}", "holds text under a name that no rule knows"))
