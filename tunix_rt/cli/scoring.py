"""The commands about scores: score, flags, label."""

from typing import Annotated

import typer

from tunix_rt.cli.command import Call
from tunix_rt.cli.completing import flag_names, ids, scorers
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
    workers: Annotated[int, typer.Option(help="Processes that score, at most one per core; 0: this one.")] = 0,
    filters: Filters,
    call: Call,
) -> None:
    """Report what to look at first: how many traces loop, are truncated, wrong, …; scores what has no score yet."""
    given = filters.values()
    store = call.open_store()
    if stored or call.read_only:
        report = store.flags(*(names or ()), **given)
    else:
        report = store.flag(*(names or ()), workers=workers, progress=not call.quiet, **given)
    call.answer(report.to_dict(), str(report))


def label(
    *,
    id: Annotated[
        str, typer.Argument(help="An id, the beginning of one, or latest.", metavar="ID", autocompletion=ids)
    ],
    word: Annotated[str | None, typer.Argument(help="good, bad, unsure, or any word.", metavar="WORD")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the label back, in place of a word.")] = False,
    step: Annotated[
        int | None, typer.Option(help="Label the step with this index, from 0, in place of the trace.", metavar="N")
    ] = None,
    note: Annotated[str | None, typer.Option(help="A note, which is stored with the label.", metavar="TEXT")] = None,
    annotator: Annotated[
        str | None, typer.Option(help="Whose label it is; default: TUNIX_RT_ANNOTATOR, or your user name.")
    ] = None,
    call: Call,
) -> None:
    """Label a trace, or one of its steps, with a word; the last label of somebody counts."""
    if (word is None) != withdraw:
        raise typer.BadParameter("pass a word, such as good or bad, or --withdraw")
    from tunix_rt.render import visible

    store = call.open_store()
    record = store.latest() if id == "latest" else store.get(id)
    who = store.settings.annotator if annotator is None else annotator
    store.label(record, word, step=step, note=note, annotator=who)
    said = {"id": record.id, "step": step, "label": word, "note": note, "annotator": who}
    of_step = "" if step is None else f", step {step}"
    call.report(said, visible(f"{record.id}{of_step}: {word or 'label withdrawn'}, by {who}"))
