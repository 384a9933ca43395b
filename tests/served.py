"""A real Jupyter Server that serves a store of its own, and ways to talk to it."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx

import tunix_rt as rt
from tests.jupyter_server import started
from tests.processes import PATIENCE

ROOT = Path(__file__).parent.parent
TRACE = {"prompt": "27 × 19?", "steps": ["27 × 20 = 540", "540 − 27 = 513"], "final_answer": "513"}


class Served:
    """A running server: where it is, its token, its store, its log; `client` is logged in by the token."""

    def __init__(self, process: "subprocess.Popen[bytes]", home: Path, url: str, token: str) -> None:
        self.process, self.home, self.url, self.token = process, home, url, token
        self.api = f"{url}/tunix-rt/api"
        self.database = home / "served.duckdb"
        self.client = self.new_client(headers={"Authorization": f"token {token}"})

    def new_client(self, **options) -> httpx.Client:
        # Without TLS there is nothing to verify, and half of the time of a client goes into getting ready for it.
        return httpx.Client(base_url=self.api, timeout=PATIENCE, trust_env=False, verify=False, **options)  # noqa: S501

    @property
    def store(self) -> rt.TraceStore:
        """The same store, from this process, as a notebook has it."""
        return rt.TraceStore(self.database)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text(encoding="utf-8")

    @contextmanager
    def asking(self, method: str, path: str, *, token: bool = True, **headers: str | int) -> Iterator[HTTPConnection]:
        """A connection on which the head of a request was sent, and nothing behind it."""
        parts = urlsplit(self.api)
        with closing(HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE)) as connection:
            connection.putrequest(method, parts.path + path)
            for name, value in (headers | ({"Authorization": f"token {self.token}"} if token else {})).items():
                connection.putheader(name.replace("_", "-"), str(value))
            connection.endheaders()
            yield connection


@contextmanager
def serving(home: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """A Jupyter Server with the extension that the package ships, all that it keeps in the folder `home`."""
    work = home / "work"
    work.mkdir(parents=True)
    # As an installation puts it into the environment's etc/jupyter.
    enabled = home / "etc" / "jupyter_server_config.d" / "tunix_rt.json"
    enabled.parent.mkdir(parents=True)
    enabled.write_bytes((ROOT / "tunix_rt" / "server" / "jupyter_server_config.json").read_bytes())
    # What else is installed takes half of the time that a server takes to start.
    absent = dict.fromkeys(("jupyter_lsp", "jupyterlab", "notebook", "notebook_shim"), False)
    others = {"ServerApp": {"jpserver_extensions": absent}}
    enabled.with_name("others.json").write_text(json.dumps(others), encoding="utf-8")
    own = {
        "JUPYTER_CONFIG_PATH": home / "etc",
        "TUNIX_RT_DATABASE": home / "served.duckdb",
        "PYTHONPATH": ROOT,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TUNIX_RT_")}
    around = {**inherited, **own, **(environment or {})}
    with started(home, "jupyter_server", *options, folder=work, environment=around) as running:
        served = Served(running.process, home, running.url, running.token)
        with served.client:
            yield served
