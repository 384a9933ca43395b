"""What all forms share: the front end, its actions, errors shown in the form, the saved picture.

A front end (`static/*.js`) shows the synchronised traits and requests actions by name; an action is a method marked
with `@action`. Its errors are shown in the form and logged, because the notebook does not show them. Requests return at
once: the actions of a form run in a thread of its own, so that the kernel never waits for the store because of a click.
"""

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import anywidget
from IPython.display import display, update_display
from traitlets import Callable as CallableTrait
from traitlets import Dict, Instance, Unicode

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TunixRTError
from tunix_rt.log import logger
from tunix_rt.model import TraceRecord
from tunix_rt.store import TraceStore
from tunix_rt.store.engine.task import check
from tunix_rt.widgets.actions import FormTask, Lane, Mode, monitor
from tunix_rt.widgets.actions import action as action  # noqa: PLC0414 - the forms take it from here

log = logger("tunix_rt.widgets")

_MISTAKE = "(this is a bug in tunix_rt; the log has the details)"
_CANCELLED = "cancelled"
_STATIC = Path(__file__).parent / "static"


def front_end(*names: str) -> str:
    """The JavaScript module of a form: what all forms share, then its parts, of which the last is rendered."""
    parts = [(_STATIC / f"{name}.js").read_text(encoding="utf-8") for name in ("form", *names)]
    return "\n".join([*parts, f"export default {{ render: shownBy({names[-1]}Form) }};\n"])


def style() -> str:
    """The style of all forms, and of the traces and reports in them."""
    return "\n".join([str(render.style()), (_STATIC / "forms.css").read_text(encoding="utf-8")])


@render.shows_itself(lambda note: note.text, lambda note: render.note_html(note.text))
@dataclass(frozen=True)
class Note:
    """A sentence that shows itself as text and as HTML."""

    text: str


