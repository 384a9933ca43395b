"""The trace store: a DuckDB file, sorted by time, that many processes use at the same time."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunix_rt.analysis.comparison import TraceComparison
    from tunix_rt.formats import Rejection
    from tunix_rt.store.comparing import compare
    from tunix_rt.store.export.export_report import ExportReport
    from tunix_rt.store.ingest.load_report import LoadReport
    from tunix_rt.store.query.cursor import cursor_at
    from tunix_rt.store.query.page import Page
    from tunix_rt.store.query.sql_result import SqlResult
    from tunix_rt.store.scores.agreement import Agreement
    from tunix_rt.store.scores.flags import FlagReport
    from tunix_rt.store.scores.group_matrix import GroupMatrix
    from tunix_rt.store.scores.groups import Groups
    from tunix_rt.store.scores.overlap import Overlap
    from tunix_rt.store.scores.paired import SetComparison
    from tunix_rt.store.scores.plots import Plot
    from tunix_rt.store.scores.run import ScoreReport
    from tunix_rt.store.scores.runs import Runs
    from tunix_rt.store.selection import Selection
    from tunix_rt.store.store import TraceStore
    from tunix_rt.store.transfer import TransferReport
    from tunix_rt.store.upkeep.compact import Compaction
    from tunix_rt.store.upkeep.deletion import Deletion
    from tunix_rt.store.upkeep.health import StoreHealth
    from tunix_rt.store.upkeep.info import StoreInfo
    from tunix_rt.store.upkeep.verify import VerifyReport

# Where each name lives. It brings its module in when it is first used: the filters alone need no DuckDB.
_HOMES = {
    "Agreement": "tunix_rt.store.scores.agreement",
    "Compaction": "tunix_rt.store.upkeep.compact",
    "Deletion": "tunix_rt.store.upkeep.deletion",
    "ExportReport": "tunix_rt.store.export.export_report",
    "FlagReport": "tunix_rt.store.scores.flags",
    "GroupMatrix": "tunix_rt.store.scores.group_matrix",
    "Groups": "tunix_rt.store.scores.groups",
    "LoadReport": "tunix_rt.store.ingest.load_report",
    "Overlap": "tunix_rt.store.scores.overlap",
    "Page": "tunix_rt.store.query.page",
    "Plot": "tunix_rt.store.scores.plots",
    "Rejection": "tunix_rt.formats",
    "Runs": "tunix_rt.store.scores.runs",
    "ScoreReport": "tunix_rt.store.scores.run",
    "Selection": "tunix_rt.store.selection",
    "SetComparison": "tunix_rt.store.scores.paired",
    "SqlResult": "tunix_rt.store.query.sql_result",
    "StoreHealth": "tunix_rt.store.upkeep.health",
    "StoreInfo": "tunix_rt.store.upkeep.info",
    "TraceComparison": "tunix_rt.analysis.comparison",
    "TransferReport": "tunix_rt.store.transfer",
    "TraceStore": "tunix_rt.store.store",
    "VerifyReport": "tunix_rt.store.upkeep.verify",
    "compare": "tunix_rt.store.comparing",
    "cursor_at": "tunix_rt.store.query.cursor",
}

__all__ = [
    "Agreement",
    "Compaction",
    "Deletion",
    "ExportReport",
    "FlagReport",
    "GroupMatrix",
    "Groups",
    "LoadReport",
    "Overlap",
    "Page",
    "Plot",
    "Rejection",
    "Runs",
    "ScoreReport",
    "Selection",
    "SetComparison",
    "SqlResult",
    "StoreHealth",
    "StoreInfo",
    "TraceComparison",
    "TraceStore",
    "TransferReport",
    "VerifyReport",
    "compare",
    "cursor_at",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
