"""Rows for reinforcement learning: what to generate from, and the answer to compare with.

Source: the data sets of google/tunix's GRPO examples, with `prompts`, `question` and `answer`.
"""

from typing import Any

import pyarrow as pa

from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.text.completion import turns
from tunix_rt.model import Trace, TraceRecord

TUNIX_RL = pa.schema([("prompts", pa.string()), ("question", pa.string()), ("answer", pa.string())])


def tunix_rl(record: TraceRecord, tally: Tally) -> dict[str, Any] | None:
    """`prompts` (rendered, up to where the model begins), `question`, and `answer`."""
    answer = _answer_to(record.payload, tally)
    prompts = answer and turns(record.payload, tally)
    return {"prompts": prompts, "question": record.payload.prompt, "answer": answer} if prompts else None


def _answer_to(trace: Trace, tally: Tally) -> str | None:
    """The expected answer, else the final answer, if it is not known to be wrong."""
    meta = trace.meta or {}
    expected = meta.get("expected_answer")
    if expected is not None and expected != "":
        if isinstance(expected, str | int | float) and not isinstance(expected, bool):
            return str(expected)
        tally.left_out["an expected answer that is neither text nor number"] += 1
    elif not trace.final_answer:
        tally.left_out["neither an expected nor a final answer"] += 1
    elif meta.get("correct") is False:
        tally.left_out["no expected answer, and a wrong final answer"] += 1
    else:
        return trace.final_answer
    return None
