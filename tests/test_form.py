"""What all forms share: actions, failures told where they happened, and the picture that a notebook keeps."""

import logging
import threading

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output

import tunix_rt as rt
from tests.front_end import settled
from tunix_rt.render import note_html
from tunix_rt.widgets.form import Form, Note, action

WIDGET = "application/vnd.jupyter.widget-view+json"


class Counter(Form):
    """A form with an action of each kind."""

    _esm = "export default {}"

    def __init__(self):
        self.n = 0
        self.hold = threading.Event()
        super().__init__()

    def picture(self):
        return Note(f"{self.n} so far")

    @action()
    def add(self, by=1):
        self.n += by
        # Any trait: it tells that something has changed.
        self.tooltip = str(self.n)
        return {"n": self.n}

    @action(watch=True)
    def hello(self):
        pass

    @action()
    def read(self, buffer):
        return {"first": bytes(buffer[:3]), "n": len(buffer)}

    @action()
    def refuse(self):
        raise rt.QueryInvalid("n\u202eo\x1b")

    @action()
    def stumble(self):
        return 1 / 0

    @action()
    def interrupted(self):
        raise KeyboardInterrupt

    @action(aside=True)
    def wait(self):
        assert self.hold.wait(60)
        return {"thread": threading.current_thread().name}

    @action(aside=True, watch=True)
    def watch(self):
        if self.n:
            raise rt.QueryInvalid("cannot look now")

    def secret(self):
        raise AssertionError


pytestmark = pytest.mark.usefixtures("front")


@pytest.fixture
def form(front):
    form = Counter()
    assert front(form).state["picture_id"] == form.picture_id
    return form


@pytest.fixture
def shell():
    shell = InteractiveShell.instance()
    shell.reset()
    return shell


def outputs(shell, cell):
    """What stands under a cell."""
    with capture_output() as captured:
        shell.run_cell(cell).raise_error()
    assert captured.stderr == ""
    return [(output.data, output.transient, output.update) for output in captured.outputs]


def test_asking_for_an_action_gives_its_result_with_the_reply(front, form):
    end = front(form)
    assert end.do("hello") == {"id": "1", "problem": "", "buffers": []}
    assert end.do("add") == {"id": "2", "problem": "", "buffers": [], "n": 1}
    assert end.do("add", by=3)["n"] == 4
    assert end.do("read", b"abcd") == {"id": "4", "problem": "", "buffers": [b"abc"], "n": 4}
    assert form.add(by=2) == {"n": 6}


@pytest.mark.parametrize("name", ["nothing", "secret", "close", "comm", "__class__", "", None])
def test_asking_for_what_is_no_action_is_refused(front, form, name, caplog):
    reply = front(form).ask(name)
    assert (reply["failed"], reply["problem"]) == (True, f"no such action: {name}")
    assert "Counter: no such action" in caplog.text
    assert front(form).do("hello")


def test_what_fails_is_shown_in_the_form_and_logged(front, form, caplog):
    end = front(form)
    reply = end.ask("refuse")
    assert (reply["failed"], reply["problem"]) == (True, "n‹U+202E›o␛")
    assert end.state["problem"] == form.problem == "n‹U+202E›o␛"
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("tunix_rt.widgets", logging.WARNING, None)
    end.do("add")
    assert end.state["problem"] == ""


def test_a_mistake_in_the_program_is_shown_and_logged_with_its_traceback(front, form, caplog):
    reply = front(form).ask("stumble")
    assert reply["failed"]
    assert reply["problem"] == form.problem
    assert form.problem.startswith("ZeroDivisionError: division by zero (this is a bug in tunix_rt")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "return 1 / 0" in caplog.text
    assert front(form).ask("add", nonsense=1)["problem"].startswith("TypeError: ")


def test_an_interrupted_action_is_answered_as_well(front, form):
    end = front(form)
    reply = end.ask("interrupted")
    assert (reply["failed"], reply["problem"], form.problem) == (True, "cancelled", "cancelled")
    end.do("add")
    assert form.problem == ""


