"""Reasoning becomes steps: where it is cut, what stays together, and what type each step has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunix_rt.formats.text.step_types import RULES, small_letters, step_type
from tunix_rt.formats.text.think_tags import split_steps


def steps(text):
    """The steps of a text, without the white space around them."""
    return [step["content"].strip() for step in split_steps(text)]


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


def test_blocks_within_blocks_are_one():
    for block in ("```\n~~~\n\nx\n```", "$$\n```\n$$\n\nx\n```", "````\n```\n\nx\n````"):
        assert steps(f"See:\n{block}\n\nDone.") == [f"See:\n{block}", "Done."]


def test_code_at_the_end_of_a_cut_rollout_is_whole():
    assert steps("Try this:\n\n```python\nx = 1\n\ny = 2") == ["Try this:\n\n```python\nx = 1\n\ny = 2"]


@pytest.mark.parametrize("line", ["it goes on,\n", "- a short item\n", "x = 5\n\n", "and so on:\n\n", "  deeper\n"])
def test_no_step_grows_without_end_where_lines_end(line):
    contents = [step["content"] for step in split_steps("It begins.\n\n" + line * 20_000)]
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
    assert "".join(step["content"] for step in found) == text
    assert [step["i"] for step in found] == list(range(len(found)))
    assert all(step["content"] for step in found)


@given(
    st.lists(st.sampled_from(["x = 1\n", "\n", "Wait, no.\n", "1. a\n", "## b\n"]), max_size=20).map("".join),
    st.sampled_from([("```python\n", "```"), ("~~~\n", "~~~"), ("$$\n", "$$"), ("\\[\n", "\\]")]),
)
def test_nothing_is_cut_inside_of_code_or_a_formula(inside, marks):
    block = f"{marks[0]}{inside}{marks[1]}"
    assert [step for step in split_steps(f"See:\n\n{block}\n\nDone.") if block in step["content"]]


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
    assert [step["type"] for step in split_steps(f"{sentence}\n")] == [expected]


def test_every_type_of_the_rules_is_shown_above():
    assert {rule.type for rule in RULES} == set(SENTENCES) - {"step"}


@pytest.mark.parametrize(
    "block",
    [
        '[asy]\ndraw((0,0)--(1,1));\n\nlabel("$P$",(0,0));\n\n[/asy]',
        "<asy>\ndraw((0,0)--(1,1));\n\ndot((0,0));\n</asy>",
        "\\begin{align*}\nx &= 1\\\\\n\ny &= 2\n\\end{align*}",
        "\\begin{tabular}{cc}\n1 & 2\n\nWait & see\n\\end{tabular}",
        "<table>\n<tr><td>1</td></tr>\n\n<tr><td>2</td></tr>\n</table>",
        "| n | n² |\n|---|---|\n" + "\n".join(f"| {n} | {n * n} |" for n in range(400)),
        "```\nx = 1\n\ny = 2\n```",
        "$$\nx = 1\n\n= 2\n$$",
    ],
)
def test_pictures_environments_and_tables_stay_whole(block):
    steps = split_steps(f"We look at it.\n\n{block}\n\nSo P is at the origin.")
    assert sum(block in step["content"] for step in steps) == 1
    assert "".join(step["content"] for step in steps) == f"We look at it.\n\n{block}\n\nSo P is at the origin."


def test_a_picture_that_is_never_closed_does_not_glue_the_text_together():
    text = "[asy] draws.\n\nFirst, one.\n\nThen, two.\n\n\\begin{align} opens.\n\nFinally, three."
    assert len(split_steps(text)) > 3
    long = "[asy]\n\n" + "A sentence of some words.\n\n" * 2_000 + "[/asy]"
    assert len(split_steps(long)) > 100


@given(text=st.text() | st.text("aZ\u212a\u0130É\ud800 .\n1=+"))
def test_small_letters_are_at_the_same_indices(text):
    small = small_letters(text)
    assert len(small) == len(text)
    assert all(now == (before.lower() if before.isascii() else before) for now, before in zip(small, text, strict=True))
    assert [one["type"] for one in split_steps(text)] == [step_type(one["content"]) for one in split_steps(text)]
