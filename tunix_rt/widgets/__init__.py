"""The forms: browse, read and add traces in the notebook, each alone or all in one panel.

    app ─ TraceApp ┬ TraceBrowser   the list: search, filters, pages, live mode
                   ├ TraceViewer    one trace: plain, Markdown, JSON
                   ├ UploadForm     traces in: editor, files, paths
                   └ StoreStatus    the store's numbers and health
          GroupBrowser ─ TraceViewer  the samples of each prompt side by side, and prompts × policies
          FolderWatch               the files of a running job, loaded as they come

What a form does is in its class, and needs no browser; what it looks like is in `static/`.
"""

from tunix_rt.widgets.browser import TraceBrowser
from tunix_rt.widgets.groups import GroupBrowser
from tunix_rt.widgets.label import LabelForm
from tunix_rt.widgets.status import StoreStatus
from tunix_rt.widgets.trace_app import TraceApp, app
from tunix_rt.widgets.upload import UploadForm
from tunix_rt.widgets.viewer import TraceViewer
from tunix_rt.widgets.watch import FolderWatch

__all__ = [
    "FolderWatch",
    "GroupBrowser",
    "LabelForm",
    "StoreStatus",
    "TraceApp",
    "TraceBrowser",
    "TraceViewer",
    "UploadForm",
    "app",
]
