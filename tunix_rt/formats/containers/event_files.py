"""A file whose rows are the events of one session, an event a line: together they are one row."""

from collections.abc import Iterator

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.row import Rejection, Row


def joined(rows: Iterator[Row | Rejection], most_bytes: int) -> Iterator[Row | Rejection]:
    """One row with the values of all rows as its `events`; a Rejection for each row that is not an object.

    So the last line of a session that was interrupted is reported, and the rest is read. No more than `most_bytes` are
    held: a file that has more is rejected.
    """
    events = []
    size = 0
    first: Row | None = None
    for row in rows:
        if isinstance(row, Rejection):
            yield row
            continue
        first = first or row
        size += len(row.raw or b"")
        if size > most_bytes:
            yield Rejection(row.file, first.line, None, f"exceeds maximum of {most_bytes:,} bytes for a row", "")
            return
        try:
            events.append(row.fields)
        except TraceInvalid as error:
            yield row.rejection(error)
    if first is not None:
        yield Row(first.file, first.line, value={"events": events})
