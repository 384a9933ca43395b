"""Rollouts as a trainer passes them, and the rows of the store that are made of them."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunix_rt.errors import TraceInvalid
from tunix_rt.formats.rows.found import draft_of
from tunix_rt.formats.rows.meta_values import is_for_tokens, number
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.text.dialogue import found_in_completion
from tunix_rt.json_values import plain
from tunix_rt.store.engine.clock import new_row
from tunix_rt.store.engine.rows import NewRow
from tunix_rt.store.scores.reward_functions import EXPECTED_NAMES
from tunix_rt.validation import short, storable

_SOURCE = "rollouts"
# What the meta of a rollout has a key for; other columns go to `meta.extra`.
_FACTS = frozenset(
    (
        *("source", "model", "run", "training_step", "policy_version", "mode", "group", "sample", "expected_answer"),
        *("correct", "reward", "rewards", "advantage", "finish_reason", "truncated", "preferred"),
    )
)
_NUMBERS = ("reward", "advantage")
# Of which the number of tokens is known.
_COUNTED = ("completion_ids", "n_tokens")
# What trainers pass beside the columns of the data set.
_OF_TRAINER = frozenset(("trainer_state", "log_extra", "log_metric", "environments"))
# Where a data set of verl has the question, which its reward function is not given.
_QUESTIONS = ("question", "problem", "prompt")
# Of a loop that never names its step: prompts that are remembered, to number their samples.
_MOST_PROMPTS = 100_000
_UNCHANGED = frozenset((str, int, bool, type(None), TraceInvalid))
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NO_ROW = Row("", 0, value={})


class Batch:
    """Rollouts as a trainer passed them, and the rewards by name that came so far."""

    def __init__(self, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Any]) -> None:
        # Copied: the trainer may change the messages before the last reward is there.
        self.completions = [snapshot(one) for one in completions]
        self.prompts = [snapshot(one) for one in prompts] or [""] * len(completions)
        self.columns = {name: item for name, item in columns.items() if name not in _OF_TRAINER}
        self.rewards: dict[str, list[Any] | None] = {}
        # The functions that were called with it.
        self.begun: set[str] = set()
        self.thread = threading.get_ident()
        state, mode = columns.get("trainer_state"), columns.get("mode")
        self.is_of_trl = state is not None
        # The learners of tunix pass their mode to reward functions alone, and advantages to metric functions.
        self.awaits_metrics = mode is not None and not self.is_of_trl
        if self.awaits_metrics:
            self.columns["mode"] = str(mode).rpartition(".")[2].lower()
        if (step := getattr(state, "global_step", None)) is not None:
            self.columns["training_step"] = step

    def is_same(self, other: "Batch") -> bool:
        """Whether it has the same texts: another function of the same trainer was called with them."""
        return self.completions == other.completions and self.prompts == other.prompts

    def with_rewards(self, weights: Mapping[str, float]) -> dict[str, Any]:
        """Its columns, with the rewards by name where there are several, and their weighted sum."""
        n = len(self.completions)
        by_name = {name: found for name, found in self.rewards.items() if found is not None and len(found) == n}
        if not by_name:
            return self.columns
        each = [{name: _number(found[i]) for name, found in by_name.items()} for i in range(n)]
        columns = self.columns | {"reward": [_total(rewards, weights) for rewards in each]}
        return columns | {"rewards": each} if len(weights) > 1 else columns


class Rows:
    """Makes the rows of rollouts, and numbers the samples of a prompt in a step; `tell` gets what was left out.

    Only the writer's thread calls `row`.

    `ends` are the tokens that end a completion that was not truncated, where they are known.
    """

    def __init__(self, max_tokens: int | None, trace_max_bytes: int, tell: Callable[[str, str], None]) -> None:
        self._max_tokens = max_tokens
        self._trace_max_bytes = trace_max_bytes
        self._tell = tell
        self.ends: frozenset[int] = frozenset()
        self.begin_anew()

    def begin_anew(self) -> None:
        """As new: in a forked child."""
        self._samples: Counter[int] = Counter()
        self._samples_of: Any = None

    def columns(self, given: Mapping[str, Any], n: int) -> dict[str, list[Any]]:
        """A list of `n` values for each column: one for each rollout, or the same for all."""
        found: dict[str, list[Any]] = {}
        for name, item in given.items():
            if is_for_tokens(name) and name not in _COUNTED:
                continue
            is_list = isinstance(item, list | tuple) or getattr(item, "ndim", 0) > 0
            values = items(item) if is_list else [item] * n
            if len(values) == n:
                # Numbers in lists of thousands need no look at each.
                copied = list if name == "completion_ids" else snapshot
                found[name] = [one if one is None else copied(one) for one in values]
            else:
                self._tell(name, f"{name} was left out: it has {len(values):,} values for {n:,} completions")
        return found

    def row(self, prompt: Any, completion: Any, facts: dict[str, Any], shared: Mapping[str, Any]) -> NewRow:
        """The row of a rollout, with its own facts and those of the run; TraceInvalid where it is not one."""
        prompt, completion = (storable_value(text) for text in (prompt, completion))
        for text in (prompt, completion):
            if isinstance(text, TraceInvalid):
                raise text
        ids = facts.pop("completion_ids", None)
        if ids is not None:
            facts.setdefault("n_tokens", len(ids))
        meta, extra = self._sorted(facts)
        meta = {"source": _SOURCE, **shared, **meta}
        if "truncated" not in meta:
            meta["truncated"] = self._is_cut(ids, extra.get("n_tokens"))
        if "expected_answer" not in meta:
            gold = next((name for name in EXPECTED_NAMES if isinstance(extra.get(name), str | int | float)), None)
            meta |= {} if gold is None else {"expected_answer": extra.pop(gold)}
        if "sample" not in meta:
            meta["sample"] = self._sample_of(prompt, (meta.get("training_step"), meta.get("mode")))
        found = found_in_completion({"prompt": prompt, "completion": completion}, meta=meta, extra=extra)
        return new_row(draft_of(found, _NO_ROW, _SOURCE).trace, self._trace_max_bytes)

    def _sorted(self, facts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What goes to meta, and what to `meta.extra`."""
        meta: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, item in facts.items():
            value = storable_value(item)
            if isinstance(value, TraceInvalid):
                self._tell(name, f"{name} was left out: {value}")
            elif name not in _NUMBERS:
                (meta if name in _FACTS else extra)[name] = value
            elif (as_number := _number(value)) is not None:
                meta[name] = as_number
            elif not isinstance(value, list):
                # A list has a number for each token.
                extra[name] = value
        return {name: item for name, item in meta.items() if item is not None}, extra

    def _is_cut(self, ids: Any, n_tokens: Any) -> bool | None:
        if ids is not None and len(ids) and self.ends:
            return int(ids[-1]) not in self.ends
        return n_tokens >= self._max_tokens if self._max_tokens and isinstance(n_tokens, int) else None

    def _sample_of(self, prompt: Any, step: tuple[Any, Any]) -> int:
        """How many rollouts of the prompt there were before in this step."""
        key = hash(prompt if isinstance(prompt, str) else repr(prompt))
        if step != self._samples_of or len(self._samples) >= _MOST_PROMPTS:
            self._samples.clear()
            self._samples_of = step
        self._samples[key] += 1
        return self._samples[key] - 1


