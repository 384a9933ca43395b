"""GSM8K: grade-school problems with human solutions, and the models' solutions published beside them.

Source: openai/grade-school-math. A solution is lines of reasoning, with calculator marks `<<48/2=24>>` that are kept;
the answer comes after `####` in the data set, and after the last `A: ` in the models' solutions.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import REFERENCE, Found
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field, rest_of


class Gsm8kReader:
    """`question` and `answer`, whose end is `#### 72`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where question and answer are there and the answer has its mark."""
        if not {"question", "answer"} <= value.keys():
            return "no fields question and answer"
        return None if "####" in str(value["answer"]) else "no #### in answer"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: each line is a step."""
        fields = row.fields
        question, solution = field(fields, "question", str), field(fields, "answer", str)
        reasoning, mark, final = solution.rpartition("####")
        final = final.strip()
        extra = rest_of(fields, "question", "answer")
        if "," in final:
            extra["answer"] = final
        if not mark:
            reasoning, final = solution, ""
        answer = final.replace(",", "") or None
        meta = {"expected_answer": answer, "kind": REFERENCE if answer else None}
        yield Found(question, _lines(reasoning), answer, meta, extra)


class Gsm8kSolutionsReader:
    """`question`, `ground_truth` and, for each model, an object of `solution` and `is_correct`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there is a ground truth and at least one model's solution."""
        if not {"question", "ground_truth"} <= value.keys():
            return "no fields question and ground_truth"
        return None if any(map(_is_solution, value.values())) else "no model with solution and is_correct"

    def found(self, row: Row) -> Iterator[Found]:
        """A trace for each model, in the order of the row."""
        fields = row.fields
        question, truth = field(fields, "question", str), field(fields, "ground_truth", str)
        models = {name: item for name, item in fields.items() if _is_solution(item)}
        extra = rest_of(fields, "question", *models)
        for model, solution in models.items():
            reasoning, answer = _split_at_answer(solution["solution"])
            meta = {
                "model": model,
                "correct": solution["is_correct"],
                "expected_answer": _split_at_answer(truth)[1],
            }
            yield Found(question, _lines(reasoning), answer, meta, extra | rest_of(solution, "solution", "is_correct"))


def _is_solution(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("solution"), str) and "is_correct" in value


def _split_at_answer(solution: str) -> tuple[str, str | None]:
    """Reasoning and answer; no answer where the solution stops before its `A: `."""
    reasoning, mark, answer = f"\n{solution}".rpartition("\nA: ")
    if not mark or not answer.strip():
        return solution, None
    return reasoning, answer.strip().replace(",", "")


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]
