"""Reward functions of TRL, tunix and open-r1 as they are: f(prompts, completions, **columns) -> a list of rewards."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunix_rt.formats.rows.tally import Tally
from tunix_rt.formats.text.completion import THINK_TAGS, completion, reasoning_of, system_of
from tunix_rt.model import Trace
from tunix_rt.store.scores.outcomes import FAILURES, error_score
from tunix_rt.validation import short

# What data sets call the answer to compare with, which is `meta.expected_answer` of a trace whatever it was called.
EXPECTED_NAMES = (
    "expected_answer", "answer", "solution", "ground_truth", "gold", "gold_answer", "target", "label",
)  # fmt: skip
_OWN = ("prompts", "completions")
# What Python says of `completion[0]["content"]` and of `message.get("content")` where there is a text.
_USED_AS_MESSAGES = re.compile("string indices must be integers|'str' object has no attribute 'get'")


def takes_completions(function: Callable[..., Any]) -> bool:
    """Whether its signature is that of a reward function."""
    try:
        return "completions" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


class RewardFunction:
    """Calls a reward function with the prompts and completions of traces, and with columns from their meta.

    Prompts and completions are texts, or messages where the function reads messages of them, as those do that are
    written for conversations.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        parameters = inspect.signature(function).parameters.values()
        self._takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
        self._named = [one.name for one in parameters if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
        self._required = {one.name for one in parameters if one.default is one.empty}
        # None: not known before the first call.
        self._as_messages: bool | None = None

    def results(self, traces: Sequence[Trace]) -> Sequence[Any]:
        """A result for each trace; where the call for all fails, each is tried alone, so that one spoils no other."""
        try:
            return self._called(traces)
        except FAILURES as error:
            return [error_score(error)] if len(traces) == 1 else [self.results([trace])[0] for trace in traces]

    def _called(self, traces: Sequence[Trace]) -> list[Any]:
        if self._as_messages is not None:
            return self._call(traces, as_messages=self._as_messages)
        try:
            found, self._as_messages = self._call(traces, as_messages=False), False
        except (TypeError, AttributeError) as error:
            # Only where it has used a text as a message: another error may be about a text, and is then the trace's.
            if not _USED_AS_MESSAGES.search(str(error)):
                raise
            found, self._as_messages = self._call(traces, as_messages=True), True
        return found

    def _call(self, traces: Sequence[Trace], *, as_messages: bool) -> list[Any]:
        texts = [trace.prompt for trace in traces], [_completion(trace) for trace in traces]
        given: dict[str, Any] = dict(zip(_OWN, texts, strict=True))
        if as_messages:
            given["prompts"] = [_conversation(trace) for trace in traces]
            given["completions"] = [[{"role": "assistant", "content": text}] for text in texts[1]]
        if not self._takes_all:
            given = {name: value for name, value in given.items() if name in self._named}
        rewards = self._function(**given, **self._columns(traces))
        found = list(rewards) if not isinstance(rewards, str | Mapping) else None
        if found is None or len(found) != len(traces):
            n = "no list" if found is None else f"{len(found):,}"
            raise ValueError(f"returned {n} for {len(traces):,} completions: {short(rewards)}")
        return found

    def _columns(self, traces: Sequence[Trace]) -> dict[str, list[Any]]:
        metas = [_fields(trace.meta or {}) for trace in traces]
        names = {name for meta in metas for name in meta} if self._takes_all else set()
        known = set().union(*metas) if metas else set()
        has_expected = any("expected_answer" in meta for meta in metas)
        for name in self._named:
            if name in self._required or name in known or (name in EXPECTED_NAMES and has_expected):
                names.add(name)
        names -= {*_OWN}
        return {name: [_value(meta, name) for meta in metas] for name in sorted(names)}


def _fields(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of meta, and those of `meta.extra`, which were columns of the data set as well."""
    extra = meta.get("extra")
    return {**(extra if isinstance(extra, Mapping) else {}), **meta}


def _value(meta: Mapping[str, Any], name: str) -> Any:
    found = meta.get(name)
    return meta.get("expected_answer") if found is None and name in EXPECTED_NAMES else found


def _completion(trace: Trace) -> str:
    """What the model wrote: the reasoning in think tags, then the answer; a reasoning without answer is not closed."""
    text = completion(trace, Tally(), tags=THINK_TAGS)
    if text is not None:
        return text
    reasoning, (begin, end) = reasoning_of(trace), THINK_TAGS
    if begin in reasoning or end in reasoning or not reasoning or trace.final_answer:
        return "\n\n".join(filter(None, (reasoning, trace.final_answer)))
    return f"{begin}{reasoning}"


def _conversation(trace: Trace) -> list[dict[str, str]]:
    system = system_of(trace)
    return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": trace.prompt}]
