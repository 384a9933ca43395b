"""A frozen choice of the traces of a store: which they were when they were chosen, and how they were chosen."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic_core import to_jsonable_python

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.session import Session
from tunix_rt.store.filters import Filters, as_text
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.scan import scan

_FILTER = 80  # characters of a filter's value among the facts


@render.shows_facts
class Selection:
    """The traces that passed the filters when `store.select` was called, newest first; nothing that is added later.

    `ids` are their ids, of which there are `len(selection)`; `filters`, `limit` and `seed` say how they were chosen. It
    is a filter itself: `store.page(ids=selection)`, `store.export("x.jsonl", ids=selection)`. Traces that are deleted
    later are missing from what these return. `store` is the path of the store, and `session` the way into it.
    """

    def __init__(
        self,
        session: Session,
        path: Path,
        chosen: pa.Array,
        *,
        filters: dict[str, Any],
        limit: int | None,
        seed: int | None,
    ) -> None:
        self.session = session
        self._ids = chosen
        self.store = path
        self.filters = filters
        self.limit, self.seed = limit, seed

    @property
    def ids(self) -> list[str]:
        """The ids, newest first."""
        return list(self._ids.to_pylist())

    @property
    def digest(self) -> str:
        """The SHA-256 of the ids, a line each, in their order: two selections of the same traces have the same."""
        return hashlib.sha256("".join(f"{one}\n" for one in self).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """How the traces were chosen, how many there are, and their digest, as values of JSON."""
        return {
            "store": self.store.name,
            "filters": to_jsonable_python(
                {one: as_text(one, self.filters[one]) for one in self.filters}, fallback=_plain
            ),
            "limit": self.limit,
            "seed": self.seed,
            "traces": len(self),
            "sha256": self.digest,
        }

    @property
    def said(self) -> str:
        """The filters in a line; "all traces" without any."""
        parts = [f"{name}={_short(as_text(name, value))}" for name, value in self.filters.items()]
        if self.limit is not None:
            parts.append(f"{self.limit:,} " + ("newest" if self.seed is None else f"at random (seed {self.seed})"))
        return ", ".join(parts) or "all traces"

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return [("selection", render.count(len(self), "trace")), ("of", str(self.store)), ("chosen by", self.said)]

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids.to_pylist())

    def __repr__(self) -> str:
        return f"<Selection of {render.count(len(self), 'trace')}: {self.said}>"


def select(session: Session, path: Path, filters: Filters, *, limit: int | None, seed: int | None) -> Selection:
    """The selection of the traces that pass the filters; see `TraceStore.select`."""
    if limit is not None:
        whole_number("limit", limit, 1, None)
    if seed is not None:
        whole_number("seed", seed, 0, None)
        if limit is None:
            raise QueryInvalid("select: `seed` draws `limit` traces at random; give a limit, too")
    found = pa.Table.from_batches(scan(session, "id::varchar as id", filters, newest_first=True))["id"].combine_chunks()
    if limit is not None and limit < len(found):
        chosen = range(limit) if seed is None else sorted(random.Random(seed).sample(range(len(found)), limit))  # noqa: S311
        found = found.take(pa.array(chosen, pa.int64()))
    return Selection(session, path, found, filters=filters.given, limit=limit, seed=seed)


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Selection) else str(value)


def _short(value: Any) -> str:
    if isinstance(value, Selection):
        return repr(value)
    return render.one_line(value if isinstance(value, str) else repr(value), _FILTER)
