"""Traces as trajectories of agents.

Source: the Agent Trajectory Interchange Format, v1.7 (harbor-framework/harbor, rfcs/0001-trajectory-format.md): a JSON
document for each trajectory, and in it a step for each turn, numbered from 1.
"""

from typing import Any

from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.text.completion import reasoning_of, system_of
from tunix_rt.model import TraceRecord

# ATIF asks for the agent's name and version, which a trace need not have.
_UNKNOWN = "unknown"


def atif(record: TraceRecord, _tally: Tally) -> dict[str, Any]:
    """The document of one trace: a step of the system (where meta has one), one of the user, one of the agent.

    The agent's step has the reasoning and, as its message, the answer; a truncated trace has an empty message. The
    agent is called as `meta["source"]`, its model as `meta["model"]`; the whole meta is in `extra`.
    """
    trace = record.payload
    meta = trace.meta or {}
    model, source, reasoning = meta.get("model"), meta.get("source"), reasoning_of(trace)
    agent = {"name": source if isinstance(source, str) and source else _UNKNOWN, "version": _UNKNOWN}
    said: list[dict[str, Any]] = [
        {"source": "system", "message": system_of(trace)},
        {"source": "user", "message": trace.prompt},
        {"source": "agent", "message": trace.final_answer or ""}
        | ({"reasoning_content": reasoning} if reasoning else {}),
    ]
    return {
        "schema_version": "ATIF-v1.7",
        "session_id": str(record.id),
        "trajectory_id": str(record.id),
        "agent": agent | ({"model_name": model} if isinstance(model, str) else {}),
        "steps": [
            {"step_id": place} | step
            for place, step in enumerate((step for step in said if step["message"] is not None), 1)
        ],
        "extra": {"created_at": record.created_at.isoformat(), "trace_version": record.trace_version}
        | ({} if trace.meta is None else {"meta": trace.meta}),
    }
