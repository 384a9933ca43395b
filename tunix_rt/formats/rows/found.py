"""What a reader found in a row, and the draft of a trace that is made of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.common_meta import with_common_meta
from tunix_rt.formats.rows.row import Draft, Rejection, Row, ScoreDraft
from tunix_rt.formats.rows.trace_fields import StepFields, accepted_fields
from tunix_rt.formats.rows.typed_fields import lacking, rest_of
from tunix_rt.model import Trace

# The kind, in meta, of a solution whose answer is the expected one by itself: scoring it would say nothing.
REFERENCE = "reference"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Found(NamedTuple):
    """A trace as a reader found it in a row: its prompt, its steps (texts, or steps with their types) and its answer.

    `meta` has the keys that mean the same for every source (None is left out); `extra` is what else the row holds, kept
    unchanged under `meta["extra"]`. Errors name the fields of the trace below `path`, if there is one.
    """

    prompt: str
    steps: Iterable[str | StepFields]
    answer: str | None
    meta: Mapping[str, Any] = _NOTHING
    extra: Mapping[str, Any] = _NOTHING
    path: str = ""


class Reader(Protocol):
    """How the rows of one format become traces."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where a row looks like one of this format, else what it lacks."""

    def found(self, row: Row) -> Iterable[Found | Draft | ScoreDraft | TraceInvalid]:
        """The traces of a row, with an error in place of each invalid one; raises TraceInvalid where none can be read.

        A Draft is a trace whose meta, id and time are its own.
        """


class SessionReader(ABC):
    """How the log of an agent's session becomes traces, also where each row of a file is one event of it.

    It gives one trace for each session, or one for each turn of the user if it `is_split`.
    """

    program: ClassVar[str]

    def __init__(self, *, is_split: bool = False) -> None:
        self._is_split = is_split

    def by_turn(self) -> Self:
        """The reader that gives a trace for each turn of the user."""
        return type(self)(is_split=True)

    @abstractmethod
    def is_event(self, value: Mapping[str, Any]) -> bool:
        """Whether a row is surely an event of such a session: all rows of its file are one, with `events`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the row has the events of a session."""
        if missing := lacking(value, "events"):
            return missing
        events = value["events"] if isinstance(value["events"], list) else []
        if any(isinstance(event, dict) and self.is_event(event) for event in events):
            return None
        return f"events that are not those of {self.program}"

    @abstractmethod
    def found(self, row: Row) -> Iterator[Found | Draft | TraceInvalid]:
        """The traces of a row, an error in place of each invalid one."""

    def gathered(self, rows: Iterable[Row | Rejection], most_bytes: int) -> Iterator[Row | Rejection]:
        """One row with the values of all rows as its `events`; a Rejection for each row that is not an object.

        So the last line of a session that was interrupted is reported, and the rest is read. No more than `most_bytes`
        are held: a file that has more is rejected.
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


def draft_of(found: Found, row: Row, format: str, *, is_alone: bool = True) -> Draft:
    """The draft of what a reader found in a row of this format, with the facts that all sources share in its meta.

    A text in the row's own field `source` is the source, else the name of the format. `is_alone` says
    that no other trace was found in the row. Raises TraceInvalid.
    """
    meta = {"source": format} | {key: value for key, value in found.meta.items() if value is not None}
    extra, source = found.extra, row.value.get("source")
    if isinstance(source, str) and source:
        meta["source"] = source
        if extra.get("source") == source:
            extra = rest_of(extra, "source")
    meta, extra = with_common_meta(meta, extra, _NOTHING if is_alone else row.value)
    if extra:
        meta["extra"] = extra
    try:
        return plain_draft(row, prompt=found.prompt, steps=found.steps, final_answer=found.answer, meta=meta)
    except TraceInvalid as error:
        raise error.within(found.path) if found.path else error from None


def plain_draft(
    row: Row, *, prompt: str, steps: Iterable[str | StepFields], final_answer: str | None, meta: dict[str, Any]
) -> Draft:
    """A draft whose meta is complete: of version 1.0 where that holds it, else 1.1. Raises TraceInvalid."""
    fields: Any = {
        "trace_version": "1.0",
        "prompt": prompt,
        "steps": [{"i": i, "type": "step", "content": s} if isinstance(s, str) else s for i, s in enumerate(steps)],
        "final_answer": final_answer,
        "meta": meta,
    }
    if not fields["steps"] or final_answer is None:
        fields["trace_version"] = "1.1"
    if (accepted := accepted_fields(fields)) is not None:
        return Draft(row, accepted)
    try:
        return Draft(row, Trace.from_plain(fields | {"trace_version": "1.0"}))
    except TraceInvalid:
        return Draft(row, Trace.from_plain(fields | {"trace_version": "1.1"}))


def found_in_judged_steps(
    prompt: str,
    steps: Sequence[str],
    labels: Sequence[int | None],
    *,
    answer: str | None = None,
    meta: Mapping[str, Any],
    extra: Mapping[str, Any],
) -> Found:
    """A trace whose steps were judged: `meta["step_labels"]` has −1 (wrong), 0, 1 (right) or None for each.

    The steps stay as they were judged; without a separate answer there is none, and the trace still counts as complete.
    """
    return Found(prompt, steps, answer, {"step_labels": list(labels), **meta}, extra)
