"""Scores leave a store with their traces, and come back without a difference."""

import json
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tunix_rt as rt
from tunix_rt.store.ingest import chunk
from tunix_rt.store.ingest import load as loading

TEXTS = 'a "quote",\n\u2028 é'
EVIDENCE = {"z": [1e20, 1e-7, None, {"b": "\x00\udfff"}], "a": -0.0}
KEY = {"scorer": "s", "version": "1"}


@pytest.fixture
def scored(filled):
    """25 traces with flags, a number with evidence, and a label; nine of them with a reason why there is no score."""
    filled.flag("truncated", "broken_format", "length_outlier", progress=False)
    filled.score(
        lambda trace: rt.Score(value=len(trace.payload.prompt) / 3, explanation=TEXTS, answer="", metadata=EVIDENCE),
        name="f",
        version=TEXTS[:8],
        params={},
        progress=False,
    )
    filled.score(lambda _, a, b: "good" if a else b, name="label:é", params={"b": [1.5, "é"], "a": 1}, progress=False)
    filled.score(lambda _: None, name="none", source="thirds", progress=False)
    return filled


def all_scores(store):
    return store.sql("from scores order by all").arrow().to_pylist()


def loaded(tmp_path, source, name="other", **options):
    store = rt.TraceStore(tmp_path / f"{name}.duckdb")
    return store, store.load(source, progress=False, **options)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.zst", "parquet"])
def test_an_export_with_scores_gives_the_same_store_and_the_same_export(scored, tmp_path, ending, monkeypatch):
    first, second = tmp_path / f"first.{ending}", tmp_path / f"second.{ending}"
    report = scored.export(first)
    n_scores = len(all_scores(scored))
    assert report.scores == n_scores == 25 * 5 + 9
    assert f"scores   {n_scores}" in str(report)
    # Chunk by chunk, and twice: what is there is not added again.
    monkeypatch.setattr(chunk, "CHUNK_SCORES", 50)
    monkeypatch.setattr(chunk, "CHUNK_SCORE_ROWS", 50)
    other, back = loaded(tmp_path, first)
    assert (back.added, back.scores_added, back.rejected_count) == (25, n_scores, 0)
    assert back.counts.endswith(f", {n_scores} scores added")
    assert f" · {n_scores} scores added" in str(back)
    again = other.load(first, progress=False)
    assert (again.added, again.already_stored, again.scores_added) == (0, 25, 0)
    assert all_scores(other) == all_scores(scored)
    assert other.verify(progress=False).ok
    other.export(second)
    assert second.read_bytes() == first.read_bytes()
    manifest = json.loads((tmp_path / f".first.{ending}.manifest.json").read_text())
    assert manifest["scores"] == n_scores
    if ending == "parquet":
        assert report.score_file == tmp_path / "first.scores.parquet"
        assert manifest["score_file"] == "first.scores.parquet"
        assert report.to_dict()["score_file"] == str(report.score_file)
        assert (tmp_path / "second.scores.parquet").read_bytes() == report.score_file.read_bytes()
        assert "scores" not in pq.read_schema(first).names


def test_exports_without_scores_are_as_if_there_were_none(scored, tmp_path):
    without = rt.TraceStore(tmp_path / "without.duckdb")
    without.load(scored.records(), progress=False)
    for name in ("a.jsonl", "a.parquet"):
        plain = without.export(tmp_path / f"plain-{name}")
        left_out = scored.export(tmp_path / name, scores=False)
        assert (left_out.scores, left_out.score_file, left_out.sha256) == (0, None, plain.sha256)
        with pytest.warns(UserWarning, match="no trace passed the filters"):
            assert scored.export(tmp_path / f"of-{name}", source="nobody", manifest=False).scores == 0
    manifests = [json.loads((tmp_path / f".{name}.manifest.json").read_text()) for name in ("a.jsonl", "plain-a.jsonl")]
    assert [one["options"] for one in manifests] == [{"scores": False}, {}]
    assert not [one for one in manifests if "scores" in one]
    assert not list(tmp_path.glob("*.scores.parquet"))
    # The formats of trainers have none.
    assert scored.export(tmp_path / "chat.jsonl", format="messages").scores == 0
    with pytest.raises(rt.QueryInvalid, match='scores="no": must be True or False'):
        scored.export(tmp_path / "b.jsonl", scores="no")


