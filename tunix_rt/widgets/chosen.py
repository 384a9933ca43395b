"""The rows that are chosen in a list of traces, and what can be done with them."""

import warnings
from abc import abstractmethod
from pathlib import Path
from typing import Any

from traitlets import Bool, List, Unicode, validate

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TraceNotFound
from tunix_rt.formats import WRITERS
from tunix_rt.store import Deletion, Selection, TraceComparison
from tunix_rt.store.filters import FILTERS
from tunix_rt.store.scores.labels import label_word
from tunix_rt.widgets.filter_fields import FilterFields
from tunix_rt.widgets.form import action

# Their ids are sent to the front end and back.
MOST_CHOSEN = 10_000
# Deletions that can be undone are in memory; the last one always is.
_MOST_KEPT_BYTES = 512_000_000
_TWO = 2


class ChosenRows(FilterFields):
    """The part of a list that acts on many traces; `chosen_ids` are those that are chosen, on any of its pages.

    They may be set from Python, and `chosen` is a Selection of them. `comparison` is the one that is shown.
    """

    chosen_ids: "List[Any]" = List().tag(sync=True)
    formats = List(Unicode(), list(WRITERS)).tag(sync=True)
    said = Unicode().tag(sync=True)
    can_undo = Bool(default_value=False).tag(sync=True)
    compared = Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._deletions: list[Deletion] = []
        self.comparison: TraceComparison | None = None
        super().__init__(**traits)

    @property
    def chosen(self) -> Selection:
        """The chosen traces that are in the store, as a Selection: to export, score, compare or label."""
        return self.store.select(ids=self.chosen_ids)

    @abstractmethod
    def _show_again(self, gone: set[str]) -> None:
        """Shows the list anew where it is, after some of its traces have changed or gone."""

    @validate("chosen_ids")
    def _valid_ids(self, proposal: Any) -> list[str]:
        ids = list(dict.fromkeys(FILTERS["ids"].kind.check("chosen_ids", list(proposal["value"]))))
        if len(ids) > MOST_CHOSEN:
            raise QueryInvalid(f"chosen_ids: more than {MOST_CHOSEN:,} traces; use the filters of the store's calls")
        return ids

    @action()
    def choose_rows(self, ids: list[str]) -> None:
        """Ticks exactly these traces."""
        self.chosen_ids = ids

    @action()
    def choose_found(self) -> None:
        """Ticks all traces that pass the filters; QueryInvalid for more than 10,000."""
        self.chosen_ids = self.store.select(limit=MOST_CHOSEN + 1, **self.filters).ids

    @action()
    def delete_chosen(self) -> None:
        """Deletes the chosen traces with their scores; `undo_delete` puts them back."""
        ids = self._some()
        deletion = self.store.delete(ids=ids, undoable=True)
        if deletion:
            self._deletions.append(deletion)
            while sum(one.n_bytes for one in self._deletions[1:]) > _MOST_KEPT_BYTES:
                del self._deletions[0]
        self.chosen_ids = []
        self._show_again(set(ids))
        deleted = f"Deleted {render.count(len(deletion), 'trace')}"
        deleted += f" and {render.count(deletion.scores, 'score')}" if deletion.scores else ""
        self._say(f"{deleted}{_elsewhere(len(ids) - len(deletion))}.")

    @action()
    def undo_delete(self) -> None:
        """Puts the traces of the last deletion of this form back, with their scores, and chooses them."""
        if not self._deletions:
            raise QueryInvalid("nothing to undo: no trace was deleted in this form")
        deletion = self._deletions[-1]
        n_restored = deletion.undo()
        self._deletions.pop()
        self.chosen_ids = deletion.ids[:MOST_CHOSEN]
        self._show_again(set())
        n_there = len(deletion) - n_restored
        there = f"; {n_there:,} {'was' if n_there == 1 else 'were'} there already" if n_there else ""
        self._say(f"Put back {render.count(n_restored, 'trace')}{there}.")

    @action()
    def label_chosen(self, word: str) -> None:
        """Labels each chosen trace, as `store.label` does."""
        word = label_word("label", word)
        ids, gone, n_labelled = self._some(), set(), 0
        try:
            for one in ids:
                try:
                    self.store.label(one, word)
                    n_labelled += 1
                except TraceNotFound:
                    gone.add(one)
        finally:
            # Also of those before an error: each label is stored by itself.
            labelled = f"Labelled {render.count(n_labelled, 'trace')} {render.visible(word)}"
            self._say(f"{labelled}, by {self.store.settings.annotator}{_elsewhere(len(gone))}.")
        self.chosen_ids = [one for one in ids if one not in gone]
        self._show_again(gone)

    @action()
    def export_chosen(self, path: str, format: str | None = None, replace: bool = False) -> None:  # noqa: FBT001, FBT002 - passed by name
        """Exports the chosen traces as `store.export` does; a file that exists is replaced only with `replace`."""
        ids = self._some()
        if not path.strip():
            raise QueryInvalid("export: name a file, such as chosen.jsonl")
        target = Path(path.strip()).expanduser()
        if target.exists() and not replace:
            raise QueryInvalid(f"export: {target} exists already; choose another name, or to replace it")
        with warnings.catch_warnings():
            # That no row was written is in the report.
            warnings.simplefilter("ignore")
            report = self.store.export(target, format=format or None, ids=ids, progress=False)
        out = "".join(f"; left out {n:,}: {why}" for why, n in report.left_out.items())
        rows = f"{render.count(report.rows, 'row')} of {render.count(len(ids), 'trace')}"
        file = (report.path or target).absolute()
        self._say(f"Exported {rows} as {report.format} to {file} ({render.size(report.size_bytes)}){out}.")

    @action()
    def compare_chosen(self) -> None:
        """Compares the two chosen traces step by step; `comparison` is the result."""
        ids = self._some()
        if len(ids) != _TWO:
            raise QueryInvalid(f"compare: {len(ids):,} traces are chosen; choose exactly two")
        comparison = self.store.compare(*ids)
        self.comparison, self.compared = comparison, str(render.comparison_html(comparison))

    @action()
    def close_comparison(self) -> None:
        """Takes the comparison away."""
        self.comparison, self.compared = None, ""

    @action()
    def hush(self) -> None:
        """Takes away what the last action said; what was deleted can still be put back by `undo_delete`."""
        self.said = ""

    def _some(self) -> list[str]:
        if not self.chosen_ids:
            raise QueryInvalid("no trace is chosen; choose some in the list first")
        return list(self.chosen_ids)

    def _say(self, text: str) -> None:
        with self.hold_sync():
            self.said, self.can_undo = render.visible(text), bool(self._deletions)


def _elsewhere(n: int) -> str:
    """What is said of chosen traces that were not there any more."""
    return f"; {n:,} {'was' if n == 1 else 'were'} deleted elsewhere before" if n else ""
