"""The store's filters as options."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import typer

from tunix_rt.cli.completing import sources
from tunix_rt.text_options import meta_in

_AGO = re.compile(r"(\d+)([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _filter(help: str, *flags: str, **more: Any) -> Any:
    return typer.Option(*flags, help=help, rich_help_panel="Filters", show_default=False, **more)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What to let through; see `tunix_rt.store.filters.FILTERS`."""

    text: Annotated[str | None, _filter("Found in prompt, steps or answer, whatever its case.")] = None
    source: Annotated[str | None, _filter("The trace's meta.source.", autocompletion=sources)] = None
    since: Annotated[
        str | None,
        _filter("Created at or after: 2026-01-31, 2026-01-31T12:00:00Z, or 30m, 2h, 7d ago.", metavar="TIME"),
    ] = None
    until: Annotated[str | None, _filter("Created before this time.", metavar="TIME")] = None
    min_steps: Annotated[int | None, _filter("At least so many steps.")] = None
    max_steps: Annotated[int | None, _filter("At most so many steps.")] = None
    min_chars: Annotated[int | None, _filter("At least so many characters in prompt, steps and answer.")] = None
    max_chars: Annotated[int | None, _filter("At most so many of them.")] = None
    version: Annotated[str | None, _filter("The trace_version.")] = None
    meta: Annotated[
        list[str] | None,
        _filter("A value in meta; dots reach inside. May be repeated.", metavar="KEY=VALUE"),
    ] = None
    ids: Annotated[list[str] | None, _filter("This id. May be repeated.", "--id", metavar="ID")] = None
    where: Annotated[
        str | None, _filter('A SQL expression over the columns: "length(prompt) > 1000".', metavar="SQL")
    ] = None

    def asked(self) -> dict[str, Any]:
        """The filters that were asked for, as the calls of a store take them."""
        given = {name: value for name, value in vars(self).items() if value not in (None, [], ())}
        for name in given.keys() & {"since", "until"}:
            given[name] = _moment(given[name])
        if self.meta:
            given["meta"] = meta_in(self.meta)
        return given


def _moment(text: str) -> str | timedelta:
    ago = _AGO.fullmatch(text)
    return timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else text
