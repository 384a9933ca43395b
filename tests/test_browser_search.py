"""Searching in the form of the list, from Python and from a front end: filters, live mode, what rows show."""

from datetime import UTC, date, datetime, timedelta

import pytest

import tunix_rt as rt
from tests.front_end import n_widgets, numbers, place, settled

HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202edrowssap\x00"


def test_searching_shows_the_newest_that_match(front, form):
    form.next()
    end = front(form)
    end.do("find", filters={"text": "1 ×", "min_steps": 1})
    assert (numbers(form), place(form)) == ([21, 11, 1], (0, 3))
    assert end.state["filters"] == form.filters == {"text": "1 ×", "min_steps": 1}
    end.do("find", filters={"source": "thirds"})
    assert (numbers(form), place(form)) == ([24, 21, 18, 15, 12, 9, 6, 3, 0], (0, 9))
    end.do("find", filters={})
    assert (numbers(form)[0], place(form)) == (24, (0, 25))


def test_a_search_gives_up_a_chosen_trace_that_does_not_pass_it(form, filled):
    oldest = str(filled.page(limit=1, order_by="created_at")[0].id)
    form.selected_id = oldest
    # On another page of the list than the first.
    form.find({"source": "thirds"})
    form.find({})
    assert form.selected_id == oldest
    form.find({"ids": [oldest]})
    assert form.selected_id == oldest
    form.find({"ids": [str(filled.latest().id)]})
    assert (form.selected_id, form.selected) == ("", None)
    form.selected_id = oldest
    form.find({"text": "24 × 2"})
    assert (form.selected_id, form.selected) == ("", None)


def test_the_same_search_again_looks_again(form, filled, make_trace):
    form.next()
    filled.add(make_trace("25 × 2?"))
    form.find({})
    assert (numbers(form)[0], place(form)) == (25, (0, 26))


def test_filters_are_set_from_python(front, filled):
    form = rt.TraceBrowser(filled, source="thirds", text=None)
    assert (form.filters, place(form)) == ({"source": "thirds"}, (0, 9))
    form.filters = {"min_steps": 3}
    assert (form.filters, len(form.page), place(form)) == ({"min_steps": 3}, 0, (0, 0))
    assert front(form).state["filters"] == {"min_steps": 3}


@pytest.mark.parametrize(
    ("filters", "problem"),
    [
        ({"tekst": "x"}, "unknown filter tekst; the filters are text,"),
        ({"min_steps": "many"}, 'min_steps="many": must be a whole number'),
        ({"since": "soon"}, 'since="soon": must be a time'),
        ({"ids": "nonsense"}, "ids=.*: must be full ids"),
        ({"ids": 5}, "ids=5: must be full ids"),
        ({"where": "length("}, "is not a valid SQL expression"),
        ({"where": "nonsense = 1"}, 'where="nonsense = 1": .*nonsense'),
        ({"where": "cast(prompt as int) = 1"}, "where=.*Conversion Error"),
        ({"text": "\ud800"}, 'text=".ud800": contains a lone surrogate'),
    ],
)
def test_filters_that_cannot_be_answered_are_not_taken(front, form, filters, problem):
    form.filters = {"max_steps": 5}
    form.next()
    with pytest.raises(rt.QueryInvalid, match=problem):
        form.filters = filters
    reply = front(form).ask("find", filters=filters)
    assert reply["failed"]
    assert reply["problem"] == front(form).state["problem"] == form.problem
    assert form.filters == {"max_steps": 5}
    assert (numbers(form), place(form)) == ([*range(14, 4, -1)], (10, 25))
    form.next()
    assert form.look() is None
    assert numbers(form)[0] == 4


def test_what_is_wrong_from_the_start_leaves_no_form_behind(filled):
    before = n_widgets()
    for given in ({"limit": 0}, {"nonsense": 1}, {"where": "nonsense"}):
        with pytest.raises(rt.QueryInvalid):
            rt.TraceBrowser(filled, **given)
        with pytest.raises(rt.QueryInvalid):
            rt.TraceApp(filled, **given)
    assert n_widgets() == before


