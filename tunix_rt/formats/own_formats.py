"""Formats that users add: by `register`, or as entry points of a package that they have installed."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from importlib.metadata import entry_points
from typing import Any

from tunix_rt.errors import ExportFailed, Problem, QueryInvalid, SourceInvalid, TraceInvalid, TunixRTError
from tunix_rt.formats.registry import FORMATS, READABLE, WRITERS, Format, Writer, add_format
from tunix_rt.formats.rows.found import Found, Reader
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.log import logger
from tunix_rt.validation import short

GROUP = "tunix_rt.formats"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = {*FORMATS, "mapping", "field_names"}
_REASON_CHARS = 200

log = logger(GROUP)
_lock = threading.RLock()
_own: dict[str, Format] = {}
_is_loaded = False


def register(format: Format) -> None:
    """Adds a format of your own, which is then read and written like those of the package, and tried before them.

    Its reader has `misfit(value)`, which says what a row lacks (None: the row is of this format), and `found(row)`,
    which yields a `Found` for each trace of `row.fields`. What the reader raises makes the row a rejection. A format of
    the same name that was registered before is replaced. Raises QueryInvalid for what is no format, and for a name that
    the package has.

    It holds for this process. A package adds its format for all by an entry point of the group `tunix_rt.formats`.
    """
    if not isinstance(format, Format):
        raise QueryInvalid(f"register: must be given a Format, not {short(format)}")
    name, reader, writer = format.name, format.reader, format.writer
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED:
        raise QueryInvalid(
            f"register: the name {short(name)} must be one of your own, of a-z, 0-9 and _, such as our_logs"
        )
    if reader is None and writer is None:
        raise QueryInvalid(f"register: the format {name} has neither a reader nor a writer")
    for method in ("misfit", "found") if reader is not None else ():
        if not callable(getattr(reader, method, None)):
            raise QueryInvalid(f"register: the reader of {name} has no method {method}")
    with _lock:
        guarded = format._replace(
            family=str(format.family),
            description=str(format.description),
            reader=_Guarded(name, reader) if reader is not None else None,
            writer=writer._replace(row=_guarded(name, writer.row)) if writer is not None and writer.row else writer,
        )
        _own[name] = guarded
        add_format(guarded)


def readers() -> list[Format]:
    """The formats that can be read, users' own first, in the order in which they are tried."""
    _load_entry_points()
    with _lock:
        own = [one for one in _own.values() if one.reader]
        return [*own, *(one for name, one in READABLE.items() if name not in _own)]


def all_formats() -> list[Format]:
    """All formats, the package's first."""
    _load_entry_points()
    with _lock:
        return list(FORMATS.values())


def format_named(name: str | None) -> Format | None:
    """The format to read by this name, None for None; SourceInvalid where it is unknown."""
    if name is None:
        return None
    _load_entry_points()
    if not (isinstance(name, str) and name in READABLE):
        raise SourceInvalid(f"unknown format {short(name)}; known are {', '.join(READABLE)}")
    return READABLE[name]


def writer_named(name: str) -> Writer | None:
    """How the format of this name is written; None where there is none that is."""
    if name not in WRITERS:
        _load_entry_points()
    return WRITERS.get(name)


def names_in(table: Mapping[str, Any]) -> list[str]:
    """The names in READABLE or WRITERS, and those of entry points, no code of which runs for it.

    An entry point that was not loaded yet is expected to have the name of its format, and to do both.
    """
    with _lock:
        names = [*table]
        if not _is_loaded:
            names += [one.name for one in entry_points(group=GROUP) if _NAME.fullmatch(one.name)]
    return list(dict.fromkeys(names))


def _load_entry_points() -> None:
    """Registers, once, what installed packages offer; what fails is logged, and stops nothing."""
    global _is_loaded  # noqa: PLW0603 - once in a process
    with _lock:
        if _is_loaded:
            return
        # Before the loading, which may come back here.
        _is_loaded = True
        for entry in entry_points(group=GROUP):
            try:
                register(entry.load())
            except Exception as error:  # noqa: BLE001 - the code of others, which may raise anything
                log.warning("the format %s of an installed package is not usable: %s", entry.name, _told(error))


class _Guarded:
    """A user's reader, of whose mistakes none ends a load."""

    def __init__(self, name: str, reader: Reader) -> None:
        self._name = name
        self._reader = reader

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """What the reader says; where it fails, the row is not of its format."""
        try:
            said = self._reader.misfit(value)
        except Exception as error:  # noqa: BLE001 - the code of others
            return f"its misfit raises {_told(error)}"
        return said if said is None else str(said)

    def found(self, row: Row) -> Iterator[Found | Draft | TraceInvalid]:
        """What the reader finds; TraceInvalid where it fails."""
        try:
            for found in self._reader.found(row):
                if isinstance(found, Found | Draft | TraceInvalid):
                    yield found
                else:
                    reason = f"the format {self._name} gives {type(found).__name__} where a Found is needed"
                    yield TraceInvalid(Problem(None, reason))
        except TraceInvalid:
            raise
        except Exception as error:  # noqa: BLE001 - the code of others
            raise TraceInvalid(Problem(None, f"the format {self._name} fails: {_told(error)}")) from None


def _guarded(name: str, row: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(row)
    def written(*args: Any, **options: Any) -> Any:
        try:
            return row(*args, **options)
        except TunixRTError:
            raise
        except Exception as error:  # noqa: BLE001 - the code of others
            raise ExportFailed(f"the format {name} fails: {_told(error)}") from None

    return written


def _told(error: Exception) -> str:
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - the code of others
        said = ""
    return f"{type(error).__name__}: {said}"[:_REASON_CHARS].rstrip(": ")
