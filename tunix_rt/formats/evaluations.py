"""What evaluations write, a row for each question: Qwen2.5-Math, NeMo-Skills, MMLU-Pro, OpenCompass, simple-evals.

Sources, the programs that write them: `evaluation/math_eval.py` of QwenLM/Qwen2.5-Math, whose shape ToRA and
DeepSeek-Math share; `evaluate_from_local.py` of TIGER-AI-Lab/MMLU-Pro; `icl_base_inferencer.py` of
open-compass/opencompass; `common.py` of openai/simple-evals, in an older version. Of NeMo-Skills only
documentation was found.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tunix_rt.errors import Problem, TraceInvalid
from tunix_rt.formats.rows.found import Found
from tunix_rt.formats.rows.meta_values import as_json
from tunix_rt.formats.rows.row import Row
from tunix_rt.formats.rows.typed_fields import each, field, lacking, maybe, rest_of, typed
from tunix_rt.formats.rows.verdicts import parallel, sample_meta, verdict_in
from tunix_rt.formats.text.dialogue import found_in_answer, prompt_of, split_at_answer
from tunix_rt.formats.text.messages import speaker, turn, turns_of
from tunix_rt.formats.text.written import found_in_parts, found_in_text

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What simple-evals puts below the messages of a sample.
_RESULT = re.compile(
    r"<p>Correct Answer: (.{0,2000}?)</p>\s{0,9}<p>Extracted Answer: (.{0,2000}?)</p>\s{0,9}<p>Score: (.{0,40}?)</p>",
    re.DOTALL,
)
_SCORES = {"True": True, "False": False, "1.0": True, "0.0": False, "1": True, "0": False}


class QwenEvalReader:
    """`question`, `gt` and, parallel to each other, `code` (what the model wrote), `pred`, `score`, `report`."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are a question, its answer, and a list of samples."""
        if missing := lacking(value, "question", "gt", "code"):
            return missing
        return None if isinstance(value["code"], list) else "code is not a list"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each sample, in their order."""
        value = as_json(row.fields)
        question, codes = field(value, "question", str), field(value, "code", list)
        if not codes:
            raise TraceInvalid(Problem("code", "has no samples"))
        lists = parallel(value, len(codes), "pred", "score", "report")
        rest = rest_of(value, "question", "gt", "code", *lists)
        for n, code in enumerate(codes):
            own = {name: items[n] for name, items in lists.items()}
            verdict = verdict_in(own.get("score"))
            report = own.get("report")
            extra = {**rest, **({"report": report} if report not in (None, "") else {})}
            if verdict is None and own.get("score") is not None:
                extra["score"] = own["score"]
            meta = {
                "expected_answer": value.get("gt"),
                "parsed_answer": own.get("pred"),
                **(verdict or {}),
                **sample_meta(n, len(codes)),
            }
            try:
                yield found_in_text(question, typed(code, str, f"code.{n}"), meta=meta, extra=extra)
            except TraceInvalid as error:
                yield error


class NemoSkillsReader:
    """`problem` or `question`, `generation`, `expected_answer`, and what NeMo-Skills adds to them."""

    _own = ("predicted_answer", "symbolic_correct", "num_generated_tokens", "generation_start_time", "_full_generation")

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are a problem, a generation, the expected answer, and a field that only NeMo-Skills has."""
        if missing := lacking(value, "generation", "expected_answer"):
            return missing
        if not {"problem", "question"} & value.keys():
            return "no field problem or question"
        return None if value.keys() & set(self._own) else f"none of {', '.join(self._own)}"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row; with its reasoning also where NeMo-Skills had taken that off."""
        value = as_json(row.fields)
        asked = "problem" if "problem" in value else "question"
        prompt, written = field(value, asked, str), field(value, "generation", str)
        reasoning, full = maybe(value, "reasoning_content", str), maybe(value, "_full_generation", str)
        verdict, judged = None, ""
        for judged in ("symbolic_correct", "is_correct"):
            if (verdict := verdict_in(value.get(judged))) is not None:
                break
        used = [asked, "generation", "expected_answer", "predicted_answer", "finish_reason"]
        used += [judged] if verdict else []
        used += [name for name in ("reasoning_content", "_full_generation") if value.get(name)]
        meta = {
            "expected_answer": value.get("expected_answer"),
            "parsed_answer": value.get("predicted_answer"),
            **(verdict or {}),
            "finish_reason": maybe(value, "finish_reason", str),
        }
        extra = rest_of(value, *used)
        if reasoning:
            yield found_in_parts(prompt, reasoning, written or None, meta=meta, extra=extra)
        else:
            yield found_in_text(prompt, full or written, meta=meta, extra=extra)


class MmluProReader:
    """`question`, `options`, `answer`, `model_outputs` (also `generated_text`), `pred`."""

    _written = ("model_outputs", "generated_text")

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are a question with its options and what the model wrote."""
        if missing := lacking(value, "question", "options", "pred"):
            return missing
        return None if value.keys() & set(self._written) else f"none of {', '.join(self._written)}"

    def found(self, row: Row) -> Iterator[Found]:
        """The one trace of the row, correct where what was parsed is the answer; its prompt has the options."""
        value = as_json(row.fields)
        options = each(value, "options", str)
        lines = [f"{letter}. {option}" for letter, option in zip(_LETTERS, options, strict=False)]
        prompt = "\n".join([field(value, "question", str), *(["Options:"] if lines else []), *lines])
        parsed_answer, answer = maybe(value, "pred", str) or None, value.get("answer")
        meta = {
            "expected_answer": answer,
            "parsed_answer": parsed_answer,
            "correct": parsed_answer == answer if parsed_answer and isinstance(answer, str) else None,
        }
        name = next((name for name in self._written if name in value), self._written[0])
        written = field(value, name, str)
        extra = rest_of(value, "question", "answer", name, "pred")
        yield found_in_text(prompt, written, meta=meta, extra=extra)


