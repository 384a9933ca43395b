"""HELM: the requests of a run and their results, the rows under `request_states` of `scenario_state.json`.

Source: `adaptation/request_state.py` and `common/request.py` of stanford-crfm/helm, which write it; the rest is from
its documentation. The verdicts are in another file, `per_instance_stats.json`, so a trace has none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, field, first_text, lacking, maybe, rest_of, typed
from tunix_rt.formats.rows.verdicts import sample_meta
from tunix_rt.formats.text.dialogue import found_in_answer, left_of, prompt_of
from tunix_rt.formats.text.messages import Part, turn, turns_of


class HelmReader:
    """`instance` with its `references`, `request` with its `prompt`, `result` with its `completions`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are an instance, a request and its result."""
        if missing := lacking(value, "instance", "request", "result"):
            return missing
        request = value["request"]
        sent = isinstance(request, dict) and not {"prompt", "messages"}.isdisjoint(request)
        return None if sent else "request is not an object with prompt or messages"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each completion; an error where the request failed, or was only scored by likelihood."""
        value = as_json(row.fields)
        request, result = field(value, "request", dict), maybe(value, "result", dict) or {}
        completions = each(result, "completions", dict, at="result.")
        if not completions:
            reason = first_text(result, "error")[1]
            raise TraceInvalid(Problem("result", f"has no completions{f': {reason[:200]}' if reason else ''}"))
        sent = "messages" if request.get("messages") else "prompt"
        prompt = prompt_of(turns_of(request.get(sent), f"request.{sent}"))
        model = maybe(request, "model", str, at="request.")
        right = _right_answer(value)
        mapping = maybe(value, "output_mapping", dict) or {}
        # Tokens with their likelihoods are far larger than the text that they make.
        extra = left_of(value, ("request", sent), ("request", "model"), ("result", "completions"))
        for n, completion in enumerate(completions):
            path = f"result.completions.{n}"
            try:
                text = _written(request, completion, path)
                reason = completion.get("finish_reason")
                meta = {
                    "model": model,
                    "expected_answer": right,
                    "parsed_answer": mapping.get(text.strip()),
                    "finish_reason": maybe(reason, "reason", str) if isinstance(reason, dict) else None,
                    **sample_meta(n, len(completions)),
                }
                said = turn("assistant", text, path)
                if thought := _thought(completion, path):
                    said = said._replace(parts=[Part("reasoning", thought, {}), *said.parts])
                rest = rest_of(completion, "text", "tokens", "thinking", *(("finish_reason",) if reason else ()))
                left = {**extra, **({"completion": rest} if rest else {})}
                yield found_in_answer(prompt, said, path=path, meta=meta, extra=left)
            except TraceInvalid as error:
                yield error


def _written(request: Mapping[str, Any], completion: Mapping[str, Any], path: str) -> str:
    """The text of a completion without the prompt, which some requests ask to be repeated."""
    text = field(completion, "text", str, at=f"{path}.")
    prompt = request.get("prompt")
    if request.get("echo_prompt") is not True or not isinstance(prompt, str) or not text.startswith(prompt):
        return text
    if len(text) == len(prompt):
        raise TraceInvalid(Problem(path, "repeats its prompt; the model wrote no text that could be kept"))
    return text[len(prompt) :]


def _thought(completion: Mapping[str, Any], path: str) -> str | None:
    """The reasoning: an object with its text, in newer versions."""
    thinking = maybe(completion, "thinking", dict, at=f"{path}.")
    return maybe(thinking, "text", str, at=f"{path}.thinking.") if thinking else None


def _right_answer(value: Mapping[str, Any]) -> Any:
    """The text of the references that are tagged as correct: one, or a list; None where there is none."""
    right = []
    instance = field(value, "instance", dict)
    for n, reference in enumerate(each(instance, "references", dict, at="instance.")):
        at = f"instance.references.{n}."
        if "correct" in (maybe(reference, "tags", list, at=at) or []):
            output = reference.get("output")
            right.append(
                field(output, "text", str, at=f"{at}output.") if isinstance(output, dict) else typed(output, str, at)
            )
    return right[0] if len(right) == 1 else right or None
