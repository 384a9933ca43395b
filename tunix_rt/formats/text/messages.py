"""Messages of a dialogue, whatever interface wrote them: who speaks, and the parts of what is said.

One reading for all dialects: content as text or as a list of parts, reasoning in a field of its own (servers call it
`reasoning_content`, `reasoning` or `thinking`, and have changed that) or in parts of its own, tool calls beside the
content or in it.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.meta_values import as_line
from tunix_rt.formats.rows.typed_fields import each, field, first_text, maybe, rest_of, typed
from tunix_rt.formats.text.chat_templates import split_turns
from tunix_rt.formats.text.langchain import langchain_fields
from tunix_rt.formats.text.only_text import only_text, refuse_unread
from tunix_rt.json_values import parsed

_ROLES = {
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "function": "tool",
    "observation": "tool",
}
# The plan before a call is Cohere's.
_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "tool_plan")
_WRITTEN = {"text", "input_text", "output_text", "refusal"}
_THOUGHT = {
    "thinking",
    "reasoning",
    "reasoning_summary",
    "reasoning.text",
    "reasoning.summary",
    "reasoning.encrypted",
    "redacted_thinking",
    "redacted_reasoning",
}
# A reasoning part with a summary beside its content has the reasoning itself in the content.
_TEXT_FIELDS = (
    *("thinking", "reasoning", "refusal", "text", "value", "content", "input_text", "output_text", "summary"),
)
# What a message may have in the place of its content.
_CONTENT_FIELDS = ("content", "parts", "text", "value", "output_text", "input_text")
# What stands in the place of reasoning that the provider keeps to itself.
_SEALS = {"encrypted_content", "data", "redacted_data", "signature", "thoughtSignature", "thought_signature"}
_RESULTS = ("result", "response", "output")
_MEDIA = (
    *(*_RESULTS, "image", "audio", "video", "file", "document", "media", "blob", "url", "uri", "source", "input_"),
    *("citation", "tool"),
)
_ROLE_AND_TEXT = 2
_EMPTY: tuple[Any, ...] = (None, "", [], {})


class Part(NamedTuple):
    """A piece of a message: what it is, its text, and what stands in it besides the text, as it stands."""

    kind: Literal["text", "reasoning", "redacted", "call", "other"]
    text: str
    rest: dict[str, Any]


class Turn(NamedTuple):
    """A message: its role (system, user, assistant, tool, or another as it stands), its parts, its other fields."""

    role: str
    parts: list[Part]
    rest: dict[str, Any]
    raw: Any

    @property
    def text(self) -> str:
        """What is said in words."""
        return "\n".join([part.text for part in self.parts if part.kind == "text" and part.text])

    @property
    def written(self) -> str:
        """The same as one text, as the model put it out."""
        return "".join([part.text for part in self.parts if part.kind == "text"])

    @property
    def shown(self) -> str:
        """What is said, with tool calls and their results, and with the names of what is no text: `[image_url]`."""
        return "\n".join(filter(None, map(_shown, self.parts)))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Its calls of tools, as they stand."""
        return [part.rest for part in self.parts if part.kind == "call"]

    def without_calls(self) -> "Turn":
        """What is left of it where these are told apart."""
        return self._replace(parts=[part for part in self.parts if part.kind != "call"])

    @property
    def is_plain(self) -> bool:
        """Whether role and text are all that is in it."""
        return not self.rest and len(self.parts) == 1 and self.parts[0].kind == "text" and not self.parts[0].rest


def turns_of(value: Any, path: str, *, role: str = "user") -> list[Turn]:
    """The turns in a list of messages; a text is what the one in this role said."""
    if isinstance(value, str):
        # What the model wrote may have turns in it, by the marks of its chat template.
        said = split_turns(value) if role == "assistant" and value.lstrip()[:1] in {"<", "["} else None
        if said and len(said) > 1:
            return [turn(one.role, one.text, path) for one in said]
        return [turn(role, value, path)]
    if not isinstance(value, list):
        raise TraceInvalid(Problem(path, "missing" if value is None else "must be a string or a list of messages"))
    return [turn_of(message, f"{path}.{n}") for n, message in enumerate(value)]


def turn(role: str, content: Any, path: str) -> Turn:
    """The turn of a content that stands without its message, such as a system prompt."""
    return Turn(role, parts_of(content, path), {}, {"role": role, "content": content})


def speaker(role: str) -> str:
    """The role by its usual name."""
    role = role.lower()
    return _ROLES.get(role, role)


