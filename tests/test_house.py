"""The rules of the house: imports run one way, files are short, notebooks are committed executed."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunix_rt as rt

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tunix_rt"
# From the ground up: a room imports only rooms of a lower floor, and files of its own.
FLOORS = {
    "_version": 0,
    "render": 0,
    "errors": 1,
    "log": 1,
    "frozen": 1,
    "text_options": 2,
    "json_values": 2,
    "finish_reasons": 2,
    "paths": 2,
    "validation": 2,
    "worker_main": 2,
    "model": 3,
    "settings": 3,
    "workers": 3,
    "analysis": 4,
    "examples": 4,
    "formats": 4,
    "trace_schema": 4,
    "store": 5,
    "health_checks": 6,
    "jobs": 6,
    "judges": 6,
    "lake": 6,
    "recording": 6,
    "inspect_hook": 7,
    "server": 7,
    "widgets": 7,
    "magic_completion": 7,
    "magics": 8,
    "cli": 8,
    "__main__": 9,
}
# Within these rooms, from the ground up: a wing (a folder, or a file beside the folders) imports none above it. The
# files of `formats/` that are not named are its families: a family imports no other.
WINGS = {
    "store": [
        "progress_bar",
        "engine",
        "filter_values",
        "terms",
        "meta_filter",
        "score_filter",
        "suggestions",
        "filters",
        "query",
        "selection",
        "named_selections",
        "scores",
        "ingest",
        "export",
        "upkeep",
        "transfer",
        "comparing",
        "judging",
        "store",
        "__init__",
    ],
    "formats": [
        "rows",
        "text",
        "containers",
        "FAMILIES",
        "registry",
        "own_formats",
        "format_table",
        "reading",
        "__init__",
    ],
}


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    """The rooms of the package that a file imports when it runs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tunix_rt":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tunix_rt."))


@pytest.mark.slow
def test_a_room_imports_only_rooms_of_lower_floors():
    files = {path: room_of(path) for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}
    assert set(files.values()) == set(FLOORS), "a new room gets a floor here and in CONTRIBUTING.md"
    imports = [(path, room, other) for path, room in files.items() for other in imported_rooms(path)]
    assert len(imports) > len(files)
    assert [f"{path} imports {other}" for path, room, other in imports if other != room] == [
        f"{path} imports {other}" for path, room, other in imports if FLOORS[other] < FLOORS[room]
    ]


def wing_of(room, name):
    return name if name in WINGS[room] else "FAMILIES"


@pytest.mark.slow
@pytest.mark.parametrize("room", WINGS)
def test_a_wing_imports_no_wing_above_it(room):
    seen = set()
    for path in sorted((PACKAGE / room).rglob("*.py")):
        own = wing_of(room, path.relative_to(PACKAGE / room).parts[0].removesuffix(".py"))
        seen.add(own)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"tunix_rt.{room}."):
                other = wing_of(room, node.module.split(".")[2])
                assert WINGS[room].index(other) <= WINGS[room].index(own), f"{path} imports {node.module}"
                assert not own == other == "FAMILIES", f"{path} imports another family, {node.module}"
    assert seen == set(WINGS[room])


def test_a_file_fits_on_a_few_screens():
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
    assert {str(path): n for path, n in lines.items() if n > 400} == {}


def test_every_public_name_is_there_and_documented():
    assert sorted(rt.__all__) == rt.__all__
    assert dir(rt) == rt.__all__
    for name in rt.__all__:
        assert getattr(rt, name) is not None
        if name != "__version__":
            assert getattr(rt, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'TraceStor'"):
        rt.TraceStor  # noqa: B018


def test_type_checkers_and_readers_see_the_same_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {alias.name for node in guarded.body for alias in node.names}
    assert imported | {"__version__"} == set(rt.__all__)


def test_the_tree_of_errors_is_the_one_that_is_drawn():
    drawn = re.findall(r"^[ │├└─]*(\w+)", rt.errors.__doc__.split("\n\n")[1], re.MULTILINE)
    classes = [one for one in vars(rt.errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert sorted(drawn) == sorted(one.__name__ for one in classes)
    assert [one.__name__ for one in classes if not issubclass(one, rt.TunixRTError)] == []


def test_notebooks_are_committed_executed_in_order_and_without_errors():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert "widgets" not in notebook["metadata"], path
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), path
        assert not [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"], path


def test_nothing_names_the_machine_it_was_written_on():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        content = (ROOT / name).read_bytes().decode(errors="replace")
        for place in ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/"):
            assert place not in content, f"{name} names {place}"


def test_examples_are_found_and_valid():
    assert len(rt.examples.names()) >= 8
    for name in rt.examples.names():
        trace = rt.examples.get(name)
        assert trace.meta["source"] == "examples"
    assert [step.type for step in rt.examples.get("fahrenheit").steps] == [
        "parse",
        "plan",
        "compute",
        "compute",
        "result",
    ]
    assert rt.examples.get("fahrenheit").prompt == "Convert 68°F to Celsius"
    assert rt.examples.get("multiplication").final_answer == "513"
    assert rt.examples.get("truncated").final_answer is None
    assert len(rt.examples.get("collatz").steps) > 100
    with pytest.raises(rt.TraceNotFound, match='example "nope" not found; there are binary_search'):
        rt.examples.get("nope")


@pytest.mark.slow
def test_the_rollout_script_records_what_it_says(tmp_path):
    command = [
        sys.executable,
        "-W",
        "error",
        ROOT / "examples" / "record_rollouts.py",
        tmp_path / "r.duckdb",
        "--steps",
        "3",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    store = rt.TraceStore(tmp_path / "r.duckdb")
    assert said == f"12 traces recorded in {store.path}\n"
    assert store.count(source="rollouts", meta={"model": "toy-adder"}) == 12
    assert 0 < store.count(meta={"reward": 1}) < 12


def test_the_simulated_rollouts_have_the_troubles_that_the_script_says(tmp_path):
    command = [sys.executable, "-W", "error", ROOT / "examples" / "simulate_rollouts.py"]
    for name in ("a.jsonl", "b.jsonl"):
        options = [tmp_path / name, "--steps", "2", "--prompts", "4", "--samples", "8"]
        said = subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout
    # Of one seed come the same rollouts.
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    store = rt.TraceStore(tmp_path / "r.duckdb")
    report = store.load(tmp_path / "a.jsonl", progress=False)
    assert (report.added, report.format) == (64, "trace")
    assert said.startswith(f"64 simulated rollouts written to {tmp_path / 'b.jsonl'}; planted: answer_cut 2, ")
    planted = [flag for record in store.records() for flag in record.payload.meta["planted"]]
    assert all(f"{flag} {planted.count(flag)}" in said for flag in set(planted))
    assert (planted.count("loop"), planted.count("same_in_group"), planted.count("duplicate")) == (6, 2, 2)
    assert store.count(meta={"generated": "by examples/simulate_rollouts.py; no model wrote this"}) == 64


def test_simulated_steps_have_other_prompts_or_the_same_ones(tmp_path):
    command = [sys.executable, "-W", "error", ROOT / "examples" / "simulate_rollouts.py", tmp_path / "a.jsonl"]
    command += ["--steps", "2", "--every", "100", "--prompts", "3", "--samples", "1"]

    def prompts(*options):
        subprocess.run([*command, *options], capture_output=True, check=True)
        rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [row["meta"]["training_step"] for row in rows] == [0] * 3 + [100] * 3
        return [row["prompt"] for row in rows]

    others, same = prompts(), prompts("--same-prompts")
    assert len(set(others)) == 6
    assert (len(set(same)), same[:3]) == (3, same[3:])
