"""Spans of calls to a model, as telemetry records them: OpenTelemetry's GenAI conventions, and OpenInference.

Sources: open-telemetry/semantic-conventions (gen-ai) and Arize-ai/openinference (spec). The attributes of a span are
in the row itself (a table of spans, maybe named `attributes.…`), in `attributes` as an object, or there as OTLP's list
of `{key, value: {stringValue}}`; a row may also be an OTLP document with `resourceSpans`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field, first_text, rest_of, typed
from tunix_rt.formats.text.dialogue import Prompt, found_in_answer, prompt_of, sample_of, split_at_answer, system_turns
from tunix_rt.formats.text.messages import Turn, part_of, turn_of
from tunix_rt.json_values import parsed

# A longer number is not an index, and Python refuses to read one of thousands of digits.
_INDEX_DIGITS = 9


class _Call(NamedTuple):
    """A call to a model: its input and its output, and what else its span has."""

    prompt: list[Turn]
    answers: list[Turn]
    model: str | None
    finishes: list[Any]
    used: Callable[[str], bool]


class _SpanReader(ABC):
    """What the two conventions have in common: a span, wherever it has its attributes."""

    output: str

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where a span has attributes with the messages that a model put out."""
        try:
            if any(
                name == self.output or name.startswith(f"{self.output}.")
                for fields, _ in _spans(value)
                for name in _attributes(fields)
            ):
                return None
        except (TraceInvalid, RecursionError):
            return "attributes that are not those of a span"
        return f"no attribute {self.output}"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each answer in the span, or in each of the spans."""
        try:
            for fields, path in _spans(row.fields):
                try:
                    for found in self._found(fields):
                        yield found._replace(path=path)
                except TraceInvalid as error:
                    yield error.within(path) if path else error
        except RecursionError:
            raise TraceInvalid(Problem(None, "nested too deeply")) from None

    def _found(self, fields: Mapping[str, Any]) -> Iterator[Found]:
        attributes = _attributes(fields)
        call = self._call(attributes)
        answers = _answers(call.prompt, call.answers, self.output)
        for n, (prompt, answer, path) in enumerate(answers):
            finish = call.finishes[n] if n < len(call.finishes) and not answer.rest.get("finish_reason") else None
            meta = {
                "model": call.model,
                "finish_reason": finish if isinstance(finish, str) else None,
                **sample_of(n, answers, attributes),
            }
            yield found_in_answer(prompt, answer, path=path, meta=meta, extra=_without(fields, call.used))

    @abstractmethod
    def _call(self, attributes: Mapping[str, Any]) -> _Call:
        """The call in the attributes."""


class OtelGenAiReader(_SpanReader):
    """`gen_ai.input.messages` and `gen_ai.output.messages`, as JSON text or lists, of messages with typed parts."""

    output = "gen_ai.output.messages"

    def _call(self, attributes: Mapping[str, Any]) -> _Call:
        messages = _parsed(attributes.get("gen_ai.input.messages"), "gen_ai.input.messages")
        system = attributes.get("gen_ai.system_instructions")
        if isinstance(system, str):
            # Some write the bare text where the convention wants a list of parts.
            system = _parsed(system, "gen_ai.system_instructions") if system.lstrip().startswith("[") else system
        turns = [] if system is None else system_turns(system, "gen_ai.system_instructions")
        turns += [turn_of(message, path) for path, message in _numbered(messages, "gen_ai.input.messages")]
        answers = [
            turn_of({"role": "assistant"} | typed(message, dict, path), path)
            for path, message in _numbered(_parsed(attributes.get(self.output), self.output), self.output)
        ]
        named, model = first_text(attributes, "gen_ai.response.model", "gen_ai.request.model")
        finishes = attributes.get("gen_ai.response.finish_reasons")
        used = {"gen_ai.input.messages", "gen_ai.system_instructions", self.output, named}
        return _Call(turns, answers, model, finishes if isinstance(finishes, list) else [], used.__contains__)


class OpenInferenceReader(_SpanReader):
    """`llm.input_messages` and `llm.output_messages`, flattened: `llm.output_messages.0.message.content`."""

    output = "llm.output_messages"

    def _call(self, attributes: Mapping[str, Any]) -> _Call:
        prompt = [
            _openinference_turn(*one)
            for one in _numbered(_tree(attributes, "llm.input_messages"), "llm.input_messages")
        ]
        answers = [
            _openinference_turn(*one, role="assistant")
            for one in _numbered(_tree(attributes, self.output), self.output)
        ]
        named, model = first_text(attributes, "llm.model_name")
        ended, finish = first_text(attributes, "llm.finish_reason")

        def used(name: str) -> bool:
            return name in {named, ended} or f"{name}.".startswith(("llm.input_messages.", f"{self.output}."))

        return _Call(prompt, answers, model, [finish], used)


def _spans(value: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The spans of a row, each with its path: the row itself, or those of an OTLP document."""
    if "resourceSpans" not in value:
        yield value, ""
        return
    for at_resource, of_resource in _each(value, "resourceSpans", ""):
        for at_scope, of_scope in _each(of_resource, "scopeSpans", at_resource):
            around = {"resource": of_resource.get("resource"), "scope": of_scope.get("scope")}
            around = {name: held for name, held in around.items() if held}
            for path, span in _each(of_scope, "spans", at_scope):
                yield around | span, path


