"""Langfuse: a trace with its observations, exported as JSON whose inputs and outputs are often JSON inside of texts.

Source: only the documentation of Langfuse's API (trace and observation). A row of an observation alone is a trace
where the observation is a generation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, as_line
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, first_text, rest_of
from tunix_rt.formats.text.dialogue import found_in_answer, prompt_of
from tunix_rt.formats.text.langchain import as_chat
from tunix_rt.formats.text.messages import Turn, call_text, turn, turn_of
from tunix_rt.formats.text.sessions import Said, found_in_session
from tunix_rt.json_values import parsed

_ASKED = ("input", "question", "query", "prompt", "text", "content", "message")
_ANSWERED = ("output", "answer", "response", "result", "text", "content", "completion")
# Observations that hold others; what goes in and out of them is in those.
_HOLDING = {"SPAN", "AGENT", "CHAIN", "EVENT", "EVALUATOR", "GUARDRAIL"}
_TEXTS = ("input", "output", "metadata")


class LangfuseReader:
    """`trace` and `observations` of `type` (GENERATION, SPAN, TOOL, …), `input`, `output`, `model`; or one of these."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it is a trace with observations, or a generation."""
        observations = value.get("observations")
        if isinstance(observations, list):
            if any(isinstance(one, dict) and {"type", "input"} <= one.keys() for one in observations):
                return None
            return "observations without type and input"
        if value.get("type") == "GENERATION" and not {"traceId", "trace_id"}.isdisjoint(value) and "output" in value:
            return None
        return "no field observations"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row: what its observations made, called and got are steps, its output is the answer."""
        value = as_json(row.fields)
        if "observations" not in value:
            yield _of_generation(value)
            return
        own = value.get("trace")
        trace = own if isinstance(own, dict) else rest_of(value, "observations")
        extra: dict[str, Any] = rest_of(value, "trace", "observations") if isinstance(own, dict) else {}
        observations = each(value, "observations", dict)
        if all(isinstance(one.get(name), str) for one in observations for name in [_begin(one)]):
            observations = sorted(observations, key=lambda one: str(one[_begin(one)]))
        said = _said(trace, observations)
        extra["trace"] = _parsed_texts(rest_of(trace, "input", "output", "observations"))
        extra["observations"] = [_parsed_texts(rest_of(one, "input", "output")) for one in observations]
        yield from found_in_session(said, by_turn=False, path="observations", meta={}, extra=extra)


def _said(trace: Mapping[str, Any], observations: Sequence[Mapping[str, Any]]) -> list[Said]:
    asked = _turns(trace.get("input"), _ASKED, "trace.input", role="user")
    generations = [one for one in observations if _kind(one) == "GENERATION"]
    if not asked and generations:
        asked = _turns(generations[0].get("input"), _ASKED, "observations.input", role="user")
    first = next((n for n, one in enumerate(asked) if one.role == "assistant"), len(asked))
    gathered = _Gathered(asked[:first])
    parents = {str(one.get("parentObservationId") or one.get("parent_observation_id")) for one in observations}
    for n, one in enumerate(observations):
        if _kind(one) == "GENERATION":
            gathered.take_generation(one, f"observations.{n}")
        elif _kind(one) not in _HOLDING or (str(one.get("id")) not in parents and one.get("output") is not None):
            gathered.take_tool(one)
    said = gathered.said
    answers = _turns(trace.get("output"), _ANSWERED, "trace.output", role="assistant")
    final = answers[-1].text if answers else ""
    last = next((one.text for one in reversed(said) if one.kind in ("text", "call", "result")), "")
    return [*said, Said("text", final)] if final and final.strip() != last.strip() else said


class _Gathered:
    """What was said, each thing once.

    A call is in the model's output and in the observation of the tool, a result there and in the next input.
    """

    def __init__(self, asked: Sequence[Turn]) -> None:
        self.said = [Said("context" if one.role == "system" else "asked", one.shown) for one in asked]
        self._seen = {one.shown for one in asked}
        self._called: list[str] = []

    def take_generation(self, one: Mapping[str, Any], path: str) -> None:
        for message in _turns(one.get("input"), _ASKED, f"{path}.input", role="user"):
            if message.role == "tool":
                self._take_result(message.shown)
        if isinstance(one.get("model"), str):
            self.said.append(Said("model", one["model"]))
        for answer in _turns(one.get("output"), _ANSWERED, f"{path}.output", role="assistant"):
            self.said += _of_answer(answer)
            self._called += [str(first_text(_function(call), "name")[1]) for call in answer.calls]

    def take_tool(self, one: Mapping[str, Any]) -> None:
        name = str(one.get("name") or one.get("type"))
        if name in self._called:
            self._called.remove(name)
        else:
            self.said.append(Said("call", call_text({"name": name, "arguments": _value(one.get("input"))})))
        self._take_result(_shown(one.get("output")))

    def _take_result(self, result: str) -> None:
        if result not in self._seen:
            self._seen.add(result)
            self.said.append(Said("result", result))


def _of_answer(answer: Turn) -> Iterator[Said]:
    for part in answer.parts:
        if part.kind == "reasoning":
            yield Said("reasoning", part.text, part.rest)
        elif part.kind == "redacted":
            yield Said("redacted", "", part.rest)
    yield Said("text", answer.without_calls().shown)
    for call in answer.calls:
        yield Said("call", call_text(call))


def _of_generation(value: Mapping[str, Any]) -> Found:
    answers = _turns(value.get("output"), _ANSWERED, "output", role="assistant")
    if not answers:
        raise TraceInvalid(Problem("output", "there is no message of the assistant"))
    prompt = prompt_of(_turns(value.get("input"), _ASKED, "input", role="user"))
    extra = _parsed_texts(rest_of(value, "input", "output", "model"))
    meta = {"model": first_text(value, "model", "providedModelName", "provided_model_name")[1]}
    return found_in_answer(prompt, answers[-1], path="output", meta=meta, extra=extra)


def _kind(observation: Mapping[str, Any]) -> str:
    return str(observation.get("type")).upper()


def _begin(observation: Mapping[str, Any]) -> str:
    return "startTime" if "startTime" in observation else "start_time"


def _function(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    return function if isinstance(function, dict) else call


def _value(given: Any) -> Any:
    """The value of a text that is JSON; anything else as it is."""
    if isinstance(given, str) and given.lstrip()[:1] in ("{", "[", '"'):
        try:
            return parsed(given)
        except (ValueError, RecursionError):
            return given
    return given


def _parsed_texts(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_json(_value(item)) if name in _TEXTS else item for name, item in fields.items()}


def _shown(given: Any) -> str:
    value = _value(given)
    if isinstance(value, dict):
        _, text = first_text(value, *_ANSWERED)
        if text is not None and len(value) == 1:
            return text
    return "" if value is None else as_line(value)


def _turns(given: Any, names: Sequence[str], path: str, *, role: str) -> list[Turn]:
    """The messages in an input or output: of a list, of an object that has them, of its one text, or of all of it."""
    value = _value(given)
    if value is None or value in ("", []):
        return []
    if isinstance(value, dict) and (turns := _turns_in(value, names, path, role=role)) is not None:
        return turns
    if isinstance(value, list):
        chats = [as_chat(one) for one in value]
        if all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in chats):
            return [turn_of(one, f"{path}.{n}") for n, one in enumerate(chats)]
    return [turn(role, as_line(value), path)]


def _turns_in(value: Mapping[str, Any], names: Sequence[str], path: str, *, role: str) -> list[Turn] | None:
    """The messages in an object; None where it has none, and no text or object under one of these names."""
    chat = as_chat(value)
    if isinstance(chat.get("role"), str):
        return [turn_of(chat, path)]
    for name in ("messages", "choices"):
        if isinstance(value.get(name), list):
            inner = [one.get("message", one) if isinstance(one, dict) else one for one in value[name]]
            return _turns(inner, names, f"{path}.{name}", role=role)
    if role == "assistant" and not {"content", "tool_calls"}.isdisjoint(value):
        return [turn_of({"role": role} | dict(value), path)]
    _, text = first_text(value, *names)
    if text is not None:
        return [turn(role, text, path)]
    named = next((name for name in names if isinstance(value.get(name), list | dict)), None)
    return None if named is None else _turns(value[named], names, f"{path}.{named}", role=role)
