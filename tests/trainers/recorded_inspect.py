"""An evaluation of Inspect with its mock model, recorded: each sample is in the store as a load of the log reads it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tunix_rt as rt

# Of `tunix_rt.inspect_hook`, whose import would use it here.
_VARIABLE = "TUNIX_RT_INSPECT"
_ASKED, _EPOCHS = 3, 2


def evaluate(folder: Path) -> None:
    """Asks the mock model some sums, twice each."""
    import inspect_ai
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import chain_of_thought, generate

    def replies() -> Any:
        n = 0
        while True:
            output = ModelOutput.from_content("mockllm/model", f"<think>{n} and so on.</think>ANSWER: {n % 4}")
            # Otherwise it counts tokens with an encoding that it downloads.
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
            yield output
            n += 1

    task = inspect_ai.Task(
        dataset=[Sample(id=f"sum-{n}", input=f"{n} + {n}?", target=str(2 * n)) for n in range(_ASKED)],
        solver=[chain_of_thought(), generate()],
        scorer=match(),
        epochs=_EPOCHS,
        name="sums",
    )
    model = get_model("mockllm/model", custom_outputs=replies())
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(folder / "logs"), display="none")
    assert log.status == "success", log.error


def check(folder: Path) -> None:
    """Each epoch of each sample once, as in the log; without the variable, or a store, the evaluation runs too."""
    path = folder / "inspect.duckdb"
    assert not _run(folder / "off", None)
    assert not path.exists()
    told = _run(folder / "on", str(path))
    assert "tunix_rt" in told, told
    store, loaded = rt.TraceStore(path), rt.TraceStore(":memory:")
    (log,) = (folder / "on" / "logs").glob("*.eval")
    loaded.load(log, progress=False)
    recorded = _traces(store)
    assert len(recorded) == _ASKED * _EPOCHS
    (run,) = {meta.pop("run") for _, _, _, meta in recorded.values()}
    assert run.startswith("sums 20"), run
    assert recorded == _traces(loaded), (recorded, _traces(loaded))
    assert store.runs().names == (run,)
    # A store that cannot be opened does not keep an evaluation from running.
    (folder / "file").write_text("")
    assert "its folder cannot be created" in _run(folder / "bad", str(folder / "file" / "no.duckdb"))


def _traces(store: rt.TraceStore) -> dict[tuple[Any, Any], tuple[Any, ...]]:
    found = {}
    for record in store.records():
        trace = record.payload.model_dump(mode="json")
        steps = [step["content"] for step in trace["steps"]]
        meta = trace["meta"]
        found[meta["group"], meta["sample"]] = (trace["prompt"], steps, trace["final_answer"], meta)
    return found


def _run(folder: Path, store: str | None) -> str:
    """What an evaluation in a process of its own says, where its hook has this store."""
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != _VARIABLE}
    program = f"from tests.trainers.recorded_inspect import *; evaluate(Path({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | ({} if store is None else {_VARIABLE: store}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr
