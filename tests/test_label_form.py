"""A queue of traces labelled one after another, without a browser: `rt.LabelForm`."""

import subprocess
from uuid import uuid4

import pytest

import tunix_rt as rt
from tests.front_end import n_widgets
from tests.processes import python
from tests.test_status_form import HOLD
from tests.test_viewer_form import STORABLE, Acting

pytestmark = pytest.mark.usefixtures("front")


@pytest.fixture
def store(store):
    return rt.TraceStore(store.path, settings=rt.Settings(annotator="ada"))


@pytest.fixture
def records(store, make_trace):
    """Four traces, in the order of their creation."""
    return store.add_many(make_trace(f"{n} × 2?") for n in range(4))


@pytest.fixture
def form(store, records):
    return rt.LabelForm(store, [record.id for record in records])


def said(store, annotator="ada"):
    """The current labels of somebody by (number of the trace, step), and how many there ever were."""
    numbers = {str(record.id): int(record.preview.split()[0]) for record in store.page()}
    rows = store.scores(f"label:{annotator}").arrow().to_pylist()
    current = {(numbers[row["trace_id"]], row["step"]): (row["label"], row["explanation"]) for row in rows}
    return current, store.sql("select count(*) as n from labels").arrow()["n"].to_pylist()[0]


def where(end):
    """The number of the trace that is shown, and what is said of the queue."""
    now = end.state["progress"]
    html = end.state["shown"].get("html")
    number = int(Acting(html).text.split(" × 2?")[0].split()[-1]) if html else None
    return number, now["n_labelled"], now["notice"]


def test_a_queue_is_labelled_and_each_verdict_shows_the_next(front, form, store, records):
    end = front(form)
    assert (where(end), form.position, form.record) == ((0, 0, ""), 0, records[0])
    assert [(one["text"], one["keys"]) for one in end.state["choices"]] == [
        ("good", ["1", "g"]),
        ("bad", ["2", "b"]),
        ("unsure", ["3"]),  # u is undo
    ]
    end.do("label", id=str(records[0].id), word="good", step=None, note="")
    end.do("label", id=str(records[1].id), word="bad", step=None, note=" guesses ")
    assert where(end) == (2, 2, "")
    # Back to one with a label and its note; an equal label is not stored again, and the next is the first without one.
    end.do("move", by=-1)
    assert (where(end)[0], end.state["progress"]["word"], end.state["progress"]["note"]) == (1, "bad", "guesses")
    end.do("label", id=str(records[1].id), word="bad", note="guesses")
    assert (where(end)[0], said(store)) == (2, ({(0, None): ("good", None), (1, None): ("bad", "guesses")}, 2))
    end.do("move", by=1)
    end.do("move", by=1)
    assert where(end) == (3, 2, "This is the last trace of the queue.")
    # After the last one it goes on with those that were left out.
    form.label("good")
    assert where(end) == (2, 3, "")
    form.label("a word of my own")
    assert (form.record, end.state["shown"]["empty"]) == (None, "Done: 4 traces labelled.")
    assert end.state["progress"]["counts"] == [
        {"text": "good", "n": 2},
        {"text": "bad", "n": 1},
        {"text": "unsure", "n": 0},
        {"text": "a word of my own", "n": 1},
    ]
    assert "4 of 4 traces, by ada" in str(form.picture())
    assert "no trace is shown" in end.ask("label", word="good")["problem"]
    form.move(-1)
    assert where(end)[0] == 3


def test_steps_have_labels_of_their_own_and_one_is_the_first_error(front, form, store, records):
    end, first = front(form), str(records[0].id)
    end.do("first_error", step=1, id=first)
    end.do("first_error", step=0, id=first)
    end.do("label", id=first, word="unsure", step=1, note="")
    assert where(end) == (0, 0, "")
    assert end.state["progress"]["steps"] == [
        {"at": 0, "text": "first error", "note": ""},
        {"at": 1, "text": "unsure", "note": ""},
    ]
    assert said(store)[0] == {(0, 0): ("first error", None), (0, 1): ("unsure", None)}
    end.do("label", id=first, word=None, step=1, note="")
    # What moved the first error from one step to the other is undone together.
    for _ in range(3):
        end.do("undo")
    assert said(store)[0] == {(0, 0): (None, None), (0, 1): ("first error", None)}
    end.do("undo")
    assert end.state["progress"]["steps"] == []
    assert "nothing to undo" in end.ask("undo")["problem"]
    assert "step=2: must be a whole number from 0 to 1" in end.ask("first_error", step=2)["problem"]


