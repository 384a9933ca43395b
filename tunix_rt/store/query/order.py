"""The orders of a page other than newest first: by a column, by a value in meta, by a score, and the order of ids.

Each row has a key of a number or a text, or neither: numbers come first, then texts, then what has neither, in both
directions. Equal keys are newest first. A boolean is 0 or 1, and of a text the first 100 characters count.
"""

import zlib
from dataclasses import dataclass
from typing import Any, TypedDict
from uuid import UUID

from tunix_rt.errors import QueryInvalid
from tunix_rt.store.filter_values import is_text
from tunix_rt.store.filters import Condition, Filters
from tunix_rt.store.meta_filter import pointers
from tunix_rt.store.query.cursor import Cursor
from tunix_rt.store.score_filter import SCORER_NAME
from tunix_rt.validation import short

# A cursor holds the text.
_TEXT_CHARS = 100
_NUMBERS = ("n_steps", "n_chars")
_TEXTS = ("source", "trace_version", "preview")
COLUMNS = ("created_at", *_NUMBERS, *_TEXTS)
KNOWN = f"{', '.join(COLUMNS)}, meta.KEY or score.SCORER"


class _NewestFirst(TypedDict):
    order_by: str
    descending: bool


# For ids, which would otherwise keep their order.
NEWEST_FIRST = _NewestFirst(order_by="created_at", descending=True)

_BY_COLUMN = "select id, created_at, {number} as number, {text} as text from traces{{where}}"
# DuckDB finds the value of 1,000,000 traces in 0.22 s of CPU. The rest is kept small: casting a text, or parsing
# one without escapes, takes 0.2 s more. The random number is a barrier: a condition on what is behind it would
# otherwise be one on meta, which DuckDB then reads four times. (A list of one is a barrier too; it takes a tenth more.)
_BY_META = f"""
select id, created_at, key.number, key.text
from (
    select id, created_at, if(random() >= 0, struct_pack(
        number := case
            when starts_with(value, '"') then null
            when value = 'true' then 1
            when value = 'false' then 0
            else try_cast(value as double)
        end,
        text := case when starts_with(value, '"') then if(
            contains(value, chr(92)),
            left(json_extract_string(value, '$'), {_TEXT_CHARS}),
            substring(value, 2, least(length(value) - 2, {_TEXT_CHARS}))
        ) end
    ), null) as key
    from (select id, created_at, {{value}}::varchar as value from traces{{{{where}}}})
)
"""
_CURRENT = f"""
select trace_id, unnest(arg_max(
    struct_pack(number := value, text := left(label, {_TEXT_CHARS})), (scored_at, sample)
))
from scores where scorer = ? and step is null{{further}} group by trace_id
"""
_BY_SCORE = f"""
select id, created_at, number, text
from (select id, created_at from traces{{where}}) left join ({_CURRENT.format(further="")}) on trace_id = id
"""
_BY_POSITION = """
select id, created_at, number::double as number, null::varchar as text
from traces join (
    select wanted, min(position) as number
    from (select unnest(?::uuid[]) as wanted, generate_subscripts(?::uuid[], 1) as position) group by wanted
) on id = wanted{where}
"""
# The scores of a scorer, with what they were before: whether they are the current ones is another query.
SCORED = f"""
select trace_id as id, created_at, value as number, left(label, {_TEXT_CHARS}) as text
from scores where scorer = ? and step is null and (value is not null or label is not null)
"""
# Only the numbers, which DuckDB finds the first of in a third of the time.
NUMBERS = "select value as number from scores where scorer = ? and step is null"
# A score is stored once under its version, parameters and sample: there are no others where all are those of one score.
# DuckDB skips the row groups with one short version; a long one it compares once for each row group, where the least
# and the greatest version take four times as long.
ONE_SCORED = "select version, params, sample from scores where scorer = ? and step is null limit 1"
SCORED_OTHERWISE = """
select 1 from scores
where scorer = ? and step is null and (version != ? or params != ? or sample != ?) limit 1
"""
CURRENT_OF = _CURRENT.format(further=" and trace_id in (select unnest(?::uuid[]))")


