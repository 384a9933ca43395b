"""A source of no known format that a form holds back, and the mappings that it offers to load it by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunix_rt import render
from tunix_rt.errors import TunixRTError
from tunix_rt.formats import Reading, Rejection, ScoreDraft, mapped_format, parts_of, sources_in
from tunix_rt.model import Trace

Mapped = dict[str, Any]


@dataclass(frozen=True)
class Held:
    """What was to be loaded, what it is called, and the mappings to choose from; `drop` forgets the file behind it."""

    source: str
    name: str
    known: Any
    mappings: Sequence[Mapped]
    drop: Callable[[], None]

    def shown(self) -> list[dict[str, str]]:
        """For each mapping what it takes for what, and the first trace that it gives as HTML."""
        name = render.visible(self.name)
        return [
            {"name": name, "line": render.mapping_line(one), "html": preview(self.source, one)} for one in self.mappings
        ]


def preview(source: str, mapping: Mapped) -> str:
    """The first trace of a source by this mapping, as HTML; what is wrong with its first row where there is none."""
    try:
        first, *_ = sources_in(source, lambda: None, None).sources
        for part in parts_of(Path(source) if isinstance(first, Path) else first, lambda _: None):
            with Reading(part, format=mapped_format(mapping)) as reading:
                for found in reading:
                    if isinstance(found, Rejection):
                        return str(render.note_html(f"{found.field}: {found.reason}" if found.field else found.reason))
                    if isinstance(found, ScoreDraft):
                        continue
                    trace = Trace.from_plain(found.trace) if isinstance(found.trace, dict) else found.trace
                    return str(render.trace_html(trace, styled=False))
    except TunixRTError as error:
        return str(render.note_html(str(error)))
    return ""
