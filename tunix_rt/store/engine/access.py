"""What the calls of a store need of the way to its tables: a store's file has it, and so does a shared lake."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import duckdb

from tunix_rt.settings import Settings
from tunix_rt.store.engine.rows import NewRow
from tunix_rt.store.engine.time_index import TimeIndex


class Spread(Protocol):
    """Scans in other processes: what `scan_with` in `query/scan.py` does in this one."""

    def scan_with(self, session: Any, function: Callable[[Iterator[Any]], Iterable[Any]], scan: Any) -> Iterator[Any]:
        """What the function yields for the batches of each piece, in the order of the pieces."""
        ...


class Access(Protocol):
    """The way to the tables of a store; any thread may use it.

    Statements read the tables `traces`, `scores` and `labels`, and add to `store.traces` and `store.scores`: elsewhere
    than in a file what is read are views, and what is added is stored at the end of the transaction.
    """

    settings: Settings
    read_only: bool
    # What scans in other processes; None where this one does.
    spread: Spread | None

    @property
    def path(self) -> Path:
        """The file, or a path for what belongs to it and is on this machine."""
        ...

    @property
    def n_traces(self) -> int:
        """How many traces there were when they were last read or changed here."""
        ...

    def cursor(self, *, reusable: bool = False) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A cursor for this thread, for one piece of work, which sees all that was added before."""
        ...

    def transaction(self, *, once: bool = False) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A cursor whose additions are stored at the end, all or none, and not if the work raises.

        `once`: what is not there when the work looks, is not there when it is stored, either. In a file that is always
        so; elsewhere rows that others have added meanwhile are left out, and the cursor has their number: `left_out`.
        """
        ...

    def time_index(self, cursor: duckdb.DuckDBPyConnection) -> TimeIndex:
        """Where in time the rows are."""
        ...

    def drop_cache(self) -> None:
        """Frees what DuckDB has cached of what was read, if it is much; for work that does not read it again."""
        ...

    def add(self, rows: Sequence[NewRow]) -> None:
        """Stores the rows durably, all or none."""
        ...

    def refuse_read_only(self) -> None:
        """Raises StoreReadOnly where nothing can be changed."""
        ...

    def close(self) -> None:
        """Writes everything out."""
        ...
