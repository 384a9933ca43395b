"""What people say of traces and of their steps: `store.label`."""

import threading
from uuid import uuid4

import pytest

import tunix_rt as rt


@pytest.fixture
def labelled(tmp_path):
    return rt.TraceStore(tmp_path / "labels.duckdb", settings=rt.Settings(annotator="ada"))


def current(store, *scorers):
    found = [
        (row["step"], row["scorer"], row["label"], row["explanation"], row["reason"])
        for row in store.scores(*scorers).arrow().to_pylist()
    ]
    return sorted(found, key=lambda row: (row[1], row[0] is not None))


def test_a_trace_and_its_steps_are_labelled_and_the_newest_word_counts(labelled, make_trace):
    record = labelled.add(make_trace())
    labelled.label(record, "unsure")
    labelled.label(record.id, "bad", note="the last step guesses")
    labelled.label(str(record.id)[:18], "first error", step=1)
    labelled.label(labelled.page()[0], "good", annotator="bob")
    assert current(labelled) == [
        (None, "label:ada", "bad", "the last step guesses", None),
        (1, "label:ada", "first error", None, None),
        (None, "label:bob", "good", None, None),
    ]
    assert labelled.count(score={"label:ada": "bad"}) == labelled.count(score="label:bob=good") == 1
    assert labelled.count(score={"label:ada": "unsure"}) == 0
    labelled.label(record, None)
    assert current(labelled, "label:ada")[0] == (None, "label:ada", None, None, "withdrawn")
    assert labelled.count(score={"label:ada": None}) == 1
    # What was said before stays, and goes with the trace.
    assert labelled.sql("select count(*) as n from labels").arrow()["n"].to_pylist() == [5]
    labelled.delete(record.id)
    assert labelled.sql("select count(*) as n from labels").arrow()["n"].to_pylist() == [0]


def test_labels_go_out_with_the_traces_and_come_back(labelled, make_trace, tmp_path):
    record = labelled.add(make_trace())
    for word in ("bad", None, "good"):
        labelled.label(record, word)
    labelled.label(record, "slip", step=0)
    labelled.export(tmp_path / "out.jsonl")
    other = rt.TraceStore(tmp_path / "other.duckdb")
    other.load(tmp_path / "out.jsonl")
    everything = "select * from labels order by step nulls first, sample"
    assert other.sql(everything).arrow().to_pylist() == labelled.sql(everything).arrow().to_pylist()


def test_labels_are_compared_with_verdicts_as_right_and_wrong_and_with_labels_as_words(labelled, make_trace):
    said = [("good", True), ("Correct", True), ("bad", False), ("wrong", True), ("unsure", True)]
    for word, verdict in said:
        record = labelled.add(make_trace(word, meta={"correct": verdict}))
        labelled.label(record, word)
        labelled.label(record, "good", annotator="bob")
    found = labelled.agreement("label:ada", "meta.correct")
    assert {(cell.a, cell.b): cell.n for cell in found.cells} == {
        ("true", "true"): 2,
        ("false", "false"): 1,
        ("false", "true"): 1,
        ("unsure", "true"): 1,
    }
    sets = labelled.select(where="prompt <> 'wrong'"), labelled.select(where="true")
    by_words = rt.compare(*sets, scorer="label:ada")
    assert (by_words.mean_a.value, by_words.without_value) == (2 / 3, 1)
    words = labelled.agreement("label:ada", "label:bob")
    assert sorted(cell.a for cell in words.cells) == ["Correct", "bad", "good", "unsure", "wrong"]
    assert {cell.b for cell in words.cells} == {"good"}


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        ("", {}, 'label="": must be a text of 1 to 100 characters'),
        ("x" * 101, {}, "must be a text of 1 to 100"),
        (3, {}, "label=3"),
        ("\ud800", {}, "must be a text"),
        ("a\0b", {}, "must be a text"),
        ("good", {"step": 2}, "step=2: must be a whole number from 0 to 1"),
        ("good", {"step": True}, "step"),
        ("good", {"note": "x" * 2_001}, "note=.*1 to 2,000"),
        ("good", {"annotator": "a,b"}, 'annotator="a,b": must be a name'),
        ("good", {"annotator": ""}, "annotator="),
    ],
)
def test_what_is_no_label_is_refused(labelled, make_trace, label, options, message):
    record = labelled.add(make_trace())
    with pytest.raises(rt.QueryInvalid, match=message):
        labelled.label(record, label, **options)
    assert current(labelled) == []


def test_what_is_not_there_cannot_be_labelled(labelled, make_trace):
    record = labelled.add(make_trace(steps=[], trace_version="1.1"))
    with pytest.raises(rt.QueryInvalid, match="the trace has no steps"):
        labelled.label(record, "bad", step=0)
    with pytest.raises(rt.TraceNotFound):
        labelled.label(uuid4(), "bad")
    with pytest.raises(rt.StoreReadOnly):
        rt.TraceStore(labelled.path, read_only=True).label(record, "bad")


def test_two_people_label_at_once_and_nothing_is_lost(labelled, make_trace):
    record = labelled.add(make_trace())

    def say(annotator):
        for n in range(10):
            labelled.label(record, f"{n}", annotator=annotator)

    threads = [threading.Thread(target=say, args=(name,)) for name in ("ada", "ada", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = labelled.sql("select scorer, count(*) as n, count(distinct sample) as d from labels group by 1 order by 1")
    assert counts.arrow().to_pylist() == [
        {"scorer": "label:ada", "n": 20, "d": 20},
        {"scorer": "label:bob", "n": 10, "d": 10},
    ]


def test_a_hostile_label_stays_text(labelled, make_trace):
    hostile = "<img src=x onerror=alert(1)>'; drop table scores; --"
    record = labelled.add(make_trace())
    labelled.label(record, hostile, note=hostile)
    assert current(labelled) == [(None, "label:ada", hostile, hostile, None)]
    assert "<img" not in labelled.scores()._repr_html_()
