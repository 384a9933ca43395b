"""A source being read: which files it is, of which format, and the drafts in its rows."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

from tunix_rt.errors import Problem, QueryInvalid, SourceInvalid, TraceInvalid
from tunix_rt.formats.common_fields import Proposal, proposals_for
from tunix_rt.formats.containers.archives.members import sources_of
from tunix_rt.formats.containers.files import MAX_ROW_BYTES, SourceFile
from tunix_rt.formats.containers.folders import TrajectoryFolder, is_trajectory
from tunix_rt.formats.containers.listing import files_at
from tunix_rt.formats.containers.sources import Source, in_memory
from tunix_rt.formats.containers.sqlite_files import SqliteFile, is_sqlite
from tunix_rt.formats.containers.wrapped_rows import rows_inside, unwrapped
from tunix_rt.formats.own_formats import readers
from tunix_rt.formats.registry import Format, named_fields_format
from tunix_rt.formats.rows.row import Draft, Rejection, Row, ScoreDraft
from tunix_rt.json_values import parsed
from tunix_rt.render.characters import one_line
from tunix_rt.text_options import mapping_text

# A file's format is detected from its first rows; a few broken ones among them must not hide it.
_SAMPLE_ROWS = 20
_MOST_SAMPLED = 1_000
_FIELDS_NAMED = 12
# A row of megabytes is not parsed to see whether it is an event; among the first of a session are smaller ones.
_MOST_EVENT_BYTES = 2**20


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

    A score in a row of its own is a ScoreDraft.

    Without a `format` the first rows decide, never the name: the first format that reads one of them, or else the names
    of their fields, which then give the `mapping`. Where a format only claims them, `help` says what else to try.
    `check` is called with the position wherever bytes or rows are read, also where none of them is a trace yet; what it
    raises ends the reading. `encoding` is that of a text file. Rows that are events of a session are one row; `by_turn`
    makes a trace of each turn of the user in it. Raises SourceInvalid where the source is empty, cannot be read, or has
    no known format, and QueryInvalid where that has no turns.
    """

    def __init__(
        self,
        source: Path | Source,
        *,
        format: Format | None = None,
        check: Callable[[int], object] = lambda _: None,
        encoding: str | None = None,
        by_turn: bool = False,
    ) -> None:
        self._file: Source = _opened(source, encoding) if isinstance(source, Path) else source
        self._check = check
        self._file.on_read = self._check_position
        try:
            with _ending():
                self._rows = self._file.rows()
                sample = _sample_of(self._rows)
                self._rows = chain(sample, self._rows)
                session = session_format(sample, format)
                chosen = _Chosen(session) if session else _format_of(self._file.path, sample, format)
                if chosen.is_wrapped:
                    self._rows = unwrapped(self._rows, is_alone=len(sample) == 1)
                # A session that is a document is a row already.
                if session or not chosen.format.has_sessions:
                    self._rows = chosen.format.gathered(self._rows, MAX_ROW_BYTES)
                self.format = chosen.format.by_turn() if by_turn else chosen.format
                self.mapping, self.help = chosen.mapping, chosen.help
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
    def is_file(self) -> bool:
        """Whether it is a file of rows, or read as one: each row is text, or a value that was made of the file."""
        return isinstance(self._file, SourceFile)

    @property
    def size(self) -> int:
        """Bytes of the file on disk, or rows of what is in memory; 0 where it is not known."""
        return self._file.size

    @property
    def position(self) -> int:
        """How many of them have been read."""
        return self._file.position

    def __iter__(self) -> Iterator[Draft | ScoreDraft | Rejection]:
        for row in self.rows():
            yield from found_in(row, self.format)

    def rows(self) -> Iterator[Row | Rejection]:
        """The rows of the source, of which `found_in` makes what the reading yields."""
        with _ending():
            try:
                yield from self._rows
            except SourceInvalid as error:
                # What was read before the damage counts; the damage is reported beside it.
                yield rejected_source(self._file.path, error)


