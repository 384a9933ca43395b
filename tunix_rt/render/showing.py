"""One way for an object to show itself: as text in a terminal and in IPython, as HTML in a notebook."""

from collections.abc import Callable
from typing import Any, TypeVar

from tunix_rt.render.html import facts_html
from tunix_rt.render.text import facts_text

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
