"""Groups of samples side by side, without a browser: `rt.GroupBrowser`."""

import json
import re

import pytest

import tunix_rt as rt
from tests.front_end import n_widgets
from tests.test_group_matrix import HOSTILE
from tests.test_groups import sampled
from tests.test_viewer_form import Acting
from tests.test_waiting import held, waits
from tunix_rt.widgets import groups

pytestmark = pytest.mark.usefixtures("front")


@pytest.fixture(scope="module")
def graded():
    """Five prompts of four samples by a policy: 0, 1, 2, 3, 4 of them correct; and the last prompt by another one."""
    with rt.TraceStore(":memory:") as store:
        for right in range(5):
            sampled(store, f"{right} × 27?", ["513"] * right + ["540"] * (4 - right), reward=right / 4)
        sampled(store, "4 × 27?", ["540"], model="other", reward=1)
        sampled(store, "4 × 27?", [None], model="other", correct=None)
        yield store


def rows(end):
    """The prompts that are shown, each with the signs of its samples."""
    return [(row["prompt"][0], "".join(mark["sign"] for mark in row["marks"])) for row in end.state["shown"]["rows"]]


def test_each_row_has_its_samples_side_by_side(front, graded):
    end = front(rt.GroupBrowser(graded, model="toy"))
    # The newest sample first, and the hardest prompt.
    assert rows(end) == [("0", "✗✗✗✗"), ("1", "✗✗✗✓"), ("2", "✗✗✓✓"), ("3", "✗✓✓✓"), ("4", "✓✓✓✓")]
    row = end.state["shown"]["rows"][1]
    assert [mark["says"] for mark in row["marks"][2:]] == [
        "wrong, answer 540, reward 0.25",
        "right, answer 513, reward 0.25",
    ]
    assert (row["level"], row["reward"], row["spread"], row["origin"], row["more"]) == (
        "informative",
        "0.25",
        "",
        "",
        0,
    )
    assert (row["rate"]["share"], row["rate"]["says"]) == (0.25, "1 of 4 correct")
    overview = end.state["overview"]
    assert ["pass@1", "0.500 [0.200, 0.800], n = 5"] in overview["facts"]
    assert ["filters", '"toy"'] not in overview["facts"]
    assert overview["levels"] == [
        {"name": "too hard", "n": 1},
        {"name": "informative", "n": 3},
        {"name": "too easy", "n": 1},
    ]


def test_groups_are_narrowed_sorted_and_turned(front, graded):
    form = rt.GroupBrowser(graded, limit=2)
    end = front(form)
    assert (end.state["shown"]["n_found"], [row["origin"] for row in end.state["shown"]["rows"]]) == (
        6,
        ["other", "toy"],
    )
    end.do("turn", to="next")
    assert rows(end) == [("1", "✗✗✗✓"), ("2", "✗✗✓✓")]
    end.do("turn", to="last")
    end.do("turn", to="next")
    assert (rows(end), end.state["shown"]["first"]) == ([("3", "✗✓✓✓"), ("4", "✓✓✓✓")], 4)
    end.do("turn", to="previous")
    end.do("turn", to="first")
    end.do("narrow", policy=1)
    assert [one["n"] for one in end.state["overview"]["levels"]] == [1, 3, 1, 0]
    end.do("narrow", level="informative", least=0.3)
    assert rows(end) == [("2", "✗✗✓✓"), ("3", "✗✓✓✓")]
    end.do("sort", order_by="prompt", descending=True)
    assert rows(end) == [("3", "✗✓✓✓"), ("2", "✗✗✓✓")]
    end.do("narrow", level="too easy", most=0.5)
    assert (rows(end), end.state["shown"]["empty"]) == ([], "No group is like that.")
    end.do("narrow", level="", policy=-1, least=0, most=1)
    end.do("sort", order_by="reward", descending=False)
    assert rows(end)[0][0] == "0"
    form.find(model="other")
    assert (form.policy, rows(end)) == (-1, [("4", "?✗")])
    # By the fields of the filters, which are those of the list of traces; what is not valid changes nothing.
    assert ("meta", "terms") in [(one["name"], one["input"]) for one in end.state["filter_fields"]]
    assert end.do("suggest", name="meta", text="model=t")["suggestions"][0]["value"] == "model=toy"
    end.do("regroup", filters={"meta": "model!=other"})
    assert (end.state["filters"], end.state["overview"]["n_groups"]) == ({"meta": 'model!="other"'}, 5)
    assert "min_steps" in end.ask("regroup", filters={"min_steps": "a"})["problem"]
    assert (form.filters, end.state["overview"]["n_groups"]) == ({"meta": 'model!="other"'}, 5)
    form.filters = {"model": "other"}
    assert rows(end) == [("4", "?✗")]
    with pytest.raises(rt.QueryInvalid, match="min_steps"):
        form.filters = {"min_steps": "a"}
    assert (form.filters, rows(end)) == ({"model": "other"}, [("4", "?✗")])
    for asked, said in (
        ({"level": "hard"}, 'level="hard": must be one of too hard, informative'),
        ({"policy": 5}, "policy=5: must be a whole number from -1 to 0"),
        ({"least": 0.5, "most": 0.4}, "least=0.5, most=0.4: must be pass rates from 0 to 1"),
        ({"least": "a"}, 'least="a", most=1.0: must be pass rates'),
    ):
        assert said in end.ask("narrow", **asked)["problem"]
    assert 'to="over": must be one of first, previous' in end.ask("turn", to="over")["problem"]
    assert 'order_by="x": must be one of pass_rate' in end.ask("sort", order_by="x", descending=True)["problem"]
    assert 'view="x": must be groups or matrix' in end.ask("see", view="x")["problem"]


