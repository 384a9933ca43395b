"""The upload form: JSON in an editor, files from the user's computer, paths on the kernel's machine."""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar

from traitlets import Callable as CallableTrait
from traitlets import Dict, List, Unicode, observe

from tunix_rt import examples, render
from tunix_rt.errors import Problem, QueryInvalid, SourceInvalid, TraceInvalid, TraceNotFound, TunixRTError
from tunix_rt.model import Trace
from tunix_rt.paths import local_path
from tunix_rt.store import LoadReport, TraceStore
from tunix_rt.store.ingest.load import Known
from tunix_rt.widgets.form import Note, OpeningForm, action, front_end
from tunix_rt.widgets.json_position import position_of
from tunix_rt.widgets.proposal import Held

_CHOOSE = "choose below what they are; nothing was added"
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
    `reports` are the LoadReports of the last files; `proposals` are the mappings that would load the last one where it
    is of no known format. `on_added` is called when traces were added.
    """

    examples = List(Unicode()).tag(sync=True)
    text = Unicode().tag(sync=True, echo_update=False)
    problems = List(Dict()).tag(sync=True)
    uploaded = Unicode().tag(sync=True)
    progress = Dict().tag(sync=True)
    shown_reports = List(Dict()).tag(sync=True)
    proposals = List(Dict()).tag(sync=True)
    on_added = CallableTrait(None, allow_none=True)
    _esm: ClassVar[str] = front_end("upload")

    def __init__(self, store: TraceStore | None = None) -> None:
        self.store = store or TraceStore()
        self.reports: list[LoadReport] = []
        self._incoming: IncomingFile | None = None
        self._held: Held | None = None
        self._cancel = threading.Event()
        super().__init__(examples=examples.names())

    def picture(self) -> object:
        """The last report or trace."""
        if self.reports:
            return self.reports[-1]
        return self.record or Note("The form to upload traces; run the cell to use it.")

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
            raise TraceNotFound("nothing has been uploaded yet; upload a trace first")
        self.show(self.uploaded)

    @action()
    def begin(self, name: str, size: int) -> None:
        """Prepares for a file of `size` bytes."""
        self._drop_incoming()
        self._drop_held()
        self._cancel = threading.Event()
        self._incoming = IncomingFile(name, size)

    @action()
    def receive(self, at: int, buffer: memoryview) -> None:
        """Receives the part of the file that begins at byte `at`."""
        if self._incoming is None:
            raise SourceInvalid("no file is being uploaded; choose it again")
        self._incoming.take(at, buffer)

    @action(aside=True)
    def load_received(self, known: Known = "skip") -> None:
        """Loads the file that has arrived."""
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            raise SourceInvalid("no file is being uploaded; choose it again")
        try:
            self._load(str(incoming.finish()), incoming.name, known, drop=incoming.drop)
        finally:
            if self._held is None or self._held.source != str(incoming.path):
                incoming.drop()

    @action(aside=True)
    def load_path(self, path: str | os.PathLike[str], known: Known = "skip") -> None:
        """Loads a file, a folder or a pattern on the kernel's machine."""
        self._cancel = threading.Event()
        local_path(path, SourceInvalid)
        named = os.fspath(path)
        self._load(named, named, known)

    @action(aside=True)
    def load_proposed(self, index: int) -> None:
        """Loads what no format fits by one of the `proposals`, from 0."""
        with self._action_lock:
            held = self._held
            if held is None or not 0 <= index < len(held.mappings):
                raise QueryInvalid(f"index={index}: there is no such proposal; load the file again")
            self._held, self.proposals = None, []
        self._cancel = threading.Event()
        try:
            self._load(held.source, held.name, held.known, mapping=held.mappings[index])
        finally:
            held.drop()

    @action(watch=True)
    def cancel(self) -> None:
        """Stops the running load; what has been added stays, and so does the message of an error."""
        self._cancel.set()
        self._drop_incoming()
        self._drop_held()

    @action()
    def rejected(self, report: int) -> dict[str, bytes]:
        """The rejected rows of a report, a line of JSON for each: file, line, field, reason, start of the row."""
        if not 0 <= report < len(self.reports):
            raise QueryInvalid(f"report={report}: there is no such report; there are {len(self.reports)}")
        rows = (json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in self.reports[report].rejected)
        return {"rows": "".join(rows).encode(errors="replace")}

    def close(self) -> None:
        """Removes the form, and with it an incomplete upload, or a file that waits for a mapping."""
        self._drop_incoming()
        held: Held | None = getattr(self, "_held", None)
        if held is not None:
            held.drop()
        super().close()

    def _load(
        self,
        source: str,
        name: str,
        known: Known,
        *,
        mapping: Mapping[str, Any] | None = None,
        drop: Callable[[], None] = lambda: None,
    ) -> None:
        self._drop_held()
        told = 0.0
        # The event of this load: another load that begins meanwhile does not undo the cancel.
        cancel = self._cancel

        def progress(done: int, total: int) -> None:
            nonlocal told
            if cancel.is_set():
                raise _Cancelled(f"{name}: cancelled")
            if time.monotonic() - told >= _PROGRESS_SECONDS:
                told = time.monotonic()
                self.progress = {"name": render.visible(name), "done": done, "total": total}

        try:
            report = self.store.load(source, known=known, progress=progress, mapping=mapping)
            refused = next(iter(report.help.values()), None)
            if refused is not None and refused.mappings and len(report.formats) == 1:
                self._offer(source, name, known, refused, drop)
        except TunixRTError as error:
            # What was committed before stays; the note says how much.
            notes = getattr(error, "__notes__", [])
            if isinstance(error, SourceInvalid) and mapping is None and error.mappings:
                self._offer(source, name, known, error, drop)
                first_line, *_ = str(error).splitlines()
                said = f"{first_line}\n{_CHOOSE}"
            elif isinstance(error, _Cancelled):
                said = " ".join([str(error), *(note.removeprefix("stopped ") for note in notes)])
            else:
                said = ("\n" if "\n" in str(error) else "; ").join([str(error), *notes])
            raise type(error)(said.replace(source, name)) from None
        finally:
            self.progress = {}
            self._added()
        report.source = name
        report.rejected = [
            row._replace(file=row.file.replace(source, name), reason=row.reason.replace(source, name))
            for row in report.rejected
        ]
        with self._action_lock:
            self.reports = [*self.reports, report][-_KEPT_REPORTS:]
            self.shown_reports = [_shown(one) for one in self.reports]

    def _offer(self, source: str, name: str, known: Known, refused: SourceInvalid, drop: Callable[[], None]) -> None:
        """Offers the mappings that would load what no format fits."""
        held = Held(source, name, known, refused.mappings, drop)
        shown = held.shown()
        with self._action_lock:
            self._held, self.proposals = held, shown

    def _added(self) -> None:
        if self.on_added is not None:
            # The traces are stored, even if `on_added` fails.
            with self.reporting(watch="added"):
                self.on_added()

    def _drop_held(self) -> None:
        held: Held | None = getattr(self, "_held", None)
        if held is not None:
            self._held, self.proposals = None, []
            held.drop()

    def _drop_incoming(self) -> None:
        # Python also closes a form whose constructor failed.
        incoming: IncomingFile | None = getattr(self, "_incoming", None)
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
    return {
        "html": render.report_html(report, styled=False),
        "ids": list(map(str, report.ids[:_SHOWN_IDS])),
        "n_added": report.added,
        "n_rejected": report.rejected_count,
    }


