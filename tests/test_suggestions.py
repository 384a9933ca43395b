"""What the fields for meta and scores offer: keys and values that the newest traces have, as terms."""

import pytest

import tunix_rt as rt
from tunix_rt.store import suggestions as module
from tunix_rt.store.filters import Filters
from tunix_rt.store.suggestions import suggestions
from tunix_rt.store.terms import unfinished


@pytest.fixture
def judged(store, make_trace):
    metas = [
        {"reward": 0.5, "model": "toy, the 1st", "a<b": 1, "gen.x": {"y": "1"}},
        {"reward": 0.5, "model": "toy-2", "a<b": None, "tags": [1], "evil": "\u202edrowssap", "long": "x" * 99},
        {"reward": -1, "model": "toy-2", "truncated": True, '"q': "b"},
    ]
    store.add_many(make_trace(f"{n}?", meta=meta) for n, meta in enumerate(metas))
    store.score(lambda trace: "2" not in trace.payload.prompt, name="right", progress=False)
    store.score(lambda trace: 3 + int(trace.payload.prompt[0]), name="n", progress=False)
    store.label(store.latest(), "so so", annotator="me")
    return store


def offered(store, text, name="meta"):
    found = suggestions(store.sql, name, text)
    # All that is offered is a filter that means something.
    for one in found:
        Filters(**{name: one.value})
    return [one.value for one in found]


def test_keys_are_offered_the_most_frequent_first_and_then_their_values(judged):
    assert offered(judged, "")[:3] == ["model", "reward", '"a<b"']
    assert {"truncated", "tags", "gen.x", '"a<b"', '"\\"q"'} <= set(offered(judged, ""))
    assert offered(judged, "rew") == ["reward"]
    assert offered(judged, "reward") == ["reward=0.5", "reward=-1", "!reward", "reward"]
    assert suggestions(judged.sql, "meta", "reward")[0].label == "2 of the newest 1,000"
    labels = {one.value: one.label for one in suggestions(judged.sql, "meta", "truncated")}
    assert (judged.count(), labels["truncated"]) == (3, "1 of the newest 1,000")
    assert labels["!truncated"] == "2 of the newest 1,000"
    assert offered(judged, "reward<") == ["reward<0.5", "reward<-1"]
    assert offered(judged, "reward<1, model!=") == ["reward<1, model!=toy-2", 'reward<1, model!="toy, the 1st"']
    # Texts have an order, too, but none that a person looks for; an object and a list are no values.
    assert offered(judged, "model<") == offered(judged, "tags=") == offered(judged, "nothing") == []
    assert offered(judged, "truncated") == ["truncated=true", "!truncated", "truncated"]
    assert offered(judged, '"a<b"') == ['"a<b"=1', '"a<b"=null', '!"a<b"', '"a<b"']
    assert offered(judged, "gen.x.y") == []
    # What is not what it looks like is not offered, nor what no line holds.
    assert offered(judged, "evil=") == offered(judged, "long=") == []


def test_scorers_are_offered_with_their_answers_numbers_and_labels(judged):
    assert offered(judged, "", "score") == ["n", "right", "label:me"]
    assert offered(judged, "right", "score") == ["right", "!right"]
    assert offered(judged, "n", "score") == ["n=3", "n=4", "n=5", "!n", "n"]
    assert offered(judged, "right, n>=", "score") == ["right, n>=3", "right, n>=4", "right, n>=5"]
    assert offered(judged, "label:me=", "score") == ["label:me=so so"]


def test_only_the_newest_traces_are_read(judged, make_trace, monkeypatch):
    for name in ("_KEYS", "_VALUES", "_SCORERS", "_SCORES"):
        monkeypatch.setattr(module, name, getattr(module, name).replace("limit 1000", "limit 1"))
    assert set(offered(judged, "")) == {"model", "reward", "truncated", '"\\"q"'}
    assert offered(judged, "", "score") == ["label:me", "n", "right"]
    judged.add(make_trace("new", meta=None))
    assert offered(judged, "") == offered(judged, "", "score") == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("", "", "", "")),
        ("rew", ("", "rew", "", "")),
        ("!rew", ("", "rew", "", "")),
        ("a=1, b <= x", ("a=1, ", "b", "<=", " x")),
        ('a="x, y",', ('a="x, y",', "", "", "")),
        ('"a<b', ("", '"a', "<", "b")),
        ('"a<b">', ("", "a<b", ">", "")),
        ('n="x, y', ('n="x, ', "y", "", "")),
        ("{", ("", "{", "", "")),
    ],
)
def test_a_text_that_is_being_typed_has_a_last_term(text, parts):
    assert unfinished(text) == parts


def test_the_form_offers_them_and_searches_by_them(judged, front):
    form = rt.TraceBrowser(judged)
    end = front(form)
    fields = {field["name"]: field["input"] for field in form.filter_fields}
    assert (fields["meta"], fields["score"]) == ("terms", "terms")
    found = end.do("suggest", name="meta", text="model=")["suggestions"]
    assert found[0] == {"value": "model=toy-2", "label": "2 of the newest 1,000"}
    end.do("find", filters={"meta": found[0]["value"]})
    assert [row["preview"] for row in form.shown["rows"]] == ["2?", "1?"]
    end.do("find", filters={"min_steps": 4, "max_steps": 2})
    assert form.shown["empty"] == "No trace matches the search and the filters: min_steps=4 is more than max_steps=2."
