"""Scores in the store: what is scored, once, and what stays when scoring is stopped or traces go."""

import json
import os
import signal
import threading

import pyarrow as pa
import pytest

import tunix_rt as rt
from tests.processes import ended, start, told_by
from tunix_rt.analysis import FLAGS, SCORERS
from tunix_rt.store.scores import run as running


def n_steps(trace):
    return len(trace.payload.steps)


def test_a_function_of_a_trace_scores_each_trace_once(filled):
    report = filled.score(n_steps, progress=False)
    assert (report.scorer, report.scored, report.already_scored, report.unscorable) == ("n_steps", 25, 0, {})
    filled.add({"prompt": "new", "steps": ["1", "2", "3"], "final_answer": "a"})
    again = filled.score(n_steps, progress=False)
    assert (again.scored, again.already_scored, again.version) == (1, 25, report.version)
    scores = filled.scores("n_steps").arrow()
    assert scores["value"].to_pylist() == [3.0] + [2.0] * 25
    assert scores["created_at"].to_pylist() == [one.created_at for one in filled.records()]
    assert repr(again) == "<ScoreReport of n_steps: 1 scored, 25 already scored, 0 unscorable>"
    assert "already scored  25" in str(again)
    assert again.to_dict()["scored"] == 1


def test_a_new_version_or_other_parameters_are_new_facts_and_the_newest_is_current(filled):
    def longer(trace, than=0):
        return len(trace.payload.prompt) > than

    filled.score(longer, version="1", progress=False)
    filled.score(longer, version="2", params={"than": 6}, progress=False)
    assert filled.sql("select version, params, sum(value)::int from scores group by all order by all").rows == [
        ("1", "{}", 25),
        ("2", '{"than":6}', 15),
    ]
    assert filled.count(score={"longer": True}) == 15
    assert set(filled.scores("longer").arrow()["version"].to_pylist()) == {"2"}
    # Nothing is left to do, and what was said last stays.
    assert filled.score(longer, version="1", progress=False).scored == 0
    assert filled.count(score={"longer": True}) == 15


def test_only_the_selected_traces_are_scored(filled):
    assert filled.score("length", source="thirds", progress=False).scored == 9
    assert filled.score("length", where="prompt like '1%'", progress=False).scored == 8
    assert filled.count(score={"length": None}) == 25 - 17
    assert {row[3] for row in filled.scores(source="thirds").rows} == {"length"}


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        (True, (1.0, None, None)),
        (0, (0.0, None, None)),
        (2.5, (2.5, None, None)),
        ("good", (None, "good", None)),
        (None, (None, None, "not_applicable")),
        (rt.Score(reason="undecided"), (None, None, "undecided")),
        (rt.Score(value=1, answer="513", metadata={"layer": "box"}), (1.0, None, None)),
        (pa.scalar(1.5).as_py(), (1.5, None, None)),
    ],
)
def test_a_result_is_a_number_a_boolean_a_label_none_or_a_score(store, make_trace, result, stored):
    store.add(make_trace())
    store.score(lambda _: result, name="s", progress=False)
    assert store.sql("select value, label, reason from scores").rows == [stored]


def test_a_result_with_a_fault_of_its_own_ends_nothing(filled):
    class Faulty:
        def __str__(self):
            raise RuntimeError("no text")

    report = filled.score(lambda _: rt.Score(value=1, explanation=Faulty()), name="s", progress=False)
    assert report.unscorable == {"error": 25}
    assert set(report.errors.values()) == {"RuntimeError: no text"}


def test_evidence_with_any_text_is_json(store, make_trace):
    store.add(make_trace())
    store.score(lambda _: rt.Score(value=1, metadata={"a\ud800": '\x00\udfff"\\'}), name="s", progress=False)
    assert json.loads(store.scores("s").rows[0][12]) == {"a\\ud800": '\x00\\udfff"\\'}


def test_numbers_of_numpy_are_numbers(store, make_trace):
    np = pytest.importorskip("numpy")
    store.add(make_trace())
    for n, result in enumerate([np.float32(0.5), np.bool_(True), np.int64(3), np.array(2.0)]):
        store.score(lambda _, result=result: result, name=f"s{n}", progress=False)
    assert store.sql("select value from scores order by scorer").rows == [(0.5,), (1.0,), (3.0,), (2.0,)]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (float("nan"), "returned nan, which is not a finite number"),
        (float("inf"), "not a finite number"),
        (10**400, "a number that is not a float"),
        ([1.0], "not a number, a boolean or a label"),
        (1j, "not a number, a boolean or a label"),
        ("", "a label has 1 to 1,000 characters"),
        ("x" * 1_001, "a label has 1 to 1,000 characters"),
        (rt.Score(), "without value and label"),
        (rt.Score(reason="because"), "with the reason"),
        (rt.Score(value=1, reason="undecided"), "and the reason"),
        (rt.Score(value="1"), "not a number"),
        (rt.Score(value=1, metadata={"a": object()}), "metadata that is not JSON"),
        (rt.Score(value=1, metadata=[1]), "metadata of type list"),
        (rt.Score(value=1, metadata={"a": "x" * 2**16}), "metadata of 65,544 bytes; at most 65,536"),
    ],
)
def test_what_is_no_score_is_the_reason_error_and_says_why(store, make_trace, result, said):
    record = store.add(make_trace())
    report = store.score(lambda _: result, name="s", progress=False)
    assert report.unscorable == {"error": 1}
    assert said in report.errors[record.id]
    assert store.sql("select value, label, reason, explanation from scores").rows == [
        (None, None, "error", report.errors[record.id])
    ]


