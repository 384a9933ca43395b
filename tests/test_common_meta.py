"""The facts that all sources share: from a row's common names into meta, whatever the format; nothing is lost."""

import json
import math
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather

from tunix_rt.formats import READABLE, Row
from tunix_rt.formats.rows.common_meta import COMMON_NAMES, with_common_meta

ASKED = {"role": "user", "content": "2 + 2?"}
CHAT = {"messages": [ASKED, {"role": "assistant", "content": "4"}]}


def metas_of(format, row):
    traces = [draft.trace for draft in READABLE[format].drafts(Row("t.jsonl", 1, value=row))]
    return [dict(trace["meta"] if isinstance(trace, dict) else trace.meta) for trace in traces]


def meta_of(format, row):
    (meta,) = metas_of(format, row)
    return meta


@pytest.mark.parametrize(
    ("row", "meta"),
    [
        (
            {"reward": 1.0, "correct": True, "expected_answer": "4"},
            {"reward": 1.0, "correct": True, "expected_answer": "4"},
        ),
        ({"reward": True}, {"correct": True}),
        ({"reward": False, "correct": True}, {"correct": True, "extra": {"reward": False}}),
        ({"score": 1}, {"reward": 1}),
        ({"score": 0.5, "acc": True}, {"reward": 0.5, "correct": True}),
        ({"score": True}, {"correct": True}),
        ({"correct": 1}, {"correct": True}),
        ({"is_correct": 0.0}, {"correct": False}),
        ({"correct": 0.5}, {"extra": {"correct": 0.5}}),
        ({"correct": "True", "reward": "0.25"}, {"correct": True, "reward": 0.25}),
        ({"reward": "high"}, {"extra": {"reward": "high"}}),
        ({"reward": None, "group": ""}, {"extra": {"reward": None, "group": ""}}),
        ({"reward": 10**400}, {"reward": 10**400}),
        ({"rewards": {"format": 1, "length": None}}, {"rewards": {"format": 1, "length": None}}),
        ({"rewards": [1, 0]}, {"extra": {"rewards": [1, 0]}}),
        ({"ground_truth": 4, "gold": 5}, {"expected_answer": 4, "extra": {"gold": 5}}),
        ({"expected_answer": ["4", "four"]}, {"extra": {"expected_answer": ["4", "four"]}}),
        ({"training_step": 10, "policy_version": "v3"}, {"training_step": 10, "policy_version": "v3"}),
        ({"group_id": 17, "sample": 2, "run": "r1"}, {"group": 17, "sample": 2, "run": "r1"}),
        ({"sample": -1, "preferred": 1}, {"extra": {"sample": -1, "preferred": 1}}),
        ({"preferred": False, "truncated": False}, {"preferred": False, "truncated": False}),
        ({"generation_model": "m"}, {"model": "m"}),
    ],
)
def test_a_row_s_own_names_have_one_meaning_beside_a_chat(row, meta):
    assert meta_of("messages", CHAT | row) == {"source": "messages"} | meta


@pytest.mark.parametrize(
    ("format", "row"),
    [
        ("gsm8k", {"question": "2 + 2?", "answer": "#### 4"}),
        ("process_bench", {"problem": "p", "steps": ["s"], "label": -1, "final_answer_correct": True}),
        ("stepwise", {"prompt": "p", "completions": ["s"], "labels": [True]}),
        ("prompt_completion", {"prompt": "p", "completion": "c"}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "c"}]}),
        ("anthropic", {"role": "assistant", "content": [{"type": "text", "text": "4"}]}),
        ("openai_responses", {"output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}]}),
        ("atif", {"schema_version": "ATIF-v1.7", "steps": [{"source": "agent", "message": "4"}]}),
        ("verl", {"input": "p", "output": "4", "score": 1, "gts": "4"}),
        ("nemo_rl", {"content": "4", "rewards": 1.0}),
    ],
)
def test_every_family_has_them(format, row):
    meta = meta_of(format, row | {"run": "r1", "group_id": "g", "policy_version": 3})
    assert (meta["run"], meta["group"], meta["policy_version"]) == ("r1", "g", 3)
    assert not meta.get("extra", {}).keys() & {"run", "group_id", "policy_version"}


def test_a_mapping_has_them_too_and_what_it_sets_stays(store):
    row = {"q": "2 + 2?", "a": "4", "score": 0.5, "reward": 1, "finish_reason": "length"}
    Path("t.jsonl").write_text(json.dumps(row))
    store.load("t.jsonl", mapping={"prompt": "q", "final_answer": "a", "meta.reward": "score"})
    assert store.latest().payload.meta == {
        "source": "mapping",
        "reward": 0.5,
        "finish_reason": "length",
        "truncated": True,
        "extra": {"reward": 1},
    }


def test_what_a_reader_sets_itself_is_not_overwritten():
    meta = meta_of("verl", {"input": "p", "output": "4", "score": 1, "gts": "4", "reward": 0.5, "expected_answer": "5"})
    assert (meta["reward"], meta["expected_answer"]) == (1, "4")
    assert meta["extra"] == {"reward": 0.5, "expected_answer": "5"}


def test_of_a_row_with_several_traces_nobody_knows_which_one_a_verdict_is_about():
    choices = [{"index": n, "message": {"content": str(n)}, "finish_reason": "stop"} for n in range(2)]
    for meta in metas_of("chat_completion", {"choices": choices, "correct": True, "ground_truth": "1"}):
        assert meta["expected_answer"] == "1"
        assert "correct" not in meta
        assert meta["extra"]["correct"] is True
    batch = {"content": ["a", "b"], "rewards": [1.0, 0.0], "correct": [True, False]}
    assert [meta["correct"] for meta in metas_of("nemo_rl", batch)] == [True, False]


