"""One trace as a form."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from traitlets import Bool, Dict, Enum, Instance, Unicode, observe

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.model import Trace, TraceRecord
from tunix_rt.store import TraceStore
from tunix_rt.validation import short
from tunix_rt.widgets.form import Form, Note, action, front_end

_EMPTY = "Choose a trace in the list to read it here."


class TraceViewer(Form):
    """One stored trace: its prompt, steps, answer and meta, as plain text, as Markdown with mathematics, or as JSON.

    `record` is the trace that is shown and may be set at any time; the text `sought` is marked in it. `trace` in the
    constructor, as in `show`, is a record, an id or the beginning of one, or a row of a table (a dictionary, a row of a
    data frame, a summary, a score) with its id under `trace_id` or `id`.
    """

    record = Instance(TraceRecord, allow_none=True)
    view = Enum(["plain", "markdown", "json"], "plain").tag(sync=True)
    can_move = Bool(default_value=False).tag(sync=True)
    sought = Unicode().tag(sync=True)
    shown = Dict().tag(sync=True)
    _esm: ClassVar[str] = front_end("viewer")

    def __init__(self, store: TraceStore | None = None, trace: Any = None) -> None:
        self.store = store or TraceStore()
        self.on_move: Callable[[int], None] | None = None
        # Before the widget is created, so that a missing trace leaves none behind.
        record = None if trace is None else self._record_of(trace)
        super().__init__(shown={"empty": _EMPTY})
        self.record = record

    def show(self, trace: Any) -> None:
        """Shows another trace. Raises QueryInvalid for what names none, and what `TraceStore.get` raises."""
        self.record = self._record_of(trace)

    def _record_of(self, trace: Any) -> TraceRecord:
        if isinstance(trace, TraceRecord):
            return trace
        found = trace
        if not isinstance(trace, UUID | str):
            # A row of a data frame has its columns as attributes, too.
            ids = trace.get if isinstance(trace, Mapping) else partial(getattr, trace)
            found = next((one for one in (ids("trace_id", None), ids("id", None)) if one is not None), None)
        if not isinstance(found, UUID | str):
            raise QueryInvalid(f"trace={short(trace)}: must be a record, an id, or a row with a trace_id or an id")
        return self.store.get(found)

    def picture(self) -> object:
        """The trace that is shown."""
        return self.record or Note(_EMPTY)

    @observe("record", "view")
    def _show(self, _change: object) -> None:
        record = self.record
        if record is None:
            self.shown = {"empty": _EMPTY}
        elif self.view == "json":
            self.shown = {"id": str(record.id), "json": render.visible(_json(record))}
        else:
            html = render.record_html(record, text=self.view, styled=False)
            self.shown = {"id": str(record.id), "html": html}

    @action()
    def read_as(self, view: str) -> None:
        """Shows the trace as "plain" text, as "markdown" or as "json"."""
        self.view = view

    @action()
    def move(self, by: int) -> None:
        """Shows the next trace of the list beside it (`by` 1) or the one before (-1), if there is a list."""
        if self.on_move is not None:
            self.on_move(by)

    @action()
    def text_of(self, part: str) -> dict[str, str]:
        """The exact text of "id", "prompt", "steps", "steps.3" (counted from 0), "answer" or "json"."""
        if self.record is None:
            raise QueryInvalid("no trace is shown; choose one first")
        return {"text": _text(self.record, part)}


def _text(record: TraceRecord, part: str) -> str:
    if part == "json":
        return _json(record)
    trace: Trace = record.payload
    texts = {
        "id": str(record.id),
        "prompt": trace.prompt,
        "steps": "\n\n".join(step.content for step in trace.steps),
        "answer": trace.final_answer or "",
        **{f"steps.{place}": step.content for place, step in enumerate(trace.steps)},
    }
    if part not in texts:
        raise QueryInvalid(f"part={part}: the trace has no such part")
    return texts[part]


def _json(record: TraceRecord) -> str:
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False, indent=2)
