"""Whether two formulas are equal, by math-verify and SymPy: only ever imported in a worker process."""

import re
from contextlib import suppress
from typing import Any

import sympy
from math_verify import LatexExtractionConfig, parse, verify
from math_verify.errors import TimeoutException

from tunix_rt.analysis.answers import answer, own_statement, stands_in
from tunix_rt.analysis.judging import judged
from tunix_rt.analysis.score import Score, Texts

_UNKNOWN = ("undecided", "unparsed_expected", "unparsed_answer")
# For each text, and for their comparison.
_SECONDS = 2
# Where two formulas are compared as functions: not where much is equal by chance, such as 0, 1 and π.
_POINTS = (sympy.Float("1.23456"), sympy.Float("2.71234"))
_DIGITS = 30
_SAME = 1e-9
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]{1,20}\}")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")


class EqualByMath:
    """`answer`, and math-verify for what that leaves undecided."""

    name = "answer"

    def __init__(self, version: str) -> None:
        self.version = version
        self.params = {"verify": "math"}
        with suppress(TimeoutException):
            # The first comparison takes a second, which is not a trace's.
            are_equal("x^2 + 2x + 1", "(x + 1)^2")

    def score(self, texts: Texts, /) -> Score:
        """The score of `answer`, decided by math-verify where that has decided nothing; the evidence says by which."""
        found = answer(texts)
        if found.reason not in _UNKNOWN or found.answer is None:
            return found
        expected, given = found.metadata["expected"], found.answer
        # Two numbers of which one is weak, or further behind, are undecided for that.
        if not isinstance(judged(expected, given), str):
            return found
        try:
            value = are_equal(expected, given)
        except TimeoutException:
            said = f"math-verify took longer than {_SECONDS} s"
            return Score(reason="timeout", answer=given, explanation=said, metadata=found.metadata)
        if value is None or (value is False and self._is_weak(texts, expected, found)):
            return found
        return Score(value=value, answer=given, metadata={**found.metadata, "judge": "math-verify"})

    @staticmethod
    def _is_weak(texts: Texts, expected: str, found: Score) -> bool:
        statement = own_statement(texts)
        return found.metadata["layer"] == "number" or statement is None or stands_in(expected, statement.behind)


def are_equal(expected: str, given: str) -> bool | None:
    r"""Whether two formulas are equal; None where that cannot be said. Raises TimeoutException.

    math-verify takes 5 for 5 %, (1, 2) for {1, 2}, 1/2004! for 1/2006!, and words for products of their letters. So
    there must be no words, the formulas must be written in the same way, and have the same values at two points;
    unequal are only formulas whose values differ there.
    """
    if ("%" in expected) != ("%" in given) or _brackets(expected) != _brackets(given):
        return None
    if _WORD.search(_ENVIRONMENT.sub("", f"{expected} {given}")):
        return None
    try:
        gold, answer = _parsed(expected), _parsed(given)
        if gold is None or answer is None:
            return None
        # The order matters: the expected answer says what is read as an equation.
        is_equal = verify([gold], [answer], timeout_seconds=_SECONDS, raise_on_error=True)
        differ = _differ(gold, answer)
    except Exception:  # noqa: BLE001 - SymPy has many for what has no value
        return None
    return None if differ is is_equal or (differ is None and not is_equal) else is_equal


def _brackets(text: str) -> str:
    """The brackets around a list, which make it a point, an interval or a set."""
    text = text.strip().strip("$ ").replace("\\left", "").replace("\\right", "").replace("\\", "").replace(" ", "")
    return text[:1] + text[-1:] if "," in text and text[:1] in "([{" else ""


def _parsed(text: str) -> Any:
    # Never as plain text, which `parse_expr` would evaluate.
    formula = "${}$".format(text.replace("$", " "))
    found = parse(formula, [LatexExtractionConfig()], "no_fallback", parsing_timeout=_SECONDS, raise_on_error=True)
    return found[0] if found else None


def _differ(gold: Any, answer: Any) -> bool | None:
    """Whether two formulas, or equations, have different values; None where they have none to compare."""
    are_equations = isinstance(gold, sympy.Eq) and isinstance(answer, sympy.Eq)
    if are_equations:
        gold, answer = gold.lhs - gold.rhs, answer.lhs - answer.rhs
    is_expression = isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)
    if not is_expression or gold.free_symbols != answer.free_symbols:
        return None
    symbols = sorted(gold.free_symbols, key=str)
    points = [{symbol: point + index for index, symbol in enumerate(symbols)} for point in _POINTS]
    at_gold, at_answer = ([one.subs(point).evalf(_DIGITS) for point in points] for one in (gold, answer))
    if are_equations:
        # 2x = 2y is x = y: where one has twice the value, so it has elsewhere.
        at_gold, at_answer = [at_gold[0] * at_answer[1]], [at_gold[1] * at_answer[0]]
    return not all(
        abs(one - other) <= _SAME * max(abs(one), abs(other)) for one, other in zip(at_gold, at_answer, strict=True)
    )
