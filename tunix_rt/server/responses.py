"""The replies of the routes as models, from which replies and their description are made."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel

from tunix_rt.model import TraceRecord, TraceSummary
from tunix_rt.store import FlagReport, Page


class Created(BaseModel):
    """A trace that was stored: its id (UUIDv7), its time (UTC), its format."""

    id: UUID
    created_at: datetime
    trace_version: str

    @classmethod
    def of(cls, record: TraceRecord) -> Self:
        """The response for a new record."""
        return cls(id=record.id, created_at=record.created_at, trace_version=record.trace_version)


class BatchCreated(BaseModel):
    """The traces of a batch, in its order; all of them were stored."""

    created_count: int
    traces: list[Created]


class Pagination(BaseModel):
    """The position of a page, and how to get the next one: by offset, or with the cursor `next` as `after`."""

    limit: int
    offset: int
    next_offset: int | None
    next: str | None


class TraceList(BaseModel):
    """A page of summaries, newest first; `note` is why no trace passes the filters, where none has what they name."""

    data: list[TraceSummary]
    pagination: Pagination
    note: str | None

    @classmethod
    def of(cls, page: Page) -> Self:
        """The response for a page."""
        pagination = Pagination(limit=page.limit, offset=page.offset, next_offset=page.next_offset, next=page.next)
        return cls(data=list(page.records), pagination=pagination, note=page.note)


class Rate(BaseModel):
    """A rate over prompts with its 95 % interval; null below five prompts. `left_out` had too few samples."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    left_out: int


class PolicyRates(BaseModel):
    """A policy (source, model, training step or policy version) and its pass@1."""

    source: str | None
    model: str | None
    training_step: str | None
    pass_at_1: Rate


class GroupList(BaseModel):
    """How many groups and samples there are, groups by level, the policies, and the first 50 groups."""

    groups: int
    samples: int
    levels: dict[str, int]
    policies: list[PolicyRates]
    data: list[dict[str, Any]]


class FlagReply(BaseModel):
    """A flag: how many traces have it, of how many looked at, the share with its 95 % interval, three examples."""

    flag: str
    count: int
    looked_at: int
    undecided: int
    share: float | None
    low: float | None
    high: float | None
    examples: list[UUID]


class FlagsReply(BaseModel):
    """What to look at first, of the traces that passed the filters."""

    n_traces: int
    flags: list[FlagReply]

    @classmethod
    def of(cls, report: FlagReport) -> Self:
        """The response for a report."""
        return cls.model_validate(report.to_dict())


class ServiceReply(BaseModel):
    """A service beside the store: whether it is healthy, and the error if it is not."""

    status: Literal["healthy", "down", "off"]
    mode: Literal["off", "mock", "real"]
    error: str | None = None


class HealthReply(BaseModel):
    """The health of the store and of the services beside it."""

    status: Literal["healthy", "degraded", "down"]
    store: dict[str, Any]
    services: dict[str, ServiceReply]


class Fault(BaseModel):
    """A part of the request that is not valid: its location and the reason."""

    loc: list[str | int]
    field: str | None
    msg: str


class Refusal(BaseModel):
    """Why a request failed."""

    detail: str | list[Fault]