class Form(anywidget.AnyWidget):
    """The base of the forms; `problem` is the last error, as the form shows it.

    `busy` is empty, or says in `text` what the form waits for, or does, for more than a second; `waits` is true where
    that is another process or thread.
    """

    problem = Unicode().tag(sync=True)
    busy = Dict().tag(sync=True)
    picture_id = Unicode().tag(sync=True)
    _css: ClassVar[str] = style()
    # What the form says where its actions take long.
    _doing: ClassVar[str] = "still working"

    def __init__(self, **traits: Any) -> None:
        self.lane = Lane()
        self._pictured: object | None = None
        self._watch_failed = ""
        super().__init__(**traits)
        self.picture_id = self.model_id
        self.on_msg(self._answer)
        self.observe(lambda _: self._save_picture())

    @abstractmethod
    def picture(self) -> object:
        """What is shown without a kernel in place of the form: an object that shows itself as HTML."""

    def close(self) -> None:
        """Removes the form; its picture in a saved notebook stays."""
        # Python also closes a form whose constructor failed; it has no layout.
        layout = None
        if self.comm is not None:
            self.interrupt()
            layout = self.layout
        super().close()
        if layout is not None:
            layout.close()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Applies traits that the front end has set, after the actions that were requested before."""

        def apply() -> None:
            with self.lane.lock, self.reporting():
                super(Form, self).set_state(sync_data)

        self.lane.do(apply)

    @action(aside=True, watch=True)
    def interrupt(self) -> None:
        """Ends what the form's actions wait for, or search: each fails as "cancelled", and leaves things as they were.

        What is committed at this moment stays. Cells and other forms continue.
        """
        for task in monitor.of(self):
            task.interrupt()

    def show_busy(self, busy: dict[str, Any]) -> None:
        """Shows what the actions wait for; called by their threads."""
        # What an observer of the trait raises keeps no action from its end.
        with self.reporting(watch="busy"):
            self.busy = busy

    @contextmanager
    def in_background(self, watch: str, doing: str = "") -> Iterator[None]:
        """Around work in a thread of the form's own: its errors are shown, it is seen waiting, `interrupt` ends it."""
        task = FormTask(self, doing)
        monitor.add(task)
        try:
            with suppress(KeyboardInterrupt), task.begun(), self.reporting(watch=watch):
                yield
        finally:
            monitor.remove(task)

    @contextmanager
    def reporting(self, *, watch: str = "") -> Iterator[list[str]]:
        """Around an action: an error is shown in the form, logged, and added to the yielded list.

        A success of what the form does by itself, named by `watch`, clears only its own errors.
        """
        problems: list[str] = []
        if not watch:
            self.problem = self._watch_failed = ""
        try:
            yield problems
        except KeyboardInterrupt:
            # What the form does by itself is tried again by itself.
            problems.append(_CANCELLED)
            if not watch:
                self.problem = _CANCELLED
            raise
        except Exception as error:
            known = isinstance(error, TunixRTError)
            problem = str(error) if known else f"{type(error).__name__}: {error} {_MISTAKE}"
            problems.append(render.visible(problem))
            # A repeated failure of a repeated action is logged once.
            if not watch or problems[0] != self.problem:
                if known:
                    log.warning("%s: %s", type(self).__name__, error)
                else:
                    log.exception("%s: an action failed", type(self).__name__)
            self.problem, self._watch_failed = problems[0], watch
        else:
            if watch and self._watch_failed == watch:
                self.problem = self._watch_failed = ""

    def _answer(self, _form: object, request: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        name = str(request.get("do"))
        method = getattr(type(self), name, None)
        mode = getattr(method, "action_mode", Mode(aside=False, watch=False))
        task = FormTask(self, "" if mode.aside else self._doing)
        monitor.add(task)

        def answer() -> None:
            result: dict[str, Any] = {"failed": True}
            problems: list[str] = []
            try:
                with (
                    suppress(KeyboardInterrupt),
                    self.reporting(watch=name if mode.watch else "") as problems,
                    task.begun(),
                ):
                    check()
                    if method is None or not hasattr(method, "action_mode"):
                        raise QueryInvalid(f"no such action: {name}")
                    given = dict(request.get("args", {})) | ({"buffer": buffers[0]} if buffers else {})
                    result = method(self, **given) or {}
            finally:
                monitor.remove(task)
                parts = [value for value in result.values() if isinstance(value, bytes)]
                plain = {name: value for name, value in result.items() if not isinstance(value, bytes)}
                self.send({**plain, "id": request.get("id"), "problem": "".join(problems)}, buffers=parts or None)

        if mode.aside:
            threading.Thread(target=answer, name=f"tunix_rt-{name}").start()
        else:
            self.lane.do(answer)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def _ipython_display_(self, **_: Any) -> None:
        # Two outputs: the living form, and a picture of it for readers without a kernel. In one output the host would
        # choose the form, and then report that it finds no model.
        if self.comm is not None:
            bundle: Any = self._repr_mimebundle_()
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
            data["text/plain"] = repr(self)
            display(data, metadata=metadata, raw=True)
        self._pictured = self.picture()
        display(_Saved(self._pictured, self.picture_id), display_id=self.picture_id)

    def _save_picture(self) -> None:
        """Updates the pictures wherever the form is shown; an equal one is not sent again."""
        if self._pictured is not None and (picture := self.picture()) != self._pictured:
            self._pictured = picture
            update_display(_Saved(picture, self.picture_id), display_id=self.picture_id)


class _Saved:
    """The picture of a form as an output; the living form beside it hides it."""

    def __init__(self, shown: Any, id: str) -> None:
        self._shown = shown
        self._id = id

    def __repr__(self) -> str:
        return str(self._shown)

    def _repr_html_(self) -> str:
        return render.saved_html(self._shown._repr_html_(), id=self._id)


class OpeningForm(Form):
    """Opens a trace of `store`: calls `on_open` with its id; without `on_open` the form itself shows it.

    `record` is the trace that was opened last.
    """

    store: TraceStore
    record = Instance(TraceRecord, allow_none=True)
    opened = Unicode().tag(sync=True)
    on_open = CallableTrait(None, allow_none=True)

    @action()
    def show(self, id: str) -> None:
        """Shows a stored trace: by `on_open`, or else in the form."""
        self.record = self.store.get(id)
        if self.on_open is not None:
            self.on_open(id)
        else:
            self.opened = render.record_html(self.record, styled=False)
