"""What goes out: data to standard output, messages to standard error, and nothing that a terminal would obey."""

import contextlib
import io
import json
import os
import shutil
import sys
from typing import Any, cast

from tunix_rt.errors import ExportFailed

# So many columns where nobody knows how many there are; fewer than the other number hold no table.
_COLUMNS, _FEWEST = 100, 40


def ready_streams() -> None:
    """Makes the three standard streams such that nothing fails at their edge."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Closed by who started this; the next file that is opened would take its number.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, closefd=False))
    # A terminal that knows no Unicode shows the numbers of its characters.
    cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")


def put(text: str) -> None:
    """Writes text, which `render` made, to standard output."""
    print(text)  # noqa: T201


def put_json(value: Any) -> None:
    """Writes the value as a line of JSON, in ASCII: it is the same in every encoding, and no terminal obeys it."""
    print(json.dumps(value, default=str))  # noqa: T201


def tell(message: str) -> None:
    """Writes a message to standard error."""
    from tunix_rt.render import visible

    with contextlib.suppress(OSError):
        # Where both go to one file, the message stands behind what was put out before it.
        sys.stdout.flush()
    print(visible(message), file=sys.stderr, flush=True)  # noqa: T201


def columns() -> int:
    """How wide the terminal is; 100 where standard output is none."""
    return max(_FEWEST, shutil.get_terminal_size((_COLUMNS, 0)).columns)


def on_terminal() -> bool:
    """Whether somebody reads standard output."""
    return sys.stdout.isatty()


class Screen(io.RawIOBase):
    """A terminal to export to: lines of text pass with their control characters shown, and nothing else does."""

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Shows whole lines of text; ExportFailed for what is none."""
        from tunix_rt.render import visible

        lines = bytes(data)
        if lines.startswith(b"PAR1"):
            raise ExportFailed("-: Parquet cannot be written to a terminal; name a file, or pipe the output")
        sys.stdout.write(visible(lines.decode()))
        return len(lines)
