"""Inspect: the log of an evaluation, as one JSON document with all `samples`, or as an archive of them (`.eval`).

Source: UKGovernmentBEIS/inspect_ai. Long texts may be in a sample's `attachments`, by a digest that
`attachment://…` names. `events`, which repeat how the messages came to be, are left out: they are many times as
large as the trace.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, number
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, lacking, maybe, rest_of
from tunix_rt.formats.text.dialogue import found_in_rollout, prompt_of
from tunix_rt.formats.text.messages import Turn, turn, turns_of

_ATTACHMENT = "attachment://"
# As much as a row may hold: a text that is named many times over must not fill the memory.
_MAX_ATTACHED_CHARS = 64 * 2**20
_OF_A_MESSAGE = ("id", "source", "model", "metadata")
_MAPPED = ("input", "target", "messages", "output", "id", "epoch", "attachments")


class InspectReader:
    """`eval` and `samples`; or a sample: `id`, `epoch`, `input`, `target`, `messages`, `output`, `scores`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it is a complete log, or a sample with its id and epoch in the evaluation."""
        if isinstance(value.get("eval"), dict) and isinstance(value.get("samples"), list):
            return None
        return lacking(value, "id", "epoch", "input", "target", "output")

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each sample: each epoch of each question."""
        value = row.fields
        run = _run(value.get("eval"))
        if "samples" not in value:
            yield _found(value, run)
            return
        for n, sample in enumerate(each(value, "samples", dict)):
            path = f"samples.{n}"
            try:
                yield _found(sample, run)._replace(path=path)
            except TraceInvalid as error:
                yield error.within(path)


def _found(sample: Mapping[str, Any], run: Mapping[str, Any]) -> Found:
    sample = as_json(_resolved(rest_of(sample, "events", "events_data", "eval")))
    if "input" not in sample:
        raise TraceInvalid(Problem("input", "missing"))
    output = maybe(sample, "output", dict) or {}
    choices = each(output, "choices", dict, at="output.")
    given = _turns(sample["input"], "input")
    turns = _turns(maybe(sample, "messages", list) or [], "messages")
    rollout = _answering(turns, given)
    if not rollout and choices and choices[0].get("message"):
        rollout = _turns([choices[0]["message"]], "output.choices.0.message")
    if not rollout and (completion := maybe(output, "completion", str, at="output.")):
        rollout = [turn("assistant", completion, "output.completion")]
    meta = {
        "expected_answer": sample.get("target"),
        "model": maybe(output, "model", str, at="output.") or run.get("model"),
        "finish_reason": (maybe(choices[0], "stop_reason", str, at="output.choices.0.") if choices else "") or None,
        "group": sample.get("id"),
        "sample": number(sample.get("epoch"), "epoch"),
        **_graded(sample),
    }
    extra = rest_of(sample, *_MAPPED)
    if task := run.get("task"):
        extra["task"] = task
    messages = {"messages": sample["messages"]} if turns else {}
    # What the model was sent has choices and instructions that the input has not.
    begun = next((n for n, one in enumerate(turns) if rollout and one is rollout[0]), len(turns))
    prompt = prompt_of(turns[:begun] or given)
    if any(one.role != "system" and one.text not in prompt.text for one in given):
        extra["input"] = sample["input"]
    if rest := rest_of(output, "choices", "model", "completion"):
        extra["output"] = rest
    return found_in_rollout(prompt, rollout, path="messages", meta=meta, extra=extra, messages=messages)


def _run(evaluation: Any) -> dict[str, str]:
    """The model and the task of the whole evaluation."""
    if not isinstance(evaluation, dict):
        return {}
    return {name: evaluation[name] for name in ("model", "task") if isinstance(evaluation.get(name), str)}


def _turns(value: Any, path: str) -> list[Turn]:
    return [turn._replace(rest=rest_of(turn.rest, *_OF_A_MESSAGE)) for turn in turns_of(value, path)]


def _answering(turns: list[Turn], given: list[Turn]) -> list[Turn]:
    """The messages from the model's own first one on: the input may have examples in the role of the assistant."""
    n_given = sum(turn.role == "assistant" for turn in given)
    indices = [n for n, turn in enumerate(turns) if turn.role == "assistant"]
    return turns[indices[n_given] :] if len(indices) > n_given else []


def _graded(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Scores by the names of their scorers: C is a correct answer, I an incorrect one, and numbers are rewards."""
    values = {}
    scores = maybe(sample, "scores", dict) or {}
    for name in scores:
        value = (maybe(scores, name, dict, at="scores.") or {}).get("value")
        values[name] = value if not isinstance(value, bool) else "C" if value else "I"
    grades = {value for value in values.values() if isinstance(value, str) and value in {"C", "I"}}
    rewards = {name: value for name, value in values.items() if value is None or isinstance(value, int | float)}
    meta: dict[str, Any] = {}
    if len(grades) == 1:
        meta["correct"] = grades == {"C"}
    if len(rewards) == 1:
        (meta["reward"],) = rewards.values()
    elif rewards:
        meta["rewards"] = rewards
    return meta


def _resolved(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The sample with the texts of its attachments wherever it names them."""
    attachments = maybe(sample, "attachments", dict) or {}
    left = _MAX_ATTACHED_CHARS

    def resolve(value: Any) -> Any:
        nonlocal left
        if isinstance(value, str) and value.startswith(_ATTACHMENT):
            attached = attachments.get(value.removeprefix(_ATTACHMENT))
            if not isinstance(attached, str):
                return value
            left -= len(attached)
            if left < 0:
                raise TraceInvalid(Problem("attachments", f"must have at most {_MAX_ATTACHED_CHARS:,} characters"))
            return attached
        if isinstance(value, list):
            return [resolve(item) for item in value]
        if isinstance(value, dict):
            return {name: resolve(item) for name, item in value.items()}
        return value

    try:
        return {name: item if name == "attachments" else resolve(item) for name, item in sample.items()}
    except RecursionError:
        raise TraceInvalid(Problem(None, "nested too deeply")) from None
