"""`answer`: what a trace states as its answer, and whether that is the expected one. Unknown is not wrong."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tunix_rt.analysis.judging import CHOICE, judged, plain_text
from tunix_rt.analysis.numbers import quantity
from tunix_rt.analysis.score import Score, Texts
from tunix_rt.analysis.truncation import cut_at_end

# An answer is near the end; only the tags of thinking are searched in all of a text.
_NEAR_END = 50_000
_CLOSE_THINK = ("</think>", "</thinking>", "</thought>", "</reasoning>", "<|end_of_thought|>", "[/THINK]", "◁/think▷")
_OPEN_THINK = ("<think>", "<thinking>", "<thought>", "<reasoning>", "<|begin_of_thought|>", "[THINK]", "◁think▷")
_LINE = re.compile(
    r"^[ \t>*_#]{0,8}(?:the )?(?:final )?(?:answer|ans|(?-i:A))[*_ ]{0,4}[:：][*_ \t]{0,4}(\S.{0,4096})$",
    re.IGNORECASE | re.MULTILINE,
)
# Options, of which the first is no answer: "A: 5", "B: 6".
_OPTIONS = re.compile(r"^[ \t>*_(]{0,8}B[*_ )]{0,4}[:：]", re.MULTILINE)
# "The answer is 5", "answer (in km): 5"; not "express the answer as a percentage: 3/10", nor "the answers posted are".
_SENTENCE = re.compile(
    r"(?<![/\w])(?<!per )answer\b(?:[^\n.:=*/]{0,60}?\b(?:is|equals|be)\b\s*:?"
    r"|\s*(?:\([^()\n]{0,40}\))?[\s*_]{0,9}[:=])"
    r"\s*([^\n]{1,300})",
    re.IGNORECASE,
)
# Another question, which a base model goes on with behind its answer.
_NEXT_QUESTION = re.compile(
    r"^[ \t>*#]{0,8}(?:(?:Next |New )?(?:Question|Problem|Exercise|Q|Human|User|Instruction|Input)\b[*_ ]{0,4}"
    r"(?:No\.? ?)?\d{0,4}[*_ ]{0,4}[:：]|<\|im_start\|>(?:user|human)|<\|start_header_id\|>user)",
    re.IGNORECASE | re.MULTILINE,
)
_STATEMENT = re.compile(r"####|\\boxed|</answer>|\banswers?\b|^[ \t]{0,4}A:", re.IGNORECASE | re.MULTILINE)
# A calculator's mark, <<48/2=24>>, in the solutions of GSM8K.
_MARK = re.compile(r"<<[^<>\n]{1,200}>>")
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_MATH = re.compile(r"\$([^$\n]{1,300})\$|\\\(([^\n]{1,300}?)\\\)|\\\[([^\n]{1,300}?)\\\]")
_A_NUMBER = re.compile(
    r"(?<![\w.])[-−]?[$€£]?[-−]?(?:\d{1,30} \d{1,9}/\d{1,9}|(?:\d{1,3}(?:,\d{3}){1,9}|\d{1,60})?(?:\.\d{1,60})?"
    r"(?:/\d{1,30}|[eE][-+]?\d{1,2})?)(?<=\d)(?!\d)(?:\s?%)?"
)
_STATES = re.compile(r"\d|\\[a-zA-Z]|(?<![\w'’])[A-Za-z](?![\w'’])")
_END_OF_SENTENCE = re.compile(r"[.!?](?=\s|$)|;\s")
_MAX_ANSWER = 4_096
# How long a line may be that is an answer and no sentence: of words, of formulas.
_BARE_WORDS, _BARE_FORMULA = 40, 200


class Stated(NamedTuple):
    """What a text states: the `answer`, which `layer` found it, and the text from there on (`behind`)."""

    answer: str
    layer: str
    behind: str = ""


def stated(text: str, *, weak: bool = True) -> Stated | None:
    r"""What a text states as its answer: the first layer of the cascade that finds something.

    The layers: `tag` (`<answer>`), `boxed` (the last closed `\boxed{}` or `\fbox{}`), `mark` (the last `####`), `line`
    (`Answer: …`), `whole` (all of a short line), `sentence` (answer … is …), `bold` (a number on the last line), and,
    if `weak`, `number`: the last one. Behind an opened `<think>` that is never closed nothing is stated.

    >>> stated("<think>5 or 6</think>It is **6**.")
    Stated(answer='6', layer='bold', behind='.')
    >>> stated("16 - 3 - 4 = 9\n9 * 2 = 18 dollars").layer
    'number'
    """
    text = _behind_thinking(text)[-_NEAR_END:]
    if (another := next_question(text)) is not None:
        text = text[:another]
    # All of a short line is an answer where it is the final one, and only then.
    found = next((one for one in _layers(text) if weak or one.layer != "whole"), None)
    if found is not None or not weak:
        return found
    numbers = list(_A_NUMBER.finditer(text[-2_000:]))
    return Stated(numbers[-1][0], "number") if numbers else None


def next_question(text: str) -> int | None:
    """Where a text goes on with another question behind a statement of its answer; None where it does not."""
    if ":" not in text and "：" not in text and "<|" not in text:
        return None
    first = _STATEMENT.search(text)
    found = _NEXT_QUESTION.search(text, first.end()) if first else None
    return found.start() if found else None


def _behind_thinking(text: str) -> str:
    closed = max((at + len(tag) for tag in _CLOSE_THINK if (at := text.rfind(tag)) >= 0), default=0)
    opened = max((text.rfind(tag, closed) for tag in _OPEN_THINK), default=-1)
    return "" if opened >= 0 else text[closed:]


def _layers(text: str) -> Iterator[Stated]:
    stripped = text.strip()
    if len(stripped) <= _BARE_WORDS and quantity(plain_text(stripped)) is not None:
        yield Stated(stripped, "whole")
    closing = text.rfind("</answer>")
    if closing >= 0:
        # Where nothing opens it, the template did.
        opening = text.rfind("<answer>", 0, closing)
        inside = text[opening + len("<answer>") if opening >= 0 else 0 : closing].strip()
        # A sentence or a formula in the tag is read as it would be without.
        within = next(_layers(inside), None) if inside else None
        yield Stated(within.answer if within else inside, "tag", text[closing + len("</answer>") :])
    yield from _boxed(text)
    yield from _on_lines(text, stripped)
    yield from _in_words(text, stripped)


def _on_lines(text: str, stripped: str) -> Iterator[Stated]:
    """What stands on a line of its own."""
    at = text.rfind("####")
    if at >= 0 and (marked := text[at + 4 :].lstrip("#").strip()):
        line, _, behind = marked.partition("\n")
        # A heading of Markdown has the same mark: text follows it.
        if not behind.strip() or quantity(plain_text(line)) is not None:
            yield Stated(line.strip(), "mark", behind)
    lines = list(_LINE.finditer(stripped)) if ":" in stripped or "：" in stripped else []
    if lines and _STATES.search(lines[-1][1]) and not _OPTIONS.search(stripped, lines[-1].end()):
        yield Stated(_reduced(lines[-1][1]), "line", stripped[lines[-1].start() :])
    if "\n" not in stripped and len(stripped) <= _MAX_ANSWER and _is_bare(stripped):
        yield Stated(stripped, "whole")


def _in_words(text: str, stripped: str) -> Iterator[Stated]:
    """What a sentence says, or bold print on the last line."""
    end = text[-4_000:]
    for found in reversed(list(_SENTENCE.finditer(end)) if "answer" in end.lower() else []):
        sentence = _END_OF_SENTENCE.split(found[1], maxsplit=1)[0]
        if _STATES.search(sentence):
            yield Stated(_reduced(sentence), "sentence", end[found.start() :])
            break
    last_line = stripped[-2_000:].rpartition("\n")[2]
    for found in reversed(list(_BOLD.finditer(last_line))):
        if re.search(r"\d", found[1]):
            yield Stated(_reduced(found[1]), "bold", last_line[found.end() :])
            break


def _boxed(text: str) -> Iterator[Stated]:
    r"""The last `\boxed{…}` whose braces are balanced."""
    end = len(text)
    for _ in range(20):
        at = max(text.rfind("\\boxed{", 0, end), text.rfind("\\fbox{", 0, end))
        if at < 0:
            return
        start = text.index("{", at) + 1
        depth = 1
        for brace in re.finditer(r"\\[{}]|[{}]", text[start:]):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                inside, close = text[start : start + brace.start()].strip(), start + brace.end()
                if inside:
                    yield Stated(inside, "boxed", text[close:])
                    return
                break
        end = at


def _is_bare(text: str) -> bool:
    """Whether a line is an answer and no sentence: a number with a unit, a formula, a few words without a number."""
    if not text or "boxed" in text:
        return False
    if quantity(plain_text(text)) is not None or (len(text) <= _BARE_WORDS and not re.search(r"\d.*\s|\s.*\d", text)):
        return True
    return len(text) <= _BARE_FORMULA and not re.search(
        r"(?<!\\)\b[A-Za-z]{2,}", re.sub(r"\\[a-zA-Z]+(?:\{[^{}]*\})?", "", text)
    )


def _reduced(text: str) -> str:  # noqa: PLR0911 - one for each way
    """What a statement comes to: the formula in it, what follows `=`, else its first number."""
    text = _MARK.sub("", text).strip().strip("*_").strip()
    bare = text.rstrip(".")
    if "=" not in bare and quantity(plain_text(bare)) is not None:
        return bare
    spans = [next(filter(None, found.groups())) for found in _MATH.finditer(text)]
    if len(set(spans)) > 1:
        return bare
    bare = spans[0] if spans else bare
    if "=" in bare:
        bare = bare.rpartition("=")[2].strip(" .")
        if quantity(plain_text(bare)) is not None:
            return bare
    if spans:
        return bare.strip()
    choice = CHOICE.match(bare)
    if choice is not None:
        return choice[1] or choice[2]
    number = next(filter(lambda one: re.search(r"\d", one[0]), _A_NUMBER.finditer(bare)), None)
    if number is None or (len(bare) <= _BARE_WORDS and not re.search(r"[A-Za-z]{3,}", bare)):
        return bare.strip()
    behind = bare[number.end() :]
    unit = re.match(r"\s?(?:[^\W\d_]+\b|%|°[CF]?)(?!\s*\d)", behind)
    # Two numbers in a statement: the first, with what it counts.
    return number[0] + (unit[0] if unit else "")


def expected_answer(meta: Any) -> str | None:
    """The text of `meta.expected_answer`, or the answer that it states if it is a solution; None if it is missing."""
    value = meta.get("expected_answer")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    if not isinstance(value, str) or len(text) > _NEAR_END or not re.search(r"[\n:：#<]|\\[bf]|answer", text):
        return text
    found = stated(text, weak=False)
    return found.answer if found else text


def own_statement(texts: Texts) -> Stated | None:
    """What a trace states: in its final answer, else, in a layer that is not weak, at the end of its steps."""
    if texts.final_answer is not None:
        return stated(texts.final_answer)
    return stated("\n".join(texts.steps[-3:]), weak=False) if texts.steps else None


def answer(texts: Texts) -> Score:  # noqa: PLR0911 - one for each reason
    """Whether the answer is `meta.expected_answer`: true, false, or a reason.

    The answer and the layer of the cascade that found it are kept. A weak last number that differs is `undecided`, not
    wrong, and so is a statement behind which the expected answer still stands.
    """
    meta = texts.meta
    if meta.get("kind") == "reference":
        return Score(reason="not_applicable", explanation="a reference solution states the expected answer")
    if meta.get("expected_answer") in (None, ""):
        return Score(reason="no_expected")
    expected = expected_answer(meta)
    if expected is None or not expected.strip():
        return Score(reason="unparsed_expected", explanation="meta.expected_answer is neither a text nor a number")
    found = own_statement(texts)
    if found is None:
        line = (texts.final_answer or "").strip()
        is_long = len(line) > _MAX_ANSWER and "\n" not in line
        return Score(reason="cut" if meta.get("truncated") is True else "too_long" if is_long else "no_answer")
    if max(len(found.answer), len(expected)) > _MAX_ANSWER:
        return Score(reason="too_long", explanation=f"longer than {_MAX_ANSWER:,} characters")
    evidence = {"layer": found.layer, "expected": expected}
    verdict = judged(expected, found.answer)
    if verdict is not True and texts.final_answer and (how := cut_at_end(texts.final_answer)):
        return Score(reason="cut", answer=found.answer, metadata={**evidence, "rule": how})
    if verdict is False and (found.layer == "number" or stands_in(expected, found.behind)):
        verdict = "undecided"
    if isinstance(verdict, str):
        return Score(reason=verdict, answer=found.answer, metadata=evidence)
    return Score(value=verdict, answer=found.answer, metadata=evidence)


def stands_in(expected: str, text: str) -> bool:
    """Whether the expected answer is in a text, or a number with its value."""
    wanted = quantity(plain_text(expected))
    for found in _A_NUMBER.finditer(text[:2_000]):
        one = quantity(plain_text(found[0])) if found[0] else None
        if wanted is not None and one is not None and one.value == wanted.value:
            return True
    return wanted is None and expected.strip() in text
