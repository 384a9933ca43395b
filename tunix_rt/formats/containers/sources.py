"""What traces are loaded from besides files by name: bytes, open files, lists, frames, tables, data sets."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, cast

import pyarrow as pa
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from tunix_rt.errors import SourceInvalid, TraceInvalid
from tunix_rt.formats.containers.arrow_rows import plain_rows
from tunix_rt.formats.containers.files import SourceFile
from tunix_rt.formats.rows.row import Rejection, Row
from tunix_rt.json_values import plain
from tunix_rt.model import TraceRecord

_BATCH_ROWS = 1_000
_TAKEN = (
    "give a path, a folder or a pattern; bytes or an open binary file; a list or another iterable of dictionaries or "
    "traces; a pandas DataFrame; an Arrow table or reader; a Hugging Face Dataset"
)


class Source(Protocol):
    """Rows that can be read once, and how far the reading is: `position` of `size`, in bytes or in rows."""

    path: Any
    size: int
    # Called wherever something is read, also where no row comes of it.
    on_read: Callable[[], object]

    @property
    def position(self) -> int: ...  # noqa: D102
    def rows(self) -> Iterator[Row | Rejection]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def in_memory(given: Any, encoding: str | None = None) -> list[Source]:
    """The sources in what is not a path: mostly one; of a dictionary of Hugging Face data sets one for each.

    `encoding` is that of bytes and open files.
    Raises SourceInvalid where it cannot be loaded from, with what can be.
    """
    name = type(given).__name__
    if isinstance(given, bytes | bytearray | memoryview):
        return [SourceFile(name, Borrowed(io.BytesIO(given), name), encoding=encoding)]
    if hasattr(given, "read"):
        named = getattr(given, "name", None)
        name = named if isinstance(named, str) and named else name
        return [SourceFile(name, Borrowed(given, name), encoding=encoding)]
    if isinstance(given, BaseModel):
        raise SourceInvalid(f"{name}: is one trace; store.add(trace) stores it, and load takes a list of them")
    if isinstance(given, Mapping):
        if given and all(map(_is_dataset, given.values())):
            return [SourceRows(split, f"{name}[{key!r}]") for key, split in given.items()]
        raise SourceInvalid(f"{name}: is at most one trace; store.add(…) stores it, and load takes a list of them")
    if not (isinstance(given, Iterable) or hasattr(given, "to_batches") or hasattr(given, "__arrow_c_stream__")):
        raise SourceInvalid(f"{name}: cannot be loaded from; {_TAKEN}")
    return [SourceRows(given, name)]


class SourceRows:
    """Rows that are in memory, or made one after the other as they are read."""

    def __init__(self, given: Any, name: str) -> None:
        self.path = name
        self.position = 0
        self.on_read: Callable[[], object] = lambda: None
        self._given = given
        try:
            self.size = len(given)
        except TypeError:
            self.size = 0

    def close(self) -> None:
        """The rows are the caller's: nothing to close."""

    def rows(self) -> Iterator[Row | Rejection]:
        """The rows in order, counted from 1; a Rejection for what is not a row."""
        values, row = _values(self._given, self.path)
        try:
            iterator = iter(values)
        except TypeError:
            # An array without dimensions has the method, and no items.
            raise SourceInvalid(f"{self.path}: cannot be loaded from; {_TAKEN}") from None
        for value in iterator:
            if self.position % _BATCH_ROWS == 0:
                self.on_read()
            self.position += 1
            try:
                yield row(self.path, self.position, value)
            except TraceInvalid as error:
                yield Row(self.path, self.position, value="" if value is error else value).rejection(error)


def _is_dataset(given: Any) -> bool:
    """Whether it is a Hugging Face Dataset, which need not be imported for that."""
    return hasattr(given, "with_format") and hasattr(given, "iter") and hasattr(given, "features")


