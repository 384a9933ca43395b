"""A real Jupyter Server as a process of its own: started with surroundings of its own, found, and stopped."""

import json
import os
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.processes import PATIENCE, python

# Jupyter's own imports take two seconds, so that servers are forked like other processes; in sessions of their own,
# where a kernel's interrupt does not reach the tests.
_SERVER = """
import os, runpy, sys, warnings
os.setsid()
warnings.resetwarnings()
warnings.simplefilter("ignore")
if any(name.startswith("COVERAGE_PROCESS_") for name in os.environ):
    import coverage
    coverage.process_startup()
_, module, *arguments = sys.argv
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
# A server at rest ends in two seconds.
_ENDING_SECONDS = 30


class Running(NamedTuple):
    """A server: its process, where it answers, and its token."""

    process: "subprocess.Popen[bytes]"
    url: str
    token: str


@contextmanager
def started(
    home: Path, module: str, *options: str, folder: Path, environment: Mapping[str, object]
) -> Iterator[Running]:
    """A server of `module` that shows `folder`; all that it keeps, and its log, lies in the folder `home`."""
    own = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "IPYTHONDIR": home / "ipython",
    }
    token = secrets.token_hex(16)
    # Port 0: one that was looked for before may be another's when the server comes to take it.
    arguments = ["--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
    arguments += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}", *options]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    around = {name: str(value) for name, value in {**environment, **own}.items()}
    with (home / "log").open("wb") as log:
        process = python(_SERVER, module, *arguments, env=around, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Running(process, _address(process, home), token)
    finally:
        process.terminate()
        try:
            process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            # A kernel that is being restarted can keep its server from ending.
            process.kill()
            process.wait()


def _address(process: "subprocess.Popen[bytes]", home: Path) -> str:
    """Where the server answers; it writes that down just before it listens."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    patience = time.monotonic() + PATIENCE
    while time.monotonic() < patience and process.poll() is None:
        for file in (home / "runtime").glob("jpserver-*.json"):
            # Half-written, or too early, it is looked at again.
            with suppress(ValueError, OSError):
                url = str(json.loads(file.read_text(encoding="utf-8"))["url"]).rstrip("/")
                with opener.open(f"{url}/api", timeout=PATIENCE):
                    return url
        time.sleep(0.05)
    raise RuntimeError(f"the Jupyter server did not start:\n{(home / 'log').read_text()}")
