"""LangSmith: runs as the client exports them, one a row, or as it sends them (`post` and `patch`).

Source: only documentation, of langchain-ai/langsmith-sdk (schemas, POST /runs/batch) and of its exports.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, first_text, maybe, rest_of, typed
from tunix_rt.formats.text.dialogue import Prompt, found_in_answer, found_in_rollout, prompt_of, sample_of
from tunix_rt.formats.text.langchain import as_chat
from tunix_rt.formats.text.messages import Turn, turn, turn_of
from tunix_rt.json_values import parsed

_MODELS = ("llm", "chat_model")
_ASKED = ("input", "question", "query", "prompt", "text", "user_input", "human_input")
_ANSWERED = ("output", "answer", "result", "response", "text", "content", "generation")
_SIDES = ("inputs", "outputs")


class LangSmithReader:
    """`run_type`, `inputs`, `outputs`, `trace_id`, `parent_run_id`; or `post` and `patch`, lists of such runs."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where it is a run, or what is sent of several."""
        if "run_type" in value and not {"inputs", "outputs"}.isdisjoint(value):
            return None
        for name in ("post", "patch"):
            runs = value.get(name)
            if isinstance(runs, list) and any(isinstance(run, dict) and not _RUN.isdisjoint(run) for run in runs):
                return None
        return "no field run_type with inputs or outputs"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each answer of a model in a run; of several runs those of the models, else the outermost."""
        value = as_json(row.fields)
        if "run_type" in value:
            yield from _of_run(value)
            return
        runs = _merged(value)
        chosen = [run for run in runs if run[1].get("run_type") in _MODELS] or [
            run for run in runs if not run[1].get("parent_run_id")
        ]
        for path, run in chosen:
            try:
                for found in _of_run({"run_type": "chain"} | run):
                    yield found._replace(path=path)
            except TraceInvalid as error:
                yield error.within(path)


_RUN = {"run_type", "dotted_order", "trace_id"}


def _merged(value: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The runs, each begun by `post` and ended by `patch`, with the path of its first part."""
    found: dict[Any, tuple[str, dict[str, Any]]] = {}
    for name in ("post", "patch"):
        for n, run in enumerate(each(value, name, dict)):
            key = run["id"] if isinstance(run.get("id"), str) else (name, n)
            path, begun = found.get(key, (f"{name}.{n}", {}))
            found[key] = path, begun | {field: item for field, item in run.items() if item is not None}
    return list(found.values())


def _of_run(run: Mapping[str, Any]) -> Iterator[Found]:
    kind = run.get("run_type")
    if kind not in _MODELS and (kind != "chain" or run.get("parent_run_id")):
        raise TraceInvalid(Problem("run_type", "is not that of a call to a model, nor of the outermost chain"))
    given, made = _side(run, "inputs"), _side(run, "outputs")
    asked = _turns(given, _ASKED, "inputs", role="user")
    prompt = prompt_of(asked)
    extra = rest_of(run, *_SIDES)
    if left := rest_of(given, "messages", "prompts", *_ASKED):
        extra["inputs"] = left
    meta = {"model": _model(run, made)}
    if not made and isinstance(run.get("error"), str) and run["error"]:
        raise TraceInvalid(Problem("outputs", "there is no message of the assistant"))
    answers = _answers(made)
    if answers:
        for n, (answer, finish, path) in enumerate(answers):
            more = {"finish_reason": finish, **sample_of(n, answers, run)}
            yield found_in_answer(prompt, answer, path=path, meta=meta | more, extra=extra)
        return
    said = _turns(made, _ANSWERED, "outputs", role="assistant")
    if not said:
        raise TraceInvalid(Problem("outputs", "there is no message of the assistant"))
    yield _rollout(prompt, asked, said, meta, extra)


def _rollout(prompt: Prompt, asked: list[Turn], said: list[Turn], meta: Mapping[str, Any], extra: Any) -> Found:
    """The trace of the messages in the output, which begin with those of the input."""
    begin = [(one.role, one.text) for one in asked]
    if begin and [(one.role, one.text) for one in said[: len(begin)]] == begin:
        said = said[len(begin) :]
    elif not asked:
        first = next((n for n, one in enumerate(said) if one.role == "assistant"), len(said))
        prompt, said = prompt_of(said[:first]), said[first:]
    messages = {"messages": [one.raw for one in said]} if len(said) > 1 else {}
    return found_in_rollout(prompt, said, path="outputs", meta=meta, extra=extra, messages=messages)


