"""lm-evaluation-harness: the samples of an evaluation, `samples_<task>_<time>.jsonl`.

Source: `lm_eval/evaluator.py` of EleutherAI/lm-evaluation-harness, which writes them, and published files of samples. A
task with several filters has a row for each document and filter; `meta.extra.filter` tells them apart.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json, is_number
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import field, lacking, rest_of, typed
from tunix_rt.formats.rows.verdicts import sample_meta, verdict_in
from tunix_rt.formats.text.dialogue import found_in_answer, prompt_of
from tunix_rt.formats.text.messages import Turn, turn, turns_of
from tunix_rt.json_values import parsed

# Of several metrics the first of these is the verdict.
_VERDICTS = ("exact_match", "acc", "math_verify", "pass@1")


class LmEvalReader:
    """`arguments.gen_args_0.arg_0` (what was sent), `resps`, `filtered_resps`, `target`, `metrics` by name."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are the requests, the responses, and those behind a filter."""
        return lacking(value, "arguments", "resps", "filtered_resps")

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each response. Samples scored by likelihood have none, and are refused.

        What the filter took and the verdict belong to a response that is alone, or each has its own.
        """
        value = as_json(row.fields)
        answers = list(_answers(field(value, "resps", list)))
        if not answers:
            raise TraceInvalid(Problem("resps", "has no responses"))
        prompts = _prompts(value)
        filtered = _filtered(value.get("filtered_resps"), len(answers))
        name, verdict = _verdict(value) if len(answers) == 1 else (None, None)
        target = value.get("target")
        used = {"resps", "arguments"} | ({name} if name else set()) | ({"target"} if target is not None else set())
        if filtered is not None:
            used |= {"filtered_resps"}
        if left := _left_of(value["arguments"]):
            value = {**value, "arguments": left}
            used -= {"arguments"}
        for n, (request, path, answer) in enumerate(answers):
            try:
                meta = {
                    "expected_answer": target,
                    **(verdict or {}),
                    "parsed_answer": filtered[n] if filtered is not None else None,
                    **sample_meta(n, len(answers)),
                }
                turns = prompts[request if request < len(prompts) else 0]
                said = turn("assistant", typed(answer, str, path), path)
                yield found_in_answer(prompt_of(turns), said, path=path, meta=meta, extra=rest_of(value, *used))
            except TraceInvalid as error:
                yield error


def _answers(resps: list[Any]) -> Iterator[tuple[int, str, Any]]:
    """Each response: its request, its path, and itself."""
    for request, responses in enumerate(resps):
        if not isinstance(responses, list):
            responses = [responses]  # noqa: PLW2901 - as versions without repeats wrote it
        for n, response in enumerate(responses):
            if _is_likelihood(response) or (n == 0 and _is_likelihood(responses)):
                raise TraceInvalid(
                    Problem("resps", "holds likelihoods of given answers; the model wrote no text that could be kept")
                )
            yield request, f"resps.{request}.{n}", response


def _is_likelihood(response: Any) -> bool:
    """A log-likelihood, alone or with whether it is the greedy one; numbers in texts, as some versions write them."""
    if isinstance(response, list):
        flags = (True, False, "True", "False")
        return len(response) == 2 and response[1] in flags and _is_numeric(response[0])  # noqa: PLR2004
    return is_number(response)


def _is_numeric(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _prompts(value: Mapping[str, Any]) -> list[list[Turn]]:
    """The turns that each request sent: the first of its arguments, a text or a chat, which may be JSON in a text."""
    arguments = field(value, "arguments", object)
    if isinstance(arguments, dict):
        sent = [(f"arguments.{name}.arg_0", _first(request, name)) for name, request in arguments.items()]
    else:
        requests = typed(arguments, list, "arguments")
        sent = [
            (f"arguments.{n}.0", request[0] if request else None)
            if isinstance(request, list)
            else (f"arguments.{n}", request)
            for n, request in enumerate(requests)
        ]
    if not sent:
        raise TraceInvalid(Problem("arguments", "has no request"))
    return [turns_of(_chat(prompt), path) for path, prompt in sent]


def _first(request: Any, name: str) -> Any:
    return field(typed(request, dict, f"arguments.{name}"), "arg_0", object, at=f"arguments.{name}.")


def _chat(prompt: Any) -> Any:
    """The messages in a prompt that is a chat as JSON, alone or in a list of one; any other as it is."""
    written = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
    if not isinstance(written, str) or not written.lstrip().startswith("[{"):
        return written if isinstance(written, str) else prompt
    try:
        messages = parsed(written)
    except (ValueError, RecursionError):
        return written
    is_chat = isinstance(messages, list) and all(isinstance(one, dict) and "role" in one for one in messages)
    return messages if is_chat else written


def _left_of(arguments: Any) -> Any:
    """The arguments without the prompts: those of the generation."""
    if isinstance(arguments, dict):
        left = {name: rest_of(request, "arg_0") for name, request in arguments.items() if isinstance(request, dict)}
        return {name: rest for name, rest in left.items() if rest}
    rests = [request[1:] for request in arguments if isinstance(request, list)]
    return rests if any(rests) and any(item for rest in rests for item in rest) else None


def _filtered(filtered: Any, length: int) -> list[Any] | None:
    """What the filter took of each response; None where that cannot be told."""
    if isinstance(filtered, list) and len(filtered) == 1 and isinstance(filtered[0], list):
        filtered = filtered[0]
    return filtered if isinstance(filtered, list) and len(filtered) == length else None


def _verdict(value: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """The name of the metric that is the verdict, and what it says."""
    named = value.get("metrics")
    names = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    for name in (*_VERDICTS, *(names if len(names) == 1 else ())):
        if name in value and (verdict := verdict_in(value[name])) is not None:
            return name, verdict
    return None, None
