"""What trainers write while they run: each shape as a file of its own, and the traces that come of it."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tunix_rt.formats import READABLE, Draft, Row
from tunix_rt.formats.rows.meta_values import literal


def write(path, rows):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), buffer)
        path.write_bytes(buffer.getvalue())
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def loaded(store, path, rows, *, source):
    """The traces of a file with these rows, oldest first."""
    report = store.load(write(path, rows))
    assert (report.format, report.rejected) == (source, [])
    return [record.payload for record in store.records(newest_first=False)]


def trace(meta, prompt="2 + 2?", steps=("Two and two make four",), final_answer="4"):
    version = "1.0" if steps and prompt and final_answer is not None else "1.1"
    return rt.Trace(prompt=prompt, steps=steps, final_answer=final_answer, meta=meta, trace_version=version)


def test_trl_completions_with_one_reward(store):
    row = {
        "step": 10,
        "prompt": "2 + 2?",
        "completion": "<think>Two and two make four</think>4",
        "exact": 1.0,
        "advantage": 0.5,
    }
    (found,) = loaded(store, "completions/completions_00010.parquet", [row], source="trl_completions")
    meta = {"training_step": 10, "reward": 1.0, "extra": {"advantage": 0.5}}
    assert found == trace({"source": "trl_completions"} | meta)


def test_trl_completions_with_several_rewards_and_messages(store):
    row = {
        "step": "3",
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
        "completion": [{"role": "assistant", "content": "4", "reasoning_content": "Two and two make four"}],
        "exact": 1.0,
        "brevity": None,
        "advantage": float("nan"),
        "mode": "train",
    }
    (found,) = loaded(store, "c.parquet", [row], source="trl_completions")
    assert found == trace(
        {
            "source": "trl_completions",
            "training_step": 3,
            "rewards": {"exact": 1.0, "brevity": None},
            "system": "Be brief.",
            "extra": {"advantage": None, "mode": "train"},
        }
    )


def test_a_completion_with_tools_has_a_step_for_each_thing_said_done_and_seen(store):
    completion = [
        {
            "role": "assistant",
            "content": "<think>I need a calculator.</think>Calling it.",
            "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}],
        },
        {"role": "tool", "name": "add", "content": "4"},
        {"role": "assistant", "content": "<think>So it is.</think>4"},
    ]
    row = {"step": 1, "prompt": "2 + 2?", "completion": completion, "r": 0, "advantage": 0}
    (found,) = loaded(store, "c.jsonl", [row], source="trl_completions")
    assert [(step.type, step.content) for step in found.steps] == [
        ("step", "I need a calculator."),
        ("message", "Calling it."),
        ("tool_call", 'add({"a": 2, "b": 2})'),
        ("observation", "4"),
        ("step", "So it is."),
    ]
    assert found.final_answer == "4"
    assert found.meta["extra"]["completion"] == completion


def test_verl_keeps_the_rendered_prompt_and_takes_the_step_from_the_row_or_the_file(store):
    prompt = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    row = {"input": prompt, "output": "<think>Two and two make four</think>4", "gts": "4", "score": 1.0, "acc": True}
    found = loaded(store, "rollouts/40.jsonl", [row | {"step": 7}, row], source="verl")
    meta = {"source": "verl", "expected_answer": "4", "reward": 1.0, "extra": {"acc": True}}
    assert found == [trace(meta | {"training_step": 7}, prompt), trace(meta | {"training_step": 40}, prompt)]


UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("uid", "meta"),
    [
        (UUID, {"group": UUID}),
        (UUID.replace("-", ""), {"group": UUID.replace("-", "")}),
        ("12_3_0", {"group": "12", "sample": 3, "extra": {"uid": "12_3_0"}}),
        (f"{UUID}_3_1", {"group": UUID, "sample": 3, "extra": {"uid": f"{UUID}_3_1"}}),
        ("12_3", {"extra": {"uid": "12_3"}}),
        ("task-7", {"extra": {"uid": "task-7"}}),
        (7, {"extra": {"uid": 7}}),
    ],
)
def test_the_uid_of_verl_names_the_group_and_a_uuid_is_never_split(store, uid, meta):
    (trace,) = loaded(
        store, "t.jsonl", [{"input": "p", "output": "4", "gts": "4", "score": 1.0, "uid": uid}], source="verl"
    )
    assert trace.meta == {"source": "verl", "expected_answer": "4", "reward": 1.0} | meta


def test_verl_s_rollout_without_an_end_is_truncated(store):
    row = {"input": "2 + 2?", "output": "<think>2 + 2 =", "gts": None, "score": float("nan"), "step": 1}
    (found,) = loaded(store, "1.jsonl", [row], source="verl")
    meta = {"source": "verl", "truncated": True, "training_step": 1}
    assert found == trace(meta, steps=["2 + 2 ="], final_answer=None)


NEMO = {"token_ids": [[1, 2, 3]], "generation_logprobs": [[-0.1, -0.2, float("nan")]], "input_lengths": [3], "idx": 0}


def test_nemo_rl_writes_batches_of_one(store):
    row = {
        "content": [["2 + 2?", "<think>Two and two make four</think>4"]],
        "rewards": [1.0],
        "advantages": [[0.1, 0.1]],
    } | NEMO
    (found,) = loaded(store, "train_data_step12.jsonl", [row], source="nemo_rl")
    meta = {"reward": 1.0, "training_step": 12, "extra": {"input_lengths": 3, "idx": 0}}
    assert found == trace({"source": "nemo_rl"} | meta)


def test_nemo_rl_with_several_samples_in_a_row_gives_a_trace_for_each(store):
    content = ["<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n", "no template"]
    row = {"content": content, "rewards": [1.0, 0.0], "step": 2}
    first, second = loaded(store, "r.jsonl", [row], source="nemo_rl")
    prompt = content[0].removesuffix("4<|im_end|>\n")
    meta = {"source": "nemo_rl", "training_step": 2}
    assert first == trace(meta | {"reward": 1.0, "sample": 0}, prompt, [])
    assert second == trace(meta | {"reward": 0.0, "sample": 1}, "", [], "no template")


def test_nemo_rl_s_validation_has_messages(store):
    content = [
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4", "token_ids": [4]},
        {"role": "environment", "content": "correct"},
    ]
    (found,) = loaded(store, "val_data_step3.jsonl", [{"content": content, "rewards": 1.0}], source="nemo_rl")
    assert [(step.type, step.content) for step in found.steps] == [("observation", "correct")]
    assert (found.prompt, found.final_answer, found.meta["training_step"]) == ("2 + 2?", "4", 3)
    kept = [content[0], {"role": "assistant", "content": "4"}, content[2]]
    assert found.meta["extra"] == {"content": kept}


def test_verifiers(store):
    row = {
        "example_id": 5,
        "prompt": [{"role": "user", "content": "2 + 2?"}],
        "completion": [{"role": "assistant", "content": "<think>Two and two make four</think>4"}],
        "answer": "4",
        "reward": 1.0,
        "metrics": {"format": 1.0, "speed": float("inf")},
        "is_truncated": False,
        "stop_condition": "max_turns",
    }
    failed = row | {"completion": None, "error": {"error": "Timeout"}, "reward": 0.0, "is_truncated": True}
    found = loaded(store, "results.jsonl", [row, failed], source="verifiers")
    meta = {"source": "verifiers", "expected_answer": "4", "finish_reason": "max_turns", "group": 5}
    metrics = {"metrics": {"format": 1.0, "speed": None}}
    assert found == [
        trace(meta | {"reward": 1.0, "extra": metrics}),
        trace(
            meta | {"reward": 0.0, "truncated": True, "extra": metrics | {"error": {"error": "Timeout"}}},
            steps=[],
            final_answer=None,
        ),
    ]


def test_google_tunix_s_trajectories_as_json(store):
    row = {
        "conversation_text": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "<think>Two and two make four</think>4"},
        ],
        "prompt_tokens": [1, 2],
        "conversation_masks": [0, 1],
        "old_logprobs": None,
        "status": "SUCCEEDED",
        "trajectory_reward": 1.0,
        "policy_version": 6,
        "original_input": {"question": "2 + 2?", "answer": "4"},
        "group_id": 17,
    }
    (found,) = loaded(store, "trajectory_log_1.jsonl", [row], source="tunix_trajectories")
    assert found == trace(
        {
            "source": "tunix_trajectories",
            "expected_answer": "4",
            "reward": 1.0,
            "training_step": 6,
            "finish_reason": "SUCCEEDED",
            "group": 17,
            "system": "Be brief.",
            "extra": {"original_input": row["original_input"]},
        }
    )


TRL = {"step": 1, "prompt": "p", "completion": "c", "r": 1.0, "advantage": 0.0}


def said(**message):
    return {"completion": [{"role": "assistant"} | message]}


VERIFIERS = {"example_id": 1, "prompt": "p", "completion": "c", "reward": 1.0}


@pytest.mark.parametrize(
    ("name", "row", "field", "reason"),
    [
        ("trl_completions", TRL | {"prompt": 3}, "prompt", "must be a string or a list of messages"),
        ("trl_completions", {"step": 1, "prompt": "p"}, "completion", "missing"),
        ("trl_completions", TRL | {"prompt": ["p"]}, "prompt.0", "must be an object"),
        ("trl_completions", TRL | {"prompt": [{"content": "p"}]}, "prompt.0.role", "missing"),
        ("trl_completions", TRL | said(content=3), "completion.0.content", "must be a string or a list of parts"),
        ("trl_completions", TRL | said(tool_calls=3), "completion.0.tool_calls", "must be a list"),
        ("trl_completions", TRL | said(reasoning=[3]), "completion.0.reasoning.0", "must be an object"),
        ("trl_completions", TRL | said(content=[3]), "completion.0.content.0", "must be an object"),
        ("trl_completions", TRL | said(content=[{"type": 3}]), "completion.0.content.0.type", "must be a string"),
        ("trl_completions", TRL | {"completion": {"role": "tool"}}, "completion", "must be a string"),
        ("trl_completions", TRL | {"step": "soon"}, "step", "must be a number"),
        ("verifiers", VERIFIERS | {"reward": [1]}, "reward", "must be a number"),
        ("verifiers", VERIFIERS | {"is_truncated": "yes"}, "is_truncated", "must be true or false"),
        ("verifiers", VERIFIERS | {"completion": "a\0b"}, "final_answer", "contains a NUL character (U+0000"),
        ("verl", {"input": 3, "output": "o", "score": 1}, "input", "must be a string"),
        ("verl", {"input": "i", "output": "o", "score": {}}, "score", "must be a number"),
        ("nemo_rl", {"rewards": 1}, "content", "missing"),
        ("nemo_rl", {"content": 3, "rewards": 1}, "content", "must be a string or a list of messages"),
        ("nemo_rl", {"content": ["a", "b", "c"], "rewards": [1, 0]}, "rewards", "2 for 3 samples in content"),
        ("tunix_trajectories", {"conversation_text": []}, "conversation_text", "has no messages"),
        ("tunix_trajectories", {"conversation_text": "[nan"}, "conversation_text", "is not a valid Python literal"),
    ],
)
def test_a_wrong_type_is_told_by_its_path(same_store, name, row, field, reason):
    report = same_store.load(write("r.jsonl", [row]), format=name)
    (rejected,) = report.rejected
    assert (report.added, rejected.line, rejected.field) == (0, 1, field)
    assert rejected.reason.startswith(reason)


def test_a_row_that_is_no_object_is_told(store):
    report = store.load(write("r.jsonl", [TRL, [1]]))
    assert [(found.field, found.reason) for found in report.rejected] == [(None, "must be an object, not a list")]


def test_what_nests_too_deeply_is_told(store):
    deep = 1
    for _ in range(200):
        deep = [deep]
    report = store.load(write("r.jsonl", [TRL | {"deep": deep}, TRL]))
    assert [(found.line, found.field) for found in report.rejected] == [(1, "meta")]


@pytest.mark.parametrize(
    "cell",
    [
        "__import__('os')",
        "[" * 5_000,
        "(" * 90 + "x",
        "[1",
        "print",
        "-" * 100_000 + "1",
        "9" * 10_000,
        "f'{1}'",
        "{[]: 1}",
    ],
)
def test_a_cell_that_is_no_literal_is_told_and_nothing_is_run(cell):
    with pytest.raises(rt.TraceInvalid, match="cell: is not a valid Python literal"):
        literal(cell, "cell")


NAMES = [
    "step prompt completion advantage reward input output gts score content rewards advantages token_ids example_id",
    "answer metrics is_truncated stop_condition conversation_text trajectory_reward status policy_version group_id",
    "original_input role type text tool_calls function arguments reasoning_content",
]
keys = st.sampled_from(" ".join(NAMES).split()) | st.text(max_size=3)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["assistant"])
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5))
messages = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": anything}))


@pytest.mark.slow
@given(
    st.sampled_from(["trl_completions", "verl", "nemo_rl", "verifiers", "tunix_trajectories"]),
    st.dictionaries(keys, anything | messages, max_size=12) | anything,
)
def test_no_row_whatsoever_raises_anything_but_trace_invalid(name, value):
    known = READABLE[name]
    if isinstance(value, dict):
        known.misfit(value)
    try:
        found = list(known.drafts(Row("40.jsonl", 1, value=value)))
    except rt.TraceInvalid:
        return
    assert all(isinstance(draft, Draft | rt.TraceInvalid) for draft in found)


def test_rows_of_one_source_are_not_taken_for_those_of_another():
    rows = {
        "trl_completions": TRL,
        "verifiers": VERIFIERS,
        "verl": {"input": "i", "output": "o", "score": 1, "gts": "g", "step": 1},
        "nemo_rl": {"content": "c", "rewards": 1},
        "tunix_trajectories": {"conversation_text": "[]", "trajectory_reward": "1", "status": "S"},
        "gsm8k": {"question": "q", "answer": "#### 4"},
        "trace": {"prompt": "p", "steps": ["s"], "final_answer": "a"},
    }
    for name, row in rows.items():
        # The generic one, which comes last, takes what has a prompt and a completion.
        taken = [known.name for known in READABLE.values() if known.misfit(row) is None]
        assert [one for one in taken if one != "prompt_completion"] == [name]
