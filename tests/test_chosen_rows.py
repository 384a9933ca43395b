"""The chosen rows of the list: what is done with them, from Python and from a front end."""

import pytest

import tunix_rt as rt
from tests.front_end import numbers, place


def ids(form, *numbers):
    return [str(form.page[n].id) for n in numbers]


def test_the_choice_survives_page_turns_and_is_a_selection(front, form, filled, caplog):
    end = front(form)
    chosen = ids(form, 0, 2)
    end.do("choose_rows", ids=chosen)
    end.do("next")
    form.chosen_ids = [*form.chosen_ids, form.page[0].id, chosen[0]]
    chosen.append(str(form.page[0].id))
    assert form.chosen_ids == end.state["chosen_ids"] == chosen
    assert sorted(form.chosen.ids) == sorted(chosen)
    assert filled.count(ids=form.chosen) == 3
    # All that are found, and what is no id or too much.
    form.filters = {"source": "thirds"}
    end.do("choose_found")
    assert form.chosen_ids == filled.select(source="thirds").ids
    assert 'chosen_ids=["x"]: must be full ids' in end.ask("choose_rows", ids=["x"])["problem"]
    with pytest.raises(rt.QueryInvalid, match="more than 10,000 traces"):
        form.chosen_ids = [f"{n:032x}" for n in range(10_001)]
    assert len(form.chosen_ids) == 9
    form.chosen_ids = []
    for action in ("delete_chosen", "compare_chosen"):
        assert "no trace is chosen" in end.ask(action)["problem"]
    assert "nothing to undo" in end.ask("undo_delete")["problem"]
    assert "nothing to undo" in caplog.text


def test_a_deletion_is_undone_from_the_form(front, form, filled):
    end = front(form)
    filled.score("length", progress=False)
    end.do("next")
    before = [filled.get(one.id) for one in form.page]
    end.do("choose", id=ids(form, 1)[0])
    end.do("choose_rows", ids=ids(form, 0, 1, 5))
    # One of them goes meanwhile.
    rt.TraceStore(filled.path).delete(form.page[5].id)
    end.do("delete_chosen")
    assert end.state["said"] == "Deleted 2 traces and 2 scores; 1 was deleted elsewhere before."
    assert (form.chosen_ids, form.selected, end.state["can_undo"]) == ([], None, True)
    # The list stays where it is.
    assert (numbers(form), place(form)) == ([12, 11, 10, 8, 7, 6, 5, 4, 3, 2], (10, 22))
    # A second deletion; then both are undone, the last one first.
    end.do("choose_rows", ids=ids(form, 0))
    end.do("delete_chosen")
    end.do("undo_delete")
    assert (end.state["said"], form.chosen_ids) == ("Put back 1 trace.", [str(before[2].id)])
    end.do("undo_delete")
    assert (end.state["said"], end.state["can_undo"]) == ("Put back 2 traces.", False)
    assert (numbers(form), place(form)) == ([14, 13, 12, 11, 10, 8, 7, 6, 5, 4], (10, 24))
    assert [filled.get(one.id) for one in before[:5]] == before[:5]
    assert "nothing to undo" in end.ask("undo_delete")["problem"]
    end.do("hush")
    assert end.state["said"] == ""


def test_the_last_page_and_an_empty_list_after_a_deletion(front, form, filled):
    end = front(form)
    end.do("last")
    end.do("first")
    form.next()
    form.next()
    form.chosen_ids = [str(one.id) for one in form.page]
    end.do("delete_chosen")
    assert (numbers(form), place(form)) == ([*range(14, 4, -1)], (10, 20))
    end.do("choose_found")
    end.do("delete_chosen")
    assert (form.page.records, place(form), filled.count()) == ((), (0, 0), 0)
    end.do("undo_delete")
    end.do("undo_delete")
    assert (numbers(form)[0], place(form)) == (24, (0, 25))


def test_labels_exports_and_a_comparison_of_the_chosen(front, form, filled, tmp_path, caplog):
    end = front(form)
    gone, *chosen = ids(form, 0, 1, 2)
    form.chosen_ids = [gone, *chosen]
    filled.delete(gone)
    end.do("label_chosen", word=" good ")
    who = filled.settings.annotator
    assert form.said == f"Labelled 2 traces good, by {who}; 1 was deleted elsewhere before."
    assert form.chosen_ids == chosen
    assert filled.count(score={f"label:{who}": "good"}) == 2
    assert "must be a text" in end.ask("label_chosen", word=" ")["problem"]
    # An export, which overwrites nothing by itself.
    path = tmp_path / "chosen.jsonl"
    end.do("export_chosen", path=str(path), format="")
    assert form.said.startswith(f"Exported 2 rows of 2 traces as trace to {path} (")
    assert "exists already" in end.ask("export_chosen", path=str(path), format="messages")["problem"]
    end.do("export_chosen", path=str(path), format="messages", replace=True)
    assert "as messages" in form.said
    assert "name a file" in end.ask("export_chosen", path=" ", format="")["problem"]
    assert "cannot be written" in end.ask("export_chosen", path=str(tmp_path / "no" / "x"), format="")["problem"]
    end.do("export_chosen", path=str(tmp_path / "none.jsonl"), format="preference")
    assert "Exported 0 rows of 2 traces as preference" in form.said
    # Two are compared; choosing a trace to read takes the comparison away.
    end.do("compare_chosen")
    assert form.comparison.ids == filled.compare(*chosen).ids
    assert "trt-compared" in end.state["compared"]
    end.do("choose", id=chosen[0])
    assert (form.comparison, end.state["compared"]) == (None, "")
    form.chosen_ids = [*chosen, gone]
    assert "3 traces are chosen; choose exactly two" in end.ask("compare_chosen")["problem"]
    form.chosen_ids = [chosen[0], gone]
    assert "not found" in end.ask("compare_chosen")["problem"]
    assert "not found" in caplog.text