def first_rows(path: Path, encoding: str | None = None) -> list[dict[str, Any]]:
    """The first rows of a file of no known format, or those inside of them: what `SourceInvalid.fields` are of.

    Raises SourceInvalid as `Reading` does.
    """
    for part in parts_of(path, lambda _: None, encoding):
        try:
            sample = _sample_of(part.rows())
            return _objects(rows_inside(sample, _SAMPLE_ROWS)) or _objects(sample)
        finally:
            part.close()
    return []


def _sample_of(rows: Iterator[Row | Rejection]) -> list[Row | Rejection]:
    sample: list[Row | Rejection] = []
    n_rows = 0
    for row in rows:
        sample.append(row)
        n_rows += isinstance(row, Row)
        if n_rows == _SAMPLE_ROWS or len(sample) == _MOST_SAMPLED:
            break
    return sample


def found_in(row: Row | Rejection, format: Format) -> Iterator[Draft | ScoreDraft | Rejection]:
    """The drafts in a row, a rejection in place of each invalid one, and of the row where none can be read."""
    if isinstance(row, Rejection):
        yield row
        return
    try:
        for draft in format.drafts(row):
            yield row.rejection(draft) if isinstance(draft, TraceInvalid) else draft
    except TraceInvalid as error:
        yield row.rejection(error)
    except RecursionError:
        # JSON inside of a text of the row.
        yield row.rejection(TraceInvalid(Problem(None, "nested too deeply to be read")))


@contextmanager
def _ending() -> Iterator[None]:
    try:
        yield
    except _Ended as ended:
        raise ended.cause from None


def session_format(rows: Iterable[Row | Rejection], format: Format | None = None) -> Format | None:
    """The format of which one of the rows is surely an event; with `format` only that may be it. None without one."""
    known = [one for one in (readers() if format is None else [format]) if one.has_sessions]
    for row in rows:
        # A row of a table has no text, and stands for itself.
        if known and isinstance(row, Row) and row.raw is not None and len(row.raw) <= _MOST_EVENT_BYTES:
            # Not `row.value`, which stays: all of the sample would be in memory at once.
            with suppress(ValueError, RecursionError):
                value = parsed(row.raw)
                for one in known:
                    if one.is_event(value):
                        return one
    return None


def begins_session(head: bytes, format: Format | None = None) -> bool:
    """Whether a file of lines that begins so is the log of a session."""
    lines = head.split(b"\n", _SAMPLE_ROWS)[:_SAMPLE_ROWS]
    return session_format((Row("", n, raw=line) for n, line in enumerate(lines, 1) if line.strip()), format) is not None


class _Chosen(NamedTuple):
    """The format of the rows, and whether they are inside of the rows of the sample; or why there is none.

    `mapping` is what the names of the fields gave; `help` is for rows none of which the format reads.
    """

    format: Format
    is_wrapped: bool = False
    mapping: Mapping[str, Any] | None = None
    help: SourceInvalid | None = None


def _format_of(path: Path | str, sample: list[Row | Rejection], format: Format | None) -> _Chosen:
    inside = rows_inside(sample, _SAMPLE_ROWS)
    both: list[tuple[Sequence[Row | Rejection], bool]] = [(sample, False), (inside, True)]
    if format is not None:
        is_wrapped = not _reads_any(format, sample) and _reads_any(format, inside)
        return _Chosen(format, is_wrapped)
    claimed: _Chosen | None = None
    for rows, is_wrapped in both:
        for one in _claiming(rows):
            chosen = _Chosen(one, is_wrapped)
            if _reads_any(one, rows):
                return chosen
            claimed = claimed or chosen
    for rows, is_wrapped in both:
        proposals = proposals_for(_objects(rows))
        if proposals.is_sure:
            mapping = proposals.all[0].mapping
            if _reads_any(by_names := named_fields_format(mapping), rows):
                return _Chosen(by_names, is_wrapped, mapping)
    refusal = _help(path, sample, inside)
    if claimed is None:
        raise refusal
    return claimed._replace(help=refusal)