def test_only_the_scores_of_selected_traces_are_written(scored, tmp_path):
    for name in ("a.jsonl", "a.parquet"):
        report = scored.export(tmp_path / name, source="thirds", score={"f": 2})
        assert (report.rows, report.scores) == (4, 4 * 6)
        assert loaded(tmp_path, tmp_path / name, name)[1].scores_added == report.scores


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_scores_follow_their_traces_to_other_ids(store, tmp_path, make_trace, name):
    # Two equal rollouts, and one more: here they have other ids than there.
    traces = [make_trace(), make_trace(), make_trace("other")]
    first, second, third = store.add_many(traces)
    store.score(lambda trace: str(trace.id), name="own_id", version="1", progress=False)
    store.export(tmp_path / name)
    other = rt.TraceStore(tmp_path / "other.duckdb")
    there = other.add_many(traces)
    report = other.load(tmp_path / name, progress=False)
    assert (report.added, report.already_stored, report.scores_added) == (0, 3, 3)
    said = {UUID(row[0]): row[8] for row in other.scores("own_id").rows}
    assert said == {new.id: str(old.id) for new, old in zip(there, [first, second, third], strict=True)}
    created = {UUID(one): at for one, at in other.sql("select trace_id, created_at from scores").rows}
    assert created == {one.id: one.created_at for one in there}
    # Copies that are added have their own scores, and the same again brings nothing to the first.
    more = store.load(tmp_path / name, known="add", progress=False)
    assert (more.added, more.scores_added) == (3, 3)
    assert store.count(score={"own_id": None}) == 0


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_scores_of_a_row_whose_id_is_that_of_another_trace_are_rejected_with_it(scored, tmp_path, make_trace, name):
    newest = scored.latest()
    scored.export(tmp_path / name, ids=[newest.id])
    other = rt.TraceStore(tmp_path / "other.duckdb")
    other.load(
        [rt.TraceRecord(**(newest.model_dump() | {"payload": make_trace("another").model_dump()}))], progress=False
    )
    report = other.load(tmp_path / name, progress=False)
    assert (report.added, report.scores_added) == (0, 0)
    assert "is the id of another trace in the store" in report.rejected[0].reason
    assert all_scores(other) == []


def test_equal_scores_in_one_row_and_in_several_are_stored_once(store):
    row = {"id": "0193e4f0-0000-7000-8000-000000000001", "prompt": "p", "steps": ["s"], "final_answer": "a"}
    one, two = KEY | {"value": 1}, KEY | {"value": 2}
    report = store.load([row | {"scores": [one, two]}, row | {"scores": [two, KEY | {"step": 0, "label": "x"}]}])
    assert (report.added, report.already_stored, report.scores_added) == (1, 1, 2)
    assert store.sql("select value, label, step, sample, params from scores order by step").rows == [
        (None, "x", 0, 0, "{}"),
        (1.0, None, None, 0, "{}"),
    ]
    # What is there stays, and is scored now where nothing says when.
    assert store.load([row | {"scores": [two]}]).scores_added == 0
    label = KEY | {"scorer": "label:ada", "label": "good"}
    assert [store.load([row | {"scores": [label]}]).scores_added for _ in range(2)] == [1, 0]
    assert store.sql("select count(*) from scores where scored_at > now() - interval 1 hour").rows == [(3,)]


BAD = [
    ("x", "scores", "must be a list of scores"),
    ([KEY | {"value": 1}] * 10_001, "scores", "10,001 scores; at most 10,000"),
    ([1], "scores.0", "must be a score, an object, not 1"),
    ([KEY | {"value": 1}, KEY | {"value": "1"}], "scores.1.value", "must be a finite number or a boolean"),
    ([KEY | {"value": 10**400}], "scores.0.value", "must be a finite number"),
    ([KEY | {"worth": 1}], "scores.0.worth", "unknown field; a score has answer, explanation, label"),
    ([KEY], "scores.0", "either a value or a label, or the reason"),
    ([KEY | {"value": 1, "reason": "cut"}], "scores.0", "either a value or a label, or the reason"),
    ([KEY | {"reason": "because"}], "scores.0.reason", "must be one of no_expected"),
    ([KEY | {"reason": []}], "scores.0.reason", "must be one of no_expected"),
    ([{"scorer": "s", "value": 1}], "scores.0.version", "must be a text, not null; every score has one"),
    ([KEY | {"version": "", "value": 1}], "scores.0.version", "must be a text of 1 to 100 characters"),
    ([KEY | {"scorer": "a<b", "value": 1}], "scores.0.scorer", "must be 1 to 100 characters, none of them"),
    ([KEY | {"scorer": "a\0", "value": 1}], "scores.0.scorer", "NUL"),
    ([KEY | {"label": ""}], "scores.0.label", "must be a text of 1 to 1,000 characters"),
    ([KEY | {"label": "\0"}], "scores.0.label", "NUL"),
    ([KEY | {"value": 1, "explanation": "x" * 2_001}], "scores.0.explanation", "must be a text of 0 to 2,000"),
    ([KEY | {"value": 1, "params": 1}], "scores.0.params", "must be an object, not 1"),
    ([KEY | {"value": 1, "params": {"a": "x" * 10_000}}], "scores.0.params", "10,008 characters as JSON"),
    ([KEY | {"value": 1, "metadata": [1]}], "scores.0.metadata", "metadata of type list, not an object"),
    ([KEY | {"value": 1, "metadata": {"a": "x" * 2**16}}], "scores.0.metadata", "65,544 bytes; at most 65,536"),
    ([KEY | {"value": 1, "step": -1}], "scores.0.step", "must be a whole number from 0"),
    ([KEY | {"value": 1, "sample": True}], "scores.0.sample", "must be a whole number from 0"),
    ([KEY | {"value": 1, "scored_at": "2026-01-31"}], "scores.0.scored_at", "must be a time with its offset"),
    ([KEY | {"value": 1, "scored_at": 5}], "scores.0.scored_at", "must be a time with its offset"),
]


