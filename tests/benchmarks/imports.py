"""What an import costs in a fresh process."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from tests.benchmarks.table import DUCKDB, OURS, SQLITE, Row
from tests.benchmarks.timing import Cost, in_turn

_TIMED = "import time; started = time.perf_counter(); {}; print(time.perf_counter() - started)"
_STATEMENTS = (("import tunix_rt", "≤ 50 ms"), ("from tunix_rt import TraceStore", ""))
_BUDGET_SECONDS = 20.0


def import_rows(repeat: int) -> Iterator[Row]:
    """The rows of the table that no size changes."""
    for statement, aim in _STATEMENTS:
        statements = {OURS: statement, DUCKDB: "import duckdb", SQLITE: "import sqlite3"}
        contestants = {name: partial(_importing, one) for name, one in statements.items()}
        costs = in_turn(contestants, repeat=repeat, budget_seconds=_BUDGET_SECONDS)
        yield Row(f"`{statement}`", "ms", costs, aim)


def _importing(statement: str) -> Cost:
    command = [sys.executable, "-c", _TIMED.format(statement)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return Cost(float(done.stdout))