def test_what_runs_aside_lets_the_others_be_heard(front, form):
    end = front(form)
    waiting = end.say("wait")
    assert end.do("add")["n"] == 1
    form.hold.set()
    assert end.hear(waiting)["thread"] == "tunix_rt-wait"


def test_what_a_form_does_by_itself_takes_away_only_its_own_failures(front, form, caplog):
    end = front(form)
    end.ask("refuse")
    end.do("watch")
    end.do("hello")
    assert form.problem == "n‹U+202E›o␛"
    end.do("add")
    assert end.ask("watch")["failed"]
    end.do("hello")
    assert form.problem == "cannot look now"
    form.n = 0
    end.do("watch")
    assert form.problem == ""
    assert "cannot look now" in caplog.text


def test_a_value_that_cannot_be_set_is_told(front, form, caplog):
    front(form).set(problem=3)
    assert "TraitError" in form.problem
    assert "an action failed" in caplog.text


def test_two_threads_take_turns_in_a_form(front, form):
    def work():
        for _ in range(200):
            form.add()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert form.n == 800
    assert front(form).do("add")["n"] == 801


def test_a_form_as_text_is_its_name(form):
    assert repr(form) == str(form) == "<Counter>"


@pytest.mark.slow
def test_a_cell_shows_the_form_and_a_picture_for_readers_without_a_kernel(shell, form):
    shell.user_ns["form"] = form
    (living, _, _), (picture, transient, update) = outputs(shell, "form")
    assert living[WIDGET]["model_id"] == form.model_id
    assert living["text/plain"] == "<Counter>"
    assert WIDGET not in picture
    assert picture["text/plain"] == "0 so far"
    assert note_html("0 so far") in picture["text/html"]
    assert f"trt-saved-{form.picture_id}" in picture["text/html"]
    assert transient == {"display_id": form.picture_id}
    assert not update


@pytest.mark.slow
def test_every_form_shows_itself_in_a_notebook(shell, store, make_trace):
    record = store.add(make_trace())
    shell.user_ns |= {"rt": rt, "store": store}
    for name, words in {
        "TraceBrowser(store)": "27 × 19?",
        "TraceViewer(store, store.latest())": f"{record.id}",
        "UploadForm(store)": "run the cell to use it",
        "StoreStatus(store)": f"{store.path}",
        "FolderWatch(store, 'runs')": "0 added",
        "LabelForm(store)": "0 of 1 trace",
        "app(store)": "27 × 19?",
    }.items():
        (living, _, _), (picture, _, _) = outputs(shell, f"rt.{name}")
        assert WIDGET in living
        assert words in picture["text/plain"]
        assert outputs(shell, f"form = rt.{name}") == []
        shell.run_cell("form.close()").raise_error()
    settled()


@pytest.mark.usefixtures("shell")
def test_the_picture_follows_and_is_sent_only_when_it_has_changed(front, form):
    end = front(form)
    with capture_output() as captured:
        end.do("add")
        display(form)
        end.do("hello")
        end.do("add", by=0)
        end.do("add")
        form.add()
    pictures = [(output.data["text/plain"], output.update) for output in captured.outputs[1:]]
    assert pictures == [("1 so far", False), ("2 so far", True), ("3 so far", True)]


@pytest.mark.usefixtures("shell")
def test_a_form_that_is_shown_twice_has_one_picture_in_both_places(form):
    with capture_output() as captured:
        display(form)
        display(form)
        form.add()
    assert [output.data["text/plain"] for output in captured.outputs[::2]] == ["<Counter>", "<Counter>", "1 so far"]
    assert {output.transient["display_id"] for output in captured.outputs[1::2]} == {form.picture_id}
    assert captured.outputs[-1].transient == {"display_id": form.picture_id}


@pytest.mark.usefixtures("shell")
def test_a_closed_form_is_still_shown_as_a_picture(form):
    form.close()
    form.close()
    with capture_output() as captured:
        display(form)
        form.add()
    assert [output.data["text/plain"] for output in captured.outputs] == ["0 so far", "1 so far"]
