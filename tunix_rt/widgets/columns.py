"""The columns of a list of traces: which, in what order, how wide; and how many rows a page has."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from traitlets import Dict, Int, List, observe, validate

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.model import TraceSummary
from tunix_rt.render.verdict import said, score_said
from tunix_rt.store import TraceStore
from tunix_rt.store.filter_values import is_text, shown
from tunix_rt.store.meta_filter import known_keys
from tunix_rt.store.query.cursor import MAX_LIMIT, whole_number
from tunix_rt.store.score_filter import SCORER_NAME
from tunix_rt.widgets.form import Form, action

COLUMNS = ("created_at", "preview", "verdict", "answer", "n_steps", "n_chars", "source", "trace_version", "id")
_MOST_COLUMNS = 30
_NARROWEST, _WIDEST = 30, 2_000  # pixels
# Of the scorers with the most scores.
_SCORERS = "select scorer from scores group by scorer order by count(*) desc, scorer limit 100"


class ColumnsOfRows(Form):
    """The part of a list that knows its columns.

    `columns` are names as `order_by` has them (`created_at`, `preview`, `n_steps`, `n_chars`, `source`,
    `trace_version`, `meta.KEY`, `score.SCORER`), and `verdict`, `answer` and `id`; with none the list has what its
    traces have. `widths` are those that are not the usual ones, in pixels, and `limit` the rows of a page, 1 to 100.
    """

    store: TraceStore
    columns: "List[Any]" = List().tag(sync=True)
    widths: "Dict[str, int]" = Dict().tag(sync=True)
    limit = Int(20).tag(sync=True)

    @abstractmethod
    def _show_columns(self) -> None:
        """Shows the page with these columns."""

    @abstractmethod
    def _show_anew(self) -> None:
        """Shows the first page."""

    @validate("columns")
    def _valid_columns(self, proposal: Any) -> list[str]:
        return columns_in(proposal["value"])

    @validate("limit")
    def _valid_limit(self, proposal: Any) -> int:
        whole_number("limit", proposal["value"], 1, MAX_LIMIT)
        return int(proposal["value"])

    @validate("widths")
    def _valid_widths(self, proposal: Any) -> dict[str, int]:
        for name, width in proposal["value"].items():
            whole_number(f"widths: {shown(name)}", width, _NARROWEST, _WIDEST)
        return dict(proposal["value"])

    @observe("columns")
    def _columns_changed(self, _change: object) -> None:
        self._show_columns()

    @observe("limit")
    def _limit_changed(self, _change: object) -> None:
        self._show_anew()

    @action()
    def show_columns(self, columns: list[str]) -> None:
        """Shows these columns, in this order; without any what the traces have."""
        with self.hold_sync():
            self.columns = columns

    @action()
    def show_limit(self, limit: int) -> None:
        """Shows pages of this many rows, from the first."""
        with self.hold_sync():
            self.limit = limit

    @action()
    def resize(self, column: str, width: int) -> None:
        """Gives a column a width in pixels; 0 is its usual one."""
        others = {name: one for name, one in self.widths.items() if name != column}
        bounded = max(_NARROWEST, min(width, _WIDEST))
        self.widths = {**others, column: bounded} if width else others

    @action(aside=True)
    def known_columns(self) -> dict[str, list[str]]:
        """The columns to choose from: those that every trace has, keys of the newest metas, and scorers."""
        keys = known_keys(lambda query: self.store.sql(query).rows)
        scorers = [scorer for (scorer,) in self.store.sql(_SCORERS).rows]
        return {"columns": [*COLUMNS, *(f"meta.{key}" for key in keys), *(f"score.{name}" for name in scorers)]}

    def _named(self, table: str) -> tuple[str, ...]:
        """The keys of `meta`, or the scorers of `score`, among the columns."""
        return tuple(name.removeprefix(table) for name in self.columns if name.startswith(table))


def columns_in(names: Iterable[Any]) -> list[str]:
    """The names of columns, each once; QueryInvalid where one is not such a name."""
    distinct = list(dict.fromkeys([names] if isinstance(names, str) else names))
    for name in distinct:
        table, _, key = name.partition(".") if isinstance(name, str) else ("", "", "")
        is_named = (table == "meta" and key and is_text(key)) or (table == "score" and SCORER_NAME.fullmatch(key))
        if name not in COLUMNS and not is_named:
            raise QueryInvalid(f"columns: {shown(name)} is not one of {', '.join(COLUMNS)}, meta.KEY and score.SCORER")
    if len(distinct) > _MOST_COLUMNS:
        raise QueryInvalid(f"columns: {len(distinct):,} are too many; a list has at most {_MOST_COLUMNS}")
    return distinct


def cells_of(record: TraceSummary, columns: Sequence[str]) -> dict[str, str]:
    """The texts of the columns that not every list has, in one line each; without what the trace does not have."""
    texts = {}
    for name in columns:
        table, _, key = name.partition(".")
        if table == "meta":
            texts[name] = said(record.facts.get(key))
        elif table == "score" and key in record.scores:
            texts[name] = score_said(record.scores[key])
        elif name in ("trace_version", "id"):
            texts[name] = render.visible(str(getattr(record, name)))
    return {name: text for name, text in texts.items() if text}


def row_of(record: TraceSummary, columns: Sequence[str] = ()) -> dict[str, Any]:
    """A row as the front end shows it, with these columns; control characters are made visible here."""
    known = render.judged(record.facts, record.scores)
    return {
        "id": str(record.id),
        "at": render.utc_exact(record.created_at),
        "preview": render.visible(record.preview),
        "n_steps": record.n_steps,
        "n_chars": record.n_chars,
        "source": record.source and render.visible(record.source),
        "answer": record.answer and render.visible(record.answer),
        "verdict": known.verdict._asdict() if known.verdict.is_known else None,
        "expected": known.expected,
        "reward": known.reward,
        "model": known.model,
        "training_step": known.training_step,
        "flags": list(known.flags),
        "cells": cells_of(record, columns),
    }
