"""The table: a row for each kind of work, ours beside the baselines, as Markdown."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from tests.benchmarks.timing import Cost

OURS, DUCKDB, SQLITE = "tunix_rt", "plain DuckDB", "plain SQLite"
_BASELINES = (DUCKDB, SQLITE)
MET, NOT_MET = ": met", ": **not met**"
# What the README shows, of the largest size.
SHORT = (
    "newest page, inside `hold()`",
    "last page by cursor, inside `hold()`",
    "20 newest with a common word, inside `hold()`",
    "search for an absent word, inside `hold()`",
    "add one",
    "8 processes adding while a notebook pages: adds in all",
    "4 writers and 4 readers at work: page, p95",
    "load JSON Lines",
)
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
    return table(_COLUMNS, ("---", "---", *["---:"] * (len(_COLUMNS) - 3), "---"), *map(_cells, rows))


def short(rows: Iterable[Row]) -> str:
    """The table of the README: the rows that it shows, with their units and without ratios."""
    named = {row.work: row for row in rows}
    columns = ("work", OURS, *_BASELINES, "aim")
    return table(columns, ("---", "---:", "---:", "---:", "---"), *(_short_cells(named[work]) for work in SHORT))


def table(*rows: Iterable[str]) -> str:
    """Rows of cells as a Markdown table; the first two are the headings and how the columns are aligned."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def aimed(aim: str, number: float, ratio: float | None = None) -> str:
    """The aim, and whether it was met: a bound of the number or, `of …`, of its ratio to a baseline."""
    said = re.match(r"([≤≥]) ([\d.,]+)", aim)
    compared = ratio if " of " in aim else number
    if said is None or compared is None:
        return aim
    bound = float(said[2].replace(",", ""))
    return aim + (MET if (compared <= bound if said[1] == "≤" else compared >= bound) else NOT_MET)


def shown(number: float | str) -> str:
    """A number to three digits, or the reason why there is none."""
    if isinstance(number, str):
        return number.replace("|", "\\|")
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _cells(row: Row) -> tuple[str, ...]:
    ours = _number(row, OURS)
    cells = [row.work, row.unit, shown(ours)]
    for name in _BASELINES:
        ratio = _ratio(row, name)
        cells += [shown(_number(row, name)), "" if ratio is None else f"{ratio:.3g}"]
    return (*cells, _aim(row))


def _short_cells(row: Row) -> tuple[str, ...]:
    numbers = (_number(row, name) for name in (OURS, *_BASELINES))
    cells = (number if isinstance(number, str) else f"{shown(number)} {row.unit}" for number in numbers)
    return (row.work, *cells, _aim(row))


def _aim(row: Row) -> str:
    ours = _number(row, OURS)
    return row.aim if isinstance(ours, str) else aimed(row.aim, ours, _ratio(row, DUCKDB))


def _ratio(row: Row, name: str) -> float | None:
    ours, theirs = _number(row, OURS), _number(row, name)
    return None if isinstance(ours, str) or isinstance(theirs, str) else ours / theirs


def _number(row: Row, name: str) -> float | str:
    cost = row.costs.get(name, "no counterpart")
    if isinstance(cost, str):
        return cost
    if row.unit == "ms":
        return cost.seconds * 1e3
    if row.unit == "traces/s":
        return row.n_traces / cost.seconds
    return "no getrusage here" if cost.peak_bytes is None else cost.peak_bytes / 1e6
