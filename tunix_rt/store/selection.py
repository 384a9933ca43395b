"""A frozen choice of the traces of a store: which they were when they were chosen, and how they were chosen."""

import hashlib
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
from pydantic_core import to_jsonable_python

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.session import Session
from tunix_rt.store.filters import FILTERS, Filters, as_text
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.scan import scan

_FILTER = 80  # characters of a filter's value among the facts


@render.shows_facts
class Selection:
    """The traces that passed the filters when `store.select` was called, newest first; nothing that is added later.

    `ids` are their ids, of which there are `len(selection)`; `filters`, `limit` and `seed` say how they were chosen,
    `name` and `version` under what it is stored, None where it is not. It is a filter itself: `store.page(ids=chosen)`,
    `store.export("x.jsonl", ids=chosen)`. Traces that are deleted later are missing from what these return. `store` is
    the path of the store, and `session` the way into it.
    """

    def __init__(
        self,
        session: Session,
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
        self.filters, self.limit, self.seed = how
        self.name, self.version = name, version

    @property
    def ids(self) -> list[str]:
        """The ids, newest first."""
        return list(self._ids.to_pylist())

    @property
    def digest(self) -> str:
        """The SHA-256 of the ids, a line each, in their order: two selections of the same traces have the same."""
        return digest(self)

    def to_dict(self) -> dict[str, Any]:
        """How the traces were chosen, how many there are, and their digest, as values of JSON."""
        named = {} if self.name is None else {"name": self.name, "version": self.version}
        how = Choice(self.filters, self.limit, self.seed).to_dict()
        return named | {"store": self.store.name, **how, "traces": len(self), "sha256": self.digest}

    @property
    def said(self) -> str:
        """The filters in a line; "all traces" without any."""
        parts = [f"{name}={_short(as_text(name, value))}" for name, value in self.filters.items()]
        if self.limit is not None:
            parts.append(f"{self.limit:,} " + ("newest" if self.seed is None else f"at random (seed {self.seed})"))
        return ", ".join(parts) or "all traces"

    @property
    def _facts(self) -> list[tuple[str, str]]:
        named = f"{self.name}, version {self.version}: " if self.name else ""
        counted = named + render.count(len(self), "trace")
        return [("selection", counted), ("of", str(self.store)), ("chosen by", self.said)]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids.to_pylist())

    def __repr__(self) -> str:
        named = f" {self.name}@{self.version}" if self.name else ""
        return f"<Selection{named} of {render.count(len(self), 'trace')}: {self.said}>"


class Choice(NamedTuple):
    """How the traces of a selection are chosen: the filters as they were given, how many of these, by which seed."""

    filters: dict[str, Any]
    limit: int | None
    seed: int | None

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

    def to_dict(self) -> dict[str, Any]:
        """The choice as values of JSON; long lists of ids are their number and digest."""
        filters = {name: as_text(name, value) for name, value in self.filters.items()}
        if "ids" in filters and not isinstance(filters["ids"], Selection | dict):
            ids = FILTERS["ids"].kind.check("ids", filters["ids"])
            filters["ids"] = {"traces": len(ids), "sha256": digest(ids)}
        return {"filters": to_jsonable_python(filters, fallback=_plain), "limit": self.limit, "seed": self.seed}


def digest(ids: Iterable[str]) -> str:
    """The SHA-256 of ids, a line each."""
    return hashlib.sha256("".join(f"{one}\n" for one in ids).encode()).hexdigest()


def chosen(session: Session, filters: Filters, limit: int | None, seed: int | None) -> pa.Table:
    """The traces that pass the filters now, or `limit` of them: `id` and `created_at` (microseconds), newest first."""
    columns = "id::varchar as id, epoch_us(created_at) as created_at"
    found = pa.Table.from_batches(scan(session, columns, filters, newest_first=True))
    if limit is None or limit >= len(found):
        return found
    drawn = range(limit) if seed is None else sorted(random.Random(seed).sample(range(len(found)), limit))  # noqa: S311
    return found.take(pa.array(drawn, pa.int64()))


def select(session: Session, path: Path, filters: Filters, *, limit: int | None, seed: int | None) -> Selection:
    """The selection, which is not stored, of the traces that pass the filters; see `TraceStore.select`."""
    how = Choice.checked(filters, limit, seed)
    return Selection(session, path, chosen(session, filters, limit, seed)["id"].combine_chunks(), how)


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Selection) else str(value)


def _short(value: Any) -> str:
    if isinstance(value, Selection):
        return repr(value)
    if isinstance(value, dict) and "sha256" in value:
        named = f"selection {value['name']}@{value['version']}, " if "name" in value else ""
        return f"{named}{render.count(value['traces'], 'trace')}"
    return render.one_line(value if isinstance(value, str) else repr(value), _FILTER)
