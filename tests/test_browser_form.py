"""The list as a form, from Python and from a front end: pages and their places, jumps, the chosen trace."""

import threading
from datetime import UTC, date, datetime, timedelta

import pytest

import tunix_rt as rt
from tests.front_end import n_widgets, numbers, place, settled


def test_the_pages_turn_from_python(form):
    assert (numbers(form), place(form)) == ([*range(24, 14, -1)], (0, 25))
    form.next()
    assert (numbers(form), place(form)) == ([*range(14, 4, -1)], (10, 25))
    form.next()
    assert (numbers(form), place(form), form.shown["next"]) == ([*range(4, -1, -1)], (20, 25), False)
    form.next()
    assert (numbers(form), place(form)) == ([*range(4, -1, -1)], (20, 25))
    form.previous()
    assert (numbers(form), place(form)) == ([*range(14, 4, -1)], (10, 25))
    form.first()
    assert (numbers(form), place(form), form.shown["previous"]) == ([*range(24, 14, -1)], (0, 25), False)
    form.previous()
    assert (numbers(form), place(form)) == ([*range(24, 14, -1)], (0, 25))


def test_the_pages_turn_from_the_front_end(front, form):
    end = front(form)
    for action, first, at in [
        ("next", 14, 10),
        ("next", 4, 20),
        ("previous", 14, 10),
        ("last", 9, 15),
        ("first", 24, 0),
    ]:
        end.do(action)
        settled()
        assert (numbers(form)[0], end.state["first_place"], end.state["n_found"]) == (first, at, 25)
        assert end.state["shown"] == form.shown


def test_the_last_page_has_nothing_behind_it(form):
    form.last()
    assert (numbers(form), place(form)) == ([*range(9, -1, -1)], (15, 25))
    assert (form.shown["previous"], form.shown["next"]) == (True, False)
    form.next()
    assert (numbers(form), place(form)) == ([*range(9, -1, -1)], (15, 25))
    form.previous()
    assert (numbers(form), place(form)) == ([*range(19, 9, -1)], (5, 25))
    form.next()
    assert (numbers(form), place(form)) == ([*range(9, -1, -1)], (15, 25))
    form.previous()
    form.previous()
    assert (numbers(form), place(form)) == ([*range(24, 14, -1)], (0, 25))


def test_where_everything_fits_on_a_page_the_first_is_the_last(filled, front):
    form = rt.TraceBrowser(filled, limit=100)
    front(form).do("last")
    assert place(form) == (0, 25)
    assert (len(form.page), form.shown["previous"], form.shown["next"]) == (25, False, False)


def test_what_was_behind_may_be_gone_when_the_page_is_turned(form, filled):
    form.next()
    filled.delete(where="prompt in ('0 × 2?', '1 × 2?', '2 × 2?', '3 × 2?', '4 × 2?')")
    form.next()
    assert (numbers(form), form.shown["next"], place(form)) == ([*range(14, 4, -1)], False, (10, 25))


def test_the_count_comes_in_the_background(filled, front):
    form = rt.TraceBrowser(filled, limit=10)
    with form._counting:
        form.first()
        assert (form.n_found, form.first_place) == (-1, 0)
    front(form).wait(n_found=25, first_place=0)


@pytest.mark.parametrize(
    ("actions", "first_place"),
    [
        ([("next",), ("next",)], 20),
        ([("next",), ("next",), ("previous",)], 10),
        ([("last",)], 15),
        ([("last",), ("previous",)], 5),
        ([("jump", "2030-01-01"), ("next",)], 10),
        ([("last",), ("first",)], 0),
    ],
)
def test_who_turns_pages_before_the_count_is_there_sees_the_right_place(filled, front, actions, first_place):
    form = rt.TraceBrowser(filled, limit=10)
    with form._counting:
        form.first()
        for name, *given in actions:
            getattr(form, name)(*given)
    settled()
    assert (form.first_place, form.n_found) == (first_place, 25)
    assert front(form).state["first_place"] == first_place


def test_the_count_of_an_earlier_search_is_not_shown(filled):
    form = rt.TraceBrowser(filled)
    with form._counting:
        form.filters = {"source": "thirds"}
        form.filters = {"text": "24 ×"}
    assert place(form) == (0, 1)


