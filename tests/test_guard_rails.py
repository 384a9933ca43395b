"""The guard rails hold: the workflow says what it should, and the commands beside it find what they look for."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

import tunix_rt as rt

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def run(script, *arguments, root=ROOT, **surroundings):
    """What a script of `.ci/` says and exits with, in this environment."""
    env = os.environ | {"VENV": sys.prefix} | surroundings
    return subprocess.run(
        ["bash", root / ".ci" / script, *arguments], env=env, capture_output=True, text=True, check=False
    )


def git(folder, *arguments):
    who = ["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def clone(tmp_path):
    """A repository of its own with the scripts in it, and one commit."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    git(folder, "init", "-q", "-b", "main")
    (folder / "code.py").write_text("answer = 42\n")
    (folder / "README.md").write_text("# Words\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def commit(folder, name, text):
    (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", name)
    return git(folder, "rev-parse", "HEAD")


def test_actions_are_pinned_to_commits_of_released_versions():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: *(.*)", text)
    assert len(used) == len([step for step in STEPS if "uses" in step]) > 0
    for one in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), f"{one}: no commit of a release"


def installs(step):
    """The Pythons that a step sets up."""
    return step["with"]["python-version"].split() if "setup-python" in step.get("uses", "") else []


def test_ci_has_every_python_that_the_package_names():
    oldest, *others = [line.split(" :: ")[-1] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert PROJECT["requires-python"] == f">={oldest}"
    tests, fast, weekly = (WORKFLOW["jobs"][name] for name in ("tests", "fast", "weekly"))
    assert [installs(step) for step in tests["steps"] if installs(step)] == [[oldest]]
    assert fast["strategy"]["matrix"]["python"] == others
    assert weekly["strategy"]["matrix"]["python"] == [oldest, *others]
    for job in (tests, weekly):
        assert "bash .ci/run" in [step.get("run") for step in job["steps"]]
    # The loop of CONTRIBUTING; where only words have changed, one Python tests.
    loop = re.search(r"^\.venv/bin/python -m pytest .*$", CONTRIBUTING, re.MULTILINE)[0]
    assert fast["steps"][-1]["run"] == loop
    assert fast["if"] == "needs.changes.outputs.only_documents != 'true'"


def test_the_workflow_may_read_and_nothing_else_and_ends():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert WORKFLOW["concurrency"]["group"]
    for name, job in WORKFLOW["jobs"].items():
        assert "permissions" not in job, name
        assert job["timeout-minutes"] <= 60, name
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            # A title or a branch name of a stranger never becomes a part of a command.
            assert "${{" not in step.get("run", ""), step
            for script in re.findall(r"\.ci/\w+", step.get("run", "")):
                assert (ROOT / script).is_file(), script


def test_nothing_is_filtered_by_path_before_the_two_commits_are_checked():
    # YAML reads the bare word `on` as true.
    assert not re.search(r"paths(-ignore)?'", str(WORKFLOW[True]))
    assert not [step for step in STEPS if "filter" in step.get("uses", "") or "changed-files" in step.get("uses", "")]
    (filtering,) = [step for step in STEPS if "GITHUB_OUTPUT" in step.get("run", "")]
    # Without a pipe: the runner's shell would go on with what a failed command had said.
    assert "|" not in filtering["run"]
    assert filtering["run"].startswith('bash .ci/changes "$BASE" "$HEAD"')
    assert set(filtering["env"]) == {"BASE", "HEAD"}


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        ("", "HEAD", "the base commit is empty"),
        ("HEAD", "", "the head commit is empty"),
        ("main", "HEAD", "base=main is no full SHA"),
        ("HEAD", "abc1234", "head=abc1234 is no full SHA"),
        ("HEAD", "0" * 40, "the head commit is zero"),
        ("f" * 40, "HEAD", f"base={'f' * 40} is not in this clone; check out the whole history"),
    ],
)
def test_a_change_without_its_two_commits_is_refused(clone, base, head, said):
    here = git(clone, "rev-parse", "HEAD")
    done = run("changes", *(here if one == "HEAD" else one for one in (base, head)), root=clone)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_only_words_have_changed_or_more(clone):
    first = git(clone, "rev-parse", "HEAD")

    def changes(base, head):
        done = run("changes", base, head, root=clone)
        assert done.returncode == 0, done.stderr
        return done.stdout

    words = commit(clone, "README.md", "# Other words\n")
    assert changes(first, words) == "only_documents=true\n"
    code = commit(clone, "code.py", "answer = 43\n")
    assert changes(words, code) == changes(first, code) == "only_documents=false\n"
    # A new branch has nothing before it; where nothing has changed, nothing is known to be only words.
    assert changes("0" * 40, code) == changes(code, code) == "only_documents=false\n"
    # What others changed since the branch left does not count.
    git(clone, "checkout", "-q", "-b", "branch", first)
    branch = commit(clone, "GUIDE.md", "# Words\n")
    assert changes(code, branch) == "only_documents=true\n"


def test_every_change_is_searched_for_secrets():
    # Not by a test: it takes as long as a hundred of them.
    assert {"run": "bash .ci/secrets"} in WORKFLOW["jobs"]["tests"]["steps"]


# Put together here, so that this file holds none.
PLANTED = {
    "AWS Access Key": "aws_access_key_id = " + repr("AKIA" + "QYLPMN5HHHFPZAM2"),
    "Secret Keyword": "password = " + '"hunter2' + 'hunter2"',
}


