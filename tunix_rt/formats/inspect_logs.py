"""Inspect: the log of an evaluation, as one JSON document with all `samples`, or as an archive of them (`.eval`).

Source: UKGovernmentBEIS/inspect_ai. Long texts may lie in a sample's `attachments`, by a digest that
`attachment://…` names. `events`, which tell again how the messages came to be, are left out: they are many times as
large as the trace.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.meta_values import as_json, number
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.typed_fields import each, lacking, maybe, rest_of
from tunix_rt.formats.text.dialogue import prompt_of, rollout_draft
from tunix_rt.formats.text.messages import Turn, turn, turns_of

_ATTACHMENT = "attachment://"
# As much as a row may hold: a text that is named many times over must not fill the memory.
_MAX_ATTACHED_CHARS = 64 * 2**20
_OF_A_MESSAGE = ("id", "source", "model", "metadata")
_MAPPED = ("input", "target", "messages", "output", "id", "epoch", "attachments")


class InspectFormat:
    """`eval` and `samples`; or a sample: `id`, `epoch`, `input`, `target`, `messages`, `output`, `scores`."""

    name = "inspect"

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it is a whole log, or a sample with its place in the evaluation."""
        if isinstance(value.get("eval"), dict) and isinstance(value.get("samples"), list):
            return None
        return lacking(value, "id", "epoch", "input", "target", "output")

    def drafts(self, row: Row) -> Iterable[Draft | TraceInvalid]:
        """A trace for each sample: each epoch of each question."""
        value = row.fields
        run = _run(value.get("eval"))
        if "samples" not in value:
            yield self._draft(row, value, run)
            return
        for place, sample in enumerate(each(value, "samples", dict)):
            try:
                yield self._draft(row, sample, run)
            except TraceInvalid as error:
                yield error.within(f"samples.{place}")

    def _draft(self, row: Row, sample: Mapping[str, Any], run: Mapping[str, Any]) -> Draft:
        sample = as_json(_resolved(rest_of(sample, "events", "events_data", "eval")))
        if "input" not in sample:
            raise TraceInvalid(Problem("input", "missing"))
        output = maybe(sample, "output", dict) or {}
        choices = each(output, "choices", dict, at="output.")
        given = _turns(sample["input"], "input")
        prompt = prompt_of(given)
        turns = _turns(maybe(sample, "messages", list) or [], "messages")
        rollout = _answering(turns, given)
        if not rollout and choices and choices[0].get("message"):
            rollout = _turns([choices[0]["message"]], "output.choices.0.message")
        if not rollout and (completion := maybe(output, "completion", str, at="output.")):
            rollout = [turn("assistant", completion, "output.completion")]
        known = {
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
        asked = turns[: len(turns) - len(rollout)]
        if [(one.role, one.text, one.is_plain) for one in asked] not in ([], [("user", prompt.text, True)]):
            extra |= messages
        if rest := rest_of(output, "choices", "model", "completion"):
            extra["output"] = rest
        return rollout_draft(
            row,
            name=self.name,
            path="messages",
            prompt=prompt,
            turns=rollout,
            known=known,
            extra=extra,
            whole=messages,
        )


def _run(evaluation: Any) -> dict[str, str]:
    """The model and the task of the whole evaluation."""
    if not isinstance(evaluation, dict):
        return {}
    return {name: evaluation[name] for name in ("model", "task") if isinstance(evaluation.get(name), str)}


def _turns(value: Any, path: str) -> list[Turn]:
    return [turn._replace(rest=rest_of(turn.rest, *_OF_A_MESSAGE)) for turn in turns_of(value, path)]


def _answering(turns: list[Turn], given: list[Turn]) -> list[Turn]:
    """The messages from the model's first own one on: examples in the input may have messages in its name."""
    ours = sum(turn.role == "assistant" for turn in given)
    places = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    return turns[places[ours] :] if len(places) > ours else []


def _graded(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Scores by the names of their scorers: C and I tell whether the answer is correct, numbers are rewards."""
    values = {}
    scores = maybe(sample, "scores", dict) or {}
    for name in scores:
        value = (maybe(scores, name, dict, at="scores.") or {}).get("value")
        values[name] = value if not isinstance(value, bool) else "C" if value else "I"
    grades = {value for value in values.values() if isinstance(value, str) and value in {"C", "I"}}
    rewards = {name: value for name, value in values.items() if value is None or isinstance(value, int | float)}
    known: dict[str, Any] = {}
    if len(grades) == 1:
        known["correct"] = grades == {"C"}
    if len(rewards) == 1:
        (known["reward"],) = rewards.values()
    elif rewards:
        known["rewards"] = rewards
    return known


def _resolved(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The sample with the texts that its attachments hold in the places where they are named."""
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
                raise TraceInvalid(Problem("attachments", f"hold more than {_MAX_ATTACHED_CHARS:,} characters"))
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
