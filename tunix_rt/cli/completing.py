"""What the shell offers at Tab: ids, sources, keys of meta, scorers and formats."""

import re
from typing import TYPE_CHECKING

import typer

from tunix_rt.errors import StoreUnusable, TunixRTError

if TYPE_CHECKING:
    from tunix_rt.store import TraceStore

_IDS = 100
# Shells evaluate completions, and a source is any text of a file: only plain ones are offered, and no prompts.
_PLAIN = re.compile(r"[\w./@+-]+")
# Tab must not wait longer.
_SECONDS = 1


def _store(context: typer.Context) -> "TraceStore | None":
    """The store of the call that is being typed, if it exists; completion creates none."""
    from tunix_rt.paths import status_of, store_path
    from tunix_rt.settings import Settings
    from tunix_rt.store import TraceStore

    named = context.params.get("store") or context.find_root().params.get("store")
    settings = Settings(pool_timeout=_SECONDS)
    path = store_path(named or settings.database)
    return TraceStore(path, settings=settings) if status_of(path, StoreUnusable) else None


def ids(context: typer.Context, incomplete: str) -> list[str]:
    """The newest ids."""
    found = ["latest"]
    try:
        store = _store(context)
        found += [str(one.id) for one in store.page(limit=_IDS)] if store else []
    except TunixRTError:
        pass
    return [each for each in found if each.startswith(incomplete)]


def sources(context: typer.Context, incomplete: str) -> list[str]:
    """The sources of the stored traces."""
    try:
        store = _store(context)
        found = [source for source, _ in store.info().sources if source] if store else []
    except TunixRTError:
        return []
    return [source for source in found if source.startswith(incomplete) and _PLAIN.fullmatch(source)]


def meta_keys(context: typer.Context, incomplete: str) -> list[str]:
    """The keys of meta in the newest traces."""
    from tunix_rt.store.meta_filter import known_keys

    try:
        store = _store(context)
        found = known_keys(lambda query: store.sql(query).rows) if store else []
    except TunixRTError:
        return []
    return [key for key in found if key.startswith(incomplete) and _PLAIN.fullmatch(key)]


def orders(context: typer.Context, incomplete: str) -> list[str]:
    """What a list can be sorted by."""
    from tunix_rt.store.query.order import COLUMNS

    of_meta = [f"meta.{key}" for key in meta_keys(context, "")]
    found = [*COLUMNS, *of_meta, *(f"score.{name}" for name in scorers(""))]
    return [name for name in found if name.startswith(incomplete)]


def formats_in(incomplete: str) -> list[str]:
    """The formats that can be loaded."""
    from tunix_rt.formats import READABLE, names_in

    return [name for name in names_in(READABLE) if name.startswith(incomplete)]


def formats_out(incomplete: str) -> list[str]:
    """The formats that can be written."""
    from tunix_rt.formats import WRITERS, names_in

    return [name for name in names_in(WRITERS) if name.startswith(incomplete)]


def scorers(incomplete: str) -> list[str]:
    """The built-in scorers and flags."""
    from tunix_rt.analysis import FLAGS, SCORERS

    return [name for name in (*SCORERS, *FLAGS) if name.startswith(incomplete)]


def flag_names(incomplete: str) -> list[str]:
    """The flags, also those of a set."""
    from tunix_rt.store.scores.scorers import ALL_FLAGS

    return [name for name in ALL_FLAGS if name.startswith(incomplete)]
