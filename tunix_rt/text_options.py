"""Options that come as text, behind a magic or a command: what they mean."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def mapping_in(pairs: Iterable[str] | None) -> dict[str, Any] | None:
    """The mapping that TARGET=FIELD pairs say, none for none; QueryInvalid where one is no pair, or comes twice.

    Several fields are a list as JSON has it; behind := stands a value that is always the same, JSON or else a text.

    >>> mapping_in(["prompt=question", 'completion=["a", "b"]', "meta.model:=toy-1b"])
    {'prompt': 'question', 'completion': ['a', 'b'], 'meta.model': {'value': 'toy-1b'}}
    """
    mapping: dict[str, Any] = {}
    for name, field in _split("--map", "TARGET=FIELD, such as prompt=question", pairs or ()):
        target = name.removesuffix(":")
        if target in mapping:
            raise QueryInvalid(f"--map {name}={field}: {target} is mapped to {mapping[target]} already")
        fields = _value(field) if field.startswith("[") else field
        mapping[target] = {"value": _value(field)} if name.endswith(":") else fields
    return mapping or None


def mapping_text(mapping: Mapping[str, Any]) -> str:
    """The mapping as it is written in Python, to be copied."""
    return f"mapping={json.dumps(mapping, ensure_ascii=False)}"


def map_flags(mapping: Mapping[str, Any]) -> str:
    r"""The mapping as it is written on a command line, to be copied.

    >>> map_flags({"prompt": ["ask", "with"], "meta.model": {"value": "toy-1b"}})
    '--map \'prompt=["ask", "with"]\' --map meta.model:=toy-1b'
    """
    return " ".join(f"--map {shlex.quote(_flag(target, given))}" for target, given in mapping.items())


def in_flags(said: str, mappings: Sequence[Mapping[str, Any]]) -> str:
    """What an error says, with its mappings as they are written on a command line."""
    for mapping in mappings:
        said = said.replace(mapping_text(mapping), map_flags(mapping))
    return said.replace("format with format=", "format with --format")


def _flag(target: str, given: Any) -> str:
    if isinstance(given, dict):
        value = given["value"]
        return f"{target}:={value if isinstance(value, str) and _value(value) == value else json.dumps(value)}"
    return f"{target}={given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)}"


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
