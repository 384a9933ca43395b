"""TRL: what it trains on, in and out (judged steps, preferences, prompts with completions), and its completions in.

Sources: huggingface/trl, docs/source/dataset_formats.md ("standard" and "conversational"); that a neutral step counts
as not right is from its examples/datasets/prm800k.py; GRPO and RLOO write
`completions/completions_00010.parquet`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found, found_in_judged_steps
from tunix_rt.formats.rows.meta_values import as_json, is_number, training_step
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.tally import NO_PARTNER, Tally
from tunix_rt.formats.rows.typed_fields import each, field, first_text, lacking, rest_of, typed
from tunix_rt.formats.text.chat_templates import reply_in
from tunix_rt.formats.text.completion import Tags, completion
from tunix_rt.formats.text.dialogue import found_in_completion, found_in_rollout, prompt_of
from tunix_rt.formats.text.messages import Turn, turn, turns_of
from tunix_rt.model import TraceRecord

_PAIR = ("chosen", "rejected")
_MESSAGES = ("chosen_messages", "rejected_messages")
_PROMPTS = ("prompt", "conversations")


class StepwiseReader:
    """`prompt`, `completions` (the steps) and `labels`, true for each right one."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a prompt, a list of steps and a list of labels."""
        if "prompt" in value and isinstance(value.get("completions"), list) and isinstance(value.get("labels"), list):
            return None
        return "no prompt with lists completions and labels"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row."""
        fields = row.fields
        prompt = prompt_of(turns_of(fields.get("prompt"), "prompt"))
        steps = each(fields, "completions", str)
        labels = field(fields, "labels", list)
        if len(labels) != len(steps):
            raise TraceInvalid(Problem("labels", f"{len(labels):,} labels of {len(steps):,} completions"))
        right = [label if label is None else typed(label, bool, f"labels.{i}") for i, label in enumerate(labels)]
        yield found_in_judged_steps(
            prompt.text,
            steps,
            [None if label is None else 1 if label else -1 for label in right],
            meta=prompt.meta,
            extra=rest_of(fields, "prompt", "completions", "labels"),
        )


class PreferenceReader:
    """`chosen` and `rejected`, both of them answers to `prompt`, or dialogues that begin with it.

    As LLaMA-Factory has them the prompt is in `conversations`, or the dialogues are `chosen_messages` and
    `rejected_messages`; its shapes were read from its documentation and its own data files.
    """

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where both are there, as texts or as messages."""
        both = [value.get(name) for name in _pair(value)]
        return None if all(map(_is_reply, both)) else "no chosen and rejected that are texts or lists of messages"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """The chosen one and the rejected one, of one group; `meta["preferred"]` marks the chosen one."""
        fields = row.fields
        names = _pair(fields)
        chosen, rejected = ([item] if isinstance(item := fields.get(name), dict) else item for name in names)
        prompt_path = next((name for name in _PROMPTS if fields.get(name) is not None), "prompt")
        prompt = fields.get(prompt_path)
        if prompt is None:
            prompt_path = names[0]
            prompt, chosen, rejected = _without_beginning(chosen, rejected)
        prompt_turns = turns_of(prompt, prompt_path)
        if system := prompt_path == "conversations" and first_text(fields, "system")[1]:
            prompt_turns.insert(0, turn("system", system, "system"))
        scores = {name: fields[name] for name in ("score_chosen", "score_rejected") if is_number(fields.get(name))}
        extra = rest_of(fields, prompt_path, *(["system"] if system else []), *names, *scores)
        for path, content, preferred in ((names[0], chosen, True), (names[1], rejected, False)):
            meta = {"preferred": preferred, "reward": scores.get("score_chosen" if preferred else "score_rejected")}
            try:
                yield _found_in_reply(prompt_turns, content, path=path, meta=meta, extra=extra)
            except TraceInvalid as error:
                yield error