class OpenCompassReader:
    """`origin_prompt` (a text, or turns of `role` and `prompt`), `prediction`, `gold`; lists of them for a dialogue."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are a prompt and the prediction."""
        return lacking(value, "origin_prompt", "prediction")

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """The one trace of the row, or one for each round; predictions by likelihood are refused."""
        value = as_json(row.fields)
        prediction, prompt = field(value, "prediction", object), field(value, "origin_prompt", object)
        gold = value.get("gold")
        extra = rest_of(value, "origin_prompt", "prediction", "gold")
        if any(name.startswith("label: ") for name in value) or _is_of_numbers(prediction):
            raise TraceInvalid(
                Problem("prediction", "holds likelihoods of given answers; the model wrote no text that could be kept")
            )
        if not isinstance(prediction, list):
            yield self._trace(prompt, prediction, gold, at="", extra=extra)
            return
        prompts = typed(prompt, list, "origin_prompt")
        if len(prompts) != len(prediction):
            raise TraceInvalid(Problem("prediction", f"{len(prediction):,} for {len(prompts):,} prompts"))
        golds = gold if isinstance(gold, list) and len(gold) == len(prediction) else [gold] * len(prediction)
        for n, (asked, said, right) in enumerate(zip(prompts, prediction, golds, strict=True)):
            try:
                yield self._trace(asked, said, right, at=f".{n}", extra={**extra, "round": n})
            except TraceInvalid as error:
                yield error

    def _trace(self, prompt: Any, said: Any, gold: Any, *, at: str, extra: dict[str, Any]) -> Found:
        path = f"origin_prompt{at}"
        if isinstance(prompt, list):
            prompt = [
                rest_of(one, "prompt") | {"role": speaker(field(one, "role", str)), "content": one["prompt"]}
                if isinstance(one, dict) and "prompt" in one
                else one
                for one in prompt
            ]
        answer = turn("assistant", typed(said, str, f"prediction{at}"), f"prediction{at}")
        return found_in_answer(
            prompt_of(turns_of(prompt, path)),
            answer,
            path=f"prediction{at}",
            meta={"expected_answer": gold},
            extra=extra,
        )


class SimpleEvalsReader:
    """`convos`, a list of messages for each sample, and `htmls`, what was shown of it, with its score."""

    def misfit(self, value: Mapping[str, Any]) -> str | None:
        """None where there are the conversations and their pictures, as in `…_allresults.json`."""
        if missing := lacking(value, "convos", "htmls"):
            return missing
        return None if isinstance(value["convos"], list) else "convos is not a list"

    def found(self, row: Row) -> Iterator[Found | TraceInvalid]:
        """A trace for each conversation, with the answers and the score that its picture shows."""
        value = as_json(row.fields)
        convos = field(value, "convos", list)
        if not convos:
            raise TraceInvalid(Problem("convos", "has no conversations"))
        shown = parallel(value, len(convos), "htmls").get("htmls")
        notes = value.get("metadata")
        each_note = parallel(notes, len(convos), "example_level_metadata") if isinstance(notes, dict) else {}
        for n, convo in enumerate(convos):
            path = f"convos.{n}"
            try:
                index, answer, prompt = split_at_answer(turns_of(typed(convo, list, path), path), path)
                note = {name: items[n] for name, items in each_note.items() if items[n] is not None}
                meta, rest = _of_picture(shown[n] if shown else None)
                yield found_in_answer(prompt, answer, path=f"{path}.{index}", meta=meta, extra=note | rest)
            except TraceInvalid as error:
                yield error


def _of_picture(shown: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the last lines of a sample's picture say, for meta; and its score, where that is neither right nor wrong."""
    start = shown.rfind("<p>Correct Answer: ") if isinstance(shown, str) else -1
    said = _RESULT.match(shown, start) if start >= 0 else None
    if said is None:
        return {}, {}
    right, parsed_answer, score = (html.unescape(text) for text in said.groups())
    meta = {"expected_answer": right, "parsed_answer": None if parsed_answer == "None" else parsed_answer}
    if score in _SCORES:
        return meta | {"correct": _SCORES[score]}, {}
    return meta, {"score": score}


def _is_of_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int | float) for item in value)
