"""RESULTS.md: what the benchmarks measured. Each tool writes its own section and leaves the others as they are."""

import argparse
import os
import platform
import re
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb

import tunix_rt as rt
from tests.benchmarks.table import MET, NOT_MET

RESULTS = Path(__file__).with_name("RESULTS.md")
IN_SHORT = "In short"
_TITLE = """\
# Benchmark results

Written by the tools that measured them, `--results`; see [CONTRIBUTING](../../CONTRIBUTING.md#measuring). A ratio is
the number of tunix_rt to that of the baseline, in the same run: less is better for ms and MB, more is better for
traces/s and requests/s. Compare ratios; absolute times depend on the machine. **not met** marks an aim that was missed.
"""


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option that all tools take."""
    parser.add_argument(
        "--results",
        type=Path,
        nargs="?",
        const=RESULTS,
        metavar="FILE",
        help="also write the figures to this file (RESULTS.md), in place of this tool's section there",
    )


def machine() -> str:
    """The day, the versions and the machine of this run."""
    versions = f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, SQLite {sqlite3.sqlite_version}"
    cores = f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}"
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} with tunix_rt {rt.__version__}: {cores}, {versions}."


def write(file: Path, heading: str, about: str, tables: Mapping[str, str], *, measured: str | None = None) -> None:
    """Writes the section with this heading: what it is about, when and where it was measured, its aims, its tables."""
    parts = [f"## {heading}", about, measured or machine(), *_aims(tables)]
    for name, table in tables.items():
        parts += [f"### {name}", table]
    sections = _sections(file)
    sections[heading] = "\n\n".join(parts) + "\n"
    file.write_text("\n".join([_TITLE, *sections.values()]), encoding="utf-8")


def _sections(file: Path) -> dict[str, str]:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}


def _aims(tables: Mapping[str, str]) -> list[str]:
    """How many aims were met, and which were not, a line for each table; nothing for tables without aims."""
    rows = {name: table.splitlines() for name, table in tables.items() if name != IN_SHORT}
    n_met = sum(row.endswith(f"{MET} |") for some in rows.values() for row in some)
    missed = {
        name: [row[2:].partition(" |")[0] for row in some if row.endswith(f"{NOT_MET} |")]
        for name, some in rows.items()
    }
    n_missed = sum(map(len, missed.values()))
    if not n_met + n_missed:
        return []
    if not n_missed:
        return [f"Aims: {n_met} met, 0 not met."]
    which = "\n".join(f"- {name}: {'; '.join(works)}" for name, works in missed.items() if works)
    return [f"Aims: {n_met} met, {n_missed} not met:", which]
