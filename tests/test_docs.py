"""The documentation is held to the code: what the README and CONTRIBUTING say is so."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ByteSize, TypeAdapter

import tunix_rt as rt
from tunix_rt.formats import READABLE, WRITERS
from tunix_rt.store.filters import FILTERS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def table(heading, text=README):
    """The rows of the first table below a heading, as lists of cells."""
    # A comment in a command looks like a heading.
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    rows = [line for line in re.split(r"\n#+ ", section)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_readme_s_python_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    block = block.replace('"019b76e9-1a"', "str(record.id)[:18]")
    names: dict = {}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - it is our own
    assert names["report"].added == 17
    assert len(names["page"]) == 4
    assert rt.TraceStore("runs.duckdb").count() == 18
    assert Path("all.jsonl.zst").exists()


def test_the_readme_s_magics_exist():
    from tunix_rt.magics import TraceMagics

    named = set(re.findall(r"%(trace\w*)", README))
    assert named == set(TraceMagics.magics["line"]) | set(TraceMagics.magics["cell"])


def test_the_readme_lists_every_call_filter_format_and_setting():
    calls = {name for row in table("Calls of a store") for name in re.findall(r"`(\w+)[(`]", row[0])}
    assert calls == {name for name in vars(rt.TraceStore) if not name.startswith("_")}
    assert {name for row in table("Filters") for name in re.findall(r"`(\w+)`", row[0])} == set(FILTERS)
    formats = {row[0].strip("`"): row[1:3] for row in table("Formats")}
    assert {name for name, (read, _) in formats.items() if read == "yes"} == set(READABLE)
    assert {name for name, (_, written) in formats.items() if written == "yes"} == set(WRITERS)
    settings = {row[0].strip("`"): row[1:3] for row in table("Settings")}
    assert set(settings) == {f"TUNIX_RT_{name.upper()}" for name in rt.Settings.model_fields}
    for name, field in rt.Settings.model_fields.items():
        default, allowed = settings[f"TUNIX_RT_{name.upper()}"]
        if field.annotation is int:
            bounds = {k: getattr(m, k) for m in field.metadata for k in ("ge", "le") if hasattr(m, k)}
            assert (int(default), allowed) == (field.default, f"{bounds['ge']:,}–{bounds['le']:,}")
        elif field.annotation is ByteSize:
            least, *_ = (bound.ge for bound in field.metadata if hasattr(bound, "ge"))
            size = TypeAdapter(ByteSize).validate_python
            assert (size(default.strip("`")), size(re.match("from `(.*?)`", allowed)[1])) == (field.default, least)
        elif field.default_factory is None:
            assert default == f"`{field.default}`"
            choices = get_args(field.annotation)
            assert not choices or allowed == ", ".join(f"`{one}`" for one in choices)


def test_the_two_commands_are_single_lines_that_name_what_is_there():
    start, test = re.findall(r"```sh\n(.*)\n```", README)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for command in (start, test):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert re.search(r"\.\[(\w+)\]", command)[1] in extras
    assert (ROOT / start.split()[-1]).is_file()
    assert test.endswith("/coverage run -m pytest -n auto")
    found = subprocess.run(
        ["bash", "-c", "grep -m 1 -E '^python3 -m venv .*pytest' README.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == test
    assert found.args[2] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_readme_s_commands_run_in_a_shell(tmp_path):
    section = README.split("## On the command line")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, module in {"tunix-rt": "-m tunix_rt", "python": ""}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (commands / name).chmod(0o755)
    trace = '{"prompt": "%s?", "steps": ["s"], "final_answer": "a", "meta": {"source": "rollouts", "correct": true}}'
    for folder in ("runs", "outputs"):
        Path(folder).mkdir()
    for name in ("rollouts", "runs/1", "outputs/1"):
        Path(f"{name}.jsonl").write_text(trace % name)
    Path("train.py").write_text(f"print({trace % 'train'!r})")
    surroundings = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", block]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rt.TraceStore().count() == 4
    assert Path("sft.jsonl").read_text().count("\n") == 3
    assert rt.TraceStore("back.duckdb").load("rollouts.jsonl.gz").added == 3
    assert len(Path("ids.jsonl").read_text().splitlines()) == 3
    assert '"healthy"' in done.stdout


def test_the_command_is_installed_with_the_package():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert callable(EntryPoint("tunix-rt", scripts["tunix-rt"], "console_scripts").load())


def test_the_readme_names_every_command():
    from tunix_rt.cli import app, store

    section = README.split("## On the command line")[1].split("\n## ")[0]
    for one in (app, store):
        for command in one.registered_commands:
            assert f"`{command.name}`" in section


def test_contributing_lists_every_room_and_every_file_of_the_store():
    from tests.test_house import FLOORS

    rooms = {row[1].strip("`").removesuffix(".py").rstrip("/"): int(row[0]) for row in table("The rooms", CONTRIBUTING)}
    assert rooms == {name: floor for name, floor in FLOORS.items() if name != "_version"}
    for file in (ROOT / "tunix_rt" / "store").glob("*.py"):
        assert f"`{file.name}`" in CONTRIBUTING or file.name == "__init__.py"


@pytest.mark.slow
def test_a_wheel_carries_the_examples_the_templates_and_the_front_ends(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, ROOT], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    # Installed, it is where Jupyter Server looks.
    (enabled,) = (tmp_path / "site").glob("*.data/data/etc/jupyter/jupyter_server_config.d/tunix_rt.json")
    assert json.loads(enabled.read_text()) == {"ServerApp": {"jpserver_extensions": {"tunix_rt": True}}}
    program = (
        "import tunix_rt as rt; assert '_examples' in str(rt.examples.folder()), rt.examples.folder(); "
        "print(rt.__file__, len(rt.examples.names()), 'trt' in rt.examples.get('fahrenheit')._repr_html_(), "
        "'render:' in rt.TraceApp()._esm)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(tmp_path / "site"), "TUNIX_RT_DATABASE": str(tmp_path / "none.duckdb")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said == f"{tmp_path / 'site' / 'tunix_rt' / '__init__.py'} 9 True True\n"
