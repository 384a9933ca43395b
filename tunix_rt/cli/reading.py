"""The commands that read traces: list, show, export."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer

from tunix_rt.cli.command import Call
from tunix_rt.cli.completing import formats_out, ids, scorers
from tunix_rt.cli.filters import Filters
from tunix_rt.cli.output import Screen, columns, on_terminal, put, put_json

if TYPE_CHECKING:
    from tunix_rt.store import Page, TraceStore

_STDOUT = "-"
_PAGE = 100


def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many traces.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="List all traces.")] = False,
    offset: Annotated[int, typer.Option(min=0, help="Skip this many of the newest.")] = 0,
    after: Annotated[
        str | None, typer.Option(help="List the traces after this cursor of an earlier list.", metavar="CURSOR")
    ] = None,
    scores: Annotated[
        list[str] | None,
        typer.Option(
            help="Also show the current scores by this scorer. May be repeated.",
            metavar="SCORER",
            autocompletion=scorers,
        ),
    ] = None,
    filters: Filters,
    call: Call,
) -> None:
    """List stored traces, newest first.

    With --json each trace is a line; use its "cursor" with --after to continue from it.
    """
    from tunix_rt.render import page_text
    from tunix_rt.store.query.page import Cursor

    with _warnings_noted(call):
        given = filters.values()
    store = call.open_store()
    for page in _pages(store, None if everything else limit, offset, after, {**given, "scores": scores}):
        if call.json:
            for one in page:
                put_json(one.model_dump(mode="json") | {"cursor": str(Cursor(one.created_at, one.id))})
        elif page.records:
            put(page_text(page, columns=columns(), more=""))
        elif given or offset or after:
            call.note("no trace matches the filters")
        else:
            call.note(f"no traces yet in {store.path}; tunix-rt load FILE adds some")
    if page.next and not call.json:
        call.note(f"more: --after {page.next}")


def _pages(
    store: "TraceStore", wanted: int | None, offset: int, after: str | None, given: dict[str, Any]
) -> Iterator["Page"]:
    """Pages, read one by one, with `wanted` traces in all; None for all traces."""
    while True:
        page = store.page(limit=min(wanted or _PAGE, _PAGE), offset=offset, after=after, **given)
        yield page
        if wanted is not None:
            wanted -= len(page)
        if page.next is None or wanted == 0:
            return
        offset, after = 0, page.next


def show(
    *,
    id: Annotated[
        str,
        typer.Argument(
            help="An id, the beginning of one, or latest.", metavar="ID", autocompletion=ids, show_default=True
        ),
    ] = "latest",
    call: Call,
) -> None:
    """Show one trace in full."""
    from tunix_rt.render import record_text

    store = call.open_store()
    record = store.latest() if id == "latest" else store.get(id)
    if call.json:
        put_json(record.model_dump(mode="json"))
        return
    width = columns() if on_terminal() else None
    put(record_text(record, columns=width, whole=True))


def export(
    *,
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="A file (.gz and .zst are packed, .parquet is Parquet), or - for standard output."
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="trace (default), parquet, or what a trainer takes.", metavar="NAME", autocompletion=formats_out
        ),
    ] = None,
    tags: Annotated[
        tuple[str, str] | None,
        typer.Option(help="The tags around the reasoning, such as <think> </think>.", metavar="BEGIN END"),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(help="prompt: preference pairs also across policies (source, model, step).", metavar="prompt"),
    ] = None,
    manifest: Annotated[
        bool,
        typer.Option(
            "--manifest/--no-manifest", help="Write .NAME.manifest.json beside it, which describes the contents."
        ),
    ] = True,
    filters: Filters,
    call: Call,
) -> None:
    """Write traces, oldest first, to a file or to standard output: for exchange, or for a trainer."""
    with _warnings_noted(call):
        given = filters.values()
    options = {
        "format": format,
        "tags": tags,
        "within": within,
        "manifest": manifest,
        "progress": not call.quiet,
        **given,
    }
    store = call.open_store()
    if path == _STDOUT:
        sys.stdout.flush()
        report = store.export(cast("IO[bytes]", Screen()) if on_terminal() else sys.stdout.buffer, **options)
        call.note(f"{report.rows:,} rows")
        return
    with _warnings_noted(call):
        report = store.export(path, **options)
        call.report(report.to_dict(), str(report))


@contextmanager
def _warnings_noted(call: Call) -> Iterator[None]:
    """At the end, prints the warnings as notes."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for one in found:
        call.note(str(one.message))


def groups(
    *,
    by: Annotated[
        list[str] | None,
        typer.Option(help="A field that samples share, such as prompt. May be repeated.", metavar="FIELD"),
    ] = None,
    filters: Filters,
    call: Call,
) -> None:
    """Group the samples of each prompt and policy: how many are correct, pass@k and maj@k, what they teach."""
    with _warnings_noted(call):
        given = filters.values()
    found = call.open_store().groups(by or None, **given)
    call.answer(found.to_dict() if call.json else None, str(found))
