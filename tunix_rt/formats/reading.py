"""A source being read: which files it is, of which format, and the drafts in its rows."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

from tunix_rt.errors import Problem, SourceInvalid, TraceInvalid
from tunix_rt.formats.containers.archives.members import sources_of
from tunix_rt.formats.containers.files import MAX_ROW_BYTES, SourceFile
from tunix_rt.formats.containers.folders import TrajectoryFolder, is_trajectory
from tunix_rt.formats.containers.listing import files_at
from tunix_rt.formats.containers.sources import Source, in_memory
from tunix_rt.formats.containers.sqlite_files import SqliteFile, is_sqlite
from tunix_rt.formats.containers.wrapped_rows import rows_inside, unwrapped
from tunix_rt.formats.registry import READABLE, Format
from tunix_rt.formats.rows.row import Draft, Rejection, Row
from tunix_rt.render.characters import one_line

# A file's format is detected from its first rows; a few broken ones among them must not hide it.
_SAMPLE_ROWS = 20
_MOST_SAMPLED = 1_000
_FIELDS_NAMED = 12


class Sources(NamedTuple):
    """What is loaded: its name, the files or other sources in it, and what was passed over or cannot be read."""

    name: str
    sources: Sequence[Path | Source]
    passed_over: list[Path]
    unreadable: list[Rejection]


def sources_in(given: Any, check: Callable[[], object], encoding: str | None) -> Sources:
    """What is loaded, see `TraceStore.load`; `check` is called for each name of a folder.

    Raises SourceInvalid where there is none.
    """
    if isinstance(given, str | PathLike):
        return Sources(os.fspath(given), *files_at(given, check))
    sources = in_memory(given, encoding)
    return Sources(str(sources[0].path) if len(sources) == 1 else type(given).__name__, sources, [], [])


def parts_of(source: Path | Source, check: Callable[[int], object], encoding: str | None = None) -> Iterator[Source]:
    """The source, opened; or the members of the archive that it is, each to be read before the next is asked for.

    `check` is called with the position wherever bytes are read to find them. Raises SourceInvalid as `Reading` does.
    """
    file = _opened(source, encoding) if isinstance(source, Path) else source
    if not isinstance(file, SourceFile):
        yield file
        return

    def look_up() -> None:
        try:
            check(file.position)
        except BaseException as error:  # noqa: BLE001 - raised again, at the end of the reading
            raise _Ended(error) from None

    file.on_read = look_up
    try:
        with _ending():
            yield from sources_of(file, encoding)
    finally:
        file.close()


def _opened(path: Path, encoding: str | None) -> Source:
    if is_trajectory(path):
        return TrajectoryFolder(path, MAX_ROW_BYTES)
    return SqliteFile(path, MAX_ROW_BYTES) if is_sqlite(path) else SourceFile(path, encoding=encoding)


class _Ended(BaseException):
    """Carries what `check` raised through the readers, which would take it for an error in the file."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause


