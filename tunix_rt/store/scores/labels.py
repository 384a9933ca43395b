"""Labels: what a person says of a trace, or of one of its steps. They are scores by the scorer `label:NAME`."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from tunix_rt.errors import QueryInvalid, TraceNotFound
from tunix_rt.model import TraceRecord
from tunix_rt.settings import ANNOTATOR
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.statement import parsed
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.scores.facts import LABEL_PREFIX
from tunix_rt.store.scores.outcomes import MOST_EXPLANATION_CHARS
from tunix_rt.validation import short

PREFIX = LABEL_PREFIX
# Of a label that was taken back, which is a newer one without a word.
WITHDRAWN = "withdrawn"
_MOST_CHARS = 100
# What these words say of a trace where labels are compared with verdicts; other words stay words.
RIGHT = ("good", "right", "correct", "yes", "pass")
WRONG = ("bad", "wrong", "incorrect", "no", "fail")

# `sample` counts what somebody has said of one thing: each label is a fact of its own, and the last one is current.
_INSERT = """
insert into store.scores
select
    $scorer, '1', '{}', created_at, id, $step,
    (
        select coalesce(max(sample) + 1, 0) from scores
        where scorer = $scorer and trace_id = traces.id and created_at = traces.created_at
        and step is not distinct from $step
    ),
    null, $label, null, $note, $reason, null, make_timestamptz($now::bigint)
from traces
where id = $id::uuid and created_at = $created_at
returning trace_id
"""
# By the trace's time, too: DuckDB reads only the row groups of it. Of 1,500,000 scores that takes 1 ms, else 8.
_OF_ONE_TRACE = """
select step, label, explanation from scores
where created_at = ? and trace_id = ? and scorer = ?
order by scored_at, sample
"""


class Said(NamedTuple):
    """A label: its word, and the note or None."""

    word: str
    note: str | None


def words_of(scorer: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words, in lower case, that mean right and wrong of a scorer, for `in` of SQL."""
    is_label = scorer.startswith(PREFIX)
    return ("true", *(RIGHT if is_label else ())), ("false", *(WRONG if is_label else ()))


def label_scorer(annotator: str) -> str:
    """The scorer of somebody's labels; QueryInvalid for a name that cannot be part of one."""
    if not isinstance(annotator, str) or not ANNOTATOR.fullmatch(annotator):
        raise QueryInvalid(
            f"annotator={short(annotator)}: must be a name of 1 to 80 letters, digits, spaces and . _ - + @"
        )
    return PREFIX + annotator


def add_label(
    session: Access, record: TraceRecord, label: str | None, *, step: int | None, note: str | None, annotator: str
) -> None:
    """Adds a label of a stored trace, or of the step with this index; see `TraceStore.label`."""
    session.refuse_read_only()
    scorer = label_scorer(annotator)
    if step is not None:
        n_steps = len(record.payload.steps)
        if not n_steps:
            raise QueryInvalid(f"step={short(step)}: the trace has no steps; leave it out to label the trace")
        whole_number("step", step, 0, n_steps - 1)
    values: dict[str, Any] = {
        "scorer": scorer,
        "step": step,
        "label": None if label is None else label_word("label", label),
        "note": _text("note", note, MOST_EXPLANATION_CHARS) if note else None,
        "reason": WITHDRAWN if label is None else None,
        "now": round(datetime.now(UTC).timestamp() * 1_000_000),
        "id": str(record.id),
        "created_at": record.created_at,
    }
    with session.transaction() as cursor:
        if cursor.execute(_INSERT, values).fetchone() is None:
            raise TraceNotFound(f"{record.id}: was deleted meanwhile; it was not labelled")


def labels_of(session: Access, record: TraceRecord, scorer: str) -> dict[int | None, Said]:
    """What a scorer says now of a stored trace (None) and of its steps, by their index; nothing that was taken back."""
    with session.cursor(reusable=True) as cursor:
        rows = cursor.execute(parsed(cursor, _OF_ONE_TRACE), [record.created_at, record.id, scorer]).fetchall()
    newest = {step: (word, note) for step, word, note in rows}
    return {step: Said(word, note) for step, (word, note) in newest.items() if word is not None}


def label_word(name: str, word: Any) -> str:
    """The word of a label, as it is stored; QueryInvalid for what is not one."""
    return _text(name, word, _MOST_CHARS)


def _text(name: str, text: Any, most: int) -> str:
    is_text = isinstance(text, str) and text.strip() and len(text) <= most
    if not is_text or "\0" in text or text.encode(errors="replace").decode() != text:
        raise QueryInvalid(f"{name}={short(text)}: must be a text of 1 to {most:,} characters")
    return str(text.strip())
