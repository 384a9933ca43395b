"""The trace store: a DuckDB file, sorted by time, that many processes use at the same time."""

from tunix_rt.formats import Rejection
from tunix_rt.store.export.export_report import ExportReport
from tunix_rt.store.ingest.load_report import LoadReport
from tunix_rt.store.query.page import Page, cursor_at
from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.store import TraceStore
from tunix_rt.store.upkeep.compact import Compaction
from tunix_rt.store.upkeep.health import StoreHealth
from tunix_rt.store.upkeep.info import StoreInfo
from tunix_rt.store.upkeep.verify import VerifyReport

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