def _values(given: Any, name: str) -> tuple[Iterable[Any], Callable[[str, int, Any], Row]]:
    """The values of the rows, and what makes a Row of each."""
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return _frame_values(given), _frame_row
    batches = _batches(given)
    return (given, _listed_row) if batches is None else (_arrow_values(batches, name), _arrow_row)


def _batches(given: Any) -> Iterable[Any] | None:
    if _is_dataset(given) and hasattr(given, "data"):
        # Not its table itself: a selection or a shuffling is kept beside that.
        return cast("Iterable[Any]", given.with_format("arrow").iter(batch_size=_BATCH_ROWS))
    if isinstance(given, pa.RecordBatchReader):
        return cast("Iterable[Any]", given)
    if hasattr(given, "to_batches"):
        return cast("Iterable[Any]", given.to_batches())
    if hasattr(given, "__arrow_c_stream__"):
        # One of single values, such as a Series, holds no rows of columns.
        with suppress(pa.ArrowException):
            return cast("Iterable[Any]", pa.RecordBatchReader.from_stream(given))
    return [given] if isinstance(given, pa.RecordBatch) else None


def _arrow_values(batches: Iterable[Any], name: str) -> Iterator[Any]:
    for batch in batches:
        for start in range(0, len(batch), _BATCH_ROWS):
            yield from plain_rows(batch.slice(start, _BATCH_ROWS), name)


def _arrow_row(name: str, line: int, value: Any) -> Row:
    if isinstance(value, TraceInvalid):
        raise value
    return Row(name, line, value=value)


def _frame_values(frame: Any) -> Iterator[Any]:
    if not frame.columns.is_unique:
        raise SourceInvalid(f"{type(frame).__name__}: two columns have the same name; rename one of them")
    names = list(frame.columns)
    for start in range(0, len(frame), _BATCH_ROWS):
        batch = frame.iloc[start : start + _BATCH_ROWS]
        # `to_dict` would make values of pandas of those of numpy, and fail where it has none.
        columns = (batch.iloc[:, n] for n in range(len(names)))
        yield from (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _frame_row(name: str, line: int, value: Any) -> Row:
    return Row(name, line, value=plain(value))


def _listed_row(name: str, line: int, value: Any) -> Row:
    """A row like that of a JSON Lines file, so that it is read, and refused, in the same way."""
    if isinstance(value, TraceRecord):
        stamp = to_json({"id": value.id, "created_at": value.created_at})
        return Row(name, line, raw=stamp[:-1] + b"," + to_json(value.payload)[1:])
    # A row that this refuses never reaches a format: its keys may be anything.
    value = plain(value)
    try:
        return Row(name, line, raw=to_json(value), value=value)
    except (PydanticSerializationError, ValueError, RecursionError):
        # What no JSON text can hold, such as a lone surrogate, is reported with its field by those that read the value.
        return Row(name, line, value=value)


class Borrowed(io.RawIOBase):
    """A file that the caller has open: read from its position on, at most `size` bytes, and left open."""

    def __init__(self, file: Any, name: str, size: int | None = None) -> None:
        self._file = file
        self._name = name
        self._at = 0
        self._start = file.tell() if hasattr(file, "seekable") and file.seekable() else None
        self._most = size
        self.size = size if size is not None else self._length()

    def _length(self) -> int:
        if self._start is None:
            return 0
        length: int = self._file.seek(0, io.SEEK_END) - self._start
        self._file.seek(self._start)
        return length

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return self._start is not None

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        if self._start is None:
            raise io.UnsupportedOperation("seek")
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence])
        self._file.seek(self._start + self._at)
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: D102
        view = memoryview(buffer).cast("B")
        if self._most is not None:
            view = view[: max(0, self._most - self._at)]
        done = 0
        # Filled to the end: a pipe gives what it has, and the kind of a file is detected from its complete beginning.
        while done < len(view) and (piece := self._file.read(len(view) - done)):
            if isinstance(piece, str):
                raise SourceInvalid(f"{self._name}: is open as text; open it in binary mode, as in open(path, 'rb')")
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._at += done
        return done
