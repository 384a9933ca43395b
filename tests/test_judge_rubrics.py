"""The rubrics of judges: what each is shown, what its verdicts become; two traces compared in both orders."""

import json

import pytest

import tunix_rt as rt
from examples.scripted_judge import part
from tests.test_judge import judge_of, serve, verdict
from tests.test_scorers import values

__all__ = ["serve"]


def tags(body):
    return [
        line.split("-" + line[1:-1].rsplit("-", 1)[1])[0][1:]
        for line in body["messages"][1]["content"].split("\n")[::4]
    ]


@pytest.mark.parametrize(
    ("rubric", "shown", "said", "value", "metadata"),
    [
        ("correct", ["prompt", "final-answer", "expected-answer"], True, True, {}),
        ("valid_steps", ["prompt", "step-0", "step-1"], [], True, {"wrong_steps": []}),
        ("valid_steps", ["prompt", "step-0", "step-1"], [1, 0, 1], False, {"wrong_steps": [0, 1]}),
        ("valid_steps", ["prompt", "step-0", "step-1"], [2], "unreadable", {}),
        ("valid_steps", ["prompt", "step-0", "step-1"], True, "unreadable", {}),
        ("faithful", ["prompt", "step-0", "step-1", "final-answer"], False, False, {}),
        ("first_wrong_step", ["prompt", "step-0", "step-1"], 1, 1, {}),
        ("first_wrong_step", ["prompt", "step-0", "step-1"], -1, -1, {}),
        ("first_wrong_step", ["prompt", "step-0", "step-1"], 2, "unreadable", {}),
    ],
)
def test_each_rubric_is_shown_what_it_needs(make_trace, serve, rubric, shown, said, value, metadata):
    server = serve(lambda body: verdict(said) if "response_format" in body else f"So.\nVERDICT: {json.dumps(said)}")
    trace = make_trace(meta={"expected_answer": "513"})
    judge = judge_of(server, rubric)
    for judge._as_line in (False, True):
        found = judge.score(trace)
        assert value in (found.value, found.reason)
        assert {name: one for name, one in found.metadata.items() if name != "judge"} == metadata
    assert tags(server.requests[0]) == shown
    assert judge.name == f"judge:{rubric}"


def test_what_cannot_be_judged_is_not_asked_about(store, serve):
    server = serve(lambda _: verdict(True))
    trace = {"trace_version": "1.1", "prompt": "p", "steps": [], "final_answer": None, "meta": {"expected_answer": "1"}}
    store.add(trace)
    store.add(trace | {"final_answer": "1", "meta": {}})
    for rubric in ("correct", "faithful", "first_wrong_step"):
        store.score(judge_of(server, rubric), progress=False)
    assert values(store, "judge:correct") == ["no_answer", "no_expected"]
    assert values(store, "judge:faithful") == values(store, "judge:first_wrong_step") == ["not_applicable"] * 2
    own = "Is it polite, and short?"
    assert judge_of(server, own, parts=["steps"]).score(rt.Trace(**trace)).reason == "not_applicable"
    assert judge_of(server, own, parts=["prompt", "final_answer"]).score(rt.Trace(**trace)).reason == "no_answer"
    assert server.requests == []
    assert judge_of(server, own).score(rt.Trace(**trace)).value is True


def test_two_traces_are_compared_in_both_orders(store, make_trace, serve):
    def script(body):
        first, second = (part(body, f"{which}-final-answer") for which in ("first", "second"))
        if "biased" in (first, second):
            return verdict("first")
        if "mute" in (first, second):
            return verdict("first") if first == "mute" else ""
        return verdict(
            "tie" if first == second else "first" if int(first) > int(second) else "second", f"{first} {second}"
        )

    server = serve(script)
    judge = judge_of(server, "better", concurrency=1)
    other = store.add(make_trace(final_answer="5"))
    answers = ["7", "3", "5", "biased", "mute"]
    store.add_many([make_trace(final_answer=one) for one in answers])
    store.add(make_trace("another?", final_answer="9"))
    report = store.score(
        judge.against(other), ids=[one.id for one in store.page() if one.id != other.id], progress=False
    )
    assert values(store, "judge:better") == ["this", "other", "tie", "undecided", "unreadable", "not_applicable"]
    assert (len(server.requests), report.usage["requests"]) == (10, 10)
    rows = store.sql(
        "select metadata, params, explanation from scores where label = 'this' or reason = 'undecided' order by label"
    ).rows
    assert json.loads(rows[0][0])["other_trace_id"] == json.loads(rows[0][1])["other"] == str(other.id)
    assert json.loads(rows[1][0])["orders"] == ["this", "other"]
    assert rows[1][2] == "this when it was shown first, other when it was shown second"
    assert rows[0][2] == "7 5"
    # Without a store, too; and the key is that of the pair.
    assert judge.against(make_trace(final_answer="5")).score(make_trace(final_answer="8")).label == "this"
    assert len({judge.against(make_trace(final_answer=one)).params["other"] for one in "56"}) == 2
    with pytest.raises(rt.QueryInvalid, match=r"compares two traces; score with judge\.against\(other\)"):
        judge.score(make_trace())
    with pytest.raises(rt.QueryInvalid, match='against: only the rubric "better" compares two traces'):
        judge_of(server, "correct").against(other)


def test_a_limit_is_of_the_newest_that_pass_and_chooses_the_same_again(filled, serve):
    server = serve(lambda _: verdict(True))
    judge = judge_of(server)
    assert filled.score(judge, source="thirds", limit=4, progress=False).scored == 4
    assert filled.score(judge, source="thirds", limit=4, progress=False).already_scored == 4
    newest = [str(one.id) for one in filled.page(source="thirds", limit=4)]
    assert sorted(newest) == sorted(str(row[0]) for row in filled.sql("select trace_id from scores").rows)
    with pytest.raises(rt.QueryInvalid, match="limit=0: must be a whole number"):
        filled.score(judge, limit=0, progress=False)
