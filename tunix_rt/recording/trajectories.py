"""google/tunix's store of trajectories, kept in a TraceStore: steps gather, and a trajectory is stored as one trace."""

import atexit
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, TunixRTError
from tunix_rt.formats.atif import AtifReader
from tunix_rt.formats.rows.found import Found, draft_of
from tunix_rt.formats.rows.row import Row
from tunix_rt.json_values import parsed, plain
from tunix_rt.log import logger
from tunix_rt.recording.later import Later
from tunix_rt.recording.rollouts import storable_value
from tunix_rt.store import TraceStore
from tunix_rt.store.engine.clock import new_row
from tunix_rt.store.engine.rows import NewRow
from tunix_rt.store.filters import Condition, Filters
from tunix_rt.store.query.scan import scan
from tunix_rt.validation import short, storable

_log = logger(__name__)
# The classes of tunix, of which objects are made again; an object of a class below one of them becomes that one.
_METADATA = ("TrajectoryMetadata", "TunixTrajectoryMetadata")
_STEPS = ("Step", "TunixAgentStep", "TunixEnvStep")
_COMPLETE = {"TrajectoryMetadata": "Trajectory", "TunixTrajectoryMetadata": "TunixTrajectory"}
_MODULE = "tunix.experimental.trajectory"
# A turn of an agent takes seconds. A trajectory is written again for each such time in which it grew, and a process
# that is killed loses no more than that.
_WAIT_SECONDS = 5.0
# Steps that are kept while the store cannot be written.
_MOST_WAITING = 10_000
_SOURCE = "trajectories"
_READER = AtifReader()
_OF_IDS = "(meta ->> '$.extra.trajectory.id') in (select unnest(?::varchar[]))"
_ID, _ABOUT = "meta ->> '$.extra.trajectory.id' as name", "meta -> '$.extra.trajectory.metadata' as metadata"
_ALL = f"id::varchar as trace, {_ID}, {_ABOUT}, meta -> '$.extra.trajectory.steps' as steps"
_UNSCORED = "id not in (select trace_id from scores)"

# The class of an object of tunix, and its fields.
_Object = tuple[str, dict[str, Any]]


@dataclass
class _Growth:
    """What came of a trajectory: its metadata where they changed, and steps by their ids."""

    metadata: _Object | None = None
    steps: dict[int, _Object] = field(default_factory=dict)

    def add(self, later: "_Growth") -> "_Growth":
        """With what came later."""
        return _Growth(later.metadata or self.metadata, self.steps | later.steps)


