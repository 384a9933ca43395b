"""What TRL trains on: steps that were judged, preferences, prompts with completions; as texts or as messages.

Source: huggingface/trl, docs/source/dataset_formats.md ("standard" and "conversational").
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.process_rewards import judged_draft
from tunix_rt.formats.rows.meta_values import is_number
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.typed_fields import each, field, rest_of, typed
from tunix_rt.formats.text.dialogue import prompt_of, rollout_draft
from tunix_rt.formats.text.drafts import group_of
from tunix_rt.formats.text.messages import Turn, turns_of


class StepwiseFormat:
    """`prompt`, `completions` (the steps) and `labels`, true for each right one."""

    name = "stepwise"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a prompt, a list of steps and a list of labels."""
        if "prompt" in value and isinstance(value.get("completions"), list) and isinstance(value.get("labels"), list):
            return None
        return "no prompt with lists completions and labels"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row."""
        fields = row.fields
        prompt = prompt_of(turns_of(fields.get("prompt"), "prompt"))
        steps = each(fields, "completions", str)
        labels = field(fields, "labels", list)
        if len(labels) != len(steps):
            raise TraceInvalid(Problem("labels", f"{len(labels):,} labels of {len(steps):,} completions"))
        right = [label if label is None else typed(label, bool, f"labels.{i}") for i, label in enumerate(labels)]
        yield judged_draft(
            row,
            prompt=prompt.text,
            name=self.name,
            steps=steps,
            labels=[None if label is None else 1 if label else -1 for label in right],
            known=prompt.meta,
            extra=rest_of(fields, "prompt", "completions", "labels"),
        )


class PreferenceFormat:
    """`chosen` and `rejected`, both of them answers to `prompt`, or dialogues that begin with it."""

    name = "preference"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where both are there, as texts or as lists of messages."""
        both = (value.get("chosen"), value.get("rejected"))
        return None if all(map(_is_said, both)) else "no chosen and rejected that are texts or lists of messages"

    def drafts(self, row: Row) -> Iterable[Draft | TraceInvalid]:
        """The chosen one and the rejected one, of one group; `meta["preferred"]` tells which is which."""
        fields = row.fields
        prompt, chosen, rejected = (fields.get(name) for name in ("prompt", "chosen", "rejected"))
        asked_in = "prompt"
        if prompt is None:
            asked_in = "chosen"
            prompt, chosen, rejected = _without_beginning(chosen, rejected)
        asked = turns_of(prompt, asked_in)
        scores = {name: fields[name] for name in ("score_chosen", "score_rejected") if is_number(fields.get(name))}
        extra = rest_of(fields, "prompt", "chosen", "rejected", *scores)
        for path, said, preferred in (("chosen", chosen, True), ("rejected", rejected, False)):
            try:
                known = {"preferred": preferred, "reward": scores.get(f"score_{path}")}
                yield _answer_draft(row, name=self.name, asked=asked, said=said, path=path, known=known, extra=extra)
            except TraceInvalid as error:
                yield error


class PromptCompletionFormat:
    """`prompt` and `completion`; with `label`, whether the completion is preferred."""

    name = "prompt_completion"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where both are there, as texts or as lists of messages."""
        both = (value.get("prompt"), value.get("completion"))
        return None if all(map(_is_said, both)) else "no prompt and completion that are texts or lists of messages"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row."""
        fields = row.fields
        label = fields.get("label")
        of_label = ("label",) if isinstance(label, bool) else ()
        yield _answer_draft(
            row,
            name=self.name,
            asked=turns_of(fields.get("prompt"), "prompt"),
            said=fields.get("completion"),
            path="completion",
            known={"preferred": label} if of_label else {},
            extra=rest_of(fields, "prompt", "completion", *of_label),
        )


def _answer_draft(
    row: Row, *, name: str, asked: list[Turn], said: Any, path: str, known: Mapping[str, Any], extra: Mapping[str, Any]
) -> Draft:
    """The trace of what was said (at `path`) to a prompt; messages that only repeat the prompt are none of it."""
    turns = turns_of(said, path, role="assistant")
    place = next((n for n, turn in enumerate(turns) if turn.role == "assistant"), None)
    if place is None:
        raise TraceInvalid(Problem(path, "no message of the assistant"))
    before = turns[:place]
    if before and len(asked) == 1 and before[-1].text.strip() == asked[0].text.strip():
        # Beside a text many data sets have it once more in the dialogue, and there with the system's.
        asked, turns = before, turns[place:]
    for repeated in (asked, [turn for turn in asked if turn.role != "system"]):
        if turns[: len(repeated)] == repeated:
            turns = turns[len(repeated) :]
    prompt = prompt_of(asked)
    return rollout_draft(
        row,
        name=name,
        path=path,
        prompt=prompt,
        turns=turns,
        known={"group": group_of(prompt.text), **known},
        extra=extra,
        whole={path: said},
    )


def _is_said(item: Any) -> bool:
    return isinstance(item, str | list)


def _without_beginning(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """The prompt that both begin with, and both: texts without it, and from a whole word on; dialogues as they are."""
    shared: Any = []
    if isinstance(chosen, str) and isinstance(rejected, str):
        spaces = list(re.finditer(r"(?<!\s)\s", chosen[: _n_alike(chosen, rejected)]))
        shared = chosen[: spaces[-1].start()] if spaces else ""
        chosen, rejected = chosen[len(shared) :], rejected[len(shared) :]
    elif isinstance(chosen, list) and isinstance(rejected, list):
        # The last message is an answer even where both give the same.
        shared = chosen[: _n_alike(chosen[:-1], rejected[:-1])]
    if not shared:
        raise TraceInvalid(Problem("prompt", "missing, and chosen and rejected have no beginning in common"))
    return shared, chosen, rejected


def _n_alike(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items are the same from the beginning on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (item, beside) in pairs if item != beside), min(len(one), len(other)))
