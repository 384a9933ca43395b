"""Flags that need the whole set: near-copies and outliers of length, with planted ones in known numbers."""

import json
import random
from uuid import UUID

import pyarrow as pa
import pytest

import tunix_rt as rt
from tunix_rt.analysis import FLAGS
from tunix_rt.store.scores import flag_set
from tunix_rt.store.scores.near_copies import NearCopies, pieces, shingled, sketches
from tunix_rt.store.scores.scorers import SET_FLAGS as SET

WORDS = [f"w{n}" for n in range(3_000)]


def text(seed, n=200):
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def with_changes(words, n, seed=0):
    """The text with `n` of its words replaced, far from each other: each changes three shingles."""
    parts = words.split(" ")
    for at in range(n):
        parts[2 + at * (len(parts) // n)] = f"new{seed}x{at}"
    return " ".join(parts)


def trace(prompt, content, answer="513", **meta):
    return {"prompt": prompt, "steps": [content], "final_answer": answer, "meta": {"model": "toy", **meta}}


def flagged(store, name):
    query = "select trace_id::varchar, metadata from scores where scorer = ? and value = 1 order by created_at"
    return {
        one: json.loads(metadata)
        for one, metadata in zip(*store.sql(query, name).arrow().to_pydict().values(), strict=True)
    }


def test_planted_near_copies_are_found_and_nothing_else(store):
    originals = store.add_many(trace(f"{n}?", text(n)) for n in range(60))
    # A changed word of 200 changes 3 of some 199 shingles: 4 leave a Jaccard index of .89, 20 of .54.
    near = store.add_many(trace(f"other {n}?", with_changes(text(n), 4)) for n in range(20))
    same = store.add_many(trace(f"{n}?", with_changes(text(n), 4)) for n in range(20, 30))
    far = store.add_many(trace(f"far {n}?", with_changes(text(n), 20)) for n in range(30, 40))
    report = store.flag("duplicate", "same_in_group")
    assert [(run.scored, run.already_scored) for run in report.runs] == [(100, 0), (100, 0)]
    across, inside = flagged(store, "duplicate"), flagged(store, "same_in_group")
    assert set(across) == {str(one.id) for one in near}
    assert set(inside) == {str(one.id) for one in same}
    assert not {str(one.id) for one in far} & {*across, *inside}
    assert [across[str(one.id)]["other"] for one in near] == [str(one.id) for one in originals[:20]]
    assert [inside[str(one.id)]["other"] for one in same] == [str(one.id) for one in originals[20:30]]
    assert all(0.85 < one["similarity"] < 0.93 for one in (*across.values(), *inside.values()))
    assert [(one.flag, one.count) for one in report.flags] == [("duplicate", 20), ("same_in_group", 10)]


def test_copies_of_one_prompt_do_not_hide_those_of_another(store):
    first = store.add(trace("a?", text(1)))
    store.add(trace("a?", text(1)))
    of_b = store.add(trace("b?", text(1)))
    again = store.add(trace("a?", text(1)))
    store.flag("duplicate")
    found = flagged(store, "duplicate")
    assert found[str(of_b.id)]["other"] == str(first.id)
    assert found[str(again.id)]["other"] == str(of_b.id)
    assert len(found) == 2


def test_another_policy_is_another_group_and_another_prompt_only_is_a_duplicate(store):
    store.add(trace("a?", text(1), training_step=1))
    store.add(trace("a?", text(1), training_step=2))
    store.flag(*SET)
    assert (flagged(store, "duplicate"), flagged(store, "same_in_group")) == ({}, {})


@pytest.mark.parametrize("content", ["", "yes", "yes no", "one two three", "多段的推理没有空格"])
def test_short_texts_are_compared_too(store, content):
    store.add_many(
        {"trace_version": "1.1", "prompt": prompt, "steps": [content] if content else [], "final_answer": None}
        for prompt in ("a?", "b?", "b?")
    )
    store.flag("duplicate", "same_in_group")
    n = 0 if content == "" else 1
    assert len(flagged(store, "same_in_group")) == n
    assert len(flagged(store, "duplicate")) == 2 * n


@pytest.mark.slow
def test_a_second_time_scores_nothing_and_a_changed_set_anew(store):
    store.add_many(trace(f"{n}?", text(n % 3)) for n in range(6))
    assert store.flag("duplicate").runs[0].scored == 6
    compared = []
    again = store.flag("duplicate", progress=lambda *done: compared.append(done))
    assert compared == []
    assert (again.runs[0].scored, again.runs[0].already_scored, again.flags[0].count) == (0, 6, 3)
    store.add(trace("7?", text(0)))
    assert store.flag("duplicate").runs[0].scored == 7
    params = store.sql("select distinct params from scores").arrow()["params"].to_pylist()
    assert len(params) == 2
    assert {json.loads(one)["threshold"] for one in params} == {0.8}
    # Only part of the set: its flags are those of that part.
    assert store.flag("duplicate", where="prompt >= '3'").flags[0].count == 1


def test_the_filter_of_scores_reads_these(store):
    first, *others = store.add_many(trace(f"{n}?", text(1)) for n in range(3))
    store.flag("duplicate")
    assert {one.id for one in store.page(score={"duplicate": True})} == {one.id for one in others}
    assert [one.id for one in store.page(score={"duplicate": False})] == [first.id]
    store.delete(others[0].id)
    assert store.scores("duplicate").n_rows == 2


def test_outliers_of_length_are_those_far_from_the_median(store):
    store.add_many(trace(f"{n}?", text(n, 80 + n)) for n in range(40))
    long = store.add(trace("long?", text(99, 3_000)))
    short = store.add(trace("short?", "hm"))
    store.add(trace("another model's", text(98, 3_000), model="other"))
    store.flag("length_outlier")
    found = flagged(store, "length_outlier")
    assert set(found) == {str(long.id), str(short.id)}
    assert found[str(short.id)]["chars"] == len("hm") + len("513")
    assert 400 < found[str(short.id)]["median"] < 700


def test_equal_lengths_have_no_outliers(store):
    store.add_many(trace(f"{n}?", "x" * 50) for n in range(30))
    store.add(trace("long?", "x" * 500))
    assert store.flag("length_outlier").flags[0].count == 0


@pytest.mark.slow
def test_all_flags_are_those_of_one_trace_and_those_of_the_set(store):
    store.add_many(trace(f"{n}?", text(1)) for n in range(6))
    done = []
    report = store.flag(progress=lambda n, of: done.append((n, of)))
    assert (12, 12) in done
    assert {run.scorer for run in report.runs} == {*FLAGS, *SET}
    assert "83.3%" in str(store.flags("duplicate"))


def test_an_empty_set(store):
    report = store.flag(*SET)
    assert [(run.scored, run.already_scored) for run in report.runs] == [(0, 0)] * 3
    assert [one.count for one in report.flags] == [0, 0, 0]


def test_a_store_for_reading_only_stays_as_it_is(filled):
    filled.close()
    with pytest.raises(rt.StoreReadOnly):
        rt.TraceStore(filled.path, read_only=True).flag(*SET)


def test_what_progress_raises_stops_the_work_and_stores_nothing(store):
    store.add(trace("a?", text(1)))

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.flag(*SET, progress=stop)
    assert store.sql("from scores").n_rows == 0


def compared(tmp_path, texts):
    """How many pairs of these texts, each of another prompt, are compared; which are found, with what they are like."""
    n = len(texts)
    keys = pa.array(range(n), pa.uint64())
    ids = pa.array([f"00000000-0000-0000-0000-{at:012}" for at in range(n)])
    batch = pa.record_batch({"id": ids, "prompt": keys, "group": keys, "text": texts})
    near = NearCopies(tmp_path / "no.duckdb")
    try:
        for sketch in sketches([batch]):
            near.add(sketch)
        n_pairs = near.pair()
        for shingles in shingled(near.wanted(), [batch]):
            near.compare(shingles)
        found = near.found(0.8)
    finally:
        near.close()
    return n_pairs, {int(one.hex[12:]): int(other.hex[12:]) for one, other in zip(*as_ids(found), strict=True)}


def as_ids(found):
    return [
        [one if hasattr(one, "hex") else UUID(one) for one in found[name].to_pylist()] for name in ("id", "nearest")
    ]


def test_texts_that_share_a_band_are_compared_only_if_most_of_their_minima_are_alike(tmp_path):
    # 7 changed words of 200 leave a Jaccard index of .81 of the shingles, 30 one of .37.
    near = [with_changes(text(n), 7, seed=n) for n in range(20)]
    far = [with_changes(text(n), 30, seed=n) for n in range(20, 100)]
    n_pairs, found = compared(tmp_path, [*map(text, range(100)), *near, *far])
    assert found == {100 + n: n for n in range(20)}
    assert n_pairs == 20


def test_long_texts_are_read_piece_by_piece():
    texts = ["a" * 10, "b" * 2**20, "c" * 10, "d" * 10]
    found = [piece["text"].to_pylist() for piece in pieces(pa.record_batch({"text": texts}))]
    assert found == [texts[:1], texts[1:2], texts[2:]]


def test_of_a_text_of_more_than_two_million_characters_the_first_are_compared(tmp_path):
    begin = "x" * 1_999_996 + " a b"
    _, found = compared(tmp_path, [f"{begin} one two three four", f"{begin} five six seven eight"])
    assert found == {1: 0}


def test_texts_are_read_in_small_pieces(store, monkeypatch):
    first = store.add_many(trace(f"{n}?", text(n)) for n in range(4))
    copies = store.add_many(trace(f"copy {n}?", text(n)) for n in range(4))
    read = []

    def noted(batches):
        for batch in batches:
            read.append(len(batch))
            yield from sketches([batch])

    monkeypatch.setattr(flag_set, "sketches", noted)
    monkeypatch.setattr(flag_set, "_TEXTS_TOGETHER", 3)
    store.flag("duplicate", progress=False)
    found = {one: evidence["other"] for one, evidence in flagged(store, "duplicate").items()}
    assert found == {str(copy.id): str(one.id) for copy, one in zip(copies, first, strict=True)}
    assert read == [3, 3, 2]