def _side(run: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The inputs or the outputs; in a table they are JSON text."""
    side = run.get(name)
    if isinstance(side, str) and side.lstrip().startswith("{"):
        try:
            side = parsed(side)
        except (ValueError, RecursionError) as error:
            raise TraceInvalid(Problem(name, f"invalid JSON: {error}")) from None
    return (
        {}
        if side is None
        else {"input" if name == "inputs" else "output": side}
        if isinstance(side, str)
        else typed(side, dict, name)
    )


def _turns(side: Mapping[str, Any], names: Sequence[str], path: str, *, role: str) -> list[Turn]:
    """The messages of a side, or the one text that it has in their place."""
    messages = side.get("messages")
    if messages is None and isinstance(side.get("input" if role == "user" else "output"), list):
        messages = side["input" if role == "user" else "output"]
    if isinstance(messages, list):
        # A batch of conversations, of which there is one.
        inner = messages[0] if len(messages) == 1 and isinstance(messages[0], list) else messages
        return [turn_of(as_chat(_pair(message)), f"{path}.messages.{n}") for n, message in enumerate(inner)]
    prompts = side.get("prompts")
    if isinstance(prompts, list) and len(prompts) == 1 and isinstance(prompts[0], str):
        return [turn(role, prompts[0], f"{path}.prompts.0")]
    for name in ("message", "output", "input"):
        chat = as_chat(side.get(name))
        if isinstance(chat, dict) and isinstance(chat.get("role"), str):
            return [turn_of(chat, f"{path}.{name}")]
    chat = as_chat(side)
    if isinstance(chat, dict) and isinstance(chat.get("role"), str):
        return [turn_of(chat, path)]
    _, text = first_text(side, *names)
    return [] if text is None else [turn(role, text, path)]


def _pair(message: Any) -> Any:
    """A message that is written as its role and its text."""
    if isinstance(message, list) and len(message) == 2 and all(isinstance(one, str) for one in message):  # noqa: PLR2004
        speaker, text = message
        return {"role" if speaker in ("user", "assistant") else "type": speaker, "content": text}
    return message


def _answers(made: Mapping[str, Any]) -> list[tuple[Turn, str | None, str]]:
    """The answers of a model: generations of LangChain, or choices of OpenAI, each with why it ended and its path."""
    found: list[tuple[Turn, str | None, str]] = []
    for n, batch in enumerate(maybe(made, "generations", list, at="outputs.") or []):
        for m, one in enumerate(batch if isinstance(batch, list) else [batch]):
            path = f"outputs.generations.{n}.{m}"
            generation = typed(one, dict, path)
            chat = as_chat(generation.get("message"))
            if isinstance(chat, dict) and isinstance(chat.get("role"), str):
                answer = turn_of(chat, f"{path}.message")
            else:
                answer = turn("assistant", maybe(generation, "text", str, at=f"{path}."), f"{path}.text")
            info = generation.get("generation_info")
            found.append((answer, _finish(info), path))
    for n, choice in enumerate(each(made, "choices", dict, at="outputs.")):
        path = f"outputs.choices.{n}"
        message = maybe(choice, "message", dict, at=f"{path}.")
        answer = (
            turn("assistant", maybe(choice, "text", str, at=f"{path}."), f"{path}.text")
            if message is None
            else turn_of({"role": "assistant"} | message, f"{path}.message")
        )
        found.append((answer, _finish(choice), path))
    return found


def _finish(info: Any) -> str | None:
    if not isinstance(info, dict):
        return None
    return first_text(info, "finish_reason", "stop_reason", "done_reason")[1]


def _model(run: Mapping[str, Any], made: Mapping[str, Any]) -> str | None:
    extra = run.get("extra")
    extra = extra if isinstance(extra, dict) else {}
    for fields, names in (
        (made.get("llm_output"), ("model_name", "model")),
        (made, ("model",)),
        (extra.get("metadata"), ("ls_model_name",)),
        (extra.get("invocation_params"), ("model", "model_name")),
    ):
        if isinstance(fields, dict) and (name := first_text(fields, *names)[1]):
            return name
    return None
