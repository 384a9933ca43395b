"""Deleted traces that are put back: their ids, times, texts, meta and scores are as they were."""

import threading

import pytest

import tunix_rt as rt


def everything(store):
    """All that is stored of the traces and their scores."""
    queries = ("select * from traces order by id", "from scores order by all")
    return [store.sql(query).arrow().to_pylist() for query in queries]


@pytest.fixture
def scored(filled):
    filled.load(rt.examples.folder(), progress=False)
    filled.flag("loop", progress=False)
    newest = filled.page()[0].id
    filled.label(newest, "bad", note="twice")
    filled.label(newest, "good", annotator="ada")
    filled.label(newest, "unsure", step=0)
    filled.label(newest, "good")
    return filled


def test_an_undone_deletion_leaves_the_store_as_it_was(scored):
    before, n_traces = everything(scored), scored.count()
    ids = [one.id for one in scored.page(limit=3)]
    deletion = scored.delete(*ids, undoable=True)
    assert (len(deletion), deletion.scores, sorted(deletion.ids)) == (3, 7, sorted(map(str, ids)))
    assert (scored.count(), scored.scores(ids=ids).rows) == (n_traces - 3, [])
    assert "3 traces with 7 scores" in str(deletion)
    assert deletion.to_dict()["traces"] == 3
    assert (deletion.undo(), everything(scored)) == (3, before)
    # A second time there is nothing to do, and what was said meanwhile stays.
    scored.label(ids[0], "bad", annotator="eve")
    assert (deletion.undo(), len(scored.scores("label:eve").rows)) == (0, 1)
    assert scored.verify().ok
    # All of them, by a filter; the order of the rows is that of time, so pages and times are as before.
    everyone = scored.delete(where="true", undoable=True)
    assert (scored.count(), everyone.undo(), scored.count()) == (0, n_traces, n_traces)
    assert [one.id for one in scored.page(limit=3)] == ids
    assert scored.verify().ok


def test_an_undo_among_others_puts_back_what_is_missing_once(scored, tmp_path):
    before, chosen = everything(scored), scored.page(limit=4)
    scored.export(tmp_path / "one.jsonl", ids=[chosen[0].id], scores=False, progress=False)
    deletion = scored.delete(*(one.id for one in chosen), undoable=True)
    # Another process loads one of them again, without its scores, and two threads undo at once.
    other = rt.TraceStore(scored.path)
    assert other.load(tmp_path / "one.jsonl", progress=False).added == 1
    done = []
    threads = [threading.Thread(target=lambda: done.append(deletion.undo())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(done), everything(scored)) == ([0, 3], before)


def test_what_cannot_be_kept_is_not_deleted(scored, monkeypatch):
    n_traces = scored.count()
    with pytest.raises(rt.TraceNotFound):
        scored.delete(scored.page()[0].id, "0" * 32, undoable=True)
    monkeypatch.setattr("tunix_rt.store.upkeep.deletion._MOST_CHARS", 1_000)
    with pytest.raises(rt.QueryInvalid, match="are too many for undoable=True"):
        scored.delete(where="true", undoable=True)
    assert scored.count() == n_traces
    assert len(scored.delete(source="nobody", undoable=True)) == 0
    deletion = scored.delete(scored.page()[0].id, undoable=True)
    with pytest.raises(rt.StoreReadOnly):
        rt.TraceStore(scored.path, read_only=True).delete(where="true", undoable=True)
    assert deletion.undo() == 1


def test_what_is_deleted_is_what_is_kept_also_where_a_second_look_would_choose_others(scored):
    before = everything(scored)
    some = scored.delete(where="random() < 0.5", undoable=True)
    assert 0 < len(some) < len(before[0])
    assert (some.undo(), everything(scored)) == (len(some), before)
