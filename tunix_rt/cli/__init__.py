"""`tunix-rt`, the command line: load, list, show, score, label, export, delete, sql, …, and the store itself.

Results go to standard output, messages to standard error. Exit status: 0 where all went well; 1
where something was rejected, is damaged, missing, busy or not healthy; 2 where the call or a setting is wrong; 130
after Ctrl-C; 141 where the reader of the output was closed.

Each command imports what it needs when it runs, so that `--help` and completion are fast.
"""

from typing import Annotated

import typer

from tunix_rt._version import __version__
from tunix_rt.cli.command import Call, command, expanded
from tunix_rt.cli.keeping import delete, health, store
from tunix_rt.cli.loading import load, watch
from tunix_rt.cli.reading import compare, export, groups, list_, select, show, sql
from tunix_rt.cli.scoring import flags, label, score
from tunix_rt.cli.sharing import publish, pull

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - so it is called
    if wanted:
        print(f"tunix_rt {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
@expanded
def every(
    *,
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
    call: Call,
) -> None:
    """Keep, see and curate the reasoning traces of language models."""
    del version
    context.obj = call


commands = (
    load, list_, show, select, compare, score, flags, label, groups, export, publish, pull, sql, watch, delete, health,
)  # fmt: skip
for run in commands:
    command(app)(run)
app.add_typer(store, name="store", help="Maintain the store: numbers, checks, backups, order, schema.")
