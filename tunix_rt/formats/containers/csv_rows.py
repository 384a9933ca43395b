"""Rows in a CSV file: a header of names, then a row of cells for each; a cell may hold line breaks, within quotes."""

import csv
import io
import re
from collections.abc import Iterator

from tunix_rt.errors import SourceInvalid
from tunix_rt.formats.containers.json_cells import TEXT_COLUMNS, with_values
from tunix_rt.formats.rows.row import REJECTED_TEXT_CHARS, Rejection, Row
from tunix_rt.validation import short

_SEPARATORS = ",\t;"
# Where there is one column, nothing separates it from others: a control character that no text has.
_NO_SEPARATOR = "\x1f"
# The names of real columns; the first one may be empty, as pandas leaves it for its index.
_NAME = re.compile(r"[^\W\d][\w .:/()-]{0,99}")


def separator_of(head: bytes) -> str | None:
    """What separates the cells of a file that begins so; None where it does not begin with a header of plain names."""
    first, _, rest = head.partition(b"\n")
    header = first.decode(errors="replace")
    # JSON after a broken first row is not a row of cells: in CSV its quotes would be doubled.
    if re.match(rb"\s*[{\[]\s*\"\w", rest):
        return None
    for separator in _SEPARATORS:
        names = _cells(header, separator)
        # Two columns of one name are reported by their name, where there are rows of them.
        unique = (
            len(names) == len(set(names)) or _cells(rest.partition(b"\n")[0].decode(errors="replace"), separator)[1:]
        )
        if len(names) > 1 and unique and all(_NAME.fullmatch(name) for name in names[names[0] == "" :]):
            return separator
    return _NO_SEPARATOR if _is_one_column(header, rest) else None


def _is_one_column(header: str, rest: bytes) -> bool:
    """Whether it is a column of texts: the header is a usual name for one, or the texts are in quotes."""
    names = _cells(header, _NO_SEPARATOR)
    if len(names) != 1 or not _NAME.fullmatch(names[0]) or not rest.strip():
        return False
    return names[0].lower() in TEXT_COLUMNS or (not header.startswith('"') and rest.lstrip().startswith(b'"'))


def csv_rows(stream: io.BufferedReader, file: str, separator: str, most_bytes: int) -> Iterator[Row | Rejection]:
    """The rows by the names in the header, each with the line it begins on.

    Its cells are texts, but for columns of JSON or of Python's notation: `json_cells.py`. A quote that is never closed
    makes the rest of the file one row, which is rejected; one that is larger than any row ends the reading. Raises
    SourceInvalid where two columns have the same name.
    """
    return with_values(_text_rows(stream, file, separator, most_bytes))


def _text_rows(stream: io.BufferedReader, file: str, separator: str, most_bytes: int) -> Iterator[Row | Rejection]:
    # The limit is one for the whole process, and smaller than the answers of a model: it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), most_bytes))
    lines = _Lines(stream, most_bytes)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    names: list[str] | None = None
    while True:
        line = lines.begin_row()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Rejection(file, line, None, f"invalid CSV in the row that begins here: {error}", lines.start)
            continue
        except _TooLargeError as error:
            yield Rejection(file, line, None, f"{error}; nothing after it was read", lines.start)
            return
        if cells is None:
            return
        if names is None:
            names = cells
            if twice := next((name for n, name in enumerate(names) if name in names[:n]), None):
                raise SourceInvalid(f"{file}: two columns have the name {short(twice)}; rename one of them")
        elif len(cells) == len(names):
            yield Row(file, line, value=dict(zip(names, cells, strict=True)), is_spoiled=lines.is_spoiled)
        elif cells:
            yield Rejection(file, line, None, f"has {len(cells):,} cells; the header has {len(names):,}", lines.start)


class _TooLargeError(Exception):
    pass


class _Lines:
    """The lines of a stream as text, counted; no row may take more than `most_bytes` of them."""

    def __init__(self, stream: io.BufferedReader, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self._line = 0
        self._used = 0
        self.start = ""
        self.is_spoiled = False

    def begin_row(self) -> int:
        self._used = 0
        self.is_spoiled = False
        self.start = ""
        return self._line + 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        raw = self._stream.readline(self._most_bytes)
        if not raw:
            raise StopIteration
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            # A byte that is not UTF-8 becomes a lone surrogate, which a trace refuses: only its row is rejected.
            self.is_spoiled = True
            text = raw.decode(errors="surrogateescape")
        self.start = self.start or text[:REJECTED_TEXT_CHARS].rstrip("\r\n")
        self._line += 1
        self._used += len(raw)
        if self._used >= self._most_bytes:
            raise _TooLargeError(f"exceeds maximum of {self._most_bytes:,} bytes for a row")
        return text


def _cells(header: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([header.rstrip("\r")], delimiter=separator, strict=True), [""])
    except csv.Error:
        return [""]
