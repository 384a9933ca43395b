"""An S3 server on this machine: SeaweedFS, with one user and one bucket for each test."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

# Each port is used with 10,000 more as well.
_LOWEST, _HIGHEST = 20_000, 54_000
KEY, SECRET = "lake-tests", "not-a-secret-of-anyone"  # pragma: allowlist secret


class LakeServer:
    """The server, which keeps its files in a folder, and can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = _free_ports(4)
        self._log = folder / "server.log"
        self._probed = False
        self.url = f"http://127.0.0.1:{self._ports[3]}"
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
        self._config = folder / "s3.json"
        self._config.write_text(json.dumps({"identities": [identity]}))

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        master, volume, filer, s3 = self._ports
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    shutil.which("weed") or str(Path(os.sys.executable).with_name("weed")),
                    "server",
                    f"-dir={data}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-master.port={master}",
                    f"-volume.port={volume}",
                    f"-filer.port={filer}",
                    "-volume.max=20",
                    "-master.volumeSizeLimitMB=64",
                    "-s3",
                    f"-s3.port={s3}",
                    f"-s3.config={self._config}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                self._probe()
            except OSError:
                assert self._process.poll() is None, self._log.read_text()[-3_000:]
                time.sleep(0.1)
            else:
                return
        raise AssertionError("the server does not answer")

    def _probe(self) -> None:
        """Writes and reads: it listens before it has its volumes."""
        with socket.create_connection(self.url.removeprefix("http://").split(":"), timeout=1):
            pass
        files = self._files()
        files.create_dir("traces")
        with files.open_output_stream("traces/probe") as file:
            file.write(b"1")
        if not self._probed:
            with files.open_output_stream("traces/first") as file:
                file.write(b"1")
        for name in ("probe", "first"):
            with files.open_input_file(f"traces/{name}") as file:
                assert file.read() == b"1"
        self._probed = True

    def _files(self):
        from pyarrow.fs import S3FileSystem

        address = self.url.removeprefix("http://")
        options = {"scheme": "http", "region": "us-east-1", "allow_bucket_creation": True}
        return S3FileSystem(access_key=KEY, secret_key=SECRET, endpoint_override=address, **options)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _free_ports(n: int) -> list[int]:
    found = []
    for port in range(_LOWEST + os.getpid() % 1_000 * 20, _HIGHEST, 3):
        with suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            found.append(port)
        if len(found) == n:
            return found
    raise AssertionError("no ports are free")