def test_undo_gives_back_the_label_before_as_a_newer_fact(front, form, store, records):
    store.label(records[0], "unsure", note="earlier")
    form = rt.LabelForm(store, records)
    assert form.position == 1
    form.move(-1)
    form.annotate("still")
    form.label("bad")
    form.label("good")
    assert (form.position, said(store)[1]) == (2, 4)
    end = front(form)
    end.do("undo")
    assert where(end) == (1, 1, "")
    assert said(store) == ({(0, None): ("bad", None), (1, None): (None, None)}, 5)
    end.do("undo")
    assert (form.position, said(store)[0][0, None]) == (0, ("unsure", "still"))
    end.do("undo")
    assert said(store)[0][0, None] == ("unsure", "earlier")
    # What somebody, with this name, has said elsewhere since, is not taken back.
    form.label("good")
    store.label(records[0], "bad")
    assert end.ask("undo")["problem"] == "not undone: the trace was labelled elsewhere since"
    assert said(store)[0][0, None] == ("bad", None)
    assert end.ask("undo")["failed"]
    form.move(1)
    assert "the trace has no label yet" in end.ask("annotate", note="n")["problem"]


def test_it_resumes_and_two_people_or_two_kernels_see_their_own(front, form, store, records):
    form.label("good")
    form.label("bad")
    again = rt.LabelForm(rt.TraceStore(store.path), store.select(), annotator="ada")
    assert (again.ids, again.position) == (form.ids[::-1], 0)
    bob = rt.LabelForm(store, records, annotator="bob")
    assert (bob.position, where(front(bob))[1]) == (0, 0)
    store.score(lambda _: 0.25, name="judge", progress=False)
    bob.move(1)
    bob.move(-1)
    text = Acting(front(bob).state["shown"]["html"]).text
    assert "judge" in text
    assert "label:" not in text
    assert "label:ada" in rt.TraceViewer(store, records[0].id).shown["html"]
    bob.label("bad")
    # The other kernel of ada's labels the trace that this one shows, and the next: neither is shown again.
    again.label("good")
    again.label("unsure")
    assert again.record is None
    form.label("bad")
    assert (form.record, where(front(form))[1]) == (None, 4)
    assert said(store)[0] == {
        (0, None): ("good", None),
        (1, None): ("bad", None),
        (2, None): ("bad", None),
        (3, None): ("good", None),
    }
    assert said(store, "bob")[0] == {(0, None): ("bad", None)}
    assert "another trace is shown now" in front(bob).ask("label", id=str(records[0].id), word="good")["problem"]
    assert rt.LabelForm(store, score={"label:ada": "bad"}, annotator="bob").ids == form.ids[2:0:-1]


def test_a_trace_that_was_deleted_is_said_and_passed_over(front, form, store, records):
    end = front(form)
    store.delete(records[0].id)
    end.do("label", id=str(records[0].id), word="good")
    assert where(end) == (1, 0, "1 trace of the queue was deleted; it is passed over.")
    assert said(store) == ({}, 0)
    form.label("good")
    store.delete(records[1].id)
    end.do("undo")
    assert "1 trace of the queue was deleted" in end.state["progress"]["notice"]
    assert end.state["progress"]["n_deleted"] == 2
    store.delete(records[2].id)
    end.do("first_error", step=0)
    assert where(end)[0] == 3
    form.label("good")
    store.delete(records[3].id)
    end.do("move", by=-1)
    assert end.state["progress"]["notice"] == "1 trace of the queue was deleted; it is passed over."
    assert rt.LabelForm(store, records).shown["empty"] == "No trace to label: none of the queue is in the store."
    assert rt.LabelForm(store).shown["empty"] == "No trace to label: the queue is empty."


