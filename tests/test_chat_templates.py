"""The marks of chat templates: whole dialogues, both ends of a completion, and marks that are only mentioned."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tunix_rt as rt
from tests.spoiled import only_refuses, read, spoiled
from tunix_rt.formats import READABLE
from tunix_rt.formats.text.chat_templates import bare, reply_in, split_turns
from tunix_rt.formats.text.think_tags import parse_written
from tunix_rt.formats.text.written import found_in_text

ASKED, THOUGHT, ANSWER = "Is 91 prime?", "91 = 7 × 13.", "No."
ROLES = ("system", "user", "assistant")
# Each template: what begins the text, and what stands around each of system (None where it has none), user, assistant.
TEMPLATES = {
    "deepseek": ("<｜begin▁of▁sentence｜>", ("", ""), ("<｜User｜>", ""), ("<｜Assistant｜>", "<｜end▁of▁sentence｜>")),
    "chatml": ("", *((f"<|im_start|>{role}\n", "<|im_end|>\n") for role in ROLES)),
    "phi_4": ("", *((f"<|im_start|>{role}<|im_sep|>", "<|im_end|>") for role in ROLES)),
    "kimi": (
        "",
        *((f"<|im_{role}|>{role}<|im_middle|>", "<|im_end|>") for role in ROLES),
    ),
    "llama_3": (
        "<|begin_of_text|>",
        *((f"<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>") for role in ROLES),
    ),
    "llama_4": (
        "<|begin_of_text|>",
        *((f"<|header_start|>{role}<|header_end|>\n\n", "<|eot|>") for role in ROLES),
    ),
    "gemma": ("<bos>", None, *((f"<start_of_turn>{role}\n", "<end_of_turn>\n") for role in ("user", "model"))),
    "gemma_4": ("<bos>", *((f"<|turn>{role}\n", "<turn|>\n") for role in ("system", "user", "model"))),
    "mistral": (
        "<s>",
        ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        ("[INST] ", " [/INST]"),
        (" ", "</s>"),
    ),
    "phi_3": ("", *((f"<|{role}|>\n", "<|end|>\n") for role in ROLES)),
    "zephyr": ("", *((f"<|{role}|>\n", "</s>\n") for role in ROLES)),
    "glm": ("[gMASK]<sop>", *((f"<|{role}|>\n", "") for role in ROLES)),
    "granite": (
        "",
        *((f"<|start_of_role|>{role}<|end_of_role|>", "<|end_of_text|>\n") for role in ROLES),
    ),
    "command": (
        "<BOS_TOKEN>",
        *(
            (f"<|START_OF_TURN_TOKEN|><|{role}_TOKEN|>", "<|END_OF_TURN_TOKEN|>")
            for role in ("SYSTEM", "USER", "CHATBOT")
        ),
    ),
}
names = pytest.mark.parametrize("name", TEMPLATES)


def templated(name, *turns, ends=True):
    """The text of these turns, each a role and a text, by a template."""
    begin, system, user, assistant = TEMPLATES[name]
    marks = {"system": system, "user": user, "assistant": assistant}
    text = "".join(marks[role][0] + said + marks[role][1] for role, said in turns)
    end = marks[turns[-1][0]][1]
    return begin + (text if ends or not end else text.removesuffix(end))


def reads_system(name):
    return TEMPLATES[name][1] is not None


@names
def test_a_templated_text_is_a_dialogue(name):
    turns = [("user", ASKED), ("assistant", f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}")]
    turns = [("system", "Be brief."), *turns] if reads_system(name) else turns
    assert split_turns(templated(name, *turns)) == turns
    (trace,) = read("templated_text", {"text": templated(name, *turns), "id": 3})
    assert ("".join(step.content for step in trace.steps).strip(), trace.final_answer) == (THOUGHT, ANSWER)
    assert (trace.prompt, trace.meta["extra"]) == (ASKED, {"id": 3})
    assert trace.meta.get("system") == ("Be brief." if reads_system(name) else None)


@names
def test_a_text_that_ends_in_the_middle_of_an_answer_keeps_all_of_it(name):
    turns = [("user", ASKED), ("assistant", "No"), ("user", "Sure?"), ("assistant", f"<think>\n{THOUGHT}")]
    (trace,) = read("templated_text", {"text": templated(name, *turns, ends=False)})
    assert trace.prompt == f"User: {ASKED}\n\nAssistant: No\n\nUser: Sure?"
    assert (trace.steps[0].content, trace.final_answer, trace.meta["truncated"]) == (THOUGHT, None, True)


@names
def test_turns_without_a_text_are_left_out_and_a_prompt_alone_is_no_trace(name):
    assert split_turns(templated(name, ("user", ASKED), ("assistant", ""))) == [("user", ASKED)]
    assert READABLE["templated_text"].misfit({"text": templated(name, ("user", ASKED))})


@names
def test_both_ends_of_a_completion_are_known(name):
    _, _, user, assistant = TEMPLATES[name]
    written = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
    front = "[/INST] " if name == "mistral" else assistant[0]
    for text in (front + written, written + assistant[1], front + written + assistant[1], written + user[0]):
        assert parse_written(text) == (THOUGHT, ANSWER, False) or text.endswith("[INST] ")
    assert bare(front + ANSWER + assistant[1]).strip() == ANSWER


@names
def test_a_prompt_that_a_completion_repeats_is_not_said_twice(name):
    text = templated(name, ("user", ASKED), ("assistant", f"<think>{THOUGHT}</think>{ANSWER}"))
    found = found_in_text(f"Answer the question. {ASKED}", text, meta={}, extra={})
    assert ([step["content"] for step in found.steps], found.answer) == ([THOUGHT], ANSWER)
    (trace,) = read("prompt_completion", {"prompt": ASKED, "completion": text})
    assert (trace.prompt, trace.steps[0].content, trace.final_answer) == (ASKED, THOUGHT, ANSWER)


def test_turns_of_a_completion_that_are_not_in_its_prompt_are_steps():
    text = templated("chatml", ("user", "Is 7?"), ("assistant", "Yes."), ("user", ASKED), ("assistant", ANSWER))
    (trace,) = read("prompt_completion", {"prompt": ASKED, "completion": text})
    assert [(step.type, step.content) for step in trace.steps] == [
        ("user", "Is 7?"),
        ("message", "Yes."),
        ("user", ASKED),
    ]
    assert trace.final_answer == ANSWER
    assert reply_in(text, ASKED) == text


def test_gpt_oss_keeps_its_channels_for_the_reading_of_the_answer():
    text = (
        "<|start|>system<|message|>Reasoning: low<|end|><|start|>user<|message|>Is 91 prime?<|end|>"
        f"<|start|>assistant<|channel|>analysis<|message|>{THOUGHT}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>"
    )
    (trace,) = read("templated_text", {"text": text})
    assert (trace.prompt, trace.meta["system"]) == (ASKED, "Reasoning: low")
    assert ([step.content for step in trace.steps], trace.final_answer) == ([THOUGHT], ANSWER)


def test_llama_2_writes_the_system_s_text_into_the_user_s_turn():
    text = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nIs 91 prime? [/INST] No. </s><s>[INST] Sure? [/INST] Yes. </s>"
    assert split_turns(text) == [
        ("system", "Be brief."),
        ("user", ASKED),
        ("assistant", "No."),
        ("user", "Sure?"),
        ("assistant", "Yes."),
    ]


def test_a_bare_role_in_front_is_a_mark_that_the_decoder_left_out():
    assert parse_written(f"assistant\n\n<think>\n{THOUGHT}\n</think>\n\n{ANSWER}") == (THOUGHT, ANSWER, False)
    assert bare("assistant\n\nNo.") == "No."
    assert bare("assistants help.") == "assistants help."


@pytest.mark.parametrize(
    "text",
    [
        "The mark `<|im_start|>` begins a turn.",
        "```\n<|im_start|>user\nHi<|im_end|>\n```",
        "I write [INST] and so on.",
        "Hello",
        "",
        "[1, 2]",
        "<p>user</p>",
    ],
)
def test_a_text_that_only_mentions_marks_is_no_dialogue(text):
    assert split_turns(text) is None
    assert bare(text) == text
    assert READABLE["templated_text"].misfit({"text": text})


def test_marks_in_code_are_text():
    code = "```\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n```"
    shown = f"So:\n{code}\nor `<|im_start|>user` or `<|im_start|>user<|im_sep|>`."
    text = templated("chatml", ("user", "Show me ChatML."), ("assistant", shown))
    assert split_turns(text) == [("user", "Show me ChatML."), ("assistant", shown)]


@given(
    st.sampled_from(sorted(TEMPLATES)),
    st.lists(st.text(st.characters(exclude_characters="<[`~｜|", codec="utf-8"), min_size=1), min_size=1, max_size=5),
)
def test_no_character_of_a_turn_is_lost(name, texts):
    texts = [text for text in texts if text.strip()] or ["x"]
    turns = [(("user", "assistant")[n % 2], text) for n, text in enumerate(texts)]
    found = split_turns(templated(name, *turns))
    assert [role for role, _ in found] == [role for role, _ in turns]
    # A template's own space or line beside a text may be the text's.
    assert ["".join(text.split()) for _, text in found] == ["".join(text.split()) for _, text in turns]
    if name in {"deepseek", "chatml", "llama_3", "gemma", "granite", "command"}:
        assert [text for _, text in found] == [text for _, text in turns]


MARKS = ["<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n", "`", "```\n", "[INST]", "<｜User｜>", "a\nb"]


@given(st.lists(st.sampled_from(MARKS) | st.text("ab \n", max_size=5), max_size=12).map("".join))
def test_whatever_is_split_has_all_its_words(text):
    def without_marks(text):
        for mark in ("<|im_start|>user", "<|im_start|>assistant", "<|im_end|>"):
            text = text.replace(mark, "")
        return "".join(text.split())

    turns = split_turns(f"<|im_start|>user\n{text}") or []
    assert "".join(without_marks(turn.text) for turn in turns) == without_marks(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["<|im_start|>user\n", "<s>", "<|assistant|>", "</s>", "<｜User｜>", "[INST]", "```\n", "`"]
)
def test_long_runs_of_marks_are_read_as_any_other_text(piece):
    text = piece * (200_000 // len(piece))
    for given_text in (text, f"<|im_start|>user\nx{text}", f"x{text}"):
        assert len(bare(given_text)) <= len(given_text)
        assert sum(len(turn.text) for turn in split_turns(given_text) or []) <= len(given_text)


def test_a_file_of_templated_texts_loads(store):
    text = templated("deepseek", ("user", ASKED), ("assistant", f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"))
    Path("rows.jsonl").write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    report = store.load("rows.jsonl")
    assert (report.format, report.added) == ("templated_text", 1)
    assert store.latest().payload.prompt == ASKED
    with pytest.raises(rt.TraceInvalid, match="there is no message of the assistant"):
        read("templated_text", {"text": "Once upon a time"})


@pytest.mark.slow
@given(spoiled({"text": templated("chatml", ("user", ASKED), ("assistant", ANSWER)), "id": 1}))
def test_any_templated_text_is_taken_or_refused(row):
    assert only_refuses("templated_text", row)
