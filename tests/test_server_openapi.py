"""The OpenAPI document describes the API as it is: schemathesis makes requests of it, and compares the replies."""

import subprocess
import sys

import pytest

from tests.conftest import PROFILE
from tests.processes import PATIENCE
from tests.served import TRACE, serving
from tunix_rt.server.openapi import document
from tunix_rt.server.parameters import PAGE, SELECTION
from tunix_rt.server.routes import ROUTES
from tunix_rt.store.filters import FILTERS, RENAMED


def test_the_document_has_every_route_method_and_parameter():
    told = document("/tunix-rt/api")
    routes = {path.replace("([^/]+)", "{id}"): route for path, route in ROUTES.items()}
    routes.pop("(?:/.*)?")
    assert told["paths"].keys() == routes.keys()
    for path, operations in told["paths"].items():
        methods = {method for method in ("get", "post", "put", "patch", "delete") if method in vars(routes[path])}
        assert operations.keys() == methods
    (listing,) = [operations["get"] for path, operations in told["paths"].items() if path == "/traces"]
    assert [parameter["name"] for parameter in listing["parameters"]] == [*PAGE, *SELECTION]
    assert SELECTION.keys() == (FILTERS.keys() - {"ids", "where"}) | RENAMED.keys()
    described = {parameter["name"]: parameter for parameter in listing["parameters"]}
    assert {name for name, parameter in described.items() if parameter.get("deprecated")} == RENAMED.keys()


@pytest.mark.slow
def test_the_replies_are_those_of_the_document(tmp_path):
    pytest.importorskip("schemathesis")
    with serving(tmp_path / "served") as served:
        served.client.post("/traces", json=TRACE)
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
        command += [f"{served.api}/openapi.json", "--header", f"Authorization: token {served.token}", "--no-color"]
        # Of each operation, and the same each time; there are many more each week.
        n_examples = 60 if PROFILE == "weekly" else 6
        command += ["--generation-deterministic", f"--max-examples={n_examples}", "--generation-allow-x00=false"]
        # A schema cannot say that indices are unique, that 3.0 is no integer, and that a cursor has a checksum.
        command += ["--exclude-checks=positive_data_acceptance"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        # It does not test the document that it reads.
        n_operations = sum(map(len, document("/tunix-rt/api")["paths"].values())) - 1
        assert f"Tested: {n_operations}" in done.stdout
        assert "Traceback" not in served.log
