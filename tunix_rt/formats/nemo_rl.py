"""NeMo-RL: rollouts as it writes them while it trains, `train_data_step{n}.jsonl`, without their arrays of tokens."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, number, training_step
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import lacking, rest_of
from tunix_rt.formats.text.dialogue import Prompt, found_in_rollout, split_at_beginning
from tunix_rt.formats.text.messages import turn, turns_of

# Where the model's turn begins in a text rendered by one of the usual chat templates, and what ends it.
_MODEL_TURN = re.compile(
    r"<\|im_start\|>assistant\n|<\|start_header_id\|>assistant<\|end_header_id\|>\n\n"
    r"|<start_of_turn>model\n|<\|assistant\|>\n?|<｜Assistant｜>|\[/INST\]"
)
_TURN_END = re.compile(r"(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<｜end▁of▁sentence｜>|<\|endoftext\|>|</s>)\s*\Z")


class NemoRlReader:
    """`content` and `rewards`, beside arrays of tokens: the text or the messages of a rollout, or of several."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are content and rewards, and no field of another format."""
        if missing := lacking(value, "content", "rewards"):
            return missing
        return "has prompt, completion or messages" if value.keys() & {"prompt", "completion", "messages"} else None

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each sample of the row, usually one."""
        value = as_json(row.fields)
        if "content" not in value:
            raise TraceInvalid(Problem("content", "missing"))
        samples = _samples(value)
        for index, sample in enumerate(samples):
            try:
                yield _found(sample, row.file, index if len(samples) > 1 else None)
            except TraceInvalid as error:
                yield error


def _found(sample: Mapping[str, Any], file: str, index: int | None) -> Found:
    content = sample["content"]
    if isinstance(content, str):
        # A text without the marks of any template has no prompt that could be told from the rest.
        cut = max((mark.end() for mark in _MODEL_TURN.finditer(content)), default=0)
        prompt, turns = Prompt(content[:cut], {}), [turn("assistant", _TURN_END.sub("", content[cut:]), "content")]
    else:
        if isinstance(content, list) and all(isinstance(item, str) for item in content):
            # The messages of a rollout without their roles: the prompt, then model and environment in turn.
            content = [
                {"role": "user" if not n else "assistant" if n % 2 else "environment", "content": item}
                for n, item in enumerate(content)
            ]
        prompt, turns = split_at_beginning(turns_of(content, "content"))
    meta = {
        "reward": number(sample.get("rewards"), "rewards"),
        "training_step": training_step(sample, file),
        "sample": index,
    }
    extra = rest_of(sample, "content", "rewards", "step")
    if isinstance(extra.get("advantages"), list):
        # A list has a number for each token; the advantage of a sample is a single number.
        del extra["advantages"]
    messages = {"content": sample["content"]}
    return found_in_rollout(prompt, turns, path="content", meta=meta, extra=extra, messages=messages)


def _samples(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The row for each of its samples: it is written as a batch, in which every field is a list of as many items.

    A single sample may come without the list around it.
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
    return [{**value, **{name: item[index] for name, item in batched.items()}} for index in range(n)]
