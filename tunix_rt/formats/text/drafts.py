"""Drafts of traces from what a format's reader found in a row: prompt, steps, answer, meta."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.trace_fields import StepFields, accepted_fields
from tunix_rt.formats.text.think_tags import parse_written, split_steps
from tunix_rt.model import Trace


def outside_draft(
    row: Row,
    *,
    prompt: str,
    steps: Iterable[str | StepFields],
    final_answer: str | None,
    name: str,
    known: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
) -> Draft:
    """A trace from the format with this name: of version 1.0 where that holds it, else 1.1.

    `known` goes to the meta keys that are the same whatever the source (None is left out); `extra` is what the row has
    besides, kept unchanged under `meta["extra"]`. A text in the row's own field `source` is the source.
    """
    meta = {"source": name} | {key: value for key, value in known.items() if value is not None}
    named = row.value.get("source")
    if isinstance(named, str) and named:
        meta["source"] = named
        extra = {key: value for key, value in (extra or {}).items() if key != "source" or value != named}
    if extra:
        meta["extra"] = dict(extra)
    return plain_draft(row, prompt=prompt, steps=steps, final_answer=final_answer, meta=meta)


def plain_draft(
    row: Row, *, prompt: str, steps: Iterable[str | StepFields], final_answer: str | None, meta: dict[str, Any]
) -> Draft:
    """The same with a meta that is given whole."""
    fields: Any = {
        "trace_version": "1.0",
        "prompt": prompt,
        "steps": [{"i": i, "type": "step", "content": s} if isinstance(s, str) else s for i, s in enumerate(steps)],
        "final_answer": final_answer,
        "meta": meta,
    }
    if not fields["steps"] or final_answer is None:
        fields["trace_version"] = "1.1"
    if (accepted := accepted_fields(fields)) is not None:
        return Draft(row, accepted)
    try:
        return Draft(row, Trace.from_plain(fields | {"trace_version": "1.0"}))
    except TraceInvalid:
        return Draft(row, Trace.from_plain(fields | {"trace_version": "1.1"}))


def written_draft(
    row: Row,
    *,
    prompt: str,
    name: str,
    written: str | None = None,
    reasoning: str = "",
    answer: str | None = None,
    known: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Draft:
    """A trace of what a model wrote: one text with tags (`written`), or reasoning and answer apart.

    `known` may have `expected_answer`, `reward`, `correct`, `model`, `training_step`, `finish_reason`, `truncated`,
    `group` (what the samples of one prompt share), `sample` (their number).
    """
    cut = False
    if written is not None:
        reasoning, answer, cut = parse_written(written)
    known = known or {}
    known = {**known, "truncated": True if answer is None or cut or known.get("truncated") else None}
    return outside_draft(
        row,
        prompt=prompt,
        steps=split_steps(reasoning),
        final_answer=answer or None,
        name=name,
        known=known,
        extra=extra,
    )


def group_of(prompt: str) -> str:
    """What the samples of one prompt share where the source gives them nothing: 16 digits of the prompt's digest."""
    return hashlib.blake2b(prompt.encode(errors="replace"), digest_size=8).hexdigest()