@render.shows_facts
class TrajectoryStore:
    """Where google/tunix logs trajectories, and reads them again: its protocols TrajectoryWriter and TrajectoryReader.

    `store` is a TraceStore or its path. `run` is the run (`meta.run`), which must be the same for a reader, and for a
    training that continues; `meta` are further facts of all its traces, such as `model`.

    A trace never changes, and a trajectory grows. So steps gather, and five seconds later at most, or when `flush`
    returns, each trajectory that grew is stored as a trace, with all its steps; the trace of it before is deleted,
    unless somebody has scored it. The trace is read like ATIF, `meta` has `group`, `sample`, `reward` and the like,
    and `meta.extra.trajectory` has what tunix gave, unchanged. Several processes may log steps of one trajectory.

    Logging never raises into the training, but for QueryInvalid (a ValueError, as tunix's protocol demands) where
    metadata have no `trajectory_id`: what cannot be stored is logged once, and `dropped` counts the steps.

    | state | changed by |
    |---|---|
    | `_growing`, `_logged`, `dropped`, `_reason` | any thread that has `_lock` |
    | the store | the thread that has `_writing` |
    """

    def __init__(self, store: TraceStore | str | Path | None = None, *, run: str = _SOURCE, **meta: Any) -> None:
        self.store = store if isinstance(store, TraceStore) else TraceStore(store)
        self.run = run
        self._meta = {name: plain(item, f"meta.{name}") for name, item in meta.items()} | {"run": run}
        self._filters = Filters(source=_SOURCE, run=run)
        self._later = Later(self.flush)
        self._begin_anew()
        self.store._session.check_writable()  # noqa: SLF001 - as the recorder: at the start, not in the middle
        atexit.register(self.flush)

    def _begin_anew(self) -> None:
        """As new: in a forked child, whose parent still has the steps and the threads."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._growing: dict[str, _Growth] = {}
        # The metadata that were logged last: unchanged ones do not overwrite those of another process.
        self._logged: dict[str, int] = {}
        self._later.begin_anew()
        self.dropped = 0
        self._reason: str | None = None

    def add_step(self, step: Any, metadata: Any) -> None:
        """Logs a step and the metadata of its trajectory as they are now; a step with the same id is replaced."""
        self._log(metadata, step)

    def update_metadata(self, metadata: Any) -> None:
        """Logs the metadata of a trajectory, which need not have steps, as they are now."""
        self._log(metadata, None)

    def flush(self) -> None:
        """Returns when all that was logged is on disk, or counted by `dropped`; raises nothing."""
        try:
            self._renew()
            with self._writing:
                self._later.begins()
                with self._lock:
                    growing, self._growing = self._growing, {}
                if growing:
                    self._write(growing)
        except Exception as error:  # noqa: BLE001 - training is worth more than its record
            self._lose(0, error)

    def get_trajectories_metadata(self) -> list[Any]:
        """The metadata of each trajectory of the run, the oldest first, as objects of tunix."""
        types = _tunix("trajectory")
        found: dict[str, Any] = {}
        for row in self._rows(f"{_ID}, {_ABOUT}", self._filters):
            metadata = parsed(row["metadata"])
            if metadata is not None or row["name"] not in found:
                found[row["name"]] = metadata
        return [_made(types, metadata) for metadata in found.values() if metadata is not None]

    def get_trajectories(self, trajectory_ids: Sequence[str]) -> list[Any]:
        """These trajectories, in this order, as objects of tunix; raises its TrajectoryNotFoundError."""
        types, wanted = _tunix("trajectory"), list(trajectory_ids)
        found, _ = self._stored(wanted)
        result = []
        for name in wanted:
            growth = found.get(name)
            if growth is None or growth.metadata is None:
                raise _tunix("store").TrajectoryNotFoundError(name)
            kind, fields = growth.metadata
            steps = [_made(types, growth.steps[number]) for number in sorted(growth.steps)]
            result.append(getattr(types, _COMPLETE[kind])(**fields, steps=steps))
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.store, self._meta)

    def __repr__(self) -> str:
        return render.visible(f"<TrajectoryStore {self.run}>")

    @property
    def _facts(self) -> list[tuple[str, str]]:
        dropped = f"{self.dropped:,}" + (f", the first because: {self._reason}" if self._reason else "")
        return [("run", self.run), ("store", str(self.store.path)), ("dropped steps", dropped)]

    def _log(self, metadata: Any, step: Any) -> None:
        name = getattr(metadata, "trajectory_id", None)
        if not isinstance(name, str) or not name or not storable(name):
            raise QueryInvalid(f"trajectory_id: {short(name)}: metadata must have one that is a text and not empty")
        try:
            self._renew()
            about = _as_fields(metadata, _METADATA)
            growth = _Growth(about, {} if step is None else {int(step.step_id): _as_fields(step, _STEPS)})
            digest = hash(repr(about))
            with self._lock:
                if self._logged.get(name) == digest:
                    growth.metadata = None
                self._logged[name] = digest
                self._growing[name] = self._growing[name].add(growth) if name in self._growing else growth
            self._later.within(_WAIT_SECONDS)
        except Exception as error:  # noqa: BLE001 - training is worth more than its record
            self._lose(1, error)

    def _renew(self) -> None:
        if self._process != os.getpid():
            self._begin_anew()

    def _write(self, growing: dict[str, _Growth]) -> None:
        """Stores trajectories that grew, with the steps that were stored before; what fails for now waits on."""
        try:
            before, traces = self._stored(growing)
            rows = []
            for name, growth in growing.items():
                try:
                    rows.append(self._row(name, before[name].add(growth) if name in before else growth))
                except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are stored
                    self._lose(max(1, len(growth.steps)), error)
                    traces.pop(name, None)
                    with self._lock:
                        self._logged.pop(name, None)
            if rows:
                self.store._session.add(rows)  # noqa: SLF001 - the rows are ready, and `add_many` would make them anew
        except TunixRTError as error:
            self._keep(growing, error)
            return
        # Added first: a process that dies here leaves both, which are read as one.
        if old := [trace for of_one in traces.values() for trace in of_one]:
            with suppress(TunixRTError):
                self.store.delete(ids=old, where=_UNSCORED)

    def _keep(self, growing: dict[str, _Growth], error: Exception) -> None:
        """Keeps what could not be stored for the next time, as far as there is room."""
        with self._lock:
            for name, growth in growing.items():
                self._growing[name] = growth.add(self._growing.get(name, _Growth()))
            n_steps = sum(len(growth.steps) for growth in self._growing.values())
            is_full = n_steps > _MOST_WAITING
            if is_full:
                self._growing, self._logged = {}, {}
        self._lose(n_steps if is_full else 0, error)
        if not is_full:
            self._later.within(_WAIT_SECONDS)

    def _row(self, name: str, growth: _Growth) -> NewRow:
        """The row of a trajectory, read as `store.load` reads ATIF."""
        about = {} if growth.metadata is None else growth.metadata[1]
        steps = [growth.steps[number] for number in sorted(growth.steps)]
        document = plain({"schema_version": "ATIF", "agent": {}} | about | {"steps": [fields for _, fields in steps]})
        # Kept below; by its own, the reader would recognise a trace that this package wrote.
        document.pop("extra", None)
        (found,) = cast("list[Found]", [*_READER.found(Row("", 0, value=document))])
        own = {"id": name, "metadata": growth.metadata and [*growth.metadata], "steps": [[*step] for step in steps]}
        meta = self._meta | {key: item for key, item in found.meta.items() if item is not None}
        found = found._replace(meta=meta, extra={"trajectory": own})
        trace = draft_of(found, Row("", 0, value={}), _SOURCE).trace
        return new_row(trace, self.store.settings.trace_max_bytes)

    def _stored(self, names: Any) -> tuple[dict[str, _Growth], dict[str, list[str]]]:
        """What is stored of these trajectories, the later over the earlier, and the ids of their traces."""
        found: dict[str, _Growth] = {}
        traces: dict[str, list[str]] = {}
        for row in self._rows(_ALL, self._filters.also(Condition(_OF_IDS, (list(names),)))):
            metadata = parsed(row["metadata"])
            steps = {step[1]["step_id"]: (step[0], step[1]) for step in parsed(row["steps"])}
            growth = _Growth(None if metadata is None else tuple(metadata), steps)
            found[row["name"]] = found.get(row["name"], _Growth()).add(growth)
            traces.setdefault(row["name"], []).append(row["trace"])
        return found, traces

    def _rows(self, select: str, filters: Filters) -> Iterator[Mapping[str, Any]]:
        for batch in scan(self.store._session, select, filters, newest_first=False):  # noqa: SLF001 - reads raw JSON
            yield from batch.to_pylist()

    def _lose(self, n: int, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        with self._lock:
            self.dropped += n
            is_first, self._reason = self._reason is None, self._reason or reason
        if is_first:
            with suppress(Exception):
                _log.warning("run %s: steps of trajectories are not recorded, training continues: %s", self.run, reason)


def _again(store: TraceStore, meta: Mapping[str, Any]) -> TrajectoryStore:
    return TrajectoryStore(store, **meta)


def _as_fields(value: Any, kinds: Sequence[str]) -> _Object:
    """The class of tunix and the fields of an object, those that are None left out; numbers beyond JSON as texts."""
    names = [one.__name__ for one in type(value).__mro__]
    kind = next((name for name in names if name in kinds), kinds[0])
    return kind, storable_value(_finite(value.model_dump(mode="json", exclude_none=True)))


def _finite(value: Any) -> Any:
    """Of NaN and infinities the texts from which pydantic makes them again: JSON has only null for them."""
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return {name: _finite(item) for name, item in value.items()} if isinstance(value, dict) else value


def _made(types: Any, value: Sequence[Any]) -> Any:
    """The object of tunix with these fields."""
    kind, fields = value
    return getattr(types, kind if kind in (*_METADATA, *_STEPS) else "").model_validate(fields)


def _tunix(name: str) -> Any:
    """A module of google/tunix; QueryInvalid where this version, or none, is installed."""
    try:
        return import_module(f"{_MODULE}.{name}")
    except ImportError:
        raise QueryInvalid(
            "get_trajectories: needs a google-tunix with tunix.experimental; the traces themselves can be read without"
        ) from None
