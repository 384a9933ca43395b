"""Traces in: loads, duplicates, watched folders, the reports."""