def _each(value: Mapping[str, Any], name: str, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    at = f"{path}." if path else ""
    for n, item in enumerate(field(value, name, list, at=at)):
        yield f"{at}{name}.{n}", typed(item, dict, f"{at}{name}.{n}")


def _attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a span, by name."""
    named = {name.removeprefix("attributes."): item for name, item in fields.items() if name != "attributes"}
    held = fields.get("attributes")
    if isinstance(held, dict):
        return named | held
    if isinstance(held, list):
        return named | _from_otlp(held, "attributes")
    return named


def _without(fields: Mapping[str, Any], used: Callable[[str], bool]) -> dict[str, Any]:
    """The span without the attributes that were mapped."""
    left = {name: item for name, item in fields.items() if not used(name.removeprefix("attributes."))}
    held = left.pop("attributes", None)
    if isinstance(held, dict):
        held = {name: item for name, item in held.items() if not used(name)}
    elif isinstance(held, list):
        held = [item for item in held if not used(item["key"])]
    return left | ({"attributes": held} if held else {})


def _from_otlp(pairs: Any, path: str) -> dict[str, Any]:
    named = {}
    for n, pair in enumerate(typed(pairs, list, path)):
        fields = typed(pair, dict, f"{path}.{n}")
        named[field(fields, "key", str, at=f"{path}.{n}.")] = _otlp_value(fields.get("value"), f"{path}.{n}.value")
    return named


def _otlp_value(value: Any, path: str) -> Any:
    """The plain value of one with its type: `{"stringValue": "…"}`."""
    if value is None:
        return None
    held = {name: item for name, item in typed(value, dict, path).items() if item is not None}
    kind, item = next(iter(held.items()), ("", None))
    if kind not in {"arrayValue", "kvlistValue"}:
        return item
    path = f"{path}.{kind}"
    values = typed(item, dict, path).get("values") or []
    if kind == "kvlistValue":
        return _from_otlp(values, f"{path}.values")
    return [_otlp_value(one, f"{path}.values.{n}") for n, one in enumerate(typed(values, list, f"{path}.values"))]


def _parsed(value: Any, path: str) -> Any:
    """The value of an attribute that may be JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return parsed(value)
    except ValueError as error:
        raise TraceInvalid(Problem(path, f"invalid JSON: {error}")) from None


def _numbered(value: Any, path: str) -> list[tuple[str, Any]]:
    """The items of a list, or of an object whose keys are numbers, each with its path; none where there is nothing."""
    if value is None:
        return []
    if isinstance(value, dict) and all(name.isdecimal() and len(name) <= _INDEX_DIGITS for name in value):
        return [(f"{path}.{name}", value[name]) for name in sorted(value, key=int)]
    return [(f"{path}.{n}", item) for n, item in enumerate(typed(value, list, path))]


def _answers(prompt_turns: list[Turn], output: list[Turn], path: str) -> list[tuple[Prompt, Turn, str]]:
    """The answers in an output, each with its prompt and its path.

    Several texts are several samples; several messages with one text between them are pieces of one answer; and the
    output of an agent, with the results of its tools, is a dialogue whose last message is the answer.
    """
    if not output or any(turn.role != "assistant" for turn in output):
        _, answer, prompt = split_at_answer([*prompt_turns, *output] if output else [], path)
        return [(prompt, answer, path)]
    prompt = prompt_of(prompt_turns)
    if len(output) == 1 or len([turn for turn in output if turn.text]) > 1:
        return [(prompt, turn, f"{path}.{n}") for n, turn in enumerate(output)]
    *before, last = output
    rest = last.rest | ({"before": held} if (held := [turn.rest for turn in before if turn.rest]) else {})
    return [(prompt, Turn("assistant", [part for turn in output for part in turn.parts], rest, None), path)]


def _tree(attributes: Mapping[str, Any], prefix: str) -> Any:
    """The attributes below a prefix, in the shape that their names had before they were flattened."""
    below = {name[len(prefix) + 1 :]: item for name, item in attributes.items() if name.startswith(f"{prefix}.")}
    value = _parsed(attributes.get(prefix), prefix)
    if below and value is not None:
        raise TraceInvalid(Problem(prefix, "is there twice: flattened, and as one value"))
    return _grown(below or value, prefix)


def _grown(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_grown(item, f"{path}.{n}") for n, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    tree: dict[str, Any] = {}
    for name, item in value.items():
        *heads, last = name.split(".")
        at: Any = tree
        for head in heads:
            at = at.setdefault(head, {}) if isinstance(at, dict) else at
        if not isinstance(at, dict) or last in at:
            raise TraceInvalid(Problem(f"{path}.{name}", "has the name of another attribute, or of a part of it"))
        at[last] = _grown(item, f"{path}.{name}")
    return tree


def _openinference_turn(path: str, value: Any, *, role: str | None = None) -> Turn:
    message = field(typed(value, dict, path), "message", dict, at=f"{path}.")
    path = f"{path}.message"
    parts = [
        part_of(typed(content, dict, at).get("message_content"), f"{at}.message_content")
        for at, content in _numbered(message.get("contents"), f"{path}.contents")
    ]
    calls = [
        field(typed(call, dict, at), "tool_call", dict, at=f"{at}.")
        for at, call in _numbered(message.get("tool_calls"), f"{path}.tool_calls")
    ]
    fields = ({"role": role} if role else {}) | rest_of(message, "contents", "tool_calls")
    beside = {"content": fields.pop("content")} if parts and fields.get("content") is not None else {}
    turn = turn_of(fields | ({"tool_calls": calls} if calls else {}), path)
    return turn._replace(parts=[*parts, *turn.parts], rest=turn.rest | beside, raw=message)
