"""From the files that traces arrive in to traces: which files, of which format, row by row.

A `Reading` opens a file, tells its format by the first rows (never by its name), and gives what stands in it: a Draft
for each trace and a Rejection for each row that is none.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

from tunix_rt.errors import Problem, SourceInvalid, TraceInvalid
from tunix_rt.formats.atif import AtifFormat
from tunix_rt.formats.chat import ChatCompletionFormat, MessagesFormat, ShareGptFormat
from tunix_rt.formats.containers.archives.members import sources_of
from tunix_rt.formats.containers.files import MAX_ROW_BYTES, SourceFile
from tunix_rt.formats.containers.folders import TrajectoryFolder, is_trajectory
from tunix_rt.formats.containers.listing import MANIFEST_ENDING, Found, files_at
from tunix_rt.formats.containers.sources import Borrowed, Source, SourceRows, in_memory
from tunix_rt.formats.containers.wrapped_rows import rows_inside, unwrapped
from tunix_rt.formats.gsm8k import Gsm8kFormat, Gsm8kSolutionsFormat
from tunix_rt.formats.inspect_logs import InspectFormat
from tunix_rt.formats.mapped import MappedFormat
from tunix_rt.formats.native import NativeFormat
from tunix_rt.formats.process_rewards import Prm800kFormat, ProcessBenchFormat
from tunix_rt.formats.providers import AnthropicFormat, GeminiFormat, OpenAiResponsesFormat
from tunix_rt.formats.rollouts import NemoRlFormat, TrlCompletionsFormat, VerifiersFormat, VerlFormat
from tunix_rt.formats.rows.row import Draft, Format, Rejection, Row
from tunix_rt.formats.rows.trace_fields import TraceFields
from tunix_rt.formats.solutions import NuminaMathFormat, OpenR1MathFormat, OpenThoughtsFormat, S1kFormat
from tunix_rt.formats.spans import OpenInferenceFormat, OtelGenAiFormat
from tunix_rt.formats.trl import PreferenceFormat, PromptCompletionFormat, StepwiseFormat
from tunix_rt.formats.tunix_log import TunixTrajectoriesFormat
from tunix_rt.render.characters import one_line
from tunix_rt.validation import short

__all__ = [
    "FORMATS",
    "MANIFEST_ENDING",
    "Borrowed",
    "Draft",
    "Format",
    "Found",
    "MappedFormat",
    "Reading",
    "Rejection",
    "Row",
    "Source",
    "SourceFile",
    "SourceRows",
    "TraceFields",
    "files_at",
    "format_named",
    "parts_of",
    "rejected_whole",
    "sources_in",
]

# In the order in which they are tried: the ones that ask for more come first.
FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Gsm8kSolutionsFormat(),
        Gsm8kFormat(),
        OpenR1MathFormat(),
        OpenThoughtsFormat(),
        S1kFormat(),
        NuminaMathFormat(),
        Prm800kFormat(),
        ProcessBenchFormat(),
        StepwiseFormat(),
        PreferenceFormat(),
        InspectFormat(),
        AtifFormat(),
        TunixTrajectoriesFormat(),
        VerifiersFormat(),
        TrlCompletionsFormat(),
        VerlFormat(),
        NemoRlFormat(),
        OtelGenAiFormat(),
        OpenInferenceFormat(),
        OpenAiResponsesFormat(),
        AnthropicFormat(),
        GeminiFormat(),
        ChatCompletionFormat(),
        ShareGptFormat(),
        MessagesFormat(),
        NativeFormat(),
        PromptCompletionFormat(),
    )
}

# A file's format is told by its first rows; a few broken ones among them must not hide it.
_SAMPLE_ROWS = 20
_MOST_SAMPLED = 1_000
_FIELDS_TOLD = 12


class Sources(NamedTuple):
    """What is to be loaded: its name, the files or other sources in it, and what was passed over or cannot be read."""

    name: str
    sources: Sequence[Path | Source]
    passed_over: list[Path]
    unreadable: list[Rejection]


def sources_in(given: Any, check: Callable[[], object], encoding: str | None) -> Sources:
    """What is to be loaded, see `TraceStore.load`; `check` is called for each name of a folder.

    Raises SourceInvalid where there is none.
    """
    if isinstance(given, str | PathLike):
        found = files_at(given, check)
        return Sources(os.fspath(given), *found)
    sources = in_memory(given, encoding)
    return Sources(str(sources[0].path) if len(sources) == 1 else type(given).__name__, sources, [], [])


def format_named(name: str | None) -> Format | None:
    """The format with this name, none for None; SourceInvalid where it is unknown."""
    if name is not None and not (isinstance(name, str) and name in FORMATS):
        raise SourceInvalid(f"unknown format {short(name)}; known are {', '.join(FORMATS)}")
    return None if name is None else FORMATS[name]


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
    return TrajectoryFolder(path, MAX_ROW_BYTES) if is_trajectory(path) else SourceFile(path, encoding=encoding)


class _Ended(BaseException):
    """Carries what `check` raised through all that reads, none of which takes it for a fault of the file."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause


class Reading:
    """One source being read: its `format`, and the drafts and rejections in it, in order.

    Without a `format` its first rows tell. `check` is called with the position wherever bytes or rows are read, also
    where none of them is a trace yet; what it raises ends the reading. `encoding` is that of a text file. Raises
    SourceInvalid where the source is empty, cannot be read, or is of no known format.
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
        self._file.on_read = self._look_up
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
        except BaseException:
            self._file.close()
            raise

    def _look_up(self) -> None:
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
        """Bytes of the file as it lies on disk, or rows of what is in memory; 0 where nobody knows."""
        return self._file.size

    @property
    def position(self) -> int:
        """How many of them have been read."""
        return self._file.position

    def __iter__(self) -> Iterator[Draft | Rejection]:
        with _ending():
            yield from self._found()

    def _found(self) -> Iterator[Draft | Rejection]:
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
                    yield row.rejection(TraceInvalid(Problem(None, "nested too deep to be read")))
        except SourceInvalid as error:
            # What was read before the damage counts; the damage is reported beside it.
            yield rejected_whole(self._file.path, error)


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
            faults.append(f"row {row.line:,} is no JSON object")
            continue
        fields |= dict.fromkeys(map(str, value))
        for known in FORMATS.values():
            misfit = known.misfit(value)
            if misfit is None:
                return known
            misfits.setdefault(known.name, misfit)
    if not misfits:
        raise SourceInvalid(f"{path}: no traces in it: {faults[0] if faults else 'it holds no rows'}")
    raise SourceInvalid("\n".join([f"{path}: {_of_no_known_format(list(fields))}", *_what_to_do(misfits)]))


def _of_no_known_format(fields: list[str]) -> str:
    if not fields:
        return "of no known format; its rows are empty"
    more = f" and {len(fields) - _FIELDS_TOLD:,} more" if len(fields) > _FIELDS_TOLD else ""
    told = ", ".join(one_line(name, 40) for name in fields[:_FIELDS_TOLD])
    return f"of no known format; its fields are {told}{more}"


def _what_to_do(misfits: dict[str, str]) -> list[str]:
    return [
        'say which fields hold what: mapping={"prompt": "question", "reasoning": "cot", "final_answer": "answer"}',
        "or name its format with format=, if it is one of these:",
        *(f"  {name}: {why}" for name, why in misfits.items()),
    ]


def rejected_whole(path: Path | str, error: SourceInvalid) -> Rejection:
    """The rejection of a file as a whole; what names the file need not name it again."""
    return Rejection(str(path), None, None, str(error).removeprefix(f"{path}: "), "")
