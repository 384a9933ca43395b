"""The trace: a prompt, the ordered steps of reasoning, a final answer.

Two formats share one model. `1.0` is strict: every part is there and bounded. `1.1` is for what models really emit: the
final answer may be null (a truncated rollout), the steps may be empty (an answer without reasoning), and only
`trace_max_bytes` bounds the texts. Any `trace_version` other than "1.1" is held to the rules of 1.0.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tunix_rt import render
from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.frozen import frozen
from tunix_rt.json_values import has_constants, parsed, plain
from tunix_rt.validation import not_json, out_of_bounds, storable, trace_invalid, unstorable

PREVIEW_CHARS = 80
# The bounds of format 1.0, in characters (and, for `steps`, in steps). 1.1 has none of them.
LIMITS_1_0 = {"prompt": 50_000, "final_answer": 50_000, "steps": 1_000, "content": 20_000}
# Step indices are stored as 64-bit integers.
MAX_STEP_INDEX = 2**63 - 1
# Each takes 33 bytes of JSON or more, so that the largest `trace_max_bytes` (10 MiB) has no room for them.
_MOST_STEPS = 2**19

# Where formats/rows/trace_fields.py reads the same fields without these models, it takes their types from here.
StepIndex = Annotated[int, Field(ge=0, le=MAX_STEP_INDEX)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
Meta = dict[str, JsonValue] | None


class _Part(BaseModel):
    """A frozen model whose constructor raises TraceInvalid in place of pydantic's own error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**_plain_fields(fields))
        except ValidationError as error:
            raise trace_invalid(error, known=_KNOWN) from None

    # Without this mark pydantic sends every parsed part through __init__ above, at half the speed.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


class Step(_Part):
    """One step of reasoning: its index `i`, a `type` of 1–64 characters (parse, compute, verify …), its `content`."""

    i: StepIndex
    type: Name
    content: str


def _plain_fields(given: Mapping[Any, Any]) -> dict[str, Any]:
    """Foreign values as JSON values, except steps that already are `Step`."""
    fields: dict[str, Any] = plain({name: value for name, value in given.items() if name != "steps"})
    if "steps" in given:
        fields["steps"] = _plain_steps(given["steps"])
    return fields


def _plain_steps(steps: Any) -> Any:
    if hasattr(type(steps), "tolist") or isinstance(steps, set | frozenset):
        return plain(steps, "steps")  # An array without dimensions is no iterable.
    if not isinstance(steps, Iterable) or isinstance(steps, str | bytes | Mapping):
        return steps
    return [
        step if type(step) is str or isinstance(step, Step) else plain(step, f"steps.{place}")
        for place, step in enumerate(_counted(steps))
    ]


def _counted(steps: Iterable[Any]) -> Iterator[Any]:
    """The steps, as long as there are not more than any trace can hold: `itertools.count()` never ends."""
    for place, step in enumerate(steps):
        if place == _MOST_STEPS:
            raise TraceInvalid(Problem("steps", f"more than {_MOST_STEPS:,} steps, or steps without end"))
        yield step


def _number_plain_steps(steps: Any) -> Any:
    """Plain strings become steps of type "step", numbered by their position."""
    if not isinstance(steps, Iterable) or isinstance(steps, str | bytes | Mapping):
        return steps
    steps = tuple(steps)
    if not any(isinstance(step, str) for step in steps):
        return steps
    return tuple({"i": i, "type": "step", "content": s} if isinstance(s, str) else s for i, s in enumerate(steps))


