"""The built-in scorers by name: one table. A scorer is a function of `Texts`; its keywords are its parameters."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tunix_rt.analysis import flags
from tunix_rt.analysis.answers import answer
from tunix_rt.analysis.arithmetic import arithmetic
from tunix_rt.analysis.loops import loop
from tunix_rt.analysis.math_answers import MathAnswer
from tunix_rt.analysis.measures import length, structure
from tunix_rt.analysis.rewards import named_reward, reward
from tunix_rt.analysis.score import Score, Scorer, Texts
from tunix_rt.analysis.truncation import answer_cut, truncated
from tunix_rt.errors import QueryInvalid
from tunix_rt.validation import short

_SCORERS: dict[str, Callable[..., Score]] = {
    "answer": answer,
    "structure": structure,
    "arithmetic": arithmetic,
    "length": length,
    "reward": reward,
}
_FLAGS: dict[str, Callable[..., Score]] = {
    "truncated": truncated,
    "answer_cut": answer_cut,
    "no_answer": flags.no_answer,
    "wrong": flags.wrong,
    "loop": loop,
    "runs_on": flags.runs_on,
    "foreign_script": flags.foreign_script,
    "refusal": flags.refusal,
    "bad_encoding": flags.bad_encoding,
    "answer_differs": flags.answer_differs,
    "broken_format": flags.broken_format,
}
SCORERS = tuple(_SCORERS)
# One for each name in `meta.rewards`, as in "reward:format".
_NAMED_REWARD = "reward:"
FLAGS = tuple(_FLAGS)


class _BuiltIn:
    """A function with the parameters that it is called with."""

    version = "1"

    def __init__(self, name: str, function: Callable[..., Score], params: Mapping[str, Any]) -> None:
        self.name: str = name
        self.params: Mapping[str, Any] = params
        self._function = function

    def score(self, texts: Texts, /) -> Score:
        """The score of one trace."""
        return self._function(texts, **self.params)


def built_in(name: str, **params: Any) -> Scorer:
    """The built-in scorer of a name of `SCORERS` or `FLAGS`, with all its parameters, of which `params` changes some.

    "reward:NAME" is that of the reward NAME in `meta.rewards`.

    Raises QueryInvalid where there is no such scorer or parameter, or where a value is not a positive number; and for
    `answer` with `verify="math"` where math-verify is not installed.

    >>> built_in("loop", repeats=4).params["repeats"]
    4
    >>> built_in("answer").score(Texts("27 × 19?", [], "It is **513**.", {"expected_answer": "513"})).value
    True
    """
    if name == "answer" and params:
        return MathAnswer(**params)
    function = {**_SCORERS, **_FLAGS}.get(name) if isinstance(name, str) else None
    if isinstance(name, str) and name.startswith(_NAMED_REWARD) and name != _NAMED_REWARD:
        function = partial(named_reward, name.removeprefix(_NAMED_REWARD))
    if function is None:
        raise QueryInvalid(f"{short(name)}: no such scorer; there are {', '.join((*SCORERS, *FLAGS))}, and reward:NAME")
    defaults = {
        key: one.default for key, one in inspect.signature(function).parameters.items() if one.kind is one.KEYWORD_ONLY
    }
    for key, value in params.items():
        if key not in defaults:
            raise QueryInvalid(f"{name}: no parameter {short(key)}; there are {', '.join(defaults) or 'none'}")
        fits = isinstance(value, int | type(defaults[key])) and not isinstance(value, bool) and 0 < value < 10**9
        if not fits:
            raise QueryInvalid(f"{name}: {key}={short(value)} is not a positive number like {defaults[key]}")
    return _BuiltIn(name, function, defaults | params)