def test_a_count_that_fails_is_told(form, filled, caplog):
    filled.close()
    filled.path.rename(filled.path.with_name("elsewhere"))
    form._count()
    settled()
    assert "missing or empty" in form.problem
    assert "missing or empty" in caplog.text
    assert form.n_found == -1


@pytest.mark.parametrize("day", [date(2026, 1, 31), "2026-01-31"])
def test_a_jump_to_a_day_shows_its_newest_trace_and_leads_both_ways(store, tmp_path, make_trace, front, day):
    days = [datetime(2026, 1, 29, tzinfo=UTC) + timedelta(hours=12 * n) for n in range(10)]
    lines = [
        rt.TraceRecord(id=f"{n:032x}", created_at=time, trace_version="1.0", payload=make_trace(f"{n} × 2?"))
        for n, time in enumerate(days)
    ]
    (tmp_path / "days.jsonl").write_text("\n".join(line.model_dump_json() for line in lines))
    assert store.load(tmp_path / "days.jsonl").added == 10
    form = rt.TraceBrowser(store, limit=3)
    form.jump(day)
    # 4 and 5 are of that day.
    assert (numbers(form), place(form)) == ([5, 4, 3], (4, 10))
    assert front(form).do("previous")
    assert (numbers(form), place(form)) == ([8, 7, 6], (1, 10))
    form.next()
    form.next()
    assert (numbers(form), place(form)) == ([2, 1, 0], (7, 10))
    form.jump("2026-02-20")
    assert (numbers(form), place(form)) == ([9, 8, 7], (0, 10))


@pytest.mark.parametrize(
    ("day", "problem"),
    [
        ("2020-01-01", "no trace is as old as 2020-01-01; the list was not moved"),
        ("0001-01-01", "no trace is as old as 0001-01-01; the list was not moved"),
        ("yesterday", 'date="yesterday": must be a time such as 2026-01-31'),
        ("", 'date="": must be a time such as'),
    ],
)
def test_a_jump_that_leads_nowhere_leaves_the_list_as_it_was(front, form, day, problem):
    form.next()
    reply = front(form).ask("jump", date=day)
    assert reply["failed"]
    assert reply["problem"].startswith(problem)
    assert (numbers(form), place(form)) == ([*range(14, 4, -1)], (10, 25))


def test_a_jump_to_the_last_day_of_all_is_the_newest_page(front, form):
    form.next()
    front(form).do("jump", date="9999-12-31")
    assert (numbers(form)[0], place(form)) == (24, (0, 25))


def test_choosing_a_row_selects_its_trace(front, form, filled):
    end = front(form)
    end.do("choose", id=form.shown["rows"][3]["id"])
    assert form.selected == filled.get(form.page[3].id)
    end.do("next")
    assert form.selected.payload.prompt == "21 × 2?"
    form.selected_id = str(form.page[0].id)
    assert (form.selected.payload.prompt, end.state["selected_id"]) == ("14 × 2?", form.selected_id)
    form.selected_id = ""
    assert form.selected is None


def test_a_chosen_trace_that_was_deleted_is_not_shown_as_another_and_goes(front, form, filled, caplog):
    end = front(form)
    first, second = (row["id"] for row in form.shown["rows"][:2])
    end.do("choose", id=first)
    filled.delete(second)
    end.do("choose", id=second)
    assert (form.selected, end.state["selected_id"]) == (None, "")
    assert (numbers(form), end.state["shown"]["notice"]) == ([24, *range(22, 14, -1)], "1 trace was deleted.")
    assert place(form) == (0, 24)
    # One that is not in the list is an error.
    assert f"trace {second} not found" in end.ask("choose", id=second)["problem"]
    assert "not found" in caplog.text
    end.do("choose", id=first)
    assert (form.selected.payload.prompt, form.problem) == ("24 × 2?", "")
    with pytest.raises(rt.TraceNotFound):
        form.selected_id = second
    assert (form.selected.payload.prompt, form.selected_id) == ("24 × 2?", first)
    reply = end.ask("move", by=1)
    assert reply["problem"] == ""
    end.do("first")
    assert numbers(form)[:3] == [24, 22, 21]


