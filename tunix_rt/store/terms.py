"""The terms of a filter: a name and what its value must be. In Python, as text, and back; one grammar for all.

A term as text is `reward<1`, `model!=a`, `verdict=good`, or a name alone, with or without a `!` before it; terms are
separated by commas. Values are JSON, or else texts. A name or a text with a sign or a comma in it is in double quotes.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.filter_values import Kind, is_text, plain_value, shown

PRESENT, ABSENT = "present", "absent"
ORDERING = ("<", "<=", ">", ">=")
_SIGN = re.compile(r"<=|>=|!=|=|<|>")
_SPACE = re.compile(r"\s*")
# What is neither JSON nor begun by a quote, up to a comma that is not inside quotes.
_BARE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,])*', re.DOTALL)
_PLAIN_NAME = re.compile(r"[^\s<>=!,\"{](?:[^<>=,\"]*[^\s<>=,\"!])?")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a value must be, in a filter: made by `lt`, `le`, `gt`, `ge`, `ne` and `between`; `present` and `absent`.

    `tests` are pairs of a sign and a value, all of which must hold.
    """

    tests: tuple[tuple[str, Any], ...]

    def __repr__(self) -> str:
        return " and ".join(
            sign if sign in (PRESENT, ABSENT) else f"{sign} {shown(value)}" for sign, value in self.tests
        )


def lt(value: float | str) -> Comparison:
    """Less than a number, or before a text; only numbers are less than a number."""
    return Comparison((("<", value),))


def le(value: float | str) -> Comparison:
    """At most a number, or a text and those before it."""
    return Comparison((("<=", value),))


def gt(value: float | str) -> Comparison:
    """More than a number, or behind a text; only numbers are more than a number."""
    return Comparison(((">", value),))


def ge(value: float | str) -> Comparison:
    """At least a number, or a text and those behind it."""
    return Comparison(((">=", value),))


def ne(value: Any) -> Comparison:
    """Another value than this one; what is missing or null has none. `ne(None)` is any value but null."""
    return Comparison((("!=", value),))


def between(low: float | str, high: float | str) -> Comparison:
    """From `low` to `high`, both included."""
    return Comparison(((">=", low), ("<=", high)))


present = Comparison(((PRESENT, None),))
absent = Comparison(((ABSENT, None),))


