"""The other flags: what else goes wrong in a trace, each with its evidence."""

import re
from itertools import islice

from tunix_rt.analysis.answers import answer, next_question, own_statement, stated
from tunix_rt.analysis.judging import judged
from tunix_rt.analysis.score import Score, Texts

_KEPT = 80
# Nobody needs to know of more; a megabyte of them took seconds to count.
_COUNTED = 10_000


def no_answer(texts: Texts) -> Score:
    """Whether a trace has neither a final answer nor states one in its steps, other than as a mere number."""
    return Score(value=not (texts.final_answer or "").strip() and own_statement(texts) is None)


def wrong(texts: Texts) -> Score:
    """Whether the answer is not the expected one: by `answer`; where that cannot tell, by `meta.correct`, if there."""
    found = answer(texts)
    if isinstance(found.value, bool):
        return Score(value=not found.value, answer=found.answer, metadata={"by": "answer", **found.metadata})
    mark = texts.meta.get("correct")
    if isinstance(mark, bool) and found.reason != "not_applicable":
        return Score(value=not mark, answer=found.answer, metadata={"by": "meta.correct", "answer": found.reason})
    return found


def runs_on(texts: Texts) -> Score:
    """Whether the model goes on with another question behind its answer; `start` counts from the first step's start."""
    text = "\n".join((*texts.steps, texts.final_answer or ""))
    start = next_question(text)
    if start is None:
        return Score(value=False)
    return Score(value=True, metadata={"start": start, "text": text[start:][:_KEPT]})


# The letters of a script. Neither Latin nor Greek, which stands in formulas everywhere; kana and Han are one.
_SCRIPTS = {
    "Han": "\u2e80-\u2fdf\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    "Hangul": "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3",
    "Cyrillic": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff",
    "Arabic": "\u0620-\u065f\u066e-\u06d3\u06fa-\u06ff\u0750-\u077f\ufb50-\ufdfb\ufe70-\ufefc",
    "Hebrew": "\u05d0-\u05ea",
    "Devanagari": "\u0900-\u0963\u0971-\u097f",
    "Bengali": "\u0980-\u09e3",
    "Gujarati": "\u0a80-\u0ae3",
    "Gurmukhi": "\u0a00-\u0a63",
    "Tamil": "\u0b80-\u0be3",
    "Telugu": "\u0c00-\u0c63",
    "Kannada": "\u0c80-\u0ce3",
    "Malayalam": "\u0d00-\u0d63",
    "Sinhala": "\u0d80-\u0de3",
    "Thai": "\u0e01-\u0e3a\u0e40-\u0e4e",
    "Lao": "\u0e80-\u0ecd",
    "Tibetan": "\u0f40-\u0fbc",
    "Burmese": "\u1000-\u103f",
    "Georgian": "\u10a0-\u10ff",
    "Ethiopic": "\u1200-\u137f",
    "Khmer": "\u1780-\u17d3",
    "Armenian": "\u0531-\u0587",
}
_OF_SCRIPT = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_FOREIGN = re.compile(f"[{''.join(_SCRIPTS.values())}]")


def foreign_script(texts: Texts, *, letters: int = 5, scripts: int = 2) -> Score:
    """Whether the model writes `letters` letters of one script, or any of `scripts` scripts, that the prompt lacks."""
    text = "\n".join((*texts.steps, texts.final_answer or ""))
    if text.isascii() or _FOREIGN.search(text) is None:
        return Score(value=False)
    foreign = "".join(found[0] for found in islice(_FOREIGN.finditer(text), _COUNTED))
    counts = {name: n for name, one in _OF_SCRIPT.items() if (n := len(one.findall(foreign)))}
    counts = {name: n for name, n in counts.items() if _OF_SCRIPT[name].search(texts.prompt) is None}
    if not counts or (max(counts.values()) < letters and len(counts) < scripts):
        return Score(value=False)
    start = min(found.start() for name in counts if (found := _OF_SCRIPT[name].search(text)))
    return Score(value=True, metadata={"letters": counts, "start": start, "text": text[start:][:_KEPT]})


_REFUSES = re.compile(
    r"\b(?:(?:cannot|can['’]t|can not|could not|impossible to) (?:be )?(?:determined?|answered|solved|calculated?)\b"
    r"|(?:not enough|insufficient) (?:information|data)\b"
    r"|I(?:['’]m| am) (?:sorry|unable to|not able to)\b"
    r"|I (?:cannot|can['’]t|won['’]t|decline to) (?:help|assist|answer|provide|comply|solve|fulfil|do that)\b"
    r"|as an AI\b)",
    re.IGNORECASE,
)


