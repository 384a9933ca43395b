"""Completions with `choices`: of the chat interface, of the one for texts, and the chunks in which both are streamed.

Sources: the interfaces of OpenAI and of the servers that speak them (vLLM, SGLang, DeepSeek, OpenRouter); the shapes of
chunks were read from published code that writes them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.row import Rejection, Row
from tunix_rt.formats.rows.typed_fields import field, maybe, rest_of, typed
from tunix_rt.formats.text.dialogue import answer_half, found_in_answer, half_with, left_of, prompt_at, sample_of
from tunix_rt.formats.text.messages import turn_of

# How many streams may be written to one file at a time.
_MOST_OPEN = 1_000
_TOO_LONG = "exceeds maximum of {:,} bytes for streams that have not ended, and is the longest of them"
# Of a number, a list or an object in Python, about.
_BYTES_OF_A_VALUE = 64
# Texts that chunks repeat.
_SAID_AGAIN = {"role", "id", "type", "name"}


class ChatCompletionReader:
    """A response with `choices`, each of `message` and `finish_reason`; maybe with the request beside it."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are choices with messages, in the row or in its response."""
        return None if _choices_with(value, "message") else "no list choices of objects with message"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each choice."""
        return _found_in_choices(row.fields)


class StreamReader:
    """The chunks of completions, a row each: `choices` of `delta`, or of `text` under an `id` that returns."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are choices with deltas, or none in what is named a chunk."""
        is_begin = value.get("object") == "chat.completion.chunk" and value.get("choices") == []
        return None if is_begin or _choices_with(value, "delta") else "no list choices of objects with delta"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each choice of the completion, whose chunks were put together; alone, a chunk is what it has."""
        value = row.fields
        if _choices_with(value, "message") is None:
            stream = _Stream(row)
            stream.add(value)
            value = stream.whole()
        return _found_in_choices(value)

    def gathered(self, rows: Iterable[Row | Rejection], most_bytes: int) -> Iterator[Row | Rejection]:
        """The chunks of each completion as one row, in the place of its first; other rows as they are."""
        return _gathered(rows, "delta", most_bytes)


class TextCompletionReader:
    """A response with `choices`, each of `text` and `finish_reason`; maybe with its `prompt` or the request."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are choices with texts that a model wrote: they have reasons to end or probabilities."""
        choices = _choices_with(value, "text")
        if choices and (
            value.get("object") == "text_completion"
            or all(choice.keys() & {"finish_reason", "logprobs"} for choice in choices)
        ):
            return None
        return "no list choices of objects with text and finish_reason"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each choice."""
        return _found_in_choices(row.fields)

    def gathered(self, rows: Iterable[Row | Rejection], most_bytes: int) -> Iterator[Row | Rejection]:
        """Streamed chunks of each completion as one row, in the place of its first; other rows as they are."""
        return _gathered(rows, "text", most_bytes)


def _choices_with(value: Mapping[str, Any], name: str) -> list[dict[str, Any]] | None:
    half = half_with(value, "choices")
    choices = half.fields["choices"] if half else None
    if isinstance(choices, list) and choices and all(isinstance(one, dict) and name in one for one in choices):
        return choices
    return None


def _found_in_choices(value: Mapping[str, Any]) -> Iterator[Found | TraceInvalid]:
    at, fields = half = answer_half(value, "choices")
    path = half.path("choices")
    choices = field(fields, "choices", list, at=half.path(""))
    prompt, used = prompt_at(value, fields=("messages", "prompt"))
    model = half.text(used, "model")
    extra = left_of(value, (*at, "choices"), *used)
    for n, choice in enumerate(choices):
        at_choice = f"{path}.{n}"
        try:
            parts = typed(choice, dict, at_choice)
            meta = {
                "model": model,
                "finish_reason": maybe(parts, "finish_reason", str, at=f"{at_choice}."),
                **sample_of(n, choices, fields),
            }
            kind = "text" if "text" in parts and "message" not in parts else "message"
            rest = rest_of(parts, kind, "finish_reason", *(["index"] if parts.get("index") == n else []))
            if kind == "text":
                message = {"content": field(parts, "text", str, at=f"{at_choice}.")}
            else:
                message = field(parts, "message", dict, at=f"{at_choice}.")
            at_message = f"{at_choice}.{kind}"
            answer = turn_of({"role": "assistant"} | message, at_message)
            more = extra | ({"choice": rest} if rest else {})
            yield found_in_answer(prompt, answer, path=at_message, meta=meta, extra=more)
        except TraceInvalid as error:
            yield error


class _Stream:
    """The chunks of one completion, as far as they have come."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.n_chunks = 0
        # About as many as it holds: chunks repeat what is around a few characters, and that is not kept.
        self.n_bytes = 0
        self._fields: dict[str, Any] = {}
        self._choices: dict[Any, dict[str, Any]] = {}

    @property
    def is_done(self) -> bool:
        """Whether each of its choices has said why it ended."""
        return bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())

    def add(self, value: Mapping[str, Any]) -> None:
        """Adds a chunk; raises TraceInvalid if it is not valid."""
        self.n_chunks += 1
        choices = field(value, "choices", list)
        self.n_bytes += _size(choices)
        self._fields |= {name: item for name, item in rest_of(value, "choices").items() if item is not None}
        for n, one in enumerate(choices):
            choice = typed(one, dict, f"choices.{n}")
            index = choice.get("index", n)
            index = index if isinstance(index, int) else n
            known = self._choices.setdefault(index, {"index": index})
            if isinstance(choice.get("text"), str):
                known["text"] = known.get("text", "") + choice["text"]
            else:
                _extend(known.setdefault("message", {}), maybe(choice, "delta", dict, at=f"choices.{n}.") or {})
            known |= {k: item for k, item in rest_of(choice, "delta", "text", "index").items() if item is not None}

    def whole(self) -> dict[str, Any]:
        """The completion; it has no reason to end where that never came."""
        return self._fields | {"choices": [self._choices[index] for index in sorted(self._choices)]}


