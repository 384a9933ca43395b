"""Files of no known format that a form holds back until it is chosen what their fields are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunix_rt import render
from tunix_rt.errors import QueryInvalid, SourceInvalid, TunixRTError
from tunix_rt.formats import Reading, Rejection, first_rows, mapped_format, parts_of, sources_in, without_conflicts
from tunix_rt.model import Trace
from tunix_rt.store.ingest.chunk import Encoded
from tunix_rt.store.ingest.encoding import encoded
from tunix_rt.validation import short
from tunix_rt.widgets.incoming import Origin

Mapped = dict[str, Any]

# What a field can be chosen for, in the words of the form; the first ones are parts of a trace.
_TARGETS = {
    "prompt": "prompt",
    "completion": "model's text (with its reasoning)",
    "reasoning": "reasoning",
    "steps": "steps (a list)",
    "final_answer": "answer",
    "messages": "chat (a list of messages)",
    "meta.expected_answer": "expected answer",
    "meta.correct": "correct or not",
    "meta.reward": "reward",
    "meta.model": "model",
}
_PARTS = ("prompt", "completion", "reasoning", "steps", "final_answer", "messages")
_MOST_FIELDS = 100
_MOST_NESTED = 3
_SAMPLE_CHARS = 40
# The first rows are read as a load reads them; of these so many are shown.
_TRIED = 20
_SHOWN_ROWS = 3
_SHOWN_CHARS = {"prompt": 240, "steps": 160, "answer": 120, "meta": 200, "problem": 400}


class Unread:
    """Files whose rows have the same fields, what these are taken for so far, and the first rows read that way.

    `refused` is the error of the first one. Raises SourceInvalid where its rows cannot be read at all.
    """

    def __init__(self, origin: Origin, refused: SourceInvalid, *, how: Mapping[str, Any], trace_max_bytes: int) -> None:
        self.origins = [origin]
        self.fields = refused.fields
        self.how = dict(how)
        self.mappings = refused.mappings
        self.mapping: Mapped = dict(refused.mapping or {})
        self._trace_max_bytes = trace_max_bytes
        found = dict(_fields_in(first_rows(_first_file(origin.path), how["encoding"])))
        taken = [given for one in self.mappings for given in one.values() if not isinstance(given, str)]
        self._choices = [
            {"text": f"{name} · {sample}" if sample else name, "given": name} for name, sample in found.items()
        ]
        self._choices += [{"text": _taken(given), "given": given} for given in taken]

    @property
    def name(self) -> str:
        """The first file, and how many more there are."""
        more = len(self.origins) - 1
        return self.origins[0].name + (f" and {render.count(more, 'more file')}" if more else "")

    @property
    def is_complete(self) -> bool:
        """Whether a part of a trace is taken from a field."""
        return any(target in self.mapping for target in _PARTS)

    def map(self, mapping: Any) -> None:
        """Chooses the fields anew; of two targets that cannot be combined the later one stays.

        Raises QueryInvalid for a mapping that `TraceStore.load` does not accept; it may lack all parts of a trace yet.
        """
        if not isinstance(mapping, Mapping):
            raise QueryInvalid(f"mapping={short(mapping)}: must be a dictionary of targets and fields")
        chosen = without_conflicts(mapping)
        if any(target in chosen for target in _PARTS):
            mapped_format(chosen)
        else:
            mapped_format({"prompt": "prompt", **chosen})
        self.mapping = chosen

    def forget(self) -> None:
        """Forgets the files that a browser sent."""
        for origin in self.origins:
            origin.forget(origin.path)

    def shown(self) -> dict[str, Any]:
        """What the form shows: choices and targets, the proposals, and the first rows as they would be stored."""
        choices = [*self._choices]
        for given in self.mapping.values():
            if given not in [one["given"] for one in choices]:
                choices.append({"text": _taken(given), "given": given})
        at = {json.dumps(one["given"]): index for index, one in enumerate(choices)}
        targets = dict.fromkeys([*_TARGETS, *self.mapping])
        rows = list(self._rows()) if self.is_complete else []
        return {
            "name": render.visible(self.name),
            "n_files": len(self.origins),
            "choices": [{"text": render.visible(one["text"]), "given": one["given"]} for one in choices],
            "targets": [
                {
                    "target": target,
                    "label": render.visible(_label(target)),
                    "chosen": at.get(json.dumps(self.mapping.get(target)), -1),
                }
                for target in targets
            ],
            "proposals": [{"line": render.visible(_line(one)), "mapping": one} for one in self.mappings],
            "rows": _shown_of(rows),
            "said": self._said(rows),
            "can_add": any(not row["problem"] for row in rows),
        }

    def _said(self, rows: Sequence[Mapping[str, str]]) -> str:
        if not self.is_complete:
            return "Choose at least what the prompt is, or what the model wrote."
        n_bad = sum(bool(row["problem"]) for row in rows)
        first = f"Of the first {render.count(len(rows), 'row')}, " if len(rows) > 1 else "Of the first row, "
        if not n_bad:
            return f"{first}all can be read this way." if len(rows) > 1 else "The first row can be read this way."
        return f"{first}{'none' if n_bad == len(rows) else f'{len(rows) - n_bad:,}'} can be read this way."

    def _rows(self) -> Iterator[dict[str, str]]:
        """The first traces that the mapping gives, and the rows that it does not read, with the reason."""
        origin = self.origins[0]
        n = 0
        try:
            for part in parts_of(_first_file(origin.path), lambda _: None, self.how["encoding"]):
                with Reading(part, format=mapped_format(self.mapping)) as reading:
                    for found in reading:
                        ready = encoded(found, self._trace_max_bytes)
                        if isinstance(ready, Rejection):
                            told = f"{ready.field}: {ready.reason}" if ready.field else ready.reason
                            yield _shown_row(problem=f"line {ready.line:,}: {told}" if ready.line else told)
                        elif isinstance(ready, Encoded):
                            yield _of_trace(Trace.from_json(ready.line.joined()))
                        n += 1
                        if n == _TRIED:
                            return
        except TunixRTError as error:
            yield _shown_row(problem=origin.named(str(error)))


def _first_file(path: str) -> Path:
    first, *_ = sources_in(path, lambda: None, None).sources
    return Path(first) if isinstance(first, Path) else Path(first.path)


def _fields_in(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The fields of rows by their paths, each with what the first row that has it holds there."""
    found: dict[str, str] = {}
    for row in rows:
        for path, value in _leaves(row, "", _MOST_NESTED):
            if len(found) < _MOST_FIELDS or path in found:
                found[path] = found.get(path) or _sample(value)
    yield from found.items()


