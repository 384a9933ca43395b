"""A front end without a browser: the other end of a form's comm, which keeps what it hears and may ask for actions."""

import itertools
import json
import threading

import comm
from comm.base_comm import BaseComm
from ipywidgets.widgets import widget

# So long a test waits for an answer before it fails; nothing here takes a tenth of it on a machine at rest.
PATIENCE = 120
_CHUNK = 1_000


class _Wire(BaseComm):
    """A comm of the real kind, whose messages arrive here as they do in a browser: as JSON in UTF-8, and buffers."""

    def __init__(self, *args, **options):
        self.state = {}
        self.replies = {}
        self.ids = map(str, itertools.count(1))
        self.n_updates = 0
        self.news = threading.Condition()
        super().__init__(*args, **options)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **_):  # noqa: ARG002 - comm names them
        said = json.loads(json.dumps(data, allow_nan=False, ensure_ascii=False).encode())
        with self.news:
            if msg_type == "comm_open" or said.get("method") == "update":
                self.state |= said["state"]
                self.n_updates += 1
            elif said.get("method") == "custom":
                self.replies[said["content"]["id"]] = said["content"] | {"buffers": buffers or []}
            self.news.notify_all()


class FrontEnd:
    """What stands in a browser where the form is shown: `state` are the traits that have reached it."""

    def __init__(self, form):
        self._wire = form.comm

    @property
    def state(self):
        return self._wire.state

    @property
    def replies(self):
        return self._wire.replies

    @property
    def n_updates(self):
        return self._wire.n_updates

    def say(self, do, *buffers, **args):
        """Asks for an action, and gives the id of the message."""
        message = next(self._wire.ids)
        asked = {"do": do, "id": message, "args": args}
        self._tell({"method": "custom", "content": asked}, [*map(memoryview, buffers)])
        return message

    def hear(self, message):
        """The reply to a message."""
        with self._wire.news:
            assert self._wire.news.wait_for(lambda: message in self._wire.replies, PATIENCE), "no reply"
            return self._wire.replies[message]

    def ask(self, do, *buffers, **args):
        """The reply to an action."""
        return self.hear(self.say(do, *buffers, **args))

    def do(self, do, *buffers, **args):
        """Asks for an action, which must not fail."""
        reply = self.ask(do, *buffers, **args)
        assert (reply.get("failed"), reply["problem"]) == (None, "")
        return reply

    def set(self, **state):
        """Sets traits, and waits until the form has taken them."""
        self._tell({"method": "update", "state": state}, [])
        for thread in threading.enumerate():
            if thread.name == "tunix_rt-actions":
                thread.join(PATIENCE)

    def wait(self, **state):
        """Waits until the traits have come to these values."""
        with self._wire.news:
            reached = self._wire.news.wait_for(lambda: state.items() <= self.state.items(), PATIENCE)
        assert reached, {name: self.state[name] for name in state}

    def until(self, fits):
        """Waits until the traits are as `fits` wants them."""
        with self._wire.news:
            assert self._wire.news.wait_for(lambda: fits(self.state), PATIENCE), self.state

    def _tell(self, data, buffers):
        self._wire.handle_msg({"content": {"data": json.loads(json.dumps(data))}, "buffers": buffers})


def record(monkeypatch):
    """From now on the other ends of forms are here."""
    monkeypatch.setattr(comm, "create_comm", _Wire)


def n_widgets():
    """How many widgets there are in this process."""
    return len(widget._instances)


def settled():
    """Waits until no form works in the background."""
    for thread in threading.enumerate():
        if thread.name.startswith("tunix_rt-"):
            thread.join(PATIENCE)
            assert not thread.is_alive(), thread.name


def numbers(form):
    """The numbers that the traces in a list begin with, in what it shows too."""
    shown = [int(record.preview.split()[0]) for record in form.page]
    assert [int(row["preview"].split()[0]) for row in form.shown["rows"]] == shown
    return shown


def place(form):
    """Where the page stands in the list, and how many traces the list has, when that is counted."""
    settled()
    return form.first_place, form.n_found


def lines(*numbers):
    """A file of traces, as JSON Lines."""
    return "".join(
        json.dumps({"prompt": f"{n}?", "steps": ["s"], "final_answer": f"{n}"}) + "\n" for n in numbers
    ).encode()


def send(end, name, content, *, known="skip"):
    """Sends a file in chunks, as a browser does, and gives the reply to its load."""
    return send_all(end, {name: content}, known=known)


def send_all(end, contents, **how):
    """Sends files as one drop, and gives the reply to their load; of a folder, only those that are wanted."""
    files = [*contents.items()]
    begun = end.ask("begin", files=[{"name": name, "size": len(content)} for name, content in files])
    for file, index in enumerate(begun.get("wanted", ())):
        content = files[index][1]
        for at in range(0, len(content), _CHUNK):
            end.do("receive", content[at : at + _CHUNK], file=file, at=at)
    return begun if begun.get("failed") else end.ask("load_received", **how)


def close_all():
    """Closes what a test has left."""
    settled()
    for form in [*widget._instances.values()]:
        form.close()
