"""The filter by meta: what its terms are, and what they mean in SQL.

A term is a key with what its value must be. Dots reach inside objects and lists; a key that itself holds dots
(`gen_ai.usage`) is tried first.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.filter_values import shown
from tunix_rt.store.terms import ABSENT, ORDERING, PRESENT, Grammar, Term, written

_EXAMPLES = 'reward<1, model!=toy-1b, !truncated, "a<b"=1'
_NUMBERS = "('UBIGINT', 'BIGINT', 'DOUBLE', 'HUGEINT', 'UHUGEINT')"
_SQL = {"=": "=", "!=": "<>"}


def _checked(name: str, term: Term, given: Any) -> Term:
    key, sign, wanted = term
    if wanted is None and given is not None:
        # `delete` would otherwise find every trace that lacks the key.
        raise QueryInvalid(f"{name}: {written(term, given)}: must be a JSON value; None finds null and missing keys")
    if sign in ORDERING and (isinstance(wanted, bool) or not isinstance(wanted, int | float | str)):
        raise QueryInvalid(f"{name}: {written(term, given)}: only numbers and texts have an order")
    if sign in (PRESENT, ABSENT) and not key:
        raise QueryInvalid(f"{name}: {shown(key)} is no key; write what the values of keys must be: {_EXAMPLES}")
    return term


META_TERMS = Grammar(yes=(PRESENT, None), no=(ABSENT, None), check=_checked, examples=_EXAMPLES, one_each=True)
META = META_TERMS.kind("keys with values", "KEY=VALUE", ["reward<1, model!=toy-1b, !truncated", '{"reward": 1}'])


# Of the newest traces: Tab does not wait.
_KNOWN_KEYS = """
select key
from (select unnest(json_keys(meta)) as key from (select meta from traces order by created_at desc limit 100))
group by key order by count(*) desc, key
"""


def known_keys(rows: Callable[[str], Iterable[tuple[Any, ...]]]) -> list[str]:
    """The keys of meta in the newest traces, the most frequent first; `rows` runs a query."""
    return [key for (key,) in rows(_KNOWN_KEYS)]


def meta_conditions(terms: list[Term]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The condition on a row of `traces` that all the terms hold, and the values it binds; none for no terms."""
    paths: list[str] = []
    conditions = [_condition(term, paths) for term in terms]
    if conditions:
        # One extraction for all keys: each reads the whole of meta, and five of them, for traces with 1 MB of
        # numbers, needed more than 512 MB together.
        clause = " and ".join(sql for sql, _ in conditions)
        extracted = "json_extract(meta, ?::varchar[])"
        values = (value for _, values in conditions for value in values)
        yield f"list_transform([{extracted}], lambda found: {clause})[1]", (paths, *values)


def keys_needed(terms: list[Term]) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """For each term that only a trace with the key can pass: what that is, and the condition that it has the key."""
    for key, sign, wanted in terms:
        if sign != ABSENT and (sign, wanted) != ("=", None):
            for sql, values in meta_conditions([Term(key, PRESENT, None)]):
                yield f"meta.{key}", sql, values


def pointers(key: str) -> list[str]:
    """Where the value of a key may be in meta, in the order in which they are tried."""
    # Not one of DuckDB's paths, in which no key is empty and a star is any key.
    return [_pointer(key)] if "." not in key else [_pointer(key), _pointer(*key.split("."))]


def _pointer(*keys: str) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def _condition(term: Term, paths: list[str]) -> tuple[str, tuple[Any, ...]]:
    """The condition on `found`, which is what meta has at `paths`; adds those of this key to them."""
    key, sign, wanted = term
    first = len(paths) + 1
    paths += pointers(key)
    found = f"coalesce({', '.join(f'found[{n}]' for n in range(first, len(paths) + 1))})"
    if sign in (PRESENT, ABSENT):
        return f"{found} is {'not ' if sign == PRESENT else ''}null", ()
    has_value = f"coalesce(json_type({found}), 'NULL') <> 'NULL'"
    if wanted is None:
        return (f"not ({has_value})" if sign == "=" else has_value), ()
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        is_number, number = f"json_type({found}) in {_NUMBERS}", f"try_cast({found} as double)"
        if sign == "!=":
            return f"({has_value} and not coalesce({is_number} and {number} = ?::double, false))", (float(wanted),)
        return f"({is_number} and {number} {sign} ?::double)", (float(wanted),)
    if sign in ORDERING:
        return f"(json_type({found}) = 'VARCHAR' and json_extract_string({found}, '$') {sign} ?)", (wanted,)
    text = json.dumps(wanted, ensure_ascii=False, separators=(",", ":"))
    return f"({has_value} and {found}::varchar {_SQL[sign]} json(?)::varchar)", (text,)
