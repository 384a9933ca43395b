"""Rows in the lines of a text: one to a line, or in the events that a server sent (`data: {…}`)."""

import io
import re
from collections.abc import Iterator

from tunix_rt.formats.rows.row import REJECTED_TEXT_CHARS, Rejection, Row
from tunix_rt.json_values import parsed

_EVENT_FIELD = re.compile(rb"(?:data|event|id|retry):|:")
_EVENT_OF_JSON = re.compile(rb"^data:[ \t]*[{\[]", re.MULTILINE)
_DONE = b"[DONE]"


def line_rows(stream: io.BufferedReader, file: str, most_bytes: int) -> Iterator[Row | Rejection]:
    """The lines that are not blank."""
    line = 0
    while raw := stream.readline(most_bytes):
        line += 1
        if len(raw) == most_bytes and not raw.endswith(b"\n"):
            while (rest := stream.readline(most_bytes)) and not rest.endswith(b"\n"):
                pass
            reason = f"exceeds maximum of {most_bytes:,} bytes for a row"
            yield Rejection(file, line, None, reason, raw[:REJECTED_TEXT_CHARS].decode(errors="replace"))
        elif not raw.isspace():
            # Without its end, so that a fault at the end of the row is told as one of this line.
            yield Row(file, line, raw=raw.rstrip(b"\r\n"))


def is_event_stream(head: bytes) -> bool:
    """Whether a file that begins so holds server-sent events whose data is JSON."""
    return _EVENT_FIELD.match(head.lstrip()) is not None and _EVENT_OF_JSON.search(head) is not None


def event_rows(stream: io.BufferedReader, file: str, most_bytes: int) -> Iterator[Row | Rejection]:
    """The data of each event, without the `[DONE]` at the end; names, ids and comments of events are not part of it.

    An event ends with a blank line; many that were logged have none, so it also ends where its data is complete and
    that of another one begins.
    """
    data: list[bytes] = []
    size = first = 0
    for row in line_rows(stream, file, most_bytes):
        if isinstance(row, Rejection):
            yield row
            continue
        raw = row.raw or b""
        name, colon, value = raw.partition(b":")
        if name.strip() != b"data" or not colon:
            if data and not _EVENT_FIELD.match(raw):
                yield Rejection(file, row.line, None, "is not a line of a server-sent event", row.start())
            continue
        value = value.strip()
        if data and (value == _DONE or value[:1] in (b"{", b"[")) and _is_complete(data):
            yield Row(file, first, raw=b"\n".join(data))
            data, size = [], 0
        if value == _DONE:
            continue
        first = first if data else row.line
        data.append(value)
        size += len(value)
        if size > most_bytes:
            yield Rejection(file, first, None, f"exceeds maximum of {most_bytes:,} bytes for a row", "")
            data, size = [], 0
    if data:
        yield Row(file, first, raw=b"\n".join(data))


def _is_complete(data: list[bytes]) -> bool:
    if len(data) == 1 and data[0].endswith((b"}", b"]")):
        # Of a pretty-printed event the first line ends otherwise.
        return True
    try:
        parsed(b"\n".join(data))
    except (ValueError, RecursionError):
        return False
    return True
