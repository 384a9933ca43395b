"""Traces in, as a form: JSON in the editor, files in chunks, paths on the kernel's machine."""

import json

import pytest

import tunix_rt as rt

pytestmark = pytest.mark.usefixtures("front")


@pytest.fixture
def form(store, front):
    form = rt.UploadForm(store)
    assert front(form).state["examples"] == rt.examples.names()
    return form


def test_loading_an_example_fills_the_editor(front, form):
    front(form).do("load_example", name="fahrenheit")
    text = front(form).state["text"]
    assert "Convert 68°F to Celsius" in text
    assert "20°C" in text
    assert "\n  " in text
    assert form.problems == []
    assert rt.Trace.from_json(text) == rt.examples.get("fahrenheit")


def test_a_successful_upload_shows_the_id(front, form, store):
    front(form).do("load_example", name="fahrenheit")
    front(form).do("upload")
    record = store.latest()
    assert front(form).state["uploaded"] == str(record.id)
    assert record.payload == rt.examples.get("fahrenheit")


def test_fetching_shows_the_uploaded_trace(front, form, store):
    form.load_example("fahrenheit")
    form.upload()
    front(form).do("fetch")
    shown = front(form).state["opened"]
    assert "Convert 68°F to Celsius" in shown
    assert "20°C" in shown
    assert str(store.latest().id) in shown
    assert form.record == form.picture() == store.latest()
    front(form).do("upload")
    assert (form.opened, form.record, store.count()) == ("", None, 2)


def test_every_example_can_be_uploaded(front, form, store):
    for name in rt.examples.names():
        front(form).do("load_example", name=name)
        front(form).do("upload")
    assert store.count() == len(rt.examples.names())
    reply = front(form).ask("load_example", name="../../etc/passwd")
    assert 'example "../../etc/passwd" not found; there are binary_search' in reply["problem"]


def test_fetching_before_anything_was_uploaded_is_refused(front, form):
    reply = front(form).ask("fetch")
    assert (reply["failed"], reply["problem"]) == (True, "nothing has been added yet; add a trace first")


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_editor_is_refused(front, form, store, text):
    front(form).set(text=text)
    assert form.problems == []
    assert front(form).ask("upload")["problem"].startswith("the editor is empty; load an example, or write")
    assert store.count() == 0


def test_an_uploaded_trace_that_was_deleted_cannot_be_fetched(front, form, store):
    form.load_example("collatz")
    form.upload()
    store.delete(form.uploaded)
    assert "not found" in front(form).ask("fetch")["problem"]
    assert form.opened == ""


EMOJI = '{"prompt": "😀😀",\n "steps": ["s"], "final_answer": 4}'


@pytest.mark.parametrize(
    ("text", "field", "reason", "place"),
    [
        ('{"prompt": "p",\n "steps" []}', None, "invalid JSON at line 2, column 10: expected `:`", (2, 10)),
        ("{", None, "invalid JSON at line 1, column 1: EOF", (1, 1)),
        ('{"prompt": "p", "steps": ["s"], "final_answer": 4}', "final_answer", "must be a string, not", (1, 49)),
        ('{\n "prompt": "p",\n "steps": [{"i": 0, "type": "t"}],\n "final_answer": "a"\n}', "steps.0.content",
         "missing; every trace needs it", (3, 12)),
        ('\n\n{"prompt": "p", "steps": ["s"]}', "final_answer", "missing; every trace needs it", (3, 1)),
        (EMOJI, "final_answer", "must be a string, not a number", (2, 34)),
        ('["not a trace"]', None, "must be an object, not a list", None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_while_typing(front, form, text, field, reason, place):
    front(form).set(text=text)
    (problem,) = front(form).state["problems"]
    assert problem["field"] == field
    assert problem["reason"].startswith(reason)
    assert (problem.get("line"), problem.get("column")) == (place or (None, None))
    if place:
        # Where an editor puts its cursor, which counts an emoji as two.
        before = text.encode("utf-16-le")[: 2 * problem["at"]].decode("utf-16-le")
        assert (before.count("\n") + 1, len(before) - before.rfind("\n")) == place


def test_what_is_wrong_goes_when_it_is_mended(front, form, store):
    front(form).set(text='{"prompt": ""}')
    assert {problem["field"] for problem in form.problems} == {"steps", "final_answer"}
    assert front(form).ask("upload")["problem"] == "\n".join(
        f"{problem['field']}: {problem['reason']}" for problem in form.problems
    )
    assert (form.uploaded, store.count()) == ("", 0)
    front(form).set(text='{"prompt": "p", "steps": ["s"], "final_answer": "a"}')
    assert front(form).state["problems"] == []
    front(form).do("upload")
    assert front(form).state["problem"] == ""


def test_of_very_many_problems_the_first_are_shown(front, form):
    steps = [{"i": n, "type": "s", "content": ""} for n in range(1_000)]
    front(form).set(text=json.dumps({"prompt": "p", "steps": steps, "final_answer": "a"}))
    assert len(form.problems) == 21
    assert form.problems[19]["field"] == "steps.19.content"
    assert form.problems[20] == {"field": None, "reason": "and 980 more problems"}


def test_a_trace_over_the_limit_is_told(front, store, tmp_path):
    small = rt.TraceStore(tmp_path / "small.duckdb", settings=rt.Settings(trace_max_bytes=1_024))
    form = rt.UploadForm(small)
    front(form).set(text=json.dumps({"prompt": "p" * 2_000, "steps": ["s"], "final_answer": "a"}))
    assert "exceeds maximum of 1,024 bytes" in front(form).ask("upload")["problem"]
    assert small.count() == store.count() == 0


@pytest.mark.parametrize("text", ["\ud800", '{"prompt": "\ud800"}', '{"\ud800": 1}', '{"prompt": "\x1b\u202e"', "null"])
def test_text_that_is_no_trace_at_all_is_told_in_words_that_can_be_sent(front, form, text):
    front(form).set(text=text)
    assert form.problems
    assert front(form).ask("upload")["failed"]


def test_hostile_keys_are_shown_so_that_they_can_be_read(front, form):
    front(form).set(text=json.dumps({"\u202ex\x1b": 1}))
    assert "‹U+202E›x␛" in [problem["field"] for problem in form.problems]


def test_hostile_text_that_was_fetched_is_only_text(front, form):
    front(form).set(text=json.dumps({"prompt": "<script>\x1b</script>", "steps": ["<img>"], "final_answer": "a"}))
    front(form).do("upload")
    front(form).do("fetch")
    assert "&lt;script&gt;␛&lt;/script&gt;" in form.opened
    assert "<script" not in form.opened
    assert "<img" not in form.opened


def test_a_published_store_takes_nothing(front, store, tmp_path, make_trace):
    path = store.backup(tmp_path / "published.duckdb")
    form = rt.UploadForm(rt.TraceStore(path, read_only=True))
    form.text = make_trace().to_json()
    assert "is open with read_only=True" in front(form).ask("upload")["problem"]
    assert "is open with read_only=True" in front(form).ask("load_path", path=str(rt.examples.folder()))["problem"]
    assert form.uploaded == ""


def test_others_are_told_what_has_come_in_and_what_to_open(front, form, store, make_trace):
    told = []
    form.on_added = lambda: told.append(store.count())
    form.on_open = told.append
    form.text = make_trace().to_json()
    front(form).do("upload")
    front(form).do("fetch")
    assert told == [1, form.uploaded]
    assert form.opened == ""