class Reading:
    """One source being read: its `format`, and a Draft for each trace and a Rejection for each invalid row, in order.

    Without a `format` the first rows decide, never the name. `check` is called with the position wherever bytes or rows
    are read, also where none of them is a trace yet; what it raises ends the reading. `encoding` is that of a text
    file. Raises SourceInvalid where the source is empty, cannot be read, or has no known format.
    """

    def __init__(
        self,
        source: Path | Source,
        *,
        format: Format | None = None,
        check: Callable[[int], object] = lambda _: None,
        encoding: str | None = None,
    ) -> None:
        self._file: Source = _opened(source, encoding) if isinstance(source, Path) else source
        self._check = check
        self._file.on_read = self._check_position
        try:
            with _ending():
                self._rows = self._file.rows()
                sample: list[Row | Rejection] = []
                n_rows = 0
                for row in self._rows:
                    sample.append(row)
                    n_rows += isinstance(row, Row)
                    if n_rows == _SAMPLE_ROWS or len(sample) == _MOST_SAMPLED:
                        break
                self._rows = chain(sample, self._rows)
                self.format, is_wrapped = _format_of(self._file.path, sample, format)
                if is_wrapped:
                    self._rows = unwrapped(self._rows, is_alone=len(sample) == 1)
                self._rows = self.format.gathered(self._rows)
        except BaseException:
            self._file.close()
            raise

    def _check_position(self) -> None:
        try:
            self._check(self._file.position)
        except BaseException as error:  # noqa: BLE001 - raised again, at the end of the reading
            raise _Ended(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes of the file on disk, or rows of what is in memory; 0 where it is not known."""
        return self._file.size

    @property
    def position(self) -> int:
        """How many of them have been read."""
        return self._file.position

    def __iter__(self) -> Iterator[Draft | Rejection]:
        with _ending():
            yield from self._drafts()

    def _drafts(self) -> Iterator[Draft | Rejection]:
        try:
            for row in self._rows:
                if isinstance(row, Rejection):
                    yield row
                    continue
                try:
                    for draft in self.format.drafts(row):
                        yield row.rejection(draft) if isinstance(draft, TraceInvalid) else draft
                except TraceInvalid as error:
                    yield row.rejection(error)
                except RecursionError:
                    # JSON inside of a text of the row.
                    yield row.rejection(TraceInvalid(Problem(None, "nested too deeply to be read")))
        except SourceInvalid as error:
            # What was read before the damage counts; the damage is reported beside it.
            yield rejected_source(self._file.path, error)


@contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except _Ended as ended:
        raise ended.cause from None


def _format_of(path: Path | str, sample: list[Row | Rejection], format: Format | None) -> tuple[Format, bool]:
    """The format of the rows, and whether they are inside of the rows of the sample, which no format reads."""
    inside = rows_inside(sample, _SAMPLE_ROWS)
    try:
        outer = format or _detect(path, sample)
    except SourceInvalid:
        if not inside:
            raise
        return _detect(path, list(inside)), True
    if inside and not any(_reads(outer, row) for row in sample):
        with suppress(SourceInvalid):
            inner = format or _detect(path, list(inside))
            if any(_reads(inner, row) for row in inside):
                return inner, True
    return outer, False


def _reads(format: Format, row: Row | Rejection) -> bool:
    """Whether the format finds a trace in the row."""
    try:
        return isinstance(row, Row) and any(isinstance(found, Draft) for found in format.drafts(row))
    except (TraceInvalid, RecursionError):
        return False


def _detect(path: Path | str, sample: list[Row | Rejection]) -> Format:
    misfits: dict[str, str] = {}
    faults: list[str] = []
    fields: dict[str, None] = {}
    for row in sample:
        if isinstance(row, Rejection):
            faults.append(f"{row.field}: {row.reason}" if row.field else row.reason)
            continue
        try:
            value = row.value
        except TraceInvalid as error:
            faults.append(row.rejection(error).reason)
            continue
        if not isinstance(value, dict):
            faults.append(f"row {row.line:,} is not a JSON object")
            continue
        fields |= dict.fromkeys(map(str, value))
        for one in READABLE.values():
            misfit = one.misfit(value)
            if misfit is None:
                return one
            misfits.setdefault(one.name, misfit)
    if not misfits:
        raise SourceInvalid(f"{path}: has no traces: {faults[0] if faults else 'it has no rows'}")
    message = "\n".join([f"{path}: {_unknown_format(list(fields))}", *_what_to_do(misfits)])
    raise SourceInvalid(message, fields=list(fields))


def _unknown_format(fields: list[str]) -> str:
    if not fields:
        return "of no known format; its rows are empty"
    more = f" and {len(fields) - _FIELDS_NAMED:,} more" if len(fields) > _FIELDS_NAMED else ""
    names = ", ".join(one_line(name, 40) for name in fields[:_FIELDS_NAMED])
    return f"of no known format; its fields are {names}{more}"


def _what_to_do(misfits: dict[str, str]) -> list[str]:
    return [
        'say which fields hold what: mapping={"prompt": "question", "reasoning": "cot", "final_answer": "answer"}',
        "or name its format with format=, if it is one of these:",
        *(f"  {name}: {why}" for name, why in misfits.items()),
    ]


def rejected_source(path: Path | str, error: SourceInvalid) -> Rejection:
    """The rejection of a complete source, whose name is not repeated in the reason."""
    return Rejection(str(path), None, None, str(error).removeprefix(f"{path}: "), "")
