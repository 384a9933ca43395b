"""Rows inside of a row: under a key, by their ids, as columns; and a conversation that is an array of messages.

What is one row to some format stays one: these shapes are looked for where no format reads the row as it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.containers.json_cells import TEXT_COLUMNS
from tunix_rt.formats.rows.row import Rejection, Row

# Where people put rows; under another name they are looked for only if the row is all that the file holds.
_KEYS = {
    "data", "results", "tasks", "instances", "request_states", "loglines", "samples", "rows", "examples",
    "items", "records", "traces", "predictions", "outputs", "entries", "documents",
}  # fmt: skip
# Lists of objects that are parts of one row.
_PARTS = {
    "messages", "conversations", "conversation", "choices", "candidates", "steps", "history", "trajectory",
    "turns", "tool_calls", "tools", "events", "content", "contents", "chosen", "rejected", "completion",
    "completions", "functions", "tests", "test_cases",
}  # fmt: skip
# A row with one of these has its answer: the lists beside it belong to it.
_ANSWERS = {
    "response", "output", "completion", "generation", "answer", "final_answer", "solution", "messages",
}  # fmt: skip
_NOTES = ("metadata", "meta")
_LOOKED_AT = 20
# Of what stands beside rows, an object or a list goes with each of them only while it is small.
_MOST_COMMON_CHARS = 2_000
_MODELS = {"assistant", "model", "gpt", "ai"}
_OTHERS = {"user", "human", "system", "developer", "tool", "function", "observation"}
_SAID = ("content", "parts", "tool_calls", "reasoning_content")


def rows_inside(sample: Sequence[Row | Rejection], most: int) -> list[Row]:
    """The first rows inside of the first row of a file; none where it is a row itself."""
    first = next((row for row in sample if isinstance(row, Row)), None)
    if first is None:
        return []
    return list(islice(_inside(first, is_alone=len(sample) == 1), most))


def unwrapped(rows: Iterator[Row | Rejection], *, is_alone: bool) -> Iterator[Row | Rejection]:
    """The rows inside of all rows, counted from 1; a row without any as it is."""
    line = 0
    for row in rows:
        if isinstance(row, Rejection):
            yield row
            continue
        found = False
        for inner in _inside(row, is_alone=is_alone):
            found = True
            line += 1
            yield Row(inner.file, line, value=inner.value)
        if not found:
            line += 1
            yield row


def speaker_of(message: Any) -> str | None:
    """Who says a message, with the name of its field; None where it is no message."""
    if not isinstance(message, dict):
        return None
    if isinstance(message.get("role"), str) and any(name in message for name in _SAID):
        speaker = f"role {message['role'].lower()}"
    elif isinstance(message.get("from"), str) and "value" in message:
        speaker = f"from {message['from'].lower()}"
    else:
        return None
    return speaker if speaker.partition(" ")[2] in _MODELS | _OTHERS else None


def conversation_of(speakers: Sequence[str]) -> str | None:
    """The field of a row that messages of these speakers are, if they are a conversation: a model and others speak."""
    fields, names = {one.partition(" ")[0] for one in speakers}, {one.partition(" ")[2] for one in speakers}
    if len(fields) != 1 or not names & _MODELS or not names & _OTHERS:
        return None
    return "messages" if fields == {"role"} else "conversations"


def _inside(row: Row, *, is_alone: bool) -> Iterator[Row]:
    try:
        value = row.value
    except TraceInvalid:
        return
    for place, inner in enumerate(_values(value, is_alone=is_alone), start=1):
        yield Row(row.file, place, value=inner)


def _values(value: Any, *, is_alone: bool) -> Iterator[Any]:
    if isinstance(value, list):
        return _listed(value)
    if not isinstance(value, dict) or not value:
        return iter(())
    for shape in (_split, _columns):
        if (found := shape(value)) is not None:
            return found
    return _wrapped(value, is_alone=is_alone) or (_keyed(value) if is_alone else None) or iter(())


def _listed(value: list[Any]) -> Iterator[Any]:
    speakers = [speaker_of(item) for item in value]
    if all(speakers) and (name := conversation_of([one for one in speakers if one])):
        return iter([{name: value}])
    return iter(value if _are_objects(value) else ())


def _split(value: Mapping[str, Any]) -> Iterator[Any] | None:
    """As pandas writes with `orient="split"`."""
    columns, data = value.get("columns"), value.get("data")
    if not isinstance(columns, list) or not isinstance(data, list):
        return None
    if not columns or not all(isinstance(name, str) for name in columns):
        return None
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        return None
    return (dict(zip(columns, row, strict=True)) for row in data)


def _columns(value: Mapping[str, Any]) -> Iterator[Any] | None:
    """Lists of one length, or objects whose keys count the rows, as pandas writes by default."""
    first = next(iter(value.values()))
    if not isinstance(first, list | dict) or not first:
        return None
    if any(type(column) is not type(first) or len(column) != len(first) for column in value.values()):
        return None
    names = list(value)
    if isinstance(first, dict):
        keys = list(first)
        if not all(key.isdecimal() for key in keys) or any(column.keys() != first.keys() for column in value.values()):
            return None
        return ({name: value[name][key] for name in names} for key in keys)
    if any(name in _PARTS and _are_objects(value[name]) for name in names) or (len(names) == 1 and _are_objects(first)):
        return None
    return (dict(zip(names, row, strict=True)) for row in zip(*value.values(), strict=True))


def _wrapped(value: Mapping[str, Any], *, is_alone: bool) -> Iterator[Any] | None:
    """The one list of objects, each with what stands beside the list."""
    lists = {name for name, item in value.items() if isinstance(item, list) and _are_objects(item)}
    # Messages under another name than rows have, such as a prompt, belong to their row.
    lists = {name for name in lists if name in _KEYS or not all(map(speaker_of, value[name]))}
    known = lists & _KEYS
    if lists & _PARTS or len(known if len(lists) > 1 else lists) != 1:
        return None
    (name,) = known if len(lists) > 1 else lists
    if (name not in _KEYS and not is_alone) or _ANSWERS & value.keys():
        return None
    rows = value[name]
    common = _common({key: item for key, item in value.items() if key != name})
    if name == "data" and isinstance(value.get("schema"), dict):
        # As pandas writes with `orient="table"`.
        common = {}
    if name == "rows" and all(isinstance(row.get("row"), dict) for row in rows[:_LOOKED_AT]):
        # As the viewer of the Hugging Face hub gives them.
        rows = [row.get("row", row) if isinstance(row, dict) else row for row in rows]
        common = {}
    found = list(_listed(rows)) if name in _KEYS else rows
    return (_with(common, row) for row in found)


def _keyed(value: Mapping[str, Any]) -> Iterator[Any] | None:
    """Objects of like keys, by their ids."""
    if not _are_objects(list(value.values())) or not all(isinstance(row, dict) for row in value.values()):
        return None
    first = next(iter(value.values()))
    alike = set(first).intersection(*islice(value.values(), _LOOKED_AT))
    if 2 * len(alike) < len(first) or not TEXT_COLUMNS.isdisjoint(map(str.lower, value)) or _PARTS & value.keys():
        return None
    return (_with({"id": key}, row) for key, row in value.items())


def _are_objects(items: Sequence[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) and item for item in items[:_LOOKED_AT])


def _common(beside: Mapping[str, Any]) -> dict[str, Any]:
    """What each row gets of what stands beside the rows; notes about all of them are taken apart."""
    common: dict[str, Any] = {}
    for name, item in beside.items():
        if name in _NOTES and isinstance(item, dict):
            common |= {key: note for key, note in _common(item).items() if key not in beside}
        elif item is not None and (not isinstance(item, list | dict) or _is_small(item)):
            common[name] = item
    return common


def _is_small(item: Any) -> bool:
    try:
        return len(json.dumps(item)) <= _MOST_COMMON_CHARS
    except (ValueError, RecursionError):
        return False


def _with(common: Mapping[str, Any], row: Any) -> Any:
    """The row with what is common to all, where it has nothing of its own; of a trace that goes to its meta."""
    if not isinstance(row, dict) or "payload" in row or not common:
        return row
    if "trace_version" not in row and not {"prompt", "steps", "final_answer"} <= row.keys():
        return {**common, **row}
    meta = row.get("meta")
    return {**row, "meta": {**common, **(meta or {})}} if meta is None or isinstance(meta, dict) else row
