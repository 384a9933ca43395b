"""What was said of traces: counted over groups, compared between scorers, and flags that need the whole set."""
