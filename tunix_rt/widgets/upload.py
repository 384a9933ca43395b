"""The upload form: JSON in an editor, files from the user's computer, paths on the kernel's machine."""

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar

from traitlets import Callable as CallableTrait
from traitlets import Dict, List, Unicode, observe

from tunix_rt import examples, render
from tunix_rt.errors import Problem, QueryInvalid, SourceInvalid, TraceInvalid, TraceNotFound, TunixRTError
from tunix_rt.formats import Reading
from tunix_rt.model import Trace
from tunix_rt.paths import local_path
from tunix_rt.store import LoadReport, TraceStore
from tunix_rt.store.ingest.load import Known, Split
from tunix_rt.text_options import as_choices
from tunix_rt.widgets.form import Note, OpeningForm, action, front_end
from tunix_rt.widgets.incoming import IncomingFiles, Origin
from tunix_rt.widgets.json_position import position_of
from tunix_rt.widgets.proposal import Unread

_SHOWN_IDS = 10
_KEPT_REPORTS = 20
_PROGRESS_SECONDS = 0.1
# Each position is found by a scan of the text; a thousand of them took 2.6 s.
_SHOWN_PROBLEMS = 20


class _Cancelled(TunixRTError):
    """The user stopped a load."""


class UploadForm(OpeningForm):
    """Adds traces to the store: `text` is the JSON in the editor, `problems` its mistakes.

    `uploaded` is the id of the trace that was uploaded from the editor last, `record` the one that was fetched;
    `reports` are the LoadReports of the last files. `unread` are files of no known format, those with the same fields
    together: of the first, `map_fields` chooses what its fields are, `load_mapped` loads it, `leave_out` does not.
    `on_added` is called when traces were added.
    """

    examples = List(Unicode()).tag(sync=True)
    text = Unicode().tag(sync=True, echo_update=False)
    problems = List(Dict()).tag(sync=True)
    uploaded = Unicode().tag(sync=True)
    progress = Dict().tag(sync=True)
    shown_reports = List(Dict()).tag(sync=True)
    shown_unread = Dict().tag(sync=True)
    on_added = CallableTrait(None, allow_none=True)
    _esm: ClassVar[str] = front_end("upload")

    def __init__(self, store: TraceStore | None = None) -> None:
        self.store = store or TraceStore()
        self.reports: list[LoadReport] = []
        self.unread: list[Unread] = []
        self._incoming: IncomingFiles | None = None
        self._cancel = threading.Event()
        super().__init__(examples=examples.names())

    def picture(self) -> object:
        """The last report or trace."""
        if self.reports:
            return self.reports[-1]
        return self.record or Note("The form to add traces; run the cell to use it.")

    @observe("text")
    def _check(self, _change: object) -> None:
        found = _problems(self.text)
        shown = [self._where(problem) for problem in found[:_SHOWN_PROBLEMS]]
        if more := len(found) - len(shown):
            shown.append({"field": None, "reason": f"and {render.count(more, 'more problem')}"})
        self.problems = shown

    def _where(self, problem: Problem) -> dict[str, Any]:
        place: dict[str, Any] = {}
        if found := _place(self.text, problem):
            line, column, at = found
            # The editor counts like JavaScript, in units of UTF-16.
            place = {"line": line, "column": column, "at": len(self.text[:at].encode("utf-16-le", "replace")) // 2}
        field = problem.field and render.visible(problem.field)
        return {"field": field, "reason": render.visible(problem.reason), **place}

    @action()
    def load_example(self, name: str) -> None:
        """Puts an example into the editor."""
        trace = examples.get(name)
        self.text = json.dumps(trace.model_dump(mode="json"), ensure_ascii=False, indent=2)

    @action()
    def upload(self, text: str | None = None) -> None:
        """Stores the trace in the editor; `text` replaces the text of the editor first."""
        if text is not None:
            self.text = text
        if not self.text.strip():
            raise QueryInvalid("the editor is empty; load an example, or write or paste a trace as JSON")
        record = self.store.add(Trace.from_json(self.text))
        self.opened, self.record = "", None
        self.uploaded = str(record.id)
        self._added()

    @action()
    def fetch(self) -> None:
        """Reads the uploaded trace back from the store, and shows it."""
        if not self.uploaded:
            raise TraceNotFound("nothing has been added yet; add a trace first")
        self.show(self.uploaded)

    @action()
    def begin(self, files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Prepares for files that are loaded together; each has a `name` and a `size` in bytes.

        Returns which of them (`wanted`, from 0) are to be sent: all, but of a folder (names with `/`) only those whose
        names end as those of files of traces do.
        """
        self._drop_incoming()
        self._cancel = threading.Event()
        self._incoming = IncomingFiles(files)
        return {"wanted": self._incoming.wanted}

    @action()
    def receive(self, file: int, at: int, buffer: memoryview) -> None:
        """Receives the part of a file (of those wanted, from 0) that begins at byte `at`."""
        if self._incoming is None:
            raise SourceInvalid("no file is being sent; choose it again")
        self._incoming.take(file, at, buffer)

    @action(aside=True)
    def load_received(self, known: Known = "skip", split: Split | None = None, encoding: str | None = None) -> None:
        """Loads the files that have arrived, as `load_path` does a folder."""
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            raise SourceInvalid("no file is being sent; choose it again")
        held: list[str] = []
        try:
            self._load(incoming.finish(), held, known=known, split=split, encoding=encoding)
        finally:
            incoming.drop_but(held)

    @action(aside=True)
    def load_path(
        self,
        path: str | os.PathLike[str],
        known: Known = "skip",
        split: Split | None = None,
        encoding: str | None = None,
    ) -> None:
        """Loads a file, a folder or a pattern on the kernel's machine; the options are those of `TraceStore.load`."""
        self._cancel = threading.Event()
        local_path(path, SourceInvalid)
        named = os.fspath(path)
        self._load(Origin(named, named), [], known=known, split=split, encoding=encoding)

    @action()
    def map_fields(self, mapping: Mapping[str, Any]) -> None:
        """Chooses what the fields of the files of no known format are (of the first of `unread`); shows some rows."""
        self._first_unread().map(mapping)
        self._show_unread()

    @action(aside=True)
    def load_mapped(self) -> None:
        """Loads the files of the first of `unread` by its mapping."""
        with self.lane.lock:
            unread = self._first_unread()
            if not unread.is_complete:
                raise QueryInvalid("no field is chosen for the prompt, nor for what the model wrote; choose one first")
            self.unread = self.unread[1:]
            self._show_unread()
        self._cancel = threading.Event()
        try:
            total: LoadReport | None = None
            for origin in unread.origins:
                report = self._load(origin, [], mapping=unread.mapping, **unread.how)
                if total is None:
                    total = report
                else:
                    total.include(report)
                    with self.lane.lock:
                        self.reports.remove(report)
                    total.source = unread.name
                    self._show_reports()
        finally:
            unread.forget()

    @action()
    def leave_out(self) -> None:
        """Forgets the first of `unread` and its files; nothing of them is added."""
        self._first_unread().forget()
        self.unread = self.unread[1:]
        self._show_unread()

    @action(watch=True)
    def cancel(self) -> None:
        """Stops the running load; what has been added stays, and so does the message of an error."""
        self._cancel.set()
        self._drop_incoming()

    @action()
    def rejected(self, report: int) -> dict[str, bytes]:
        """The rejected rows of a report, a line of JSON for each: file, line, field, reason, start of the row."""
        if not 0 <= report < len(self.reports):
            raise QueryInvalid(f"report={report}: there is no such report; there are {len(self.reports)}")
        rows = (json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in self.reports[report].rejected)
        return {"rows": "".join(rows).encode(errors="replace")}

    def close(self) -> None:
        """Removes the form, and with it files that arrive, or that wait until their fields are chosen."""
        self._drop_incoming()
        for unread in getattr(self, "unread", ()):
            unread.forget()
        super().close()

    def _load(self, origin: Origin, held: list[str], **how: Any) -> LoadReport:
        """Loads, and adds the report; the paths of files that wait until their fields are chosen go to `held`."""
        told = 0.0
        # The event of this load: another load that begins meanwhile does not undo the cancel.
        cancel = self._cancel

        def progress(done: int, total: int) -> None:
            nonlocal told
            if cancel.is_set():
                raise _Cancelled(f"{origin.name}: cancelled")
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                told = time.monotonic()
                self.progress = {"name": render.visible(origin.name), "done": done, "total": total}

        try:
            report = self.store.load(origin.path, progress=progress, **how)
        except TunixRTError as error:
            # What was committed before stays; the note says how much.
            notes = getattr(error, "__notes__", [])
            if isinstance(error, SourceInvalid) and self._hold(origin, {origin.path: error}, how):
                held.append(origin.path)
                said = str(error)
            elif isinstance(error, _Cancelled):
                said = " ".join([str(error), *(note.removeprefix("stopped ") for note in notes)])
            else:
                said = ("\n" if "\n" in str(error) else "; ").join([str(error), *notes])
            raise type(error)(as_choices(origin.named(said), is_held=bool(held))) from None
        finally:
            self.progress = {}
            self._added()
        held += self._hold(origin, _refusals(report, how.get("encoding")), how)
        report.source = origin.name
        report.rejected = [
            row._replace(
                file=origin.named(row.file), reason=as_choices(origin.named(row.reason), is_held=row.file in held)
            )
            for row in report.rejected
        ]
        report.tried = {origin.named(file): why for file, why in report.tried.items()}
        report.help = {origin.named(file): why for file, why in report.help.items()}
        with self.lane.lock:
            self.reports = [*self.reports, report][-_KEPT_REPORTS:]
            self._show_reports()
        return report

    def _hold(self, origin: Origin, refused: Mapping[str, SourceInvalid], how: Mapping[str, Any]) -> list[str]:
        """Holds back those files that no format fits, in groups of the same fields; returns their paths."""
        held = []
        for path, error in refused.items() if how.get("mapping") is None else ():
            if not error.fields:
                continue
            one = origin._replace(path=path, name=origin.named(path))
            with self.lane.lock:
                kept = {name: how[name] for name in ("known", "encoding")}
                alike = [unread for unread in self.unread if (unread.fields, unread.how) == (error.fields, kept)]
                if alike:
                    alike[0].origins.append(one)
                else:
                    limit = self.store.settings.trace_max_bytes
                    self.unread.append(Unread(one, error, how=kept, trace_max_bytes=limit))
            held.append(path)
        if held:
            with self.lane.lock:
                self._show_unread()
        return held

    def _first_unread(self) -> Unread:
        if not self.unread:
            raise QueryInvalid("no file waits until its fields are chosen; load it again")
        return self.unread[0]

    def _show_unread(self) -> None:
        self.shown_unread = self.unread[0].shown() if self.unread else {}

    def _show_reports(self) -> None:
        self.shown_reports = [_shown(one) for one in self.reports]

    def _added(self) -> None:
        if self.on_added is not None:
            # The traces are stored, even if `on_added` fails.
            with self.reporting(watch="added"):
                self.on_added()

    def _drop_incoming(self) -> None:
        # Python also closes a form whose constructor failed.
        incoming: IncomingFiles | None = getattr(self, "_incoming", None)
        self._incoming = None
        if incoming is not None:
            incoming.drop()


def _problems(text: str) -> tuple[Problem, ...]:
    if not text.strip():
        return ()
    try:
        Trace.from_json(text)
    except TraceInvalid as error:
        return error.problems
    return ()


def _place(text: str, problem: Problem) -> tuple[int, int, int] | None:
    """Line and column (from 1) and offset of the problem."""
    if problem.field:
        return position_of(text, problem.field, of_key=problem.reason.startswith("unknown field"))
    if problem.position is None:
        return None
    line, column = problem.position
    before = text.split("\n")[: line - 1]
    return line, column, sum(map(len, before)) + len(before) + max(column - 1, 0)


def _shown(report: LoadReport) -> dict[str, Any]:
    shown = copy(report)
    # The form offers the same below, to choose from.
    shown.help = {}
    return {
        "html": render.report_html(shown, styled=False),
        "ids": list(map(str, report.ids[:_SHOWN_IDS])),
        "n_added": report.added,
        "n_rejected": report.rejected_count,
    }


def _refusals(report: LoadReport, encoding: str | None) -> dict[str, SourceInvalid]:
    """Why nothing of these files could be read, with the names of their fields."""
    found = dict(report.help)
    for file in report.tried:
        if file not in found and Path(file).is_file():
            try:
                with Reading(Path(file), encoding=encoding):
                    continue
            except SourceInvalid as error:
                found[file] = error
    return {file: error for file, error in found.items() if Path(file).exists()}