def test_a_row_with_scores_that_are_invalid_is_rejected_with_line_field_and_reason(store, tmp_path):
    path = tmp_path / "bad.jsonl"
    row = {"prompt": "p", "steps": ["s"], "final_answer": "a", "meta": {"scores": [KEY]}}
    rows = [row, *(row | {"scores": scores} for scores, _, _ in BAD), row | {"scores": None}]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    report = store.load(path, progress=False)
    assert (report.added, report.scores_added) == (2, 0)
    assert [(one.line, one.field) for one in report.rejected] == [(n, bad[1]) for n, bad in enumerate(BAD, 2)]
    for rejection, (_, _, reason) in zip(report.rejected, BAD, strict=True):
        assert reason in rejection.reason
    # NaN in the evidence is null, as in a trace's meta.
    line = json.dumps(row | {"scores": [KEY | {"value": True, "metadata": {"a": float("nan")}, "step": 1.0}]})
    assert store.load(line.encode(), progress=False).scores_added == 1
    assert store.sql("select value, step, metadata::varchar from scores").rows == [(1.0, 1, '{"a":null}')]


def test_scores_in_rows_of_their_own_go_to_the_traces_that_are_there(scored, tmp_path):
    newest = str(scored.latest().id)
    rows = [
        KEY | {"trace_id": newest, "value": 0.5, "params": {"b": 2, "a": 1}},
        KEY | {"trace_id": newest, "worth": 1},
        KEY | {"trace_id": "me", "value": 1},
        KEY | {"trace_id": "0193e4f0-0000-7000-8000-000000000001", "value": 1},
    ]
    path = tmp_path / "said.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = scored.load(path, progress=False)
    assert (report.format, report.added, report.scores_added) == ("trace", 0, 1)
    assert [(one.line, one.field) for one in report.rejected] == [(2, "worth"), (3, "trace_id"), (4, "trace_id")]
    assert "is no trace of the store; load the trace first" in report.rejected[2].reason
    assert scored.sql("select value, params from scores where scorer = 's'").rows == [(0.5, '{"a":1,"b":2}')]
    # As the call that shows them gives them, too.
    other = rt.TraceStore(tmp_path / "other.duckdb")
    other.load(scored.records(), progress=False)
    assert other.load(scored.scores().arrow(), progress=False).scores_added == len(scored.scores().arrow())


