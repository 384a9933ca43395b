"""The default version of a function: a hash of its source and of what it has closed over."""

import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from types import CodeType
from typing import Any

_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_MOST_DEPTH = 8


def fingerprint(function: Callable[..., Any]) -> str:
    """12 hexadecimal digits; the same in every process, and others where the function's own text or closure differ.

    What it calls is not in it, nor are objects that it has closed over, beside numbers, texts, functions, and lists and
    dictionaries of those: `version=` says what a hash cannot.
    """
    return hashlib.sha256("\0".join(_parts(function, 0)).encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _parts(value: Any, depth: int) -> list[str]:
    if isinstance(value, _PLAIN):
        return [repr(value)]
    if depth > _MOST_DEPTH:
        return ["…"]
    if isinstance(value, functools.partial):
        inside = [value.func, list(value.args), value.keywords]
    elif isinstance(value, list | tuple):
        inside = list(value)
    elif isinstance(value, dict):
        inside = [part for item in value.items() for part in item]
    elif inspect.isfunction(value) or inspect.ismethod(value):
        return _parts_of_function(value, depth)
    elif inspect.isfunction(call := vars(type(value)).get("__call__")):
        inside = [call, vars(value) if hasattr(value, "__dict__") else {}]
    else:
        return [f"{type(value).__module__}.{type(value).__qualname__}", getattr(value, "__qualname__", "")]
    return [type(value).__name__, *(part for each in inside for part in _parts(each, depth + 1))]


def _parts_of_function(function: Any, depth: int) -> list[str]:
    code = function.__code__
    try:
        source = textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        source = code.co_code.hex()
    # Two lambdas of one line have one source.
    names = [*code.co_names, *code.co_varnames, *(repr(one) for one in code.co_consts if not isinstance(one, CodeType))]
    closed = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    inside = [*closed, list(function.__defaults__ or ()), dict(function.__kwdefaults__ or {})]
    return [source, *names, *(part for each in inside for part in _parts(each, depth + 1))]


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
