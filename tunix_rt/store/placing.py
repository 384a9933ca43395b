"""Putting a file in its place: whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunix_rt.errors import ExportFailed, TunixRTError


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` at the end; ExportFailed where that cannot be.

    Whoever reads `path` sees what stood there before, or what has been written.
    """
    # Beside the target, so that the last step is a rename.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except TunixRTError:
        raise
    except OSError as error:
        raise ExportFailed(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        # What cannot be removed could not be made, and why has been said.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
