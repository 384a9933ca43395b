"""One way for an object to show itself: as text in a terminal and in IPython, as HTML in a notebook."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from tunix_rt.render.html import facts_html, summary_html
from tunix_rt.render.text import facts_text, summary_text

_Class = TypeVar("_Class", bound=type)


def shows_itself(text: Callable[[Any], str], html: Callable[[Any], str]) -> Callable[[_Class], _Class]:
    """Gives a class `__str__`, `_repr_pretty_` and `_repr_html_`, made of what `text` and `html` return for an object.

    They are the class's own: IPython prefers a `__repr__` of the class to a `_repr_pretty_` that it inherits.
    """
    methods: dict[str, Callable[..., Any]] = {
        "__str__": text,
        "_repr_pretty_": lambda self, printer, _cycle: printer.text(text(self)),
        "_repr_html_": html,
    }

    def decorate(shown: _Class) -> _Class:
        for name, method in methods.items():
            setattr(shown, name, method)
        return shown

    return decorate


def shows_facts(shown: _Class) -> _Class:
    """Lets a class show its `_facts`, which are pairs of a name and a value, a line for each."""
    return shows_itself(lambda self: facts_text(self._facts), lambda self: facts_html(self._facts))(shown)


class Shown(NamedTuple):
    """A table to show: the first `rows` of `n_rows`, under names and types as SQL has them."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    n_rows: int

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], n_rows: int) -> "Shown":
        """Of rows with the same keys; numbers go to the right."""
        names = tuple(rows[0]) if rows else ()
        numbers = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
        types = tuple("DOUBLE" if number else "VARCHAR" for number in numbers)
        return cls(names, types, [tuple(row.values()) for row in rows], n_rows)


def shows_summary(shown: _Class) -> _Class:
    """Lets a class show its `_facts`, as `shows_facts` does, and below them its `_table`, a `Shown`."""
    return shows_itself(
        lambda self: summary_text(self._facts, self._table), lambda self: summary_html(self._facts, self._table)
    )(shown)
