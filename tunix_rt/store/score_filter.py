"""The filter by scores: what its terms are, and what they mean in SQL.

A term is a scorer with what its current score must be, the current score of a trace being the newest one.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.filter_values import shown
from tunix_rt.store.terms import ABSENT, ORDERING, PRESENT, Grammar, Term, written

# So that a name can stand in a text with a comparison behind it, and in a list with commas.
SCORER_NAME = re.compile(r"[^\s!<>=,\"\x00-\x1f\x7f](?:[^<>=!,\"\x00-\x1f\x7f]{0,98}[^\s<>=!,\"\x00-\x1f\x7f])?")
_SQL = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_EXAMPLES = "loop, !answer, structure<50, verdict=good, answer=null"

# `{bounds}` is a condition on the created_at and id of the traces, which bounds the scores as well. Only where one of a
# trace's scores passes, which is the current one is looked at: a count of the 1 % that pass takes a third of the time.
# And by one number: pairs take half as long again.
_CURRENT = """
id {} (
    with said as materialized (
        select id, passes, moment
        from (
            select trace_id as id, created_at, coalesce({}, false) as passes,
                epoch_us(scored_at)::hugeint * 4294967296 + sample as moment
            from scores where scorer = ? and step is null
        ){{bounds}}
    )
    select id from said where id in (select id from said where passes) group by id having arg_max(passes, moment)
)
"""


def scorer_names(name: str, given: Any) -> tuple[str, ...]:
    """The names of scorers in an option, which may be one name or None; QueryInvalid where one is not such a name."""
    names = () if given is None else [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    distinct: dict[str, None] = {}
    for one in names:
        if not isinstance(one, str) or not SCORER_NAME.fullmatch(one):
            raise QueryInvalid(f"{name}: {shown(one)} is not the name of a scorer")
        distinct[one] = None
    return tuple(distinct)


def _checked(name: str, term: Term, given: Any) -> Term:
    scorer, sign, wanted = term
    if not SCORER_NAME.fullmatch(scorer):
        raise QueryInvalid(
            f"{name}: {shown(scorer)} is not the name of a scorer; write what its scores must be, such as {_EXAMPLES}"
        )
    if sign in (ABSENT, PRESENT):
        return Term(scorer, "=" if sign == ABSENT else "!=", None)
    if isinstance(wanted, str) and sign in ORDERING:
        raise QueryInvalid(f"{name}: {written(term, given)}: a label can only be equal or not; write = or !=")
    if isinstance(wanted, list | dict) or (wanted is None and (given is not None or sign in ORDERING)):
        raise QueryInvalid(f"{name}: {written(term, given)}: must be a boolean, a number, a label or null")
    return term


SCORE_TERMS = Grammar(yes=("=", True), no=("=", False), check=_checked, examples=_EXAMPLES)


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


def scorers_needed(terms: list[Term]) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """For each term that only a trace with a score can pass: what that is, and the condition, as `score_conditions`."""
    for scorer, sign, wanted in terms:
        if (sign, wanted) != ("=", None):
            yield f"a score by {scorer}", _CURRENT.format("in", "true"), (scorer,)


SCORES = SCORE_TERMS.kind("scores", "SCORE", ["loop", "!answer", "structure<50"])
