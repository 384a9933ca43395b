"""Reads: pages, scans in pieces, one trace by its id, SQL."""