def batch_of_verl(given: Mapping[str, Any]) -> Batch:
    """The one rollout that a reward function of verl is called with, which is not given the prompt."""
    more = given.get("extra_info")
    asked = (more.get(name) for name in _QUESTIONS) if isinstance(more, Mapping) else ()
    prompt = next((one for one in asked if isinstance(one, str)), "")
    columns = {name: [item] for name, item in given.items() if name not in ("solution_str", "ground_truth")}
    return Batch([prompt], [given["solution_str"]], {**columns, "expected_answer": [given.get("ground_truth")]})


def items(values: Any) -> list[Any]:
    """The values of a list, an array or a column; TypeError for all else: a generator must not be read."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise TypeError(f"a list was expected, not {short(values)}")
    return list(values)


def length(values: Any) -> int:
    """How many rollouts are lost where the values cannot be read."""
    return len(values) if isinstance(values, Sequence) and not isinstance(values, str | bytes) else 1


def _total(rewards: Mapping[str, Any], weights: Mapping[str, float]) -> float | None:
    """The sum of the rewards that applied, each times its weight."""
    found = [weights[name] * reward for name, reward in rewards.items() if reward is not None]
    return sum(found) if found else None


def snapshot(value: Any) -> Any:
    """The value as JSON has it, which no trainer changes; a TraceInvalid where JSON has none."""
    if type(value) in _UNCHANGED:
        return value
    try:
        return plain(value)
    except TraceInvalid as error:
        return error


def storable_value(value: Any) -> Any:
    """An untrained model writes any byte: what cannot be stored is replaced, as decoders do, not the rollout lost."""
    if isinstance(value, str):
        return value if storable(value) else _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [storable_value(item) for item in value]
    return {name: storable_value(item) for name, item in value.items()} if isinstance(value, dict) else value


def _number(value: Any) -> int | float | None:
    """The number; None for NaN, and for what is no number."""
    try:
        return number(plain(value), "")
    except TraceInvalid:
        return None
