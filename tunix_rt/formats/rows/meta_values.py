"""Values of rows as what a trace's meta can hold; TraceInvalid for those that it cannot."""

import ast
import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.json_values import plain
from tunix_rt.validation import MAX_META_DEPTH

_TOKEN_ARRAY = re.compile(
    r"(?:^|_)(?:(?:token|input|prompt|completion|response|output)_ids|tokens|masks?|logprobs?|experts)$"
)
_NUMBER = (int, float)
_NOT_FINITE = {"nan", "inf"}
_NOT_NUMBERS = {*_NOT_FINITE, "infinity"}


def is_for_tokens(name: str) -> bool:
    """Whether a field is named as one that holds something for each token."""
    return _TOKEN_ARRAY.search(name) is not None


def is_token_array(name: str, value: Any) -> bool:
    """Whether a field holds a number for each token: of use to a trainer, not in a trace, and larger than the trace."""
    return is_for_tokens(name) and isinstance(value, list) and _only_numbers(value)


def as_json(value: Any, *, depth: int = 0) -> Any:
    """The value without its arrays of tokens."""
    if not isinstance(value, dict | list):
        return value
    if depth > MAX_META_DEPTH:
        raise TraceInvalid(Problem("meta", f"nested more than {MAX_META_DEPTH} deep"))
    if isinstance(value, dict):
        return {name: as_json(item, depth=depth + 1) for name, item in value.items() if not is_token_array(name, item)}
    return [as_json(item, depth=depth + 1) for item in value]


def is_number(value: Any) -> bool:
    """Whether it is a finite number that a double can hold."""
    return isinstance(value, _NUMBER) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def number(value: Any, path: str) -> int | float | None:
    """The number, also where it is written as a text; None for null, NaN and infinities; else TraceInvalid."""
    written = value.strip().lstrip("+-").lower() if isinstance(value, str) else ""
    if written:
        try:
            value = int(value) if written.isdecimal() else float(value)
        except ValueError:
            raise TraceInvalid(Problem(path, "must be a number")) from None
    if value is None or value == "":
        return None
    if not isinstance(value, _NUMBER):
        raise TraceInvalid(Problem(path, "must be a number"))
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        if written in _NOT_NUMBERS:
            return None
        raise TraceInvalid(Problem(path, "must be a number up to 1.8e308, the largest that a double holds"))
    return value


def as_line(value: Any) -> str:
    """The value as a line of JSON; a text unchanged."""
    return value if isinstance(value, str) else json.dumps(as_json(value), ensure_ascii=False)


def training_step(fields: Mapping[str, Any], file: str) -> int | float | None:
    """The training step in `step`, else the one in the file's name: 40 in `40.jsonl` and `train_data_step40.jsonl`."""
    step = number(fields.get("step"), "step")
    if step is None and (found := re.fullmatch(r"(?:.*step_?)?(\d{1,18})", Path(file).name.partition(".")[0])):
        return int(found[1])
    return step


def literal(written: str, path: str) -> Any:
    """The value of a Python literal, with None for `nan` and `inf`; TraceInvalid where it is not one. Nothing is run.

    >>> literal("[{'reward': nan, 'n': -2}]", "cell")
    [{'reward': None, 'n': -2}]
    """
    try:
        tree = ast.parse(written.strip(), mode="eval")
        return plain(ast.literal_eval(_Finite().visit(tree)), path)
    except TraceInvalid:
        raise
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        # Python ends some of its reasons with an object of its own and an address.
        reason = str(error).partition("\n")[0].partition(": <")[0][:80] or type(error).__name__
        raise TraceInvalid(Problem(path, f"is not a valid Python literal: {reason}")) from None


class _Finite(ast.NodeTransformer):
    """Puts None in place of a number that JSON does not have, and of its sign."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Constant(None), node) if node.id in _NOT_FINITE else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        inner = self.visit(node.operand)
        if isinstance(inner, ast.Constant) and inner.value is None:
            return inner
        return node


def _only_numbers(value: list[Any]) -> bool:
    return all(
        item is None or isinstance(item, _NUMBER) or (isinstance(item, list) and _only_numbers(item)) for item in value
    )
