"""Reading and writing traces in the formats of others; `registry.py` has them all, one file has each family.

A row of a container (`containers/`) is given to the reader of its format, which finds traces in it; `Reading` makes
drafts of them. The other way, a writer makes a row of a trace. `table()` shows all formats, `register` adds one.
"""

from tunix_rt.formats.containers.files import SourceFile
from tunix_rt.formats.containers.listing import ENDINGS_READ, MANIFEST_ENDING, files_at, is_named_as_source
from tunix_rt.formats.containers.sources import Borrowed, Source, SourceRows
from tunix_rt.formats.format_table import FormatTable, table
from tunix_rt.formats.mapped import without_conflicts
from tunix_rt.formats.own_formats import format_named, names_in, register, writer_named
from tunix_rt.formats.reading import (
    Reading,
    begins_session,
    first_rows,
    found_in,
    parts_of,
    rejected_source,
    sources_in,
)
from tunix_rt.formats.registry import FORMATS, READABLE, WRITERS, Format, Writer, mapped_format
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.row import Draft, Rejection, Row, ScoreDraft
from tunix_rt.formats.rows.trace_fields import TraceFields

__all__ = [
    "ENDINGS_READ",
    "FORMATS",
    "MANIFEST_ENDING",
    "READABLE",
    "WRITERS",
    "Borrowed",
    "Draft",
    "Format",
    "FormatTable",
    "Found",
    "Reading",
    "Rejection",
    "Row",
    "ScoreDraft",
    "Source",
    "SourceFile",
    "SourceRows",
    "TraceFields",
    "Writer",
    "begins_session",
    "files_at",
    "first_rows",
    "format_named",
    "found_in",
    "is_named_as_source",
    "mapped_format",
    "names_in",
    "parts_of",
    "register",
    "rejected_source",
    "sources_in",
    "table",
    "without_conflicts",
    "writer_named",
]
