"""What all forms share: the front end, the actions it asks for, failures told where they happened, the saved picture.

A front end (`static/*.js`) shows the synchronised traits and asks for actions by name; an action is a method marked
with `@action`. What it raises is shown in the form and logged: the notebook shows nothing of it. The hosts call actions
from a thread of their own, beside the cells that run.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import anywidget
from IPython.display import DisplayHandle, display
from traitlets import Unicode

from tunix_rt import render
from tunix_rt.errors import TunixRTError

log = logging.getLogger("tunix_rt.widgets")

_STATIC = Path(__file__).parent / "static"
_Method = TypeVar("_Method", bound=Callable[..., Any])


class Shows(Protocol):
    """What shows itself as text and as HTML."""

    def _repr_html_(self) -> str: ...


def front_end(*names: str) -> str:
    """The module of a form: what all forms share, the parts it is made of, the last of which is rendered."""
    parts = [(_STATIC / f"{name}.js").read_text(encoding="utf-8") for name in ("form", *names)]
    return "\n".join([*parts, f"export default {{ render: shownBy({names[-1]}) }};\n"])


def style() -> str:
    """The style of all forms, and of the traces and reports in them."""
    return "\n".join([str(render.style()), (_STATIC / "forms.css").read_text(encoding="utf-8")])


def action(*, aside: bool = False) -> Callable[[_Method], _Method]:
    """Marks a method that the front end may ask for; `aside` runs it in a thread of its own, so that others are heard.

    It may give a dictionary, which goes back with the reply, its value of bytes as a buffer.
    """

    def mark(method: _Method) -> _Method:
        method.asked = "aside" if aside else "in turn"  # type: ignore[attr-defined]
        return method

    return mark


class Note:
    """A sentence that shows itself as text and as HTML."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return render.note_html(self._text)


class Form(anywidget.AnyWidget):
    """The base of the forms; `problem` is what failed last, as the form shows it."""

    problem = Unicode().tag(sync=True)
    picture_id = Unicode().tag(sync=True)
    _css: ClassVar[str] = style()

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.picture_id = self.model_id
        self._saved: DisplayHandle | None = None
        self._turn = threading.RLock()
        self.on_msg(self._answer)

    def picture(self) -> Shows:
        """What a reader without a kernel sees in place of the form."""
        raise NotImplementedError

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Around an action: what fails is shown in the form, and logged."""
        self.problem = ""
        try:
            yield
        except Exception as error:
            if isinstance(error, TunixRTError):
                log.warning("%s: %s", type(self).__name__, error)
                self.problem = str(error)
            else:
                log.exception("%s: an action failed", type(self).__name__)
                self.problem = f"{type(error).__name__}: {error} (this is a mistake in the program; the log has more)"

    def _answer(self, _form: object, asked: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        method = getattr(self, str(asked.get("do")), None)
        how = getattr(method, "asked", None)
        if method is None or how is None:
            log.warning("%s: no such action: %r", type(self).__name__, asked.get("do"))
            return
        args = dict(asked.get("args", {}))
        if buffers:
            args["buffer"] = buffers[0]

        def answer() -> None:
            said: dict[str, Any] = {"failed": True}
            with self.telling():
                said = method(**args) or {}
                self._save_picture()
            parts = [value for value in said.values() if isinstance(value, bytes)]
            plain = {name: value for name, value in said.items() if not isinstance(value, bytes)}
            self.send({**plain, "id": asked.get("id"), "problem": self.problem}, buffers=parts or None)

        if how == "aside":
            threading.Thread(target=answer, name=f"tunix_rt-{asked['do']}").start()
        else:
            with self._turn:
                answer()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def _ipython_display_(self, **_: Any) -> None:
        # Two outputs: the living form, and a picture of it for readers without a kernel. In one output the host would
        # choose the form, and then say that it finds no model.
        bundle: Any = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data["text/plain"] = repr(self)
        display(data, metadata=metadata, raw=True)
        self._saved = display(_Saved(self), display_id=True)

    def _save_picture(self) -> None:
        if self._saved is not None:
            self._saved.update(_Saved(self))


class _Saved:
    """The picture of a form as an output; the living form beside it hides it."""

    def __init__(self, form: Form) -> None:
        self._shown = form.picture()
        self._id = form.picture_id

    def __repr__(self) -> str:
        return str(self._shown)

    def _repr_html_(self) -> str:
        return render.saved_html(self._shown._repr_html_(), id=self._id)