def test_filters_of_every_kind_reach_the_front_end_as_json(front, filled):
    page = filled.page(limit=3)
    moment = datetime(2020, 1, 31, 12, tzinfo=UTC)
    form = rt.TraceBrowser(filled, since=moment, until=date(9000, 1, 1), ids=(one.id for one in page))
    assert form.filters == {
        "since": "2020-01-31T12:00:00+00:00",
        "until": "9000-01-01T00:00:00+00:00",
        "ids": [str(one.id) for one in page],
    }
    assert place(form) == (0, 3)
    front(form).do("find", filters=form.filters)
    assert (place(form), front(form).state["filters"]) == ((0, 3), form.filters)
    form.filters = {"since": timedelta(days=1), "ids": page[0].id, "meta": {"source": "thirds"}}
    assert form.filters["ids"] == [str(page[0].id)]
    assert datetime.fromisoformat(form.filters["since"]) < page[0].created_at
    assert place(form) == (0, 1)


def test_an_empty_store_says_what_to_do(front, store):
    form = rt.TraceBrowser(store)
    end = front(form)
    assert end.state["shown"]["rows"] == []
    assert "Add a file or an example" in end.state["shown"]["empty"]
    for action in ("next", "previous", "last", "first", "look"):
        end.do(action)
    end.do("move", by=1)
    end.do("move", by=-1)
    assert place(form) == (0, 0)
    assert (form.n_new, form.selected, form.picture()) == (0, None, form.page)
    assert end.do("sources")["sources"] == []


def test_a_search_that_finds_nothing_says_so(front, form):
    front(form).do("find", filters={"text": "nowhere"})
    assert form.shown == {
        "rows": [],
        "previous": False,
        "next": False,
        "empty": "No trace matches the search and the filters.",
    }
    assert place(form) == (0, 0)


def test_live_mode_counts_what_is_new_and_moves_nothing(front, form, filled, make_trace):
    end = front(form)
    end.set(live=True)
    end.do("next")
    shown = form.shown
    end.do("look")
    assert form.n_new == 0
    filled.add_many([make_trace("25 × 2?"), make_trace("26 × 2?", meta={"source": "thirds"})])
    end.do("look")
    assert (end.state["n_new"], form.shown, form.first_place) == (2, shown, 10)
    end.do("first")
    assert (form.n_new, numbers(form)[:2], place(form)) == (0, [26, 25], (0, 27))
    end.do("find", filters={"source": "thirds"})
    filled.add_many([make_trace("27 × 2?", meta={"source": "thirds"}), make_trace("28 × 2?")])
    end.do("look")
    assert form.n_new == 1


def test_looking_for_new_traces_keeps_to_the_filters(filled, make_trace):
    form = rt.TraceBrowser(filled, since=datetime.now(UTC) + timedelta(days=1))
    filled.add(make_trace("25 × 2?"))
    form.look()
    assert form.n_new == 0
    form.filters = {"since": timedelta(days=1), "text": "nowhere"}
    filled.add(make_trace("nowhere"))
    form.look()
    assert form.n_new == 1


def test_looking_keeps_what_went_wrong_before_in_sight(front, form):
    end = front(form)
    end.ask("jump", date="2020-01-01")
    end.do("look")
    settled()
    assert "no trace is as old" in end.state["problem"]


def test_hostile_characters_are_made_visible(store, front, make_trace):
    store.add(make_trace(HOSTILE.replace("\x00", ""), final_answer="\x07\u2066a", meta={"source": "\u202esource\x9b"}))
    form = rt.TraceBrowser(store)
    (row,) = front(form).state["shown"]["rows"]
    assert row["preview"] == "<img src=x onerror=alert(1)>␛[2J‹U+202E›drowssap"
    assert (row["answer"], row["source"]) == ("␇‹U+2066›a", "‹U+202E›source‹U+009B›")
    front(form).do("find", filters={"text": HOSTILE})
    assert front(form).ask("find", filters={"\u202ex": 1})["problem"].startswith("unknown filter ‹U+202E›x;")


