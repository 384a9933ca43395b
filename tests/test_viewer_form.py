"""One trace as a form: read as plain text, Markdown or JSON, copied exactly, and never markup of its own."""

import json
import logging
import random
import re
from html.parser import HTMLParser

import pytest

import tunix_rt as rt
from tests.front_end import n_widgets
from tests.test_render import HOSTILE

STORABLE = HOSTILE.replace("\ud800", "").replace("\x00", "")
pytestmark = pytest.mark.usefixtures("front")

# What could act in a page: elements that load or run, and attributes that run or lead away.
ACTS = re.compile(r"script|iframe|object|embed|img|svg|style|link|meta|base|form|input|audio|video|math")


class Acting(HTMLParser):
    """What in a piece of HTML would act, and its text."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.acting = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag, attrs):
        if ACTS.fullmatch(tag):
            self.acting.append(tag)
        for name, value in attrs:
            if name.startswith("on") or name in {"src", "srcdoc", "action"}:
                self.acting.append(name)
            if name == "href" and not re.match("https?://|mailto:|#", value or ""):
                self.acting.append(value)

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def record(store, make_trace):
    return store.add(make_trace("What is **27 × 19**?", meta={"source": "tests"}))


@pytest.fixture
def form(store, record, front):
    form = rt.TraceViewer(store, record)
    assert front(form).state["shown"] == form.shown
    return form


def test_nothing_is_shown_until_a_trace_is_chosen(front, store):
    form = rt.TraceViewer(store)
    assert front(form).state["shown"] == {"empty": "Choose a trace in the list to read it here."}
    assert str(form.picture()) == "Choose a trace in the list to read it here."
    for view in ("json", "markdown", "plain"):
        front(form).do("read_as", view=view)
        assert form.shown["empty"]
    reply = front(form).ask("text_of", part="prompt")
    assert (reply["failed"], reply["problem"]) == (True, "no trace is shown; choose one first")
    front(form).do("move", by=1)


def test_a_trace_is_named_by_record_by_id_or_by_the_beginning_of_its_id(store, record):
    for trace in (record, record.id, str(record.id), str(record.id)[:13]):
        form = rt.TraceViewer(store, trace)
        assert form.record == form.picture() == record
        assert form.shown["id"] == str(record.id)


def test_a_trace_that_is_not_there_leaves_no_form_behind(store):
    before = n_widgets()
    with pytest.raises(rt.TraceNotFound):
        rt.TraceViewer(store, "019b")
    assert n_widgets() == before


def test_a_trace_is_read_as_plain_text_as_markdown_and_as_json(front, form, record):
    end = front(form)
    assert "What is **27 × 19**?" in Acting(end.state["shown"]["html"]).text
    end.do("read_as", view="markdown")
    assert end.state["view"] == "markdown"
    assert "<strong>27 × 19</strong>" in end.state["shown"]["html"]
    end.do("read_as", view="json")
    assert end.state["shown"].keys() == {"id", "json"}
    assert rt.TraceRecord.model_validate_json(end.state["shown"]["json"]) == record
    end.do("read_as", view="plain")
    assert "**" in end.state["shown"]["html"]
    assert end.state["shown"]["id"] == str(record.id)


def test_a_view_that_there_is_not_is_refused(front, form, caplog):
    assert front(form).ask("read_as", view="pdf")["failed"]
    assert form.view == "plain"
    assert "an action failed" in caplog.text


def test_another_trace_is_set_from_python(front, form, store, make_trace):
    form.view = "json"
    other = form.record = store.add(make_trace("the other one"))
    assert "the other one" in front(form).state["shown"]["json"]
    assert form.picture() == other
    form.record = None
    assert "empty" in front(form).state["shown"]


def test_every_part_is_copied_as_it_is_stored(front, store, make_trace):
    steps = [f"{STORABLE}\r\n\t{n}  " for n in range(12)]
    record = store.add(
        make_trace(STORABLE + "\r", steps=steps, final_answer=f" {STORABLE}\u2028", meta={"m": STORABLE})
    )
    form = rt.TraceViewer(store, record.id)
    copied = lambda part: front(form).do("text_of", part=part)["text"]  # noqa: E731 - a word for what follows
    assert copied("id") == str(record.id)
    assert copied("prompt") == STORABLE + "\r"
    assert copied("answer") == f" {STORABLE}\u2028"
    assert [copied(f"steps.{n}") for n in range(12)] == steps
    assert copied("steps") == "\n\n".join(steps)
    assert rt.Trace.from_dict(json.loads(copied("json"))["payload"]) == record.payload
    assert json.loads(copied("json"))["id"] == str(record.id)


def test_an_answer_that_is_not_there_is_copied_as_nothing(front, store):
    record = store.add(rt.Trace(trace_version="1.1", prompt="p", steps=[], final_answer=None))
    form = rt.TraceViewer(store, record)
    assert [front(form).do("text_of", part=part)["text"] for part in ("answer", "steps")] == ["", ""]
    assert "empty" not in form.shown


@pytest.mark.parametrize("part", ["steps.2", "steps.-1", "steps.x", "steps.", "nothing", ""])
def test_a_part_that_there_is_not_is_refused(front, form, part):
    reply = front(form).ask("text_of", part=part)
    assert reply["failed"]
    assert reply["problem"] == f"part={part}: the trace has no such part"


def test_hostile_text_never_becomes_markup(front, store, make_trace):
    record = store.add(
        make_trace(
            STORABLE,
            steps=[{"i": n, "type": STORABLE[:64], "content": f"{STORABLE}\n\n{STORABLE}"} for n in range(3)],
            final_answer=STORABLE,
            meta={"source": STORABLE, STORABLE: {STORABLE: STORABLE}},
        )
    )
    form = rt.TraceViewer(store, record)
    for view in ("plain", "markdown"):
        form.view = view
        found = Acting(front(form).state["shown"]["html"])
        assert found.acting == []
        assert "alert(1)" in found.text
        assert not set(found.text) & set("\x1b\x07\x9b\u202e")
    form.view = "json"
    assert not set(form.shown["json"]) & set("\x1b\x07\x9b\u202e")
    assert front(form).n_updates


@pytest.mark.slow
def test_a_trace_of_a_megabyte_is_read_in_every_view(front, store):
    words = random.Random(7).choices(["so", "we", "*have*", "`x`", "and", "$y$", "thus\n\n"], k=200_000)
    text = " ".join(words)[:990_000]
    record = store.add(rt.Trace(trace_version="1.1", prompt="p", steps=[text], final_answer="a"))
    form = rt.TraceViewer(store, record)
    assert form.shown["html"].count("have") >= text.count("have") > 20_000
    for view in ("markdown", "json", "plain"):
        front(form).do("read_as", view=view)
        assert str(form.shown).count("have") >= text.count("have")
    assert front(form).do("text_of", part="steps.0")["text"] == text


@pytest.mark.slow
def test_a_trace_of_a_thousand_steps_is_read_in_every_view(front, store, make_trace):
    form = rt.TraceViewer(store, store.add(make_trace(steps=[f"step number {n}." for n in range(1_000)])))
    for view in ("markdown", "plain"):
        front(form).do("read_as", view=view)
        assert form.shown["html"].count('<details class="trt-step') == 1_000
        assert "step number 999." in form.shown["html"]
    assert front(form).do("text_of", part="steps.999")["text"] == "step number 999."


def test_the_arrows_ask_the_list(front, form):
    front(form).do("move", by=1)
    moved = []
    form.on_move = moved.append
    front(form).do("move", by=1)
    front(form).do("move", by=-1)
    assert moved == [1, -1]


def test_a_list_that_cannot_move_is_told_where_it_was_asked(front, form, caplog):
    def refuse(_):
        raise rt.StoreBusy("held elsewhere")

    form.on_move = refuse
    assert front(form).ask("move", by=1)["problem"] == "held elsewhere"
    assert caplog.records[0].levelno == logging.WARNING


def test_a_row_of_a_table_and_an_id_of_a_report_open_their_trace(store, make_trace):
    rows = [make_trace(f"{n}?", meta={"truncated": n == 2}) for n in range(3)]
    store.add_many(rows)
    store.score("length", progress=False)
    store.flag("truncated", progress=False)
    viewer = rt.TraceViewer(store)
    table = store.sql("select id, prompt from traces order by prompt").df()
    scored = store.scores("length").df()
    assert len(scored) == 3
    for trace in (
        table.loc[1],
        next(row for row in table.itertuples() if row.prompt == "1?"),
        table.loc[1].to_dict(),
        next(row for row in store.page() if row.preview == "1?"),
        next(row for row in scored.to_dict("records") if str(row["trace_id"]) == str(table.loc[1].id)),
        str(table.loc[1].id)[:-1],
    ):
        viewer.record = None
        viewer.show(trace)
        assert viewer.record.payload.prompt == "1?"
        assert rt.TraceViewer(store, trace).record == viewer.record
    for nothing in (3, {}, {"id": 3}, table, None):
        with pytest.raises(rt.QueryInvalid, match="must be a record, an id, or a row with a trace_id or an id"):
            viewer.show(nothing)
    with pytest.raises(rt.TraceNotFound):
        viewer.show({"id": "ffffffff"})
    (example, *_) = store.flags("truncated").flags[0].examples
    viewer.show(example)
    assert viewer.record.payload.prompt == "2?"
