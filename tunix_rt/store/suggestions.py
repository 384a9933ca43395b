"""What a field for terms (`reward<1, model!=a`) offers while one is typed: keys of meta, scorers, and their values."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from tunix_rt import render
from tunix_rt.store.meta_filter import pointers
from tunix_rt.store.terms import quoted, unfinished

# Nobody waits for more while typing: among 100,000 traces, on a busy machine, keys took 18 ms and values 0.2 s.
NEWEST = 1_000
_MOST_OFFERED = 40
_MOST_CHARS = 60

_NEWEST = (
    f"with newest as materialized (select id, created_at, meta from traces order by created_at desc limit {NEWEST})"
)
_KEYS = f"""
{_NEWEST}
select key, count(*) as n from (select unnest(json_keys(meta)) as key from newest) group by key order by n desc, key
"""
_VALUES = f"""
{_NEWEST}
select value::varchar, count(*) as n
from (select coalesce(json_extract(meta, ?), json_extract(meta, ?)) as value from newest)
where value is not null and json_type(value) not in ('OBJECT', 'ARRAY')
group by value::varchar order by n desc, 1 limit {_MOST_OFFERED}
"""
_N_NEWEST = f"{_NEWEST} select 'newest', count(*) from newest"
_OF_NEWEST = "from scores semi join newest on id = trace_id where step is null"
_SCORERS = (
    f"{_NEWEST} select scorer, count(distinct trace_id) as n {_OF_NEWEST} group by scorer order by n desc, scorer"
)
_SCORES = f"""
{_NEWEST}
select coalesce(to_json(label)::varchar, value::varchar) as said, count(*) as n
{_OF_NEWEST} and scorer = ? and coalesce(label, value::varchar) is not null
group by said order by n desc, said limit {_MOST_OFFERED}
"""


class Rows(Protocol):
    """The result of a query."""

    @property
    def rows(self) -> Iterable[tuple[Any, ...]]: ...  # noqa: D102


Sql = Callable[..., Rows]


class Suggestion(NamedTuple):
    """A text for the field, and how many of the newest traces have what it names."""

    value: str
    label: str


def suggestions(sql: Sql, name: str, text: str) -> list[Suggestion]:
    """What the text in the field of the filter "meta" or "score" may become: its last term completed.

    They are keys and values of the newest 1,000 traces, the most frequent first; `sql` is `TraceStore.sql`.
    """
    before, key, sign, _ = unfinished(text)
    of_meta = name == "meta"
    keys = _counted(sql, _KEYS if of_meta else _SCORERS)
    found: list[tuple[str, int]] = []
    if key in keys:
        parameters = (pointers(key)[0], pointers(key)[-1]) if of_meta else (key,)
        values = _counted(sql, _VALUES if of_meta else _SCORES, *parameters)
        found += _terms(quoted(key), sign, values, is_score=not of_meta)
        if not sign:
            n_without = _counted(sql, _N_NEWEST)["newest"] - keys[key] if of_meta else 0
            found.append((f"!{quoted(key)}", n_without))
    if not sign:
        found += [(quoted(one), n) for one, n in keys.items() if key in one]
    return [
        Suggestion(f"{before}{term}", f"{n:,} of the newest {NEWEST:,}" if n else "")
        for term, n in dict(found).items()
        if len(term) <= _MOST_CHARS and render.visible(term) == term
    ][:_MOST_OFFERED]


def _counted(sql: Sql, query: str, *parameters: Any) -> dict[str, int]:
    return {str(what): n for what, n in sql(query, *parameters).rows}


def _terms(key: str, sign: str, values: dict[str, int], *, is_score: bool) -> Iterator[tuple[str, int]]:
    """The term with each of the values; a comparison has no count, for the values are only examples."""
    for text, n in values.items():
        value = json.loads(text)
        if is_score and not isinstance(value, str) and set(values) <= {"0.0", "1.0"}:
            # What is only 0 and 1 are the answers yes and no.
            if not sign:
                yield (key if value else f"!{key}"), n
            continue
        if isinstance(value, float) and value.is_integer() and is_score:
            value = int(value)
        if not isinstance(value, int | float) and sign in ("<", "<=", ">", ">="):
            continue
        yield f"{key}{sign or '='}{_written(value)}", n if sign in ("", "=") else 0


def _written(value: Any) -> str:
    """The value in a term: a text without quotes where it is read as the same text."""
    if isinstance(value, str) and value == value.strip() and not set(value) & set(',"'):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)