def _gathered(rows: Iterable[Row | Rejection], name: str, most_bytes: int) -> Iterator[Row | Rejection]:
    opened: dict[str, _Stream] = {}
    refused: set[str] = set()
    n_bytes = 0
    for row in rows:
        if not isinstance(row, Row) or (chunk := _chunk(row, name)) is None:
            yield row
            continue
        key = chunk["id"]
        if key in refused:
            continue
        if key in opened:
            # Another completion under the same id.
            ended = [key] if opened[key].is_done and chunk["choices"] else []
        else:
            ended = [one for one, other in opened.items() if other.is_done]
            if not ended and len(opened) >= _MOST_OPEN:
                ended = [next(iter(opened))]
        for one in ended:
            n_bytes -= opened[one].n_bytes
            yield _row_of(opened.pop(one))
        stream = opened.setdefault(key, _Stream(row))
        n_bytes -= stream.n_bytes
        try:
            stream.add(chunk)
        except TraceInvalid as error:
            yield row.rejection(error)
        n_bytes += stream.n_bytes
        while n_bytes > most_bytes:
            largest = max(opened, key=lambda one: opened[one].n_bytes)
            refused.add(largest)
            first = opened[largest].row
            n_bytes -= opened.pop(largest).n_bytes
            yield Rejection(first.file, first.line, None, _TOO_LONG.format(most_bytes), "")
    for stream in opened.values():
        yield _row_of(stream)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict | list):
        return sum(map(_size, value.values() if isinstance(value, dict) else value), start=_BYTES_OF_A_VALUE)
    return _BYTES_OF_A_VALUE


def _chunk(row: Row, name: str) -> dict[str, Any] | None:
    """The fields of a row that is a chunk; None for any other row."""
    try:
        value = row.value
    except TraceInvalid:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        return None
    return value if value.get("choices") == [] or _choices_with(value, name) else None


def _row_of(stream: _Stream) -> Row:
    row = stream.row
    # A completion that came in one piece is the row that it was.
    if stream.n_chunks == 1 and not _choices_with(row.fields, "delta"):
        return row
    return Row(row.file, row.line, value=stream.whole())


def _extend(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, item in delta.items():
        known = message.get(name)
        if name == "tool_calls" and isinstance(item, list):
            _extend_calls(message.setdefault("tool_calls", []), item)
        elif isinstance(item, str) and isinstance(known, str):
            message[name] = item if name in _SAID_AGAIN else known + item
        elif isinstance(item, list) and isinstance(known, list):
            message[name] = [*known, *item]
        elif isinstance(item, dict) and isinstance(known, dict):
            message[name] = dict(known)
            _extend(message[name], item)
        elif item is not None:
            message[name] = item


def _extend_calls(calls: list[Any], more: list[Any]) -> None:
    for place, call in enumerate(more):
        if not isinstance(call, dict):
            calls.append(call)
            continue
        index = call.get("index", place)
        known = next((one for one in calls if isinstance(one, dict) and one.get("index") == index), None)
        if known is None:
            calls.append({"index": index} | call)
        else:
            _extend(known, rest_of(call, "index"))
