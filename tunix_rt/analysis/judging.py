"""Whether two answers are the same: the same text, or the same number however it is written. Unknown is not wrong."""

import re
from fractions import Fraction
from itertools import pairwise

from tunix_rt.analysis.numbers import Quantity, quantity

# A choice by its letter: (C), C., C: because.
CHOICE = re.compile(r"\(?([A-Ja-j])(?:\)|[.:](?=\s|$))|\(?([A-J])\)?$")
_DECISIVE = frozenset({"yes", "no", "true", "false"})
# The same length, weight or time in another unit: whether 120 (minutes) is 2 (hours) cannot be told.
_RATIOS = frozenset({7, 12, 24, 30, 52, 60, 100, 365, 1000, 3600})
# Rounding to fewer decimals than these is another answer: 5.4 is not 5.
_ROUNDED = 2
_DIGITS = re.compile(r"-?\d{1,60}(?:\.\d{1,60})?")
_THOUSANDS = re.compile(r"(?<=\d)(?:\\[,!]|\{,\})(?=\d{3})")
_DEEPEST_FRACTION = 5
_ROOT = re.compile(r"\\sqrt\s*(\w)")
_SPACES = re.compile(r"\\[!,;: ]|\\(?:quad|qquad|left|right|displaystyle)(?![a-zA-Z])|~")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf|textit|operatorname)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|(\w))\s*(?:\{([^{}]*)\}|(\w))")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|°")
_SAME = str.maketrans({"−": "-", "–": "-", "×": "×", "·": "*", "，": ",", "：": ":", "（": "(", "）": ")", "。": "."})
_PREFIX = re.compile(r"(?:[A-Za-z](?:\([A-Za-z]\))?\s*(?:=|\\in(?![a-z]))|[≈=]|\\approx)\s*")


def plain_text(text: str) -> str:
    r"""An answer without what only dresses it: `$`, `\text`, boxes, a full stop; fractions as a/b."""
    text = text.translate(_SAME).strip()
    if _DIGITS.fullmatch(text):
        return text
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")):
        if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
            text = text[len(opening) : -len(closing)].strip()
    text = _TEXT.sub(r" \1 ", _SPACES.sub(" ", _THOUSANDS.sub("", text)))
    for written, sign in (("\\%", "%"), ("\\$", "$"), ("\\times", "×"), ("\\cdot", "*")):
        text = text.replace(written, sign)
    text = _ROOT.sub(r"\\sqrt{\1}", text)
    text = _DEGREES.sub(" ", text)
    for _ in range(_DEEPEST_FRACTION):
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
    parts = [part if re.fullmatch(r"\\?[A-Za-z]+|[\w.]+", part) else f"({part})" for part in (top, bottom)]
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
    if len(gold) == 1 and gold.isalpha() and (letter := CHOICE.match(given)) is not None:
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
