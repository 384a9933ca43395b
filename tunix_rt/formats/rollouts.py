"""Rollouts: what trainers write while they run, a file for each training step, or a log that grows.

Sources: TRL's `completions/completions_00010.parquet`, verl's `{step}.jsonl`, NeMo-RL's `train_data_step{n}.jsonl`,
verifiers' `results.jsonl`. Their arrays of tokens are left out.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.reasoning import parse_written
from tunix_rt.formats.row import Draft, Row, group_of, required_text, written_draft
from tunix_rt.formats.turns import Dialogue, asked, told, turns_of
from tunix_rt.formats.values import as_json, extra_of, lacking, number, object_of, step_in_name, text


class TrlCompletionsFormat:
    """`step`, `prompt`, `completion`, columns of rewards, `advantage`; TRL's GRPO and RLOO with `log_completions`."""

    name = "trl_completions"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where all the columns are there that TRL always writes."""
        return lacking(value, "step", "prompt", "completion", "advantage")

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row. A column of numbers is a reward; what else was logged is kept."""
        value = object_of(row, "prompt", "completion")
        known_fields = ("step", "prompt", "completion", "advantage")
        # A reward function that does not apply to a row leaves a null in it.
        others = {name: item for name, item in value.items() if name not in known_fields}
        rewards = {name: item for name, item in others.items() if item is None or _is_number(item)}
        known: dict[str, Any] = {"training_step": _training_step(value, row)}
        extra = extra_of(value, "step", "prompt", "completion", *rewards)
        if len(rewards) == 1:
            ((name, reward),) = rewards.items()
            known["reward"] = number(reward, name)
        elif rewards:
            known["rewards"] = as_json(rewards)
        yield _prompted(row, self.name, known, extra)


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
        value = object_of(row)
        prompt, output = required_text(value, "input", "output")
        known = {
            "expected_answer": as_json(value.get("gts")),
            "reward": number(value.get("score"), "score"),
            "training_step": _training_step(value, row),
            "group": group_of(prompt),
        }
        extra = extra_of(value, "input", "output", "gts", "score", "step")
        yield written_draft(row, prompt=prompt, source=self.name, written=output, known=known, extra=extra)


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
        value = object_of(row, "content")
        samples = _samples(value)
        for place, sample in enumerate(samples):
            try:
                yield self._draft(row, sample, place if len(samples) > 1 else None)
            except TraceInvalid as error:
                yield error

    def _draft(self, row: Row, sample: Mapping[str, Any], place: int | None) -> Draft:
        content = sample["content"]
        if isinstance(content, list) and content and all(isinstance(item, str) for item in content):
            # The messages of a rollout without their roles: the prompt, then model and environment in turn.
            content = [
                {"role": "user" if not place else "assistant" if place % 2 else "environment", "content": item}
                for place, item in enumerate(content)
            ]
        if isinstance(content, str):
            said = Dialogue.rendered(content)
        else:
            said = Dialogue.of(turns_of(content, "content", ignoring=("token_ids", "generation_logprobs")))
        known = {
            "reward": number(sample.get("rewards"), "rewards"),
            "training_step": _training_step(sample, row),
            "group": group_of(said.prompt) if said.prompt else None,
            "sample": place,
        }
        extra = extra_of(sample, "content", "rewards", "step")
        if isinstance(extra.get("advantages"), list):
            # A number for each token; the one of a sample is no list.
            del extra["advantages"]
        if not said.whole:
            extra["content"] = as_json(sample["content"])
        reasoning, answer = told(said.turns)
        return written_draft(
            row, prompt=said.prompt, source=self.name, reasoning=reasoning, answer=answer, known=known, extra=extra
        )


class VerifiersFormat:
    """`example_id`, `prompt`, `completion`, `reward`, `metrics`, `answer`."""

    name = "verifiers"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are the fields of a scored rollout, with the id of its example."""
        return lacking(value, "example_id", "prompt", "completion", "reward")

    def drafts(self, row: Row) -> Iterable[Draft]:
        """The one trace of the row; the rollouts of an example are a group."""
        value = object_of(row, "prompt", "completion")
        truncated = value.get("is_truncated")
        if truncated is not None and not isinstance(truncated, bool):
            raise TraceInvalid(Problem("is_truncated", "must be true or false"))
        known = {
            "expected_answer": as_json(value.get("answer")),
            "reward": number(value.get("reward"), "reward"),
            "finish_reason": as_json(value.get("stop_condition")),
            "truncated": truncated or None,
            "group": as_json(value.get("example_id")),
        }
        used = ("example_id", "prompt", "completion", "reward", "answer", "stop_condition", "is_truncated")
        yield _prompted(row, self.name, known, extra_of(value, *used))


def _prompted(row: Row, source: str, known: Mapping[str, Any], extra: dict[str, Any]) -> Draft:
    """The trace of a row with `prompt` and `completion`, texts or messages, which are kept where they hold more."""
    prompt, completion = row.value.get("prompt"), row.value.get("completion")
    if isinstance(prompt, list):
        turns = turns_of(prompt, "prompt")
        if [turn.role for turn in turns if turn.whole] != ["user"]:
            extra["prompt"] = as_json(prompt)
        prompt = asked(turns)
    if not isinstance(prompt, str):
        raise TraceInvalid(Problem("prompt", "must be a string or a list of messages"))
    known = {"group": group_of(prompt), **known}
    if isinstance(completion, list):
        turns = turns_of(completion, "completion")
        reasoning, answer = told(turns)
        if not (len(turns) == 1 and turns[0].whole and turns[0].by_the_model):
            extra["completion"] = as_json(completion)
    else:
        written = parse_written(text(completion, "completion"))
        reasoning, answer = written.reasoning, written.answer
    return written_draft(
        row, prompt=prompt, source=source, reasoning=reasoning, answer=answer or None, known=known, extra=extra
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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
