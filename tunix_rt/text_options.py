"""Options that come as text, behind a magic or a command: what they mean."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tunix_rt.errors import QueryInvalid


def unquoted(word: str) -> str:
    """The word without the quotes that IPython keeps around an argument with spaces."""
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def meta_in(pairs: Iterable[str]) -> dict[str, Any]:
    """What KEY=VALUE pairs ask of meta: values are JSON, or else texts; QueryInvalid where one is no pair.

    >>> meta_in(["correct=true", "model=toy-1b"])
    {'correct': True, 'model': 'toy-1b'}
    """
    return {key: _value(text) for key, text in _split("--meta", "KEY=VALUE", pairs)}


def mapping_in(pairs: Iterable[str] | None) -> dict[str, str] | None:
    """The mapping that TARGET=FIELD pairs say, none for none; QueryInvalid where one is no pair, or comes twice."""
    mapping: dict[str, str] = {}
    for target, field in _split("--map", "TARGET=FIELD, such as prompt=question", pairs or ()):
        if target in mapping:
            raise QueryInvalid(f"--map {target}={field}: {target} is mapped to {mapping[target]} already")
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
