"""Rollouts: what trainers write while they run, a file for each training step, or a log that grows.

Sources: TRL's `completions/completions_00010.parquet`, verl's `{step}.jsonl`, NeMo-RL's `train_data_step{n}.jsonl`,
verifiers' `results.jsonl`. Their arrays of tokens are left out.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.meta_values import as_json, is_number, number, step_in_name
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.typed_fields import field, lacking, maybe, rest_of
from tunix_rt.formats.text.dialogue import Prompt, prompt_of, rollout_draft, split_at_beginning
from tunix_rt.formats.text.drafts import group_of, written_draft
from tunix_rt.formats.text.messages import turn, turns_of

# Where the model's turn begins in a text rendered by one of the usual chat templates, and what ends it.
_MODEL_TURN = re.compile(
    r"<\|im_start\|>assistant\n|<\|start_header_id\|>assistant<\|end_header_id\|>\n\n"
    r"|<start_of_turn>model\n|<\|assistant\|>\n?|<｜Assistant｜>|\[/INST\]"
)
_TURN_END = re.compile(r"(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<｜end▁of▁sentence｜>|<\|endoftext\|>|</s>)\s*\Z")


class TrlCompletionsFormat:
    """`step`, `prompt`, `completion`, columns of rewards, `advantage`; TRL's GRPO and RLOO with `log_completions`."""

    name = "trl_completions"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where all the columns are there that TRL always writes."""
        return lacking(value, "step", "prompt", "completion", "advantage")

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row. A column of numbers is a reward; what else was logged is kept."""
        value = as_json(row.fields)
        others = rest_of(value, "step", "prompt", "completion", "advantage")
        # A reward function that does not apply to a row leaves a null in it.
        rewards = {name: item for name, item in others.items() if item is None or is_number(item)}
        known: dict[str, Any] = {"training_step": _training_step(value, row)}
        if len(rewards) == 1:
            (known["reward"],) = rewards.values()
        elif rewards:
            known["rewards"] = rewards
        yield _prompted(row, value, self.name, known, rest_of(value, "step", *rewards))


class VerlFormat:
    """`input` (rendered by the chat template), `output`, `gts`, `score`, `step`, and what the reward function gave."""

    name = "verl"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are input, output, a score, and the gold answer or the step."""
        if missing := lacking(value, "input", "output", "score"):
            return missing
        return None if value.keys() & {"gts", "step"} else "no field gts or step"

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row; the step is the file's where the row has none."""
        value = as_json(row.fields)
        prompt, output = field(value, "input", str), field(value, "output", str)
        known = {
            "expected_answer": value.get("gts"),
            "reward": number(value.get("score"), "score"),
            "training_step": _training_step(value, row),
            "group": group_of(prompt),
        }
        extra = rest_of(value, "input", "output", "gts", "score", "step")
        yield written_draft(row, prompt=prompt, name=self.name, written=output, known=known, extra=extra)


class NemoRlFormat:
    """`content` and `rewards`, beside arrays of tokens: the text or the messages of a rollout, or of several."""

    name = "nemo_rl"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are content and rewards, and nothing that tells of another source."""
        if missing := lacking(value, "content", "rewards"):
            return missing
        return "has prompt, completion or messages" if value.keys() & {"prompt", "completion", "messages"} else None

    def drafts(self, row: Row) -> Iterable[Draft | TraceInvalid]:
        """A trace for each sample of the row, usually one."""
        value = as_json(row.fields)
        if "content" not in value:
            raise TraceInvalid(Problem("content", "missing"))
        samples = _samples(value)
        for place, sample in enumerate(samples):
            try:
                yield self._draft(row, sample, place if len(samples) > 1 else None)
            except TraceInvalid as error:
                yield error

    def _draft(self, row: Row, sample: Mapping[str, Any], place: int | None) -> Draft:
        content = sample["content"]
        if isinstance(content, str):
            # A text without the marks of any template has no prompt that could be told from the rest.
            cut = max((mark.end() for mark in _MODEL_TURN.finditer(content)), default=0)
            prompt, turns = Prompt(content[:cut], {}), [turn("assistant", _TURN_END.sub("", content[cut:]), "content")]
        else:
            if isinstance(content, list) and all(isinstance(item, str) for item in content):
                # The messages of a rollout without their roles: the prompt, then model and environment in turn.
                content = [
                    {"role": "user" if not place else "assistant" if place % 2 else "environment", "content": item}
                    for place, item in enumerate(content)
                ]
            prompt, turns = split_at_beginning(turns_of(content, "content"))
        known = {
            "reward": number(sample.get("rewards"), "rewards"),
            "training_step": _training_step(sample, row),
            "group": group_of(prompt.text) if prompt.text else None,
            "sample": place,
        }
        extra = rest_of(sample, "content", "rewards", "step")
        if isinstance(extra.get("advantages"), list):
            # A number for each token; the one of a sample is no list.
            del extra["advantages"]
        return rollout_draft(
            row,
            name=self.name,
            path="content",
            prompt=prompt,
            turns=turns,
            known=known,
            extra=extra,
            whole={"content": sample["content"]},
        )


class VerifiersFormat:
    """`example_id`, `prompt`, `completion`, `reward`, `metrics`, `answer`."""

    name = "verifiers"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are the fields of a scored rollout, with the id of its example."""
        return lacking(value, "example_id", "prompt", "completion", "reward")

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row; the rollouts of an example are a group."""
        value = as_json(row.fields)
        known = {
            "expected_answer": value.get("answer"),
            "reward": number(value.get("reward"), "reward"),
            "finish_reason": value.get("stop_condition"),
            "truncated": maybe(value, "is_truncated", bool) or None,
            "group": value.get("example_id"),
        }
        used = ("example_id", "reward", "answer", "stop_condition", "is_truncated")
        yield _prompted(row, value, self.name, known, rest_of(value, *used))


def _prompted(
    row: Row, value: Mapping[str, Any], name: str, known: Mapping[str, Any], extra: Mapping[str, Any]
) -> Draft:
    """The trace of a row with `prompt` and `completion`, texts or messages; of a rollout that failed there is none."""
    prompt = prompt_of(turns_of(value.get("prompt"), "prompt"))
    if "completion" not in value:
        raise TraceInvalid(Problem("completion", "missing"))
    completion = value["completion"]
    return rollout_draft(
        row,
        name=name,
        path="completion",
        prompt=prompt,
        turns=[] if completion is None else turns_of(completion, "completion", role="assistant"),
        known={"group": group_of(prompt.text), **known},
        extra=rest_of(extra, "prompt", "completion"),
        whole={"completion": completion},
    )


def _samples(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The row for each of its samples: it is written as a batch, in which every field is a list of as many items.

    A single sample may stand without the list around it.
    """
    content, rewards = value.get("content"), value.get("rewards")
    if not isinstance(content, list) or not isinstance(rewards, list):
        reward = rewards[0] if isinstance(rewards, list) and len(rewards) == 1 else rewards
        return [{**value, "rewards": reward}]
    if len(rewards) == 1 and len(content) != 1:
        return [{**value, "rewards": rewards[0]}]
    if len(rewards) != len(content):
        raise TraceInvalid(Problem("rewards", f"{len(rewards):,} for {len(content):,} samples in content"))
    n = len(content)
    batched = {name: item for name, item in value.items() if isinstance(item, list) and len(item) == n}
    return [{**value, **{name: item[place] for name, item in batched.items()}} for place in range(n)]


def _training_step(value: Mapping[str, Any], row: Row) -> int | float | None:
    step = number(value.get("step"), "step")
    return step_in_name(row.file) if step is None else step
