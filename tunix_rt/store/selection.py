"""A frozen choice of the traces of a store: which they were when they were chosen, and how they were chosen."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import to_jsonable_python

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import TIME
from tunix_rt.store.filters import FILTERS, Filters, as_text
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.order import COLUMNS, Order, order_of
from tunix_rt.store.query.scan import scan
from tunix_rt.validation import short

_FILTER = 80  # characters of a filter's value among the facts
# More than anyone labels in one go. A form reads at its start what is said of all: of 10,000 among 200,000 in 0.6 s.
MOST_QUEUED = 10_000
_COLUMNS = f"id::varchar as id, {TIME} as created_at"
_STRATA = """
select
    {columns},
    dense_rank() over (order by number nulls last, text nulls last) as stratum,
    number is not null or text is not null as has_value
from ({rows})
order by created_at desc, id desc
"""


@render.shows_facts
class Selection:
    """The traces that passed the filters when `store.select` was called, newest first; nothing that is added later.

    `ids` are their ids, of which there are `len(selection)`; `filters`, `limit` and `seed` say how they were chosen,
    `name` and `version` under what it is stored, None where it is not. That of `store.queue` (`is_queue`) is in random
    order, and `stratify` is what it was spread over evenly, or None. It is a filter itself: `store.page(ids=chosen)`,
    `store.export("x.jsonl", ids=chosen)`. Traces that are deleted later are missing from what these return. `store` is
    the path of the store, and `session` the way into it.
    """

    def __init__(
        self,
        session: Access,
        path: Path,
        ids: pa.Array,
        how: "Choice",
        *,
        name: str | None = None,
        version: int | None = None,
    ) -> None:
        self.session = session
        self._ids = ids
        self.store = path
        self._how = how
        self.filters, self.limit, self.seed, self.stratify, self.is_queue = how
        self._in_order = how.in_order(ids)
        self.name, self.version = name, version

    @property
    def ids(self) -> list[str]:
        """The ids, newest first; those of a queue in its order."""
        return list(self._in_order.to_pylist())

    @property
    def digest(self) -> str:
        """The SHA-256 of the ids, a line each, newest first: two selections of the same traces have the same."""
        return digest(self._ids.to_pylist())

    def to_dict(self) -> dict[str, Any]:
        """How the traces were chosen, how many there are, and their digest, as values of JSON."""
        named = {} if self.name is None else {"name": self.name, "version": self.version}
        return named | {"store": self.store.name, **self._how.to_dict(), "traces": len(self), "sha256": self.digest}

    @property
    def said(self) -> str:
        """The filters in a line; "all traces" without any."""
        return self._how.said

    @property
    def _kind(self) -> str:
        return "Queue" if self.is_queue else "Selection"

    @property
    def _facts(self) -> list[tuple[str, str]]:
        version = "" if self.is_queue else f", version {self.version}"
        named = f"{self.name}{version}: " if self.name else ""
        counted = named + render.count(len(self), "trace")
        return [(self._kind.lower(), counted), ("of", str(self.store)), ("chosen by", self.said)]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._in_order.to_pylist())

    def __repr__(self) -> str:
        named = (f" {self.name}" if self.is_queue else f" {self.name}@{self.version}") if self.name else ""
        return f"<{self._kind}{named} of {render.count(len(self), 'trace')}: {self.said}>"


class Choice(NamedTuple):
    """How the traces of a selection are chosen: the filters as they were given, how many of these, by which seed.

    Those of a queue are drawn evenly over the values of `stratify`, if any, and are in random order.
    """

    filters: dict[str, Any]
    limit: int | None
    seed: int | None
    stratify: str | None = None
    is_queue: bool = False

    @classmethod
    def checked(cls, filters: Filters, limit: int | None, seed: int | None) -> Self:
        """The choice by these options; QueryInvalid where one is not valid."""
        if limit is not None:
            whole_number("limit", limit, 1, None)
        if seed is not None:
            whole_number("seed", seed, 0, None)
            if limit is None:
                raise QueryInvalid("select: `seed` draws `limit` traces at random; give a limit, too")
        return cls(filters.given, limit, seed)

    @classmethod
    def of_queue(cls, filters: Filters, n: int | None, seed: int, stratify: str | None) -> Self:
        """That of a queue; QueryInvalid where an option is not valid."""
        if n is not None:
            whole_number("n", n, 1, MOST_QUEUED)
        whole_number("seed", seed, 0, None)
        if stratify is not None:
            _strata(stratify)
        return cls(filters.given, n, seed, stratify, is_queue=True)

    def to_dict(self) -> dict[str, Any]:
        """The choice as values of JSON; long lists of ids are their number and digest."""
        filters = {name: as_text(name, value) for name, value in self.filters.items()}
        if "ids" in filters and not isinstance(filters["ids"], Selection | dict):
            ids = FILTERS["ids"].kind.check("ids", filters["ids"])
            filters["ids"] = {"traces": len(ids), "sha256": digest(ids)}
        of_queue = {"stratify": self.stratify, "is_queue": True} if self.is_queue else {}
        filters = to_jsonable_python(filters, fallback=_plain)
        return {"filters": filters, "limit": self.limit, "seed": self.seed, **of_queue}

    @property
    def said(self) -> str:
        """The choice in a line; "all traces" without any."""
        parts = [f"{name}={_short(as_text(name, value))}" for name, value in self.filters.items()]
        if self.limit is not None:
            parts.append(f"{self.limit:,} " + ("newest" if self.seed is None else f"at random (seed {self.seed})"))
        if self.stratify is not None:
            parts.append(f"evenly over {self.stratify}")
        return ", ".join(parts) or "all traces"

    def in_order(self, ids: pa.Array) -> pa.Array:
        """Ids that are newest first in the order of the selection, which depends on the seed alone.

        In a random order the first traces of a queue, which are labelled first, are a random sample as well.
        """
        if not self.is_queue:
            return ids
        shuffled = list(range(len(ids)))
        # Not the numbers by which they were drawn.
        random.Random(f"order {self.seed}").shuffle(shuffled)  # noqa: S311
        return ids.take(pa.array(shuffled, pa.int64()))


def digest(ids: Iterable[str]) -> str:
    """The SHA-256 of ids, a line each."""
    return hashlib.sha256("".join(f"{one}\n" for one in ids).encode()).hexdigest()


def chosen(session: Access, filters: Filters, how: Choice) -> pa.Table:
    """The traces that are chosen now: `id` and `created_at` (microseconds), newest first."""
    limit, seed = how.limit, how.seed
    strata: list[int] | None = None
    if how.stratify is None:
        found = pa.Table.from_batches(scan(session, _COLUMNS, filters, newest_first=True))
    else:
        found = _with_strata(session, filters, how.stratify)
        strata = found["stratum"].to_pylist()
        found = found.select(["id", "created_at"])
    if limit is None or limit >= len(found):
        return found
    if seed is None:
        return found.slice(0, limit)
    numbers = random.Random(seed)  # noqa: S311
    drawn = numbers.sample(range(len(found)), limit) if strata is None else drawn_evenly(strata, limit, numbers)
    return found.take(pa.array(sorted(drawn), pa.int64()))


def drawn_evenly(strata: list[int], n: int, numbers: random.Random) -> list[int]:
    """The indices of `n` items, by systematic sampling: in equal steps through the shuffled items, sorted by stratum.

    So each item has the same chance of n/N, in a stratum of any size, and each stratum has its share, rounded up or
    down at random (Madow 1949).
    """
    size = len(strata)
    items = list(range(size))
    numbers.shuffle(items)
    items.sort(key=strata.__getitem__)
    start = numbers.randrange(size)
    return [items[(start + at * size) // n] for at in range(n)]


def _with_strata(session: Access, filters: Filters, stratify: str) -> pa.Table:
    order = _strata(stratify)
    clause, values = filters.clause()
    query = _STRATA.format(columns=_COLUMNS, rows=order.rows.format(where=clause))
    with session.cursor() as cursor, filters.query_errors(cursor, session.path):
        found = cursor.sql(query, params=[*order.before, *values, *order.behind]).to_arrow_table()
    if len(found) and not pc.any(found["has_value"]).as_py():
        raise QueryInvalid(f"stratify={short(stratify)}: none of these traces has a value of it")
    return found


def _strata(stratify: Any) -> Order:
    """What the traces are spread over, as pages are ordered by it; QueryInvalid if it is nothing of the kind."""
    try:
        order = order_of(stratify, descending=False, filters=Filters())
    except QueryInvalid:
        order = None
    if order is None or order.name == "created_at":
        known = ", ".join(name for name in COLUMNS if name != "created_at")
        raise QueryInvalid(f"stratify={short(stratify)}: must be {known}, meta.KEY or score.SCORER")
    return order


def select(session: Access, path: Path, filters: Filters, *, limit: int | None, seed: int | None) -> Selection:
    """The selection, which is not stored, of the traces that pass the filters; see `TraceStore.select`."""
    how = Choice.checked(filters, limit, seed)
    return Selection(session, path, chosen(session, filters, how)["id"].combine_chunks(), how)


def named_for_deletion(store: Any, ids: Sequence[str] | None, filters: dict[str, Any], *, yes: bool) -> Selection:
    """What a shell or a magic names: traces by ids, their beginnings or `latest`, or else those that pass the filters.

    It is frozen: what is added after it was counted is not in it. QueryInvalid with the number, unless `yes`.
    """
    if bool(ids) == bool(filters):
        raise QueryInvalid("delete: pass either ids or filters; --where true deletes everything")
    if ids:
        filters = {"ids": [(store.latest() if one == "latest" else store.get(one)).id for one in ids]}
    found: Selection = store.select(**filters)
    if len(found) and not yes:
        traces = render.count(len(found), "trace")
        raise QueryInvalid(f"delete: {traces} with their scores would be deleted from {store.path}; pass --yes")
    return found


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Selection) else str(value)


def _short(value: Any) -> str:
    if isinstance(value, Selection):
        return repr(value)
    if isinstance(value, dict) and "sha256" in value:
        named = f"selection {value['name']}@{value['version']}, " if "name" in value else ""
        return f"{named}{render.count(value['traces'], 'trace')}"
    return render.one_line(value if isinstance(value, str) else repr(value), _FILTER)