def turn_of(value: Any, path: str) -> Turn:
    """The turn of a message, also of one with `from` and `value`, as ShareGPT has them, and of LangChain's.

    TraceInvalid, with the path of the field, where a field is of a wrong type, and where the message holds a text that
    no rule takes.
    """
    if (plain := _plain_turn(value)) is not None:
        return plain
    # Parquet gives every message the fields of all, null where it has none.
    fields = {name: item for name, item in typed(value, dict, path).items() if item is not None}
    if "role" not in fields:
        if isinstance(by := fields.get("from"), str) and "value" in fields:
            return _said_by(by, fields, path, value)
        fields = langchain_fields(fields)
    at = f"{path}."
    role = speaker(field(fields, "role", str, at=at))
    content_field = next((name for name in _CONTENT_FIELDS if name in fields), "content")
    used = {"role", content_field, "tool_calls", "function_call", "refusal"}
    parts: list[Part] = []
    thoughts = {name: fields[name] for name in _REASONING_FIELDS if fields.get(name) not in _EMPTY}
    details = fields.get("reasoning_details")
    if thoughts:
        name, thought = next(iter(thoughts.items()))
        parts.append(Part("reasoning", _joined(thought, f"{path}.{name}"), {}))
        # While a server changes from one key to another it writes both.
        used |= {name for name in _REASONING_FIELDS if name not in thoughts or thoughts[name] == thought}
    elif isinstance(details, list):
        parts += parts_of(details, f"{path}.reasoning_details")
        used |= {"reasoning_details", *_REASONING_FIELDS}
    else:
        used |= set(_REASONING_FIELDS)
    parts += parts_of(fields.get(content_field), f"{path}.{content_field}")
    if (refusal := maybe(fields, "refusal", str, at=at)) is not None:
        parts.append(Part("text", refusal, {"type": "refusal"}))
    calls = fields.get("tool_calls")
    if isinstance(calls, str):
        # A column of Parquet has one type for all rows, so data sets keep tool calls there as JSON text.
        calls = [{"tool_calls": calls}] if calls else []
    parts += [Part("call", "", call) for call in each({"tool_calls": calls}, "tool_calls", dict, at=at)]
    if (call := maybe(fields, "function_call", dict, at=at)) is not None:
        parts.append(Part("call", "", call))
    if not parts:
        refuse_unread(fields, path, besides=used)
    return Turn(role, parts, rest_of(fields, *used), value)


def _plain_turn(value: Any) -> Turn | None:
    """The turn of a message of a role and a text, as most are; it takes a quarter of the time of any other."""
    if type(value) is dict and len(value) == _ROLE_AND_TEXT:
        role, text = value.get("role"), value.get("content")
        # As ShareGPT has it; there a call is a text as well, and is read below.
        if role is None and value.get("from") != "function_call":
            role, text = value.get("from"), value.get("value")
        if isinstance(role, str) and isinstance(text, str):
            return Turn(speaker(role), [Part("text", text, {})], {}, value)
    return None


def _said_by(by: str, fields: dict[str, Any], path: str, value: Any) -> Turn:
    text = field(fields, "value", str, at=f"{path}.")
    part = Part("call", "", _call_in(text)) if by == "function_call" else Part("text", text, {})
    return Turn(speaker(by), [part], rest_of(fields, "from", "value"), value)


def _call_in(text: str) -> dict[str, Any]:
    """A tool call is JSON in the text, mostly."""
    try:
        call = parsed(text)
    except (ValueError, RecursionError):
        call = None
    return call if isinstance(call, dict) else {"arguments": text}


