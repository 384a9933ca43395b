"""Lines of the native format in the store's own notation, which DuckDB checks many at a time.

DuckDB reads a line and writes it again: if that is the same text, the line holds the fields of a trace and nothing
else, and it is what the store would make of it. Only their bounds are left to check. Whatever is not surely valid, or
is written in another way (blanks between the fields, other escapes), is left to the reader of the format.
"""

import re
import weakref
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
from pydantic import ConfigDict, TypeAdapter, ValidationError

from tunix_rt.model import LIMITS_1_0, Meta
from tunix_rt.store.engine.rows import SHAPE, to_microseconds
from tunix_rt.store.engine.statement import interruptible
from tunix_rt.validation import not_json

_MEMORY_LIMIT = "256MB"
# A longer one is read by itself: of numbers, DuckDB needs fifty times their bytes.
_MOST_LINE_BYTES = 2**20

_STEPS = LIMITS_1_0["steps"]
# Quotes inside of a text are escaped, so that a name with its quotes is always that of a field. Of the characters that
# are written by their numbers, Python and DuckDB write some in another way. Steps are numbered from their first one on;
# others may be valid too. In 20,000 bytes no text is too long.
_CHECK = f"""
select coalesce(
    json = to_json(t)::varchar
    and not contains(json, '\\u00')
    and not regexp_matches(json, '"(?:trace_version|prompt|i|type|content)":(?:""|null)')
    and coalesce(t.final_answer <> '', true)
    and (t.trace_version = '1.1' or (len(numbers) > 0 and t.final_answer is not null))
    and length(t.trace_version) <= 64
    and coalesce(list_max([length(s.type) for s in t.steps]) <= 64, true)
    and len(numbers) <= {_STEPS}
    and case
        when len(numbers) = 0 then true
        when numbers[1] between 0 and {_STEPS} then numbers = range(numbers[1], numbers[1] + len(numbers))
    end
    and case
        when strlen(json) <= {LIMITS_1_0["content"]} then true
        else length(t.prompt) <= {LIMITS_1_0["prompt"]}
            and coalesce(length(t.final_answer) <= {LIMITS_1_0["final_answer"]}, true)
            and coalesce(list_max([length(s.content) for s in t.steps]) <= {LIMITS_1_0["content"]}, true)
    end,
    false
) as is_plain,
t as fields
from (
    select *, [s.i for s in t.steps] as numbers
    from (select json, try(json_transform(json, '{SHAPE}')) as t from lines)
)
"""

# How the store's own exports begin.
_STORED = re.compile(
    rb'\{"id":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",'
    rb'"created_at":"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d\.\d{6})Z",'
)
_META: Any = TypeAdapter(Meta, config=ConfigDict(strict=True)).validator


class PlainLine(NamedTuple):
    """A line that was found valid: all of the trace but its meta as a line, its meta, and the id and time beside it.

    The id has 16 bytes, the time is in microseconds since 1970.
    """

    body: bytes
    meta: dict[str, Any] | None
    id: bytes | None
    created_at: int | None


class PlainLines:
    """A DuckDB of its own that checks lines, in one thread: others store them meanwhile. It ends with this object."""

    def __init__(self) -> None:
        self._duckdb = duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": "", "threads": 1})
        self._duckdb.execute("set enable_progress_bar = false")
        weakref.finalize(self, self._duckdb.close)

    def among(self, lines: Sequence[bytes | None]) -> tuple[list[PlainLine | None], pa.Array | None]:
        """Of each line what it holds, if it is plain, and None for the others.

        Where all are plain, also what DuckDB has read them as: a column of structs of the form SHAPE.
        """
        found = [None if line is None or len(line) > _MOST_LINE_BYTES else _taken_apart(line) for line in lines]
        are_plain, fields = self._read([one.body for one in found if one is not None])
        is_plain = iter(are_plain)
        plain = [one if one is not None and next(is_plain) else None for one in found]
        return plain, None if None in plain else fields

    def _read(self, bodies: list[bytes]) -> tuple[list[bool], pa.Array | None]:
        """Whether each of them is plain, and what they were read as."""
        if not bodies:
            return [], None
        try:
            # Arrow looks whether they are UTF-8.
            self._duckdb.register("lines", pa.table({"json": pa.array(bodies, pa.binary()).cast(pa.string())}))
            with interruptible():
                read = self._duckdb.sql(_CHECK).to_arrow_table()
        except (pa.ArrowInvalid, duckdb.OutOfMemoryException):
            return [False] * len(bodies), None
        return read["is_plain"].to_pylist(), read["fields"].combine_chunks()


def _taken_apart(line: bytes) -> PlainLine | None:
    """The parts of a line, if its meta, id and time are valid; its body is not checked."""
    trace_id = created_at = None
    if line.startswith(b'{"id":'):
        if (stored := _STORED.match(line)) is None:
            return None
        trace_id = bytes.fromhex(stored[1].replace(b"-", b"").decode())
        try:
            created_at = to_microseconds(datetime.fromisoformat(f"{stored[2].decode()}+00:00"))
        except ValueError:
            return None
        line = b"{" + line[stored.end() :]
    if not line.startswith(b'{"trace_version":"') or not line.endswith(b"}"):
        return None
    # Where this is not the key of the meta, what is in front of it is not plain.
    at = line.find(b',"meta":', line.rfind(b',"final_answer":'))
    body, meta = line, None
    if at >= 0:
        body = line[:at] + b"}"
        try:
            meta = _META.validate_json(line[at + len(b',"meta":') : -1])
        except ValidationError:
            return None
        if any(not_json(meta, "meta")):
            return None
    return PlainLine(body, meta, trace_id, created_at)
