"""The benchmark runs and measures everything it means to; what it measures is for its reader, not for a test."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HELD = [
    "newest page",
    "last page by cursor",
    "last page by offset",
    "get by id",
    "20 newest with a common word",
    "search for an absent word",
]
EVERY_SIZE = [
    "load JSON Lines",
    "load JSON Lines, peak memory",
    "export JSON Lines",
    "export JSON Lines, peak memory",
    "open",
    "open to newest page",
    *(f"{work}, inside `hold()`" for work in HELD),
    "newest page",
    "last page by cursor",
    "last page by offset",
    "get by id",
    "add one",
]
AT_START = ["`import tunix_rt`", "`from tunix_rt import TraceStore`"]


def benchmarks(*options: str) -> str:
    command = [sys.executable, "-m", "tests.benchmarks", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True, timeout=300).stdout


def rows_of(printed: str) -> list[dict[str, str]]:
    """The rows of all tables; the second of two columns of one name is named `name 2`."""
    rows, header = [], None
    for line in printed.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")] if line.startswith("|") else None
        if cells is None:
            header = None
        elif header is None:
            header = [f"{name} 2" if name in cells[:place] else name for place, name in enumerate(cells)]
        elif not line.startswith("| ---"):
            rows.append(dict(zip(header, [*cells, ""], strict=False)))
    return rows
