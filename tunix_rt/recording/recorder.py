"""The recorder, which a trainer calls as it calls its own metric functions, reward functions and callbacks."""

import atexit
import inspect
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial, wraps
from pathlib import Path
from secrets import token_hex
from typing import Any, Self, TypeVar, cast

from tunix_rt import render
from tunix_rt.errors import QueryInvalid
from tunix_rt.json_values import plain
from tunix_rt.log import logger
from tunix_rt.recording.rollouts import Batch, Rows, batch_of_verl, items, length, snapshot
from tunix_rt.recording.writer import Writer
from tunix_rt.store import TraceStore
from tunix_rt.store.engine.rows import NewRow
from tunix_rt.validation import short

_Function = TypeVar("_Function", bound=Callable[..., Any])

_log = logger(__name__)
# Batches that wait for another reward function; a trainer has one for each of its threads.
_MOST_WAITING = 64


@render.shows_facts
class Recorder:
    """Records rollouts in a store; made by `rt.record`.

    >>> import tunix_rt as rt
    >>> with rt.record(rt.TraceStore(":memory:"), run="sums", model="tiny") as run:
    ...     run.add("2 + 2?", "<think>Two and two.</think>4", reward=1.0, training_step=3)
    >>> run
    <Recorder sums: 1 recorded, 0 dropped>
    >>> run.store.latest(run="sums", training_step=3).payload.final_answer
    '4'

    `name` is the run's (`meta.run`). `recorded` counts the rollouts that are on disk, `dropped` those that could not be
    stored, both in this process. Threads may share a recorder, and so may processes, forked or spawned.

    | state | changed by |
    |---|---|
    | `_waiting`, the counts, `_told` | any thread that has `_lock` |
    | `_wrapped` | the thread that prepares the training |
    | `_mode`, `_rows.ends` | the trainer's thread, in callbacks |
    """

    def __init__(self, store: TraceStore, max_tokens: int | None, meta: Mapping[str, Any]) -> None:
        self.store = store
        self._max_tokens = max_tokens
        self._meta = dict(meta)
        self._wrapped: dict[str, float] = {}
        # Of TRL, by its callbacks: whether a training step runs.
        self._mode: str | None = None
        self._rows = Rows(max_tokens, store.settings.trace_max_bytes, self._tell)
        self._writer = Writer(store, self._lose)
        self._begin_anew()
        self._writer.check()
        atexit.register(self.close)

    def _begin_anew(self) -> None:
        """As new: what waits in its parent, and locks that its threads have, a forked child must not touch."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._rows.begin_anew()
        self._writer.begin_anew()
        self._waiting: list[Batch] = []
        self._reason: str | None = None
        self._told: set[str] = set()
        self.dropped = 0

    @property
    def recorded(self) -> int:
        """How many rollouts are on disk."""
        return self._writer.recorded

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self._meta["run"])

    def add(self, prompt: Any, completion: Any, **facts: Any) -> None:
        """Records one rollout: its prompt and its completion, texts or lists of messages, as `store.load` reads them.

        `facts` are keys of meta: `reward`, `rewards` (by name), `advantage`, `training_step`, `mode`, `group`,
        `sample`, `expected_answer`, `truncated`, `finish_reason`, …; others go to `meta.extra`. From `n_tokens`, or
        `completion_ids`, follows `truncated` where the recorder has `max_tokens`. Where `sample` is not given, it
        counts the rollouts of a prompt in a step.

        It is read and written in another thread, and on disk half a second later at most, or when `flush` returns.
        What could not be stored is counted by `dropped`.
        """
        columns = {name: [item] for name, item in facts.items()}
        self._safely(1, lambda: self._store([prompt], [completion], columns, at_once=False))

    def add_many(self, prompts: Any, completions: Any, **columns: Any) -> None:
        """Records a batch, as `add`, with a list or an array of values for each fact.

        What is no list is the same for all. A list that does not have a value for each completion is left out, with a
        warning.
        """
        self._safely(length(completions), lambda: self._store(items(prompts), items(completions), columns))

    def __call__(
        self, prompts: Any = (), completions: Any = (), advantages: Any = None, rewards: Any = None, **columns: Any
    ) -> dict[str, Any]:
        """Records a batch as google/tunix passes it to its `metric_fns`, and returns no metrics."""

        def work() -> None:
            batch = Batch(items(prompts), items(completions), columns)
            with self._lock:
                same = next((one for one in self._waiting if one.is_same(batch)), None)
                if same is not None:
                    self._waiting.remove(same)
            self._finish(same or batch, reward=rewards, advantage=advantages)

        self._safely(length(completions), work)
        return {}

    def wrap(self, function: _Function, *, name: str | None = None, weight: float = 1.0) -> _Function:
        """The same reward function, whose rollouts and rewards are recorded; one of TRL, google/tunix or verl.

        It is called and returns as before. Wrap each of a trainer's reward functions: a rollout is stored once, with
        the rewards of all by `name` (by default the function's) in `meta.rewards`, and the sum of each times its
        `weight` in `meta.reward`. A function of verl, with a `solution_str`, has its rollouts one by one. Raises
        QueryInvalid for what is not a function, such as a reward model.
        """
        if not callable(function) or hasattr(function, "named_parameters"):
            raise QueryInvalid(f"wrap: {short(function)} is not a function; a reward model cannot be wrapped")
        name = self._free_name(str(name or getattr(function, "__name__", type(function).__name__)))
        self._wrapped[name] = weight

        def begun(args: tuple[Any, ...], given: dict[str, Any]) -> Batch | None:
            found: list[Batch] = []
            self._safely(0, lambda: found.append(self._begin(name, _bound(function, args, given))))
            return found[0] if found else None

        def heard(batch: Batch | None, result: Any) -> None:
            if batch is not None:
                self._safely(len(batch.completions), lambda: self._hear(name, batch, result))

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def later(*args: Any, **given: Any) -> Any:
                batch, result = begun(args, given), None
                try:
                    result = await function(*args, **given)
                finally:
                    heard(batch, result)
                return result

            return cast("_Function", later)

        @wraps(function)
        def at_once(*args: Any, **given: Any) -> Any:
            batch, result = begun(args, given), None
            try:
                result = function(*args, **given)
            finally:
                # Also where it raised: those are the rollouts that somebody will want to see.
                heard(batch, result)
            return result

        return cast("_Function", at_once)

    def flush(self) -> None:
        """Returns when all rollouts are on disk, also those that wait for a function that was not called."""

        def work() -> None:
            with self._lock:
                waiting, self._waiting = self._waiting, []
            for batch in waiting:
                self._finish(batch)
            self._writer.flush()

        self._safely(0, work)

    def close(self) -> None:
        """Flushes, and logs how many rollouts were dropped, if any; what comes later is recorded, too."""
        self.flush()
        if self.dropped:
            counts = f"{self.recorded:,} rollouts were recorded, {self.dropped:,} were not"
            self._tell("sum", f"{counts}; the first because: {self._reason}")

    def on_train_begin(self, _args: Any, _state: Any, _control: Any, **given: Any) -> None:
        """TRL's callback: the tokenizer says how a completion ends that was not truncated."""
        self._mode = "eval"
        tokenizer = given.get("processing_class")
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        ends = (getattr(tokenizer, name, None) for name in ("eos_token_id", "pad_token_id"))
        self._rows.ends = frozenset(end for end in ends if isinstance(end, int))

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """TRL's callback: rollouts within a training step are for training, others for evaluation."""
        self._mode = "train"

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """TRL's callback: the training step is over."""
        self._mode = "eval"
        self.flush()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """TRL's callback: an evaluation is over."""
        self.flush()

    def __getattr__(self, name: str) -> Any:
        # The other events of a callback, also those of later versions.
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(f"'Recorder' object has no attribute {name!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        atexit.unregister(self.close)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(record, max_tokens=self._max_tokens, **self._meta), (self.store,)

    def __repr__(self) -> str:
        return render.visible(f"<Recorder {self.name}: {self.recorded:,} recorded, {self.dropped:,} dropped>")

    @property
    def _facts(self) -> list[tuple[str, str]]:
        dropped = f"{self.dropped:,}" + (f", the first because: {self._reason}" if self._reason else "")
        counts = [("recorded", f"{self.recorded:,}"), ("dropped", dropped)]
        return [("run", self.name), ("store", str(self.store.path)), *counts]

    def _free_name(self, name: str) -> str:
        return name if name not in self._wrapped else self._free_name(f"{name}_{len(self._wrapped) + 1}")

    def _begin(self, name: str, given: dict[str, Any]) -> Batch:
        """The batch that a reward function is called with: a new one, or one that waits for this function."""
        if "solution_str" in given:
            return batch_of_verl(given)
        batch = Batch(items(given.pop("prompts", ())), items(given.pop("completions")), given)
        if batch.is_of_trl and self._mode:
            batch.columns["mode"] = self._mode
        with self._lock:
            same = (one for one in self._waiting if name not in one.begun and one.is_same(batch))
            batch = next(same, batch)
            # A thread calls a function for one batch after the other.
            done = [one for one in self._waiting if name in one.begun and one.thread == batch.thread]
            done += [one for one in self._waiting[:-_MOST_WAITING] if one not in done]
            batch.begun.add(name)
            self._waiting = [one for one in self._waiting if one not in (batch, *done)] + [batch]
        for one in done:
            self._finish(one)
        return batch

    def _hear(self, name: str, batch: Batch, result: Any) -> None:
        """Takes the rewards of a function; the batch is stored when it has those of all that were wrapped."""
        if not batch.begun:
            score = result if isinstance(result, Mapping) else {"score": result}
            batch.columns |= {key: [item] for key, item in score.items() if key != "score"}
            self._finish(batch, at_once=False, reward=[score.get("score")])
            return
        rewards = result if result is None else self._rows.columns({name: result}, len(batch.completions)).get(name)
        with self._lock:
            batch.rewards[name] = rewards
            is_complete = len(batch.rewards) == len(self._wrapped) and not batch.awaits_metrics
            is_complete = is_complete and batch in self._waiting
            if is_complete:
                self._waiting.remove(batch)
        if is_complete:
            self._finish(batch)

    def _finish(self, batch: Batch, *, at_once: bool = True, **given: Any) -> None:
        """Stores a batch with the rewards of its functions; `given` are those that the trainer made of them."""
        columns = batch.with_rewards(self._wrapped) | {name: item for name, item in given.items() if item is not None}
        self._store(batch.prompts, batch.completions, columns, at_once=at_once)

    def _store(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Any], *, at_once: bool = True
    ) -> None:
        """Hands rollouts to the writer as they are now: the trainer may change its lists when this has returned."""
        n = len(completions)
        if len(prompts) != n:
            raise ValueError(f"{len(prompts):,} prompts for {n:,} completions")
        shared = {name: self._now(name, item) for name, item in self._meta.items()}
        texts = [(snapshot(prompt), snapshot(one)) for prompt, one in zip(prompts, completions, strict=True)]
        columns = self._rows.columns(columns, n)
        if n:
            self._writer.add(n, lambda: self._read(texts, columns, shared), soon=at_once)

    def _read(
        self, texts: Sequence[tuple[Any, Any]], columns: Mapping[str, Sequence[Any]], shared: Mapping[str, Any]
    ) -> list[NewRow]:
        """The rows of the rollouts that can be read; the others are counted. In the writer's thread."""
        rows: list[NewRow] = []
        for i, (prompt, completion) in enumerate(texts):
            try:
                facts = {name: value[i] for name, value in columns.items() if value[i] is not None}
                rows.append(self._rows.row(prompt, completion, facts, shared))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one rollout, the others are stored
                self._lose(1, error)
        return rows

    def _now(self, name: str, item: Any) -> Any:
        """The value of a fact that all rollouts of a batch share; a function is called for it."""
        if not callable(item):
            return item
        try:
            return plain(item(), name)
        except Exception as error:  # noqa: BLE001 - a function of the user's
            self._tell(name, f"{name} was left out: its function raised {type(error).__name__}: {short(error)}")
            return None

    def _safely(self, n: int, work: Callable[[], object]) -> None:
        """Does the work; an error is logged and counted as the loss of `n` rollouts, and never raised."""
        try:
            if self._process != os.getpid():
                self._begin_anew()
            work()
        except Exception as error:  # noqa: BLE001 - training is worth more than its record
            self._lose(n, error)

    def _lose(self, n: int, error: Exception) -> None:
        try:
            reason = f"{type(error).__name__}: {error}"
        except Exception:  # noqa: BLE001 - a foreign error whose text fails itself
            reason = type(error).__name__
        with self._lock:
            self.dropped += n
            self._reason = self._reason or reason
        self._tell("loss", f"rollouts are not recorded, and training continues; `dropped` counts them: {self._reason}")

    def _tell(self, what: str, message: str) -> None:
        """Logs a message, once for each `what`."""
        with self._lock:
            is_new = what not in self._told
            self._told.add(what)
        if is_new:
            with suppress(Exception):
                _log.warning("run %s: %s", self.name, message)


def record(store: TraceStore | str | Path | None = None, *, max_tokens: int | None = None, **meta: Any) -> Recorder:
    """A recorder of the rollouts of a training run, for any trainer; see `Recorder`.

    `store` is a store or its path. `meta` is in all rollouts: `model`, `run` (by default its time), `source`
    ("rollouts"), whatever you compare runs by; a function without arguments is called for each batch:
    `training_step=lambda: trainer.step`. A completion of `max_tokens` tokens or more counts as truncated.

    Raises what TraceStore raises, StoreReadOnly, StoreFull or StoreUnusable where the store cannot be written, and
    TraceInvalid for a value that JSON does not have: at once, and never in the middle of the run.
    """
    opened = store if isinstance(store, TraceStore) else TraceStore(store)
    given = {name: item if callable(item) else plain(item, f"meta.{name}") for name, item in meta.items()}
    # Of two that begin in the same second, the digits differ.
    given.setdefault("run", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {token_hex(2)}")
    return Recorder(opened, max_tokens, given)


def _bound(function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name."""
    if not args:
        return dict(given)
    signature = inspect.signature(function)
    arguments = signature.bind(*args, **given).arguments
    others = (one.name for one in signature.parameters.values() if one.kind is one.VAR_KEYWORD)
    return {**arguments.pop(next(others, ""), {}), **arguments}


def _nothing(*_: Any, **__: Any) -> None:
    """An event that changes nothing."""
