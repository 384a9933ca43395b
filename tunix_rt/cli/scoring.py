"""The commands about scores: score, flags."""

from typing import Annotated

import typer

from tunix_rt.cli.command import Call
from tunix_rt.cli.completing import flag_names, scorers
from tunix_rt.cli.filters import Filters
from tunix_rt.text_options import params_in

_PARAM = "A parameter of the scorer; may be repeated."


def score(
    *,
    names: Annotated[
        list[str],
        typer.Argument(metavar="SCORER...", help="answer, structure, loop, …", autocompletion=scorers),
    ],
    param: Annotated[list[str] | None, typer.Option(help=_PARAM, metavar="KEY=VALUE")] = None,
    workers: Annotated[int, typer.Option(help="Processes that score, at most one per core; 0: this one.")] = 0,
    timeout: Annotated[float | None, typer.Option(help="Seconds for a trace; only with --workers.")] = None,
    filters: Filters,
    call: Call,
) -> None:
    """Score the traces that have no score yet, by built-in scorers, and report what was done."""
    given, params = filters.values(), params_in(param)
    store = call.open_store()
    for name in names:
        report = store.score(name, params=params, workers=workers, timeout=timeout, progress=not call.quiet, **given)
        call.report(report.to_dict(), str(report))


def flags(
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FLAG]...", help="These flags; by default all.", autocompletion=flag_names),
    ] = None,
    stored: Annotated[bool, typer.Option("--stored", help="Report what is stored, without scoring.")] = False,
    filters: Filters,
    call: Call,
) -> None:
    """Report what to look at first: how many traces loop, are truncated, wrong, …; scores what has no score yet."""
    given = filters.values()
    store = call.open_store()
    if stored or call.read_only:
        report = store.flags(*(names or ()), **given)
    else:
        report = store.flag(*(names or ()), progress=not call.quiet, **given)
    call.answer(report.to_dict(), str(report))
