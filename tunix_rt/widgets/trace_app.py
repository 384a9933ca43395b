"""All the forms in one panel."""

from collections.abc import Iterable
from typing import Any, ClassVar, Unpack
from uuid import UUID

from ipywidgets import widget_serialization
from traitlets import Instance, Int

from tunix_rt.model import TraceRecord
from tunix_rt.store import Page, TraceStore
from tunix_rt.store.filters import FilterArgs
from tunix_rt.widgets.browser import TraceBrowser
from tunix_rt.widgets.form import Form, action, front_end
from tunix_rt.widgets.status import StoreStatus
from tunix_rt.widgets.upload import UploadForm
from tunix_rt.widgets.viewer import TraceViewer


class TraceApp(Form):
    """Browse and read the traces of a store, and add some; `selected` is the trace that is shown.

    `list_width` is how much of the width the list beside the trace has, in percent.
    """

    browser = Instance(TraceBrowser).tag(sync=True, **widget_serialization)
    viewer = Instance(TraceViewer).tag(sync=True, **widget_serialization)
    upload = Instance(UploadForm).tag(sync=True, **widget_serialization)
    status = Instance(StoreStatus).tag(sync=True, **widget_serialization)
    list_width = Int(45, min=15, max=85).tag(sync=True)
    _esm: ClassVar[str] = front_end(
        "rows", "columns", "chosen", "terms", "filters", "browser", "viewer", "upload", "status", "app"
    )

    def __init__(
        self,
        store: TraceStore | None = None,
        *,
        limit: int = 20,
        columns: Iterable[str] = (),
        **filters: Unpack[FilterArgs],
    ) -> None:
        self.store = store or TraceStore()
        super().__init__(
            browser=TraceBrowser(self.store, limit=limit, columns=columns, **filters),
            viewer=TraceViewer(self.store),
            upload=UploadForm(self.store),
            status=StoreStatus(self.store, unfolded=False),
        )
        for part in self._parts():
            # What they do to each other is done in one thread.
            part.lane = self.lane
            if part is not self.status:
                part.observe(self._waits, "busy")
        self.browser.observe(self._show, "selected")
        self.browser.observe(lambda _: self._save_picture(), "shown")
        self.browser.observe(self._seek, "filters")
        self._seek()
        self.viewer.can_move = True
        self.viewer.on_move = self.browser.move
        self.upload.on_added = self._refresh
        self.upload.on_open = self._open

    @property
    def selected(self) -> TraceRecord | None:
        """The trace that is shown."""
        return self.viewer.record

    def picture(self) -> Page:
        """The page that is shown."""
        return self.browser.picture()

    def close(self) -> None:
        """Removes the forms."""
        # Python also closes a form whose constructor failed.
        if self.comm is not None:
            for part in self._parts():
                part.close()
        super().close()

    @action(aside=True, watch=True)
    def interrupt(self) -> None:
        """Ends what the actions of all parts wait for, or search; see `Form.interrupt`."""
        for part in self._parts():
            part.interrupt()

    def _parts(self) -> tuple[Form, ...]:
        return (self.browser, self.viewer, self.upload, self.status)

    def _waits(self, change: Any) -> None:
        """While a part waits for another process, the line of the store does not say that it is healthy."""
        if change["new"].get("waits"):
            self.status.note_busy(change["new"]["text"])
        elif change["old"].get("waits"):
            # It has the store; or it failed or was cancelled, and then nothing should wait in its place.
            self.status.refresh_soon(patient=not change["owner"].problem)

    def _show(self, _change: object) -> None:
        self.viewer.record = self.browser.selected

    def _seek(self, _change: object = None) -> None:
        self.viewer.sought = self.browser.filters.get("text", "")

    def _open(self, id: UUID | str) -> None:
        self.browser.selected_id = str(id)
        # It may have been chosen before, and another trace opened since.
        self.viewer.record = self.browser.selected

    def _refresh(self) -> None:
        # If the list cannot be updated, it shows the error itself.
        with self.browser.reporting():
            self.browser.first()
        self.status.refresh()


def app(
    store: TraceStore | None = None, *, limit: int = 20, columns: Iterable[str] = (), **filters: Unpack[FilterArgs]
) -> TraceApp:
    """The forms over a store (default: the default one), to browse, read and add traces.

    `filters` are as for `page`; `limit` and `columns` are the rows of a page and what the list shows of each trace.
    """
    return TraceApp(store, limit=limit, columns=columns, **filters)