def test_what_is_deleted_elsewhere_goes_from_the_list_and_the_viewer(front, filled):
    app = rt.app(filled, limit=10)
    form, end = app.browser, front(app.browser)
    end.do("next")
    ids = [row["id"] for row in form.shown["rows"]]
    end.do("choose", id=ids[2])
    assert app.viewer.record.payload.prompt == "12 × 2?"
    shown = form.shown
    end.do("look")
    assert form.shown is shown
    filled.delete(*ids[2:4])
    end.do("look")
    assert (numbers(form), place(form)) == ([14, 13, *range(10, 4, -1)], (10, 23))
    assert end.state["shown"]["notice"] == "2 traces were deleted."
    assert (app.viewer.record, form.selected_id, "empty" in front(app.viewer).state["shown"]) == (None, "", True)
    # The next pages are where they were; and one that is shown, but not in this page, goes as well.
    end.do("choose", id=ids[0])
    end.do("next")
    assert (numbers(form), place(form), "notice" in form.shown) == ([*range(4, -1, -1)], (18, 23), False)
    filled.delete(ids[0])
    end.do("refresh")
    assert (app.viewer.record, place(form)[1]) == (None, 22)
    # Of a page that is gone as a whole, the first one takes the place.
    filled.delete(*(row["id"] for row in form.shown["rows"]))
    end.do("refresh")
    assert (numbers(form)[0], place(form), form.shown["notice"]) == (24, (0, 17), "5 traces were deleted.")
    filled.delete(where="true")
    end.do("refresh")
    assert (form.shown["rows"], form.shown["empty"][:14], place(form)) == ([], "No traces yet.", (0, 0))


def test_walking_through_three_pages_and_back_meets_every_trace_once(front, form):
    end = front(form)
    met = []
    for _ in range(30):
        end.do("move", by=1)
        met.append(form.selected.payload.prompt)
    assert met == [f"{n} × 2?" for n in range(24, -1, -1)] + ["0 × 2?"] * 5
    met = []
    for _ in range(30):
        form.move(-1)
        met.append(form.selected.payload.prompt)
    assert met == [f"{n} × 2?" for n in range(1, 25)] + ["24 × 2?"] * 6


def test_walking_up_goes_on_to_what_has_come_meanwhile(form, filled, make_trace):
    form.next()
    form.selected_id = str(form.page[0].id)
    filled.add_many(make_trace(f"{n} × 2?") for n in range(25, 28))
    met = []
    for _ in range(15):
        form.move(-1)
        met.append(int(form.selected.payload.prompt.split()[0]))
    assert met == [*range(15, 28), 27, 27]


@pytest.mark.slow
def test_two_hundred_pages_leave_nothing_behind(front, filled):
    form = rt.TraceBrowser(filled, limit=2)
    widgets, threads = n_widgets(), threading.active_count()
    for n in range(200):
        front(form).do("next" if n % 20 < 10 else "previous")
    settled()
    assert n_widgets() == widgets
    assert threading.active_count() <= threads
    assert (numbers(form), place(form)) == ([24, 23], (0, 25))


def test_a_page_is_sent_once(front, form):
    before = front(form).n_updates
    front(form).do("next")
    # The problem that is taken away is none.
    assert front(form).n_updates == before + 1


def test_a_form_that_is_closed_while_it_counts_ends_quietly(filled, caplog):
    form = rt.TraceBrowser(filled)
    with form._counting:
        form.first()
        form.close()
    settled()
    assert (form.n_found, caplog.text) == (25, "")


def test_a_lake_is_browsed_as_a_store_is_and_another_machine_adds_to_it(tmp_path, filled, front):
    with rt.connect(f"delta:{tmp_path}/lake") as lake, rt.connect(f"delta:{tmp_path}/lake") as theirs:
        filled.publish(lake, progress=False)
        form = rt.TraceBrowser(lake, limit=10)
        end = front(form)
        for action, first, at in [("next", 14, 10), ("last", 9, 15), ("previous", 19, 5), ("first", 24, 0)]:
            end.do(action)
            settled()
            assert (numbers(form)[0], place(form)) == (first, (at, 25))
        form.sort("n_chars", descending=False)
        form.next()
        in_order = filled.page(order_by="n_chars", descending=False, limit=20)
        assert [one.id for one in form.page] == [one.id for one in in_order][10:]
        form.first()
        form.chosen_ids = [str(form.page[0].id)]
        form.delete_chosen()
        assert lake.count() == 24
        form.undo_delete()
        form.find({})
        theirs.add(rt.Trace(prompt="theirs", steps=["1"], final_answer="1"))
        theirs.flush()
        form.look()
        assert (form.n_new, lake.count()) == (1, 26)
