"""A finding: what must not happen did, for this input, and for smaller ones as well."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import tunix_rt as rt

_SHRINKING_SECONDS = 20.0
_SHOWN_CHARS = 1_500
_DEEPEST = 50
_MOST_ITEMS = 30


class Case(NamedTuple):
    """One draw: of which kind, what was drawn, and what is done with it: True where it was accepted."""

    kind: str
    given: Any
    act: Callable[[Any], bool]


def tried(case: Case, given: Any) -> bool | BaseException:
    """Whether it was accepted; an exception that is none of the package's is a finding."""
    try:
        return bool(case.act(given))
    except rt.TunixRTError as error:
        # What is printed of it must hold, too.
        str(error), repr(error)
        return False
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - that is what is looked for
        return error


def name_of(error: BaseException) -> str:
    """By which findings are the same: what was raised, and the innermost line of the package on the way to it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/tunix_rt/" in frame.filename] or frames
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    said = str(error)[:60] if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} {at} {said}".strip()


def smallest(case: Case, error: BaseException) -> tuple[Any, BaseException]:
    """The smallest input that still fails in the same way, as far as it is found in some seconds."""
    given, name = case.given, name_of(error)
    end = time.monotonic() + _SHRINKING_SECONDS
    found = True
    while found:
        found = False
        for smaller in _smaller(given):
            if time.monotonic() > end:
                return given, error
            now = tried(case, smaller)
            if isinstance(now, BaseException) and name_of(now) == name:
                given, error, found = smaller, now, True
                break
    return given, error


def shown(case: Case, given: Any, error: BaseException) -> str:
    """The finding in words."""
    text = "<cannot be shown>"
    with suppress(Exception):
        text = repr(given)
    if len(text) > _SHOWN_CHARS:
        text = f"{text[:_SHOWN_CHARS]}… ({len(text):,} characters)"
    raised = "".join(traceback.format_exception(error)[-6:]).strip()
    return f"{case.kind}: {name_of(error)}\n  input: {text}\n  " + raised.replace("\n", "\n  ")


def _smaller(value: Any, depth: int = 0) -> Iterator[Any]:
    """Values like this one, with a part left out or made smaller."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str | bytes) and value:
        n = len(value)
        yield from (value[: n // 2], value[n // 2 :], value[1:], value[:-1])
        if n > 2:
            yield from (value[: n // 4] + value[n // 2 :], value[: n // 2] + value[3 * n // 4 :])
    elif type(value) in (list, tuple):
        yield from _smaller_list(value, depth)
    elif type(value) is dict:
        yield from _smaller_dict(value, depth)
    elif type(value) in (int, float) and value not in (0, 1):
        yield from (0, 1)


def _smaller_list(value: list[Any] | tuple[Any, ...], depth: int) -> Iterator[Any]:
    # A tuple is what an action takes: it keeps its length.
    is_list = type(value) is list
    if is_list and len(value) == 1:
        yield value[0]
    if is_list and len(value) > 3:
        yield from (value[: len(value) // 2], value[len(value) // 2 :])
    for at in range(min(len(value), _MOST_ITEMS)):
        if is_list:
            yield [*value[:at], *value[at + 1 :]]
        yield from (type(value)([*value[:at], item, *value[at + 1 :]]) for item in _smaller(value[at], depth + 1))


def _smaller_dict(value: dict[Any, Any], depth: int) -> Iterator[Any]:
    for key in list(value)[:_MOST_ITEMS]:
        rest = {name: item for name, item in value.items() if name is not key}
        yield rest
        yield from (rest | {key: item} for item in _smaller(value[key], depth + 1))
        yield from (rest | {item: value[key]} for item in (_smaller(key) if isinstance(key, str) else ()))