class IncomingFile:
    """A file that arrives in chunks, in order; it is stored in its own folder until it is dropped.

    `name` is only shown: the sender does not choose the name on disk.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        try:
            if size > (free := shutil.disk_usage(tempfile.gettempdir()).free):
                raise SourceInvalid(f"{name}: {size:,} bytes, and only {free:,} are free in {tempfile.gettempdir()}")
            self._folder = tempfile.TemporaryDirectory(prefix="tunix_rt-", ignore_cleanup_errors=True)
            self.path = Path(self._folder.name) / "received"
            self._file: IO[bytes] = self.path.open("wb")
        except OSError as error:
            raise SourceInvalid(f"{name}: cannot be saved during the upload ({error.strerror})") from None

    def take(self, at: int, chunk: bytes | memoryview) -> None:
        """Adds the chunk that begins at byte `at`; SourceInvalid if it is not the next one."""
        if at != self._file.tell():
            raise SourceInvalid(
                f"{self.name}: a part was lost during the upload, at byte {self._file.tell():,}; upload it again"
            )
        try:
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            raise SourceInvalid(f"{self.name}: cannot be saved during the upload ({error.strerror})") from None

    def finish(self) -> Path:
        """The complete file; SourceInvalid if a part is missing."""
        if self._file.tell() != self.size:
            raise SourceInvalid(f"{self.name}: {self._file.tell():,} of {self.size:,} bytes arrived; upload it again")
        return self.path

    def drop(self) -> None:
        """Deletes the file."""
        # On a full disk, closing fails again to write the rest.
        with suppress(OSError):
            self._file.close()
        self._folder.cleanup()
