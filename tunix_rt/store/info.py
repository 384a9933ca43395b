"""The store's numbers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tunix_rt import render


@dataclass(frozen=True)
class StoreInfo:
    """Which store, and its numbers: traces, bytes on disk, the oldest and newest time (UTC), and traces by source.

    `compact_due` says that so many traces lie out of the order of time that pages have become slow.
    """

    path: str
    n_traces: int
    size_bytes: int
    oldest: datetime | None
    newest: datetime | None
    schema_version: int
    compact_due: bool
    sources: tuple[tuple[str | None, int], ...]

    def __str__(self) -> str:
        return render.info_text(self)

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return render.info_html(self)
