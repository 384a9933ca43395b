"""Rows of any shape, by a mapping: what the parts of a trace are taken from."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from tunix_rt.errors import Problem, QueryInvalid, TraceInvalid
from tunix_rt.formats.rows.common_meta import with_common_meta
from tunix_rt.formats.rows.found import plain_draft
from tunix_rt.formats.rows.meta_values import as_line
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.trace_fields import StepFields
from tunix_rt.formats.rows.typed_fields import rest_of, typed
from tunix_rt.formats.text.dialogue import found_in_answer, prompt_of, split_at_answer
from tunix_rt.formats.text.messages import Turn, turns_of
from tunix_rt.formats.text.think_tags import parse_written, split_steps
from tunix_rt.json_values import parsed, plain
from tunix_rt.validation import short

_TARGETS = ("prompt", "final_answer", "steps", "reasoning", "completion", "messages")
_KNOWN = f"{', '.join(_TARGETS)}, rows and meta.KEY"
# Each of these has the steps; a completion also has the answer, messages have everything.
_EXCLUSIVE = (
    ("steps", "reasoning"),
    *(("completion", other) for other in ("steps", "reasoning", "final_answer")),
    *(("messages", other) for other in ("prompt", "steps", "reasoning", "completion", "final_answer")),
)
# Of these a row may hold several: a list in a field, or several fields.
_SAMPLED = ("completion", "reasoning", "final_answer")
_META = re.compile(r"meta(\.[^.]+)+")
_HOLE = re.compile(r"\{([^{}]+)\}")
_MISSING = object()


class _Taken(NamedTuple):
    """What a target is taken from: one field, several, a template with fields in it, or always the same value.

    Of `several`, a row may lack some: those of a prompt are joined, each of the others has a sample.
    """

    fields: tuple[str, ...]
    template: str | None = None
    several: Literal["", "joined", "samples"] = ""
    value: Any = None

    @property
    def told(self) -> str:
        """The fields, for an error."""
        return ", ".join(self.fields)


class MappedReader:
    """Fields by hand: the targets on the left, on the right what they are taken from, as REFERENCE.md says.

    What is not mapped stays under `meta["extra"]`. With `is_guessed`, a row may lack all but the prompt and the text of
    the model. Raises QueryInvalid for an invalid mapping.
    """

    def __init__(self, mapping: Mapping[str, Any], *, source: str = "mapping", is_guessed: bool = False) -> None:
        if not isinstance(mapping, Mapping):
            raise QueryInvalid(
                f'mapping={short(mapping)}: must be a dictionary, as in mapping={{"prompt": "question"}}'
            )
        self._source = source
        self._is_guessed = is_guessed
        self._taken: dict[str, _Taken] = {}
        self._rows: str | None = None
        for target, given in mapping.items():
            if not isinstance(target, str) or (target not in (*_TARGETS, "rows") and not _META.fullmatch(target)):
                raise QueryInvalid(
                    f"mapping: unknown target {short(target)}; known are {_KNOWN} "
                    '(the target is on the left, the field of the row on the right: {"prompt": "question"})'
                )
            if target == "rows":
                self._rows = _rows_field(given)
            else:
                self._taken[target] = _taken(target, given)
        if not any(target in self._taken for target in _TARGETS):
            raise QueryInvalid(
                "mapping: names no part of a trace; it needs one of prompt, completion, messages and final_answer"
            )
        for one, other in _EXCLUSIVE:
            if one in mapping and other in mapping:
                raise QueryInvalid(f"mapping: {one} cannot be combined with {other}; leave out one of them")
        self._meta = {target.split(".", 1)[1]: target for target in self._taken if target not in _TARGETS}
        for key in self._meta:
            if key.split(".")[0] == "extra" or any(other.startswith(f"{key}.") for other in self._meta):
                raise QueryInvalid(
                    f"mapping: meta.{key} cannot be set: meta.extra has what is not mapped; no key may be in another"
                )

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the row has all fields that the mapping names."""
        missing = [taken.told for taken in self._taken.values() if _at_all(value, taken) is _MISSING]
        return f"no {', '.join(missing)}" if missing else None

    def found(self, row: Row) -> Iterator[Draft | TraceInvalid]:
        """The traces of the row: one, or one for each sample, and those of the rows inside of it."""
        value = row.fields
        if self._rows is None:
            yield from self._found_in(row, value)
            return
        inside = _at(value, self._rows)
        if not isinstance(inside, list):
            raise TraceInvalid(Problem(self._rows, "must be a list of rows"))
        beside = _without(value, [self._rows] if self._rows in value else self._rows.split("."))
        for n, inner in enumerate(inside):
            path = f"{self._rows}.{n}"
            try:
                yield from self._found_in(row, {**beside, **typed(inner, dict, path)})
            except TraceInvalid as error:
                yield error if error.problems[0].field == path else error.within(path)

    def _found_in(self, row: Row, value: Mapping[str, Any]) -> Iterator[Draft | TraceInvalid]:
        found = {target: _at_all(value, taken) for target, taken in self._taken.items()}
        missing = [target for target in found if found[target] is _MISSING]
        if self._is_guessed:
            for target in [one for one in missing if one == "reasoning" or one not in _TARGETS]:
                missing.remove(target)
                del found[target]
        if missing:
            raise TraceInvalid(
                *(
                    Problem(self._taken[target].told, f"missing; the mapping takes {target} from it")
                    for target in missing
                )
            )
        extra: Any = value
        for taken in self._taken.values():
            for field in taken.fields:
                extra = _without(extra, [field] if field in value else field.split("."))
        samples = self._samples(found)
        for n, sample in enumerate(samples):
            if any(item is _MISSING for item in sample.values()):
                continue
            try:
                yield self._draft(row, sample, dict(extra), n if len(samples) > 1 else None)
            except TraceInvalid as error:
                # One bad sample among others; alone, it is the row.
                if len(samples) == 1:
                    raise
                yield error

    def _samples(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        """What each sample of the row has; one where the row holds no lists of them."""
        lists = {target: found[target] for target in _SAMPLED if isinstance(found.get(target), list)}
        steps = found.get("steps")
        if isinstance(steps, list) and steps and all(isinstance(one, list) for one in steps):
            lists["steps"] = steps
        if not lists:
            return [found]
        (first, samples), *others = lists.items()
        for target, other in others:
            if len(other) != len(samples):
                raise TraceInvalid(
                    Problem(self._taken[target].told, f"has {len(other):,} samples where {first} has {len(samples):,}")
                )
        if not samples:
            raise TraceInvalid(Problem(self._taken[first].told, "holds no sample"))
        parallel = {
            target
            for target, item in found.items()
            if target not in _TARGETS and isinstance(item, list) and len(item) == len(samples)
        } | set(lists)
        return [
            {target: item[n] if target in parallel else item for target, item in found.items()}
            for n in range(len(samples))
        ]

    def _draft(self, row: Row, found: Mapping[str, Any], extra: dict[str, Any], sample: int | None) -> Draft:
        prompt, steps, answer, its_meta = self._parts(found)
        meta: dict[str, Any] = {"source": self._source, **its_meta}
        if sample is not None:
            meta["sample"] = sample
        for key, target in self._meta.items():
            if target in found:
                _put(meta, key.split("."), found[target])
        meta, extra = with_common_meta(meta, extra, extra if sample is not None else {})
        if extra:
            meta["extra"] = extra
        answer = None if answer == "" else answer
        return plain_draft(row, prompt=prompt, steps=steps, final_answer=answer, meta=meta)

    def _parts(self, found: Mapping[str, Any]) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Prompt, steps and answer, and what messages have besides."""
        if "messages" in found:
            told = self._taken["messages"].told
            index, last, before = split_at_answer(_turns(found["messages"], told), told)
            read = found_in_answer(before, last, path=f"{told}.{index}", meta={}, extra={})
            return read.prompt, list(read.steps), read.answer, {k: v for k, v in read.meta.items() if v is not None}
        prompt: Any = found.get("prompt", "")
        meta: dict[str, Any] = {}
        if isinstance(prompt, list) and prompt and all(isinstance(one, dict) for one in prompt):
            prompt, meta = prompt_of(_turns(prompt, self._taken["prompt"].told))
        if "completion" in found:
            written = parse_written(self._text(found, "completion"))
            meta |= {"truncated": True} if written.cut else {}
            return prompt, split_steps(written.reasoning), written.answer or None, meta
        answer, steps = _number_as_text(found.get("final_answer")), _inside_of(found.get("steps")) or []
        if "reasoning" in found:
            steps = split_steps(self._text(found, "reasoning"))
        elif not isinstance(steps, list):
            raise TraceInvalid(Problem(self._taken["steps"].told, "must be a list; map a text to reasoning"))
        return prompt, [_complete_step(i, step) for i, step in enumerate(steps)], answer, meta

    def _text(self, found: Mapping[str, Any], target: str) -> str:
        text = found[target]
        if text is not None and not isinstance(text, str):
            raise TraceInvalid(
                Problem(self._taken[target].told, f"must be a string; the mapping takes {target} from it")
            )
        return text or ""


def without_conflicts(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping without the targets that cannot be combined with a later one.

    >>> without_conflicts({"prompt": "q", "reasoning": "cot", "completion": "a"})
    {'prompt': 'q', 'completion': 'a'}
    """
    order = list(mapping)
    pairs = [pair for pair in _EXCLUSIVE if pair[0] in order and pair[1] in order]
    earlier = {min(pair, key=order.index) for pair in pairs}
    return {target: given for target, given in mapping.items() if target not in earlier}


def _rows_field(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise QueryInvalid(f"mapping: rows must name the field that holds the rows, not {short(given)}")
    return given


def _taken(target: str, given: Any) -> _Taken:
    if isinstance(given, Mapping) and set(given) == {"value"}:
        try:
            return _Taken((), value=plain(given["value"]))
        except TraceInvalid as error:
            raise QueryInvalid(f"mapping: {target}: {error}") from None
    if isinstance(given, list | tuple) and given and all(isinstance(one, str) and one for one in given):
        if target != "prompt" and target not in _SAMPLED:
            raise QueryInvalid(
                f"mapping: {target} is taken from one field; only a prompt is joined from several, and only samples of "
                f"{', '.join(_SAMPLED)} stand in several"
            )
        return _Taken(tuple(given), several="joined" if target == "prompt" else "samples")
    if not isinstance(given, str) or not given:
        raise QueryInvalid(
            f'mapping: {target} must name a field of the row, or be {{"value": …}} for what is always the same, '
            f"not {short(given)}"
        )
    holes = _HOLE.findall(given)
    return _Taken(tuple(dict.fromkeys(holes)), template=given) if holes else _Taken((given,))


def _at_all(value: Any, taken: _Taken) -> Any:
    """What a target gets of a row; _MISSING where the row has nothing for it."""
    if not taken.fields:
        return taken.value
    found = {field: _at(value, field) for field in taken.fields}
    items = list(found.values())
    if taken.template is not None:
        has_all = not any(item is _MISSING for item in items)
        return _HOLE.sub(lambda hole: _as_text(found[hole[1]]), taken.template) if has_all else _MISSING
    if not taken.several or all(item is _MISSING for item in items):
        return items[0]
    if taken.several == "samples":
        return items
    return "\n\n".join(_as_text(item) for item in items if item not in (_MISSING, None, ""))


def _as_text(item: Any) -> str:
    return "" if item is None else as_line(item)


def _turns(value: Any, path: str) -> list[Turn]:
    """The messages of a field, which may be JSON in a text; those of ShareGPT have `from` and `value`."""
    value = _inside_of(value)
    if isinstance(value, list):
        value = [
            {"role": one["from"], "content": one.get("value"), **rest_of(one, "from", "value")}
            if isinstance(one, dict) and "role" not in one and isinstance(one.get("from"), str)
            else one
            for one in value
        ]
    return turns_of(value, path)


def _inside_of(value: Any) -> Any:
    """The list or the object that a text is as JSON; what is none as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            inner = parsed(value)
            return inner if isinstance(inner, list | dict) else value
    return value


def _at(value: Any, path: str) -> Any:
    """The value at the path, _MISSING where there is none; a field whose own name has dots comes first."""
    if path in value:
        return value[path]
    for key in path.split("."):
        value = _inside_of(value)
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def _without(value: Any, path: list[str]) -> Any:
    """A copy without the value at the path, nor the objects that are empty then; elements of lists stay."""
    key, *deeper = path
    if isinstance(value, list):
        if not deeper or not key.isdecimal() or int(key) >= len(value):
            return value
        at = int(key)
        return [*value[:at], _without(value[at], deeper), *value[at + 1 :]]
    if not isinstance(value, dict) or key not in value:
        # Taken by another target already, or JSON inside of a text, which stays whole.
        return value
    left = rest_of(value, key)
    inner = _without(value[key], deeper) if deeper else None
    return {name: inner if name == key else item for name, item in value.items()} if inner else left


def _put(meta: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(meta.get(key), dict):
            meta[key] = {}
        meta = meta[key]
    meta[path[-1]] = value


def _number_as_text(answer: Any) -> Any:
    return json.dumps(answer) if isinstance(answer, int | float) else answer


def _complete_step(i: int, step: Any) -> str | StepFields:
    if isinstance(step, dict):
        return {"i": i, "type": "step"} | step  # type: ignore[return-value]
    return step  # type: ignore[no-any-return]