def refusal(texts: Texts, *, tail: int = 600) -> Score:
    """Whether the last `tail` characters refuse or say that nothing can be told, in words that the prompt lacks."""
    text = texts.final_answer or "\n".join(texts.steps[-1:])
    for found in _REFUSES.finditer(text[-tail:]):
        if found[0].lower() not in texts.prompt.lower():
            return Score(value=True, metadata={"text": found[0], "start": max(0, len(text) - tail) + found.start()})
    return Score(value=False)


# What decoding loses: U+FFFD, halves of surrogate pairs, NUL and other controls; UTF-8 read as Windows-1252.
_BAD = re.compile(
    r"[\ufffd\ud800-\udfff\x00-\x08\x0e-\x1a\x1c-\x1f\x80-\x9f]|\u00e2\u20ac[\u0153\u009d\u2122\u02dc\u201c\u201d\u00a6\u00a2]"
    r"|\u00c3[\u00a0-\u00bf]|\u00c2[\u00a0-\u00bf]"
)


def bad_encoding(texts: Texts) -> Score:
    """Whether the model's text has characters that a wrong decoding leaves, more than the prompt has of them."""
    text = "\n".join((*texts.steps, texts.final_answer or ""))
    if text.isascii() and text.isprintable():
        return Score(value=False)
    found = list(islice(_BAD.finditer(text), _COUNTED))
    if not found or len(found) <= sum(1 for _ in islice(_BAD.finditer(texts.prompt), _COUNTED - 1)):
        return Score(value=False)
    shown = text[max(0, found[0].start() - 20) :][:_KEPT].encode("utf-8", "backslashreplace").decode()
    return Score(value=True, metadata={"count": len(found), "start": found[0].start(), "text": shown})


def answer_differs(texts: Texts, *, tail: int = 1_000) -> Score:
    """Whether the reasoning states, in its last `tail` characters, another answer than the final one."""
    if not (texts.final_answer or "").strip():
        return Score(reason="no_answer")
    final = stated(texts.final_answer or "")
    reasoned = stated("\n".join(texts.steps)[-tail:], weak=False) if texts.steps else None
    if reasoned is None or reasoned.layer in {"whole", "bold"}:
        return Score(reason="not_applicable", explanation="the reasoning states no answer")
    if final is None or len(final.answer) > tail or len(reasoned.answer) > tail:
        return Score(reason="unparsed_answer")
    evidence = {"reasoning": reasoned.answer, "layer": reasoned.layer, "final_layer": final.layer}
    verdict = judged(final.answer, reasoned.answer)
    # A number at the end of a sentence, and what the reasoning takes back, show nothing.
    if isinstance(verdict, str) or (not verdict and final.layer == "number"):
        return Score(reason="undecided", answer=final.answer, metadata=evidence)
    return Score(value=not verdict, answer=final.answer, metadata=evidence)


_TAG = re.compile(r"`[^`\n]{1,200}`|<(/?)(think|thinking|thought|reasoning|answer)>", re.IGNORECASE | re.ASCII)
_TEMPLATE = re.compile(
    r"<\|(?:im_start|im_end|eot_id|endoftext|end_of_text|start_header_id|begin_of_text)\|>"
    r"|\[/?INST\]|<(?:start|end)_of_turn>"
)


def broken_format(texts: Texts) -> Score:
    """Whether tags are not closed, not opened, nested or empty, a mark of a chat template is left, or a step is empty.

    `<think>` or `<reasoning>` and then `<answer>`, each once, is what tags are for; a first tag that only closes is
    normal, because the template has opened it.
    """
    troubles = []
    if any(not step.strip() for step in texts.steps):
        troubles.append("empty_step")
    text = "\n".join((*texts.steps, texts.final_answer or ""))
    if "<" in text:
        troubles += _trouble_of_tags(text)
    mark = _TEMPLATE.search(text)
    if mark is not None:
        troubles.append("template_mark")
    return Score(value=bool(troubles), metadata={"troubles": sorted(set(troubles))} if troubles else {})


def _trouble_of_tags(text: str) -> list[str]:
    troubles, inside, start, answers, is_first = [], "", 0, 0, True
    for found in _TAG.finditer(text):
        if found[2] is None:
            continue
        name = found[2].lower()
        if not found[1]:
            if inside:
                troubles.append("nested_tag")
            inside, start = name, found.end()
        elif inside == name:
            if not text[start : found.start()].strip() and name == "answer":
                troubles.append("empty_tag")
            answers += name == "answer"
            inside = ""
        elif inside or name == "answer" or not is_first:
            troubles.append("unopened_tag")
        is_first = False
    if inside:
        troubles.append("unclosed_tag")
    if answers > 1:
        troubles.append("second_answer")
    return troubles
