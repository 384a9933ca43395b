"""The benchmarks run, and measure all they mean to; how fast it was is for their reader, not for a test."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ASKED = ["newest page", "last page by cursor", "last page by offset", "get by id"]
SEARCHED = ["20 newest with a common word", "search for an absent word"]
EVERY_WORK = {
    "`import tunix_rt`",
    "`from tunix_rt import TraceStore`",
    "load JSON Lines",
    "load JSON Lines, peak memory",
    "export JSON Lines",
    "export JSON Lines, peak memory",
    "open",
    "open to newest page",
    *(f"{work}, inside `hold()`" for work in ASKED + SEARCHED),
    *ASKED,
    "add one",
}


def test_every_row_of_the_benchmarks_has_its_ratios():
    command = [sys.executable, "-m", "tests.benchmarks", "--sizes", "300", "--repeat", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

    rows = [line[2:-2].split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    measured = {row[0]: row for row in rows if row[0] not in {"work", "---"}}

    assert measured.keys() == EVERY_WORK
    for work, (_, _, _, duckdb, to_duckdb, sqlite, to_sqlite, *_) in measured.items():
        assert float(to_duckdb) > 0, (work, duckdb)
        assert sqlite == "no counterpart" or float(to_sqlite) > 0, (work, sqlite)
