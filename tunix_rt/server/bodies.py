"""The traces in the body of a request."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.json_values import has_constants, parsed
from tunix_rt.model import Trace
from tunix_rt.problems import trace_invalid
from tunix_rt.server.faults import BatchInvalid

MAX_BATCH = 1_000
# A thousand traces of 32 KB. The body is read whole, and takes some three times as much when it is taken apart.
MAX_BATCH_BYTES = 32 * 2**20
_ARRAY = TypeAdapter(list[Any])


def traces_in(body: bytes) -> list[Trace]:
    """The traces of a batch; TraceInvalid names the bad ones by their place in it."""
    try:
        values = _ARRAY.validate_json(body)
    except ValidationError as error:
        raise trace_invalid(error, body, known={}) from None
    if has_constants(body):
        values = parsed(body)
    if not values:
        raise BatchInvalid(Problem(None, "the batch is empty; give at least one trace"))
    if len(values) > MAX_BATCH:
        raise BatchInvalid(Problem(None, f"batch of {len(values):,} traces exceeds maximum of {MAX_BATCH:,}"))
    traces: list[Trace] = []
    problems: list[Problem] = []
    for place, value in enumerate(values):
        try:
            traces.append(Trace.from_plain(value))
        except TraceInvalid as error:
            problems += error.within(str(place)).problems
    if problems:
        raise TraceInvalid(*problems)
    return traces
