"""The store's numbers and health as a form."""

from datetime import UTC, datetime
from typing import ClassVar

from traitlets import Bool, Dict, Unicode

from tunix_rt import render
from tunix_rt.errors import StoreBusy, TunixRTError
from tunix_rt.store import StoreInfo, TraceStore
from tunix_rt.widgets.form import Form, Note, Shows, action, front_end


class StoreStatus(Form):
    """A line about the store, all its numbers behind a click; made anew every 30 s while it is shown.

    `state` is "healthy", "busy" (another process holds the store for too long), "compaction due" or "unusable"; `info`
    holds the numbers as they were seen last.
    """

    state = Unicode("unusable")
    unfolded = Bool(default_value=True).tag(sync=True)
    shown = Dict().tag(sync=True)
    info: StoreInfo | None = None
    _esm: ClassVar[str] = front_end("status")

    def __init__(self, store: TraceStore | None = None, *, unfolded: bool = True) -> None:
        self.store = store or TraceStore()
        super().__init__(unfolded=unfolded)
        self.refresh()

    def picture(self) -> Shows:
        """The numbers as they were seen last."""
        return self.info or Note(f"{self.store.path}: {self.state}")

    @action(aside=True)
    def refresh(self) -> None:
        """Looks at the store."""
        facts: list[str] = []
        html = ""
        try:
            self.info = self.store.info()
        except TunixRTError as error:
            self.state = "busy" if isinstance(error, StoreBusy) else "unusable"
            html = Note(str(error))._repr_html_()
        else:
            self.state = "compaction due" if self.info.compact_due else "healthy"
            name = render.visible(self.store.path.name)
            facts = [render.count(self.info.n_traces, "trace"), render.size(self.info.size_bytes), name]
            html = render.info_html(self.info, styled=False)
        self.shown = {
            "state": self.state,
            "sign": _SIGNS[self.state],
            "facts": facts,
            "html": html,
            "at": render.utc_exact(datetime.now(UTC)),
        }


_SIGNS = {"healthy": "✓", "compaction due": "△", "busy": "…", "unusable": "✕"}
