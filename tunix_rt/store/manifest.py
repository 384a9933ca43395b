"""The manifest beside an exported file: what is in it, what is not and why, and how to know the file again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from tunix_rt._version import __version__
from tunix_rt.errors import ExportFailed
from tunix_rt.formats import MANIFEST_ENDING
from tunix_rt.formats.tally import Tally
from tunix_rt.store.placing import placed


def manifest_of(path: Path) -> Path:
    """Where the manifest of an exported file stands.

    Its name begins with a dot: the loaders of trainers that take every file of a folder pass over it.
    """
    return path.with_name(f".{path.name}{MANIFEST_ENDING}")


def remove_manifest(path: Path) -> None:
    """Removes the manifest of what stood at `path` before: it would tell of another file."""
    try:
        manifest_of(path).unlink(missing_ok=True)
    except OSError as error:
        raise ExportFailed(f"{manifest_of(path)}: cannot be removed ({error.strerror or error})") from error


def write_manifest(
    path: Path,
    *,
    format: str,
    store: Path,
    filters: Mapping[str, Any],
    options: Mapping[str, Any],
    sha256: str,
    tally: Tally,
) -> None:
    """Writes the manifest of the file at `path`, whole or not at all.

    The same export of the same traces gives the same manifest: no time is in it.
    """
    content = {
        # JSON has no bytes, which a name may hold.
        "file": path.name.encode(errors="backslashreplace").decode(),
        "format": format,
        "options": options,
        "store": store.name,
        "filters": filters,
        "traces": tally.traces,
        "rows": tally.rows,
        "left_out": dict(sorted((+tally.left_out).items())),
        "shortened": dict(sorted((+tally.shortened).items())),
        "sha256": sha256,
        "written_by": f"tunix_rt {__version__}",
    }
    with placed(manifest_of(path)) as partial:
        partial.write_bytes(to_json(content, indent=2, fallback=str) + b"\n")
