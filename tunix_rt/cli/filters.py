"""The store's filters as options, made from the table of filters."""

import inspect
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from tunix_rt.cli.command import Options
from tunix_rt.cli.completing import meta_keys, scorers, sources
from tunix_rt.store.filters import FILTERS, RENAMED, FilterField, filters_in, flag_of, with_new_names

_COMPLETED = {"source": sources, "meta": meta_keys, "score": scorers}


class Filters(Options):
    """The filters of a command; the options are those of its signature."""

    def __init__(self, **given: Any) -> None:
        self._given = given

    def values(self) -> dict[str, Any]:
        """The filters that were given, as the calls of a store take them."""
        return with_new_names(filters_in(self._given))


def _parameters() -> Iterator[inspect.Parameter]:
    for name, field in FILTERS.items():
        yield _parameter(name, field, autocompletion=_COMPLETED.get(name))
    for old, new in RENAMED.items():
        yield _parameter(old, FILTERS[new], hidden=True)


def _parameter(name: str, field: FilterField, **more: Any) -> inspect.Parameter:
    several = " May be repeated." if field.kind.repeated else ""
    option = typer.Option(
        flag_of(name),
        help=f"{field.help[0].upper()}{field.help[1:]}.{several}",
        metavar=field.kind.metavar,
        rich_help_panel="Filters",
        show_default=False,
        **more,
    )
    of_text = list[str] | None if field.kind.repeated else str | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[of_text, option])


Filters.__signature__ = inspect.Signature(list(_parameters()))  # type: ignore[attr-defined]
