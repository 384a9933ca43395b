"""Traces out: exports, preference pairs, manifests, the reports."""