class Term(NamedTuple):
    """A name, a sign, and the value that is compared with; `absent` and `present` are signs without one."""

    name: str
    sign: str
    wanted: Any


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """What differs between filters: what a name alone and one with `!` mean, and which terms have a meaning.

    `check` returns the term, or raises QueryInvalid; its last argument is the value before it was made a JSON value.
    With `one_each`, each text of a list is one term, whose value may hold commas. `examples` are for messages.
    """

    yes: tuple[str, Any]
    no: tuple[str, Any]
    check: Callable[[str, Term, Any], Term]
    examples: str
    one_each: bool = False

    def terms(self, name: str, value: Any) -> list[Term]:
        """The terms in the value of the filter `name`; QueryInvalid where one has no meaning."""
        return [self._checked(name, key, sign, wanted) for key, sign, wanted in self._read(name, value)]

    def text(self, terms: Iterable[Term]) -> str:
        """The terms as text, which is read as the same terms."""
        return ", ".join(map(self._text, terms))

    def kind(self, name: str, metavar: str, examples: list[str]) -> Kind:
        """The kind of a filter whose values are such terms; it may be given several times."""
        return Kind(
            name=name,
            check=self.terms,
            as_text=self.text,
            read=lambda given: given if isinstance(given, str) else list(given),
            metavar=metavar,
            schema={"type": "string", "examples": examples},
            input="terms",
            repeated=True,
        )

    def _text(self, term: Term) -> str:
        name, sign, wanted = term
        name = quoted(name)
        # 1 is True in Python.
        for alone, (its_sign, value) in ((name, self.yes), (f"!{name}", self.no)):
            if sign == its_sign and wanted is value:
                return alone
        return f"{name}{sign}{json.dumps(wanted, ensure_ascii=False)}"

    def _read(self, name: str, value: Any) -> Iterator[tuple[str, str, Any]]:
        if isinstance(value, Mapping):
            # All keys together: two that are the same as text are refused.
            names = plain_value(name, dict.fromkeys(value))
            for key, wanted in zip(names, value.values(), strict=True):
                tests = wanted.tests if isinstance(wanted, Comparison) else (("=", wanted),)
                yield from ((key, *test) for test in tests)
            return
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise QueryInvalid(f"{name}={shown(value)}: must be names with what their values must be: {self.examples}")
        for text in texts:
            several = isinstance(value, str) or not self.one_each
            yield from (
                self._in_object(name, text) if text.lstrip().startswith("{") else self._in_text(name, text, several)
            )

    def _in_object(self, name: str, text: str) -> Iterator[tuple[str, str, Any]]:
        from pydantic_core import from_json

        try:
            # Of a text with a lone surrogate it would say that it is no text.
            found = from_json(text.encode(errors="surrogatepass"), allow_inf_nan=False)
        except ValueError as error:
            raise QueryInvalid(f"{name}={shown(text)}: is not valid JSON ({error})") from None
        return self._read(name, found)

    def _in_text(self, name: str, text: str, several: bool) -> Iterator[tuple[str, str, Any]]:  # noqa: FBT001 - one_each's opposite
        at = 0
        while True:
            key, sign, wanted, at = self._term_at(text, at, several=several)
            if not several and sign != "=" and isinstance(wanted, str | None) and _bare_end(text, 0) < len(text):
                raise QueryInvalid(
                    f"{name}: {shown(text)}: give each term as an option of its own; put a text with a comma in double "
                    "quotes"
                )
            yield key, sign, wanted
            if at >= len(text):
                return
            at += 1

    def _term_at(self, text: str, at: int, *, several: bool) -> tuple[str, str, Any, int]:
        """The name, the sign and the value of the term that begins here, and where it ends: at a comma or the end."""
        end = _bare_end(text, at) if several else len(text)
        begin = _after_space(text, at)
        negated = text[begin : begin + 1] == "!"
        key, behind = _json_at(text, _after_space(text, begin + negated))
        sign = _SIGN.match(text, behind) if isinstance(key, str) else None
        if not isinstance(key, str) or not (sign or behind == end):
            sign = _SIGN.search(text, begin, end)
            key = text[begin + negated : sign.start() if sign else end].strip()
        if sign is None:
            return key, *(self.no if negated else self.yes), end
        # A name in quotes cannot be negated, and a value neither: `!a=1` is a term of the name `!a`.
        key = f"!{key}" if negated else key
        value, behind = _json_at(text, _after_space(text, sign.end()))
        if behind == len(text) or (several and behind > 0 and text[behind] == ","):
            return key, sign[0], value, behind
        end = _bare_end(text, sign.end()) if several else len(text)
        return key, sign[0], text[sign.end() : end].strip(), end

    def _checked(self, name: str, key: str, sign: str, given: Any) -> Term:
        wanted = plain_value(f"{name}: {shown(key)}", given)
        term = Term(key, sign, wanted)
        if isinstance(wanted, int | float) and not isinstance(wanted, bool) and abs(wanted) > sys.float_info.max:
            raise QueryInvalid(f"{name}: {written(term, given)}: must be a number of at most 1.8e308")
        try:
            storable = is_text(key + json.dumps(wanted, ensure_ascii=False))
        except ValueError:
            # An integer of more digits than Python writes.
            raise QueryInvalid(f"{name}: {written(term, given)}: must be a JSON value") from None
        if not storable:
            raise QueryInvalid(
                f"{name}: {written(term, given)}: contains a lone surrogate, which is not valid text and is in no trace"
            )
        return self.check(name, term, given)


def unfinished(text: str) -> tuple[str, str, str, str]:
    """The last term of a text that is being typed: what is before it, its name, its sign (or ""), and its value."""
    at = 0
    while (end := _bare_end(text, at)) < len(text):
        at = end + 1
    begin = _after_space(text, at)
    begin += text[begin : begin + 1] == "!"
    name, behind = _json_at(text, begin)
    sign = _SIGN.match(text, behind) if isinstance(name, str) else None
    if not isinstance(name, str):
        sign = _SIGN.search(text, begin)
        name = text[begin : sign.start() if sign else None].strip()
    return text[: _after_space(text, at)], name, sign[0] if sign else "", text[sign.end() :] if sign else ""


def compares(value: Any) -> bool:
    """Whether the value of a filter holds comparisons, which JSON does not have."""
    return isinstance(value, Mapping) and any(isinstance(one, Comparison) for one in value.values())


def quoted(name: str) -> str:
    """The name as it is written in a term: in double quotes where it would be read as another one."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def written(term: Term, given: Any) -> str:
    """The term in a message; its value as it was given."""
    return f"{shown(term.name)[1:-1]}{term.sign}{shown(given)}"


def _after_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _bare_end(text: str, at: int) -> int:
    return _BARE.match(text, at).end()  # type: ignore[union-attr]


def _json_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value here, and where what follows it begins; -1 where there is none."""
    with suppress(ValueError, RecursionError):
        value, end = _DECODER.raw_decode(text, at)
        return value, _after_space(text, end)
    return None, -1
