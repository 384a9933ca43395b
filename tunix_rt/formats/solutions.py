"""Data sets of problems with solutions: OpenR1-Math, OpenThoughts, s1K, NuminaMath.

Sources: the cards of open-r1/OpenR1-Math-220k, open-thoughts/OpenThoughts-114k (its config `metadata`),
simplescaling/s1K and s1K-1.1, and AI-MO/NuminaMath-1.5 on the Hugging Face hub, which list the columns and their types.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import REFERENCE, Found
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, field, lacking, maybe, rest_of, typed
from tunix_rt.formats.text.think_tags import parse_written
from tunix_rt.formats.text.written import found_in_parts, found_in_text

_T = TypeVar("_T")
# What NuminaMath writes where a problem has no answer that could be compared.
_NO_ANSWERS = frozenset({"", "proof", "notfound"})
# In the name of a column that somebody added to a data set of problems, such as `reannotated_assistant_content`.
_BY_A_MODEL = re.compile(r"generat|complet|respon|assistant|reason|think|rollout|output|messages|conversation|predict")


class OpenR1MathReader:
    """`problem`, `generations` and, parallel to them, whether each is correct and complete, and why it ended."""

    _parallel = ("correctness_math_verify", "finish_reasons", "is_reasoning_complete")

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where problem and generations are there, and one of the lists beside them."""
        if not {"problem", "generations"} <= value.keys():
            return "no fields problem and generations"
        return None if value.keys() & set(self._parallel) else f"none of {', '.join(self._parallel)}"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each generation, in their order; the human solution where there is none."""
        fields = row.fields
        problem = field(fields, "problem", str)
        group = maybe(fields, "uuid", str)
        generations = maybe(fields, "generations", list) or []
        correct, reasons, complete = (maybe(fields, name, list) or [] for name in self._parallel)
        if not generations:
            void = [name for name in ("generations", *self._parallel) if not fields.get(name)]
            yield _human_solution(fields, group=group, mapped=("uuid", *void))
            return
        answer, from_answer = _comparable_answer(fields)
        # A list that does not match the generations is kept: nobody knows which of its items is missing.
        matching = [name for name in self._parallel[:2] if len(fields.get(name) or ()) == len(generations)]
        extra = rest_of(fields, "problem", "generations", "uuid", *from_answer, *matching)
        for i, generation in enumerate(generations):
            try:
                meta = {
                    "expected_answer": answer,
                    "correct": _at(correct, i, bool, "correctness_math_verify"),
                    "finish_reason": _at(reasons, i, str, "finish_reasons"),
                    "group": group,
                    "sample": i,
                }
                finished = _at(complete, i, bool, "is_reasoning_complete")
                written = typed(generation, str, f"generations.{i}")
                # Without tags all of it is the answer; or the reasoning, where that never came to its closing tag.
                unfinished = finished is False and parse_written(written).answer == written
                if unfinished:
                    yield found_in_parts(problem, written, None, meta=meta | {"truncated": True}, extra=extra)
                else:
                    yield found_in_text(problem, written, meta=meta, extra=extra)
            except TraceInvalid as error:
                yield error


class OpenThoughtsReader:
    """`problem`, `deepseek_reasoning`, `deepseek_solution`: the config `metadata` of OpenThoughts-114k."""

    _used = ("problem", "deepseek_reasoning", "deepseek_solution", "ground_truth_solution")

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the problem, the reasoning and the solution are there."""
        return lacking(value, *self._used[:3])

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row; the solution of the data set is the expected answer."""
        fields = row.fields
        problem = field(fields, "problem", str)
        yield found_in_parts(
            problem,
            maybe(fields, "deepseek_reasoning", str) or "",
            maybe(fields, "deepseek_solution", str) or None,
            meta={
                "expected_answer": maybe(fields, "ground_truth_solution", str),
                "model": "deepseek",
            },
            extra=rest_of(fields, *self._used),
        )


class S1kReader:
    """`question`, `solution` and attempts with their thinking: one in s1K, one of each of two models in s1K-1.1."""

    _models = ("gemini", "deepseek")
    _grades: ClassVar = {"Yes": True, "No": False}

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a question and thinking with its attempt."""
        if "question" not in value:
            return "no field question"
        if any({thinking, attempt} <= value.keys() for _, thinking, attempt in self._attempts()):
            return None
        return "no thinking_trajectories and attempt, and no model's thinking_trajectory and attempt"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each attempt; the solution of the data set is the expected answer."""
        fields = row.fields
        question = field(fields, "question", str)
        solution = maybe(fields, "solution", str)
        there = [found for found in self._attempts() if any(fields.get(name) is not None for name in found[1:])]
        if not there:
            raise TraceInvalid(Problem(None, "there is no thinking and no attempt of any model"))
        for model, thinking, attempt in there:
            grade = f"{model}_grade"
            correct = self._grades.get(str(fields.get(grade)))
            used = ("question", "solution", thinking, attempt, *((grade,) if correct is not None else ()))
            others = tuple(f"{other}_" for other, *_ in there if other not in {None, model})
            try:
                yield found_in_parts(
                    question,
                    _thinking(fields, thinking),
                    maybe(fields, attempt, str) or None,
                    meta={
                        "expected_answer": solution,
                        "correct": correct,
                        "model": model,
                    },
                    extra={name: item for name, item in rest_of(fields, *used).items() if not name.startswith(others)},
                )
            except TraceInvalid as error:
                yield error

    def _attempts(self) -> Iterable[tuple[str | None, str, str]]:
        """For each model (None: s1K does not name it) the fields of its thinking and of its attempt."""
        yield None, "thinking_trajectories", "attempt"
        for model in self._models:
            yield model, f"{model}_thinking_trajectory", f"{model}_attempt"


class NuminaMathReader:
    """`problem`, `solution`, `answer` and `problem_type`; solutions by people."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where all of these fields are there, and none that may hold what a model wrote to the problem."""
        written = next((name for name in value if value[name] and _BY_A_MODEL.search(name.lower())), None)
        return lacking(value, "problem", "solution", "answer", "problem_type") or (
            written and f"{written} may be what a model wrote"
        )

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row; without an answer to compare, as for a proof, the whole solution is it."""
        yield _human_solution(row.fields)


def _human_solution(fields: Mapping[str, Any], *, group: str | None = None, mapped: Iterable[str] = ()) -> Found:
    solution = field(fields, "solution", str)
    answer, from_answer = _comparable_answer(fields)
    return found_in_parts(
        field(fields, "problem", str),
        solution if answer else "",
        answer or solution,
        meta={"expected_answer": answer, "kind": REFERENCE if answer else None, "group": group},
        extra=rest_of(fields, "problem", "solution", *from_answer, *mapped),
    )


def _comparable_answer(fields: Mapping[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """The answer, and the name of its field; none where it is a word for no answer."""
    answer = maybe(fields, "answer", str)
    if answer is None or answer.strip().lower() in _NO_ANSWERS:
        return None, ()
    return answer, ("answer",)


def _thinking(fields: Mapping[str, Any], name: str) -> str:
    """One text, or the parts of one: the authors of s1K join them too."""
    if name != "thinking_trajectories":
        return maybe(fields, name, str) or ""
    return "\n\n".join(each(fields, name, str))


def _at(items: list[Any], i: int, kind: type[_T], path: str) -> _T | None:
    """The item that belongs to generation `i`; None where there is none."""
    item = items[i] if i < len(items) else None
    return None if item is None else typed(item, kind, f"{path}.{i}")
