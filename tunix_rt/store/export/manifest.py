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
    score_file_sha256: str | None = None,
) -> bytes:
    """The content of the manifest of the file at `path`.

    The same export of the same traces gives the same manifest: no time is in it.
    """
    content = {
        "file": _name(path),
        "format": report.format,
        "options": options,
        "store": store.name,
        "filters": filters,
        "traces": report.traces,
        "rows": report.rows,
        **_of_scores(report, score_file_sha256),
        "left_out": report.left_out,
        "shortened": report.shortened,
        "sha256": report.sha256,
        "written_by": f"tunix_rt {__version__}",
    }
    return to_json(content, indent=2, fallback=_plain) + b"\n"


def _of_scores(report: ExportReport, sha256: str | None) -> dict[str, Any]:
    if report.score_file is None:
        return {"scores": report.scores} if report.scores else {}
    return {"scores": report.scores, "score_file": _name(report.score_file), "score_file_sha256": sha256}


def _name(path: Path) -> str:
    # JSON has no bytes, which a name may hold.
    return path.name.encode(errors="backslashreplace").decode()


def _plain(value: Any) -> Any:
    """A selection as what it is; else a text."""
    return value.to_dict() if hasattr(value, "to_dict") else str(value)
