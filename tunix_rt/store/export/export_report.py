"""The report of an export."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tunix_rt import render
from tunix_rt.render.humanize import size


@render.shows_facts
@dataclass(frozen=True)
class ExportReport:
    """What an export did: `rows` written from `traces` that passed the filters.

    `left_out` and `shortened` count traces by the reason; `size_bytes` and `sha256` are those of the file, `seconds` is
    how long it took. `path` is the file that was written (a link is followed), None for an open file that was passed;
    `manifest` is the file beside it with the same facts, None if none was written. `scores` of the traces were written:
    in their rows, or as Parquet into the `score_file` beside it; `scores_left_out` were not, since nothing is beside an
    open file or a pipe.
    """

    path: Path | None
    format: str
    traces: int
    rows: int
    size_bytes: int
    sha256: str
    seconds: float
    left_out: dict[str, int] = field(default_factory=dict)
    shortened: dict[str, int] = field(default_factory=dict)
    manifest: Path | None = None
    scores: int = 0
    score_file: Path | None = None
    scores_left_out: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The report as values of JSON."""
        paths = {"path": self.path, "manifest": self.manifest, "score_file": self.score_file}
        return asdict(self) | {name: path and str(path) for name, path in paths.items()}

    @property
    def _facts(self) -> list[tuple[str, str]]:
        facts = [("file", str(self.path))] if self.path else []
        facts += [("format", self.format), ("traces", f"{self.traces:,}"), ("rows", f"{self.rows:,}")]
        if self.scores:
            facts.append(("scores", f"{self.scores:,}" + (f", in {self.score_file}" if self.score_file else "")))
        facts += [("scores left out", f"{self.scores_left_out:,}")] if self.scores_left_out else []
        facts += [("left out", f"{n:,}: {reason}") for reason, n in self.left_out.items()]
        facts += [("shortened", f"{n:,}: {reason}") for reason, n in self.shortened.items()]
        return [*facts, ("size", size(self.size_bytes)), ("seconds", f"{self.seconds:.1f}")]
