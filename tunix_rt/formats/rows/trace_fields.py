"""The fields of a trace, from a line of JSON or as a reader found them, without making a `Trace`: at twice the speed.

What is accepted here is accepted by `Trace` too, and alike; what is not is left to `Trace`, which may accept it still
(a text beyond the bounds of format 1.0) and otherwise raises what is wrong.
"""

from datetime import datetime
from typing import Annotated, Any, NotRequired
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json

# Pydantic accepts Python's own TypedDict from 3.12 on.
from typing_extensions import TypedDict

from tunix_rt.model import LIMITS_1_0, Meta, Name, StepIndex, in_utc
from tunix_rt.validation import not_json

StoredId = Annotated[UUID | None, Field(strict=False)]
StoredTime = Annotated[Annotated[AwareDatetime, AfterValidator(in_utc)] | None, Field(strict=False)]

_CONFIG = ConfigDict(extra="forbid", strict=True)
_Prompt = Annotated[str, Field(min_length=1, max_length=LIMITS_1_0["prompt"])]
_Content = Annotated[str, Field(min_length=1, max_length=LIMITS_1_0["content"])]
_Answer = Annotated[str, Field(min_length=1, max_length=LIMITS_1_0["final_answer"])]


@with_config(_CONFIG)
class StepFields(TypedDict):
    """The fields of a valid step as plain values."""

    i: StepIndex
    type: Name
    content: _Content


@with_config(_CONFIG)
class TraceFields(TypedDict):
    """The fields of a valid trace as plain values, in the order of the format."""

    trace_version: Annotated[Name, Field(default="1.0")]
    prompt: _Prompt
    steps: Annotated[list[StepFields], Field(max_length=LIMITS_1_0["steps"])]
    final_answer: _Answer | None
    meta: NotRequired[Meta]


class _LineFields(TraceFields):
    id: NotRequired[StoredId]
    created_at: NotRequired[StoredTime]
    scores: NotRequired[Any]


# The scores of an export are the last field.
_SCORES_KEY = b',"scores":'
_SCORES = _SCORES_KEY + b'[{"scorer":'
_LINE: Any = TypeAdapter(_LineFields).validator
_FIELDS: Any = TypeAdapter(TraceFields).validator


def fields_of(line: bytes) -> tuple[TraceFields, UUID | None, datetime | None, Any] | None:
    """The trace's fields, with the id, the time and the scores beside them; None where only `Trace` can decide."""
    # A text with a NUL, which no store keeps, has it as this escape; lone surrogates are refused by the parser.
    if b"\\u0000" in line:
        return None
    at = line.find(_SCORES)
    try:
        if at < 0:
            fields = _LINE.validate_json(line)
            scores = fields.pop("scores", None)
        else:
            # In the line they took three times as long. Both parts are JSON, so that this is where the line is cut.
            fields = _LINE.validate_json(line[:at] + b"}")
            scores = from_json(line.rstrip()[at + len(_SCORES_KEY) : -1])
    except ValueError:
        return None
    beside = fields.pop("id", None), fields.pop("created_at", None), scores
    return (fields, *beside) if _is_complete(fields) and "scores" not in fields else None


def accepted_fields(fields: TraceFields) -> TraceFields | None:
    """The fields, if they are a valid trace; None where only `Trace` can decide."""
    try:
        accepted: TraceFields = _FIELDS.validate_python(fields)
    except ValidationError:
        return None
    # That a text is not UTF-8, pydantic notices where it counts its characters.
    if "\0" in accepted["prompt"] or "\0" in (accepted["final_answer"] or ""):
        return None
    for step in accepted["steps"]:
        if "\0" in step["content"] or "\0" in step["type"]:
            return None
    return accepted if _is_complete(accepted) else None


def _is_complete(fields: TraceFields) -> bool:
    """Whether a trace's fields are valid together, which their types cannot express."""
    steps = fields["steps"]
    return (
        len({step["i"] for step in steps}) == len(steps)
        and (fields["trace_version"] == "1.1" or (bool(steps) and fields["final_answer"] is not None))
        and not any(not_json(fields.get("meta"), "meta"))
    )
