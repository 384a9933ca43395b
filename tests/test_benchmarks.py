"""The benchmarks run, and measure all they mean to; how fast it was is for their reader, not for a test."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BARE = ["newest page beside its rows by rowid", "last page beside its rows by rowid"]
ASKED = ["newest page", "last page by cursor", "last page by offset", "get by id"]
SEARCHED = ["20 newest with a common word", "search for an absent word"]
CROWDS = {
    "8 processes adding while a notebook pages": ["adds in all", "add, p50", "add, p99", "page, p50", "page, p95"],
    "4 writers and 4 readers at work": ["adds in all", "page, p50", "page, p95"],
}
EVERY_WORK = {
    "`import tunix_rt`",
    "`from tunix_rt import TraceStore`",
    "load JSON Lines",
    "load JSON Lines, peak memory",
    "export JSON Lines",
    "export JSON Lines, peak memory",
    "open",
    "open to newest page",
    *(f"{work}, inside `hold()`" for work in BARE + ASKED + SEARCHED),
    *ASKED,
    "add one",
    *(f"{crowd}: {figure}" for crowd, figures in CROWDS.items() for figure in figures),
}


def test_every_row_of_the_benchmarks_has_its_ratios():
    command = [sys.executable, "-m", "tests.benchmarks", "--sizes", "300", "--repeat", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stderr

    rows = [line[2:-2].split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    measured = {row[0]: row for row in rows if row[0] not in {"work", "---"}}

    assert measured.keys() == EVERY_WORK
    for work, (_, _, _, duckdb, to_duckdb, sqlite, to_sqlite, *_) in measured.items():
        theirs = [(duckdb, to_duckdb), (sqlite, to_sqlite)]
        ratios = [ratio for baseline, ratio in theirs if baseline != "no counterpart"]
        assert ratios, work
        assert all(float(ratio) > 0 for ratio in ratios), (work, theirs)
