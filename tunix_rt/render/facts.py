"""What is told of something by names and values, and shows itself so."""

from abc import abstractmethod
from typing import Any

from markupsafe import Markup

from tunix_rt.render.html import facts_html
from tunix_rt.render.text import facts_text


class ToldByFacts:
    """Shows itself as a small table of its `_facts`, in a terminal as lines."""

    @property
    @abstractmethod
    def _facts(self) -> list[tuple[str, str]]:
        """Names and values, in order."""

    def __str__(self) -> str:
        return facts_text(self._facts)

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> Markup:
        return facts_html(self._facts)
