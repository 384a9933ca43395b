"""The traces in the body of a request."""

import re

from tunix_rt.errors import Problem, TraceInvalid, TraceTooLarge
from tunix_rt.model import Trace
from tunix_rt.server.error_status import BatchInvalid
from tunix_rt.server.responses import BatchCreated, Created
from tunix_rt.store import TraceStore

MAX_BATCH = 1_000
# A thousand traces of 32 KB.
MAX_BATCH_BYTES = 32 * 2**20
# A string that does not end goes to the end of the body, or the search would start again from each of its quotes.
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
_TEXTS = re.compile(_TEXT, re.DOTALL)
# Up to the next sign that counts: between traces a comma too, within them only brackets that hold brackets or texts.
# At most this much at a time, because other threads do not run meanwhile.
_BETWEEN = re.compile(rb'(?:[^][{},"]++|%b){0,5000}+([][{},]?)' % _TEXT, re.DOTALL)
_WITHIN = re.compile(rb'(?:[^][{}"]++|%b|\[[^][{}"]*+\]|\{[^][{}"]*+\}){0,5000}+([][{}]?)' % _TEXT, re.DOTALL)
_ARRAY = re.compile(rb"[ \t\n\r]*\[")


def add_batch(store: TraceStore, body: bytes) -> BatchCreated:
    """Stores the traces of a batch, all or none; TraceInvalid names the invalid ones by their index.

    Only the row of each trace is kept: as Python objects, 32 MiB of small values take 700 MB and more.
    """
    created: list[Created] = []
    rows = []
    problems: list[Problem] = []
    too_large: TraceTooLarge | None = None
    for index, (start, end) in enumerate(elements(body, store.settings.trace_max_bytes)):
        try:
            record, row = store._new(_trace(body, start, end))  # noqa: SLF001 - `add_many` would keep every trace
        except TraceTooLarge as error:
            too_large = too_large or error.within(f"traces.{index}")
        except TraceInvalid as error:
            if error.problems[0].position is not None:
                # After a syntax error, the rest has no meaning.
                raise
            problems += error.within(str(index)).problems
        else:
            rows.append(row)
            created.append(Created(id=record.id, created_at=record.created_at, trace_version=record.trace_version))
    if problems:
        raise TraceInvalid(*problems)
    if too_large is not None:
        raise too_large
    store._session.add(rows)  # noqa: SLF001
    return BatchCreated(created_count=len(created), traces=created)


def _trace(body: bytes, start: int, end: int) -> Trace:
    text = body[start:end]
    try:
        return Trace.from_json(text)
    except TraceInvalid as error:
        if error.problems[0].position is None:
            raise
    # Read again from where its line begins, so that the fault is found at its position in the body.
    line_start = body.rfind(b"\n", 0, start) + 1
    before = len(body[line_start:start].decode(errors="replace"))
    return Trace.from_json(b" " * before + text, first_line=body.count(b"\n", 0, start) + 1)


def elements(body: bytes, trace_max_bytes: int) -> list[tuple[int, int]]:
    """Where the elements of a JSON array begin and end; whether they are valid is seen when each of them is read.

    Parsing the array at once would take 45 times its size in memory, and block all other threads meanwhile.
    """
    begin = _ARRAY.match(body)
    if begin is None:
        raise TraceInvalid(Problem(None, "must be a JSON array of traces"))
    elements: list[tuple[int, int]] = []
    start = begin.end()
    while start:
        end = _end_of(body, start, trace_max_bytes, len(elements))
        if body[end : end + 1] == b"]" and not elements and not body[start:end].strip():
            raise BatchInvalid(Problem(None, "the batch is empty; give at least one trace"))
        if len(elements) == MAX_BATCH:
            raise BatchInvalid(
                Problem(None, f"batch of more than {MAX_BATCH:,} traces exceeds maximum of {MAX_BATCH:,}")
            )
        elements.append((start, end))
        start = end + 1 if body[end : end + 1] == b"," else 0
    if body[end + 1 :].strip(b" \t\n\r"):
        raise _fault(body, end + 1, "something follows the array of traces")
    return elements


def _end_of(body: bytes, start: int, trace_max_bytes: int, index: int) -> int:
    """The position of the comma or bracket after an element."""
    at = counted = start
    depth = n_outside = 0
    while (found := (_WITHIN if depth else _BETWEEN).match(body, at)) and found[0]:
        sign, at = found[1], found.end()
        if at - start > trace_max_bytes:
            # A trace is stored as it was sent, except its strings, where one letter may be sent as six.
            n_outside += len(_TEXTS.sub(b"", body[counted:at]))
            counted = at
            if n_outside > trace_max_bytes:
                raise TraceTooLarge(n_outside, trace_max_bytes).within(f"traces.{index}")
        if sign in (b"[", b"{"):
            depth += 1
        elif sign and depth:
            depth -= 1
        elif sign in (b",", b"]"):
            return at - 1
    raise _fault(body, len(body), "the array of traces does not end")


def _fault(body: bytes, at: int, what: str) -> TraceInvalid:
    line = body.count(b"\n", 0, at) + 1
    column = len(body[body.rfind(b"\n", 0, at) + 1 : at].decode(errors="replace"))
    return TraceInvalid(Problem(None, f"invalid JSON at line {line:,}, column {column:,}: {what}", (line, column)))
