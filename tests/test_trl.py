"""What TRL trains on: stepwise supervision, preferences, prompts with completions; as texts and as messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.data_sets import like, load, read, told

STEPWISE = {
    "prompt": "27 × 19?",
    "completions": ["27 × 20 = 540.", "540 + 27 = 567.", "It is 567."],
    "labels": [True, False, False],
    "dataset": "sums",
}


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
def test_stepwise_supervision(store, to):
    report, traces = load(store, STEPWISE, to=to)
    assert report.format == "stepwise"
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=STEPWISE["completions"],
            final_answer=None,
            meta={
                "source": "stepwise",
                "step_labels": [1, -1, -1],
                "extra": {"dataset": "sums"},
            },
            trace_version="1.1",
        )
    ]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"completions": ["a", 3]}, "completions.1", "must be a string"),
        ({"labels": [True]}, "labels", "1 labels of 3 completions"),
        ({"labels": [True, 0, None]}, "labels.1", "must be true or false"),
        ({"prompt": None}, "prompt", "missing"),
        ({"prompt": 3}, "prompt", "must be a string or a list of messages"),
    ],
)
def test_a_wrong_field_of_stepwise_is_told_by_its_path(store, change, field, reason):
    report, traces = load(store, STEPWISE, STEPWISE | change)
    assert len(traces) == 1
    assert told(report) == [(field, reason)]


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text} | more


def pair(steps, right, wrong, *, prompt="27 × 19?", **more):
    """The two traces of a preference: the chosen one answers `right`, the rejected one `wrong`."""
    meta = {"source": "preference"} | more
    return [
        rt.Trace(prompt=prompt, steps=steps, final_answer=right, meta=meta | {"preferred": True}),
        rt.Trace(prompt=prompt, steps=steps, final_answer=wrong, meta=meta | {"preferred": False}),
    ]


THOUGHT = "<think>27 × 20 − 27</think>"


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "27 × 19?", "chosen": f"{THOUGHT}513", "rejected": f"{THOUGHT}503"},
        {
            "prompt": [user("27 × 19?")],
            "chosen": [assistant(f"{THOUGHT}513")],
            "rejected": [assistant(f"{THOUGHT}503")],
        },
        {
            "chosen": [user("27 × 19?"), assistant(f"{THOUGHT}513")],
            "rejected": [user("27 × 19?"), assistant(f"{THOUGHT}503")],
        },
        {
            "prompt": "27 × 19?",
            "chosen": [user("27 × 19?"), assistant("513", thinking="27 × 20 − 27")],
            "rejected": [user("27 × 19?"), assistant("503", reasoning_content="27 × 20 − 27")],
        },
    ],
    ids=["texts", "messages", "messages with the prompt in them", "messages beside the prompt"],
)
def test_a_preference_gives_two_traces_of_one_group(store, row, to):
    report, traces = load(store, row | {"dataset": "sums"}, to=to)
    assert (report.format, report.rejected_count) == ("preference", 0)
    assert traces == pair(["27 × 20 − 27"], "513", "503", extra={"dataset": "sums"})


def test_the_scores_of_a_pair_are_rewards(store):
    row = {"prompt": "27 × 19?", "chosen": "513", "rejected": "503", "score_chosen": 9.5, "score_rejected": "low"}
    _, (chosen, rejected) = load(store, row)
    assert (chosen.meta["reward"], "reward" in rejected.meta) == (9.5, False)
    assert chosen.meta["extra"] == rejected.meta["extra"] == {"score_rejected": "low"}


def test_a_prompt_that_is_in_both_texts_ends_with_a_whole_word(store):
    _, traces = load(store, {"chosen": "The sky is blue.", "rejected": "The sky is black."})
    assert [(trace.prompt, trace.final_answer) for trace in traces] == [
        ("The sky is", " blue."),
        ("The sky is", " black."),
    ]


def test_a_dialogue_before_the_answer_is_the_prompt_and_stays_as_it_is(store):
    said = [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Yes?"), user("27 × 19?")]
    _, traces = load(store, {"chosen": [*said, assistant("513")], "rejected": [*said, assistant("I fear 503")]})
    assert [trace.prompt for trace in traces] == ["User: Hi\n\nAssistant: Yes?\n\nUser: 27 × 19?"] * 2
    assert [trace.meta["system"] for trace in traces] == ["Be brief."] * 2
    assert [trace.meta["messages"] for trace in traces] == [said] * 2
    _, (brief,) = load(store, {"prompt": [said[0], said[3]], "completion": [assistant("513")]}, to="brief.jsonl")
    assert (brief.prompt, brief.meta["system"], "messages" in brief.meta) == ("27 × 19?", "Be brief.", False)
    _, (alone,) = load(store, {"prompt": said[:1], "completion": "Yes."}, to="alone.jsonl")
    assert (alone.prompt, alone.meta["messages"]) == ("Be brief.", said[:1])


def test_what_the_system_said_is_kept_wherever_it_stands(store):
    system = {"role": "system", "content": "Be brief."}
    again = [user("27 × 19?"), assistant("513")]
    _, traces = load(
        store,
        {"prompt": "27 × 19?", "completion": [system, *again]},
        {"prompt": [system, user("27 × 19?")], "completion": again},
    )
    assert [trace.meta["system"] for trace in traces] == ["Be brief."] * 2
    # What only repeats the prompt is nothing else.
    assert [(trace.steps, trace.meta.get("extra")) for trace in traces] == [((), None)] * 2


def test_a_bad_answer_does_not_lose_the_other(store):
    good = {"prompt": "27 × 19?", "chosen": "513", "rejected": "503"}
    report, traces = load(
        store,
        good,
        good | {"chosen": [user("27 × 19?")]},
        good | {"rejected": [assistant(3)]},
        good | {"prompt": 3},
        good | {"prompt": None, "chosen": ["x"]},
    )
    assert told(report) == [
        ("chosen", "there is no message of the assistant"),
        ("rejected.0.content", "must be a string or a list of parts"),
        ("prompt", "must be a string or a list of messages"),
        ("prompt", "missing, and chosen and rejected have no beginning in common"),
    ]
    assert [trace.meta["preferred"] for trace in traces] == [True, False, False, True]


@pytest.mark.parametrize("to", ["rows.jsonl", "rows.parquet"])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "27 × 19?", "completion": f"{THOUGHT}\n\n513"},
        {"prompt": [user("27 × 19?")], "completion": [assistant(f"{THOUGHT}513")]},
        {"prompt": [user("27 × 19?")], "completion": [assistant("513", reasoning="27 × 20 − 27")]},
    ],
    ids=["texts", "messages", "messages with reasoning"],
)
def test_prompt_and_completion(store, row, to):
    report, traces = load(store, row | {"label": True, "source": "sums"}, to=to)
    assert report.format == "prompt_completion"
    assert traces == [
        rt.Trace(
            prompt="27 × 19?",
            steps=["27 × 20 − 27"],
            final_answer="513",
            meta={"source": "sums", "preferred": True},
        )
    ]


def test_a_completion_cut_short_is_truncated_and_a_label_of_another_kind_stays(store):
    row = {"prompt": "27 × 19?", "completion": "<think>27 ×", "label": "hard", "seed": 10**309}
    _, (trace,) = load(store, row)
    assert (trace.steps[0].content, trace.final_answer) == ("27 ×", None)
    # What no double holds is no reward.
    assert trace.meta == {
        "source": "prompt_completion",
        "truncated": True,
        "extra": {"label": "hard", "seed": 10**309},
    }


def test_messages_that_a_trace_does_not_hold_stay_beside_it(store):
    call = {"type": "function", "function": {"name": "multiply", "arguments": {"a": 27, "b": 19}}}
    calling = {"role": "assistant", "tool_calls": [call]}
    picture = {"role": "user", "content": [{"type": "image", "image": None}, {"type": "text", "text": "How much?"}]}
    used = [calling, {"role": "tool", "name": "multiply", "content": "513"}, assistant("It is 513.")]
    _, (done, called) = load(
        store,
        {"prompt": [picture], "completion": used},
        {"prompt": [picture], "completion": [calling]},
    )
    assert (done.prompt, done.final_answer) == ("How much?", "It is 513.")
    assert [(step.type, step.content) for step in done.steps] == [
        ("tool_call", 'multiply({"a": 27, "b": 19})'),
        ("observation", "513"),
    ]
    assert (done.meta["messages"], done.meta["extra"]) == ([picture], {"completion": used})
    assert (called.final_answer, "truncated" in called.meta) == (None, False)
    assert called.meta["extra"] == {"completion": [calling]}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "p", "completions": "c"}, "stepwise: no prompt with lists completions and labels"),
        ({"chosen": "c", "rejected": {"role": "assistant"}}, "preference: no chosen and rejected that are texts"),
        ({"prompt": "p", "completion": {"text": "c"}}, "prompt_completion: no prompt and completion that are texts"),
    ],
)
def test_a_row_that_lacks_a_field_is_of_no_format(store, row, why):
    with pytest.raises(rt.SourceInvalid) as caught:
        load(store, row)
    name, lacks = why.split(": ")
    assert caught.value.tried[name].startswith(lacks)


TALK = [{"role": "system", "content": "Be brief."}, user("27 × 19?"), assistant("513", thinking="…", tool_calls=[{}])]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "27 × 19?"}]}]
ROWS = [
    ("stepwise", STEPWISE),
    ("preference", {"prompt": PARTS, "chosen": TALK, "rejected": TALK}),
    ("preference", {"chosen": TALK, "rejected": [*TALK[:2], assistant("503")]}),
    ("preference", {"chosen": "The sky is blue.", "rejected": "The sky is black."}),
    ("prompt_completion", {"prompt": PARTS, "completion": TALK, "label": True, "source": "s"}),
]


@given(st.data(), st.sampled_from(ROWS))
def test_whatever_a_row_holds_it_is_a_trace_or_told(data, known):
    name, row = known
    read(name, data.draw(like(row)))
