"""One size: traces written, loaded, exported, opened and asked for, by the store and by its baselines in turn."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import tunix_rt as rt
from tests.benchmarks import ours, plain_duckdb, plain_sqlite
from tests.benchmarks.crowd import crowd_rows
from tests.benchmarks.data import Traces
from tests.benchmarks.ours import Ours
from tests.benchmarks.places import Places, places_in
from tests.benchmarks.plain_duckdb import PlainDuckDB
from tests.benchmarks.plain_sqlite import PlainSQLite
from tests.benchmarks.table import DUCKDB, OURS, SQLITE, Row
from tests.benchmarks.timing import Cost, alone, here, in_turn

# No round of a kind of work is begun after so many seconds: the whole run takes minutes, not hours.
_BUDGET_SECONDS = 8.0
_BULK_BUDGET_SECONDS = 30.0
# For each process of a crowd: they are sent to it.
_FEW_TO_ADD = 100

# What is asked of an open store: the method, in words, and what we aim at (milliseconds are for 1,000,000 traces).
_HELD = (
    ("first_page", "newest page", "≤ 2.5 ms"),
    ("deep_page", "last page by cursor", "≤ 2.5 ms"),
    ("deep_page_by_offset", "last page by offset", "≤ 2.5 ms"),
    ("get", "get by id", "≤ 4 ms"),
    ("find_common", "20 newest with a common word", "≤ 50 ms"),
    ("find_absent", "search for an absent word", "≤ 1,000 ms"),
)
# Beside the same rows and columns by number, in the same rounds: what a page costs over its bare query.
_BARE = (
    ("first_page_by_rowid", "newest page beside its rows by rowid", "≤ 1.2 of plain DuckDB"),
    ("deep_page_by_rowid", "last page beside its rows by rowid", "≤ 1.2 of plain DuckDB"),
)
_PLAIN = (
    ("first_page", "newest page", "≤ 3 ms"),
    ("deep_page", "last page by cursor", "≤ 3 ms"),
    ("deep_page_by_offset", "last page by offset", "≤ 3 ms"),
    ("get", "get by id", ""),
    ("add", "add one", "≤ 1 ms"),
)


class Contest:
    """The contest over `n_traces` traces in an empty folder."""

    def __init__(self, traces: Traces, n_traces: int, folder: Path, repeat: int) -> None:
        self._traces = traces
        self._n_traces = n_traces
        self._repeat = repeat
        self._lines = folder / "traces.jsonl"
        self._exported = folder / "exported.jsonl"
        self._empty = folder / "empty.duckdb"
        self._store = folder / "store" / "traces.duckdb"
        self._duckdb = folder / "plain_duckdb" / "traces.duckdb"
        self._sqlite = folder / "traces.sqlite"

    def rows(self) -> Iterator[Row]:
        """The rows of the table, each when it has been measured."""
        rt.TraceStore(self._empty)
        self._traces.write(self._lines, self._n_traces)
        yield from self._loading()
        self._lines.unlink()
        # The same bytes for both: what differs is the code over them.
        shutil.rmtree(self._duckdb.parent, ignore_errors=True)
        shutil.copytree(self._store.parent, self._duckdb.parent)
        plain_sqlite.fill(self._sqlite, self._duckdb)
        places = places_in(rt.TraceStore(self._store), self._traces.common_word, self._traces.absent_word)
        yield from self._exporting()
        yield from self._opening(places)
        yield from self._asking(places)
        yield from self._crowding(places)

    def _loading(self) -> Iterator[Row]:
        loads = {
            OURS: partial(alone, ours.load, self._store, self._lines),
            DUCKDB: partial(alone, plain_duckdb.load, self._duckdb, self._lines, self._empty),
        }
        return self._bulk_rows("load JSON Lines", "≥ 0.7 of plain DuckDB", loads)

    def _exporting(self) -> Iterator[Row]:
        exports = {
            OURS: partial(alone, ours.export, self._store, self._exported),
            DUCKDB: partial(alone, plain_duckdb.export, self._duckdb, self._exported),
        }
        yield from self._bulk_rows("export JSON Lines", "≥ 0.7 of plain DuckDB", exports)
        self._exported.unlink()

    def _bulk_rows(self, work: str, aim: str, contestants: Mapping[str, Callable[[], Cost]]) -> Iterator[Row]:
        # A fresh process is cold anyway, and warms up by itself before it takes the time.
        costs = in_turn(contestants, repeat=self._repeat, budget_seconds=_BULK_BUDGET_SECONDS, warm_up=False)
        yield Row(work, "traces/s", costs, aim, self._n_traces)
        yield Row(f"{work}, peak memory", "MB", costs, "≤ 1,000 MB")

    def _opening(self, places: Places) -> Iterator[Row]:
        opens = {
            OURS: partial(alone, ours.opening, self._store, self._empty),
            DUCKDB: partial(alone, plain_duckdb.opening, self._duckdb, self._empty),
        }
        yield Row("open", "ms", self._measured(opens))
        to_page = {
            OURS: partial(alone, ours.opening_to_page, self._store, self._empty),
            DUCKDB: partial(alone, plain_duckdb.opening_to_page, self._duckdb, self._empty, places.first),
        }
        yield Row("open to newest page", "ms", self._measured(to_page))

    def _asking(self, places: Places) -> Iterator[Row]:
        with closing(PlainDuckDB(self._duckdb, places)) as duckdb, closing(PlainSQLite(self._sqlite, places)) as sqlite:
            store = Ours(self._store, places, self._traces.originals)
            contestants = {OURS: store, DUCKDB: duckdb, SQLITE: sqlite}
            with store.hold():
                for method, work, aim in _BARE:
                    yield self._asked({OURS: store, DUCKDB: duckdb}, method, f"{work}, inside `hold()`", aim)
                for method, work, aim in _HELD:
                    yield self._asked(contestants, method, f"{work}, inside `hold()`", aim)
            for method, work, aim in _PLAIN:
                yield self._asked(contestants, method, work, aim)

    def _crowding(self, places: Places) -> Iterator[Row]:
        # Two processes cannot open one file with plain DuckDB.
        makers = {
            OURS: partial(Ours, self._store, places, self._traces.originals[:_FEW_TO_ADD]),
            SQLITE: partial(PlainSQLite, self._sqlite, places),
        }
        return crowd_rows(makers, self._repeat)

    def _asked(self, contestants: Mapping[str, object], method: str, work: str, aim: str) -> Row:
        calls = {name: partial(here, getattr(contestant, method)) for name, contestant in contestants.items()}
        return Row(work, "ms", self._measured(calls), aim)

    def _measured(self, contestants: Mapping[str, Callable[[], Cost]]) -> dict[str, Cost | str]:
        return in_turn(contestants, repeat=self._repeat, budget_seconds=_BUDGET_SECONDS)