def parts_of(content: Any, path: str) -> list[Part]:
    """The parts of a content: none, a text, a list of parts, or one part alone."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Part("text", content, {})]
    if isinstance(content, dict):
        return _parts_in(content, path)
    if not isinstance(content, list):
        raise TraceInvalid(Problem(path, "must be a string or a list of parts"))
    parts = [part_of(part, f"{path}.{n}") for n, part in enumerate(content)]
    if parts and all(part.kind == "other" for part in parts):
        for n, part in enumerate(parts):
            if not _is_medium(part.rest):
                refuse_unread(part.rest, f"{path}.{n}")
    return parts


def _parts_in(content: dict[str, Any], path: str) -> list[Part]:
    """The parts of an object in the place of a content: its own parts, itself, or reasoning and the only text."""
    if isinstance(content.get("parts"), list):
        return parts_of(content["parts"], f"{path}.parts")
    if "type" in content:
        return parts_of([content], path)
    fields = {name: item for name, item in content.items() if item is not None}
    thoughts = [name for name in _REASONING_FIELDS if isinstance(fields.get(name), str)]
    parts = [Part("reasoning", fields.pop(name), {}) for name in thoughts]
    named = next((name for name in _TEXT_FIELDS if isinstance(fields.get(name), str)), None)
    named = named or only_text(fields, path)
    rest = rest_of(fields, *filter(None, [named]))
    refuse_unread(rest, path)
    if named or rest:
        parts.append(Part("text", fields[named] if named else "", worthwhile(rest)))
    return parts


def part_of(value: Any, path: str) -> Part:
    """The part, by its `type`; one of a type that says nothing here stays as it is.

    Reasoning and text are read under any name that is the only one; TraceInvalid names the fields where there are more.
    """
    if isinstance(value, str):
        return Part("text", value, {})
    fields = {name: item for name, item in typed(value, dict, path).items() if item is not None}
    if "type" not in fields:
        if (part := _bedrock_part(fields, path)) is not None:
            return part
        type_ = "text" if "text" in fields else "part"
    else:
        type_ = typed(fields["type"], str, f"{path}.type")
    if type_.endswith(("_call", "-call", "tool_use")):
        return Part("call", "", fields)
    if type_ not in _WRITTEN | _THOUGHT:
        return Part("other", "", fields)
    named = next((name for name in _TEXT_FIELDS if fields.get(name) not in _EMPTY), None) or only_text(fields, path)
    rest = rest_of(fields, *filter(None, [named]))
    text = ""
    if named:
        text, beside = _with_rest(fields[named], f"{path}.{named}")
        rest |= {named: beside} if beside else {}
    if type_ in _WRITTEN:
        return Part("text", text, rest if type_ == "refusal" else worthwhile(rest))
    sealed = not text.strip() and rest.keys() & _SEALS
    return Part("redacted" if sealed else "reasoning", text, worthwhile(rest))


def _bedrock_part(fields: dict[str, Any], path: str) -> Part | None:
    """A part of Bedrock's Converse, whose one field says what it is."""
    if isinstance(fields.get("toolUse"), dict):
        return Part("call", "", fields)
    thought = fields.get("reasoningContent")
    if not isinstance(thought, dict):
        return None
    if "redactedContent" in thought:
        return Part("redacted", "", fields)
    at = f"{path}.reasoningContent."
    inner = maybe(thought, "reasoningText", dict, at=at)
    inner, at = (thought, at) if inner is None else (inner, f"{at}reasoningText.")
    return Part("reasoning", field(inner, "text", str, at=at), rest_of(inner, "text"))


def _is_medium(fields: Mapping[str, Any]) -> bool:
    """Whether a part is a picture, a file, or what a tool gave: these are shown by their names."""
    kind = str(fields.get("type") or next(iter(fields), "")).lower()
    return "modality" in fields or any(word in kind for word in _MEDIA)


def call_text(call: Mapping[str, Any]) -> str:
    """A call of a tool as a step shows it: `search({"query": "…"})`."""
    functions = (call.get(name) for name in ("function", "functionCall", "function_call", "toolUse"))
    inner = next((function for function in functions if isinstance(function, dict)), call)
    name = first_text(inner, "name", "function", "function_name")[1] or call.get("type") or "tools"
    given = next((inner[name] for name in ("arguments", "args", "input", "tool_calls", "value") if name in inner), None)
    return f"{name}({'' if given is None else as_line(given)})"


def worthwhile(rest: dict[str, Any]) -> dict[str, Any]:
    """What a part has besides its text; nothing where that is only its type and empty lists."""
    return rest if any(item not in _EMPTY for name, item in rest.items() if name != "type") else {}


def _joined(value: Any, path: str) -> str:
    """A text, or the text of a list of pieces; the pieces of a summary are paragraphs."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise TraceInvalid(Problem(path, "must be a string"))
    pieces = [
        piece if isinstance(piece, str) else field(typed(piece, dict, f"{path}.{n}"), "text", str, at=f"{path}.{n}.")
        for n, piece in enumerate(value)
    ]
    return ("\n\n" if path.endswith("summary") else "").join(pieces)


def _with_rest(value: Any, path: str) -> tuple[str, dict[str, Any]]:
    """A text, or that of an object that has it, with what else is in the object."""
    if not isinstance(value, dict) or not (named := only_text(value, path)):
        return _joined(value, path), {}
    return value[named], worthwhile(rest_of(value, named))


def _shown(part: Part) -> str:
    if part.kind == "text":
        return part.text
    if part.kind == "call":
        return f"[calls {call_text(part.rest)}]"
    if part.kind == "other":
        kind = str(part.rest.get("modality") or part.rest.get("type") or next(iter(part.rest), "part"))
        if any(word in kind.lower() for word in _RESULTS):
            result = (part.rest[name] for name in (*_RESULTS, "content", kind) if name in part.rest)
            return as_line(next(result, f"[{kind}]"))
        return f"[{kind}]"
    return ""