def test_a_sample_is_read_and_two_are_compared(front, graded):
    form = rt.GroupBrowser(graded, model="toy")
    end = front(form)
    assert (form.record, end.state["chosen"]) == (None, {})
    assert "no sample is shown; choose one" in end.ask("compare", id="x")["problem"]
    marks = end.state["shown"]["rows"][1]["marks"]
    end.do("choose", group=1, id=marks[1]["id"])
    assert str(form.record.id) == end.state["chosen"]["id"] == marks[1]["id"]
    assert "1 × 27?" in front(form.viewer).state["shown"]["html"]
    assert end.state["viewer"] == f"IPY_MODEL_{form.viewer.model_id}"
    # The viewer's arrows walk through the group, to its ends.
    for _ in range(5):
        front(form.viewer).do("move", by=1)
    assert end.state["chosen"]["id"] == marks[3]["id"]
    end.do("compare", id=marks[0]["id"])
    assert (form.comparison.verdicts, form.comparison.flips) == ((True, False), True)
    assert re.search(r"✗\W.*?wrong</span>", end.state["compared"]["html"])
    assert "is shown already" in end.ask("compare", id=marks[3]["id"])["problem"]
    end.do("end_comparison")
    assert (form.comparison, end.state["compared"]) == (None, {})
    end.do("choose", group=4, id=None)
    assert end.state["chosen"]["prompt"] == "4 × 27?"
    assert "group=4: has no sample" in end.ask("choose", group=4, id=marks[0]["id"])["problem"]
    assert "group=9: must be a whole number" in end.ask("choose", group=9, id=None)["problem"]


def test_a_matrix_of_prompts_and_policies_opens_the_traces_of_a_cell(front, graded):
    form = rt.GroupBrowser(graded)
    end = front(form)
    end.do("see", view="matrix")
    assert end.state["overview"]["policies"] == ["other", "toy"]
    first = end.state["shown"]["rows"][0]
    assert (first["prompt"], first["difference"]) == ("4 × 27?", "100%")
    assert [cell["rate"]["says"] for cell in first["cells"]] == ["0 of 1 correct", "4 of 4 correct"]
    assert end.state["shown"]["rows"][1]["cells"][0] is None
    end.do("choose", group=first["cells"][0]["group"], id=None)
    assert [mark["word"] for mark in end.state["chosen"]["marks"]] == ["unknown", "wrong"]
    assert end.state["chosen"]["origin"] == "other"
    end.do("sort", order_by="1", descending=True)
    assert [row["prompt"][0] for row in end.state["shown"]["rows"]] == ["4", "3", "2", "1", "0"]
    end.do("sort", order_by="prompt", descending=False)
    assert end.state["shown"]["rows"][0]["prompt"][0] == "0"
    assert 'order_by="2": must be one of difference' in end.ask("sort", order_by="2", descending=True)["problem"]
    assert "0/1 ▁" in str(form.picture())
    end.do("see", view="groups")
    assert (form.order_by, form.descending) == ("pass_rate", False)
    assert "showing 6 of 6 groups" in str(form.picture())
    assert "showing 6 of 6 groups" in form.picture()._repr_html_()


