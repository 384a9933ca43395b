"""Options that come as text, behind a magic or a command: what they mean."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tunix_rt.errors import QueryInvalid

# How messages name the options of a call: `mapping={"prompt": "question"}`, `encoding="utf-16"`, `format=`.
_MAPPING = re.compile(r"\bmapping=(\{[^{}]*\})")
_OPTION = re.compile(r"\b(encoding|format|known)=(?:\"([\w.-]+)\"(?: or \"([\w.-]+)\")?|(?=,| |$))", re.MULTILINE)


def _encoding_choice(found: re.Match[str]) -> str:
    return f"choose the encoding {' or '.join(filter(None, found.groups()))}"


# What the upload form has in their place.
_ON_MAPPINGS = re.compile(r"^(?:say which fields hold what: |or )mapping=\{|^or name its format with format=$")
_CHOICES = (
    (re.compile(r"\bpass encoding=\"([\w.-]+)\"(?: or \"([\w.-]+)\")?"), _encoding_choice),
    (
        re.compile(r"\bsplit=\"turn\": the format (\S+) has no sessions of an agent; leave split out"),
        r"the format \1 has no sessions of an agent; choose one trace for each session",
    ),
)


def as_options(message: str, mappings: Sequence[Mapping[str, Any]] = ()) -> str:
    """The message with its advice in the language of a shell or a magic: `--map` instead of `mapping=`.

    `mappings` are those that the message names.

    >>> as_options('save it as UTF-8, or pass encoding="utf-16"')
    'save it as UTF-8, or pass --encoding utf-16'
    >>> as_options('say which fields hold what: mapping={"prompt": "question", "reasoning": "cot"}')
    'say which fields hold what: --map prompt=question --map reasoning=cot'
    """
    for mapping in mappings:
        message = message.replace(mapping_text(mapping), map_flags(mapping))
    return _OPTION.sub(_flag, _MAPPING.sub(_example, message))


def as_choices(message: str, *, is_held: bool = True) -> str:
    r"""The message with its advice in the words of the upload form, which has choices in place of options.

    With `is_held`, the form lets the user choose the fields of a file that no format fits.

    >>> as_choices('a.csv: is UTF-16 text; save it as UTF-8, or pass encoding="utf-16"')
    'a.csv: is UTF-16 text; save it as UTF-8, or choose the encoding utf-16'
    >>> as_choices('a.jsonl: of no known format; its fields are q\nor name its format with format=')
    'a.jsonl: of no known format; its fields are q\nchoose below what its fields are'
    """
    choose = f"{'choose below' if is_held else 'add the file by itself to choose'} what its fields are"
    lines = [choose if _ON_MAPPINGS.search(line) else line for line in message.split("\n")]
    message = "\n".join(
        line for line, before in zip(lines, [None, *lines], strict=False) if not line == before == choose
    )
    for option, choice in _CHOICES:
        message = option.sub(choice, message)
    return message


def _example(found: re.Match[str]) -> str:
    try:
        return map_flags(json.loads(found[1]))
    except ValueError:
        return found[0]


def _flag(found: re.Match[str]) -> str:
    name, value, other = found.groups()
    return f"--{name}" + (f" {value}" if value else "") + (f" or {other}" if other else "")


def unquoted(word: str) -> str:
    """The word without the quotes that IPython keeps around an argument with spaces."""
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def params_in(pairs: Iterable[str] | None) -> dict[str, Any] | None:
    """The parameters of KEY=VALUE pairs, None without pairs: values are JSON, or else strings.

    >>> params_in(["repeats=4"])
    {'repeats': 4}
    """
    return {key: _value(text) for key, text in _split("--param", "KEY=VALUE", pairs or ())} or None


def meta_in(pairs: Iterable[str] | None) -> dict[str, Any] | None:
    """The same for what is added to meta; QueryInvalid for a key that is empty or comes twice.

    >>> meta_in(["run=A", "training_step=20"])
    {'run': 'A', 'training_step': 20}
    """
    meta: dict[str, Any] = {}
    for key, text in _split("--meta", "KEY=VALUE, such as run=A", pairs or ()):
        if not key or key in meta:
            raise QueryInvalid(f"--meta {key}={text}: the key is {'given twice' if key else 'missing'}")
        meta[key] = _value(text)
    return meta or None


def mapping_in(pairs: Iterable[str] | None) -> dict[str, Any] | None:
    """The mapping of TARGET=FIELD pairs, None without pairs; QueryInvalid for one that is not a pair or comes twice.

    Several fields are a JSON list; := sets a constant, which is JSON or else a text.

    >>> mapping_in(["prompt=question", 'completion=["a", "b"]', "meta.model:=toy-1b"])
    {'prompt': 'question', 'completion': ['a', 'b'], 'meta.model': {'value': 'toy-1b'}}
    """
    mapping: dict[str, Any] = {}
    for name, field in _split("--map", "TARGET=FIELD, such as prompt=question", pairs or ()):
        target = name.removesuffix(":")
        if target in mapping:
            raise QueryInvalid(f"--map {name}={field}: {target} is already mapped to {mapping[target]}")
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
    return " ".join(f"--map {shlex.quote(_pair(target, given))}" for target, given in mapping.items())


def _pair(target: str, given: Any) -> str:
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
