"""The reference's curl commands return what the comments below them say, and its routes are those that exist."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.served import serving
from tests.test_docs import REFERENCE, table
from tunix_rt.server.routes import ROUTES

# A command, which may go on over lines inside its quotes, and the comment below it.
COMMAND = re.compile(r"^(curl .*?)\n# (\d{3})(?:: ([^\n]*))?$", re.DOTALL | re.MULTILINE)
BLOCKS = "\n".join(re.findall(r"```bash\n(.*?)```", REFERENCE, re.DOTALL))


def test_every_command_tells_its_status():
    n_commands = len(re.findall(r"^\s*curl ", REFERENCE, re.MULTILINE))
    assert len(COMMAND.findall(BLOCKS)) == n_commands >= 11


# In CI, where nothing may be left out, it fails without.
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None and not os.environ.get("CI"), reason="there is no curl")
def test_the_reference_s_curl_commands_run(tmp_path):
    with serving(tmp_path / "served") as served:
        # As the reference sets them, but for the port and the token.
        names = {"API": served.api, "AUTH": f"Authorization: token {served.token}"}
        for name in names:
            assert f"\n{name}=" in BLOCKS
        replies = []
        for command, status, fields in COMMAND.findall(BLOCKS):
            assert command.count("\ncurl") == 0
            asked = command.replace("curl ", "curl --silent --show-error --write-out '\\n%{http_code}' ", 1)
            done = subprocess.run(
                ["bash", "-euc", asked], env=names, cwd=tmp_path, capture_output=True, text=True, check=True
            )
            body, _, told = done.stdout.rpartition("\n")
            assert told == status, (command, body)
            reply = json.loads(body) if body else {}
            assert list(reply) == (fields.split(", ") if fields else []), command
            names.setdefault("ID", reply.get("id", ""))
            replies.append(reply)
        created, batch, listed, searched, grouped, found, *_ = replies
        assert found["id"] == created["id"]
        assert found["payload"]["final_answer"] == "513"
        assert batch["created_count"] == 2
        assert len(listed["data"]) == len(searched["data"]) == 1
        assert searched["data"][0]["preview"] == "2 + 2?"
        assert (grouped["groups"], grouped["samples"]) == (2, 2)
        assert [json.loads(line)["prompt"] for line in (tmp_path / "sft.jsonl").read_text().splitlines()] == [
            "2 + 2?",
            "2 + 3?",
        ]
        assert served.store.count() == 2


def test_the_reference_lists_every_route():
    told = {route for row in table("HTTP") for route in re.findall(r"`((?:GET|POST|DELETE) [^`]*)`", row[0])}
    there = {
        f"{method} {path.replace('([^/]+)', '{id}').removeprefix('/')}"
        for path, route in ROUTES.items()
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if method.lower() in vars(route)
    }
    assert told == there
