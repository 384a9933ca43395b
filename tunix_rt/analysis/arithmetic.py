"""`arithmetic`: the share of a trace's equations between numbers that are true.

Only whole expressions are read, by a small parser with bounds: an equation with a letter beside it may be algebra.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from tunix_rt.analysis.score import Score, Texts

_CHARS = "0123456789.,+-−–*/×÷·()^$€£ \t"
_RIGHT = re.compile(r"[\d.,+\-−–*/×÷·()^$€£ \t]{1,200}")
_SPAN = 200
# A calculator's mark, <<48/2=24>>, repeats the equation before it.
_MARK = re.compile(r"<<([^<>\n]{1,200})>>")
# "7 x 8" between numbers is a product.
_TIMES = re.compile(r"(?<=[\d)])[ \t]{0,4}[xX][ \t]{0,4}(?=[$\d(])")
_SAME = str.maketrans({"−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "$": " ", "€": " ", "£": " "})
# What ends a sentence or a part of a list ends an expression.
_BREAK = re.compile(r"[.,](?=[ \t]|\Z)")
# What these stand beside is no whole number: 20%, x_1.
_PARTS = frozenset("%^_\\{")
_TOKEN = re.compile(r"\s*(?:(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)|(\*\*|[-+*/^()]))")
_MAX_TOKENS, _MAX_DEPTH, _MAX_DIGITS, _MAX_POWER = 60, 20, 30, 64
_MAX_BITS = 1_000
_MAX_EQUATIONS = 1_000
_FLOAT_DECIMALS = 9
_SHOWN = 5


class _Unreadable(Exception):
    """No expression, or beyond the bounds."""


class Equation(NamedTuple):
    """An equation as it is written, what its left side comes to, and whether that is its right side."""

    text: str
    value: Fraction
    is_true: bool


def arithmetic(texts: Texts) -> Score:
    """The share, 0 to 1, of the trace's equations that are true; `not_applicable` where there is none.

    A score and not a flag, because algebra and estimates contain false equations too. A rounded result is true if all
    decimals shown are right. A quotient that is rounded to a whole number is not counted.
    """
    found = equations("\n".join((*texts.steps, texts.final_answer or "")))
    if not found:
        return Score(reason="not_applicable", explanation="no equation between numbers")
    false = [{"equation": one.text, "comes_to": _shown(one.value)} for one in found if not one.is_true]
    metadata = {"equations": len(found), "false": len(false), "first_false": false[:_SHOWN]}
    return Score(value=1 - len(false) / len(found), metadata=metadata)


def equations(text: str) -> list[Equation]:
    """The equations between numbers in a text, the same one once.

    >>> [one.is_true for one in equations("16 - 3 - 4 = 9 eggs, 9 * 2 = $19, 2x + 5 = 15, 10 / 3 = 3.33")]
    [True, False, True]
    """
    found: dict[str, Equation] = {}
    marks = [mark[1] for mark in _MARK.finditer(text)] if "<<" in text else []
    for one in (_MARK.sub("", text) if marks else text, "\n".join(marks[:_MAX_EQUATIONS])):
        spaced = _TIMES.sub(" * ", one)
        at = spaced.find("=")
        for _ in range(_MAX_EQUATIONS):
            if at < 0:
                break
            equation = _at(spaced, at)
            if equation is not None:
                found.setdefault(re.sub(r"\s", "", equation.text), equation)
            at = spaced.find("=", at + 1)
    return list(found.values())


def _at(text: str, at: int) -> Equation | None:
    """The equation around a sign at a position; None where it is between other things than numbers."""
    left, stated = _left(text, at), _right(text, at + 1)
    if left is None or stated is None:
        return None
    try:
        value, given = evaluated(left), evaluated(stated)
    except _Unreadable:
        return None
    decimals = len(stated.partition(".")[2]) if re.fullmatch(r"[-−$€£\s\d,.]+", stated) else 0
    if value.denominator != 1 and not decimals and value != given and abs(value - given) < 1:
        return None
    # 0.30000000000000004 is what a computer makes of .3.
    decimals = min(decimals, _FLOAT_DECIMALS)
    is_true = value == given or (decimals > 0 and abs(value - given) * 2 * 10**decimals <= 1)
    return Equation(f"{left} = {stated}", value, is_true)


def _left(text: str, at: int) -> str | None:
    """The whole expression before a position; None where a word may be a part of it, or where it has no operator."""
    before = text[max(0, at - _SPAN) : at]
    left = before[len(before.rstrip(_CHARS)) :]
    edge = before[: len(before) - len(left)][-1:]
    pieces = _BREAK.split(left)
    if len(pieces) == 1 and edge and edge not in "\n=:;" and not re.match(r"[ \t]+[$€£]?[\d.(]", left):
        return None
    found = pieces[-1].strip()
    has_operator = re.search(r"[-+*/^]", found[1:].translate(_SAME)) is not None
    return found if has_operator and len(left) < _SPAN and edge not in _PARTS else None


def _right(text: str, start: int) -> str | None:
    """The expression or the number from a position on; None where a letter or a percent sign is a part of it."""
    found = _RIGHT.match(text, start)
    if found is None or len(found[0]) >= _SPAN:
        return None
    piece = _BREAK.split(found[0])[0]
    behind = text[found.end() : found.end() + 1] if piece == found[0] else ""
    if behind and (behind in _PARTS or (behind.isalpha() and piece[-1:] not in {" ", "\t", "."})):
        return None
    return piece.strip().rstrip(".,") or None


def evaluated(text: str) -> Fraction:
    """The value of an expression of numbers, + - * / ^ and brackets; raises where it is none, or beyond the bounds."""
    text = text.translate(_SAME).strip()
    tokens: list[str] = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None or len(tokens) >= _MAX_TOKENS or len(token[0]) > _MAX_DIGITS + 5:
            raise _Unreadable
        tokens.append(token[1] or ("^" if token[2] == "**" else token[2]))
        at = token.end()
    value, end = _sum(tokens, 0, 0)
    if end != len(tokens):
        raise _Unreadable
    return value


def _sum(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _product(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "+-":
        other, end = _product(tokens, at + 1, depth)
        value, at = (value + other if tokens[at] == "+" else value - other), end
    return value, at


def _product(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    value, at = _power(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "*/":
        other, end = _power(tokens, at + 1, depth)
        if tokens[at] == "/" and not other:
            raise _Unreadable
        value, at = _bounded(value * other if tokens[at] == "*" else value / other), end
    return value, at


def _power(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    if at < len(tokens) and tokens[at] == "-":
        value, at = _power(tokens, at + 1, depth + 1) if depth < _MAX_DEPTH else _fail()
        return -value, at
    value, at = _atom(tokens, at, depth)
    if at < len(tokens) and tokens[at] == "^":
        power, at = _power(tokens, at + 1, depth + 1) if depth < _MAX_DEPTH else _fail()
        if power.denominator != 1 or abs(power) > _MAX_POWER or (not value and power < 0):
            raise _Unreadable
        value = _bounded(value ** int(power))
    return value, at


def _atom(tokens: list[str], at: int, depth: int) -> tuple[Fraction, int]:
    if at >= len(tokens) or depth >= _MAX_DEPTH:
        raise _Unreadable
    one = tokens[at]
    if one == "(":
        value, end = _sum(tokens, at + 1, depth + 1)
        if end >= len(tokens) or tokens[end] != ")":
            raise _Unreadable
        return value, end + 1
    if not one[0].isdigit() and one[0] != ".":
        raise _Unreadable
    return Fraction(one.replace(",", "").rstrip(".")), at + 1


def _fail() -> tuple[Fraction, int]:
    raise _Unreadable


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise _Unreadable
    return value


def _shown(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.6g}"
