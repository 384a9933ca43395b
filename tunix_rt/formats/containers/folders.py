"""A folder that is one row: a trajectory with a file for each step, as google/tunix writes ATIF during a rollout.

`traj_<id>/` holds `metadata.json`, which is the document without its steps, and `step_000001.json` and so on.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tunix_rt.errors import SourceInvalid
from tunix_rt.formats.rows.row import Row
from tunix_rt.json_values import parsed
from tunix_rt.paths import size_of

_STEP = re.compile(r"step_(\d{1,18})\.json")


def is_trajectory(folder: Path) -> bool:
    """Whether a folder is one trajectory."""
    if not folder.name.startswith("traj_"):
        return False
    try:
        return (folder / "metadata.json").is_file() and any(_STEP.fullmatch(file.name) for file in folder.iterdir())
    except OSError:
        return False


class TrajectoryFolder:
    """Reads such a folder as `SourceFile` reads a file; no more than `most_bytes` of it."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self.on_read: Callable[[], object] = lambda: None
        # The size that the loader counts, though the files in it are larger.
        self.size = size_of(path)
        self.position = 0
        self._left = most_bytes
        self._most_bytes = most_bytes

    def close(self) -> None:
        """Nothing stays open."""

    def rows(self) -> Iterator[Row]:
        """The one row. Raises SourceInvalid for the file in the folder that cannot be read."""
        try:
            steps = [(int(found[1]), file) for file in self.path.iterdir() if (found := _STEP.fullmatch(file.name))]
        except OSError as error:
            raise SourceInvalid(f"{self.path}: cannot be read ({error.strerror})") from None
        metadata = self._value(self.path / "metadata.json")
        content = [self._value(file) for _, file in sorted(steps)]
        self.position = self.size
        yield Row(str(self.path), 1, value={"schema_version": "ATIF", **metadata, "steps": content})

    def _value(self, file: Path) -> dict[str, Any]:
        self.on_read()
        try:
            # Opening what is not a regular file, such as a pipe, may never end.
            if file.exists() and not file.is_file():
                raise SourceInvalid(f"{file}: is not a regular file")
            with file.open("rb") as stream:
                raw = stream.read(self._left + 1)
        except OSError as error:
            raise SourceInvalid(f"{file}: cannot be read ({error.strerror})") from None
        self._left -= len(raw)
        if self._left < 0:
            raise SourceInvalid(f"{self.path}: exceeds maximum of {self._most_bytes:,} bytes for a row")
        try:
            value = parsed(raw)
        except (ValueError, RecursionError) as error:
            raise SourceInvalid(f"{file}: invalid JSON: {error}") from None
        if not isinstance(value, dict):
            raise SourceInvalid(f"{file}: must be an object")
        return value
