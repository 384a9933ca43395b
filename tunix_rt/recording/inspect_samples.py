"""Inspect: each finished sample of an evaluation with its scores, read as a load reads the log."""

from collections.abc import Mapping
from typing import Any

from tunix_rt.formats.inspect_logs import InspectReader
from tunix_rt.formats.rows.found import Found, draft_of
from tunix_rt.formats.rows.row import Row
from tunix_rt.recording.recorder import record
from tunix_rt.recording.rollouts import storable_value
from tunix_rt.store import TraceStore
from tunix_rt.store.engine.clock import new_row
from tunix_rt.store.engine.rows import NewRow

_SOURCE = "inspect"
_READER = InspectReader()
# How the messages came to be, which is many times as large as they are, and which a load leaves out.
_EVENTS = {"events", "events_data", "timelines"}


class Samples:
    """Adds samples of evaluations to a store; what goes wrong never reaches the evaluation.

    `run` is a recorder, which counts and logs what was lost. The run of a sample (`meta.run`) is its task and the time
    at which that began.
    """

    def __init__(self, store: TraceStore | str | None) -> None:
        self.run = record(store, run=_SOURCE)
        self._tasks: dict[str, dict[str, str]] = {}

    def task_began(self, eval_id: str, spec: Any) -> None:
        """Remembers what a task's samples have in common."""
        self._tasks[eval_id] = {name: str(getattr(spec, name, "")) for name in ("task", "model", "created")}

    def task_ended(self, eval_id: str) -> None:
        """Returns when the samples are on disk."""
        self._tasks.pop(eval_id, None)
        self.run.flush()

    def sample_ended(self, eval_id: str, sample: Any) -> None:
        """Takes a sample as it is now."""
        task = self._tasks.get(eval_id, {})

        def work() -> None:
            value = sample.model_dump(mode="json", exclude=_EVENTS, exclude_none=True) | {"eval": task}
            self.run._writer.add(1, lambda: self._read(value, task), soon=False)  # noqa: SLF001 - one of its adapters

        self.run._safely(1, work)  # noqa: SLF001 - as above

    def _read(self, value: Mapping[str, Any], task: Mapping[str, str]) -> list[NewRow]:
        run = f"{task.get('task', _SOURCE)} {task.get('created', '')}".strip()
        rows = []
        for found in _READER.found(Row("", 0, value=storable_value(value))):
            if not isinstance(found, Found):
                raise found
            with_run = found._replace(meta={**found.meta, "run": run})
            trace = draft_of(with_run, Row("", 0, value={}), _SOURCE).trace
            rows.append(new_row(trace, self.run.store.settings.trace_max_bytes))
        return rows


def register(store: str) -> None:
    """Registers a hook that adds samples to this store (a path, or 1); raises what `record` raises."""
    from inspect_ai.hooks import Hooks, SampleEnd, TaskEnd, TaskStart, hooks

    samples = Samples(None if store == "1" else store)

    @hooks(name="tunix_rt", description=f"finished samples are added to {samples.run.store.path}")
    class TraceStoreHook(Hooks):  # type: ignore[misc]  # Any, where Inspect is not installed
        async def on_task_start(self, data: TaskStart) -> None:
            samples.task_began(data.eval_id, data.spec)

        async def on_sample_end(self, data: SampleEnd) -> None:
            samples.sample_ended(data.eval_id, data.sample)

        async def on_task_end(self, data: TaskEnd) -> None:
            samples.task_ended(data.eval_id)