@pytest.mark.parametrize(
    ("word", "is_cut"),
    [
        *((word, True) for word in ("length", "repetition", "abort", "max_tokens", "MAX_TOKENS", "max_output_tokens")),
        *((word, True) for word in ("incomplete", "MAX_CONTEXT_LIMIT_REACHED", "MAX_STEPS_REACHED", "TIMEOUT")),
        *((word, True) for word in ("ENV_TIMEOUT", "model_context_window_exceeded", "FinishReason.MAX_TOKENS")),
        *((word, False) for word in ("stop", "end_turn", "STOP", "tool_calls", "SUCCEEDED", "FAILED")),
    ],
)
def test_the_word_for_why_it_ended_is_kept_and_says_if_it_was_cut(word, is_cut):
    for row in (CHAT | {"finish_reason": word}, CHAT | {"stop_reason": word}):
        meta = meta_of("messages", row)
        assert (meta["finish_reason"], meta.get("truncated", False)) == (word, is_cut)
    choice = meta_of("chat_completion", {"choices": [{"message": {"content": "4"}, "finish_reason": word}]})
    assert choice.get("truncated", False) is is_cut
    row = {"conversation_text": str(CHAT["messages"]), "trajectory_reward": "1", "status": word}
    assert meta_of("tunix_trajectories", row).get("truncated", False) is is_cut


def test_only_the_source_or_an_open_tag_says_that_a_trace_was_cut():
    def cut(content, **beside):
        row = {"messages": [ASKED, {"role": "assistant", "content": content}], **beside}
        return meta_of("messages", row).get("truncated")

    assert cut("<think>2 +") is True
    assert cut("<think>2 + 2</think>") is None
    assert cut("<think>2 + 2</think><answer>") is True
    assert cut("4", truncated=True) is True
    assert cut("4", truncated=False, finish_reason="length") is False
    assert cut("<think>2 +", truncated=False) is True
    assert cut("<|channel|>analysis<|message|>2 +") is True
    assert cut("<|channel|>analysis<|message|>2 + 2<|end|>") is None
    assert cut("<|channel|>commentary to=functions.add<|message|>{}") is None


WORDS = st.text("abcé {\n", max_size=8) | st.sampled_from(["length", "true", "0", "0.5", "nan"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
NAMED = st.dictionaries(st.sampled_from(COMMON_NAMES) | WORDS, VALUES, max_size=8)
KINDS = {
    "expected_answer": (str, int, float),
    "model": (str,),
    "training_step": (int, float),
    "policy_version": (str, int, float),
    "group": (str, int),
    "run": (str, int),
    "correct": (bool,),
    "reward": (int, float),
    "rewards": (dict,),
    "finish_reason": (str,),
    "truncated": (bool,),
    "sample": (int,),
    "preferred": (bool,),
}


@pytest.mark.slow
@given(NAMED, st.dictionaries(st.sampled_from(sorted(KINDS)), st.just("set"), max_size=3), NAMED)
def test_whatever_a_row_has_under_these_names_is_lifted_or_kept(extra, meta, shared):
    found, left = with_common_meta(meta, extra, shared)
    assert {key: found[key] for key in meta} == meta
    assert left.items() >= {name: item for name, item in extra.items() if name not in COMMON_NAMES}.items()
    assert all(left[name] is extra[name] for name in left)
    lifted = found.keys() - meta.keys()
    n_made = "truncated" in lifted and not {"truncated", "is_truncated"} & (extra.keys() - left.keys())
    assert len(lifted) - n_made == len(extra) - len(left)
    for key in lifted:
        assert isinstance(found[key], KINDS[key])
        assert isinstance(found[key], bool) is (KINDS[key] == (bool,))
        assert not isinstance(found[key], float) or math.isfinite(found[key])


@pytest.mark.slow
@given(NAMED)
def test_a_chat_with_them_is_a_trace_and_loses_none(row):
    row = {name: item for name, item in row.items() if name not in ("source", "system", "messages")}
    meta = meta_of("messages", CHAT | row)
    kept = meta.get("extra", {})
    for name, item in row.items():
        assert name in COMMON_NAMES or kept[name] == item
    was_inferred = "truncated" in meta and not {"truncated", "is_truncated"} & (row.keys() - kept.keys())
    assert len(row) == len(kept) + len(meta.keys() - {"source", "extra"}) - was_inferred


NAN = float("nan")


@pytest.mark.slow
@pytest.mark.parametrize("number", [NAN, math.inf, -math.inf])
def test_nan_and_infinities_outside_of_the_texts_become_null_in_every_container(store, number):

    row = {"prompt": "2 + 2? NaN", "completion": "Infinity", "kl": number, "reward": number}
    text = json.dumps(row)
    Path("a.jsonl").write_text(text + "\n")
    Path("b.json").write_text(f"[{text}]")
    pq.write_table(pa.Table.from_pylist([row]), "c.parquet")
    feather.write_feather(pa.Table.from_pylist([row]), "d.feather")
    for source in ("a.jsonl", "b.json", "c.parquet", "d.feather", [row], pd.DataFrame([row])):
        assert store.load(source).rejected == []
        trace = store.latest().payload
        assert (trace.prompt, trace.final_answer) == ("2 + 2? NaN", "Infinity")
        assert trace.meta["extra"] == {"kl": None, "reward": None}
    native = {"prompt": "p", "steps": ["s"], "final_answer": "NaN", "meta": {"kl": number, "deep": [number]}}
    Path("e.jsonl").write_text(json.dumps(native) + "\n")
    assert store.load("e.jsonl").rejected == []
    assert (store.latest().payload.final_answer, store.latest().payload.meta) == ("NaN", {"kl": None, "deep": [None]})