def notebook(source, output=""):
    shown = {"output_type": "stream", "name": "stdout", "text": [output]}
    cell = {"cell_type": "code", "source": ["import os\n", source], "outputs": [shown]}
    return json.dumps({"cells": [cell]}, indent=1)


@pytest.mark.slow
def test_planted_keys_are_found_in_a_program_a_cell_and_an_output(clone):
    assert run("secrets", root=clone).returncode == 0
    planted = "\n".join(PLANTED.values())
    commit(clone, "settings.py", planted)
    commit(clone, "a notebook.ipynb", notebook(planted))
    commit(clone, "shown.ipynb", notebook("print(settings)", planted))
    done = run("secrets", root=clone)
    assert done.returncode == 1, done.stderr
    for first, name in ((1, "settings.py"), (2, "./a notebook.ipynb.py"), (3, "./shown.ipynb.py")):
        for line, kind in enumerate(PLANTED, start=first):
            assert re.search(rf"^Secret Type: {kind}\nLocation: +{name}:{line}$", done.stdout, re.MULTILINE), (
                done.stdout
            )


@pytest.fixture
def advisories():
    """A database of vulnerabilities on this machine, which speaks OSV's protocol; `found` is what it knows by name."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = json.dumps(found.get(asked["package"]["name"], {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            pass

    found: dict = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", found
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment that knows the package and all that it requires as installed: it has what was said of them."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    required, missing = {}, ["tunix-rt"]
    while missing:
        name = missing.pop()
        if name not in required:
            required[name] = distribution(name)
            wanted = map(Requirement, required[name].requires or ())
            missing += [one.name for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})]
    for one in required.values():
        shutil.copytree(one._path, packages / one._path.name, dirs_exist_ok=True)
    return folder


@pytest.fixture
def own_tree(tmp_path):
    """The scripts where what they write is in nobody's way."""
    shutil.copytree(ROOT / ".ci", tmp_path / "own" / ".ci")
    return tmp_path / "own"


@pytest.mark.slow
def test_an_audit_tells_vulnerable_from_sound(advisories, own_tree, installed):
    url, found = advisories
    asked = ["--vulnerability-service", "osv", "--osv-url", url]
    done = run("audit", *asked, root=own_tree, ENVIRONMENT=installed)
    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stdout
    assert re.search(r"^duckdb +\d.* MIT", done.stdout, re.MULTILINE)
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}]
    affected = [{"package": {"name": "duckdb", "ecosystem": "PyPI"}, "ranges": ranges}]
    found["duckdb"] = {"vulns": [{"id": "TEST-1", "summary": "It leaks.", "affected": affected}]}
    done = run("audit", *asked, root=own_tree, ENVIRONMENT=installed)
    assert done.returncode == 1
    assert re.search(r"^duckdb .*: TEST-1, mended in 99\.0$", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_an_audit_without_its_database_says_so(own_tree, installed):
    with socket.socket() as closed:
        # Bound, and nobody listens.
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        done = run("audit", "--vulnerability-service", "osv", "--osv-url", url, root=own_tree, ENVIRONMENT=installed)
    assert done.returncode == 3
    assert "the database of vulnerabilities could not be asked" in done.stderr
    assert re.search(r"^pydantic +\d.* MIT", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_bill_of_materials_has_the_package_and_what_it_requires(tmp_path, installed):
    file = tmp_path / "sbom.json"
    done = run("sbom", file, ENVIRONMENT=installed)
    assert done.returncode == 0, done.stderr
    text = file.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    root = bom["metadata"]["component"]
    assert (bom["bomFormat"], root["name"], root["version"]) == ("CycloneDX", "tunix-rt", rt.__version__)

    def plain(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    listed = {one["bom-ref"]: plain(one["name"]) for one in bom["components"]}
    (direct,) = [one["dependsOn"] for one in bom["dependencies"] if one["ref"] == root["bom-ref"]]
    assert {listed[ref] for ref in direct} == {plain(Requirement(one).name) for one in PROJECT["dependencies"]}
    # What the tests need is no part of it.
    assert not {"pytest", "ruff", "pip", "tunix-rt"} & set(listed.values())


def test_the_hooks_before_a_commit_are_the_environments_own_tools():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (own,) = yaml.safe_load(text)["repos"]
    assert own["repo"] == "local"
    required = {Requirement(one).name for extra in PROJECT["optional-dependencies"].values() for one in extra} | {"npm"}
    for hook in own["hooks"]:
        tool = hook["entry"].split()[0].removeprefix(".venv/bin/").removesuffix("-hook")
        assert (hook["language"], tool in required) == ("system", True), hook
    assert [hook["id"] for hook in own["hooks"]] == ["ruff-format", "ruff-check", "mypy", "front-end", "secrets"]
    # CI runs the same.
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(f".venv/bin/{tool}" in script for tool in ("ruff format --check", "ruff check", "mypy"))
    assert "npm run --silent check" in script


def test_the_gates_that_contributing_names_are_those_of_ci():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines, branches = re.search(r"SystemExit\(lines < (\d+) or branches < (\d+)\)", script).groups()
    text = " ".join(CONTRIBUTING.split())
    assert f"{lines} % of lines and {branches} % of branches" in text


@pytest.mark.slow
def test_coverage_counts_the_fast_tests_alone():
    assert "what the fast tests run" in CONTRIBUTING
    # Where coverage is measured, as in CI, this would have a child of a test measure it too.
    assert not [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]
