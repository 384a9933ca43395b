"""What the commands share: their common options, and how each of them ends."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunix_rt.cli.output import put, put_json, ready_streams, write_message
from tunix_rt.errors import QueryInvalid, SettingsInvalid, StoreUnusable, TunixRTError
from tunix_rt.paths import MEMORY, local_path, status_of
from tunix_rt.text_options import as_options

if TYPE_CHECKING:
    from tunix_rt.store import TraceStore

FAILED, USAGE, INTERRUPTED, NO_READER = 1, 2, 130, 141
_PANEL = "Any command"


class Options:
    """Options that several commands take: `expanded` makes an option of each parameter of a subclass's signature."""


@dataclass(frozen=True, kw_only=True)
class Call(Options):
    """One call of the command: its store, and the form of its output."""

    store: Annotated[
        Path | None,
        typer.Option(
            help="The store's file; default: TUNIX_RT_DATABASE, or else the one in your data folder.",
            metavar="PATH",
            rich_help_panel=_PANEL,
        ),
    ] = None
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Open the store for reading only.", rich_help_panel=_PANEL)
    ] = False
    json: Annotated[
        bool,
        typer.Option("--json", help="Answer in JSON: one document, or a line for each row.", rich_help_panel=_PANEL),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print only results and problems; no progress.", rich_help_panel=_PANEL),
    ] = False

    def over(self, before: "Call") -> "Call":
        """This call, with the options that were given before the command's name."""
        return Call(
            store=self.store or before.store,
            read_only=self.read_only or before.read_only,
            json=self.json or before.json,
            quiet=self.quiet or before.quiet,
        )

    def open_store(self, *, new: bool = False) -> "TraceStore":
        """The store; a named one that does not exist is created only where it may be `new`."""
        from tunix_rt.store import TraceStore

        path = self.store and str(self.store) != MEMORY and local_path(self.store, StoreUnusable)
        if path and not new and status_of(path, StoreUnusable) is None:
            raise StoreUnusable(
                f"{self.store}: there is no store; create one with: tunix-rt load --store {self.store} FILE"
            )
        return TraceStore(self.store, read_only=self.read_only)

    def answer(self, data: Any, text: str) -> None:
        """Writes the result: the data with --json, else the text."""
        if self.json:
            put_json(data)
        else:
            put(text)

    def report(self, data: Any, text: str, *, well: bool = True) -> None:
        """Writes the report of the call; with --quiet only where something went wrong."""
        if self.json or not (self.quiet and well):
            self.answer(data, text)

    def note(self, text: str) -> None:
        """Writes a note beside the result."""
        if not self.quiet:
            write_message(text)


def command(app: typer.Typer) -> Callable[[Callable[..., int | None]], None]:
    """Registers a function as a command of the app, under its name; it returns the exit status, None for 0."""

    def register(run: Callable[..., int | None]) -> None:
        filled = expanded(run)

        def called(context: typer.Context, **given: Any) -> None:
            ready_streams()
            with _ending():
                status = filled(**given, _before=context.find_root().obj)
                sys.stdout.flush()
                raise typer.Exit(status or 0)

        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        _declare(called, [context, *inspect.signature(filled).parameters.values()])
        app.command(run.__name__.rstrip("_"), help=run.__doc__)(called)

    return register


def expanded(run: Callable[..., Any]) -> Callable[..., Any]:
    """The function with each parameter that is a group of Options replaced by the options of the group."""
    parameters = inspect.signature(run).parameters.values()
    groups: dict[str, Any] = {
        each.name: each.annotation
        for each in parameters
        if isinstance(each.annotation, type) and issubclass(each.annotation, Options)
    }

    def filled(*, _before: Call | None = None, **given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{field: given.pop(field) for field in inspect.signature(group).parameters})
            if _before is not None and isinstance(given[name], Call):
                given[name] = given[name].over(_before)
        return run(**given)

    _declare(
        filled,
        [
            each
            for parameter in parameters
            for each in (
                inspect.signature(groups[parameter.name]).parameters.values()
                if parameter.name in groups
                else [parameter]
            )
        ],
    )
    filled.__doc__ = run.__doc__
    return filled


def _declare(function: Any, parameters: list[inspect.Parameter]) -> None:
    """Gives the function a signature with these parameters, keyword-only."""
    named = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    function.__signature__ = inspect.Signature(named)
    function.__annotations__ = {each.name: each.annotation for each in named}


@contextmanager
def _ending() -> Iterator[None]:
    """Around a command: what it raises becomes a message and an exit status."""
    try:
        yield
    except TunixRTError as error:
        _report_error(str(error), error)
        raise typer.Exit(USAGE if isinstance(error, QueryInvalid | SettingsInvalid) else FAILED) from None
    except KeyboardInterrupt as interrupt:
        _report_error("interrupted", interrupt)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _drop_unwritten()
        raise typer.Exit(NO_READER) from None
    except OSError as error:
        _drop_unwritten()
        _report_error(str(error), error)
        raise typer.Exit(FAILED) from None


def _drop_unwritten() -> None:
    """What standard output does not take would be written, in vain and with a complaint, at the end of Python."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_error(message: str, error: BaseException) -> None:
    advice = as_options(message).replace("read_only=True", "--read-only")
    write_message("; ".join([f"tunix-rt: {advice}", *getattr(error, "__notes__", [])]))