def test_an_exception_is_the_reason_of_its_trace_and_ends_nothing(filled):
    class Odd(Exception):
        def __str__(self):
            raise ValueError

    def raises(trace):
        if trace.payload.prompt == "7 × 2?":
            raise ValueError("\x00 \ud800 " + "x" * 5_000)
        if trace.payload.prompt == "8 × 2?":
            raise Odd
        return 1

    report = filled.score(raises, progress=False)
    assert (report.scored, report.unscorable) == (23, {"error": 2})
    first, second = report.errors.values()
    assert first.startswith("ValueError: \\x00 \\ud800 xxx")
    assert (len(first), second) == (2_000, "Odd")
    assert "\x00" not in str(report)
    assert filled.sql("select count(*) from scores where contains(explanation, chr(0))").rows == [(0,)]
    # What failed has been looked at: a new version of the function is tried again.
    assert filled.score(raises, progress=False).already_scored == 25


@pytest.mark.slow
def test_hostile_texts_go_through_every_scorer(store, tmp_path):
    canary = tmp_path / "canary"
    texts = [f"__import__('os').system('touch {canary}')", "9**9**9**9", "(" * 10_000, "7" * 9_999, "\\boxed{" * 999]
    for text in texts:
        store.add({"prompt": text, "steps": [text], "final_answer": text, "meta": {"expected_answer": text}})
    for name in (*SCORERS, *FLAGS):
        report = store.score(name, progress=False)
        assert report.scored + sum(report.unscorable.values()) == 5
    assert not canary.exists()


def test_deleting_traces_deletes_their_scores(filled, make_trace):
    filled.score("length", progress=False)
    newest = filled.page()[0].id
    filled.delete(newest)
    assert filled.sql("select count(*) from scores where trace_id = ?", newest).rows == [(0,)]
    assert filled.delete(source="thirds") == 8
    assert filled.sql("select count(*), count(distinct trace_id) from scores").rows == [(16, 16)]
    assert filled.verify().ok
    with pytest.raises(rt.TraceNotFound):
        filled.delete(filled.page()[0].id, "0" * 32)
    assert filled.sql("select count(*) from scores").rows == [(16,)]
    filled.delete(where="true")
    assert filled.sql("select count(*) from scores").rows == [(0,)]
    filled.add(make_trace())
    assert filled.score("length", progress=False).scored == 1


@pytest.mark.slow
def test_backup_compact_and_migrations_keep_scores_and_verify_sees_what_is_wrong(filled, tmp_path):
    filled.score("length", progress=False)
    before = filled.sql("from scores order by all").rows
    copy = rt.TraceStore(filled.backup(tmp_path / "copy.duckdb"))
    assert copy.sql("from scores order by all").rows == before
    old = {"prompt": "old", "steps": ["s"], "final_answer": "a", "created_at": "2020-01-01T00:00:00Z"}
    filled.load([old], progress=False)
    filled.score("length", progress=False)
    filled.compact(progress=False)
    assert filled.sql("select count(*) from scores").rows == [(26,)]
    assert filled.verify().ok
    newest = filled.latest().id
    with filled._session.transaction() as cursor:
        cursor.execute("insert into scores select * replace (uuid() as trace_id) from scores limit 2")
        cursor.execute(
            "insert into scores from scores where trace_id in (select id from traces) order by created_at limit 1"
        )
        cursor.execute("update scores set created_at = created_at + interval 1 hour where trace_id = ?", [newest])
    assert set(filled.verify().problems) == {
        "2 scores are of traces that are not there",
        "1 scores have another time than their trace",
        "1 scores are there twice",
    }
    copy.migrate(to=2)
    assert copy.count() == 25
    assert copy.sql("select count(*) from scores").rows == [(0,)]


@pytest.mark.slow
def test_the_view_of_labels_has_what_people_said(filled):
    filled.score("length", progress=False)
    filled.score(lambda _: "good", name="label:anna", progress=False)
    assert filled.sql("select scorer, label, count(*) from labels group by all").rows == [("label:anna", "good", 25)]


