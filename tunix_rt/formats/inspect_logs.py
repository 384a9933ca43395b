"""Inspect: the log of an evaluation, as one JSON document with all `samples`, or as an archive of them (`.eval`).

Source: UKGovernmentBEIS/inspect_ai. Long texts may lie in a sample's `attachments`, by a digest that
`attachment://…` names. `events`, which tell again how the messages came to be, are left out: they are many times as
large as the trace.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.row import Draft, Row, written_draft
from tunix_rt.formats.turns import Told, Turn, asked, told, turns_of
from tunix_rt.formats.values import as_json, extra_of, lacking, number, object_of, objects, text

_ATTACHMENT = "attachment://"
# As much as a row may hold: a text that is named many times over must not fill the memory.
_MAX_ATTACHED_CHARS = 64 * 2**20
_CUT_SHORT = {"max_tokens", "model_length"}
_OF_A_MESSAGE = ("id", "source", "model", "metadata")
_USED = ("input", "target", "messages", "output", "id", "epoch", "attachments", "events", "events_data", "eval")


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
        value = object_of(row)
        if "samples" not in value:
            yield self._draft(row, value, _run(value.get("eval")))
            return
        run = _run(value.get("eval"))
        for place, sample in enumerate(objects(value["samples"], "samples")):
            try:
                yield self._draft(row, sample, run)
            except TraceInvalid as error:
                yield error.within(f"samples.{place}")

    def _draft(self, row: Row, sample: Mapping[str, Any], run: Mapping[str, Any]) -> Draft:
        sample = _resolved(sample)
        if "input" not in sample:
            raise TraceInvalid(Problem("input", "missing"))
        output = _object(sample.get("output"), "output")
        choices = objects(output.get("choices"), "output.choices")
        given = turns_of(sample["input"], "input") if isinstance(sample["input"], list) else []
        prompt = asked(given) if given else text(sample["input"], "input")
        turns = turns_of(sample.get("messages"), "messages", ignoring=_OF_A_MESSAGE)
        answering = _answering(turns, given)
        if not answering and choices:
            answering = turns_of([choices[0].get("message")], "output.choices.0", ignoring=_OF_A_MESSAGE)
        reasoning, answer = told(answering) if answering else Told("", text(output.get("completion"), "output") or None)
        stop = text(choices[0].get("stop_reason"), "output.choices.0.stop_reason") if choices else ""
        known = {
            "expected_answer": as_json(sample.get("target")),
            "model": text(output.get("model"), "output.model") or run.get("model"),
            "finish_reason": stop or None,
            "truncated": True if stop in _CUT_SHORT else None,
            "group": as_json(sample.get("id")),
            "sample": number(sample.get("epoch"), "epoch"),
            **_graded(sample.get("scores")),
        }
        extra = extra_of(sample, *_USED)
        if task := run.get("task"):
            extra["task"] = task
        if isinstance(sample["input"], list) and [(turn.role, turn.whole) for turn in given] != [("user", True)]:
            extra["input"] = as_json(sample["input"])
        if not _plain(turns, prompt):
            extra["messages"] = as_json(sample["messages"])
        rest = extra_of(output, "choices", "model", "completion")
        if rest:
            extra["output"] = rest
        return written_draft(
            row, prompt=prompt, source=self.name, reasoning=reasoning, answer=answer, known=known, extra=extra
        )


def _run(evaluation: Any) -> dict[str, str]:
    """The model and the task of the whole evaluation."""
    if not isinstance(evaluation, dict):
        return {}
    return {name: evaluation[name] for name in ("model", "task") if isinstance(evaluation.get(name), str)}


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TraceInvalid(Problem(path, "must be an object"))
    return value


def _answering(turns: list[Turn], given: list[Turn]) -> list[Turn]:
    """The messages from the model's first own one on: examples in the input may have messages in its name."""
    ours = sum(turn.by_the_model for turn in given)
    places = [place for place, turn in enumerate(turns) if turn.by_the_model]
    return turns[places[ours] :] if len(places) > ours else []


def _plain(turns: list[Turn], prompt: str) -> bool:
    """Whether the messages hold nothing else than a prompt and an answer to it."""
    if any(not turn.whole or turn.tool_calls for turn in turns):
        return False
    return [turn.by_the_model for turn in turns] in ([], [False], [False, True]) and (
        not turns or (turns[0].role == "user" and turns[0].text == prompt)
    )


def _graded(scores: Any) -> dict[str, Any]:
    """Scores by the names of their scorers: C and I tell whether the answer is correct, numbers are rewards."""
    values = {}
    for name, score in _object(scores, "scores").items():
        value = _object(score, f"scores.{name}").get("value")
        values[name] = value if not isinstance(value, bool) else "C" if value else "I"
    grades = {value for value in values.values() if isinstance(value, str) and value in {"C", "I"}}
    rewards = {name: as_json(value) for name, value in values.items() if isinstance(value, int | float)}
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
    attachments = _object(sample.get("attachments"), "attachments")
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
        return {name: item if name in {"attachments", "events"} else resolve(item) for name, item in sample.items()}
    except RecursionError:
        raise TraceInvalid(Problem(None, "nested too deeply")) from None
