"""`tunix-rt publish` and `pull`: traces and scores to a lake or another store, and back."""

import re
from datetime import datetime
from typing import Annotated

import typer

from tunix_rt.cli.command import Call
from tunix_rt.cli.filters import Filters

_TARGET = "A lake, delta:FOLDER or s3://BUCKET/NAME, or the file of a store."


def publish(
    *,
    target: Annotated[str, typer.Argument(metavar="TARGET", help=f"{_TARGET} It is made if it does not exist.")],
    filters: Filters,
    call: Call,
) -> int:
    """Bring traces, with their scores, to a lake or another store: what is not there yet."""
    import tunix_rt as rt

    store = call.open_store()
    given = filters.values()
    report = store.publish(rt.connect(target), progress=not call.quiet, **given)
    call.report(report.to_dict(), str(report), well=not report.differing)
    return bool(report.differing)


def pull(
    *,
    target: Annotated[str, typer.Argument(metavar="TARGET", help=_TARGET)],
    as_of: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The lake as it was: a version, or a time as for --since.")
    ] = None,
    filters: Filters,
    call: Call,
) -> int:
    """Bring the traces of a lake or another store here, with their scores: what is not here yet."""
    import tunix_rt as rt

    store = call.open_store(new=True)
    given = filters.values()
    source = rt.connect(target, as_of=None if as_of is None else _version(as_of))
    report = store.pull(source, progress=not call.quiet, **given)
    call.report(report.to_dict(), str(report), well=not report.differing)
    return bool(report.differing)


def _version(text: str) -> int | datetime:
    from tunix_rt.store.filter_values import as_time

    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else as_time("as_of", text)
