"""Rollouts that trainers keep as they go: verifiers v1 and prime-rl, Trackio, and google/tunix's fields of ATIF."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import load, told
from tests.spoiled import only_refuses, spoiled
from tunix_rt.formats import READABLE

ASKED = {"role": "user", "content": "2 + 2?"}
SAID = {"role": "assistant", "content": "4", "reasoning_content": "Two and two."}
TRACE = {
    "id": "t1",
    "task": {"type": "Sums", "data": {"answer": "4", "prompt": "2 + 2?"}, "key": "k"},
    "agent": {"name": "solver", "trainable": True},
    "nodes": [
        {"message": {"role": "system", "content": "Be brief."}, "sampled": False},
        {"parent": 0, "message": ASKED, "sampled": False, "token_ids": [1, 2], "is_content": [True, False]},
        {"parent": 1, "message": SAID, "sampled": True, "token_ids": [3], "mask": [True], "advantages": [0.5]},
    ],
    "calls": [{"node": 2, "model": "small", "finish_reason": "stop", "usage": {"prompt_tokens": 2}}],
    "rewards": {"right": {"score": 1.0, "weight": 1.0}, "brief": {"score": 0.5, "weight": 0.5}},
    "metrics": {"turns": 1.0},
    "ok": True,
    "stop_condition": "agent_completed",
}
EPISODE = {
    "id": "e1",
    "env": {"id": "sums", "name": "sums"},
    "task": TRACE["task"],
    "group": {"id": "g7"},
    "run": {"type": "train", "id": "r1", "work": {"type": "train", "step": 12, "policy": {"start": 11, "end": 12}}},
    "ok": True,
    "traces": [TRACE],
}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "name": "add", "arguments": "[2, 2]"}]}
SEEN = {"role": "tool", "tool_call_id": "c", "content": "4"}
LOGGED = {
    "id": "r:1:rollout",
    "run_id": "r",
    "timestamp": "2026-01-02T03:04:05",
    "run_name": "grpo",
    "step": 40,
    "key": "rollout",
    "trace_index": 0,
    "messages": json.dumps([ASKED, {"role": "assistant", "content": "<think>Two and two.</think>4"}]),
    "metadata": json.dumps({"reward": 1.0, "advantage": 0.5, "group_id": "g7", "correct": True}),
    "log_id": None,
    "space_id": None,
}
TUNIX = {
    "schema_version": "ATIF-v1.7",
    "trajectory_id": "t1",
    "agent": {"name": "agent", "version": "1.0"},
    "prompt_id": "step_1_prompt_0",
    "group_offset_id": "3",
    "status": "MAX_STEPS_REACHED",
    "total_reward": 0.5,
    "steps": [
        {"step_id": 0, "source": "user", "message": "2 + 2?", "reward": 0.0, "env_tokens": [1]},
        {"step_id": 1, "source": "agent", "message": "4", "policy_version": 5, "assistant_tokens": [1, 2]},
    ],
}
ROWS = {"verifiers_traces": EPISODE, "trackio": LOGGED, "atif": TUNIX}


def texts(trace):
    return trace.prompt, [step.content for step in trace.steps], trace.final_answer


def test_an_episode_of_verifiers(store):
    report, (found,) = load(store, EPISODE, to="traces.jsonl")
    assert report.format == "verifiers_traces"
    assert texts(found) == ("2 + 2?", ["Two and two."], "4")
    meta = dict(found.meta)
    extra = meta.pop("extra")
    assert meta == {
        "source": "verifiers_traces",
        "model": "small",
        "expected_answer": "4",
        "reward": 1.25,
        "rewards": {"right": 1.0, "brief": 0.5},
        "finish_reason": "stop",
        "group": "g7",
        "run": "r1",
        "training_step": 12,
        "policy_version": 11,
        "system": "Be brief.",
    }
    assert (extra["env"], extra["stop_condition"], extra["agent"]["name"]) == (
        EPISODE["env"],
        "agent_completed",
        "solver",
    )
    assert "nodes" not in extra
    assert extra["calls"] == TRACE["calls"]


def test_a_trace_alone_and_an_episode_of_several_agents(store):
    judge = TRACE | {"agent": {"name": "judge"}, "rewards": {"right": 1}, "stop_condition": "max_turns", "calls": []}
    _, found = load(store, TRACE, EPISODE | {"traces": [TRACE, judge]})
    assert [texts(one)[2] for one in found] == ["4", "4", "4"]
    assert [one.meta.get("truncated") for one in found] == [None, None, True]
    assert [one.meta.get("group") for one in found] == [None, "g7", "g7"]
    assert (found[2].meta["reward"], found[2].meta.get("rewards")) == (1.0, {"right": 1})


def test_each_branch_is_a_trace_and_a_call_is_a_step(store):
    nodes = [
        *TRACE["nodes"][:2],
        {"parent": 1, "message": CALLED, "sampled": True},
        {"parent": 2, "message": SEEN},
        {"parent": 3, "message": SAID, "sampled": True},
        {"parent": 1, "message": {"role": "assistant", "content": "5"}, "sampled": True},
    ]
    _, found = load(store, EPISODE | {"traces": [TRACE | {"nodes": nodes}]})
    assert [texts(one) for one in found] == [
        ("2 + 2?", ["add([2, 2])", "4", "Two and two."], "4"),
        ("2 + 2?", [], "5"),
    ]
    assert [one.meta["extra"]["branch"] for one in found] == [0, 1]
    assert [node["message"]["role"] for node in found[0].meta["extra"]["nodes"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]


def test_an_answer_that_was_given_as_an_example_is_part_of_the_prompt(store):
    shots = [
        {"message": {"role": "user", "content": "1 + 1?"}},
        {"parent": 0, "message": {"role": "assistant", "content": "2"}, "sampled": False},
        {"parent": 1, "message": ASKED},
        {"parent": 2, "message": SAID, "sampled": True},
    ]
    _, (found,) = load(store, EPISODE | {"traces": [TRACE | {"nodes": shots}]})
    assert found.prompt == "User: 1 + 1?\n\nAssistant: 2\n\nUser: 2 + 2?"
    assert found.final_answer == "4"


def test_what_failed_is_told(store):
    failed = [{"type": "ProviderError", "message": "no answer"}]
    report, found = load(
        store,
        EPISODE,
        EPISODE | {"traces": [], "errors": failed},
        EPISODE | {"traces": [TRACE | {"nodes": [], "errors": failed}, TRACE, 3]},
        EPISODE | {"traces": [TRACE | {"nodes": TRACE["nodes"][:2]}]},
        EPISODE | {"traces": [TRACE | {"nodes": [{"parent": 0, "message": ASKED}]}]},
        EPISODE | {"traces": [TRACE | {"rewards": {"right": {"score": "high"}}}]},
    )
    assert len(found) == 2
    assert told(report) == [
        ("traces", "there are none: ProviderError: no answer"),
        ("traces.0.nodes", "has no messages: ProviderError: no answer"),
        ("traces.2", "must be an object"),
        ("traces.0.nodes", "has no message of the model"),
        ("traces.0.nodes.0.parent", "must be a node before this one"),
        ("traces.0.rewards.right.score", "must be a number"),
    ]


def test_trackio_s_parquet(store):
    pq.write_table(pa.Table.from_pylist([LOGGED | {"search_text": "2 + 2? 4"}]), "sums_traces.parquet")
    report = store.load("sums_traces.parquet")
    assert (report.format, report.added) == ("trackio", 1)
    (found,) = (record.payload for record in store.records())
    assert texts(found) == ("2 + 2?", ["Two and two."], "4")
    assert found.meta == {
        "source": "trackio",
        "run": "grpo",
        "training_step": 40,
        "group": "g7",
        "reward": 1.0,
        "correct": True,
        "extra": {name: LOGGED[name] for name in ("id", "run_id", "timestamp", "key", "trace_index")}
        | {"metadata": {"advantage": 0.5}},
    }


def test_what_is_wrong_in_trackio_s_columns_is_told(store):
    report, found = load(
        store,
        LOGGED,
        LOGGED | {"messages": "[1"},
        LOGGED | {"messages": []},
        LOGGED | {"metadata": "[1]"},
        LOGGED | {"metadata": None},
    )
    assert len(found) == 2
    assert [field for field, _ in told(report)] == ["messages", "messages", "metadata"]


def test_tunix_s_fields_of_atif(store):
    _, (found,) = load(store, TUNIX)
    assert texts(found) == ("2 + 2?", [], "4")
    meta = {name: found.meta[name] for name in found.meta if name not in {"source", "extra"}}
    assert meta == {
        "group": "step_1_prompt_0",
        "sample": 3,
        "reward": 0.5,
        "finish_reason": "MAX_STEPS_REACHED",
        "truncated": True,
        "policy_version": 5,
    }
    assert not {"prompt_id", "group_offset_id", "status", "total_reward"} & found.meta["extra"].keys()


def test_tunix_s_folder_counts_steps_from_0(store):
    folder = Path("run/traj_t1")
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text(json.dumps({name: TUNIX[name] for name in TUNIX if name != "steps"}))
    for step in TUNIX["steps"]:
        (folder / f"step_{step['step_id']:06d}.json").write_text(json.dumps(step))
    report = store.load("run")
    assert (report.format, report.added) == ("atif", 1)
    (found,) = (record.payload for record in store.records())
    assert (found.meta["sample"], found.meta["policy_version"]) == (3, 5)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "SUCCEEDED"}, {"finish_reason": "SUCCEEDED", "truncated": None}),
        ({"status": ["x"], "prompt_id": {"a": 1}}, {"finish_reason": None, "group": None}),
        ({"group_offset_id": "group_abc"}, {"sample": "group_abc"}),
        ({"group_offset_id": "9" * 5_000}, {"sample": "9" * 5_000}),
        ({"total_reward": None}, {"reward": None}),
    ],
)
def test_odd_values_of_tunix_s_fields(store, fields, expected):
    _, (found,) = load(store, TUNIX | fields)
    assert {name: found.meta.get(name) for name in expected} == expected
    assert all(found.meta["extra"][name] == item for name, item in fields.items() if isinstance(item, list | dict))


def test_steps_of_several_policies_name_none(store):
    steps = [*TUNIX["steps"], TUNIX["steps"][1] | {"step_id": 2, "policy_version": 6}]
    _, (found,) = load(store, TUNIX | {"steps": steps})
    assert "policy_version" not in found.meta
    assert [step["policy_version"] for step in found.meta["extra"]["steps"] if "policy_version" in step] == [5, 6]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_not_taken_for_that_of_another_family(name):
    assert next(one.name for one in READABLE.values() if one.misfit(ROWS[name]) is None) == name


@pytest.mark.slow
@given(st.data())
def test_spoiled_rows_are_taken_or_refused(data):
    name = data.draw(st.sampled_from(sorted(ROWS)))
    examples = {"verifiers_traces": [EPISODE, TRACE], "trackio": [LOGGED, LOGGED | {"messages": [ASKED, SAID]}]}
    assert only_refuses(name, data.draw(spoiled(*examples.get(name, [ROWS[name]]))))


# Trackio's table, as it creates it.
TABLE = """
create table traces (
    id text primary key, run_id text not null, timestamp text not null, run_name text not null, step integer not null,
    key text not null, trace_index integer, messages text not null, metadata text not null, search_text text not null,
    log_id text, space_id text
)
"""


def logged(n, **fields):
    row = LOGGED | {"id": f"r:{n}", "step": n, "search_text": "x"} | fields
    # Trackio writes the bytes of its JSON.
    return {name: item.encode() if name in {"messages", "metadata"} else item for name, item in row.items()}


def insert(database, *rows):
    for row in rows:
        marks = ", ".join(f":{name}" for name in row)
        database.execute(f"insert into traces ({', '.join(row)}) values ({marks})", row)
    database.commit()


def trackio_file(path, n=3, mode="wal"):
    """A database of Trackio, still open."""
    database = sqlite3.connect(path, check_same_thread=False)
    database.execute(f"pragma journal_mode = {mode}")
    database.execute(TABLE)
    insert(database, *(logged(n) for n in range(n)))
    return database


def names():
    return sorted(path.name for path in Path().iterdir() if path.name.startswith("sums"))


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_trackio_s_file_at_rest_is_read_and_nothing_comes_to_be_beside_it(store, mode):
    trackio_file("sums.db", n=150, mode=mode).close()
    before = names()
    report = store.load("sums.db")
    assert (report.format, report.added, report.rejected) == ("trackio", 150, [])
    found = [record.payload for record in store.records(newest_first=False)]
    assert [one.meta["training_step"] for one in found] == list(range(150))
    assert texts(found[0]) == ("2 + 2?", ["Two and two."], "4")
    assert names() == before == ["sums.db"]


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_trackio_s_file_is_read_while_its_writer_goes_on(store, mode):
    with closing(trackio_file("sums.db", mode=mode)) as database:
        before = names()
        assert store.load("sums.db").added == 3
        assert names() == before
        # Nobody keeps the writer from its next row.
        database.execute("pragma busy_timeout = 0")
        insert(database, logged(3))
        assert store.load("sums.db").added == 1
        assert names() == before


def test_what_is_not_committed_is_not_read(store):
    with closing(trackio_file("sums.db")) as database:
        database.execute("delete from traces")
        assert store.load("sums.db").added == 3
        database.rollback()


@pytest.mark.slow
def test_a_writer_that_adds_during_the_load_loses_nothing(store):
    with closing(trackio_file("sums.db", n=200)) as database:
        done = threading.Event()

        def write():
            for n in range(200, 300):
                insert(database, logged(n))
            done.set()

        thread = threading.Thread(target=write)
        thread.start()
        report = store.load("sums.db")
        thread.join()
        assert done.is_set()
        assert report.rejected == []
        store.load("sums.db")
        assert store.count() == 300


def test_a_log_that_a_killed_writer_left_is_read_from_a_copy(store):
    with closing(trackio_file("live.db")):
        # As the files of a process that was killed are found: with its log, without its index.
        Path("sums.db").write_bytes(Path("live.db").read_bytes())
        Path("sums.db-wal").write_bytes(Path("live.db-wal").read_bytes())
    assert store.load("sums.db").added == 3
    assert names() == ["sums.db", "sums.db-wal"]


def test_a_row_that_is_damaged_or_too_large_takes_no_other_with_it(store, monkeypatch):
    monkeypatch.setattr("tunix_rt.formats.reading.MAX_ROW_BYTES", 10_000)
    with closing(trackio_file("sums.db", n=1)) as database:
        insert(database, logged(1, messages="[1"), logged(2, messages="x" * 20_000), logged(3, space_id=None))
        database.execute("update traces set run_name = cast(x'ff41' as text) where step = 3")
        database.commit()
    report = store.load("sums.db")
    assert report.added == 1
    assert [(one.line, one.field) for one in report.rejected] == [(2, "messages"), (3, None), (4, "meta.run")]
    assert report.rejected[1].reason == "exceeds maximum of 10,000 bytes for a row"


def test_the_numbers_of_rows_may_be_any_that_sqlite_has(store):
    with closing(trackio_file("sums.db", n=3)) as database:
        for n, rowid in enumerate((-(2**63), 0, 2**63 - 1)):
            database.execute("update traces set rowid = ? where step = ?", (rowid, n))
        database.commit()
    assert store.load("sums.db").added == 3
    with closing(trackio_file("sums-none.db", n=0)):
        pass
    with pytest.raises(rt.SourceInvalid, match="has no traces: it has no rows"):
        store.load("sums-none.db")


def test_a_database_of_somebody_else_is_refused_by_name(store):
    with closing(sqlite3.connect("other.db")) as database:
        database.execute("create table users (name)")
        database.execute("create view traces as select name as messages, 1 as metadata from users")
    with pytest.raises(rt.SourceInvalid, match=r"is a SQLite database without Trackio's traces \(its tables: users\)"):
        store.load("other.db")


def test_the_journal_of_a_store_is_refused_by_name(store):
    with rt.TraceStore("kept.duckdb") as other:
        other.add(rt.Trace(prompt="p", steps=["s"], final_answer="a"))
        journal = next(Path().glob("kept*journal"))
        Path("moved.db").write_bytes(journal.read_bytes())
    with pytest.raises(rt.SourceInvalid, match="is the journal of a trace store; open that store"):
        store.load("moved.db")


@pytest.mark.parametrize("where", ["memory", "named otherwise"])
def test_a_database_that_is_not_a_file_named_as_one_is_refused(store, where):
    trackio_file("sums.db").close()
    raw = Path("sums.db").read_bytes()
    Path("sums.bin").write_bytes(raw)
    with pytest.raises(rt.SourceInvalid, match="is a SQLite database; save it, unpacked, as a file whose name ends in"):
        store.load(raw if where == "memory" else "sums.bin")


def test_a_damaged_database_and_one_that_is_none(store):
    trackio_file("sums.db", n=500).close()
    raw = Path("sums.db").read_bytes()
    Path("cut.db").write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))
    with pytest.raises(rt.SourceInvalid, match="damaged SQLite file"):
        store.load("cut.db")
    Path("rows.db").write_text(json.dumps({"prompt": "p", "steps": ["s"], "final_answer": "a"}) + "\n")
    assert store.load("rows.db").added == 1
    Path("empty.db").write_bytes(b"")
    with pytest.raises(rt.SourceInvalid, match="is empty"):
        store.load("empty.db")
