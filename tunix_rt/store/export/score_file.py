"""Writes the scores of a Parquet export to a Parquet file beside it."""

import os
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tunix_rt.errors import ExportFailed
from tunix_rt.formats.containers.score_files import SCORE_COLUMNS, is_score_file, score_file_of
from tunix_rt.formats.containers.writers import HashedFile
from tunix_rt.store.engine.atomic_write import Replacement

_OF_TRACE = {"created_at": "created_at", "trace_id": "id"}


class ScoreFile:
    """Takes the scores out of the batches of an export; the file is begun with the first of them.

    Without scores there is none, and one that an earlier export left is removed. Raises ExportFailed where something
    else has its name.
    """

    def __init__(self, replacement: Replacement) -> None:
        self.path = score_file_of(replacement.path)
        self.rows = 0
        self._replacement = replacement
        self._file: HashedFile | None = None
        self._writer: pq.ParquetWriter | None = None
        if os.path.lexists(self.path) and not is_score_file(self.path):
            raise ExportFailed(
                f"{self.path}: has the name of the file of scores beside the export, and is not such a file; rename "
                "it, or choose another name for the export"
            )
        replacement.without(self.path)

    @property
    def sha256(self) -> str | None:
        """The digest of the closed file, None where there were no scores."""
        return None if self._file is None else self._file.sha256

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            if self._file is not None:
                self._file.close()

    def take(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch without its column `scores`, whose scores are written."""
        found = batch["scores"]
        scores, of_rows = pc.list_flatten(found), pc.list_parent_indices(found)
        if len(scores):
            columns = {
                name: batch[_OF_TRACE[name]].take(of_rows) if name in _OF_TRACE else pc.struct_field(scores, name)
                for name in SCORE_COLUMNS
            }
            self._write(pa.RecordBatch.from_pydict(columns))
        return batch.drop_columns("scores")

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._file = HashedFile(self._replacement.beside(self.path))
            self._writer = pq.ParquetWriter(self._file, batch.schema, compression="zstd")
        self._writer.write_batch(batch)
        self.rows += len(batch)
