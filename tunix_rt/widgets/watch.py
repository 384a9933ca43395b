"""A running job's folder as a form: new files and rows are loaded and shown."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from traitlets import Bool, Dict

from tunix_rt import render
from tunix_rt.errors import SourceInvalid
from tunix_rt.paths import local_path
from tunix_rt.store import LoadReport, Page, TraceStore
from tunix_rt.store.ingest.load import Split
from tunix_rt.store.query.order import NEWEST_FIRST
from tunix_rt.widgets.columns import row_of
from tunix_rt.widgets.form import OpeningForm, action, front_end

_SHOWN_FILES = 5


class FolderWatch(OpeningForm):
    """Loads the files of a running job as they appear and grow, in its own thread, and shows the new traces.

    It watches from the start until `stop()`, until it is closed, or until another one watches the same path into the
    same store, such as when its cell is run again; `start()` continues where it stopped. `path` is a folder, a file or
    a pattern; it need not exist yet. `report` is the LoadReport so far, `newest` the page of the last five traces;
    `on_open` is called with the id of a trace to show. Raises what `TraceStore.watch` raises.
    """

    watching = Bool(default_value=False).tag(sync=True)
    shown = Dict().tag(sync=True)
    newest: Page | None = None
    _esm: ClassVar[str] = front_end("rows", "watch")
    _watching: ClassVar[WeakValueDictionary[tuple[Path, Path], "FolderWatch"]] = WeakValueDictionary()

    def __init__(
        self,
        store: TraceStore | None,
        path: str | Path,
        *,
        every: float = 2.0,
        format: str | None = None,
        mapping: Mapping[str, Any] | None = None,
        split: Split | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = local_path(path, SourceInvalid)
        self.store = store or TraceStore()
        how: Any = {"format": format, "mapping": mapping, "split": split, "meta": meta}
        self._watch = self.store.watch(self.path, every=every, **how)
        self._stop = threading.Event()
        self._at_work = threading.Lock()
        self._last_at: datetime | None = None
        super().__init__()
        self._show()
        self.start()

    @property
    def report(self) -> LoadReport:
        """The report so far; `already_stored` are traces that were in the store before, and there are no samples."""
        return self._watch.total

    def picture(self) -> object:
        """The report and the newest traces."""
        text, html = str(self.report), render.report_html(self.report)
        if self.newest is not None:
            text, html = f"{text}\n\n{self.newest}", html + render.page_html(self.newest)
        return _Picture(text, html)

    @action()
    def start(self) -> None:
        """Starts the watch, or continues it."""
        key = (self.store.path, self.path.absolute())
        before = self._watching.get(key)
        if before is not None and before is not self:
            before.stop()
        self._watching[key] = self
        if not self.watching:
            self._stop = threading.Event()
            self.watching = True
            threading.Thread(target=self._look_again_and_again, args=(self._stop,), name="tunix_rt-watch").start()

    @action()
    def stop(self) -> None:
        """Ends the watch after the current row; what was added stays."""
        self._stop.set()
        self.watching = False

    def close(self) -> None:
        """Ends the watch and removes the form."""
        # Python also closes a form whose constructor failed.
        if self.comm is not None:
            self.stop()
        super().close()

    def _look_again_and_again(self, stop: threading.Event) -> None:
        # A process ends when its threads have ended: this one ends with the main thread, in a kernel as in a script.
        def stopped() -> bool:
            return stop.is_set() or not threading.main_thread().is_alive()

        # A thread that was stopped may still be at its last row.
        with self._at_work:
            while not stopped():
                with self.in_background("look"):
                    try:
                        report = self._watch.poll(stopped=stopped)
                        self._note(report)
                    finally:
                        self._show()
                self._watch.rest(stopped)

    def _note(self, report: LoadReport) -> None:
        if report.added or report.scores_added or report.rejected_count:
            self._last_at = datetime.now(UTC)
        if report.newest:
            self.newest = self.store.page(ids=self.report.newest, **NEWEST_FIRST)
            # The ids are of no use to the reader.
            self.newest.filters = {}

    def _show(self) -> None:
        watch = self._watch
        self.shown = {
            "path": render.visible(str(self.path)),
            "missing": render.visible(watch.missing),
            "every": watch.every,
            "n_files": watch.n_files,
            "last_at": self._last_at and render.utc_exact(self._last_at),
            "waiting": _names(watch.waiting),
            # Where all are gone, `missing` says so.
            "gone": [] if watch.missing else _names(watch.gone),
            "shorter": _names(watch.shorter),
            "html": render.report_html(self.report, styled=False) if self.report.formats else "",
            "rows": [row_of(summary) for summary in (self.newest.shown if self.newest else ())],
        }


def _names(paths: Sequence[Path]) -> list[str]:
    """The first of the files, and how many more there are."""
    more = len(paths) - _SHOWN_FILES
    names = [render.visible(path.name) for path in paths[:_SHOWN_FILES]]
    return names + ([f"and {render.count(more, 'more file')}"] if more > 0 else [])


@dataclass(frozen=True)
class _Picture:
    """The picture of the form; two pictures are equal if they look the same."""

    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html
