"""The filter by scores: what its values are, how they are read from text, and what they mean in SQL.

A term is a scorer with what its current score must be, the current score of a trace being the newest one.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.filter_values import STRING, Kind, plain_value, shown

# So that a name can stand in a text with a comparison behind it, and in a list with commas.
SCORER_NAME = re.compile(r"[^\s!<>=,\"\x00-\x1f\x7f](?:[^<>=!,\"\x00-\x1f\x7f]{0,98}[^\s<>=!,\"\x00-\x1f\x7f])?")
_SIGN = re.compile(r"<=|>=|!=|=|<|>")
# A comma between terms, not one inside quotes.
_TERMS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,])+|(?<=,)(?=,|$)|^$', re.DOTALL)
_SQL = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_EXAMPLES = "loop, !answer, structure<50, verdict=good, answer=null"

# `{bounds}` is a condition on the created_at and id of the traces, which bounds the scores as well.
_CURRENT = """
id {} (
    select id from (
        select trace_id as id, created_at, scored_at, sample, coalesce({}, false) as passes
        from scores where scorer = ? and step is null
    ){{bounds}}
    group by id having arg_max(passes, (scored_at, sample))
)
"""


class Term(NamedTuple):
    """What the current score of a scorer must be: a comparison with a number, a boolean or a label; or None."""

    scorer: str
    sign: str
    wanted: float | bool | str | None


def scorer_names(name: str, given: Any) -> tuple[str, ...]:
    """The names of scorers in an option, which may be one name or None; QueryInvalid where one is not such a name."""
    names = () if given is None else [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    distinct: dict[str, None] = {}
    for one in names:
        if not isinstance(one, str) or not SCORER_NAME.fullmatch(one):
            raise QueryInvalid(f"{name}: {shown(one)} is not the name of a scorer")
        distinct[one] = None
    return tuple(distinct)


def terms_in(name: str, value: Any) -> list[Term]:
    """The terms of a filter; QueryInvalid where one has no meaning."""
    if isinstance(value, Mapping):
        return [_checked(name, scorer, "=", wanted) for scorer, wanted in value.items()]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise QueryInvalid(f"{name}={shown(value)}: must be scorers with what they say, such as {_EXAMPLES}")
    return [_read(name, part) for text in texts for part in _TERMS.findall(text)]


def terms_text(terms: list[Term]) -> str:
    """The terms as text, which is read as the same terms.

    >>> terms_text(terms_in("score", {"answer": False, "structure": 50, "label:me": "good, but long"}))
    '!answer, structure=50, label:me="good, but long"'
    """
    return ", ".join(map(_text, terms))


def _text(term: Term) -> str:
    scorer, sign, wanted = term
    if isinstance(wanted, bool) and sign == "=":
        return scorer if wanted else f"!{scorer}"
    return f"{scorer}{sign}{json.dumps(wanted, ensure_ascii=False)}"


def _read(name: str, text: str) -> Term:
    found = _SIGN.search(text)
    if found is None:
        scorer = text.strip()
        return _checked(name, scorer.removeprefix("!").strip(), "=", not scorer.startswith("!"))
    wanted: Any = text[found.end() :].strip()
    with suppress(ValueError, RecursionError):
        wanted = json.loads(wanted)
    return _checked(name, text[: found.start()].strip(), found[0], wanted)


def _checked(name: str, scorer: Any, sign: str, given: Any) -> Term:
    wanted = plain_value(name, given)
    is_number = isinstance(wanted, int | float) and not isinstance(wanted, bool)
    if not isinstance(scorer, str) or not SCORER_NAME.fullmatch(scorer):
        raise QueryInvalid(
            f"{name}: {shown(scorer)} is not the name of a scorer; write what its scores must be, such as {_EXAMPLES}"
        )
    if is_number and abs(wanted) > sys.float_info.max:
        raise QueryInvalid(f"{name}: {scorer}{sign}{shown(given)}: must be a number of at most 1.8e308")
    if isinstance(wanted, str) and STRING.check(name, wanted) is not None and sign not in ("=", "!="):
        raise QueryInvalid(f"{name}: {scorer}{sign}{shown(given)}: a label can only be equal or not; write = or !=")
    if isinstance(wanted, list | dict) or (wanted is None and (given is not None or sign not in ("=", "!="))):
        raise QueryInvalid(f"{name}: {scorer}{sign}{shown(given)}: must be a boolean, a number, a label or null")
    return Term(scorer, sign, wanted)


def score_conditions(terms: list[Term]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """For each term its condition on a row of `traces`, with `{bounds}` in it, and the values before the bounds."""
    for scorer, sign, wanted in terms:
        if wanted is None:
            # No score, one that was withdrawn, or a reason instead of one.
            among = "not in" if sign == "=" else "in"
            yield _CURRENT.format(among, "value is not null or label is not null"), (scorer,)
        else:
            column = "label" if isinstance(wanted, str) else "value"
            passes = f"{column} {_SQL[sign]} ?"
            yield _CURRENT.format("in", passes), (wanted if isinstance(wanted, str) else float(wanted), scorer)


SCORES = Kind(
    name="scores",
    check=terms_in,
    read=lambda given: given if isinstance(given, str) else list(given),
    metavar="SCORE",
    schema={"type": "string", "examples": ["loop", "!answer", "structure<50"]},
    repeated=True,
)
