"""The filters of a form, with a field for each."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from traitlets import Dict, List, observe, validate

from tunix_rt.json_values import plain
from tunix_rt.store import TraceStore
from tunix_rt.store.filter_values import TIME, as_time
from tunix_rt.store.filters import FILTERS, Filters, as_text
from tunix_rt.store.suggestions import suggestions
from tunix_rt.widgets.form import Form, action

_MOST_SOURCES = 100
# The filters that have a field of their own in the forms, in order.
_FIELDS = [
    {"name": name, "input": field.kind.input, **field.form._asdict()} for name, field in FILTERS.items() if field.form
]


class FilterFields(Form):
    """The part of a form that finds traces by filters: `filters` are those of `store.page`, and may be set."""

    store: TraceStore
    filters: "Dict[str, Any]" = Dict().tag(sync=True)
    filter_fields = List(Dict(), _FIELDS).tag(sync=True)

    @abstractmethod
    def _shown_filters(self) -> Mapping[str, Any] | None:
        """The filters of what is shown; None before anything is."""

    @abstractmethod
    def _find_by(self, filters: dict[str, Any]) -> None:
        """Shows what passes other filters."""

    @validate("filters")
    def _valid_filters(self, proposal: Any) -> dict[str, Any]:
        return filters_as_json(proposal["value"])

    @observe("filters")
    def _filters_changed(self, _change: object) -> None:
        shown = self._shown_filters()
        if shown is None or self.filters == shown:
            return
        try:
            self._find_by(self.filters)
        except BaseException:
            # Invalid filters are not kept: `filters` are always those of what is shown.
            self.filters = dict(shown)
            raise

    @action()
    def sources(self) -> dict[str, list[str]]:
        """The most frequent sources, to choose from."""
        return {"sources": [source for source, _ in self.store.info().sources if source][:_MOST_SOURCES]}

    @action(aside=True, watch=True)
    def suggest(self, name: str, text: str) -> dict[str, list[dict[str, str]]]:
        """What the text in the field "meta" or "score" may become: keys and values of the newest traces."""
        return {"suggestions": [one._asdict() for one in suggestions(self.store.sql, name, text)]}


def filters_as_json(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The filters in a form that the front end can show and send back; QueryInvalid if they are not valid."""
    return {name: _plain(name, value) for name, value in Filters(**filters).given.items()}


def _plain(name: str, value: Any) -> Any:
    if FILTERS[name].kind is TIME:
        return as_time(name, value).isoformat()
    if FILTERS[name].kind.as_text:
        return as_text(name, value)
    if name == "ids":
        ids = [value] if isinstance(value, str | UUID) else value
        return [str(one) for one in ids]
    return plain(value)