class PromptCompletionReader:
    """`prompt` and `completion`; with `label`, whether the completion is preferred."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where both are there, as texts or as lists of messages."""
        both = (value.get("prompt"), value.get("completion"))
        return None if all(map(_is_content, both)) else "no prompt and completion that are texts or lists of messages"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row."""
        fields = row.fields
        label = fields.get("label")
        of_label = ("label",) if isinstance(label, bool) else ()
        yield _found_in_reply(
            turns_of(fields.get("prompt"), "prompt"),
            fields.get("completion"),
            path="completion",
            meta={"preferred": label} if of_label else {},
            extra=rest_of(fields, "prompt", "completion", *of_label),
        )


class TrlCompletionsReader:
    """`step`, `prompt`, `completion`, columns of rewards, `advantage`; TRL's GRPO and RLOO with `log_completions`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where all the columns are there that TRL always writes."""
        return lacking(value, "step", "prompt", "completion", "advantage")

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row. A column of numbers is a reward; what else was logged is kept."""
        value = as_json(row.fields)
        others = rest_of(value, "step", "prompt", "completion", "advantage")
        # A reward function that does not apply to a row leaves a null in it.
        rewards = {name: item for name, item in others.items() if item is None or is_number(item)}
        meta: dict[str, Any] = {"training_step": training_step(value, row.file)}
        if len(rewards) == 1:
            (meta["reward"],) = rewards.values()
        elif rewards:
            meta["rewards"] = rewards
        yield found_in_completion(value, meta=meta, extra=rest_of(value, "step", *rewards))


def prompt_completion(record: TraceRecord, tally: Tally, *, tags: Tags) -> dict[str, Any] | None:
    """`prompt` and `completion`, with the reasoning between the tags."""
    text = completion(record.payload, tally, tags=tags)
    return None if text is None else {"prompt": record.payload.prompt, "completion": text}


def preference(chosen: TraceRecord, rejected: TraceRecord, tally: Tally, *, tags: Tags) -> dict[str, Any] | None:
    """`prompt`, `chosen` and `rejected`, both with the reasoning between the tags."""
    better, worse = (completion(record.payload, tally, tags=tags) for record in (chosen, rejected))
    if better is None or worse is None:
        tally.left_out[NO_PARTNER] += (better is not None) + (worse is not None)
        return None
    return {"prompt": chosen.payload.prompt, "chosen": better, "rejected": worse}


def stepwise(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`prompt`, `completions` (the steps) and `labels`, from `meta["step_labels"]`: 1 is right, 0 and −1 are not.

    A step labelled null was not judged, neither right nor wrong, so the row ends in front of the first such step.
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


def _found_in_reply(
    prompt_turns: list[Turn], reply: Any, *, path: str, meta: Mapping[str, Any], extra: Mapping[str, Any]
) -> Found:
    """The trace of a reply (at `path`) to a prompt, without the messages that only repeat the prompt."""
    if isinstance(reply, str):
        reply = reply_in(reply, "\n".join(turn.text for turn in prompt_turns))
    turns = turns_of(reply, path, role="assistant")
    first = next((n for n, turn in enumerate(turns) if turn.role == "assistant"), None)
    if first is None:
        raise TraceInvalid(Problem(path, "there is no message of the assistant"))
    before = turns[:first]
    if before and len(prompt_turns) == 1 and before[-1].text.strip() == prompt_turns[0].text.strip():
        # Beside a text many data sets have it once more in the dialogue, and there with the system's.
        prompt_turns, turns = before, turns[first:]
    for repeated in (prompt_turns, [one for one in prompt_turns if one.role != "system"]):
        if turns[: len(repeated)] == repeated:
            turns = turns[len(repeated) :]
    prompt = prompt_of(prompt_turns)
    return found_in_rollout(prompt, turns, path=path, meta=meta, extra=extra, messages={path: reply})


def _is_content(item: Any) -> bool:
    return isinstance(item, str | list)


def _is_reply(item: Any) -> bool:
    """Whether it is a text, a list of messages, or one message."""
    return _is_content(item) or (
        isinstance(item, dict) and ({"from", "value"} <= item.keys() or {"role", "content"} <= item.keys())
    )


def _pair(value: Mapping[str, Any]) -> tuple[str, str]:
    return _MESSAGES if all(name in value for name in _MESSAGES) and "chosen" not in value else _PAIR


def _without_beginning(chosen: Any, rejected: Any) -> tuple[Any, Any, Any]:
    """The prompt that both begin with, and both: texts without it, cut before a word; dialogues as they are."""
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