def _unique_indices(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    seen: set[int] = set()
    for place, step in enumerate(steps):
        if step.i in seen:
            raise PydanticCustomError(
                "step_index",
                "step indices must be unique: {i} is the index of steps.{place} and of an earlier step",
                {"i": step.i, "place": place},
            )
        seen.add(step.i)
    return steps


@render.shows_itself(render.trace_text, render.trace_html)
class Trace(_Part):
    """A reasoning trace; frozen, equal by value.

    Steps may be given as plain strings. `meta` is any JSON object; `meta["source"]` is what lists and filters call the
    source. Values of numpy, torch, pandas and Python's own libraries become JSON, NaN and infinities null; `meta` is
    frozen too. Raises TraceInvalid, which names every field at fault by its path.

    >>> trace = Trace(prompt="27 × 19?", steps=["27 × 20 = 540", "540 − 27 = 513"], final_answer="513")
    >>> trace.steps[1]
    Step(i=1, type='step', content='540 − 27 = 513')
    >>> Trace(prompt="", steps=["…"], final_answer="4")
    Traceback (most recent call last):
    tunix_rt.errors.TraceInvalid: prompt: must not be empty
    """

    trace_version: Name = "1.0"
    prompt: str
    steps: Annotated[
        tuple[Step, ...], BeforeValidator(_number_plain_steps), AfterValidator(_unique_indices), Field(strict=False)
    ]
    final_answer: str | None
    meta: Meta = None

    def __init__(
        self,
        *,
        prompt: str,
        steps: Iterable[Step | str | Mapping[str, Any]],
        final_answer: str | None,
        meta: Mapping[str, Any] | None = None,
        trace_version: str = "1.0",
    ) -> None:
        super().__init__(trace_version=trace_version, prompt=prompt, steps=steps, final_answer=final_answer, meta=meta)

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """The trace in a dictionary shaped like the JSON; TraceInvalid if it is not valid."""
        if isinstance(value, cls):
            return value
        return cls.from_plain(_plain_fields(value) if isinstance(value, Mapping) else plain(value))

    @classmethod
    def from_plain(cls, value: Any) -> Self:
        """The trace in the value of a JSON text; TraceInvalid if it is not valid, or has a number beyond doubles."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise trace_invalid(error, known=_KNOWN) from None

    @classmethod
    def from_json(cls, text: str | bytes, *, first_line: int = 1) -> Self:
        """The trace in a JSON text; TraceInvalid, with line (from `first_line`) and column, if it is not valid."""
        value = None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            invalid = trace_invalid(error, text, first_line=first_line, known=_KNOWN)
        # NaN and infinities become null; the text is parsed again to distinguish them from numbers that are too large.
        if has_constants(text):
            with suppress(ValueError, RecursionError):
                value = parsed(text)
        if not isinstance(value, dict):
            raise invalid
        return cls.from_plain(value)

    def to_json(self) -> str:
        """The trace as one line of JSON, its fields in the order of the format, without `meta` if it is None."""
        return self.model_dump_json(exclude=None if self.meta is not None else {"meta"})

    @property
    def n_chars(self) -> int:
        """Characters in prompt, steps and answer together."""
        return len(self.prompt) + sum(len(step.content) for step in self.steps) + len(self.final_answer or "")

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*self._bounds(), *self._characters(), *not_json(self.meta, "meta")]
        if problems:
            raise PydanticCustomError("trace", "trace", {"problems": problems})
        if self.meta is not None:
            self.__dict__["meta"] = frozen(self.meta)
        return self

    def _bounds(self) -> Iterator[Problem]:
        if self.trace_version == "1.1":
            return
        limits = LIMITS_1_0
        yield from out_of_bounds("prompt", self.prompt, limits["prompt"])
        if not self.steps:
            yield Problem("steps", 'must have at least one step; trace_version "1.1" accepts an empty list')
        elif len(self.steps) > limits["steps"]:
            yield Problem(
                "steps", f'{len(self.steps):,} steps; at most {limits["steps"]:,}; trace_version "1.1" accepts more'
            )
        for place, step in enumerate(self.steps):
            # Asked here first: a generator for each of millions of steps took a tenth of the time of a load.
            if not 0 < len(step.content) <= limits["content"]:
                yield from out_of_bounds(f"steps.{place}.content", step.content, limits["content"])
        if self.final_answer is None:
            yield Problem("final_answer", 'must be a string; trace_version "1.1" accepts null for a truncated rollout')
        else:
            yield from out_of_bounds("final_answer", self.final_answer, limits["final_answer"])

    def _characters(self) -> Iterator[Problem]:
        texts = [self.trace_version, self.prompt, self.final_answer or ""]
        for step in self.steps:
            texts += (step.type, step.content)
        if storable("".join(texts)):
            return
        yield from unstorable("trace_version", self.trace_version)
        yield from unstorable("prompt", self.prompt)
        for place, step in enumerate(self.steps):
            yield from unstorable(f"steps.{place}.type", step.type)
            yield from unstorable(f"steps.{place}.content", step.content)
        yield from unstorable("final_answer", self.final_answer or "")

    def __hash__(self) -> int:
        # Without meta: a dictionary has no hash, and equal traces still hash alike.
        return hash((self.trace_version, self.prompt, self.steps, self.final_answer))


_KNOWN = {"steps": tuple(Step.model_fields), "": tuple(Trace.model_fields)}


def in_utc(time: datetime) -> datetime:
    """The time in UTC, where it has one."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time", "must be within the years 1 to 9999 in UTC") from None


class ScoreSummary(BaseModel):
    """A current score in a list: its `value` (a boolean is 1 or 0), its `label`, or the `reason` why it has neither.

    `flag` is whether the scorer is one of the built-in flags, of which 1 means raised.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None = None
    label: str | None = None
    reason: str | None = None
    flag: bool = False


class CurrentScore(ScoreSummary):
    """The newest score of a trace by one scorer, with its evidence: `answer`, `explanation`, `metadata`."""

    answer: str | None = None
    explanation: str | None = None
    metadata: Meta = None


class _Stored(BaseModel):
    """What records and summaries share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID

    def __hash__(self) -> int:
        # Dictionaries have no hash, and equal ones still hash alike.
        return hash(self.id)


@render.shows_itself(render.record_text, render.record_html)
class TraceRecord(_Stored):
    """A stored trace: `id` (UUIDv7, so ids sort by time), `created_at` (UTC, to the microsecond), and `payload`.

    `scores` are its current scores by scorer, where `get` or `latest` read it.
    """

    created_at: Annotated[AwareDatetime, AfterValidator(in_utc)]
    trace_version: str
    payload: Trace
    scores: dict[str, CurrentScore] = {}


def trace_of(given: Any) -> Trace:
    """The trace in a trace, a record or a dictionary like either; also of a class from before a module reload."""
    if isinstance(given, Trace):
        return given
    fields = given if isinstance(given, Mapping) else plain(given)
    if isinstance(fields, Mapping) and "payload" in fields and "prompt" not in fields:
        fields = fields["payload"]
    return Trace.from_dict(fields)


class TraceSummary(_Stored):
    """What a list shows of a stored trace, without its body.

    `preview` is the first 80 characters of the prompt with white space folded (`…` where it goes on), `answer` those of
    the final answer (None where there is none), `n_steps` and `n_chars` count the steps and the characters of prompt,
    steps and answer together, `source` is `meta["source"]`.

    Where scores were requested, `scores` are those that there are, without their evidence, and `facts` what `meta` says
    under `correct`, `reward`, `model`, `training_step`, `truncated` and `expected_answer`: numbers, booleans and short
    texts.
    """

    created_at: datetime
    trace_version: str
    preview: str
    answer: str | None
    n_steps: int
    n_chars: int
    source: str | None
    scores: dict[str, ScoreSummary] = {}
    facts: dict[str, bool | int | float | str] = {}
