"""The store's numbers and health as a form."""

from datetime import UTC, datetime
from typing import ClassVar

from traitlets import Bool, Dict, Unicode

from tunix_rt import render
from tunix_rt.health_checks import Health, health
from tunix_rt.store import StoreInfo, TraceStore
from tunix_rt.widgets.form import Form, Note, action, front_end


class StoreStatus(Form):
    """A line about the store, with all its numbers after a click; updated every 30 s while it is visible.

    `state` is "healthy", "busy" (another process holds the store for too long), "compaction due", "disk nearly full",
    "service down" (RediAI, where it is configured) or "unusable"; `info` holds the numbers as they were seen last, and
    `health` the complete result.
    """

    state = Unicode("unusable")
    unfolded = Bool(default_value=True).tag(sync=True)
    shown = Dict().tag(sync=True)
    info: StoreInfo | None = None
    health: Health
    _esm: ClassVar[str] = front_end("status")

    def __init__(self, store: TraceStore | None = None, *, unfolded: bool = True) -> None:
        self.store = store or TraceStore()
        super().__init__(unfolded=unfolded)
        self.refresh()

    def picture(self) -> object:
        """The latest numbers."""
        return self.info or Note(f"{self.store.path}: {self.state}")

    @action(aside=True)
    def refresh(self) -> None:
        """Checks the store and the services."""
        self.health = found = health(self.store)
        info = found.store.info
        self.state = found.store.state
        if found.store.status == "healthy" != found.status:
            self.state = "service down"
        facts: list[str] = []
        html = str(render.note_html(found.store.error or ""))
        if info:
            self.info = info
            name = render.visible(self.store.path.name)
            facts = [render.count(info.n_traces, "trace"), render.size(info.size_bytes), name]
            html = str(render.info_html(info, more=found.facts, styled=False))
        self.shown = {
            "state": self.state,
            "sign": _SIGNS[self.state],
            "facts": facts,
            "html": html,
            "at": render.utc_exact(datetime.now(UTC)),
        }


_SIGNS = {
    "healthy": "✓",
    "compaction due": "△",
    "disk nearly full": "△",
    "service down": "△",
    "busy": "…",
    "unusable": "✕",
}
