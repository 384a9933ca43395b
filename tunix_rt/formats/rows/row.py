"""What passes between a file, its format and the store: rows in; drafts of traces, or rejections, out."""

from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, cast
from uuid import UUID

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.trace_fields import TraceFields
from tunix_rt.json_values import parsed
from tunix_rt.model import Trace

REJECTED_TEXT_CHARS = 200
# Of a row that is not valid UTF-8, as it was or as it came from another encoding.
_NOT_IN_ENCODING = (
    "it holds bytes that are not text in the file's encoding, which is UTF-8 unless you pass another, as in "
    'encoding="windows-1252"'
)


class Row:
    """One row: its file, its line (from 1; in Parquet its row), and its content as JSON text, as a value, or both.

    `is_spoiled` marks a value of which not all could be decoded; of a text it can be seen.
    """

    def __init__(
        self, file: str, line: int, *, raw: bytes | None = None, value: Any = None, is_spoiled: bool = False
    ) -> None:
        self.file = file
        self.line = line
        self.raw = raw
        self.is_spoiled = is_spoiled
        if raw is None or value is not None:
            self.value = value

    def __getstate__(self) -> dict[str, Any]:
        # A value that was parsed from the text is parsed again where it is needed.
        return {name: item for name, item in self.__dict__.items() if name != "value" or self.raw is None}

    @cached_property
    def value(self) -> Any:
        """The row's JSON value; TraceInvalid with line and column where it is not JSON."""
        raw = cast("bytes", self.raw)
        try:
            return parsed(raw)
        except (ValueError, RecursionError) as error:
            # The model's parser finds the error, and words it as for every other bad row.
            Trace.from_json(raw, first_line=self.line)
            raise TraceInvalid(Problem(None, f"invalid JSON: {error}")) from None

    @property
    def fields(self) -> dict[str, Any]:
        """The row's fields; TraceInvalid where it is not a JSON object."""
        if not isinstance(self.value, dict):
            # Raises in the words of a trace.
            Trace.from_plain(self.value)
            raise TraceInvalid(Problem(None, "must be an object"))
        return self.value

    def start(self) -> str:
        """The first characters of the row, for a report."""
        if self.raw is None:
            try:
                return str(self.value)[:REJECTED_TEXT_CHARS]
            except Exception:  # noqa: BLE001
                # Python writes no numbers of thousands of digits, and nothing that is nested without end; the
                # conversion of a foreign value may fail in any way.
                return ""
        return self.raw[: 4 * REJECTED_TEXT_CHARS].decode(errors="replace")[:REJECTED_TEXT_CHARS]

    def rejection(self, error: TraceInvalid) -> "Rejection":
        """The rejection of this row: the first invalid field, and how many more there are."""
        first, *rest = error.problems
        more = f" (and {len(rest)} more)" if rest else ""
        if self.is_spoiled or (self.raw is not None and not _is_utf8(self.raw)):
            more = f"{more}; {_NOT_IN_ENCODING}"
        return Rejection(self.file, self.line, first.field, first.reason + more, self.start())


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


class Draft(NamedTuple):
    """A trace read from a row, or its fields, with the id and the time of the row, if it has them.

    `scores` are those of the row as they are there; the store checks them.
    """

    row: Row
    trace: Trace | TraceFields
    id: UUID | None = None
    created_at: datetime | None = None
    scores: Any = None


class ScoreDraft(NamedTuple):
    """A score read from a row of its own, as it is there, of the trace with an id that is stored elsewhere."""

    row: Row
    trace_id: UUID
    score: dict[str, Any]


class Rejection(NamedTuple):
    """A row that is not a valid trace: its file, line (None: the complete file), field, reason, and its beginning."""

    file: str
    line: int | None
    field: str | None
    reason: str
    text: str
