"""The manifest beside an exported file: the counts of rows and of traces left out, and the file's checksum."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from tunix_rt._version import __version__
from tunix_rt.formats import MANIFEST_ENDING
from tunix_rt.store.export.export_report import ExportReport


def manifest_of(path: Path) -> Path:
    """The path of the manifest of an exported file.

    Its name begins with a dot: the loaders of trainers that take every file of a folder pass over it.
    """
    return path.with_name(f".{path.name}{MANIFEST_ENDING}")


def manifest(
    path: Path,
    report: ExportReport,
    *,
    store: Path,
    filters: Mapping[str, Any],
    options: Mapping[str, Any],
) -> bytes:
    """The content of the manifest of the file at `path`.

    The same export of the same traces gives the same manifest: no time is in it.
    """
    content = {
        # JSON has no bytes, which a name may hold.
        "file": path.name.encode(errors="backslashreplace").decode(),
        "format": report.format,
        "options": options,
        "store": store.name,
        "filters": filters,
        "traces": report.traces,
        "rows": report.rows,
        "left_out": report.left_out,
        "shortened": report.shortened,
        "sha256": report.sha256,
        "written_by": f"tunix_rt {__version__}",
    }
    return to_json(content, indent=2, fallback=_plain) + b"\n"


def _plain(value: Any) -> Any:
    """A selection as what it is; else a text."""
    return value.to_dict() if hasattr(value, "to_dict") else str(value)
