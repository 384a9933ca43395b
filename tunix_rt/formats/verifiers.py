"""verifiers: the scored rollouts of an evaluation, `results.jsonl`."""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, number
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import lacking, maybe, rest_of
from tunix_rt.formats.text.dialogue import found_in_completion


class VerifiersReader:
    """`example_id`, `prompt`, `completion`, `reward`, `metrics`, `answer`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are the fields of a scored rollout, with the id of its example."""
        return lacking(value, "example_id", "prompt", "completion", "reward")

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row; the rollouts of an example are a group."""
        value = as_json(row.fields)
        meta = {
            "expected_answer": value.get("answer"),
            "reward": number(value.get("reward"), "reward"),
            "finish_reason": value.get("stop_condition"),
            "truncated": maybe(value, "is_truncated", bool) or None,
            "group": value.get("example_id"),
        }
        used = ("example_id", "reward", "answer", "stop_condition", "is_truncated")
        yield found_in_completion(value, meta=meta, extra=rest_of(value, *used))
