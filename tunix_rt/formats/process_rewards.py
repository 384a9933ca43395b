"""Data sets of solutions whose steps were judged one by one: PRM800K, ProcessBench.

Sources: the README of openai/prm800k, and what its files have besides (a completion by a labeler is an object with a
text, and a step may be empty); the README of QwenLM/ProcessBench.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found, found_in_judged_steps
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, field, lacking, maybe, rest_of, typed

# How the solutions of PRM800K end.
_ANSWER = re.compile(r"(?:\A|\n)# Answer\s+(?P<answer>.*\S)\s*\Z", re.DOTALL)
_RATINGS = (-1, 0, 1)
_STEP_FIELDS = {"completions", "chosen_completion", "human_completion"}
_COMPLETION_FIELDS = {"text", "rating", "flagged"}


class _Taken(NamedTuple):
    """The completion that makes a step, its rating, and whether the step had nothing else."""

    text: str
    rating: int | None
    alone: bool


class Prm800kReader:
    """`question` with the problem, `label` with the steps and, for each, the completions that were rated."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the question has a problem and the label has steps."""
        question, label = value.get("question"), value.get("label")
        if not (isinstance(question, dict) and "problem" in question):
            return "no question.problem"
        return None if isinstance(label, dict) and "steps" in label else "no label.steps"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: of each step the completion that was chosen."""
        fields = row.fields
        question, label = field(fields, "question", dict), field(fields, "label", dict)
        steps = field(label, "steps", list, at="label.")
        found = [_taken(step, f"label.steps.{i}") for i, step in enumerate(steps)]
        taken = [one for one in found if one is not None]
        finish_reason = maybe(label, "finish_reason", str, at="label.")
        answer = _ANSWER.search(taken[-1].text) if taken else None
        more = rest_of(fields, "question", "label")
        if of_question := rest_of(question, "problem", "ground_truth_answer"):
            more["question"] = of_question
        of_label = rest_of(label, "steps", "finish_reason")
        if not all(one is not None and one.alone for one in found):
            # null is a step that the trace has entirely, so that indices are still those of the steps.
            of_label["steps"] = [
                None if one is not None and one.alone else step for one, step in zip(found, steps, strict=True)
            ]
        if of_label:
            more["label"] = of_label
        yield found_in_judged_steps(
            field(question, "problem", str, at="question."),
            [one.text for one in taken],
            [one.rating for one in taken],
            answer=answer["answer"] if answer else None,
            meta={
                "expected_answer": maybe(question, "ground_truth_answer", str, at="question."),
                # The labelers' word for a solution with the correct answer.
                "correct": True if finish_reason == "solution" else None,
                "finish_reason": finish_reason,
            },
            extra=more,
        )


class ProcessBenchReader:
    """`problem`, `steps`, `label` (the first wrong step, −1 where there is none) and `final_answer_correct`."""

    _needed = ("problem", "steps", "label", "final_answer_correct")

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where all of these fields are there."""
        return lacking(value, *self._needed)

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row; what comes after the first wrong step was not judged."""
        fields = row.fields
        steps = each(fields, "steps", str)
        first_error = field(fields, "label", int)
        if not -1 <= first_error < len(steps):
            raise TraceInvalid(Problem("label", f"must be -1 or one of the {len(steps):,} steps, not {first_error:,}"))
        n_right = len(steps) if first_error < 0 else first_error
        yield found_in_judged_steps(
            field(fields, "problem", str),
            steps,
            ([1] * n_right + [-1] + [None] * len(steps))[: len(steps)],
            meta={
                "first_error": first_error,
                "correct": maybe(fields, "final_answer_correct", bool),
                "model": maybe(fields, "generator", str),
            },
            extra=rest_of(fields, *self._needed, "generator"),
        )


def _taken(step: Any, path: str) -> _Taken | None:
    """The chosen completion, else the labeler's own, else the first; None where there is none at all."""
    step = typed(step, dict, path)
    path += "."
    completions = maybe(step, "completions", list, at=path) or []
    chosen = maybe(step, "chosen_completion", int, at=path)
    human = step.get("human_completion")
    alone = len(completions) == 1 and chosen == 0 and human is None and step.keys() <= _STEP_FIELDS
    if chosen is None and human is not None:
        if isinstance(human, dict):
            human = field(human, "text", str, at=f"{path}human_completion.")
        # Labelers wrote a step of their own where every completion was wrong: a right one.
        return _Taken(typed(human, str, f"{path}human_completion"), 1, alone=False)
    if chosen is None:
        if not completions:
            return None
        chosen = 0
    if not 0 <= chosen < len(completions):
        raise TraceInvalid(
            Problem(f"{path}chosen_completion", f"must be one of the {len(completions):,} completions, not {chosen:,}")
        )
    return _rated(completions[chosen], f"{path}completions.{chosen}", alone=alone)


def _rated(completion: Any, path: str, *, alone: bool) -> _Taken:
    completion = typed(completion, dict, path)
    rating = maybe(completion, "rating", int, at=f"{path}.")
    if rating is not None and rating not in _RATINGS:
        raise TraceInvalid(Problem(f"{path}.rating", f"must be -1, 0 or 1, not {rating:,}"))
    is_plain = completion.keys() <= _COMPLETION_FIELDS and not completion.get("flagged")
    return _Taken(field(completion, "text", str, at=f"{path}."), rating, alone=alone and is_plain)
