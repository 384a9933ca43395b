"""What a judge may answer: the JSON Schema of it, the marked last line where a server has none, and how it is read."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from tunix_rt.analysis import Score
from tunix_rt.errors import QueryInvalid
from tunix_rt.validation import short

MARK = "VERDICT:"
_MOST_LABELS = 100
_YES, _NO = ("yes", "true"), ("no", "false")
# With which models emphasise the mark, or the word behind it.
_EMPHASIS = "*_#>` \t\r"
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")


class Unreadable(ValueError):
    """Why a reply is not a verdict."""


class Form(Protocol):
    """What may be answered: `words` say it, `schema` is that of the verdict; samples are averaged if `is_measure`."""

    words: str
    schema: Mapping[str, Any]
    is_measure: bool

    def read(self, found: Any, n_steps: int, /) -> Score:
        """The score for a verdict, a value of JSON or the text behind the mark; raises Unreadable."""


class YesNo:
    """Yes or no."""

    words = "yes or no"
    schema: Mapping[str, Any] = {"type": "boolean"}
    is_measure = False

    def read(self, found: Any, _: int, /) -> Score:
        """The boolean."""
        word = found.strip(" .").lower() if isinstance(found, str) else found
        if word is True or word in _YES:
            return Score(value=True)
        if word is False or word in _NO:
            return Score(value=False)
        raise Unreadable(f"the verdict {short(found)} is neither yes nor no")


class Labels:
    """One of some labels."""

    is_measure = False

    def __init__(self, labels: Sequence[Any]) -> None:
        is_text = all(isinstance(one, str) and one == one.strip() and 0 < len(one) <= _MOST_LABELS for one in labels)
        if not is_text or not 1 < len(labels) <= _MOST_LABELS or len({one.lower() for one in labels}) < len(labels):
            raise QueryInvalid(
                f"answer={short(labels)}: must be 2 to {_MOST_LABELS} different labels of 1 to 100 characters"
            )
        self._labels = tuple(labels)
        self.words = "one of " + ", ".join(labels)
        self.schema: Mapping[str, Any] = {"type": "string", "enum": list(labels)}

    def read(self, found: Any, _: int, /) -> Score:
        """The label, as it was given to the judge."""
        word = found.strip().lower() if isinstance(found, str) else None
        for label in self._labels:
            if word in (label.lower(), label.lower() + "."):
                return Score(label=label)
        raise Unreadable(f"the verdict {short(found)} is not one of the labels")


class Range:
    """A number between two, both included; whole if both are."""

    is_measure = True

    def __init__(self, low: Any, high: Any) -> None:
        is_number = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (low, high))
        if not is_number or not -math.inf < low < high < math.inf:
            raise QueryInvalid(f"answer={short((low, high))}: must be two numbers, the lower one first")
        self._low, self._high = low, high
        self._is_whole = isinstance(low, int) and isinstance(high, int)
        self.words = f"a{' whole' if self._is_whole else ''} number from {low} to {high}"
        kind = "integer" if self._is_whole else "number"
        self.schema: Mapping[str, Any] = {"type": kind, "minimum": low, "maximum": high}

    def read(self, found: Any, _: int, /) -> Score:
        """The number."""
        number = _number(found)
        if not self._low <= number <= self._high or (self._is_whole and number != int(number)):
            raise Unreadable(f"the verdict {short(found)} is not {self.words}")
        return Score(value=number)


class FirstWrongStep:
    """The index of the first wrong step, from 0; -1 where none is, as in ProcessBench (Zheng et al. 2024)."""

    words = "the number of the first wrong step, or -1 if no step is wrong"
    schema: Mapping[str, Any] = {"type": "integer", "minimum": -1}
    is_measure = False

    def read(self, found: Any, n_steps: int, /) -> Score:
        """The index; a step that the trace does not have is unreadable."""
        return Score(value=float(_step(found, -1, n_steps)))


class WrongSteps:
    """The indices of all wrong steps, as evidence; the value says whether every step is right."""

    words = "the list of the numbers of all wrong steps, as [0, 2], or [] if no step is wrong"
    schema: Mapping[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    is_measure = False

    def read(self, found: Any, n_steps: int, /) -> Score:
        """Whether all steps are right; a step that the trace does not have is unreadable."""
        numbers = _parsed(found) if isinstance(found, str) else found
        if not isinstance(numbers, list):
            raise Unreadable(f"the verdict {short(found)} is not a list of steps")
        wrong = sorted({_step(one, 0, n_steps) for one in numbers})
        return Score(value=not wrong, metadata={"wrong_steps": wrong})


class Model:
    """A pydantic model, one field of which is the value, the others evidence."""

    def __init__(self, model: type[BaseModel], field: str | None) -> None:
        known = list(model.model_fields)
        only = known[0] if field is None and len(known) == 1 else None
        name = only or field or "verdict"
        if name not in known:
            raise QueryInvalid(
                f"field={short(name)}: must be the field of {model.__name__} that is the value: {', '.join(known)}"
            )
        self._model, self._field = model, name
        self.is_measure = model.model_fields[name].annotation in (int, float)
        self.schema: Mapping[str, Any] = model.model_json_schema()
        self.words = f"a JSON object on one line, with this schema: {json.dumps(self.schema)}"

    def read(self, found: Any, _: int, /) -> Score:
        """The value of the field."""
        try:
            if isinstance(found, str):
                answer = self._model.model_validate_json(found)
            else:
                answer = self._model.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise Unreadable(f"{'.'.join(map(str, first['loc'])) or 'the verdict'}: {first['msg']}") from None
        rest = answer.model_dump(mode="json")
        value, explanation = rest.pop(self._field), rest.pop("explanation", None)
        said = None if explanation is None else str(explanation)
        if isinstance(value, str) and value:
            return Score(label=value, explanation=said, metadata=rest)
        if isinstance(value, bool | int | float):
            return Score(value=value, explanation=said, metadata=rest)
        raise Unreadable(f"the field {self._field} is {short(value)}, not a number, a boolean or a label")


def form_of(answer: Any, field: str | None) -> Form:
    """The form that the user named: bool, a list of labels, (low, high), a pydantic model; raises QueryInvalid."""
    is_model = isinstance(answer, type) and issubclass(answer, BaseModel)
    if field is not None and not is_model:
        raise QueryInvalid(f"field={short(field)}: only of a pydantic model one field is the value; leave it out")
    if answer is bool:
        return YesNo()
    if is_model:
        return Model(answer, field)
    if isinstance(answer, list):
        return Labels(answer)
    if isinstance(answer, tuple) and len(answer) == 2:  # noqa: PLR2004 - low and high
        return Range(*answer)
    raise QueryInvalid(
        f"answer={short(answer)}: must be bool, a list of labels, (low, high), or a class of pydantic's BaseModel"
    )


def object_schema(form: Form) -> Mapping[str, Any]:
    """The schema of the JSON object that a server is requested to make: the verdict, after its explanation."""
    if isinstance(form, Model):
        return form.schema
    return {
        "type": "object",
        "properties": {"explanation": {"type": "string"}, "verdict": form.schema},
        "required": ["explanation", "verdict"],
        "additionalProperties": False,
    }


def read_object(form: Form, text: str, n_steps: int) -> Score:
    """The score for a reply that is a JSON object; raises Unreadable."""
    found = _parsed(_without_fence(_without_thoughts(text)))
    if not isinstance(found, dict):
        raise Unreadable(f"the reply {short(text)} is not a JSON object")
    if isinstance(form, Model):
        return form.read(found, n_steps)
    if "verdict" not in found:
        raise Unreadable(f"the reply {short(text)} has no verdict")
    return _explained(form.read(found["verdict"], n_steps), found.get("explanation"))


def read_line(form: Form, text: str, n_steps: int) -> Score:
    """The score for a reply whose last line has the mark and the verdict; raises Unreadable."""
    before, _, last = _without_thoughts(text).rstrip("` \n").rpartition("\n")
    marked = last.strip(_EMPHASIS)
    if not marked.upper().startswith(MARK):
        raise Unreadable(f"the last line of the reply, {short(last)}, does not begin with {MARK}")
    return _explained(form.read(marked[len(MARK) :].strip(_EMPHASIS), n_steps), before.strip() or None)


def _explained(score: Score, explanation: Any) -> Score:
    said = score.explanation or (explanation if isinstance(explanation, str) else None)
    return Score(value=score.value, label=score.label, explanation=said, metadata=score.metadata)


def _without_thoughts(text: str) -> str:
    """The text after what the model thought inline; thoughts without an end hold no verdict."""
    text = text.strip()
    if text.startswith("<think>"):
        _, ended, rest = text.partition("</think>")
        if not ended:
            raise Unreadable("the reply has thoughts, and nothing after them")
        return rest.strip()
    # Where a chat template opens the thoughts, only their end is in the reply. In JSON it is a word of the explanation.
    return text if text.startswith("{") else text.rpartition("</think>")[2].strip()


def _without_fence(text: str) -> str:
    is_fenced = text.startswith("```") and text.endswith("```") and "\n" in text
    return text[:-3].partition("\n")[2] if is_fenced else text


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable(f"the reply {short(text)} is not JSON") from None


def _number(found: Any) -> float:
    if isinstance(found, str) and _NUMBER.fullmatch(found.strip(" .")):
        found = float(found.strip(" ."))
    if not isinstance(found, int | float) or isinstance(found, bool) or not abs(found) < 1e15:  # noqa: PLR2004
        raise Unreadable(f"the verdict {short(found)} is not a number")
    return float(found)


def _step(found: Any, least: int, n_steps: int) -> int:
    number = _number(found)
    if number != int(number) or not least <= number < n_steps:
        raise Unreadable(f"the verdict names step {short(found)}; the trace has {n_steps:,}, counted from 0")
    return int(number)
