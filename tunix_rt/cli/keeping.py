"""The commands that maintain a store: store info, verify, backup, compact, migrate; and health, delete."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tunix_rt.cli.command import FAILED, Call, command
from tunix_rt.cli.completing import ids
from tunix_rt.cli.filters import Filters
from tunix_rt.cli.output import columns
from tunix_rt.errors import StoreUnusable

store = typer.Typer(no_args_is_help=True)


@command(store)
def info(call: Call) -> None:
    """Show the path of the store and its numbers."""
    from tunix_rt.render import info_text

    found = call.open_store().info()
    call.answer(asdict(found), info_text(found, columns=columns(), compact="tunix-rt store compact"))


@command(store)
def verify(call: Call) -> int:
    """Read every trace and compare it with what was stored; the exit status is 1 where something is damaged."""
    report = call.open_store().verify(progress=not call.quiet)
    call.report({"ok": report.ok, **asdict(report)}, str(report), well=report.ok)
    return 0 if report.ok else FAILED


@command(store)
def backup(
    call: Call,
    path: Annotated[str, typer.Argument(metavar="PATH", help="A new file; one that is there is left as it is.")],
) -> None:
    """Copy the store while others use it, as it is at one moment; prints the path of the copy."""
    copy = call.open_store().backup(path)
    call.report({"path": copy}, str(copy))


@command(store)
def compact(call: Call) -> None:
    """Sort the stored traces by time again, so that lists are fast; others can use the store meanwhile."""
    done = call.open_store().compact(progress=not call.quiet)
    call.report(asdict(done), str(done))


@command(store)
def migrate(*, call: Call, to: Annotated[int, typer.Option(help="The schema version that it knows.")]) -> None:
    """Convert the store to an older schema, for an older tunix_rt; opening it with this version upgrades it again."""
    store = call.open_store()
    store.migrate(to=to)
    call.report({"path": store.path, "schema_version": to}, f"{store.path}: schema version {to}")


def health(call: Call) -> int:
    """Check the store and the configured services; the exit status is 0 only if all are healthy."""
    from tunix_rt.health_checks import health as look

    try:
        found = look(call.open_store())
    except StoreUnusable as error:
        if not call.json:
            raise
        call.answer({"status": "down", "error": str(error)}, "")
        return FAILED
    healthy = found.status == "healthy"
    call.report(found.to_dict(), str(found), well=healthy)
    return 0 if healthy else FAILED


def delete(
    *,
    traces: Annotated[
        list[str] | None,
        typer.Argument(help="Ids, their beginnings, or latest; in place of filters.", metavar="ID", autocompletion=ids),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    filters: Filters,
    call: Call,
) -> int:
    """Delete traces with their scores, by ids or by filters; says how many, and asks first."""
    from tunix_rt.render import count
    from tunix_rt.store.selection import named_for_deletion

    given = filters.values()
    store = call.open_store()
    chosen = named_for_deletion(store, traces, given, yes=yes or sys.stdin.isatty())
    if len(chosen) and not yes:
        question = f"delete {count(len(chosen), 'trace')} with their scores from {store.path}?"
        try:
            agreed = typer.confirm(question, err=True)
        except typer.Abort:
            # Ctrl-C, or the end of the input.
            raise KeyboardInterrupt from None
        if not agreed:
            call.note("nothing was deleted")
            return FAILED
    n_deleted = store.delete(ids=chosen) if len(chosen) else 0
    call.report({"deleted": n_deleted}, f"{count(n_deleted, 'trace')} deleted")
    return 0