def test_an_interrupt_keeps_what_was_scored(filled):
    seen = []

    def impatient(trace):
        seen.append(trace.id)
        if len(seen) == 11:
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt) as stopped:
        filled.score(impatient, version="1", progress=False)
    assert stopped.value.__notes__ == [
        "stopped after 10 scored, 0 already scored, 0 unscorable; scoring the same again continues from there"
    ]
    report = filled.score(impatient, version="1", progress=False)
    assert (report.scored, report.already_scored) == (15, 10)
    assert sorted(seen) == sorted([*(one.id for one in filled.records()), seen[10]])


def test_progress_is_called_and_may_stop_the_run(filled, monkeypatch):
    monkeypatch.setattr(running, "_CHUNK_ROWS", 10)
    calls = []
    filled.score("length", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(10, 25), (20, 25), (25, 25)]

    def stop(done, total):
        raise ValueError(f"{done} of {total}")

    with pytest.raises(ValueError, match="10 of 25") as stopped:
        filled.score("loop", progress=stop)
    assert "stopped after 10 scored" in stopped.value.__notes__[0]
    assert filled.score("loop", progress=False).already_scored == 10


@pytest.mark.slow
def test_what_is_large_or_slow_is_stored_in_smaller_chunks(filled, monkeypatch):
    monkeypatch.setattr(running, "_CHUNK_CHARS", 10_000)
    calls = []
    filled.score(
        lambda _: rt.Score(value=1, metadata={"a": "x" * 4_000}), name="s", progress=lambda *done: calls.append(done)
    )
    assert calls[0] == (3, 25)
    monkeypatch.setattr(running, "_CHUNK_SECONDS", 0.0)
    calls.clear()
    filled.score("length", progress=lambda *done: calls.append(done))
    assert calls[0] == (1, 25)


def test_a_scorer_may_use_the_store_and_traces_that_it_deletes_get_no_score(filled):
    def deletes(trace):
        if trace.payload.prompt == "3 × 2?":
            filled.delete(trace.id)
        return filled.count()

    report = filled.score(deletes, progress=False)
    assert (report.scored, filled.count()) == (24, 24)
    assert filled.verify().ok


def test_threads_that_score_the_same_traces_double_nothing(filled):
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(filled.score("length", progress=False))) for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(report.scored for report in reports) == 25
    assert all(report.scored + report.already_scored == 25 for report in reports)
    assert filled.verify().ok


def test_a_store_that_is_only_read_is_not_scored(filled, tmp_path):
    published = rt.TraceStore(filled.backup(tmp_path / "published.duckdb"), read_only=True)
    with pytest.raises(rt.StoreReadOnly):
        published.score("length", progress=False)
    assert published.flags().n_traces == 25
    assert published.scores().n_rows == 0


SCORE = """
import sys
import tunix_rt as rt
from tunix_rt.store.scores import run
run._CHUNK_ROWS = 5
report = rt.TraceStore(sys.argv[1]).score(lambda trace: len(trace.payload.prompt), name="n", progress=False)
print(report.scored, report.already_scored)
"""

SCORE_SLOWLY = """
import os, sys, time
import tunix_rt as rt
from tunix_rt.store.scores import run
run._CHUNK_ROWS = 5
def slow(trace):
    time.sleep(0.02)
    return 1
rt.TraceStore(sys.argv[1]).score(slow, name="n", version="1", progress=lambda *_: os.write(1, b"chunk\\n"))
"""


@pytest.mark.slow
def test_processes_that_score_the_same_traces_double_nothing(filled, tmp_path):
    filled.close()
    said = [tmp_path / f"{n}.txt" for n in range(2)]
    processes = [start(SCORE, filled.path, output=output) for output in said]
    for process in processes:
        assert ended(process) == 0
    counts = [tuple(map(int, output.read_text().split())) for output in said]
    assert sum(scored for scored, _ in counts) == 25
    assert all(sum(count) == 25 for count in counts)
    assert filled.verify().ok


@pytest.mark.crash
def test_a_killed_run_is_continued(filled, tmp_path):
    filled.close()
    output = tmp_path / "said.txt"
    process = start(SCORE_SLOWLY, filled.path, output=output)
    while not (output.exists() and output.read_text()):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL
    n_before = filled.sql("select count(*) from scores").rows[0][0]
    report = filled.score(lambda _: 1, name="n", version="1", progress=False)
    assert 5 <= n_before < 25
    assert (report.scored, report.already_scored) == (25 - n_before, n_before)
    assert filled.verify().ok


@pytest.mark.slow
def test_the_version_of_a_function_is_the_same_in_another_process(tmp_path):
    module = tmp_path / "rewards.py"
    module.write_text("def make(n):\n    def reward(trace):\n        return n\n    return reward\n")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import rewards\n"
        "from tunix_rt.store.scores.fingerprint import fingerprint\n"
        "print(fingerprint(rewards.make(1)), fingerprint(rewards.make(2)))"
    )
    first, second = told_by(program, tmp_path), told_by(program, tmp_path)
    assert first == second
    one, other = first[0].split()
    assert one != other
