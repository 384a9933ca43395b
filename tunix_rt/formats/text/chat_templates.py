"""The marks of chat templates: a text that they divide is a dialogue, and those at both ends of a completion are none.

The templates are those of DeepSeek, ChatML (Qwen, OLMo, SmolLM, Kimi), Llama 2, 3 and 4, Gemma, Mistral, Phi, GLM,
Zephyr, Granite, Command and gpt-oss, as their tokenisers have them.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from tunix_rt.formats.text.blocks import Span, fenced


class Said(NamedTuple):
    """A turn of a templated text: its role (system, user, assistant, tool), and its text without the marks."""

    role: str
    text: str


_ROLE = r"(?P<role>system|developer|user|human|assistant|model|tool|observation|ipython|function)"
# For each family of marks: what begins a text, what begins a turn (the first group says whose), and what ends one. Only
# the white space that the template itself writes belongs to a mark.
_FAMILIES = (
    (
        r"<[｜|]User[｜|]>",
        r"<[｜|](?P<role>System|User|Assistant)[｜|]>",
        r"<｜end▁of▁sentence｜>|<[|]end_of_sentence[|]>",
    ),
    (r"<\|im_start\|>", rf"<\|im_start\|>{_ROLE}(?:<\|im_sep\|>|[^\S\n]*(?:\n|\Z))", r"<\|im_end\|>"),
    (
        r"<\|im_(?:system|user|assistant)\|>",
        r"<\|im_(?P<role>system|user|assistant)\|>[^<\n]{0,60}<\|im_middle\|>",
        r"<\|im_end\|>",
    ),
    (
        r"<\|start_header_id\|>",
        rf"<\|start_header_id\|>{_ROLE}<\|end_header_id\|>(?:\n\n|\n?\Z)?",
        r"<\|(?:eot_id|eom_id|end_of_text)\|>",
    ),
    (r"<\|header_start\|>", rf"<\|header_start\|>{_ROLE}<\|header_end\|>(?:\n\n|\n?\Z)?", r"<\|(?:eot|eom)\|>"),
    (r"<start_of_turn>", rf"<start_of_turn>{_ROLE}(?:\n|\Z)", r"<end_of_turn>"),
    (r"<\|turn>", rf"<\|turn>{_ROLE}(?:\n|\Z)", r"<turn\|>"),
    (
        r"\[INST\]|\[SYSTEM_PROMPT\]",
        r"(?:[ ]?(?P<writes>\[/INST\])|(?P<role>\[INST\]|\[SYSTEM_PROMPT\]))[ ]?",
        r"[ ]?</s>|\[/SYSTEM_PROMPT\]",
    ),
    (
        r"<\|(?:user|system|assistant)\|>",
        rf"<\|{_ROLE}\|>\n?",
        r"<\|(?:end|endoftext)\|>|</s>|<eos>",
    ),
    (r"<\|start_of_role\|>", rf"<\|start_of_role\|>{_ROLE}[^<\n]{{0,80}}<\|end_of_role\|>", r"<\|end_of_text\|>"),
    (
        r"<\|START_OF_TURN_TOKEN\|>",
        r"<\|START_OF_TURN_TOKEN\|><\|(?P<role>SYSTEM|USER|CHATBOT)_TOKEN\|>",
        r"<\|END_OF_TURN_TOKEN\|>",
    ),
    (
        r"<\|start\|>",
        # What the model wrote keeps its channels, which tell the reasoning from the answer.
        r"<\|start\|>(?P<role>system|developer|user)<\|message\|>|(?=<\|start\|>(?P<channel>assistant|functions\.)[^<>|]*<\|)",
        r"<\|end\|>(?:\s*<\|start\|>assistant)?",
    ),
)  # fmt: skip
_ROLES = {
    "human": "user",
    "developer": "system",
    "model": "assistant",
    "chatbot": "assistant",
    "observation": "tool",
    "ipython": "tool",
    "function": "tool",
    "functions.": "assistant",
    "[inst]": "user",
    "[/inst]": "assistant",
    "[system_prompt]": "system",
}
# What begins a text before the first turn.
_BEGINS = (
    r"(?:<｜begin▁of▁sentence｜>|<\|begin_of_text\|>|<\|begin_of_sentence\|>|<bos>|<s>|<BOS_TOKEN>|<\|startoftext\|>"
    r"|\[gMASK\](?:<sop>)?)"
)
_FIRST = "|".join(f"(?P<f{n}>{first})" for n, (first, _, _) in enumerate(_FAMILIES))
_MARK = re.compile(rf"\s*(?:{_BEGINS}\s*)*(?:{_FIRST})")
_OPENS = [re.compile(opens) for _, opens, _ in _FAMILIES]
_ENDS = [re.compile(rf"(?:{ends})\s*(?:{_BEGINS}\s*)*\Z") for _, _, ends in _FAMILIES]
_BEGIN = re.compile(rf"\s*{_BEGINS}")
_DEEPSEEK = re.compile(r"\s*<｜begin▁of▁sentence｜>")
_LLAMA_2_SYSTEM = re.compile(r"\s*<<SYS>>\n?(?P<system>.*?)\n?<</SYS>>\n{0,2}", re.DOTALL)
_IN_LINE = re.compile(r"`[^`\n]{1,200}`")
_CODE_OF_A_LINE = 200
# At the front of a completion: the model's own turn, opened by the template; or its role alone, of marks that the
# decoder left out. At its end: the end of the turn, and the beginning of the next.
_FRONT = re.compile(
    rf"(?:\s*(?:{_BEGINS}\s*)?(?:"
    r"<[｜|]Assistant[｜|]>|<\|im_start\|>assistant(?:<\|im_sep\|>|\n)|<\|im_assistant\|>[^<\n]{0,60}<\|im_middle\|>"
    r"|<\|start_header_id\|>assistant<\|end_header_id\|>|<\|header_start\|>assistant<\|header_end\|>"
    r"|<start_of_turn>model\n|<\|turn>model\n|\[/INST\]|<\|assistant\|>"
    r"|<\|start_of_role\|>assistant[^<\n]{0,80}<\|end_of_role\|>|<\|START_OF_TURN_TOKEN\|><\|CHATBOT_TOKEN\|>"
    r"|assistant\n\n)[^\S\n]*\n{0,2})+"
)
_FRONT_BEGINS = frozenset("<[a")
_NEXT = re.compile(
    r"\s*(?:<[｜|]User[｜|]>|<\|im_start\|>(?:user(?:<\|im_sep\|>)?)?|<\|im_user\|>(?:user<\|im_middle\|>)?"
    r"|<\|start_header_id\|>(?:user<\|end_header_id\|>)?|<\|header_start\|>(?:user<\|header_end\|>)?"
    r"|<start_of_turn>(?:user)?|<\|turn>(?:user)?|<\|start_of_role\|>(?:user<\|end_of_role\|>)?"
    r"|<\|START_OF_TURN_TOKEN\|>(?:<\|USER_TOKEN\|>)?|<\|(?:user|observation)\|>)\s*\Z"
)
TURN_ENDS = (
    *("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>"),
    *("<｜end▁of▁sentence｜>", "<turn|>", "<end_of_turn>", "<eos>", "</s>", "<|end|>", "<|return|>"),
)
_NEXT_ENDS = ("|>", "｜>", "user", "<start_of_turn>", "<|turn>")


def split_turns(text: str) -> list[Said] | None:
    r"""The turns of a text that begins with the mark of a template; None for any other.

    Marks of other templates, and those that stand in code, are text. Nothing is lost but the marks, the white space
    behind the end of a turn, and turns without a text.

    >>> split_turns("<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n")
    [Said(role='user', text='2 + 2?'), Said(role='assistant', text='4')]
    """
    begun = _first_mark(text)
    if begun is None:
        return None
    family, start = begun
    codes = fenced(text)
    marks = [mark for mark in _OPENS[family].finditer(text, start) if not _in_code(text, mark.start(), codes)]
    if not marks:
        return None
    turns: list[Said] = []
    if before := _BEGIN.sub("", text[: marks[0].start()], count=1).strip():
        turns.append(Said("system", before))
    starts = [*(mark.start() for mark in marks), len(text)]
    for mark, (_, end) in zip(marks, pairwise(starts), strict=True):
        role = next(found for found in mark.groups() if found).lower()
        said = Said(_ROLES.get(role, role), text[mark.end() : end])
        if "channel" not in mark.groupdict() or mark["role"]:
            turns += _with_system(said._replace(text=_ENDS[family].sub("", said.text)))
        elif turns and turns[-1].role == "assistant":
            turns[-1] = said._replace(text=turns[-1].text + said.text)
        else:
            turns.append(said)
    return [turn for turn in turns if turn.text.strip()]


def bare(text: str) -> str:
    r"""A completion without the marks at its ends: of the model's own turn, its end, and what begins the next turn.

    >>> bare("<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\n")
    '4'
    """
    if (text[:1] in _FRONT_BEGINS or text[:1].isspace()) and (front := _FRONT.match(text)):
        text = text[front.end() :]
    end = turn_end(text)
    if text.endswith(_NEXT_ENDS, 0, end) and (following := _NEXT.search(text, max(0, end - 60), end)):
        end = turn_end(text[: following.start()])
    return text[:end] if text[end:].strip() else text


def reply_in(text: str, prompt: str) -> str:
    """What a completion adds to its prompt, of a text that begins with turns of the prompt; else the text as it is."""
    turns = split_turns(text) if text.lstrip()[:1] in {"<", "["} else None
    if not turns or turns[0].role == "assistant" or turns[-1].role != "assistant":
        return text
    if all(turn.text.strip() in prompt for turn in turns[:-1]):
        return turns[-1].text
    return text


def turn_end(text: str) -> int:
    """Where the text ends before the marks that end a turn, and the white space around them."""
    end = _before_spaces(text, len(text))
    # All marks end so, and few texts do.
    while text.endswith(">", 0, end) and (mark := next((one for one in TURN_ENDS if text.endswith(one, 0, end)), None)):
        end = _before_spaces(text, end - len(mark))
    return end


def _before_spaces(text: str, end: int) -> int:
    while end and text[end - 1].isspace():
        end -= 1
    return end


def _first_mark(text: str) -> tuple[int, int] | None:
    """The family of the mark that a text begins with, and from where on its marks count."""
    if found := _MARK.match(text):
        family = next(n for n in range(len(_FAMILIES)) if found[f"f{n}"])
        return family, found.start(f"f{family}")
    # DeepSeek's text for the system has no mark of its own.
    if (found := _DEEPSEEK.match(text)) and _OPENS[0].search(text):
        return 0, found.end()
    return None


def _in_code(text: str, place: int, codes: list[Span]) -> bool:
    if any(begin <= place < end for begin, end in codes):
        return True
    line = max(text.rfind("\n", 0, place) + 1, place - _CODE_OF_A_LINE)
    return any(code.start() < place < code.end() for code in _IN_LINE.finditer(text, line, place + _CODE_OF_A_LINE))


def _with_system(said: Said) -> Iterator[Said]:
    """The turn, after the text for the system that Llama 2 writes at its beginning."""
    if said.role == "user" and (found := _LLAMA_2_SYSTEM.match(said.text)):
        yield Said("system", found["system"])
        said = said._replace(text=said.text[found.end() :])
    yield said
