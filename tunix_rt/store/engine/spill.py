"""Folders for what DuckDB does not keep in memory: one for each DuckDB, never shared."""

import os
import re
import secrets
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path


def spill_folder(store: Path) -> Path:
    """A new name for such a folder, beside the store, or among temporary files where nothing can be written there.

    DuckDB makes the folder when it needs it, and removes it when it is closed. Those which processes of this machine
    left when they were killed are removed here.
    """
    folder = store.parent if os.access(store.parent, os.W_OK) else Path(tempfile.gettempdir())
    # Processes of other machines, and of other containers, have numbers of their own.
    ours = f".{store.name[:40]}.{re.sub('[^A-Za-z0-9-]', '-', socket.gethostname())[:64]}."
    # On Windows, checking whether a process lives would end it.
    for left in folder.glob(f"{_escaped(ours)}*.tmp") if os.name != "nt" else ():
        pid = left.name.removeprefix(ours).partition(".")[0]
        if pid.isascii() and pid.isdigit() and not _lives(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return folder / f"{ours}{os.getpid()}.{secrets.token_hex(4)}.tmp"


def _escaped(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


def _lives(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