def _claiming(rows: Sequence[Row | Rejection]) -> Iterator[Format]:
    """The formats that one of these rows looks like, those of the first row first."""
    formats = readers()
    for value in _objects(rows):
        for one in [one for one in formats if one.misfit(value) is None]:
            formats.remove(one)
            yield one


def _objects(rows: Sequence[Row | Rejection]) -> list[dict[str, Any]]:
    """The rows that are objects."""
    found = []
    for row in rows:
        with suppress(TraceInvalid):
            if isinstance(row, Row) and isinstance(row.value, dict):
                found.append(row.value)
    return found


def _reads_any(format: Format, rows: Sequence[Row | Rejection]) -> bool:
    return any(_reads(format, row) for row in rows)


def _reads(format: Format, row: Row | Rejection) -> bool:
    """Whether the format finds a trace, or a score, in the row."""
    try:
        return isinstance(row, Row) and any(isinstance(found, Draft | ScoreDraft) for found in format.drafts(row))
    except (TraceInvalid, RecursionError):
        return False


def _help(path: Path | str, sample: Sequence[Row | Rejection], inside: Sequence[Row]) -> SourceInvalid:
    """What to say of rows that no format reads: their fields, and the mappings that would load them."""
    rows = _objects(inside) or _objects(sample)
    if not rows:
        faults = list(filter(None, map(_fault, sample)))
        return SourceInvalid(f"{path}: has no traces: {faults[0] if faults else 'it has no rows'}")
    tried: dict[str, str] = {}
    for one in readers():
        misfits = (one.misfit(value) for value in rows)
        tried[one.name] = next(filter(None, misfits), "its rows look like it, and none of them can be read")
    fields = list(dict.fromkeys(name for value in rows for name in map(str, value)))
    proposals = proposals_for(rows).all
    return SourceInvalid(
        "\n".join([f"{path}: {_unknown_format(fields)}", *_what_to_do(proposals)]),
        fields=fields,
        mappings=[one.mapping for one in proposals],
        tried=tried,
    )


def _fault(row: Row | Rejection) -> str | None:
    if isinstance(row, Rejection):
        return f"{row.field}: {row.reason}" if row.field else row.reason
    try:
        return None if isinstance(row.value, dict) else f"row {row.line:,} is not a JSON object"
    except TraceInvalid as error:
        return row.rejection(error).reason


def _unknown_format(fields: list[str]) -> str:
    if not fields:
        return "of no known format; its rows are empty"
    more = f" and {len(fields) - _FIELDS_NAMED:,} more" if len(fields) > _FIELDS_NAMED else ""
    names = ", ".join(one_line(name, 40) for name in fields[:_FIELDS_NAMED])
    return f"of no known format; its fields are {names}{more}"


def _what_to_do(proposals: Sequence[Proposal]) -> list[str]:
    shown = [f"{mapping_text(one.mapping)}{f', {one.when}' if one.when else ''}" for one in proposals]
    first, *others = shown or [
        'mapping={"prompt": "question", "reasoning": "cot", "final_answer": "answer"}, for example'
    ]
    return [
        f"say which fields hold what: {first}",
        *(f"or {other}" for other in others),
        "or name its format with format=",
    ]


def rejected_source(path: Path | str, error: SourceInvalid | QueryInvalid) -> Rejection:
    """The rejection of a complete source, whose name is not repeated in the reason; what was tried are its details."""
    tried = error.tried if isinstance(error, SourceInvalid) else {}
    details = "".join(f"\n  {name}: {why}" for name, why in tried.items())
    return Rejection(str(path), None, None, str(error).removeprefix(f"{path}: ") + details, "")
