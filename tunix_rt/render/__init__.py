"""Objects shown: as HTML that survives saving and lets no text of a trace act, and as plain text for a terminal.

Each function takes any object with the right attributes and needs no other room of the package. The HTML is
`markupsafe.Markup`: no scripts, nothing fetched, one scoped `<style>`; it reads well without that too. The text has no
trailing spaces, and control characters are shown as symbols in both.
"""

from tunix_rt.render.captions import mapping_line
from tunix_rt.render.characters import one_line, visible
from tunix_rt.render.comparison import comparison_html, comparison_text
from tunix_rt.render.html import (
    facts_html,
    info_html,
    note_html,
    page_html,
    record_html,
    report_html,
    saved_html,
    style,
    table_html,
    trace_html,
)
from tunix_rt.render.humanize import Ids, count, share, short_ids, size, utc_exact
from tunix_rt.render.showing import Shown, shows_facts, shows_itself, shows_summary
from tunix_rt.render.text import (
    facts_text,
    info_text,
    page_text,
    record_text,
    report_line,
    report_text,
    table_text,
    trace_text,
)
from tunix_rt.render.verdict import judged

__all__ = [
    "Ids",
    "Shown",
    "comparison_html",
    "comparison_text",
    "count",
    "facts_html",
    "facts_text",
    "info_html",
    "info_text",
    "judged",
    "mapping_line",
    "note_html",
    "one_line",
    "page_html",
    "page_text",
    "record_html",
    "record_text",
    "report_html",
    "report_line",
    "report_text",
    "saved_html",
    "share",
    "short_ids",
    "shows_facts",
    "shows_itself",
    "shows_summary",
    "size",
    "style",
    "table_html",
    "table_text",
    "trace_html",
    "trace_text",
    "utc_exact",
    "visible",
]