def test_what_was_added_and_deleted_is_seen_by_a_refresh(front, store):
    records = sampled(store, "27 × 19?", ["513", "540"]) + sampled(store, "27 × 19?", ["513"], model="other")
    form = rt.GroupBrowser(store)
    end = front(form)
    end.do("narrow", policy=1)
    end.do("choose", group=1, id=None)
    store.delete(records[0].id)
    assert "not found" in end.ask("choose", group=1, id=str(records[0].id))["problem"]
    assert (form.record, end.state["chosen"]) == (None, {})
    sampled(store, "27 × 19?", ["1"], model="a")
    store.flag("wrong", progress=False)
    end.do("choose", group=1, id=str(records[1].id))
    end.do("refresh")
    # The sample stays open, in its group, which has another index now.
    assert (end.state["chosen"]["group"], str(form.record.id)) == (2, str(records[1].id))
    front(form.viewer).do("move", by=1)
    # The policy is chosen by its name.
    assert (form.policy, rows(end)) == (2, [("2", "✗")])
    assert end.state["shown"]["rows"][0]["marks"][0]["says"] == "wrong, answer 540, flags: wrong"
    store.delete(records[1].id)
    end.do("sort", order_by="samples", descending=False)
    assert end.state["shown"]["rows"][0]["marks"][0]["says"] == "deleted since"
    store.delete(where="true")
    end.do("refresh")
    assert (form.record, end.state["chosen"]) == (None, {})
    assert (form.policy, end.state["shown"]["empty"]) == (-1, "No traces yet: store.load(…), store.add(…).")
    assert "0 of 0 samples" in str(form.picture())
    end.do("see", view="matrix")
    assert end.state["shown"]["rows"] == []


def test_hostile_and_large_texts_are_harmless_and_short(front, store, monkeypatch):
    monkeypatch.setattr(groups, "_MOST_OPEN", 36)
    large = "<b>" + "x" * 20_000
    records = sampled(store, HOSTILE, [HOSTILE, "513"], model=HOSTILE)
    store.add_many(rt.Trace(prompt=large, steps=["s"], final_answer=large) for _ in range(40))
    form = rt.GroupBrowser(store, by="prompt")
    end = front(form)
    said = json.dumps(end.state["shown"], ensure_ascii=False) + json.dumps(end.state["overview"], ensure_ascii=False)
    assert not set("\u202e\x1b") & set(said)
    assert len(said) < 30_000
    assert [row["more"] for row in end.state["shown"]["rows"]].count(8) == 1
    few, many = (form.groups.df()["samples"].tolist().index(n) for n in (2, 40))
    end.do("choose", group=many, id=None)
    assert (len(end.state["chosen"]["marks"]), end.state["chosen"]["more"]) == (36, 4)
    end.do("choose", group=few, id=None)
    end.do("compare", id=str(records[0].id))
    assert Acting(end.state["compared"]["html"].split("</style>", 1)[1]).acting == []
    assert Acting(str(form.picture()._repr_html_()).split("</style>", 1)[1]).acting == []


def test_it_is_closed_whole_and_bad_options_leave_nothing_behind(store, graded):
    before = n_widgets()
    form = rt.GroupBrowser(graded)
    form.close()
    with pytest.raises(rt.QueryInvalid, match="by="):
        rt.GroupBrowser(store, by="question")
    with pytest.raises(rt.QueryInvalid, match="limit=0"):
        rt.GroupBrowser(store, limit=0)
    with pytest.raises(rt.QueryInvalid):
        rt.GroupBrowser(store, colour="red")
    assert n_widgets() == before


@pytest.mark.slow
def test_what_waits_for_another_process_is_cancelled_and_leaves_all_as_it_was(front, store):
    records = sampled(store, "27 × 19?", ["513", "540"])
    form = rt.GroupBrowser(store)
    end = front(form)
    groups, shown = form.groups, end.state["shown"]
    with held(store) as holder:
        asked = [end.say("refresh"), end.say("turn", to="first"), end.say("choose", group=0, id=str(records[0].id))]
        end.until(waits(holder))
        end.do("interrupt")
        assert {end.hear(one)["problem"] for one in asked} == {"cancelled"}
        assert (form.groups, form.record, end.state["shown"]) == (groups, None, shown)
    end.do("choose", group=0, id=str(records[0].id))
    assert form.record.id == records[0].id
