"""Numbers as answers write them: `1,000`, `$18.50`, `50%`, `3/4`, `1 1/2`, `1.5e3`, `2 × 10^3`, `5 miles`."""

import re
from fractions import Fraction
from typing import NamedTuple

# More digits than any answer has; an exponent beyond it is no answer, and would take memory.
_MAX_DIGITS = 60
_MAX_EXPONENT = 99
_MAX_CHARS = 200
_PLAIN = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+])?\s*(?P<money>[$€£¥₹]|USD\s|Rs\.?\s)?\s*(?P<sign2>-)?(?:"
    rf"(?P<mixed>\d+)\s+(?P<over>\d+)\s*/\s*(?P<under>\d+)"
    rf"|(?P<top>{_PLAIN})\s*/\s*(?P<bottom>{_PLAIN})"
    rf"|(?P<decimal>{_PLAIN})(?:[eE](?P<exponent>[-+]?\d{{1,3}})|\s*[*×]\s*10\s*\^\s*\(?(?P<power>[-+]?\d{{1,3}})\)?)?"
    rf")(?P<rest>.*)",
    re.DOTALL,
)
# What may stand behind a number: a unit in words, without a digit of its own (5 feet 3 inches are two numbers). One
# letter is a unit only if it is a common one: 5x is no 5.
_UNIT = re.compile(
    r"-?(?P<unit>%|percent\b|[°¢€£][CF]?|[mgshlLAVWNJCFK]|[^\W\d_]{2}[^\d=+*/<>\\{}()]{0,60}(?:\^?[23²³])?)?\s*\.?\s*"
)
_SCALES = {"thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SYMBOLS = {"percent": "%", "dollar": "$", "USD": "$", "euro": "€", "pound": "£", "rupee": "₹", "Rs": "₹", "Rs.": "₹"}


class Quantity(NamedTuple):
    """A number, its decimals as written, and what it counts: `unit` in lower case without a plural's s; "" for none."""

    value: Fraction
    unit: str
    decimals: int


def quantity(text: str) -> Quantity | None:
    """The one number that a text is; None where it is anything else, or more than one.

    >>> [quantity(text).value for text in ("1,000", "$18.50", "1 1/2 cups", "1.5e3", "3/4", "2 million")]
    [Fraction(1000, 1), Fraction(37, 2), Fraction(3, 2), Fraction(1500, 1), Fraction(3, 4), Fraction(2000000, 1)]
    >>> quantity("5 feet 3 inches") is quantity("x + 1") is quantity("9**9**9") is None
    True
    """
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= _MAX_CHARS else None
    if found is None:
        return None
    value = _value(found)
    unit = _UNIT.fullmatch(found["rest"].strip())
    if value is None or unit is None:
        return None
    if found["sign"] == "-" or found["sign2"]:
        value = -value
    name = (unit["unit"] or "").strip(" .").lower()
    first, _, others = name.partition(" ")
    if first in _SCALES:
        value, name = value * _SCALES[first], others
    decimals = len((found["decimal"] or "").partition(".")[2])
    name = name.removesuffix("s") or (found["money"] or "").strip()
    return Quantity(value, _SYMBOLS.get(name, name), decimals)


def _value(found: re.Match[str]) -> Fraction | None:
    if found["mixed"]:
        part = _ratio(found["over"], found["under"])
        whole = _plain(found["mixed"])
        return None if part is None or whole is None else whole + part
    if found["top"]:
        return _ratio(found["top"], found["bottom"])
    value, exponent = _plain(found["decimal"]), int(found["exponent"] or found["power"] or 0)
    if value is None or not exponent:
        return value
    return None if abs(exponent) > _MAX_EXPONENT else value * Fraction(10) ** exponent


def _ratio(top: str, bottom: str) -> Fraction | None:
    over, under = _plain(top), _plain(bottom)
    return over / under if over is not None and under else None


def _plain(digits: str) -> Fraction | None:
    if len(digits) > _MAX_DIGITS:
        return None
    return Fraction(int(digits)) if digits.isdecimal() else Fraction(digits.replace(",", "").rstrip("."))
