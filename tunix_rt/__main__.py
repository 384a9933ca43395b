"""`python -m tunix_rt` is the command line."""

from tunix_rt.cli import app

app()
