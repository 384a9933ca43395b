"""The benchmarks run, and measure all they mean to; how fast it was is for their reader, not for a test."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunix_rt as rt
from tests.benchmarks import crowd, results
from tests.benchmarks.__main__ import main
from tests.benchmarks.table import SHORT, aimed
from tests.processes import ensure_server
from tunix_rt.store.scores.scorers import ALL_FLAGS

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


def run_tool(tool, *options):
    """A tool in a process of its own, which ends well; what it wrote to its streams."""
    command = [sys.executable, "-m", tool, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done


def rows_of(text):
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row for row in rows if row[0] not in {"work", "---"}}


@pytest.mark.slow
def test_every_row_of_the_benchmarks_has_its_ratios_and_the_results_have_them_all(tmp_path, monkeypatch, capsys):
    file = tmp_path / "RESULTS.md"
    monkeypatch.setattr(sys, "argv", ["", "--sizes", "300", "--repeat", "1", "--results", str(file)])
    # Crowds of three processes, forked from one that has the package imported.
    few = [one._replace(n_adders=min(one.n_adders, 2), n_pagers=1) for one in crowd._CROWDS]
    monkeypatch.setattr(crowd, "_CROWDS", few)
    ensure_server()
    main()

    measured = rows_of(capsys.readouterr().out)
    assert measured.keys() == EVERY_WORK
    for work, (_, _, _, duckdb, to_duckdb, sqlite, to_sqlite, *_) in measured.items():
        theirs = [(duckdb, to_duckdb), (sqlite, to_sqlite)]
        ratios = [ratio for baseline, ratio in theirs if baseline != "no counterpart"]
        assert ratios, work
        assert all(float(ratio) > 0 for ratio in ratios), (work, theirs)

    written = file.read_text(encoding="utf-8")
    in_short, at_start, full = re.split(r"^### .*$", written, flags=re.MULTILINE)[1:]
    assert list(rows_of(in_short)) == list(SHORT)
    assert rows_of(at_start) | rows_of(full) == measured
    verdicts = [row[-1] for row in measured.values() if "met" in row[-1]]
    n_missed = sum(verdict.endswith(": **not met**") for verdict in verdicts)
    assert f"\nAims: {len(verdicts) - n_missed} met, {n_missed} not met" in written


@pytest.mark.slow
def test_the_flags_find_what_was_planted_and_nothing_in_good_solutions(tmp_path):
    human, marked, file = tmp_path / "human.jsonl", tmp_path / "marked.jsonl", tmp_path / "RESULTS.md"
    human.write_text('{"question": "2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\\n#### 4"}\n', encoding="utf-8")
    solutions = {
        "good": {"solution": "2 + 2 = 4\nA: 4", "is_correct": True},
        "bad": {"solution": "2 + 2 = 5\nA: 5", "is_correct": False},
        "at fault": {"solution": "2 + 2 = 4\nA: 4", "is_correct": False},
    }
    row = {"question": "2 + 2?", "ground_truth": "2 + 2 = 4\nA: 4", **solutions}
    marked.write_text(json.dumps(row) + "\n", encoding="utf-8")
    options = ["--size", "1", "--human", human, "--marked", marked, "--results", file]
    done = run_tool("tests.benchmarks.flags", *options)

    measured = rows_of(done.stdout)
    planted = {f"`{name}`" for name in ALL_FLAGS} | {f"`loop`, kind {kind}" for kind in "TKN"}
    assert planted <= measured.keys()
    for name in planted - {f"`{name}`" for name in ALL_FLAGS}:
        assert measured[name] == [name, "16", "16", "1.000", "1.000"]
    for name in ("duplicate", "same_in_group"):
        assert re.search(rf"^\| `{name}` \| 16 \| \d+ \| [01]\.\d+ \| 1\.000 \|$", done.stdout, re.MULTILINE)
    assert "| `length_outlier` | 0 | 39 |  |  |\n" in done.stdout
    assert "| `wrong` | 0 |  |\n" in done.stdout
    assert "marked False: '4' of" in done.stdout
    assert measured["right, marked wrong"][1] == "1"
    assert measured["decided, %"] == ["decided, %", "100.00", "≥ 99.5: met"]
    written = file.read_text(encoding="utf-8")
    assert "Aims: 6 met, 1 not met" in written
    assert "### Planted" in written

    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.flags",
        "--size",
        "1",
        "--marked",
        ROOT / "examples/collatz.json",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=600)
    assert "no traces with meta.correct in it" in done.stderr


def test_a_section_takes_the_place_of_its_own_and_leaves_the_others(tmp_path):
    file = tmp_path / "RESULTS.md"
    results.write(file, "One", "About one.", {"A": f"| a | {aimed('≤ 5 ms', 4)} |\n| b | {aimed('≤ 5 ms', 6)} |"})
    results.write(file, "Two", "About two.", {"B": "| c | no aim |"})
    before = file.read_text(encoding="utf-8")
    assert "Aims: 1 met, 1 not met:\n\n- A: b\n" in before
    assert before.count("Aims:") == 1

    results.write(file, "One", "About one.", {"A": f"| a | {aimed('≤ 5 ms', 3)} |"})
    after = file.read_text(encoding="utf-8")
    assert "Aims: 1 met, 0 not met." in after
    assert "not met**" not in after.split("## One")[1]
    assert before.split("## Two")[1] == after.split("## Two")[1]
    assert [line for line in after.splitlines() if line.startswith("## ")] == ["## One", "## Two"]


@pytest.mark.parametrize(
    ("aim", "number", "ratio", "verdict"),
    [
        ("≤ 1,000 MB", 1_000.0, None, ": met"),
        ("≤ 1,000 MB", 1_001.0, None, ": **not met**"),
        ("≥ 2,000/s", 2_100.0, 0.5, ": met"),
        ("≥ 0.7 of plain DuckDB", 15_000.0, 0.43, ": **not met**"),
        ("≥ 0.7 of plain DuckDB", 0.1, 0.7, ": met"),
        ("≥ 0.7 of plain DuckDB", 15_000.0, None, ""),
        ("", 1.0, 1.0, ""),
    ],
)
def test_an_aim_bounds_the_number_or_its_ratio(aim, number, ratio, verdict):
    assert aimed(aim, number, ratio) == aim + verdict


@pytest.mark.slow
def test_scoring_pages_under_a_filter_and_duplicates_are_measured(tmp_path):
    file = tmp_path / "RESULTS.md"
    options = ["--sizes", "300", "--scored", "100", "--repeat", "1", "--keep", str(tmp_path), "--results", str(file)]
    run_tool("tests.benchmarks.judging", *options)
    written = file.read_text(encoding="utf-8")
    assert "a Python function of 100 µs" in written
    rows = rows_of(written)
    assert {"`loop`", "newest page, 1 % pass", "count, 99 % pass", "seconds", "peak memory, MB"} <= rows.keys()
    assert all(float(rows[work][1].replace(",", "")) > 0 for work in ("`loop`", "count, 99 % pass", "seconds"))
    with rt.TraceStore(tmp_path / "judged_300.duckdb") as store:
        assert store.sql("select count(distinct scorer) from scores where version = '1'").rows[0][0] >= 10
        assert 0 < store.count(score={"f0": True}) < 30


@pytest.mark.slow
def test_recording_is_measured_beside_a_line_of_json(tmp_path):
    file = tmp_path / "RESULTS.md"
    options = ["--rollouts", "65", "--repeat", "1", "--results", str(file)]
    run_tool("tests.benchmarks.recording", *options)
    rows = rows_of(file.read_text(encoding="utf-8"))
    for work in ("recorded in batches of 64", "recorded one by one"):
        assert all(float(ratio) > 0 for ratio in rows[work][4:6])
        assert rows[work][6].endswith("met")
    assert rows["a line of JSON, flushed"][4:7:2] == ["1.0", "1.0"]


@pytest.mark.slow
def test_jobs_over_a_lake_are_measured_in_one_process_and_in_others(tmp_path):
    file = tmp_path / "RESULTS.md"
    # Enough for two pieces: fewer traces are not spread.
    options = ["--sizes", "2500", "--repeat", "1", "--results", str(file)]
    done = run_tool("tests.benchmarks.jobs", *options)
    assert done.stderr == ""
    rows = rows_of(file.read_text(encoding="utf-8"))
    store, lake, one, two = (rows[work] for work in rows if work != "scored in")
    assert store[4] == lake[5] == "1"
    assert all(float(number.replace(",", "")) > 0 for row in (store, lake, one, two) for number in row[1:6])
    assert two[6].startswith("≥ 1.5 × one process: ")


@pytest.mark.slow
def test_a_lake_is_measured_as_it_grows(tmp_path):
    file = tmp_path / "RESULTS.md"
    options = ["--growth", "--sizes", "10000,20000", "--repeat", "1", "--folder", str(tmp_path), "--results", str(file)]
    done = run_tool("tests.benchmarks.lake", *options)
    assert done.stderr == ""
    written = file.read_text(encoding="utf-8")
    assert "### 10,000 traces" in written
    rows = rows_of(written.partition("### 20,000 traces")[2])
    assert rows["files after compacting"][2] == "1"
    assert int(rows["commits"][2]) >= 3
    assert all(float(row[2].replace(",", "")) >= 0 for work, row in rows.items() if work != "what")
    assert {"the log", "one trace by an id without", "a text that none has, in all"} < rows.keys()


@pytest.mark.slow
def test_the_time_of_a_load_is_told_by_its_stages(tmp_path):
    file = tmp_path / "RESULTS.md"
    options = ["--size", "1000", "--workers", "1", "--results", str(file)]
    run_tool("tests.benchmarks.load_profile", *options)
    written = file.read_text(encoding="utf-8")
    assert written.count("| **the barest load** |") == 2
    assert all(float(row[1]) > 0 for row in rows_of(written).values() if row[1][:1].isdecimal())
