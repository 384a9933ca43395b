"""The commands that read traces: list, show, select, compare, groups, export, sql."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from tunix_rt.cli.command import Call
from tunix_rt.cli.completing import formats_out, ids, orders, scorers
from tunix_rt.cli.filters import Filters
from tunix_rt.cli.output import Screen, columns, on_terminal, put, put_csv, put_json

if TYPE_CHECKING:
    from tunix_rt.store import GroupMatrix, Groups, Page, TraceStore

_STDOUT = "-"
_PAGE = 100
_SIDE = "An id, the beginning of one, or latest; or a filter that chooses a set, such as model=toy-1b or meta.lr<0.1."


def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many traces.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="List all traces.")] = False,
    offset: Annotated[int, typer.Option(min=0, help="Skip this many of the newest.")] = 0,
    after: Annotated[
        str | None, typer.Option(help="List the traces after this cursor of an earlier list.", metavar="CURSOR")
    ] = None,
    order_by: Annotated[
        str | None,
        typer.Option(
            help="List by a column, meta.KEY or score.SCORER, smallest first.", metavar="NAME", autocompletion=orders
        ),
    ] = None,
    descending: Annotated[bool, typer.Option("--descending", help="List the largest first.")] = False,
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
    """List stored traces, newest first or in another order.

    With --json each trace is a line; use its "cursor" with --after to continue from it.
    """
    from tunix_rt.render import page_text

    with _warnings_noted(call):
        given = filters.values()
    store = call.open_store()
    given |= {"order_by": order_by, "descending": descending, "scores": scores}
    for page in _pages(store, None if everything else limit, offset, after, given):
        if call.json:
            for one, cursor in zip(page, page.cursors, strict=True):
                put_json(one.model_dump(mode="json") | {"cursor": str(cursor)})
        elif page.records:
            put(page_text(page, columns=columns(), more=""))
        elif page.filters or offset or after:
            call.note("no trace matches the filters" + (f": {page.note}" if page.note else ""))
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


def select(
    *,
    name: Annotated[str, typer.Argument(help="The name of the selection.", metavar="NAME")],
    limit: Annotated[int | None, typer.Option(min=1, help="This many: the newest, or by --seed.", metavar="N")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Draw them at random, the same each time.", metavar="N")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="This version of the selection.", metavar="N")
    ] = None,
    filters: Filters,
    call: Call,
) -> None:
    """Store the traces that pass the filters as a selection, for --selection NAME; or show one that is stored."""
    with _warnings_noted(call):
        given = filters.values()
    found = call.open_store().select(name, limit=limit, seed=seed, version=number, **given)
    call.answer(found.to_dict() if call.json else None, str(found))


def compare(
    *,
    a: Annotated[str, typer.Argument(help=_SIDE, metavar="A", autocompletion=ids)],
    b: Annotated[str, typer.Argument(help="The other one.", metavar="B", autocompletion=ids)],
    scorer: Annotated[
        str, typer.Option(help="The values by which sets are compared: a scorer, or meta.KEY.", metavar="NAME")
    ] = "answer",
    filters: Filters,
    call: Call,
) -> None:
    """Compare two traces step by step, or two sets prompt by prompt; the filters are for both sets."""
    from tunix_rt.analysis.comparison import TraceComparison
    from tunix_rt.render import comparison_text
    from tunix_rt.store.comparing import compare_named

    with _warnings_noted(call):
        given = filters.values()
    found = compare_named(call.open_store(), (a, b), scorer, **given)
    if call.json:
        put_json(found.to_dict())
    elif isinstance(found, TraceComparison):
        put(comparison_text(found, columns=columns() if on_terminal() else None))
    else:
        put(str(found))


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
    scores: Annotated[
        bool,
        typer.Option(
            "--scores/--no-scores", help="Write the scores, too; as Parquet, to NAME.scores.parquet beside it."
        ),
    ] = True,
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
        "scores": scores,
        "manifest": manifest,
        "progress": not call.quiet,
        **given,
    }
    store = call.open_store()
    if path == _STDOUT:
        sys.stdout.flush()
        with _warnings_noted(call):
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
    matrix: Annotated[bool, typer.Option("--matrix", help="Show prompts × policies.")] = False,
    filters: Filters,
    call: Call,
) -> None:
    """Group the samples of each prompt and policy: how many are correct, pass@k and maj@k, what they teach."""
    with _warnings_noted(call):
        given = filters.values()
    found = call.open_store().groups(by or None, **given)
    shown: Groups | GroupMatrix = found.matrix() if matrix else found
    call.answer(shown.to_dict() if call.json else None, str(shown))


def sql(
    *,
    query: Annotated[str, typer.Argument(help="A SELECT, or - to read it from standard input.", metavar="QUERY")],
    format: Annotated[
        Literal["table", "csv", "json"],
        typer.Option(help="A table of the first 50 rows; or all rows, as CSV or as a line of JSON each."),
    ] = "table",
    call: Call,
) -> None:
    """Run a SQL statement that reads over the tables traces, scores, labels and selections."""
    if query == _STDOUT:
        query = sys.stdin.read()
    result = call.open_store().sql(query)
    if call.json or format == "json":
        for row in result.objects():
            put_json(row)
    elif format == "csv":
        put_csv(result.columns, (row.values() for row in result.objects()))
    else:
        put(str(result))
