"""Rows for preference training and for process reward models.

Source: TRL's data set formats "preference", with an explicit prompt, and "stepwise supervision" (huggingface/trl,
docs/source/dataset_formats.md); that a neutral step counts as not right is from its examples/datasets/prm800k.py.
"""

from typing import Any

from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.text.completion import Tags, completion
from tunix_rt.model import TraceRecord

NO_PARTNER = "no partner in its group"


def preference(chosen: TraceRecord, rejected: TraceRecord, tally: Tally, *, tags: Tags) -> dict[str, Any] | None:
    """`prompt`, `chosen` and `rejected`, both with the reasoning between the tags."""
    better, worse = (completion(record.payload, tally, tags=tags) for record in (chosen, rejected))
    if better is None or worse is None:
        tally.left_out[NO_PARTNER] += (better is not None) + (worse is not None)
        return None
    return {"prompt": chosen.payload.prompt, "chosen": better, "rejected": worse}


def stepwise(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`prompt`, `completions` (the steps) and `labels`, from `meta["step_labels"]`: 1 is right, 0 and −1 are not.

    A step labelled null was not judged: neither is true of it, so the row ends in front of the first such step.
    """
    trace = record.payload
    given = (trace.meta or {}).get("step_labels")
    if not given:
        tally.left_out["no step labels"] += 1
        return None
    if not isinstance(given, list) or len(given) != len(trace.steps):
        tally.left_out["step labels that are not one for each step"] += 1
        return None
    if not all(label in (-1, 0, 1, None) for label in given):
        tally.left_out["step labels other than -1, 0, 1 and null"] += 1
        return None
    n_judged = given.index(None) if None in given else len(given)
    if not n_judged:
        tally.left_out["no label for the first step"] += 1
        return None
    if n_judged < len(given):
        tally.shortened["steps from the first without a label on"] += 1
    return {
        "prompt": trace.prompt,
        # The trainer puts a separator of its own between two steps.
        "completions": [step.content.strip() for step in trace.steps[:n_judged]],
        "labels": [label == 1 for label in given[:n_judged]],
    }
