"""Rows of any shape, by a mapping of their fields that was given by hand."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, QueryInvalid, TraceInvalid
from tunix_rt.formats.rows.common_meta import with_common_meta
from tunix_rt.formats.rows.found import plain_draft
from tunix_rt.formats.rows.row import Draft, Row
from tunix_rt.formats.rows.trace_fields import StepFields
from tunix_rt.formats.rows.typed_fields import rest_of
from tunix_rt.formats.text.think_tags import parse_written, split_steps
from tunix_rt.validation import short

_TARGETS = ("prompt", "final_answer", "steps", "reasoning", "completion")
_KNOWN = f"{', '.join(_TARGETS)} and meta.KEY"
# Each of these has the steps; a completion also has the answer.
_EXCLUSIVE = (
    ("steps", "reasoning"),
    ("completion", "steps"),
    ("completion", "reasoning"),
    ("completion", "final_answer"),
)
_META = re.compile(r"meta(\.[^.]+)+")
_MISSING = object()


class MappedReader:
    """Fields by hand: the targets on the left, on the right the fields of the row, into which dots reach.

    `prompt`; `final_answer`, a text or a number; `steps`, a list of texts or of steps; `reasoning`, a text that is
    split into steps; `completion`, what a model wrote, with its reasoning between tags such as `<think>`; and any
    `meta.KEY`. What is not mapped stays under `meta["extra"]`. Raises QueryInvalid for an invalid mapping.
    """

    def __init__(self, mapping: Mapping[str, str]) -> None:
        if not isinstance(mapping, Mapping):
            raise QueryInvalid(
                f'mapping={short(mapping)}: must be a dictionary, as in mapping={{"prompt": "question"}}'
            )
        for target, field in mapping.items():
            if not isinstance(target, str) or (target not in _TARGETS and not _META.fullmatch(target)):
                raise QueryInvalid(
                    f"mapping: unknown target {short(target)}; known are {_KNOWN} "
                    '(the target is on the left, the field of the row on the right: {"prompt": "question"})'
                )
            if not isinstance(field, str) or not field:
                raise QueryInvalid(f"mapping: {target} must name a field of the row, not {short(field)}")
        if "prompt" not in mapping:
            raise QueryInvalid('mapping: there is no prompt; every trace has one, as in {"prompt": "question"}')
        for one, other in _EXCLUSIVE:
            if one in mapping and other in mapping:
                raise QueryInvalid(f"mapping: {one} cannot be combined with {other}; leave out one of them")
        self._mapping = dict(mapping)
        self._meta = {target.split(".", 1)[1]: field for target, field in mapping.items() if target not in _TARGETS}
        for key in self._meta:
            if key.split(".")[0] == "extra" or any(other.startswith(f"{key}.") for other in self._meta):
                raise QueryInvalid(
                    f"mapping: meta.{key} cannot be set: meta.extra has what is not mapped; no key may be in another"
                )

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where the row has all fields that the mapping names."""
        missing = [field for field in self._mapping.values() if _at(value, field) is _MISSING]
        return f"no {', '.join(missing)}" if missing else None

    def found(self, row: Row) -> Iterator[Draft]:
        """The one trace of the row."""
        value = row.fields
        found = {target: _at(value, field) for target, field in self._mapping.items()}
        if missing := [target for target in found if found[target] is _MISSING]:
            raise TraceInvalid(
                *(Problem(self._mapping[target], f"missing; the mapping takes {target} from it") for target in missing)
            )
        answer, steps = _number_as_text(found.get("final_answer")), found.get("steps") or []
        meta: dict[str, Any] = {"source": "mapping"}
        if "reasoning" in found:
            steps = split_steps(self._text(found, "reasoning"))
        elif "completion" in found:
            written = parse_written(self._text(found, "completion"))
            steps, answer = split_steps(written.reasoning), written.answer or None
            meta |= {"truncated": True} if written.cut else {}
        elif not isinstance(steps, list):
            raise TraceInvalid(Problem(self._mapping["steps"], "must be a list; map a text to reasoning"))
        else:
            steps = [_complete_step(i, step) for i, step in enumerate(steps)]
        for key in self._meta:
            _put(meta, key.split("."), found[f"meta.{key}"])
        extra = value
        for field in self._mapping.values():
            extra = _without(extra, [field] if field in value else field.split("."))
        meta, extra = with_common_meta(meta, extra)
        if extra:
            meta["extra"] = extra
        answer = None if answer == "" else answer
        yield plain_draft(row, prompt=found["prompt"], steps=steps, final_answer=answer, meta=meta)

    def _text(self, found: Mapping[str, Any], target: str) -> str:
        text = found[target]
        if text is not None and not isinstance(text, str):
            raise TraceInvalid(Problem(self._mapping[target], f"must be a string; the mapping takes {target} from it"))
        return text or ""


def _at(value: Any, path: str) -> Any:
    """The value at the path, _MISSING where there is none; a field whose own name has dots comes first."""
    if path in value:
        return value[path]
    for key in path.split("."):
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
        if not deeper:
            return value
        at = int(key)
        return [*value[:at], _without(value[at], deeper), *value[at + 1 :]]
    if not isinstance(value, dict) or key not in value:
        # Taken by another target already.
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