@dataclass(frozen=True)
class Order:
    """An order: its name, as `order_by` of a page has it, and the query of the rows with their keys.

    `rows` has `{where}` in it; `before` and `behind` are the values that it binds on both sides of that. `scorer` is
    set where the keys are scores.
    """

    name: str
    rows: str
    before: tuple[Any, ...] = ()
    behind: tuple[Any, ...] = ()
    descending: bool = False
    newest_first: bool = True
    scorer: str | None = None

    @property
    def words(self) -> str:
        """The order in a caption."""
        if self.name == "ids":
            return "in the order of ids"
        return f"by {self.name}, {'descending' if self.descending else 'ascending'}"

    @property
    def digest(self) -> int:
        """What tells the cursors of this order from those of others."""
        return zlib.crc32(f"{self.name} {self.descending}".encode())

    def sorted_by(self, *, backwards: bool = False) -> str:
        """The ORDER BY clause; `backwards` is the reverse."""
        keys = "desc" if self.descending != backwards else "asc"
        times = "desc" if self.newest_first != backwards else "asc"
        nulls = "first" if backwards else "last"
        return f" order by number {keys} nulls {nulls}, text {keys} nulls {nulls}, created_at {times}, id {times}"

    def behind_cursor(self, cursor: Cursor, *, backwards: bool = False) -> Condition:
        """The condition that a row with its key is behind the cursor; `backwards`: in front of it."""
        beyond = "<" if self.descending != backwards else ">"
        tail = f"(created_at, id) {'<' if self.newest_first != backwards else '>'} (?, ?)"
        at = (cursor.created_at, cursor.id)
        if cursor.number is not None:
            # Spelled out: DuckDB skips row groups by a comparison of a column alone.
            clause = f"(number {beyond}= ? and (number {beyond} ? or {tail}))"
            clause = clause if backwards else f"({clause} or number is null)"
            return Condition(clause, (cursor.number, cursor.number, *at))
        if cursor.text is not None:
            among = f"text {beyond} ?{'' if backwards else ' or text is null'} or (text = ? and {tail})"
            clause = f"(number is not null or {among})" if backwards else f"(number is null and ({among}))"
            return Condition(clause, (cursor.text, cursor.text, *at))
        if backwards:
            return Condition(f"(number is not null or text is not null or {tail})", at)
        return Condition(f"(number is null and text is null and {tail})", at)

    def in_order(self, rows: list[tuple[Any, ...]], *, backwards: bool = False) -> list[tuple[Any, ...]]:
        """Rows of (id, created_at, number, text), of several queries, in this order."""
        rows.sort(key=lambda row: (row[1], row[0]), reverse=self.newest_first)
        rows.sort(key=lambda row: row[3] or "", reverse=self.descending)
        rows.sort(key=lambda row: row[2] or 0.0, reverse=self.descending)
        rows.sort(key=lambda row: 0 if row[2] is not None else 1 if row[3] is not None else 2)
        return rows[::-1] if backwards else rows


def order_of(order_by: Any, *, descending: Any, filters: Filters) -> Order | None:
    """The order that the options of `TraceStore.page` request; None is newest first. QueryInvalid if there is none."""
    if not isinstance(descending, bool):
        raise QueryInvalid(f"descending={short(descending)}: must be true or false")
    if order_by is None:
        if descending:
            raise QueryInvalid("descending=true: needs order_by; without it pages are newest first")
        return _as_given(filters.given.get("ids"))
    name = order_by if isinstance(order_by, str) else ""
    if name == "created_at" and descending:
        return None
    table, _, key = name.partition(".")
    if name in COLUMNS:
        number, text = "null::double", "null::varchar"
        if name in _NUMBERS:
            number = name
        elif name in _TEXTS:
            text = f"left({name}, {_TEXT_CHARS})"
        rows = _BY_COLUMN.format(number=number, text=text)
        return Order(name, rows, descending=descending, newest_first=name != "created_at")
    if table == "meta" and key and is_text(key):
        paths = pointers(key)
        value = ", ".join(["json_extract(meta, ?)"] * len(paths))
        value = value if len(paths) == 1 else f"coalesce({value})"
        return Order(name, _BY_META.format(value=value), before=tuple(paths), descending=descending)
    if table == "score" and SCORER_NAME.fullmatch(key):
        return Order(name, _BY_SCORE, behind=(key,), descending=descending, scorer=key)
    raise QueryInvalid(f"order_by={short(order_by)}: must be {KNOWN}")


def _as_given(ids: Any) -> Order | None:
    """The order of several ids."""
    if ids is None or isinstance(ids, str | UUID):
        return None
    wanted = [str(one) for one in ids]
    return Order("ids", _BY_POSITION, before=(wanted, wanted)) if len(wanted) > 1 else None