def test_a_row_without_source_and_answer_says_so(store, front):
    store.add(rt.Trace(trace_version="1.1", prompt="p", steps=[], final_answer=None))
    (row,) = front(rt.TraceBrowser(store)).state["shown"]["rows"]
    assert (row["answer"], row["source"], row["n_steps"], row["n_chars"]) == (None, None, 0, 1)


def test_the_sources_can_be_chosen_from(front, form):
    assert front(form).do("sources")["sources"] == ["thirds"]


def test_a_published_store_is_browsed(filled, front, tmp_path):
    path = filled.backup(tmp_path / "published.duckdb")
    form = rt.TraceBrowser(rt.TraceStore(path, read_only=True), limit=10)
    front(form).do("last")
    front(form).do("look")
    assert (numbers(form)[-1], place(form)) == (0, (15, 25))


def test_a_store_that_was_closed_is_opened_again(form, filled):
    filled.close()
    form.next()
    assert numbers(form)[0] == 14


def test_the_filters_that_a_form_has_a_field_for_come_from_the_table(front, store, make_trace):
    store.add_many(make_trace(str(n), meta={"model": "m", "run": "r", "training_step": n}) for n in range(3))
    form = front(rt.TraceBrowser(store))
    fields = {field["name"]: field["input"] for field in form.state["filter_fields"]}
    assert {"source": "text", "model": "text", "run": "text", "training_step": "number"}.items() <= fields.items()
    form.do("find", filters={"model": "m", "run": "r", "training_step": 1.0})
    assert [row["preview"] for row in form.state["shown"]["rows"]] == ["1"]
    form.do("find", filters={"meta": "training_step>=1, model!=x"})
    assert [row["preview"] for row in form.state["shown"]["rows"]] == ["2", "1"]
    form.do("find", filters={"meta": {"training_step": 1, "reward": None}})
    assert form.state["filters"] == {"meta": "training_step=1, reward=null"}
    form.do("find", filters={"meta": "reward<1"})
    assert form.state["shown"]["empty"] == "No trace matches the search and the filters: no trace has meta.reward."
    assert 'training_step="x": must be a number' in form.ask("find", filters={"training_step": "x"})["problem"]


def test_a_list_is_sorted_page_by_page_and_jumps_back_to_the_order_of_time(front, store, make_trace):
    rewards = [0.5, -1.5, "a", None, -0.125, 3]
    store.add_many(make_trace(str(n), meta={"reward": reward}) for n, reward in enumerate(rewards))
    form = front(rt.TraceBrowser(store, limit=4))
    assert (form.state["order_by"], form.state["descending"]) == ("created_at", True)

    def shown():
        return [row["preview"] for row in form.state["shown"]["rows"]]

    form.do("sort", order_by="meta.reward", descending=False)
    assert (form.state["order_by"], form.state["descending"], shown()) == ("meta.reward", False, ["1", "4", "0", "5"])
    form.do("next")
    assert (shown(), form.state["shown"]["next"]) == (["2", "3"], False)
    form.do("previous")
    assert shown() == ["1", "4", "0", "5"]
    form.do("last")
    assert (shown(), form.state["shown"]["next"]) == (["0", "5", "2", "3"], False)
    form.do("find", filters={"meta": "reward<1"})
    assert shown() == ["1", "4", "0"]
    store.add(make_trace("new", meta={"reward": -7}))
    form.do("look")
    assert form.state["n_new"] == 1
    form.do("first")
    assert (shown(), form.state["n_new"]) == (["new", "1", "4", "0"], 0)
    assert 'order_by="x": must be' in form.ask("sort", order_by="x", descending=False)["problem"]
    assert form.state["order_by"] == "meta.reward"
    form.do("jump", date=store.latest().created_at.date().isoformat())
    assert (form.state["order_by"], form.state["descending"], shown()[0]) == ("created_at", True, "new")
