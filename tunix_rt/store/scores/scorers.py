"""What can score: a built-in by its name, an object, a function of a trace, a reward function."""

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic_core import from_json

from tunix_rt.analysis import FLAGS, Scorer, Texts, built_in
from tunix_rt.analysis.math_answers import MathAnswer
from tunix_rt.errors import QueryInvalid, TraceInvalid
from tunix_rt.json_values import plain
from tunix_rt.model import TraceRecord
from tunix_rt.store.engine.rows import RECORD_COLUMNS, TIME, records_in, to_microseconds
from tunix_rt.store.score_filter import SCORER_NAME
from tunix_rt.store.scores.facts import NewScore, ScoreKey
from tunix_rt.store.scores.fingerprint import fingerprint
from tunix_rt.store.scores.outcomes import FAILURES, error_score, new_score
from tunix_rt.store.scores.reward_functions import RewardFunction, takes_completions
from tunix_rt.validation import short, storable

# They compare the traces of a set with each other; see flag_set.py.
SET_FLAGS = ("duplicate", "same_in_group", "length_outlier")
ALL_FLAGS = (*FLAGS, *SET_FLAGS)

# As objects of Python they take several times the memory of their columns.
_ROWS_AT_ONCE = 256
# TRL's batches are no larger, and a function that fails is called again for each trace of one.
_REWARDS_AT_ONCE = 64
_TEXT_COLUMNS = (
    f"{TIME}, id::varchar as id, prompt, list_transform(steps, lambda s: s.content), final_answer, meta::varchar"
)
MOST_VERSION_CHARS = 100
MOST_PARAMS_CHARS = 10_000


class Scoring(NamedTuple):
    """A scorer as a run uses it: its key, the columns that it reads, and the scores of a batch of them.

    `is_of_many`: the user's function is called with many traces at once. `timeout`: it must run in a worker, with this
    number of seconds for a trace if the user has set no other. `usage` counts what the scorer has used, by name.
    """

    key: ScoreKey
    columns: str
    scores: Callable[[pa.RecordBatch], Iterator[NewScore]]
    is_of_many: bool = False
    timeout: float | None = None
    usage: Mapping[str, int] | None = None


def scoring_of(scorer: Any, *, name: str | None, version: str | None, params: Mapping[str, Any] | None) -> Scoring:
    """The scorer that the user passed; see `TraceStore.score`. Raises QueryInvalid."""
    if not isinstance(params, Mapping | None):
        raise QueryInvalid(f"params={short(params)}: must be names with values")
    if isinstance(scorer, str) and scorer in SET_FLAGS:
        raise QueryInvalid(f"{short(scorer)}: is a flag of a set of traces; use store.flag({scorer!r})")
    if isinstance(scorer, str):
        scorer, params = built_in(scorer, **(params or {})), None
    if callable(getattr(scorer, "score", None)) and not isinstance(scorer, type):
        if params is not None:
            raise QueryInvalid("params: an object that scores has its own `params`; leave them out")
        key = _key(
            name or getattr(scorer, "name", None),
            version or getattr(scorer, "version", None),
            getattr(scorer, "params", {}),
        )
        timeout = scorer.timeout if isinstance(scorer, MathAnswer) else None
        scores = _scored_together if callable(getattr(scorer, "score_many", None)) else _scored_texts
        usage = getattr(scorer, "usage", None)
        return Scoring(key, _TEXT_COLUMNS, functools.partial(scores, scorer), timeout=timeout, usage=usage)
    if not callable(scorer) or isinstance(scorer, type):
        raise QueryInvalid(
            f"{short(scorer)}: must be the name of a scorer, a function, or an object with name, version and score()"
        )
    if inspect.iscoroutinefunction(scorer):
        raise QueryInvalid(f"{short(scorer)}: is async; pass a function that returns its result")
    key = _key(name or _name_of(scorer), version or fingerprint(scorer), params or {})
    function = functools.partial(scorer, **params) if params else scorer
    if takes_completions(scorer):
        return Scoring(key, RECORD_COLUMNS, functools.partial(_rewarded, RewardFunction(function)), is_of_many=True)
    return Scoring(key, RECORD_COLUMNS, functools.partial(_scored_records, function))


