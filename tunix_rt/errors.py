"""Every error the package raises on purpose.

    TunixRTError
    ├── SettingsInvalid   (ValueError)    a TUNIX_RT_* variable, a line of .env or an option is out of bounds
    ├── TraceInvalid      (ValueError)    not a trace: bad JSON, a missing, unknown or ill-typed field
    │   └── TraceTooLarge                 the whole trace is larger than `trace_max_bytes`
    ├── TraceNotFound     (LookupError)   no stored trace has this id
    │   └── IdAmbiguous                   several stored traces have ids that begin with these digits
    ├── QueryInvalid      (ValueError)    a limit, an offset, a cursor, a filter or SQL that cannot be answered
    ├── SourceInvalid     (ValueError)    a file or folder to load that is missing, empty or of no known format
    ├── MemoryLimitReached (MemoryError)  more memory is needed for this than `memory_limit` allows
    ├── WorkerLost        (RuntimeError)  a worker process ended, or was ended, before its work was done
    ├── JudgeUnavailable  (ConnectionError) the server of a judge does not answer, or refuses the requests
    ├── ExportFailed      (OSError)       a file to export to that cannot be written
    └── StoreUnusable     (OSError)       the store's file cannot be opened: not a store, damaged, from a newer version
        ├── StoreBusy     (TimeoutError)  another process or too many threads hold it for longer than `pool_timeout`
        ├── StoreDamaged                  a file of the store is broken, or holds fewer traces than were acknowledged
        ├── StoreFull                     the disk is full
        ├── StoreReadOnly                 a call would change a store that was opened for reading only
        └── StoreUnreachable (ConnectionError) the storage of a lake does not answer

Each message says what happened, to which trace, line or file, and what to do about it. Names, keys and SQL in it come
from anywhere, so control characters are shown as symbols wherever an error is printed; `args` holds the text as it is.
Every error can be pickled and copied, with its attributes and notes.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from tunix_rt.render.characters import visible

# OSError keeps these beside its attributes.
_OF_THE_SYSTEM = ("errno", "strerror", "filename", "filename2")


class TunixRTError(Exception):
    """The base of every error of this package: `except TunixRTError` catches them all, and nothing else."""

    def __str__(self) -> str:
        return visible(super().__str__())

    def add_note(self, note: str, /) -> None:
        """Adds to what a traceback shows below the message; control characters are shown as symbols."""
        super().add_note(visible(note))

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by `__init__`, as exceptions usually are: it may take other things than `args` holds.
        system = {name: value for name in _OF_THE_SYSTEM if (value := getattr(self, name, None)) is not None}
        return _restored, (type(self), self.args), self.__dict__ | system


def _restored(kind: type[TunixRTError], args: tuple[Any, ...]) -> TunixRTError:
    error = kind.__new__(kind)
    error.args = args
    return error


class SettingsInvalid(TunixRTError, ValueError):
    """A setting is out of bounds; the message names the variable, its value and what is allowed."""


class Problem(NamedTuple):
    """One thing wrong with a trace: the path of the field (`steps.3.content`, None for all of it) and the reason.

    `position` is where a text stops being JSON: its line and column, in characters from 1.
    """

    field: str | None
    reason: str
    position: tuple[int, int] | None = None

    @property
    def place(self) -> tuple[int, int] | None:
        """The old name of `position`."""
        warnings.warn(
            "Problem.place is now position; the old name will be removed in the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.position

    def __str__(self) -> str:
        return visible(f"{self.field}: {self.reason}" if self.field else self.reason)


class TraceInvalid(TunixRTError, ValueError):
    """The value is not a valid trace; `problems` has every invalid field with its path and the reason."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))

    def within(self, path: str) -> Self:
        """The same error for a trace at `path` in something larger."""
        self.problems = tuple(
            problem._replace(field=f"{path}.{problem.field}" if problem.field else path) for problem in self.problems
        )
        self.args = ("\n".join(map(str, self.problems)),)
        return self


class TraceTooLarge(TraceInvalid):
    """The trace as JSON is larger than `trace_max_bytes`."""

    def __init__(self, size: int, maximum: int) -> None:
        super().__init__(
            Problem(
                None,
                f"trace of {size:,} bytes exceeds maximum of {maximum:,} bytes; "
                "set trace_max_bytes (TUNIX_RT_TRACE_MAX_BYTES, up to 10,485,760) higher to accept it",
            )
        )


class TraceNotFound(TunixRTError, LookupError):
    """No stored trace has this id."""


class IdAmbiguous(TraceNotFound):
    """Several stored traces have ids that begin with these digits."""


class QueryInvalid(TunixRTError, ValueError):
    """A query that the store cannot answer: an invalid limit, offset, cursor, filter or SQL."""


class SourceInvalid(TunixRTError, ValueError):
    """A file or folder that cannot be loaded: missing, empty, or of no known format.

    Where the format is unknown, `fields` are the fields of the first rows, `mappings` what could be given as `mapping=`
    to load them (the likeliest first; none where no name says anything), and `tried` has what each format lacks.
    """

    def __init__(
        self,
        *args: Any,
        fields: Sequence[str] = (),
        mappings: Sequence[Mapping[str, Any]] = (),
        tried: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(*args)
        self.fields = tuple(fields)
        self.mappings = tuple(map(dict, mappings))
        self.tried = dict(tried or {})

    @property
    def mapping(self) -> dict[str, Any] | None:
        """The first of the `mappings`, or None."""
        return self.mappings[0] if self.mappings else None


class MemoryLimitReached(TunixRTError, MemoryError):
    """The call needs more memory than `memory_limit` allows, even in the smallest pieces."""

    def __new__(cls, *args: Any) -> Self:  # noqa: D102 - as any
        # MemoryError's own, which a copy would call, refuses a class whose first base is another one.
        return Exception.__new__(cls, *args)


class WorkerLost(TunixRTError, RuntimeError):
    """A worker process was ended before its task was done: by the system, or for its time if it `timed_out`."""

    def __init__(self, *args: Any, timed_out: bool = False) -> None:
        super().__init__(*args)
        self.timed_out = timed_out


class JudgeUnavailable(TunixRTError, ConnectionError):
    """The server of a judge does not answer, or refuses the requests; verdicts that were given before are stored.

    `status` is the status of HTTP; None where there was no reply.
    """

    def __init__(self, *args: Any, status: int | None = None) -> None:
        super().__init__(*args)
        self.status = status


class ExportFailed(TunixRTError, OSError):
    """A file that cannot be written; the file that was there before is unchanged."""


class StoreUnusable(TunixRTError, OSError):
    """The store's file cannot be opened; it is left as it is."""


class StoreBusy(StoreUnusable, TimeoutError):
    """The store was not available within `pool_timeout` seconds.

    `holder` is the id of the process that holds it; None where that is unknown, or where it is this process.
    """

    def __init__(self, *args: Any, holder: int | None = None) -> None:
        super().__init__(*args)
        self.holder = holder


class StoreDamaged(StoreUnusable):
    """A file of the store is broken, or holds fewer traces than were acknowledged; it is left as it is.

    `missing` is the number of acknowledged traces that are missing; None where that is unknown.
    """

    def __init__(self, *args: Any, missing: int | None = None) -> None:
        super().__init__(*args)
        self.missing = missing


class StoreFull(StoreUnusable):
    """The disk is full; what was acknowledged before is safe, and work continues when there is space."""


class StoreReadOnly(StoreUnusable):
    """A call would change a store that was opened with `read_only=True`."""


class StoreUnreachable(StoreUnusable, ConnectionError):
    """The storage of a lake does not answer; what was added waits in the journal of this machine."""
