"""Scores: what was said of traces, the scorers that say it, and the reports."""