@pytest.mark.slow
def test_a_store_that_is_busy_blocks_nothing_and_loses_nothing(front, store, records):
    impatient = rt.TraceStore(store.path, settings=rt.Settings(pool_timeout=1, annotator="ada"))
    form = rt.LabelForm(impatient, records)
    end, first = front(form), str(records[0].id)
    for one in (store, impatient):
        one.close()
    with python(HOLD, store.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        # The host's thread only hands it over.
        message = end.say("label", id=first, word="good", note="n")
        assert message not in end.replies
        assert end.hear(message)["failed"]
        assert f"process {holder.pid}" in end.state["problem"]
        assert where(end) == (0, 0, "")
        holder.stdin.close()
        holder.wait(timeout=60)
    end.do("label", id=first, word="good", note="n")
    assert (where(end), end.state["problem"]) == ((1, 1, ""), "")
    assert said(store) == ({(0, None): ("good", "n")}, 1)


@pytest.mark.parametrize(
    ("queue", "options", "message"),
    [
        ("x", {}, 'queue="x": there is no queue of this name; draw one with'),
        (["x"], {}, "queue=.*must be full ids"),
        (3, {}, "queue=3"),
        ([None], {}, "queue="),
        ([], {"source": "s"}, "use store.select"),
        (None, {"no": 1}, "unknown filter no"),
        ([], {"words": ()}, "words: must be 1 to 9 different labels"),
        ([], {"words": ("a", " a")}, "words: must be"),
        ([], {"words": "abcdefghij"}, None),
        ([], {"words": 3}, "words=3: must be a text"),
        ([], {"words": ["a", ""]}, 'words="": must be a text'),
        ([], {"words": list("abcdefghij")}, "words: must be"),
        ([], {"annotator": "a,b"}, "annotator="),
    ],
)
def test_what_is_no_queue_is_refused_and_leaves_no_form_behind(store, queue, options, message):
    before = n_widgets()
    if message is None:
        assert [one["word"] for one in rt.LabelForm(store, queue, **options).choices] == ["abcdefghij"]
        return
    with pytest.raises(rt.QueryInvalid, match=message):
        rt.LabelForm(store, queue, **options)
    assert n_widgets() == before


def test_a_queue_has_ten_thousand_traces_at_most(store, records):
    with pytest.raises(rt.QueryInvalid, match="more than 10,000 traces; draw some of them"):
        rt.LabelForm(store, [uuid4() for _ in range(10_001)])
    assert rt.LabelForm(store, [records[1].id, *records, str(records[0].id)]).ids == [
        str(records[at].id) for at in (1, 0, 2, 3)
    ]
    assert rt.LabelForm(store, store.page()).record == records[3]


def test_hostile_texts_stay_text(front, store, make_trace):
    word = STORABLE[:90]
    store.add(make_trace(STORABLE, steps=[STORABLE], final_answer=STORABLE))
    form = rt.LabelForm(store, words=(word, "Äpfel", "no"))
    assert [one["keys"][1:] for one in form.choices][1:] == [["ä"], []]
    end = front(form)
    end.do("read_as", view="markdown")
    assert Acting(end.state["shown"]["html"]).acting == []
    end.do("label", word=word, note=STORABLE, step=0)
    end.do("label", word=word, note=STORABLE)
    end.do("move", by=-1)
    shown = end.state["progress"]
    assert (shown["word"], shown["note"]) == (form.choices[0]["word"], STORABLE.strip())
    assert not set(shown["text"] + shown["steps"][0]["text"] + str(shown["counts"])) & set("\x1b\x07\x9b\u202e")
    assert Acting(form.picture()._repr_html_()).acting in ([], ["style"])
    assert "must be a text" in end.ask("label", word="\ud800")["problem"]
    assert "note=3" in end.ask("label", word="w", note=3)["problem"]
    assert "step=[]: must be a whole number" in end.ask("label", word="w", step=[])["problem"]
    assert form.view == "markdown"
    assert end.ask("read_as", view="pdf")["failed"]


def test_a_store_that_is_only_read_says_so(front, store, records):
    form = rt.LabelForm(rt.TraceStore(store.path, read_only=True), records)
    reply = front(form).ask("label", word="good")
    assert reply["failed"]
    assert "read_only=True" in reply["problem"]
    assert form.position == 0
