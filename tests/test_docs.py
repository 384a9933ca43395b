"""The documentation is held to the code: what REFERENCE.md and CONTRIBUTING.md say is so.

Of the README only its two commands are read.
"""

import argparse
import inspect
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
import typer
from pydantic import ByteSize, TypeAdapter

import tunix_rt as rt
from tests.commands import shell_command
from tunix_rt.analysis import FLAGS, SCORERS, built_in
from tunix_rt.cli import app
from tunix_rt.formats import READABLE, WRITERS
from tunix_rt.magics import TraceMagics
from tunix_rt.server.parameters import SELECTION
from tunix_rt.store.filters import FILTERS
from tunix_rt.widgets.form import Form

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "REFERENCE.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# What every command takes.
COMMON = {"--store", "--read-only", "--json", "--quiet", "-q"}


def table(heading, text=REFERENCE):
    """The rows of the first table below a heading, as lists of cells."""
    # A comment in a command looks like a heading.
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    rows = [line for line in re.split(r"\n#+ ", section)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def names_in(heading, column=0, text=REFERENCE):
    """The names in code in a column of the table below a heading."""
    return {name for row in table(heading, text) for name in re.findall(r"`([^`]+)`", row[column])}


def commands_of(app):
    """The commands of `tunix-rt` and what each takes: the options, by the whole name of the command."""

    def walk(command, name):
        for child, one in getattr(command, "commands", {}).items():
            yield from walk(one, f"{name} {child}".strip())
        if not hasattr(command, "commands"):
            shown = [each for each in command.params if not getattr(each, "hidden", False)]
            yield name, {option for each in shown for option in (*each.opts, *each.secondary_opts)}

    return dict(walk(typer.main.get_command(app), ""))


@pytest.mark.slow
def test_the_reference_s_python_runs():
    block, *others = re.findall(r"```python\n(.*?)```", REFERENCE, re.DOTALL)
    assert others
    for other in others:
        exec(compile(other, "REFERENCE.md", "exec"), {})  # noqa: S102 - it is our own
    block = block.replace('"019b76e9-1a"', "str(record.id)[:18]")
    names: dict = {}
    exec(compile(block, "REFERENCE.md", "exec"), names)  # noqa: S102 - it is our own
    assert names["report"].added == 17
    assert len(names["page"]) == 4
    assert rt.TraceStore("runs.duckdb").count() == 18
    assert Path("all.jsonl.zst").exists()


def test_the_reference_lists_every_public_name():
    assert names_in("The public names") == set(rt.__all__)


def test_the_reference_lists_every_call_of_a_store_with_its_options():
    there = set()
    for name in dir(rt.TraceStore):
        call = inspect.getattr_static(rt.TraceStore, name)
        if not name.startswith("_"):
            there.add(name + (_options(call) if callable(call) else ""))
    assert names_in("Calls of a store") == there


def test_the_reference_says_of_every_call_of_a_store_whether_a_lake_has_it():
    pytest.importorskip("deltalake")
    from tunix_rt.lake.lake import Lake

    there = {name for name in dir(rt.TraceStore) if not name.startswith("_")}
    assert names_in("A shared lake") - {"settings"} == there
    refused = {name for name in there if hasattr(getattr(Lake, name), "instead")}
    (said,) = [row[0] for row in table("A shared lake") if row[1].startswith("refused")]
    assert set(re.findall(r"`([^`]+)`", said)) == refused


def _options(call):
    signature = inspect.signature(call)
    _, *parameters = (each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values())
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def test_the_reference_lists_every_filter_and_how_each_interface_names_it():
    rows = {row[0].strip("`"): [cell.strip("`") for cell in row[2:]] for row in table("Filters")}
    assert set(rows) == set(FILTERS)
    magic, shell, query = ({names[at] for names in rows.values()} - {"–"} for at in range(3))
    assert magic == magic_options("traces") - names_in_row("Magics", "%traces")
    assert shell == commands_of(app)["export"] - names_in_row("The command line", "export") - COMMON - {"path"}
    assert query == {name for name, parameter in SELECTION.items() if not getattr(parameter, "deprecated", False)}


def names_in_row(heading, name, column=1):
    (row,) = [row for row in table(heading) if row[0] == f"`{name}`"]
    return set(re.findall(r"`([^`]+)`", row[column]))


def magic_options(name):
    parser = getattr(getattr(TraceMagics, name), "parser", None)
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS] if parser else []
    return {option for action in actions for option in action.option_strings}


def test_the_reference_lists_every_magic_with_its_options():
    there = {"%" + name for name in TraceMagics.magics["line"]} | {"%%" + name for name in TraceMagics.magics["cell"]}
    assert names_in("Magics") == there
    filters = {row[2].strip("`") for row in table("Filters")} - {"–"}
    for row in table("Magics"):
        options = {name for name in re.findall(r"`([^`]+)`", row[1]) if name.startswith("-")}
        options |= filters if "(#filters)" in row[1] else set()
        name = row[0].strip("`%")
        assert options == magic_options(name), name


def test_the_reference_lists_every_command_with_its_options():
    commands = commands_of(app)
    assert names_in("The command line") == set(commands)
    filters = {row[3].strip("`") for row in table("Filters")} - {"–"}
    for row in table("The command line"):
        options = {name for name in re.findall(r"`([^`]+)`", row[1]) if name.startswith("-") and name != "-"}
        options |= filters if "(#filters)" in row[1] else set()
        name = row[0].strip("`")
        assert options | COMMON == {option for option in commands[name] if option.startswith("-")}, name
    (said,) = re.findall(r"^Every command also takes (.*)$", REFERENCE, re.MULTILINE)
    assert {one.split()[0] for one in re.findall(r"`([^`]+)`", said)} == COMMON


def test_the_reference_lists_every_format():
    formats = {row[0].strip("`"): row[1:3] for row in table("Formats")}
    assert {name for name, (read, _) in formats.items() if read == "yes"} == set(READABLE)
    assert {name for name, (_, written) in formats.items() if written == "yes"} == set(WRITERS)


def test_the_reference_lists_every_scorer_with_its_parameters():
    listed = {row[0].strip("`"): row[2] for row in table("Scorers")}
    assert tuple(listed) == SCORERS + FLAGS
    for name, params in listed.items():
        assert params == ", ".join(f"`{key}={value}`" for key, value in built_in(name).params.items()), name


def test_the_reference_lists_every_form():
    shown = set(re.findall(r"`(\w+)\(", " ".join(row[0] for row in table("The forms"))))
    forms = {name for name in rt.__all__ if isinstance(getattr(rt, name), type) and issubclass(getattr(rt, name), Form)}
    assert shown == forms - {"TraceApp"}


def test_the_reference_lists_every_setting():
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
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start, test = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
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
def test_the_reference_s_commands_run_in_a_shell(tmp_path):
    section = REFERENCE.split("\n## The command line")[1].split("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    commands = tmp_path / "commands"
    commands.mkdir()
    trace = '{"prompt": "%s?", "steps": ["s"], "final_answer": "a", "meta": {"source": "rollouts", "correct": true}}'
    for folder in ("runs", "outputs"):
        Path(folder).mkdir()
    for name in ("rollouts", "runs/1", "outputs/1"):
        Path(f"{name}.jsonl").write_text(trace % name)
    Path("train.py").write_text(f"print({trace % 'train'!r})")
    surroundings = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", block]
    with shell_command() as tunix_rt:
        for name, does in {"tunix-rt": tunix_rt, "python": sys.executable}.items():
            (commands / name).write_text(f'#!/bin/sh\nexec {does} "$@"\n')
            (commands / name).chmod(0o755)
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


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180
