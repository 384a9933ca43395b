"""`answer`: what a trace states as its answer, and whether that is the expected one. Unknown is not wrong."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from tunix_rt.analysis.numbers import Quantity, quantity
from tunix_rt.analysis.score import Score, Texts
from tunix_rt.analysis.truncation import cut_at_end

# An answer is near the end; only the tags of thinking are searched in all of a text.
_NEAR_END = 50_000
_CLOSE_THINK = ("</think>", "</thinking>", "</thought>", "</reasoning>", "<|end_of_thought|>", "[/THINK]", "◁/think▷")
_OPEN_THINK = ("<think>", "<thinking>", "<thought>", "<reasoning>", "<|begin_of_thought|>", "[THINK]", "◁think▷")
_LINE = re.compile(
    r"^[ \t>*_#]{0,8}(?:the )?(?:final )?(?:answer|ans|A)[*_ ]{0,4}[:：][*_ \t]{0,4}(\S.{0,4096})$",
    re.IGNORECASE | re.MULTILINE,
)
# "The answer is 5", "answer (in km): 5"; not "express the answer as a percentage: 3/10", nor "the answers posted are".
_SENTENCE = re.compile(
    r"\banswer\b(?:[^\n.:=*/]{0,60}?\b(?:is|equals|be)\b\s*:?|\s*(?:\([^()\n]{0,40}\))?[\s*_]*[:=])\s*([^\n]{1,300})",
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
_CHOICE = re.compile(r"\(?([A-Ja-j])(?:\)|[.:](?=\s|$))|\(?([A-J])\)?$")
_DECISIVE = frozenset({"yes", "no", "true", "false"})
# The same length, weight or time in another unit: whether 120 (minutes) is 2 (hours) cannot be told.
_RATIOS = frozenset({7, 12, 24, 30, 52, 60, 100, 365, 1000, 3600})
_MAX_ANSWER = 4_096


# How long a line may be that is an answer and no sentence: of words, of formulas.
_BARE_WORDS, _BARE_FORMULA = 40, 200
# Rounding to fewer decimals than these is another answer: 5.4 is not 5.
_ROUNDED = 2


class Stated(NamedTuple):
    """What a text states: the `answer`, by which `layer` of the cascade it was found, and what stands behind it."""

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
    if closing >= 0 and (opening := text.rfind("<answer>", 0, closing)) >= 0:
        inside = text[opening + len("<answer>") : closing].strip()
        # A sentence or a formula in the tag is read as it would be without.
        within = next(_layers(inside), None) if inside else None
        yield Stated(within.answer if within else inside, "tag", text[closing + len("</answer>") :])
    yield from _boxed(text)
    at = text.rfind("####")
    if at >= 0 and (marked := text[at + 4 :].lstrip("#").strip()):
        line, _, behind = marked.partition("\n")
        yield Stated(line.strip(), "mark", behind)
    lines = list(_LINE.finditer(stripped)) if ":" in stripped or "：" in stripped else []
    if lines and _STATES.search(lines[-1][1]):
        yield Stated(_reduced(lines[-1][1]), "line", stripped[lines[-1].end() :])
    if "\n" not in stripped and len(stripped) <= _MAX_ANSWER and _is_bare(stripped):
        yield Stated(stripped, "whole")
    end = text[-4_000:]
    for found in reversed(list(_SENTENCE.finditer(end)) if "answer" in end.lower() else []):
        object_, behind = _sentence_of(found[1])
        if _STATES.search(object_):
            yield Stated(_reduced(object_), "sentence", behind + end[found.end() :])
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


def _sentence_of(text: str) -> tuple[str, str]:
    end = _END_OF_SENTENCE.search(text)
    return (text[: end.start()], text[end.end() :]) if end else (text, "")


def _reduced(text: str) -> str:
    """What a statement comes to: the formula in it, what follows `=`, else its first number."""
    text = _MARK.sub("", text).strip().strip("*_").strip()
    bare = text.rstrip(".")
    if "=" not in bare and quantity(plain_text(bare)) is not None:
        return bare
    spans = [next(filter(None, found.groups())) for found in _MATH.finditer(text)]
    if len(spans) == 1 or (spans and len(set(spans)) == 1):
        bare = spans[0]
    if "=" in bare:
        bare = bare.rpartition("=")[2].strip(" .")
        if quantity(plain_text(bare)) is not None:
            return bare
    if spans:
        return bare.strip()
    choice = _CHOICE.match(bare)
    if choice is not None:
        return choice[1] or choice[2]
    number = next(filter(lambda one: re.search(r"\d", one[0]), _A_NUMBER.finditer(bare)), None)
    if number is None or (len(bare) <= _BARE_WORDS and not re.search(r"[A-Za-z]{3,}", bare)):
        return bare.strip()
    behind = bare[number.end() :]
    unit = re.match(r"\s?(?:[^\W\d_]+\b|%|°[CF]?)(?!\s*\d)", behind)
    # Two numbers in a statement: the first, with what it counts.
    return number[0] + (unit[0] if unit else "")


_SPACES = re.compile(r"\\[!,;: ]|\\(?:quad|qquad|left|right|displaystyle)(?![a-zA-Z])|~")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf|textit|operatorname)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°")
_SAME = str.maketrans({"−": "-", "–": "-", "×": "×", "·": "*", "，": ",", "：": ":", "（": "(", "）": ")", "。": "."})
_PREFIX = re.compile(r"(?:[A-Za-z](?:\([A-Za-z]\))?\s*(?:=|\\in(?![a-z]))|[≈=]|\\approx)\s*")


def plain_text(text: str) -> str:
    r"""An answer without what only dresses it: `$`, `\text`, boxes, a full stop; fractions as a/b."""
    text = text.translate(_SAME).strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")):
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            text = text[len(opening) : -len(closing)].strip()
    text = _TEXT.sub(r" \1 ", _SPACES.sub(" ", text))
    text = (
        text.replace("\\%", "%").replace("\\$", "$").replace("{,}", ",").replace("\\times", "×").replace("\\cdot", "*")
    )
    text = _DEGREES.sub(" ", text)
    for _ in range(3):
        text, n_replaced = _FRACTION.subn(_as_ratio, text)
        if not n_replaced:
            break
    text = re.sub(r"\^\s*\{([^{}]*)\}", r"^\1", text)
    text = re.sub(r"\s+", " ", text).strip().removesuffix(".").strip()
    prefix = _PREFIX.match(text)
    text = text[prefix.end() :] if prefix else text
    lone = re.fullmatch(r"\(([A-Za-z])\)", text)
    return lone[1] if lone else text


def _as_ratio(found: re.Match[str]) -> str:
    top, bottom = (found[1] or found[2]).strip(), (found[3] or found[4]).strip()
    parts = [part if re.fullmatch(r"[\w.]+", part) else f"({part})" for part in (top, bottom)]
    sign = ""
    if re.fullmatch(r"-\d[\d.]*", top):
        sign, parts[0] = "-", top[1:]
    before = " " if found.start() and found.string[found.start() - 1].isdigit() else ""
    return f"{before}{sign}{parts[0]}/{parts[1]}"


def _key(text: str) -> str:
    """What makes two answers the same text: neither case nor spaces beside signs, but those between words or digits."""
    return re.sub(r"\s?([^\w\s])\s?", r"\1", text).casefold()


def judged(expected: str, answer: str) -> bool | str:  # noqa: PLR0911 - one for each way to decide
    r"""Whether an answer is the expected one: true, false, or the reason why that cannot be told.

    >>> [judged("1/2", answer) for answer in ("0.5", "\\frac 12", "50%", "2", "half")]
    [True, True, 'undecided', False, 'unparsed_answer']
    """
    if expected.strip() == answer.strip():
        return True
    gold, given = plain_text(expected), plain_text(answer)
    if not gold:
        return "unparsed_expected"
    if not given:
        return "unparsed_answer"
    if _key(gold) == _key(given):
        return True
    wanted, found = quantity(gold), quantity(given)
    if wanted is not None and found is not None:
        return _same_quantity(wanted, found)
    if len(gold) == 1 and gold.isalpha() and (letter := _CHOICE.match(given)) is not None:
        return (letter[1] or letter[2]).upper() == gold.upper()
    if {gold.lower(), given.lower()} <= _DECISIVE:
        return {gold.lower(), given.lower()} in ({"yes", "true"}, {"no", "false"})
    if _same_tuple(gold, given):
        return True
    if (wanted is None) == (found is None):
        return "undecided"
    return "unparsed_expected" if wanted is None else "unparsed_answer"


def _same_quantity(gold: Quantity, given: Quantity) -> bool | str:
    units = {gold.unit, given.unit} - {""}
    if gold.value == given.value:
        # 5 hours are not 5 minutes; a unit on one side only is left out on the other.
        return True if all(_begins(*pair) for pair in pairwise(sorted(units))) else "undecided"
    if units and gold.unit != given.unit and gold.value and given.value:
        # 50 % is .5, 2 hours are 120 minutes.
        ratio = abs(gold.value / given.value)
        if max(ratio, 1 / ratio) in _RATIOS:
            return "undecided"
    if _rounds_to(gold, given) or _rounds_to(given, gold):
        return "undecided"
    return False


def _begins(one: str, other: str) -> bool:
    return other.startswith(one) or one.startswith(other)


def _rounds_to(coarse: Quantity, fine: Quantity) -> bool:
    """Whether one is the other to two decimals or more: 0.67 and 2/3."""
    return coarse.decimals >= _ROUNDED and abs(coarse.value - fine.value) <= Fraction(1, 2 * 10**coarse.decimals)


def _same_tuple(gold: str, given: str) -> bool:
    parts = [re.split(r"\s*,\s+|,(?!\d{3}\b)", one.strip("()[]{} ")) for one in (gold, given)]
    if gold[:1] != given[:1] and {gold[:1], given[:1]} & set("([{"):
        return False
    values = [[quantity(part) for part in one] for one in parts]
    return len(parts[0]) == len(parts[1]) > 1 and all(
        one is not None and other is not None and one.value == other.value for one, other in zip(*values, strict=True)
    )


def expected_answer(meta: Any) -> str | None:
    """The expected answer in meta, as a text: what it states, if it is a solution; None where there is none."""
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
    if verdict is False and (found.layer == "number" or _stands_in(expected, found.behind)):
        verdict = "undecided"
    if isinstance(verdict, str):
        return Score(reason=verdict, answer=found.answer, metadata=evidence)
    return Score(value=verdict, answer=found.answer, metadata=evidence)


def _stands_in(expected: str, text: str) -> bool:
    wanted = quantity(plain_text(expected))
    for found in _A_NUMBER.finditer(text[:2_000]):
        one = quantity(plain_text(found[0])) if found[0] else None
        if wanted is not None and one is not None and one.value == wanted.value:
            return True
    return wanted is None and expected.strip() in text
