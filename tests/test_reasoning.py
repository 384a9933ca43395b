"""What a model wrote becomes reasoning and answer, by the tags of every dialect, and reasoning becomes steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_rt.formats.reasoning import parse_written, split_steps
from tunix_rt.formats.row import Row, written_draft
from tunix_rt.formats.step_types import RULES, step_type

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
    assert not parse_written(text).truncated


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
    assert parse_written(text).truncated


def test_nothing_at_all_is_no_answer():
    assert parts("") == ("", None)
    assert parts(" \n") == ("", None)
    assert parts("<think>") == ("", None)
    assert parts("</think>") == ("", None)


def test_an_answer_that_is_never_closed_is_kept_and_told_to_be_cut():
    for text in (f"<think>{THOUGHT}</think><answer>51", f"<reasoning>{THOUGHT}</reasoning>\n<answer>\n51\n"):
        written = parse_written(text)
        assert written == (THOUGHT, "51", True)
        assert written.truncated
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
        "Sure.\n<think>\nHm.\n</think>\n513",
        "Wrap it in <answer>513</answer>.",
        "<output>513</output>",
        '<p>Total: <output name="sum">513</output></p>',
        "In harmony `<|channel|>final<|message|>` begins the answer, and <|end|> ends it.",
        "1 < 2, and [THINKING] is no tag; neither is <thinks>",
    ],
)
def test_a_text_that_only_mentions_tags_is_all_answer(text):
    assert parse_written(text) == ("", text, False)


def test_reasoning_that_mentions_tags_goes_on_to_its_own_end():
    thought = 'They ask for `</think>`, or "</think>"; as in\n```\n<think>\n…\n</think>\n```\nI put <think> first.'
    assert parts(f"<think>{thought}</think>Put it first.") == (thought, "Put it first.")
    assert parts(f"{thought[:-21]}\n</think>\nPut it first.") == (thought[:-21].strip(), "Put it first.")
    assert parts(f"<think>{thought} It is") == (f"{thought} It is", None)


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


@given(st.text(max_size=100), st.text(max_size=50))
def test_reasoning_and_answer_without_tags_come_back_as_they_were(thought, answer):
    thought, answer = thought.strip(), answer.strip()
    assert parts(f"<think>\n{thought}\n</think>\n\n{answer}") == (thought, answer or None)


HOSTILE = [
    *("<think>", "</think>", "<think></think>x", "</answer>", "<think>x</think>\n<answer>", "`<think>", "`", "```\n"),
    *("```\n</think>\n", "</s>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>", "<|message|><|end|> "),
    *("<|channel>thought", "\n", " ", "\\[", "$$\n\n"),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_runs_of_tags_are_read_as_any_other_text(piece):
    for text in (piece * (300_000 // len(piece)), "<think>x</think>y" + piece * (300_000 // len(piece))):
        reasoning, answer, _ = parse_written(text)
        assert len(reasoning) + len(answer or "") <= 2 * len(text)


def test_a_cut_answer_is_told_in_the_trace():
    drafts = [
        written_draft(Row("f", 1, value={}), prompt="p", source="s", written=f"<think>Hm.</think>{answer}")
        for answer in ("<answer>513</answer>", "<answer>51", "")
    ]
    assert [(draft.trace.final_answer, draft.trace.meta.get("truncated")) for draft in drafts] == [
        ("513", None),
        ("51", True),
        (None, True),
    ]


def steps(text):
    """The steps of a text, without the white space around them."""
    return [step.content.strip() for step in split_steps(text)]


def test_a_paragraph_is_a_step():
    assert steps("One is odd.\nSo is three.\n\nTwo is even.\n \n\n\nFour too.\n") == [
        "One is odd.\nSo is three.",
        "Two is even.",
        "Four too.",
    ]


def test_a_text_without_blank_lines_is_cut_by_its_lines():
    solution = "In April she sold 48/2 = <<48/2=24>>24 clips.\nTogether 48 + 24 = <<48+24=72>>72 clips."
    assert steps(solution) == solution.split("\n")
    assert steps("27 × 20 = 540\n540 − 27 = 513") == ["27 × 20 = 540", "540 − 27 = 513"]
    assert steps("27 × 20 = 540\n\n540 − 27 = 513") == ["27 × 20 = 540", "540 − 27 = 513"]


def test_a_sentence_that_goes_on_in_the_next_line_is_not_cut():
    wrapped = "The cranes have two legs each, and all of\nthe turtles four."
    assert steps(f"{wrapped}\nSo there are four turtles.") == [wrapped, "So there are four turtles."]
    assert steps("(a + b)²\n= a² + 2ab + b²\n≥ 0") == ["(a + b)²\n= a² + 2ab + b²\n≥ 0"]


@pytest.mark.parametrize(
    "marker",
    [
        *("Wait, that is odd.", "But wait, is it?", "Hmm, no.", "Actually, it is 5.", "Alternatively, count pairs."),
        *("First, halve it.", "Secondly, double it.", "Finally, add 1.", "Let me check the sum.", "Let's verify this."),
        *("Step 3: halve it.", "**Step 3**: halve it.", "Case 2: n is odd.", "### Halving", "**Halving**"),
    ],
)
def test_a_new_thought_begins_a_step_at_a_paragraph_and_at_a_line(marker):
    for separator in ("\n", "\n\n"):
        assert steps(f"All is even.\n\nSo 4 is even.{separator}{marker}\nYes.") == [
            "All is even.",
            "So 4 is even.",
            f"{marker}\nYes.",
        ]


def test_a_title_stays_with_what_it_stands_over():
    assert steps("## Solution\n\n### Step 1\n\nHalve it.\n\nThen some.") == [
        "## Solution\n\n### Step 1\n\nHalve it.",
        "Then some.",
    ]
    assert steps("Case 1: x < 3\n\nIt falls.\n\nCase 2: x > 3\n\nIt rises.") == [
        "Case 1: x < 3\n\nIt falls.",
        "Case 2: x > 3\n\nIt rises.",
    ]
    assert steps("Step 1: 2 + 2 = 4\nStep 2: 4 + 4 = 8") == ["Step 1: 2 + 2 = 4", "Step 2: 4 + 4 = 8"]


@pytest.mark.parametrize("separator", ["\n", "\n\n"])
@pytest.mark.parametrize("mark", ["{}. ", "- ", "* ", "({}) ", "{}) "])
def test_a_list_of_short_lines_is_one_step(mark, separator):
    items = separator.join(mark.format(k) + f"{k} is odd." for k in range(1, 8, 2))
    assert steps(f"The odd ones:{separator}{items}\n\nThere are four.") == [
        f"The odd ones:{separator}{items}",
        "There are four.",
    ]
    assert steps(f"{items}\n\nThere are four.") == [items, "There are four."]


@pytest.mark.parametrize("separator", ["\n", "\n\n"])
def test_long_items_of_a_numbered_list_are_steps_with_all_that_belongs_to_them(separator):
    items = [f"{k}. **Part {k}**: {'it goes on and on ' * 10}\n   - and on\n   - and on." for k in range(1, 4)]
    assert steps(f"It has parts.{separator}{separator.join(items)}") == ["It has parts.", *items]


def test_a_formula_or_code_stays_with_its_sentence_and_whole():
    formula = "The sum is\n\n$$\na + b\n\n= c\n$$\n\nwhere c is known."
    other = "So we get\n\n\\[\nx = 5\n\ny = 3\n\\]"
    code = "Try this\n\n```python\nx = 1\n\nWait, y = 2\n```"
    bare = "So the equation is\n\nx² = 4\n\nx = ±2"
    assert steps(f"{formula}\n\n{other}\n\n{code}\n\n{bare}\n\nDone.") == [formula, other, code, bare, "Done."]


def test_strays_do_not_glue_the_text_together():
    paragraphs = [f"It costs $$ and more, and this is paragraph {k}." for k in range(50)]
    assert steps("\n\n".join(paragraphs)) == paragraphs
    fenced = [f"```\nThis fence is never closed, in {k}." for k in range(1, 2)] + ["It goes on. " * 100] * 30
    assert len(steps("\n\n".join(fenced))) > 10
    assert steps("Left \\[ open.\n\nStill prose.") == ["Left \\[ open.", "Still prose."]


def test_code_at_the_end_of_a_cut_rollout_is_whole():
    assert steps("Try this:\n\n```python\nx = 1\n\ny = 2") == ["Try this:\n\n```python\nx = 1\n\ny = 2"]


@pytest.mark.parametrize("line", ["it goes on,\n", "- a short item\n", "x = 5\n\n", "and so on:\n\n", "  deeper\n"])
def test_no_step_grows_without_end_where_lines_end(line):
    contents = [step.content for step in split_steps("It begins.\n\n" + line * 20_000)]
    assert max(map(len, contents)) < 2_100


def test_a_text_without_an_end_of_line_is_one_step():
    assert len(split_steps("word " * 20_000)) == 1
    assert split_steps("") == []


MARKDOWN = [
    *(
        "\n",
        "\n\n",
        "\r\n",
        " ",
        "   ",
        "\t",
        "```",
        "```python\n",
        "~~~\n",
        "$$",
        "\\[",
        "\\]",
        "\\\\[4pt]",
        "## ",
        "**",
    ),
    *(
        "1. ",
        "2. ",
        "10) ",
        "- ",
        "Wait, ",
        "Step 2: ",
        "Case 1",
        "x = 5",
        "So it is. ",
        "and: ",
        "---",
        "é",
        "|",
        "\x0b",
    ),
]


@given(st.lists(st.sampled_from(MARKDOWN) | st.text(max_size=5), max_size=60).map("".join))
def test_the_steps_joined_are_the_text(text):
    found = split_steps(text)
    assert "".join(step.content for step in found) == text
    assert [step.i for step in found] == list(range(len(found)))
    assert all(step.content for step in found)


@given(
    st.lists(st.sampled_from(["x = 1\n", "\n", "Wait, no.\n", "1. a\n", "## b\n"]), max_size=20).map("".join),
    st.sampled_from([("```python\n", "```"), ("~~~\n", "~~~"), ("$$\n", "$$"), ("\\[\n", "\\]")]),
)
def test_nothing_is_cut_inside_of_code_or_a_formula(inside, marks):
    block = f"{marks[0]}{inside}{marks[1]}"
    assert [step for step in split_steps(f"See:\n\n{block}\n\nDone.") if block in step.content]


SENTENCES = {
    "parse": [
        "Okay, so I need to find how many cranes there are.",
        "Alright, so I have this problem about a triangle.",
        "The problem says that every crane has two legs.",
        "We are given a triangle with sides 3, 4 and 5.",
        "**Given:** 68 °F",
        "The user wants a function that sorts a list.",
        "Let me re-read the problem.",
        "1. **Understand the problem**: cranes have two legs.",
    ],
    "plan": [
        "First, I need to find the determinant.",
        "Okay, first I'll count the legs.",
        "My plan is to factor, and then to compare.",
        "**Plan:** count the legs first.",
        "Let's break this down step by step.",
        "I'll start by listing the divisors of 28.",
        "To solve this equation, we need to isolate x.",
        "Let me think about how to count them.",
    ],
    "compute": [
        "27 × 20 = 540",
        "In April she sold 48/2 = <<48/2=24>>24 clips.",
        "So 3 \\times 4 = 12 of them are left.",
        "The sum is 1,000 + 24 = 1,024 clips.",
        "48 / 2 clips = 24 clips.",
        "⌊1000 / 25⌋ = 40",
        "Let's compute the determinant.",
        "Calculating the discriminant gives 1.",
        "Adding the two equations gives 2x = 10.",
    ],
    "verify": [
        "Let me double-check: 19 × 27 = 513.",
        "Wait, let me check the arithmetic again.",
        "Let's verify that quickly.",
        "To verify, put x = 3 into the equation.",
        "Just to be sure, I should check the case n = 1.",
        "Now, check if x = 1/2 lies between −3 and 3.",
        "Checking x = 2: 4 − 4 = 0.",
        "**Verification:** 3 + 4 = 7.",
        "Plugging it back into the original equation, both sides are 5.",
    ],
    "backtrack": [
        "Wait, that's not right.",
        "Hmm, that can't be right, because 7 is prime.",
        "No, wait, the sum is odd.",
        "Wait, no. I have to count both ends.",
        "This approach doesn't work because the sum is odd.",
        "Wait, I think I made an arithmetic error there.",
        "Let me try a different approach.",
        "Hmm, this is getting messy. Let me use another method.",
        "Let's start over.",
    ],
    "result": [
        "Therefore, the answer is 513.",
        "So the final answer is $\\boxed{42}$.",
        "The answer is (B).",
        "**Final Answer**\n\nx = 5",
        "Answer: 7",
        "Hence x is \\boxed{5}.",
    ],
    "step": [
        "Let x be the number of cranes.",
        "Wait, but the problem never says that the triangle is right-angled.",
        "Wait, no solution exists here.",
        "Alternatively, we could use the sine rule.",
        "Given that x > 0, we may divide by it.",
        "The problem is that nothing bounds n.",
        "If the answer is 5, then the sum is odd.",
        "So the answer is 5? That seems too small.",
        "The answer is not obvious.",
        "The answer is an integer.",
        "I have to put the answer into \\boxed{}.",
        "Check marks are drawn in green.",
        "Checking accounts bear no interest.",
        "To make sure that each friend has a slice, they order four.",
        "Substituting this back into y = x + 30 leaves only x.",
        "He writes a check to the bank.",
        "First, the angles of a triangle sum to 180 degrees.",
        "No number is both even and odd.",
        "This works for every n.",
        "That doesn't work, does it?",
        "So this is not right-angled.",
        "I don't think I made a mistake.",
        "Adding a flag would help.",
        "Simplify the code.",
        "2 + 3x = 11",
        "In 1990-1995 there were 5 teams.",
        "First, let me check what the question asks.",
        "Then x = 5.",
        "Hmm.",
        "鶴の足は2本、亀の足は4本。",
    ],
}


@pytest.mark.parametrize(("expected", "sentence"), [(kind, one) for kind, some in SENTENCES.items() for one in some])
def test_a_step_has_the_type_that_its_words_tell_for_sure(expected, sentence):
    assert step_type(sentence) == expected
    assert [step.type for step in split_steps(f"{sentence}\n")] == [expected]


def test_every_type_of_the_rules_is_shown_above():
    assert {rule.type for rule in RULES} == set(SENTENCES) - {"step"}
