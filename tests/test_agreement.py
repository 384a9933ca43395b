"""Whether two scorers agree: `store.agreement` and `store.disagreements`."""

import json

import pytest

import tunix_rt as rt
from tests.test_groups import scored


@pytest.fixture
def judged(store, make_trace):
    """Ten traces, marked right or not, with rewards and with scores of a judge, which errs on the last two."""
    records = store.add_many(
        [
            make_trace(f"{n}?", meta={"correct": n < 6, "reward": float(n < 6), "n": n, "by": {"me": "x"}})
            for n in range(10)
        ]
    )
    for n, record in enumerate(records):
        scored(store, record, "judge", float(n < 6 or n > 7))
    return store, records


def test_the_confusion_table_has_counts_and_examples(judged):
    store, records = judged
    found = store.agreement("judge", "meta.correct")
    cells = {(cell.a, cell.b): (cell.n, cell.examples) for cell in found.cells}
    assert cells == {
        ("false", "false"): (2, [str(records[7].id), str(records[6].id)]),
        ("true", "false"): (2, [str(records[9].id), str(records[8].id)]),
        ("true", "true"): (6, [str(records[n].id) for n in (5, 4, 3)]),
    }
    assert (found.n, found.only_a, found.only_b) == (10, 0, 0)
    assert found.agreed.value == 0.8
    # 8 of 10 agree, by chance 0.8 × 0.6 + 0.2 × 0.4 do.
    assert found.kappa.value == pytest.approx((0.8 - 0.56) / 0.44)
    assert found.kappa.low < found.kappa.value < found.kappa.high
    assert (found.most_frequent, found.constant.value) == ("true", 0.6)


def test_the_disagreements_are_a_page(judged):
    store, records = judged
    page = store.disagreements("judge", "meta.correct", limit=1)
    assert [one.id for one in page] == [records[9].id]
    assert [one.id for one in page.next_page()] == [records[8].id]
    assert len(store.disagreements("meta.reward", "meta.correct")) == 0
    assert len(store.disagreements("judge", "meta.correct", meta={"n": 9})) == 1


def test_the_newest_score_of_a_trace_counts_and_those_of_steps_do_not(judged):
    store, records = judged
    scored(store, records[9], "judge", 0.0, at=9)
    scored(store, records[8], "judge", 1.0, at=-9)
    with store._session.transaction() as cursor:
        cursor.execute("insert into scores select * replace (1 as step, 5 as value, now() as scored_at) from scores")
    assert store.agreement("judge", "meta.correct").agreed.value == 0.9


def test_labels_are_compared_as_they_are(store, make_trace):
    records = store.add_many([make_trace(f"{n}?", meta={"level": "AB"[n % 2], "ok": n > 3}) for n in range(6)])
    for n, record in enumerate(records[:5]):
        scored(store, record, "label:me", label="AB"[n % 2])
        scored(store, record, "label:you", label="true" if n > 3 else "False")
        scored(store, record, "stars", float(n % 3))
    found = store.agreement("label:me", "meta.level")
    assert ({(cell.a, cell.b) for cell in found.cells}, found.only_b) == ({("A", "A"), ("B", "B")}, 1)
    assert store.agreement("label:you", "meta.ok").agreed.value == 1
    assert {cell.a for cell in store.agreement("stars", "meta.ok").cells} == {"0", "1", "2"}


def test_it_shows_itself(judged):
    store, records = judged
    found = store.agreement("judge", "meta.correct")
    text, html = str(found), found._repr_html_()
    assert "8 of 10: 0.800 [" in text
    assert "would agree with meta.correct in 0.600" in text
    assert str(records[9].id)[:8] in text
    assert "always true" in html
    assert repr(found) == "<Agreement of judge and meta.correct on 10 traces>"
    assert list(found.df()["n"]) == [2, 2, 6]
    assert json.loads(json.dumps(found.to_dict()))["agreed"]["n"] == 10
    few = str(store.agreement("judge", "meta.correct", meta={"correct": False}))
    assert "2 of 4\n" in few
    assert "kappa" not in few


def test_one_label_only_has_no_kappa(judged):
    store, _ = judged
    assert "undefined: both always give one label" in str(store.agreement("meta.by.me", "meta.by.me"))


def test_an_empty_store_agrees_on_nothing(store):
    found = store.agreement("meta.correct", "meta.reward")
    assert (found.n, found.cells, found.agreed.value, found.most_frequent) == (0, [], None, None)
    assert "0 of 0" in str(found)
    assert len(store.disagreements("meta.correct", "meta.reward")) == 0


@pytest.mark.parametrize(
    ("a", "said"),
    [
        ("judgee", 'no scores of "judgee"; there are judge, and meta.KEY'),
        ("meta.a'; drop table traces", "is not a key of meta"),
        ("meta.", "is not a key of meta"),
        (3, "a scorer is named by a string, not int"),
    ],
)
def test_what_is_no_scorer_is_refused(judged, a, said):
    with pytest.raises(rt.QueryInvalid, match=said):
        judged[0].agreement(a, "meta.correct")
    with pytest.raises(rt.QueryInvalid, match=said):
        judged[0].disagreements("meta.correct", a)


def test_measurements_are_not_labels(store, make_trace):
    store.add_many([make_trace(f"{n}?", meta={"reward": n / 7, "correct": True}) for n in range(21)])
    with pytest.raises(rt.QueryInvalid, match=r"meta\.reward: has 21 different values; labels are compared, up to 20"):
        store.agreement("meta.reward", "meta.correct")
