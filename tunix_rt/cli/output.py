"""Output: data to standard output, messages to standard error, without characters that control a terminal."""

import contextlib
import csv
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable
from itertools import chain
from typing import Any, cast

from tunix_rt.errors import ExportFailed

# Columns where the width is unknown, and the fewest in which a table fits.
_COLUMNS, _FEWEST = 100, 40


def ready_streams() -> None:
    """Prepares the three standard streams, so that closed ones and unknown characters raise no errors."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Closed by the parent process; the next file that is opened would take its number.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, closefd=False))
    # A terminal that knows no Unicode shows the numbers of its characters.
    cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")


def put(text: str) -> None:
    """Writes text, which `render` made, to standard output."""
    print(text)  # noqa: T201


def put_json(value: Any) -> None:
    """Writes the value as a line of JSON, in ASCII: it is the same in every encoding and cannot control a terminal."""
    print(json.dumps(value, default=str))  # noqa: T201


def put_csv(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes rows as CSV: null is empty, lists and objects are JSON. A terminal gets no characters that control it."""
    from tunix_rt.render import visible

    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in chain([header], rows):
        writer.writerow(
            [json.dumps(one, ensure_ascii=False) if isinstance(one, bool | list | dict) else one for one in row]
        )
        text = line.getvalue()
        sys.stdout.write(visible(text) if on_terminal() else text)
        line.seek(0)
        line.truncate()


def write_message(message: str) -> None:
    """Writes a message to standard error."""
    from tunix_rt.render import visible

    with contextlib.suppress(OSError):
        # Where both go to one file, the message comes after earlier output.
        sys.stdout.flush()
    print(visible(message), file=sys.stderr, flush=True)  # noqa: T201


def columns() -> int:
    """The width of the terminal; 100 where standard output is not one."""
    return max(_FEWEST, shutil.get_terminal_size((_COLUMNS, 0)).columns)


def on_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


class Screen(io.RawIOBase):
    """A terminal to export to: lines of text pass with their control characters shown, and nothing else does."""

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Shows complete lines of text; ExportFailed for Parquet."""
        from tunix_rt.render import visible

        lines = bytes(data)
        if lines.startswith(b"PAR1"):
            raise ExportFailed("-: Parquet cannot be written to a terminal; name a file, or pipe the output")
        sys.stdout.write(visible(lines.decode()))
        return len(lines)
