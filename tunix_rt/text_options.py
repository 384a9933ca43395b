"""Options that come as text, behind a magic or a command: what they mean."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tunix_rt.errors import QueryInvalid

# How messages name the options of a call: `mapping={"prompt": "question"}`, `encoding="utf-16"`, `format=`.
_MAPPING = re.compile(r"\bmapping=(\{[^{}]*\})")
_OPTION = re.compile(r"\b(encoding|format|known)=(?:\"([\w.-]+)\"(?: or \"([\w.-]+)\")?|(?=,| ))")


def as_options(message: str) -> str:
    """The message with its advice in the language of a shell or a magic: `--map` instead of `mapping=`.

    >>> as_options('save it as UTF-8, or pass encoding="utf-16"')
    'save it as UTF-8, or pass --encoding utf-16'
    >>> as_options('say which fields hold what: mapping={"prompt": "question", "reasoning": "cot"}')
    'say which fields hold what: --map prompt=question --map reasoning=cot'
    """
    return _OPTION.sub(_flag, _MAPPING.sub(_map_flags, message))


def _map_flags(found: re.Match[str]) -> str:
    try:
        return " ".join(f"--map {target}={field}" for target, field in json.loads(found[1]).items())
    except ValueError:
        return found[0]


def _flag(found: re.Match[str]) -> str:
    name, value, other = found.groups()
    return f"--{name}" + (f" {value}" if value else "") + (f" or {other}" if other else "")


def unquoted(word: str) -> str:
    """The word without the quotes that IPython keeps around an argument with spaces."""
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def meta_in(pairs: Iterable[str]) -> dict[str, Any]:
    """The meta filter of KEY=VALUE pairs: values are JSON, or else strings; QueryInvalid where one is not a pair.

    >>> meta_in(["correct=true", "model=toy-1b"])
    {'correct': True, 'model': 'toy-1b'}
    """
    return {key: _value(text) for key, text in _split("--meta", "KEY=VALUE", pairs)}


def mapping_in(pairs: Iterable[str] | None) -> dict[str, str] | None:
    """The mapping of TARGET=FIELD pairs, None without pairs; QueryInvalid for one that is not a pair or comes twice."""
    mapping: dict[str, str] = {}
    for target, field in _split("--map", "TARGET=FIELD, such as prompt=question", pairs or ()):
        if target in mapping:
            raise QueryInvalid(f"--map {target}={field}: {target} is already mapped to {mapping[target]}")
        mapping[target] = field
    return mapping or None


def _split(flag: str, shape: str, pairs: Iterable[str]) -> Iterator[tuple[str, str]]:
    for pair in map(unquoted, pairs):
        name, sign, value = pair.partition("=")
        if not sign:
            raise QueryInvalid(f"{flag} {pair}: must be {shape}")
        yield name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
