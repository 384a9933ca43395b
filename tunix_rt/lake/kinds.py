"""The columns of a lake's tables, as they are in its files."""

from typing import NamedTuple

import pyarrow as pa

DAY = "day"
TIME = pa.timestamp("us", "UTC")


class TableKind(NamedTuple):
    """A table of a lake: its name, its columns as they are in its files, and which column follows `created_at`."""

    name: str
    columns: pa.Schema
    id: str

    @property
    def schema(self) -> pa.Schema:
        """The columns with the day, by which files are in folders."""
        return self.columns.append(pa.field(DAY, pa.date32()))


# Ids and digests as texts, as other programs read them, and of which Delta keeps the least and the greatest.
TRACES = TableKind(
    "traces",
    pa.schema(
        {
            "id": pa.string(),
            "created_at": TIME,
            "trace_version": pa.string(),
            "preview": pa.string(),
            "n_steps": pa.int32(),
            "n_chars": pa.int64(),
            "source": pa.string(),
            "digest": pa.string(),
            "prompt": pa.string(),
            "steps": pa.list_(pa.struct({"i": pa.int64(), "type": pa.string(), "content": pa.string()})),
            "final_answer": pa.string(),
            "meta": pa.string(),
        }
    ),
    "id",
)
SCORES = TableKind(
    "scores",
    pa.schema(
        {
            "scorer": pa.string(),
            "version": pa.string(),
            "params": pa.string(),
            "created_at": TIME,
            "trace_id": pa.string(),
            "step": pa.int32(),
            "sample": pa.int32(),
            "value": pa.float64(),
            "label": pa.string(),
            "answer": pa.string(),
            "explanation": pa.string(),
            "reason": pa.string(),
            "metadata": pa.string(),
            "scored_at": TIME,
        }
    ),
    "trace_id",
)
