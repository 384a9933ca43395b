"""Reads: pages, the time index, scans in pieces, one trace by its id, SQL."""
