"""What a model wrote becomes reasoning and answer, by the tags of every dialect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_rt.formats.text.think_tags import parse_written
from tunix_rt.formats.text.written import found_in_text

THOUGHT = "27 × 20 = 540.\n\n540 − 27 = 513."


def parts(text):
    written = parse_written(text)
    return written.reasoning, written.answer


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{THOUGHT}</think>513",
        f"<think>\n{THOUGHT}\n</think>\n\n513",
        f" \n<think>\n{THOUGHT}\n</think>\n\n513\n",
        f"<THINK>{THOUGHT}</THINK>513",
        f"<thinking>\n{THOUGHT}\n</thinking>\n\n513",
        f"<thought>{THOUGHT}</thought>513",
        f"<Thought>\n{THOUGHT}\n</Thought>\n<Output>\n513\n</Output>",
        f"<reasoning>\n{THOUGHT}\n</reasoning>\n<answer>\n513\n</answer>\n",
        f"<think>{THOUGHT}</think> <answer> 513 </answer>",
        f"<|begin_of_thought|>\n\n{THOUGHT}\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n513\n\n<|end_of_solution|>",
        f"<|channel>thought\n{THOUGHT}\n<channel|>513<turn|>",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>513<|return|>",
        f"<|start|>assistant<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|message|>513<|return|>",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|>\n<|channel|>final <|constrain|>json<|message|>513",
        f"[THINK]{THOUGHT}[/THINK]513</s>",
        f"◁think▷{THOUGHT}◁/think▷513",
        f"<seed:think>{THOUGHT}</seed:think>513",
        f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>513<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
        f"<think>{THOUGHT}</think>513<|im_end|>\n<|endoftext|>",
    ],
)
def test_every_dialect_gives_reasoning_and_answer(text):
    assert parts(text) == (THOUGHT, "513")
    assert not parse_written(text).cut


@pytest.mark.parametrize(
    "text",
    [
        f"{THOUGHT}\n</think>\n\n513",
        f"{THOUGHT}</reasoning>\n<answer>513</answer>",
        f"{THOUGHT}</Thought><Output>513</Output>",
        f"\n{THOUGHT}\n<channel|>513<turn|>",
        f"{THOUGHT}<|end_of_thought|><|begin_of_solution|>513<|end_of_solution|>",
        f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>513<|return|>",
    ],
)
def test_a_template_that_prefills_the_opening_tag_leaves_only_the_closing_one(text):
    assert parts(text) == (THOUGHT, "513")


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{THOUGHT}",
        f"<think>\n{THOUGHT}\n<|endoftext|>",
        f"<think>{THOUGHT}</think>",
        f"<think>{THOUGHT}</think>\n<answer>",
        f"<Thought>{THOUGHT}",
        f"<|channel>thought\n{THOUGHT}",
        f"<|channel|>analysis<|message|>{THOUGHT}",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>",
    ],
)
def test_a_rollout_that_never_came_to_an_answer_has_none(text):
    assert parts(text) == (THOUGHT, None)
    # That none came is no cut; a tag that is never closed is one.
    assert parse_written(text).cut is not text.endswith("</think>")


def test_nothing_at_all_is_no_answer():
    assert parts("") == ("", None)
    assert parts(" \n") == ("", None)
    assert parts("<think>") == ("", None)
    assert parts("</think>") == ("", None)


def test_an_answer_that_is_never_closed_is_kept_and_told_to_be_cut():
    for text in (f"<think>{THOUGHT}</think><answer>51", f"<reasoning>{THOUGHT}</reasoning>\n<answer>\n51\n"):
        written = parse_written(text)
        assert written == (THOUGHT, "51", True)
    assert not parse_written(f"<think>{THOUGHT}</think>513</answer>").cut


def test_an_empty_block_of_reasoning_leaves_the_answer():
    assert parts("<think>\n\n</think>\n\n513") == ("", "513")
    assert parts("<|channel>thought\n<channel|>513") == ("", "513")
    assert parts("</think>513") == ("", "513")


def test_an_answer_alone_may_have_its_tag():
    assert parts("<answer>513</answer>") == ("", "513")
    assert parts("513</answer>") == ("", "513")


@pytest.mark.parametrize(
    "text",
    [
        "513",
        "    return x\n",
        "The <think> tag opens, and </think> closes.",
        "Write `</think>` at the end of the reasoning.",
        "Split at '</think>', as in text.split(\"</think>\").",
        "Split it:\n\n```python\nhead, tail = text.split(\n</think>\n)\n```\nDone.",
        "A template looks so:\n```\n<think>\n…\n</think>\n```\n",
        "Wrap it in <answer>513</answer>.",
        "<output>513</output>",
        '<p>Total: <output name="sum">513</output></p>',
        "In harmony `<|channel|>final<|message|>` begins the answer, and <|end|> ends it.",
        "<thınk>1</thınk><anſwer>2</anſwer>",
        "1 < 2, and [THINKING] is no tag; neither is <thinks>",
    ],
)
def test_a_text_that_only_mentions_tags_is_all_answer(text):
    assert parse_written(text) == ("", text, False)


@pytest.mark.parametrize(
    "before",
    ["Sure.\n", "Sure, I will think first\n\n", "Let me see. ", "Assistant: ", "First I plan:\n  "],
)
def test_words_before_the_reasoning_do_not_hide_it(before):
    said = before.strip()
    assert parts(f"{before}<think>{THOUGHT}</think>513") == (f"{said}\n\n{THOUGHT}", "513")
    assert parts(f"{said}\n<think>\n{THOUGHT}") == (f"{said}\n\n{THOUGHT}", None)
    assert parts(f"{said} `<think>` it") == ("", f"{said} `<think>` it")


def test_reasoning_that_mentions_tags_goes_on_to_its_own_end():
    thought = 'They ask for `</think>`, or "</think>"; as in\n```\n<think>\n…\n</think>\n```\nI put <think> first.'
    assert parts(f"<think>{thought}</think>Put it first.") == (thought, "Put it first.")
    assert parts(f"{thought[:-21]}\n</think>\nPut it first.") == (thought[:-21].strip(), "Put it first.")
    assert parts(f"<think>{thought} It is") == (f"{thought} It is", None)


def test_a_pair_that_prefilled_reasoning_mentions_does_not_end_it():
    thought = "The <think> tag opens and the </think> tag closes."
    assert parts(f"{thought}\n</think>\nClose it.") == (thought, "Close it.")


def test_an_answer_that_mentions_tags_stays_whole():
    answer = "Between <think> and </think>, or `<answer>` and so on:\n```\n<think>\n</think>\n```"
    assert parts(f"<think>Hm.</think>{answer}") == ("Hm.", answer)


def test_code_that_reasoning_never_closed_does_not_hide_the_answer():
    assert parts("<think>Try\n```python\nx = 1\n</think>\nSo:\n```python\nx = 2\n```") == (
        "Try\n```python\nx = 1",
        "So:\n```python\nx = 2\n```",
    )
    assert parts("<think>Try\n```\nx = 1\n</think>\nSo:\n```\nx = 2") == ("Try\n```\nx = 1", "So:\n```\nx = 2")


def test_several_blocks_of_reasoning_are_one_reasoning():
    assert parts("<think>One.</think>\n<think>Two.</think>\n513") == ("One.\n\nTwo.", "513")
    assert parts("<think>One.</think>I ask the tool.\n<think>Two.</think>513") == (
        "One.\n\nI ask the tool.\n\nTwo.",
        "513",
    )
    assert parts("<think>One.</think>510\n<think>No") == ("One.\n\n510\n\nNo", None)


def test_what_stands_outside_of_the_answers_tag_goes_to_the_reasoning():
    text = "<think>One.</think>\nIn short: <answer>513</answer>\nAsk me more!"
    assert parts(text) == ("One.\n\nIn short:\n\nAsk me more!", "513")
    assert parts("<think>One.</think><answer>510</answer>\nNo.\n<answer>513</answer>") == ("One.\n\n510\n\nNo.", "513")


def test_calls_of_tools_in_harmony_are_reasoning_with_the_name_of_the_tool():
    text = (
        "<|channel|>analysis<|message|>I need the weather.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json<|message|>"
        '{"place": "Bern"}<|call|>'
        "<|start|>functions.weather to=assistant<|channel|>commentary<|message|>18 °C<|end|>"
        "<|start|>assistant<|channel|>final<|message|>It is 18 °C; `<|end|>` ends a message.<|return|>"
    )
    assert parts(text) == (
        'I need the weather.\n\nto=functions.weather json\n{"place": "Bern"}\n\nfunctions.weather to=assistant\n18 °C',
        "It is 18 °C; `<|end|>` ends a message.",
    )


TAGS = [
    *("<think>", "</think>", "<Thought>", "</Thought>", "<Output>", "</Output>", "<answer>", "</answer>"),
    *("<reasoning>", "</reasoning>", "<|channel>thought", "<channel|>", "[THINK]", "[/THINK]"),
    *("<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>"),
    *("<|channel|>analysis<|message|>", "<|channel|>final<|message|>", "<|end|>", "<|return|>", "<|start|>assistant"),
]
WORDS = st.text("ab1.`\"'~$\\ \n\t", max_size=12)


def without_tags(text):
    for tag in TAGS:
        text = text.replace(tag, "")
    return sorted("".join(text.split()))


@given(st.lists(WORDS | st.sampled_from(TAGS), max_size=12).map("".join))
def test_nothing_of_a_text_is_lost_but_tags_and_white_space(text):
    reasoning, answer, _ = parse_written(text)
    assert without_tags(f"{reasoning}\n{answer or ''}") == without_tags(text)


NO_TAGS = st.characters(exclude_characters="<[◁", codec="utf-8")


@given(st.text(NO_TAGS, max_size=100), st.text(NO_TAGS, max_size=50))
def test_reasoning_and_answer_without_tags_come_back_as_they_were(thought, answer):
    thought, answer = thought.strip(), answer.strip()
    assert parts(f"<think>\n{thought}\n</think>\n\n{answer}") == (thought, answer or None)


HOSTILE = [
    *("<think>", "</think>", "<think></think>x", "</answer>", "<think>x</think>\n<answer>", "`<think>", "`", "```\n"),
    *("```\n</think>\n", "</s>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>", "<|message|><|end|> "),
    *("<|channel>thought", "\n", " ", "\\[", "$$\n\n"),
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_long_runs_of_tags_are_read_as_any_other_text(piece):
    for text in (piece * (300_000 // len(piece)), "<think>x</think>y" + piece * (300_000 // len(piece))):
        reasoning, answer, _ = parse_written(text)
        assert len(reasoning) + len(answer or "") <= 2 * len(text)


def test_a_cut_answer_is_told_in_the_trace():
    found = [
        found_in_text("p", f"<think>Hm.</think>{answer}", meta={}, extra={})
        for answer in ("<answer>513</answer>", "<answer>51", "")
    ]
    assert [(one.answer, one.meta.get("truncated")) for one in found] == [
        ("513", None),
        ("51", True),
        (None, None),
    ]
