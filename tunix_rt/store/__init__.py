"""The trace store: a DuckDB file, sorted by time, that many processes use at the same time."""

from tunix_rt.formats import Rejection
from tunix_rt.store.compacting import Compaction
from tunix_rt.store.export_report import ExportReport
from tunix_rt.store.health import StoreHealth
from tunix_rt.store.info import StoreInfo
from tunix_rt.store.paging import Page, cursor_at
from tunix_rt.store.report import LoadReport
from tunix_rt.store.result import SqlResult
from tunix_rt.store.store import TraceStore
from tunix_rt.store.verifying import VerifyReport

__all__ = [
    "Compaction",
    "ExportReport",
    "LoadReport",
    "Page",
    "Rejection",
    "SqlResult",
    "StoreHealth",
    "StoreInfo",
    "TraceStore",
    "VerifyReport",
    "cursor_at",
]
