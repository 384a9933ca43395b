"""The file of scores beside a Parquet export: NAME.scores.parquet beside NAME.parquet."""

import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tunix_rt.paths import is_of_store

# Those of the table `scores`; a file of other columns is somebody's own.
SCORE_COLUMNS = (
    "scorer",
    "version",
    "params",
    "created_at",
    "trace_id",
    "step",
    "sample",
    "value",
    "label",
    "answer",
    "explanation",
    "reason",
    "metadata",
    "scored_at",
)
_PARQUET = ".parquet"


def score_file_of(path: Path) -> Path:
    """The path of the scores of a Parquet export."""
    stem = path.name[: -len(_PARQUET)] if path.name.lower().endswith(_PARQUET) else path.name
    return path.with_name(f"{stem}.scores{_PARQUET}")


def is_score_file(path: Path) -> bool:
    """Whether there is a file of scores at the path."""
    try:
        # Opening what is not a regular file, such as a pipe, may never end.
        if not stat.S_ISREG(path.lstat().st_mode) or is_of_store(path):
            return False
        # Opened by Python: Arrow takes no name that is not UTF-8.
        with path.open("rb") as file:
            return tuple(pq.read_schema(file).names) == SCORE_COLUMNS
    except (OSError, pa.ArrowException):
        return False


def score_file_beside(path: Path) -> Path | None:
    """The file of scores beside a file that may be a Parquet export, through links; None without one."""
    if path.suffix.lower() not in ("", _PARQUET):
        return None
    beside = score_file_of(Path(os.path.realpath(path)))
    return beside if is_score_file(beside) else None
