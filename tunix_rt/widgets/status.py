"""The store's numbers and health as a form."""

import threading
from datetime import UTC, datetime
from typing import Any, ClassVar

from traitlets import Bool, Dict, Unicode, observe

from tunix_rt import render
from tunix_rt.health_checks import Health, health
from tunix_rt.store import StoreInfo, TraceStore
from tunix_rt.widgets.form import Form, Note, action, front_end

# The least that the setting allows.
_IMPATIENT_SECONDS = 1


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
        self._facts: list[str] = []
        super().__init__(unfolded=unfolded)
        self.refresh()

    def picture(self) -> object:
        """The latest numbers."""
        return self.info or Note(f"{self.store.path}: {self.state}")

    @action(aside=True)
    def refresh(self) -> None:
        """Checks the store and the services."""
        self._check(self.store)

    def _check(self, store: TraceStore) -> None:
        self.health = found = health(store)
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
        self._facts = facts
        self.shown = {
            "state": self.state,
            "sign": _SIGNS[self.state],
            "facts": facts,
            "html": html,
            "at": render.utc_exact(datetime.now(UTC)),
        }

    def refresh_soon(self, *, patient: bool = True) -> None:
        """As `refresh`, in a thread of its own; if not `patient`, it waits for the store for a second at most."""

        def refresh() -> None:
            with self.in_background("refresh"):
                store = self.store
                if not patient:
                    settings = store.settings.model_copy(update={"pool_timeout": _IMPATIENT_SECONDS})
                    store = TraceStore(store.path, settings=settings, read_only=True)
                self._check(store)

        threading.Thread(target=refresh, name="tunix_rt-refresh").start()

    def note_busy(self, text: str) -> None:
        """Shows that somebody waits for the store, as `text` says; the numbers stay those that were seen last."""
        self.state = "busy"
        facts = [render.visible(text), *self._facts]
        self.shown = self.shown | {"state": self.state, "sign": _SIGNS[self.state], "facts": facts}

    @observe("busy")
    def _waits(self, change: Any) -> None:
        if change["new"].get("waits"):
            self.note_busy(change["new"]["text"])


_SIGNS = {
    "healthy": "✓",
    "compaction due": "△",
    "disk nearly full": "△",
    "service down": "△",
    "busy": "…",
    "unusable": "✕",
}
