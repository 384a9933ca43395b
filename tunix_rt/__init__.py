"""Keep, see and curate the reasoning traces of language models, in the notebook where the work happens.

>>> import tunix_rt as rt
>>> trace = rt.Trace(prompt="27 × 19?", steps=["27 × 20 = 540", "540 − 27 = 513"], final_answer="513")

In a notebook, `%load_ext tunix_rt` gives the magics `%traces`, `%trace`, `%%trace` and their like, and `rt.app(store)`
shows the forms: browse, read and add.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tunix_rt._version import __version__

if TYPE_CHECKING:
    from tunix_rt import errors, examples, formats
    from tunix_rt.analysis import Score
    from tunix_rt.analysis.statistics import Estimate
    from tunix_rt.errors import (
        ExportFailed,
        IdAmbiguous,
        JudgeUnavailable,
        MemoryLimitReached,
        QueryInvalid,
        SettingsInvalid,
        SourceInvalid,
        StoreBusy,
        StoreDamaged,
        StoreFull,
        StoreReadOnly,
        StoreUnreachable,
        StoreUnusable,
        TraceInvalid,
        TraceNotFound,
        TraceTooLarge,
        TunixRTError,
        WorkerLost,
    )
    from tunix_rt.health_checks import Health, ServiceHealth, health
    from tunix_rt.jobs import spread
    from tunix_rt.judges import Judge
    from tunix_rt.lake.opening import connect
    from tunix_rt.magics import load_ipython_extension, unload_ipython_extension
    from tunix_rt.model import Step, Trace, TraceRecord, TraceSummary
    from tunix_rt.recording import Recorder, TrajectoryStore, record
    from tunix_rt.settings import Settings
    from tunix_rt.store import (
        Agreement,
        Compaction,
        Deletion,
        ExportReport,
        FlagReport,
        GroupMatrix,
        Groups,
        LoadReport,
        Overlap,
        Page,
        Plot,
        Rejection,
        Runs,
        ScoreReport,
        Selection,
        SetComparison,
        SqlResult,
        StoreHealth,
        StoreInfo,
        TraceComparison,
        TraceStore,
        TransferReport,
        VerifyReport,
        compare,
    )
    from tunix_rt.store.terms import absent, between, ge, gt, le, lt, ne, present
    from tunix_rt.trace_schema import json_schema
    from tunix_rt.widgets import (
        FolderWatch,
        GroupBrowser,
        LabelForm,
        StoreStatus,
        TraceApp,
        TraceBrowser,
        TraceViewer,
        UploadForm,
        app,
    )

# Where each public name lives. A name brings its module in when it is first used, so that a script pays for nothing
# that it does not need.
_HOMES = {
    "analysis.statistics": "Estimate",
    "analysis": "Score",
    "errors": (
        "ExportFailed IdAmbiguous JudgeUnavailable MemoryLimitReached QueryInvalid SettingsInvalid SourceInvalid "
        "StoreBusy StoreDamaged StoreFull StoreReadOnly StoreUnreachable StoreUnusable TraceInvalid TraceNotFound "
        "TraceTooLarge TunixRTError WorkerLost"
    ),
    "health_checks": "Health ServiceHealth health",
    "jobs": "spread",
    "judges": "Judge",
    "lake.opening": "connect",
    "magics": "load_ipython_extension unload_ipython_extension",
    "model": "Step Trace TraceRecord TraceSummary",
    "trace_schema": "json_schema",
    "recording": "Recorder TrajectoryStore record",
    "settings": "Settings",
    "store": (
        "Agreement Compaction Deletion ExportReport FlagReport GroupMatrix Groups LoadReport Overlap Page Plot "
        "Rejection Runs ScoreReport Selection SetComparison SqlResult StoreHealth StoreInfo TraceComparison TraceStore "
        "TransferReport "
        "VerifyReport compare"
    ),
    "store.terms": "absent between ge gt le lt ne present",
    "widgets": "FolderWatch GroupBrowser LabelForm StoreStatus TraceApp TraceBrowser TraceViewer UploadForm app",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Agreement",
    "Compaction",
    "Deletion",
    "Estimate",
    "ExportFailed",
    "ExportReport",
    "FlagReport",
    "FolderWatch",
    "GroupBrowser",
    "GroupMatrix",
    "Groups",
    "Health",
    "IdAmbiguous",
    "Judge",
    "JudgeUnavailable",
    "LabelForm",
    "LoadReport",
    "MemoryLimitReached",
    "Overlap",
    "Page",
    "Plot",
    "QueryInvalid",
    "Recorder",
    "Rejection",
    "Runs",
    "Score",
    "ScoreReport",
    "Selection",
    "ServiceHealth",
    "SetComparison",
    "Settings",
    "SettingsInvalid",
    "SourceInvalid",
    "SqlResult",
    "Step",
    "StoreBusy",
    "StoreDamaged",
    "StoreFull",
    "StoreHealth",
    "StoreInfo",
    "StoreReadOnly",
    "StoreStatus",
    "StoreUnreachable",
    "StoreUnusable",
    "Trace",
    "TraceApp",
    "TraceBrowser",
    "TraceComparison",
    "TraceInvalid",
    "TraceNotFound",
    "TraceRecord",
    "TraceStore",
    "TraceSummary",
    "TraceTooLarge",
    "TraceViewer",
    "TrajectoryStore",
    "TransferReport",
    "TunixRTError",
    "UploadForm",
    "VerifyReport",
    "WorkerLost",
    "__version__",
    "absent",
    "app",
    "between",
    "compare",
    "connect",
    "errors",
    "examples",
    "formats",
    "ge",
    "gt",
    "health",
    "json_schema",
    "le",
    "load_ipython_extension",
    "lt",
    "ne",
    "present",
    "record",
    "spread",
    "unload_ipython_extension",
]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds the HTTP API."""
    from tunix_rt.server.extension import TraceServer

    return [{"module": "tunix_rt.server", "app": TraceServer}]


def __getattr__(name: str) -> Any:
    if name in ("errors", "examples", "formats"):
        return import_module(f"tunix_rt.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tunix_rt' has no attribute {name!r}")
    value = getattr(import_module(f"tunix_rt.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
