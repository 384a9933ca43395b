"""Facts that all sources share, by the names that rows have for them: one meaning of each key of meta in every format.

A reader maps what its own format names. What it left in `extra` under one of the common names is lifted from there,
unless the reader has set that key itself.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tunix_rt.errors import TraceInvalid
from tunix_rt.finish_reasons import is_cut_short
from tunix_rt.formats.rows.meta_values import number

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_TRUTHS = {"true": True, "false": False}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _number(value: Any) -> int | float | None:
    """The number, also where a table has it as a text; a boolean is a verdict."""
    if isinstance(value, bool):
        return None
    try:
        return number(value, "")
    except (TraceInvalid, ValueError):
        return None


def _boolean(value: Any) -> bool | None:
    return _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else value if isinstance(value, bool) else None


def _verdict(value: Any) -> bool | None:
    """True or false, where the name says that it is a verdict also as 1 or 0."""
    found = _boolean(value)
    if found is None and (as_number := _number(value)) in (0, 1):
        return as_number == 1
    return found


def _name(value: Any) -> str | int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _answer(value: Any) -> str | int | float | None:
    return value if isinstance(value, float) and math.isfinite(value) else _name(value)


def _index(value: Any) -> int | None:
    found = _number(value)
    return found if isinstance(found, int) and found >= 0 else None


def _version(value: Any) -> str | int | float | None:
    found = _number(value)
    return _text(value) if found is None else found


def _rewards(value: Any) -> dict[str, Any] | None:
    """Rewards by name; a function that does not apply has a null."""
    if not isinstance(value, dict) or not any(item is not None for item in value.values()):
        return None
    fits = all(item is None or (not isinstance(item, str) and _number(item) is not None) for item in value.values())
    return value if fits else None


class _Fact(NamedTuple):
    """A key of meta, the names that rows have for it, and its value from that of a row: None where it does not fit.

    `of_sample` marks what is about one sample: beside several samples in a row nobody knows of which.
    """

    key: str
    names: tuple[str, ...]
    value: Callable[[Any], Any]
    of_sample: bool = False


# A boolean verdict is `correct`, a number is `reward`. The last two are the names that do not say which.
_FACTS = (
    _Fact(
        "expected_answer",
        ("expected_answer", "ground_truth", "gold_answer", "gold", "correct_answer", "reference_answer"),
        _answer,
    ),
    _Fact("model", ("model", "model_name", "generation_model"), _text),
    _Fact("training_step", ("training_step", "global_step"), _number),
    _Fact("policy_version", ("policy_version",), _version),
    _Fact("group", ("group", "group_id"), _name),
    _Fact("run", ("run", "run_name"), _name),
    _Fact("correct", ("correct", "is_correct", "symbolic_correct"), _verdict, of_sample=True),
    _Fact("reward", ("reward",), _number, of_sample=True),
    _Fact("rewards", ("rewards",), _rewards, of_sample=True),
    _Fact("finish_reason", ("finish_reason", "stop_reason", "finishReason"), _text, of_sample=True),
    _Fact("truncated", ("truncated", "is_truncated"), _boolean, of_sample=True),
    _Fact("sample", ("sample", "sample_index"), _index, of_sample=True),
    _Fact("preferred", ("preferred",), _boolean, of_sample=True),
    _Fact("reward", ("score", "acc", "exact_match"), _number, of_sample=True),
    _Fact("correct", ("reward", "score", "acc", "exact_match"), _boolean, of_sample=True),
)
_NAMES = frozenset(name for fact in _FACTS for name in fact.names)
# What makes a verdict of another name than these a second one, if a reader has set it.
_VERDICTS = ("correct", "reward")
COMMON_NAMES = tuple(dict.fromkeys(name for fact in _FACTS for name in (fact.key, *fact.names)))


def names_of(key: str) -> tuple[str, ...]:
    """The names that rows have for a key of meta, those that are preferred first.

    >>> names_of("model")
    ('model', 'model_name', 'generation_model')
    """
    return tuple(dict.fromkeys(name for fact in _FACTS if fact.key == key for name in fact.names))


def with_common_meta(
    meta: Mapping[str, Any], extra: Mapping[str, Any], shared: Mapping[str, Any] = _NOTHING
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Meta with the facts that `extra` has under common names, and what is left of extra.

    `shared` are the fields of a row with several traces: what in it is about one of them stays in extra, as does a
    value of another type. `truncated` is true where the reason why the model stopped means a cut.

    >>> with_common_meta({"source": "s"}, {"is_correct": 1, "reward": "high", "id": 7})
    ({'source': 's', 'correct': True}, {'reward': 'high', 'id': 7})
    """
    found, left = dict(meta), dict(extra)
    is_judged = any(key in meta for key in _VERDICTS)
    for key, names, read, of_sample in () if _NAMES.isdisjoint(left) else _FACTS:
        for name in names:
            if key in found:
                break
            if name not in left or (is_judged and key == "correct" and read is _boolean):
                continue
            if of_sample and name in shared and left[name] is shared[name]:
                continue
            value = read(left[name])
            if value is not None:
                found[key] = value
                del left[name]
    if "truncated" not in found and is_cut_short(found.get("finish_reason")):
        found["truncated"] = True
    return found, left