def _leaves(value: Mapping[str, Any], before: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        # A mapping has no name for the others.
        if not key or "{" in key or (before and "." in key):
            continue
        path = f"{before}{key}"
        if isinstance(inner, dict) and inner and depth > 1:
            yield from _leaves(inner, f"{path}.", depth - 1)
            continue
        yield path, inner
        if isinstance(inner, list) and inner and isinstance(inner[0], dict) and depth > 1:
            yield from _leaves(inner[0], f"{path}.0.", depth - 1)


def _sample(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    return render.one_line(value if isinstance(value, str) else json.dumps(value, default=str), _SAMPLE_CHARS)


def _label(target: str) -> str:
    return _TARGETS.get(target, target.replace("meta.", "meta: "))


def _line(mapping: Mapping[str, Any]) -> str:
    return render.mapping_line({_label(target).partition(" (")[0]: given for target, given in mapping.items()})


def _taken(given: Any) -> str:
    return render.mapping_line({"": given}).removeprefix(" ← ")


def _of_trace(trace: Trace) -> dict[str, str]:
    steps = "no steps"
    if trace.steps:
        steps = f"{render.count(len(trace.steps), 'step')}: {trace.steps[0].content}"
    known = trace.meta or {}
    meta = {key: value for key, value in known.items() if key not in ("source", "extra")}
    told = [f"{key.replace('_', ' ')}: {_sample(value)}" for key, value in meta.items()]
    if isinstance(extra := known.get("extra"), dict):
        told.append(f"also kept: {', '.join(extra)}")
    return _shown_row(prompt=trace.prompt, steps=steps, answer=trace.final_answer or "", meta=" · ".join(told))


def _shown_row(**texts: str) -> dict[str, str]:
    return {name: render.visible(render.one_line(texts.get(name, ""), most)) for name, most in _SHOWN_CHARS.items()}


def _shown_of(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The first traces, and the first row that cannot be read."""
    good = [row for row in rows if not row["problem"]][:_SHOWN_ROWS]
    return good + [row for row in rows if row["problem"]][:1]
