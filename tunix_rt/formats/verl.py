"""verl: rollouts as it writes them while it trains, one file `{step}.jsonl` for each training step."""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found, group_of
from tunix_rt.formats.rows.meta_values import as_json, number, training_step
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field, lacking, rest_of
from tunix_rt.formats.text.written import found_in_text


class VerlReader:
    """`input` (rendered by the chat template), `output`, `gts`, `score`, `step`, and what the reward function gave."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are input, output, a score, and the expected answer or the step."""
        if missing := lacking(value, "input", "output", "score"):
            return missing
        return None if value.keys() & {"gts", "step"} else "no field gts or step"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row; the step is the file's where the row has none."""
        value = as_json(row.fields)
        prompt, output = field(value, "input", str), field(value, "output", str)
        meta = {
            "expected_answer": value.get("gts"),
            "reward": number(value.get("score"), "score"),
            "training_step": training_step(value, row.file),
            "group": group_of(prompt),
        }
        yield found_in_text(prompt, output, meta=meta, extra=rest_of(value, "input", "output", "gts", "score", "step"))