def _name_of(function: Any) -> str | None:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return None if name == "<lambda>" else str(name)


def _key(name: Any, version: Any, params: Any) -> ScoreKey:
    if name is None:
        raise QueryInvalid("name: this scorer has no name of its own; pass name=")
    if not isinstance(name, str) or not SCORER_NAME.fullmatch(name) or not storable(name):
        raise QueryInvalid(f'name={short(name)}: must be 1 to 100 characters, none of them < > = ! , or "')
    if not isinstance(version, str) or not 0 < len(version) <= MOST_VERSION_CHARS or not storable(version):
        raise QueryInvalid(f"version={short(version)}: must be a text of 1 to {MOST_VERSION_CHARS} characters")
    try:
        text = json.dumps(plain(dict(params)), sort_keys=True, separators=(",", ":"))
    except (TraceInvalid, TypeError, ValueError) as error:
        raise QueryInvalid(f"params={short(params)}: must be JSON: {error}") from None
    if len(text) > MOST_PARAMS_CHARS:
        raise QueryInvalid(f"params: {len(text):,} characters as JSON; at most {MOST_PARAMS_CHARS:,}")
    return ScoreKey(name, version, text)


def _texts(batch: pa.RecordBatch) -> Iterator[tuple[int, str, Texts]]:
    """The time, the id and the texts of each trace."""
    for start in range(0, len(batch), _ROWS_AT_ONCE):
        times, ids, prompts, steps, answers, metas = batch.slice(start, _ROWS_AT_ONCE).columns
        # The steps of all traces at once: 224,000 traces per second, where a list for each took 67,000.
        contents, end = steps.flatten().to_pylist(), 0
        rows = (column.to_pylist() for column in (times, ids, prompts, steps.value_lengths(), answers, metas))
        for time, trace_id, prompt, n_steps, answer, meta in zip(*rows, strict=True):
            begin, end = end, end + n_steps
            yield time, trace_id, Texts(prompt, contents[begin:end], answer, from_json(meta) if meta else {})


def _scored_texts(scorer: Scorer, batch: pa.RecordBatch) -> Iterator[NewScore]:
    for time, trace_id, texts in _texts(batch):
        try:
            result: Any = scorer.score(texts)
        except FAILURES as error:
            result = error_score(error)
        yield new_score(time, trace_id, result)


def _scored_together(scorer: Any, batch: pa.RecordBatch) -> Iterator[NewScore]:
    """By a scorer that gets all traces at once, and yields the index and the score of each, in the order it likes."""
    open_keys: dict[int, tuple[int, str]] = {}

    def texts() -> Iterator[Texts]:
        for index, (time, trace_id, one) in enumerate(_texts(batch)):
            open_keys[index] = time, trace_id
            yield one

    for index, result in scorer.score_many(texts()):
        yield new_score(*open_keys.pop(index), result)


def _scored_records(function: Callable[[TraceRecord], Any], batch: pa.RecordBatch) -> Iterator[NewScore]:
    for record in records_in(batch):
        try:
            result = function(record)
        except FAILURES as error:
            result = error_score(error)
        yield new_score(to_microseconds(record.created_at), str(record.id), result)


def _rewarded(function: RewardFunction, batch: pa.RecordBatch) -> Iterator[NewScore]:
    for start in range(0, len(batch), _REWARDS_AT_ONCE):
        records = list(records_in(batch.slice(start, _REWARDS_AT_ONCE)))
        rewards = function.results([record.payload for record in records])
        for record, reward in zip(records, rewards, strict=True):
            yield new_score(to_microseconds(record.created_at), str(record.id), reward)
