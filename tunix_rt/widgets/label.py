"""Traces labelled one after another, as a form."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, ClassVar, NamedTuple, Unpack
from uuid import UUID

from traitlets import Dict, Enum, List, Unicode

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TraceNotFound
from tunix_rt.model import TraceRecord
from tunix_rt.store import Page, Selection, TraceStore
from tunix_rt.store.filters import FILTERS, FilterArgs
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.scores.labels import PREFIX, Said, label_scorer, label_word, labels_of
from tunix_rt.store.selection import MOST_QUEUED
from tunix_rt.validation import short
from tunix_rt.widgets.form import Form, action, front_end

FIRST_ERROR = "first error"
# Of the newest traces, where no queue is given.
_NEWEST = 1_000
_MOST_WORDS = 9
_FULL_ID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
# What the front end does by the other letters; a word that begins with one of these has only its number.
_KEYS_IN_USE = "ejknopuvw"


class _Change(NamedTuple):
    """What somebody said of a trace or a step, and what had been said before; None where there is no label."""

    trace: str
    step: int | None
    before: Said | None
    after: Said | None


class LabelForm(Form):
    """Labels the traces of a queue one after another, by the keyboard or the mouse: each trace, and its steps.

    `queue` is that of `store.queue`, or its name; or a Selection, a Page or ids (up to 10,000); without one it is the
    newest 1,000 traces that pass the filters of `store.page`. `words` are one to nine labels; the key of the first is
    1, and its first letter where no other word and no other key has it. The form shows, counts and changes the labels
    of `annotator` only (by default the setting), and begins at the first trace that has none. A label is stored as by
    `store.label`, before the next trace is shown.

    `record` is the trace that is shown, None after the last; `position` its index in `ids`, those of the queue. Raises
    QueryInvalid for a queue, words or an annotator that are not valid.
    """

    choices = List(Dict()).tag(sync=True)
    annotator = Unicode().tag(sync=True)
    view = Enum(["plain", "markdown"], "plain").tag(sync=True)
    shown = Dict().tag(sync=True)
    progress = Dict().tag(sync=True)
    _esm: ClassVar[str] = front_end("label")

    def __init__(
        self,
        store: TraceStore | None = None,
        queue: str | Selection | Page | Iterable[UUID | str] | None = None,
        *,
        words: Sequence[str] = ("good", "bad", "unsure"),
        annotator: str | None = None,
        **filters: Unpack[FilterArgs],
    ) -> None:
        self.store = store or TraceStore()
        who = self.store.settings.annotator if annotator is None else annotator
        self._scorer = label_scorer(who)
        choices = _choices(words)
        if isinstance(queue, str) and not _FULL_ID.fullmatch(queue):
            queue = _named(self.store, queue)
        self.ids = _ids(self.store, queue, filters)
        self._name = (queue.name if isinstance(queue, Selection) else None) or ""
        self._said: dict[tuple[str, int | None], Said] = {}
        self._gone: set[str] = set()
        self._undo: list[list[_Change]] = []
        self._notice = ""
        self.position = -1
        self.record: TraceRecord | None = None
        # Before the widget is created, so that a queue that cannot be read leaves none behind.
        self._read_all()
        self._go_on()
        super().__init__(choices=choices, annotator=who)
        self._show()

    def picture(self) -> object:
        """How many traces of the queue are labelled, and with which words."""
        now = self.progress
        counts = tuple((one["text"], one["n"]) for one in now["counts"])
        return _Labelled(self._name, self.annotator, now["n_traces"], now["n_labelled"], counts)

    @action()
    def label(self, word: str | None, step: int | None = None, note: str | None = None, id: str | None = None) -> None:
        """Labels the trace that is shown, and shows the next one without a label; None takes the label back.

        With `step`, an index from 0, it labels that step, and stays. An equal label is not stored again. `id` is the
        trace that the caller has seen: QueryInvalid if it is no longer the one that is shown.
        """
        with self._acting():
            seen = self._seen(id)
            said = None if word is None else Said(label_word("label", word), _note(note))
            there = self._say([(seen, step, said)])
            if (said is not None and step is None) or not there:
                self._go_on()

    @action()
    def first_error(self, step: int, id: str | None = None) -> None:
        """Labels a step (an index from 0) as the first error of the trace, in place of one that was labelled so."""
        with self._acting():
            seen = self._seen(id)
            note = self._said.get((seen, step), Said("", None)).note
            others = [
                (one, at, None)
                for (one, at), said in self._said.items()
                if one == seen and at not in (None, step) and said.word == FIRST_ERROR
            ]
            if not self._say([(seen, step, Said(FIRST_ERROR, note)), *others]):
                self._go_on()

    @action()
    def annotate(self, note: str, id: str | None = None) -> None:
        """Changes the note of the label that the trace has; QueryInvalid if it has none."""
        with self._acting():
            seen = self._seen(id)
            said = self._said.get((seen, None))
            if said is None:
                raise QueryInvalid("the trace has no label yet; its note is stored with the label")
            if not self._say([(seen, None, said._replace(note=_note(note)))]):
                self._go_on()

    @action()
    def undo(self) -> None:
        """Gives back what was said before the last label of this form, and shows that trace."""
        with self._acting():
            if not self._undo:
                raise QueryInvalid("nothing to undo: no label was given in this form")
            changes = self._undo[-1]
            seen = changes[0].trace
            try:
                self._read(self.store.get(seen))
            except TraceNotFound:
                self._undo.pop()
                self._find_gone()
                return
            if any(self._said.get((one.trace, one.step)) not in (one.before, one.after) for one in changes):
                self._undo.pop()
                raise QueryInvalid("not undone: the trace was labelled elsewhere since")
            if self._say([(one.trace, one.step, one.before) for one in reversed(changes)], again=True):
                self._go([self.ids.index(seen)])
            self._undo.pop()

    @action()
    def move(self, by: int) -> None:
        """Shows the next trace of the queue (`by` 1) or the one before (-1), labelled or not."""
        with self._acting():
            ahead = range(self.position + 1, len(self.ids)) if by > 0 else range(self.position - 1, -1, -1)
            if not self._go(ahead) and not self._notice:
                self._notice = f"This is the {'last' if by > 0 else 'first'} trace of the queue."

    @action()
    def read_as(self, view: str) -> None:
        """Shows the trace as "plain" text or as "markdown"."""
        with self._acting():
            self.view = view

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """Around an action: at the end the form shows how things are, also after an error."""
        self._notice = ""
        try:
            yield
        finally:
            self._show()

    def _seen(self, id: str | None) -> str:
        """The id of the trace that is shown."""
        if self.record is None:
            raise QueryInvalid("no trace is shown; go back to one, or make a form with another queue")
        shown = str(self.record.id)
        if id not in (None, shown):
            raise QueryInvalid("another trace is shown now; nothing was stored")
        return shown

    def _say(self, wanted: Sequence[tuple[str, int | None, Said | None]], *, again: bool = False) -> bool:
        """Stores what is wanted and not said already, to be undone together; False if the trace was deleted."""
        changes: list[_Change] = []
        try:
            for trace, step, said in wanted:
                if step is not None:
                    whole_number("step", step, 0, None)
                before = self._said.get((trace, step))
                if before == said:
                    continue
                word, note = said or (None, None)
                self.store.label(trace, word, step=step, note=note, annotator=self.annotator)
                changes.append(_Change(trace, step, before, said))
                self._keep(trace, step, said)
        except TraceNotFound:
            self._find_gone()
            return False
        finally:
            # What was stored can be undone, also where the rest of it failed.
            if changes and not again:
                self._undo.append(changes)
        return True

    def _keep(self, id: str, step: int | None, said: Said | None) -> None:
        self._said.pop((id, step), None)
        if said is not None:
            self._said[id, step] = said

    def _read_all(self) -> None:
        """Reads what the annotator says of the traces of the queue."""
        for row in self.store.scores(self._scorer, ids=self.ids).arrow().to_pylist():
            if row["label"] is not None:
                self._said[str(row["trace_id"]), row["step"]] = Said(row["label"], row["explanation"])

    def _read(self, record: TraceRecord) -> None:
        """Reads it of one trace again: another kernel may have said something since."""
        trace = str(record.id)
        for key in [key for key in self._said if key[0] == trace]:
            del self._said[key]
        for step, said in labels_of(self.store._session, record, self._scorer).items():  # noqa: SLF001 - our own store
            self._said[trace, step] = said

    def _go_on(self) -> None:
        """Shows the next trace without a label, after the last one from the start; none where there is none."""
        after = self.position + 1
        places = chain(range(after, len(self.ids)), range(min(after, len(self.ids))))
        if not self._go((at for at in places if (self.ids[at], None) not in self._said), only_open=True):
            self.position, self.record = len(self.ids), None

    def _go(self, places: Iterable[int], *, only_open: bool = False) -> bool:
        """Shows the first of these traces that is still there; False if none is."""
        for at in places:
            trace = self.ids[at]
            if trace in self._gone:
                continue
            try:
                record = self.store.get(trace)
            except TraceNotFound:
                self._find_gone()
                continue
            self._read(record)
            if only_open and (trace, None) in self._said:
                continue
            self.position, self.record = at, record
            return True
        return False

    def _find_gone(self) -> None:
        """Finds which traces of the queue were deleted: of many at once, each would be looked for in vain."""
        gone = set(self.ids) - set(self.store.select(ids=self.ids))
        n_more = len(gone - self._gone)
        self._gone |= gone
        if n_more:
            was = "was deleted; it is" if n_more == 1 else "were deleted; they are"
            self._notice = f"{render.count(n_more, 'trace')} of the queue {was} passed over."

    def _counts(self) -> Counter[str]:
        """How many traces of the queue have which label, in the order of the words; other words come last."""
        words = [said.word for (of, step), said in self._said.items() if step is None and of not in self._gone]
        found, named = Counter(words), [choice["word"] for choice in self.choices]
        return Counter({word: found[word] for word in [*named, *sorted(set(words) - set(named))]})

    def _show(self) -> None:
        record, counts = self.record, self._counts()
        trace = "" if record is None else str(record.id)
        said = self._said.get((trace, None))
        if record is None:
            shown = {"id": "", "view": self.view, "empty": self._end(sum(counts.values()))}
        elif (trace, self.view) == (self.shown.get("id"), self.shown.get("view")):
            # A label changes nothing in it, and it may be long.
            shown = self.shown
        else:
            # Without what people say of it: the annotator's own labels are beside it, those of others are not shown.
            scores = {name: score for name, score in record.scores.items() if not name.startswith(PREFIX)}
            html = render.record_html(record.model_copy(update={"scores": scores}), text=self.view, styled=False)
            shown = {"id": trace, "view": self.view, "html": html}
        with self.hold_sync():
            self.shown = shown
            self.progress = {
                "queue": render.visible(self._name),
                "position": self.position,
                "n_traces": len(self.ids),
                "n_labelled": sum(counts.values()),
                "n_deleted": len(self._gone),
                "counts": [{"text": render.visible(word), "n": n} for word, n in counts.items()],
                "word": None if said is None else said.word,
                "text": "" if said is None else render.visible(said.word),
                "note": (said and said.note) or "",
                "steps": [
                    {"at": step, "text": render.visible(one.word), "note": one.note or ""}
                    for (of, step), one in self._said.items()
                    if of == trace and step is not None
                ],
                "notice": self._notice,
                "can_undo": bool(self._undo),
            }

    def _end(self, n_labelled: int) -> str:
        if not self.ids:
            return "No trace to label: the queue is empty."
        if not n_labelled:
            return "No trace to label: none of the queue is in the store."
        return f"Done: {render.count(n_labelled, 'trace')} labelled."


@render.shows_facts
@dataclass(frozen=True)
class _Labelled:
    """The picture of the form; two pictures are equal if they look the same."""

    queue: str
    annotator: str
    n_traces: int
    n_labelled: int
    counts: tuple[tuple[str, int], ...]

    @property
    def _facts(self) -> list[tuple[str, str]]:
        labelled = f"{self.n_labelled:,} of {render.count(self.n_traces, 'trace')}, by {self.annotator}"
        named = [("queue", self.queue)] if self.queue else []
        return [*named, ("labelled", labelled), *((word, f"{n:,}") for word, n in self.counts)]


def _note(text: Any) -> Any:
    """The note as it is stored; what is not a text the store refuses."""
    return text.strip() or None if isinstance(text, str) else text


def _choices(words: Any) -> list[dict[str, Any]]:
    """The words with their keys, as the front end shows them."""
    several = isinstance(words, Iterable) and not isinstance(words, str)
    given = list(islice(words, _MOST_WORDS + 1)) if several else [words]
    checked = list(dict.fromkeys(label_word("words", word) for word in given))
    if not 1 <= len(checked) == len(given) <= _MOST_WORDS:
        raise QueryInvalid(f"words: must be 1 to {_MOST_WORDS} different labels, such as ('good', 'bad', 'unsure')")
    letters = Counter(word[0].casefold() for word in checked)
    return [
        {
            "word": word,
            "text": render.visible(word),
            "keys": [str(n), *(key for key in word[0].casefold() if letters[key] == 1 and _is_free(key))],
        }
        for n, word in enumerate(checked, 1)
    ]


def _is_free(key: str) -> bool:
    return key.isalpha() and key not in _KEYS_IN_USE


def _named(store: TraceStore, name: str) -> Selection:
    try:
        return store.select(name)
    except QueryInvalid:
        raise QueryInvalid(
            f"queue={short(name)}: there is no queue of this name; draw one with store.queue(name, n=50)"
        ) from None


def _ids(store: TraceStore, queue: Any, filters: FilterArgs) -> list[str]:
    """The ids of the queue, each once."""
    if queue is None:
        return store.select(limit=_NEWEST, **filters).ids
    if filters:
        raise QueryInvalid("a queue is given, and filters too: use store.select(ids=queue, …) as the queue")
    if isinstance(queue, Iterable) and not isinstance(queue, str):
        queue = [getattr(one, "id", one) for one in islice(queue, MOST_QUEUED + 1)]
    ids = list(dict.fromkeys(FILTERS["ids"].kind.check("queue", queue)))
    if len(ids) > MOST_QUEUED:
        raise QueryInvalid(
            f"queue: more than {MOST_QUEUED:,} traces; draw some of them: store.select(ids=queue, limit=500, seed=0)"
        )
    return ids
