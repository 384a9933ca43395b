"""Queues of traces to label, drawn at random: `store.queue`, labelled by `rt.LabelForm`."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

import tunix_rt as rt
from tests.front_end import n_widgets
from tunix_rt.store.selection import drawn_evenly


def asked(n, model="A", **meta):
    return {"prompt": f"{n} × 27?", "steps": ["a"], "final_answer": "1", "meta": {"model": model, "n": n, **meta}}


def numbers(store, queue):
    return [store.get(one).payload.meta["n"] for one in queue]


def test_a_queue_is_drawn_once_and_is_the_same_anywhere(store):
    store.add_many([asked(n, source="s") for n in range(60)])
    queue = store.queue("check", n=20, seed=3, source="s")
    again = rt.TraceStore(store.path, read_only=True).queue("check", n=20, seed=3, source="s")
    store.add_many([asked(n, source="s") for n in range(60, 90)])
    other = rt.TraceStore(store.path)
    for same in (again, other.queue("check"), other.queue("check", n=20, seed=3, source="s"), other.select("check")):
        assert (same.ids, list(same), same.digest) == (queue.ids, queue.ids, queue.digest)
    assert (len(queue), len(set(queue)), queue.is_queue, queue.seed) == (20, 20, True, 3)
    # In random order: what is labelled first is a sample of all.
    drawn = numbers(store, queue)
    assert drawn not in (sorted(drawn), sorted(drawn, reverse=True))
    assert set(drawn[:10]) != set(sorted(drawn)[:10])
    # As a filter it is a selection like others; a page of its ids keeps its order.
    assert store.count(selection="check") == 20
    assert [str(one.id) for one in store.page(ids=queue)] == queue.ids
    assert repr(queue) == "<Queue check of 20 traces: source=s, 20 at random (seed 3)>"
    assert "queue      check: 20 traces" in str(queue)
    # Of the same traces the same seed draws the same ones, another one others.
    assert store.select(limit=20, seed=3, ids=store.select(where="(meta->>'n')::int < 60")).digest == queue.digest
    assert store.queue("other", n=20, seed=4, source="s").digest != queue.digest
    assert store.verify(progress=False).ok
    # Fewer traces than wanted are all of them.
    assert len(store.queue("all", n=10_000)) == 90


def test_a_stratified_queue_has_its_share_of_each_value(store):
    store.add_many([asked(n, "AAAAAABBBC"[n % 10]) for n in range(100)])
    store.score(lambda trace: trace.payload.meta["n"] < 20, name="low", progress=False)
    for seed in range(3):
        queue = store.queue(f"by model {seed}", n=30, seed=seed, stratify="meta.model")
        models = Counter(store.get(one).payload.meta["model"] for one in queue)
        assert models == {"A": 18, "B": 9, "C": 3}
    assert queue.to_dict()["stratify"] == "meta.model"
    assert "30 at random (seed 2), evenly over meta.model" in str(queue)
    flagged = store.queue("by flag", n=25, stratify="score.low", model="A")
    assert sum(n < 20 for n in numbers(store, flagged)) == 5
    # With all kinds of filters.
    again = store.queue("of a queue", n=6, stratify="n_steps", selection="by flag", where="n_chars > 0", score="!low")
    assert set(again) < set(flagged)
    assert (
        store.queue("of ids", n=2, stratify="n_chars", ids=again, text="27").to_dict()["filters"]["ids"]["traces"] == 6
    )


def test_each_trace_has_the_same_chance_in_a_stratum_of_any_size():
    strata = [0] * 60 + [1] * 38 + [2] * 2
    drawn = Counter()
    for seed in range(2_000):
        one = drawn_evenly(strata, 5, random.Random(seed))
        assert len(set(one)) == 5
        by_stratum = Counter(strata[at] for at in one)
        assert (by_stratum[0], by_stratum[1] in (1, 2), by_stratum[2] in (0, 1)) == (3, True, True)
        drawn.update(one)
    # 100 each are expected; five standard deviations.
    assert 51 <= min(drawn.values()) <= max(drawn.values()) <= 149
    assert len(drawn) == 100
    assert drawn_evenly([0, 1, 0], 3, random.Random(0)) in ([0, 2, 1], [2, 0, 1])


def test_what_is_no_queue_is_refused(store):
    store.add_many([asked(n) for n in range(5)])
    store.queue("check", n=3, model="A")
    store.select("train", model="A")
    refused = {
        r"queue: .check. was drawn otherwise: model=A, 3 at random \(seed 0\); pass the name alone": {
            "n": 4,
            "model": "A",
        },
        "was drawn otherwise: model=A": {"seed": 1},
        "there is no queue .new.; pass n= to draw one": {"name": "new"},
        "pass n= to draw": {"name": "new", "model": "A"},
        ".train. is the name of a selection": {"name": "train", "n": 3},
        "queue: no trace passes the filters; nothing was drawn": {"name": "new", "n": 3, "model": "B"},
        "queue: .* is not a name": {"name": "check@1", "n": 3},
        "queue: 3 is not a name": {"name": 3, "n": 3},
        "n=0: must be a whole number from 1 to 10000": {"name": "new", "n": 0},
        "n=10001": {"name": "new", "n": 10_001},
        "seed=-1": {"name": "new", "n": 3, "seed": -1},
        "seed=null": {"name": "new", "n": 3, "seed": None},
        "stratify=.model.: must be n_steps, n_chars, source, .*, meta.KEY or score.SCORER": {"stratify": "model"},
        "stratify=.created_at.: must be": {"name": "new", "n": 3, "stratify": "created_at"},
        "stratify=3: must be": {"name": "new", "n": 3, "stratify": 3},
        "stratify=.score.loop.: none of these traces has a value": {"name": "new", "n": 3, "stratify": "score.loop"},
        "unknown filter no": {"name": "new", "n": 3, "no": 1},
    }
    for message, options in refused.items():
        with pytest.raises(rt.QueryInvalid, match=message):
            store.queue(**{"name": "check"} | options)
    with pytest.raises(rt.QueryInvalid, match=r"select: .check. is a queue, which does not change"):
        store.select("check", model="B")
    with pytest.raises(rt.StoreReadOnly):
        rt.TraceStore(store.path, read_only=True).queue("new", n=3)
    assert store.selections().n_rows == 2
    # One that is not wanted any more makes place for another.
    store.unselect("check")
    assert len(store.queue("check", n=4)) == 4
    hostile = "<img src=x onerror=alert(1)>"
    with pytest.raises(rt.QueryInvalid, match="is not a name"):
        store.queue(hostile, n=3)
    assert len(store.queue("'; drop table selected; --", n=3)) == 3


def test_one_queue_is_drawn_by_many_at_the_same_time(store):
    store.add_many([asked(n) for n in range(50)])
    stores = [rt.TraceStore(store.path) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda one: one.queue("check", n=20, stratify="meta.model").ids, stores))
    assert made == [made[0]] * 4
    assert store.selections().n_rows == 1


@pytest.mark.usefixtures("front")
def test_a_form_takes_a_queue_by_name_and_two_people_and_kernels_continue_where_they_stopped(front, store):
    store.add_many([asked(n) for n in range(30)])
    queue = store.queue("check", n=5)
    ada = rt.LabelForm(store, "check", words=("yes", "no", "unsure"), annotator="ada")
    assert ada.ids == queue.ids
    assert front(ada).state["progress"]["queue"] == "check"
    ada.label("yes")
    ada.move(1)
    ada.label("no")
    # Another kernel, with the same and with another name.
    there = rt.TraceStore(store.path)
    again = rt.LabelForm(there, "check", annotator="ada")
    assert (again.ids, again.position, again.progress["n_labelled"]) == (queue.ids, 1, 2)
    bob = rt.LabelForm(there, there.queue("check"), annotator="bob")
    assert (bob.ids, bob.position) == (queue.ids, 0)
    # Deleted traces are passed over, whoever meets them; what is labelled by one kernel is not shown by the other.
    store.delete(queue.ids[3])
    again.label("yes")
    assert (again.position, ada.position) == (4, 3)
    ada.move(1)
    ada.label("unsure")
    assert (ada.record, front(ada).state["shown"]["empty"]) == (None, "Done: 4 traces labelled.")
    again.label("no")
    assert (again.record, again.progress["n_deleted"]) == (None, 1)
    assert "queue     check" in str(ada.picture())
    bob.label("yes")
    found = store.agreement("label:ada", "label:bob", selection="check")
    assert (found.n, found.agreed.value, found.only_a) == (1, 1, 3)
    before = n_widgets()
    with pytest.raises(rt.QueryInvalid, match=r"queue=.nothing.: there is no queue of this name"):
        rt.LabelForm(store, "nothing")
    assert n_widgets() == before


def test_the_precision_of_a_flag_is_estimated_from_its_labelled_sample(store):
    store.add_many([asked(n) for n in range(40)])
    store.score(lambda trace: trace.payload.meta["n"] < 30, name="odd", progress=False)
    queue = store.queue("is it odd", n=12, score="odd")
    for at, word in enumerate(["yes"] * 8 + ["no"] * 2 + ["unsure"]):
        store.label(queue.ids[at], word, annotator="ada")
    found = store.agreement("odd", "label:ada", selection="is it odd")
    # Wilson's interval of 8 of 10.
    assert (found.precision.value, found.precision.n, found.precision.left_out) == (0.8, 10, 1)
    assert (found.precision.low, found.precision.high) == (
        pytest.approx(0.4902, abs=1e-4),
        pytest.approx(0.9433, abs=1e-4),
    )
    assert found.to_dict()["precision"]["value"] == 0.8
    text = "label:ada says yes in 8 of 10: 80.0% (95 % interval 49.0% to 94.3%); neither yes nor no in 1"
    assert f"where odd says yes  {text}" in str(found)
    # Of words there is none.
    assert store.agreement("meta.model", "label:ada").precision is None
