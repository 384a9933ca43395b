"""verl: rollouts as it writes them while it trains, one file `{step}.jsonl` for each training step.

`uid`, which verl 1 adds, is known from its documentation only: a UUID that the samples of a prompt share, or
`{sample}_{rollout}_{output}`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, number, training_step
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field, lacking, rest_of
from tunix_rt.formats.text.written import found_in_text

_UUID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_OF_ROLLOUT = re.compile(r"(?P<sample>.+)_(?P<rollout>\d{1,9})_\d{1,9}", re.DOTALL)


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
        grouped = _group_in(value.get("uid"))
        meta = {
            "expected_answer": value.get("gts"),
            "reward": number(value.get("score"), "score"),
            "training_step": training_step(value, row.file),
            **grouped,
        }
        # An id of three parts also has the number of the output, which meta has no key for.
        used = ("uid",) if "group" in grouped and "sample" not in grouped else ()
        extra = rest_of(value, "input", "output", "gts", "score", "step", *used)
        yield found_in_text(prompt, output, meta=meta, extra=extra)


def _group_in(uid: Any) -> dict[str, Any]:
    """The group, and the number of the sample in it, that an id has."""
    if not isinstance(uid, str):
        return {}
    if _UUID.fullmatch(uid):
        return {"group": uid}
    found = _OF_ROLLOUT.fullmatch(uid)
    return {"group": found["sample"], "sample": int(found["rollout"])} if found else {}
