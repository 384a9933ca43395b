"""How fast tunix_rt is beside plain DuckDB and plain SQLite: `python -m tests.benchmarks` prints a Markdown table."""