@pytest.mark.slow
def test_a_file_of_scores_comes_with_its_export_by_any_way(scored, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    n_scores = scored.export(folder / "b.parquet").scores
    (tmp_path / "latest.parquet").symlink_to(folder / "b.parquet")
    sources = [folder, folder / "*.parquet", folder / "b.par*", tmp_path / "latest.parquet"]
    for number, source in enumerate(sources):
        report = loaded(tmp_path, source, f"by{number}")[1]
        assert (report.added, report.scores_added, report.rejected_count) == (25, n_scores, 0), source
    # A file of that name which holds anything else is not touched, neither by a load nor by an export.
    (folder / "b.scores.parquet").write_bytes((folder / "b.parquet").read_bytes())
    assert loaded(tmp_path, folder / "b.parquet", "alone")[1].scores_added == 0
    before = (folder / "b.parquet").stat()
    for scores in (True, False):
        with pytest.raises(rt.ExportFailed, match=r"b\.scores\.parquet: has the name of the file of scores"):
            scored.export(folder / "b.parquet", scores=scores)
    assert (folder / "b.parquet").stat() == before
    assert sorted(one.name for one in folder.iterdir()) == [".b.parquet.manifest.json", "b.parquet", "b.scores.parquet"]


def test_the_file_of_scores_is_always_that_of_the_last_export(scored, tmp_path):
    path, beside = tmp_path / "a.parquet", tmp_path / "a.scores.parquet"
    scored.export(path)
    assert scored.export(path, source="thirds").scores == pq.read_metadata(beside).num_rows
    scored.export(path, scores=False)
    assert not beside.exists()
    # An open file has no file beside it; its rows are complete.
    with (tmp_path / "open.parquet").open("wb") as file:
        with pytest.warns(
            UserWarning, match="134 scores were left out: with the format parquet they go to a file"
        ) as said:
            report = scored.export(file, format="parquet")
        assert [one.filename for one in said] == [__file__]
        assert (report.rows, report.scores, report.score_file, report.scores_left_out) == (25, 0, None, 134)
        assert "scores left out  134" in str(report)
        plain = scored.export(file, format="parquet", scores=False)
    assert (plain.sha256, plain.scores_left_out) == (report.sha256, 0)
    with pytest.warns(UserWarning, match="scores were left out"):
        assert scored.export("/dev/null", format="parquet", source="thirds").scores_left_out
    assert scored.export(tmp_path / "bare", format="parquet").score_file == tmp_path / "bare.scores.parquet"
    assert loaded(tmp_path, tmp_path / "bare")[1].scores_added > 0


def test_an_export_that_fails_leaves_the_old_files_and_nothing_else(scored, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    scored.export(folder / "a.parquet", source="thirds")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def stop(*done):
        if done[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scored.export(folder / "a.parquet", progress=stop)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_watch_adds_the_scores_of_files_as_they_appear(scored, tmp_path, runs):
    other = rt.TraceStore(tmp_path / "other.duckdb")
    watched = other.watch(runs)
    scored.export(runs / "a.jsonl", scores=False, source="thirds")
    assert watched.poll().added == 9
    n_scores = scored.export(runs / "b.parquet").scores
    watched.poll()
    found = watched.poll()
    assert (found.added, found.already_stored, found.scores_added) == (16, 9, n_scores)
    assert watched.total.scores_added == n_scores
    assert all_scores(other) == all_scores(scored)


def test_labels_of_one_person_from_two_stores_are_all_kept_and_the_newest_counts(tmp_path, store, make_trace):
    record = store.add(make_trace())
    other, _ = loaded(tmp_path, [record])
    store.label(record, "bad", annotator="ada")
    other.label(record.id, "unsure", annotator="ada")
    other.label(record.id, "slip", step=1, annotator="ada")
    store.label(record, "good", annotator="ada")
    store.export(tmp_path / "one.jsonl")
    other.export(tmp_path / "two.parquet")
    assert store.load(tmp_path / "two.parquet", progress=False).scores_added == 2
    assert other.load(tmp_path / "one.jsonl", progress=False).scores_added == 2
    both, report = loaded(tmp_path, tmp_path, "both")
    assert (report.added, report.scores_added) == (1, 4)
    for one in (store, other, both):
        assert one.load(tmp_path / "one.jsonl", progress=False).scores_added == 0
        said = one.sql("select label from labels where step is null order by scored_at").arrow()["label"].to_pylist()
        assert said == ["bad", "unsure", "good"]
        assert one.count(score={"label:ada": "good"}) == 1
        assert one.verify(progress=False).ok


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_scores_for_which_there_is_too_little_memory_are_stored_in_parts(scored, tmp_path, monkeypatch, name):
    real = loading.insert_carried

    def scarce(cursor, found):
        found = list(found)
        if len(found) > 20:
            raise rt.MemoryLimitReached("too little memory")
        return real(cursor, found)

    scored.export(tmp_path / name)
    monkeypatch.setattr(loading, "insert_carried", scarce)
    other, report = loaded(tmp_path, tmp_path / name)
    assert (report.added, report.already_stored, report.rejected_count) == (25, 0, 0)
    assert all_scores(other) == all_scores(scored)


def test_columns_of_scores_that_are_no_json_are_rejected_by_row(store, make_trace):
    record = store.add(make_trace())
    row = KEY | {"trace_id": str(record.id), "value": 1.0, "params": "{}", "metadata": None}
    table = pa.Table.from_pylist([row | {"params": "{"}, row | {"metadata": '{"a":1}'}, row | {"metadata": "[1]"}])
    report = store.load(table, progress=False)
    assert [(one.line, one.field) for one in report.rejected] == [(1, "params"), (3, "metadata")]
    assert "invalid JSON" in report.rejected[0].reason
    assert report.scores_added == 1
