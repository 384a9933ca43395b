"""Frozen selections, and two of them compared prompt by prompt: `store.select`, `rt.compare`."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.test_groups import scored


def asked(n, model, *, right=None, **meta):
    """A trace of a model on the n-th prompt."""
    meta = {"source": "rollouts", "model": model, "n": n, **({} if right is None else {"correct": right}), **meta}
    return {"prompt": f"{n} × 27?", "steps": ["thinking"], "final_answer": "1", "meta": meta}


def test_a_selection_is_frozen_and_is_a_filter(store):
    first = store.add_many([asked(n, "A") for n in range(6)])
    chosen = store.select(model="A")
    store.add_many([asked(n, "A") for n in range(3)])
    assert chosen.ids == [str(one.id) for one in reversed(first)] == list(chosen)
    assert (len(chosen), store.count(model="A"), store.count(ids=chosen)) == (6, 9, 6)
    assert "filters: ids=<Selection of 6 traces: model=A>" in str(store.page(ids=chosen))
    assert repr(store.select()) == "<Selection of 9 traces: all traces>"
    assert "chosen by  model=A" in str(chosen)

    written = []
    for name in ("one.jsonl", "two.jsonl"):
        report = store.export(name, ids=chosen, progress=False)
        written.append(Path(name).read_bytes())
        store.add(asked(7, "A"))
    assert written[0] == written[1]
    (given,) = json.loads(report.manifest.read_text())["filters"].values()
    assert given == json.loads(json.dumps(chosen.to_dict()))
    assert (given["filters"], given["traces"], len(given["sha256"])) == ({"model": "A"}, 6, 64)

    # Of a selection another one, which says of what.
    part = store.select(ids=chosen, limit=2)
    assert part.ids == chosen.ids[:2]
    assert part.to_dict()["filters"]["ids"] == chosen.to_dict()
    assert repr(part) == "<Selection of 2 traces: ids=<Selection of 6 traces: model=A>, 2 newest>"
    store.delete(part.ids[0])
    assert (len(part), store.count(ids=part)) == (2, 1)


def test_a_seed_draws_the_same_traces_each_time(store):
    store.add_many([asked(n, "A") for n in range(50)])
    drawn = [store.select(limit=10, seed=seed, meta={"model": "A"}) for seed in (0, 0, 1)]
    assert drawn[0].ids == drawn[1].ids != drawn[2].ids
    assert (drawn[0].digest, len(drawn[0])) == (drawn[1].digest, 10)
    assert drawn[0].ids == [one for one in store.select().ids if one in set(drawn[0])]
    assert "10 at random (seed 0)" in str(drawn[0])
    assert len(store.select(limit=99, seed=0)) == 50
    assert len(store.select(model="nobody")) == 0
    assert len(store.page(ids=store.select(model="nobody"))) == 0
    for options in ({"limit": 0}, {"limit": 1, "seed": -1}, {"limit": True}, {"seed": 1}, {"no_filter": 1}):
        with pytest.raises(rt.QueryInvalid):
            store.select(**options)


def test_two_sets_are_compared_prompt_by_prompt(store, tmp_path):
    rights = {"A": (1, 1, 1, 0, 0, 0, 0, 0, 1, 1), "B": (1, 1, 0, 1, 1, 1, 1, 1, 1, 1)}
    records = {
        model: store.add_many([asked(n, model, right=bool(one)) for n, one in enumerate(right)])
        for model, right in rights.items()
    }
    store.add_many([asked(20, "A", right=True), asked(21, "B", right=True), asked(22, "A"), asked(22, "B")])
    found = rt.compare(store.select(model="A"), store.select(model="B"))
    assert (found.wins, found.losses, found.ties, len(found.prompts)) == (5, 1, 4, 10)
    assert (found.only_a, found.only_b, found.without_value) == (1, 1, 1)
    assert (found.mean_a.value, found.mean_b.value) == (0.5, 0.9)
    assert found.difference.value == pytest.approx(0.4)
    assert found.difference.low < 0.4 < found.difference.high
    # Of six flips five or six in one direction, by a fair coin: 2 × 7/64.
    assert found.mcnemar == pytest.approx(14 / 64)
    assert len(found.flips) == 6
    (lost,) = [one for one in found.flips if one.difference < 0]
    assert (lost.prompt, lost.a, lost.b) == ("2 × 27?", 1, 0)
    assert (lost.ids_a, lost.ids_b) == ([str(records["A"][2].id)], [str(records["B"][2].id)])
    text = str(found)
    assert "B is better  on 5; worse on 1; equal on 4" in text
    assert "p = 0.22 (McNemar's exact test, of the 6 flips)" in text
    assert "10 in both with values, 1 only in A, 1 only in B" in text
    assert "1 prompt without a value in A or B" in text
    assert list(found.df()["difference"])[-4:] == [0, 0, 0, 0]
    data = json.loads(json.dumps(found.to_dict()))
    assert (data["wins"], len(data["flips"]), data["a"]["filters"]) == (5, 6, {"model": "A"})
    assert repr(found) == "<SetComparison on 10 prompts>"

    # A stored score goes before what the data says; here every answer of A is right.
    for record in records["A"]:
        scored(store, record, "answer", 1.0)
    again = store.compare(store.select(model="A"), store.select(model="B"))
    assert (again.mean_a.value, again.wins, again.losses) == (1, 0, 1)

    # The sets may be in two stores.
    other = rt.TraceStore(tmp_path / "other.duckdb")
    other.add(asked(3, "C", right=True))
    assert rt.compare(store.select(model="A"), other.select()).ties == 1


def test_several_samples_count_by_their_mean_and_by_any_number(store):
    for n in range(6):
        store.add_many([asked(n, "A", right=n < k, reward=n / 10, step=k) for k in (1, 2)])
        store.add_many([asked(n, "B", right=True, reward=n / 5, step=k, training_step=k) for k in (1, 2, 3)])
    a, b = store.select(model="A"), store.select(model="B")
    found = rt.compare(a, b)
    assert found.mcnemar is None
    assert [(one.a, one.b, one.samples_a, one.samples_b) for one in found.prompts[-2:]] == [
        (0.5, 1, 2, 3),
        (1, 1, 2, 3),
    ]
    assert found.mean_a.value == pytest.approx(0.25)
    # The first ids are those to compare: a wrong one of A, whatever is newest.
    assert store.get(found.prompts[-2].ids_a[0]).payload.meta["step"] == 1
    assert "(of 3 policies, taken together)" in str(found)
    rewards = rt.compare(a, b, scorer="meta.reward")
    assert rewards.difference.value == pytest.approx(0.25)
    assert rewards.mcnemar is None
    same = rt.compare(b, b)
    assert (same.ties, same.flips, same.difference.value) == (6, [], 0)
    assert same.difference.low == -same.difference.high < 0


def test_what_cannot_be_compared_says_what_to_do(store):
    store.add_many([asked(1, "A"), asked(1, "B"), asked(2, "C")])
    a, b, c = (store.select(model=model) for model in "ABC")
    found = rt.compare(a, b)
    assert (found.difference.value, found.mcnemar, found.df().empty) == (None, None, True)
    assert "nothing to compare: no values in A and B; run store.score('answer') with the same filters" in str(found)
    assert "load traces that have meta.reward" in str(rt.compare(a, b, scorer="meta.reward"))
    assert "no prompt in common" in str(rt.compare(a, c))
    with pytest.raises(rt.QueryInvalid, match=r"compare: no scores of .judge.; there are none, and meta\.KEY"):
        rt.compare(a, b, scorer="judge")
    with pytest.raises(rt.QueryInvalid, match="compare: a scorer is named by a string, not int"):
        rt.compare(a, b, scorer=1)
    with pytest.raises(rt.QueryInvalid, match="a selection is compared with another selection"):
        store.compare(a, a.ids[0])
    # Traces without a prompt are not samples of one.
    nothing = {"trace_version": "1.1", "prompt": " ", "steps": [], "final_answer": "1"}
    store.add_many([nothing | {"meta": {"model": model, "correct": True}} for model in "DE"])
    assert rt.compare(store.select(model="D"), store.select(model="E")).prompts == []


def test_a_named_selection_is_the_same_for_the_same_call_and_anywhere(store):
    first = store.add_many([asked(n, "A", reward=n) for n in range(6)])
    train = store.select("train", meta={"reward": rt.ge(2)}, limit=3, seed=7)
    assert (train.name, train.version, len(train)) == ("train", 1, 3)
    store.add_many([asked(n, "A", reward=n) for n in range(6)])
    other = rt.TraceStore(store.path)
    for again in (
        store.select("train", meta={"reward": rt.ge(2)}, limit=3, seed=7),
        other.select("train", meta=["reward>=2"], limit=3, seed=7),
        other.select("train"),
        rt.TraceStore(store.path, read_only=True).select("train", version=1),
    ):
        assert (again.ids, again.version, again.digest) == (train.ids, 1, train.digest)
        assert again.to_dict() == train.to_dict()
    assert set(train.ids) <= {str(one.id) for one in first}
    assert "train, version 1: 3 traces" in str(train)
    assert repr(train) == "<Selection train@1 of 3 traces: meta=reward>=2, 3 at random (seed 7)>"

    # Another query under the name is its next version, and so is the same one if that number is named.
    second = store.select("train", model="A")
    assert (second.version, len(second), store.select("train").version) == (2, 12, 2)
    assert store.select("train", model="A", version=3).version == 3
    assert [store.count(selection=name) for name in ("train", "train@1", "train@2", "train@9", "no")] == [
        12,
        3,
        12,
        0,
        0,
    ]
    assert store.page(selection="no").note == 'no trace has been selected as "no"'
    assert [str(one.id) for one in store.page(selection="train@1", limit=3)] == train.ids

    # One that was chosen from another says so.
    part = store.select("part", ids=train, limit=1)
    assert store.select("part", ids=train, limit=1).version == 1
    assert part.to_dict()["filters"]["ids"] == train.to_dict()
    assert "ids=selection train@1, 3 traces, 1 newest" in str(store.select("part"))
    by_hand = store.select("by hand", ids=train.ids[:2])
    assert by_hand.to_dict()["filters"]["ids"]["traces"] == 2

    assert (store.unselect("train", version=3), store.unselect("part")) == (1, 1)
    table = store.selections().arrow().to_pylist()
    assert [(row["name"], row["version"], row["traces"]) for row in table] == [
        ("by hand", 1, 2),
        ("train", 1, 3),
        ("train", 2, 12),
    ]


def test_a_named_selection_survives_deletions_backups_and_migrations(store, tmp_path):
    store.add_many([asked(n, "A") for n in range(4)])
    train = store.select("train", model="A")
    copy = rt.TraceStore(store.backup(tmp_path / "copy.duckdb"))
    store.delete(train.ids[0])
    assert (store.select("train").digest, store.count(selection="train")) == (train.digest, 3)
    assert store.selections().arrow()["deleted_since"].to_pylist() == [1]
    store.compact(progress=False)
    assert store.verify(progress=False).ok
    assert copy.select("train").ids == train.ids
    assert copy.count(selection="train") == 4
    with copy._session.transaction() as cursor:
        cursor.execute("delete from selected where trace_id = ?", [train.ids[1]])
    assert copy.verify(progress=False).problems == (
        "selection train, version 1: its ids differ from those that were stored",
    )
    assert copy.delete(selection="train") == 3
    store.migrate(to=3)
    assert store.selections().n_rows == 0
    assert store.count() == 3


def test_what_is_no_selection_is_refused(store):
    store.add(asked(1, "A"))
    store.select("train", model="A")
    refused = {
        "there is no selection .nothing.; pass filters to make one": {"name": "nothing"},
        "has no version 3; the newest is 1": {"name": "train", "version": 3},
        "has no version 2; the newest is none": {"name": "new", "version": 2, "model": "A"},
        "has a version 1 that was chosen otherwise": {"name": "train", "version": 1, "model": "B"},
        "is that of a stored selection": {"version": 1},
        "version=0: must be a whole number": {"name": "train", "version": 0},
        "is not a name": {"name": "train@2", "model": "A"},
        "is not a name; it has": {"name": 5},
    }
    for message, options in refused.items():
        with pytest.raises(rt.QueryInvalid, match=message):
            store.select(**options)
    with pytest.raises(rt.QueryInvalid, match=r"there is no selection .nothing.; there are train"):
        store.unselect("nothing")
    with pytest.raises(rt.QueryInvalid, match=r".train. has the versions 1, and no other"):
        store.unselect("train", version=2)
    with pytest.raises(rt.StoreReadOnly):
        rt.TraceStore(store.path, read_only=True).select("new", model="A")
    # Hostile names are text.
    name = "<img src=x onerror=alert(1)>"
    with pytest.raises(rt.QueryInvalid, match="is not a name"):
        store.select(name, model="A")
    assert store.select("'; drop table selected; --", model="A").version == 1
    assert store.count(selection="'; drop table selected; --") == 1


def test_one_version_is_made_by_many_at_the_same_time(store):
    store.add_many([asked(n, "A") for n in range(50)])
    stores = [rt.TraceStore(store.path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda one: one.select("train", model="A").version, stores))
    assert made == [1, 1, 1, 1]
    assert store.selections().n_rows == 1
