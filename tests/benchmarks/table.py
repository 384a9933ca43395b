"""The table: a row for each kind of work, ours beside the baselines, as Markdown."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from tests.benchmarks.timing import Cost

OURS, DUCKDB, SQLITE = "tunix_rt", "plain DuckDB", "plain SQLite"
_BASELINES = (DUCKDB, SQLITE)
_COLUMNS = ("work", "unit", OURS, *(column for name in _BASELINES for column in (name, "ratio")), "aim")

Unit = Literal["ms", "traces/s", "MB"]


class Row(NamedTuple):
    """A kind of work, what each contestant took for it (or why that is not known), and what we aim at."""

    work: str
    unit: Unit
    costs: Mapping[str, Cost | str]
    aim: str = ""
    n_traces: int = 1


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table; a ratio is our number to the baseline's."""
    lines = [_COLUMNS, ("---", "---", *["---:"] * (len(_COLUMNS) - 3), "---"), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row) -> tuple[str, ...]:
    ours = _number(row, OURS)
    cells = [row.work, row.unit, _shown(ours)]
    for name in _BASELINES:
        theirs = _number(row, name)
        ratio = f"{ours / theirs:.3g}" if isinstance(ours, float) and isinstance(theirs, float) else ""
        cells += [_shown(theirs), ratio]
    return (*cells, row.aim + _verdict(row, ours))


def _verdict(row: Row, ours: float | str) -> str:
    """Whether the aim was met: a number with its bound, of ours or, `of plain DuckDB`, of the ratio to it."""
    said = re.match(r"([≤≥]) ([\d.,]+)", row.aim)
    theirs = _number(row, DUCKDB) if row.aim.endswith(f"of {DUCKDB}") else 1.0
    if said is None or isinstance(ours, str) or isinstance(theirs, str):
        return ""
    bound, number = float(said[2].replace(",", "")), ours / theirs
    return ": met" if (number <= bound if said[1] == "≤" else number >= bound) else ": not met"


def _number(row: Row, name: str) -> float | str:
    cost = row.costs.get(name, "no counterpart")
    if isinstance(cost, str):
        return cost
    if row.unit == "ms":
        return cost.seconds * 1e3
    if row.unit == "traces/s":
        return row.n_traces / cost.seconds
    return "no getrusage here" if cost.peak_bytes is None else cost.peak_bytes / 1e6


def _shown(number: float | str) -> str:
    if isinstance(number, str):
        return number.replace("|", "\\|")
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
