"""What forms have in common from which a stored trace is opened."""

from traitlets import Callable, Instance, Unicode

from tunix_rt import render
from tunix_rt.model import TraceRecord
from tunix_rt.store import TraceStore
from tunix_rt.widgets.form import Form, action


class OpeningForm(Form):
    """Opens a trace of `store`: `on_open` is called with its id; where there is none, the form itself shows it.

    `record` is the trace that was opened last.
    """

    store: TraceStore
    record = Instance(TraceRecord, allow_none=True)
    opened = Unicode().tag(sync=True)
    on_open = Callable(None, allow_none=True)

    @action()
    def show(self, id: str) -> None:
        """Shows a stored trace: where `on_open` says, or else in the form."""
        self.record = self.store.get(id)
        if self.on_open is not None:
            self.on_open(id)
        else:
            record = self.record
            self.opened = render.trace_html(record.payload, id=record.id, created_at=record.created_at, styled=False)
