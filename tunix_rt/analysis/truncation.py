"""Cut short: what the source reports of a trace (`reported`), and what its texts show (`inferred`)."""

import re

from tunix_rt.analysis.score import Score, Texts
from tunix_rt.finish_reasons import is_cut_short

_TAG = re.compile(r"<(/?)(think|thinking|thought|reasoning|answer|output)>")
# Code names a tag without opening it.
_CODE = re.compile(r"`[^`\n]{1,200}`")
_TAIL = 4_000
# Marks that end a sentence or a formula, also in scripts other than ours; with quotes or brackets behind them.
_END_MARKS = frozenset(".!?…。！？．｡।॥؟۔።։¿¡♪") | frozenset("$}])|`%>_*~\"'”’»」』）】〉》") | frozenset("✓✅■□∎¢€£°")
# Scripts that set no mark at the end: Thai, Lao, Tibetan, Burmese, Khmer.
_NO_MARKS = re.compile(r"[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff]")
# Emoji end a message, too.
_EMOJI = re.compile(r"[\u2600-\u27bf\U0001f300-\U0001faff\ufe0f]")
# Also in a calculator's mark, <<48/2=24>>24, or behind it.
_OPEN_COMMAND = re.compile(
    r"\\(?:frac|dfrac|tfrac|boxed|fbox|text|sqrt|mathrm|mathbf)\{[^{}]*\Z"
    r"|\\(?:f|fr|fra|frac|b|bo|box|boxe|boxed|te|tex|text|sqrt|begin|left)?\Z"
    r"|<<[\d.+*/()-]*(?:=[\d.]*)?>{0,2}\Z"
)
_ANSWER_LINE = re.compile(
    r"[ \t>*_#]{0,8}(?:(?:the )?(?:final )?(?:answer|result|ans|A)\b[*_ ]{0,4}(?:[:：=]|is\b)|####)", re.IGNORECASE
)
_LIST_ITEM = re.compile(r"[ \t]{0,8}(?:[-*•+]|\d{1,3}[.)]|[a-zA-Z][.)]|\|)[ \t]")
_FENCE = re.compile(r"^[ \t]{0,3}(?:```|~~~)", re.MULTILINE)
_SHORT_ANSWER, _SHORT_WORDS = 80, 8


def unclosed_tag(text: str) -> str | None:
    """A tag that a text opens and never closes; None where there is none.

    >>> unclosed_tag("<think>27 × 20")
    '<think>'
    """
    if "<" not in text:
        return None
    last = {name: closes for closes, name in _TAG.findall(_CODE.sub("", text) if "`" in text else text)}
    return next((f"<{name}>" for name, closes in last.items() if not closes), None)


def cut_at_end(text: str, *, short_answer: int = _SHORT_ANSWER) -> str | None:  # noqa: PLR0911 - one for each rule
    r"""The rule by which a text ends in the middle; None where it ends as texts do.

    `tag`: one that is opened is never closed; `fence`: a block of code is never closed; `command`: it ends inside of
    `\frac{` or `\boxed{`, or in a backslash; `no_end_mark`: its last line ends in a word without a mark, and is neither
    an answer of one line of at most `short_answer` characters and 8 words, nor an item of a list.

    >>> cut_at_end("So the number of eggs is \\boxed{1"), cut_at_end("First we add the"), cut_at_end("Paris")
    ('command', 'no_end_mark', None)
    """
    tail = text[-_TAIL:].rstrip()
    if not tail:
        return None
    if unclosed_tag(text) is not None:
        return "tag"
    if ("```" in text or "~~~" in text) and len(_FENCE.findall(text)) % 2:
        return "fence"
    if _OPEN_COMMAND.search(tail[-300:]):
        return "command"
    last, (before, _, line) = tail[-1], tail.rpartition("\n")
    # An amount that is missing: the end of a formula would make it an even number of them.
    if last == "$" and line.count("$") % 2 and line[-2:-1] in {" ", "=", "("}:
        return "no_end_mark"
    if last in _END_MARKS or last.isdigit() or _NO_MARKS.match(last) or _EMOJI.match(last):
        return None
    if _ANSWER_LINE.match(line):
        return None
    is_short = not before.strip() and len(text.strip()) <= short_answer and len(line.split()) <= _SHORT_WORDS
    if is_short and not _is_open(line):
        return None
    if _LIST_ITEM.match(line) and _LIST_ITEM.match(before.rstrip().rpartition("\n")[2]) and not _is_open(line):
        return None
    return "no_end_mark"


# Words and marks that something must follow.
_OPEN_END = re.compile(
    r"(?:[,:;=+×÷/(\[{–—<&^-]|\b(?:a|an|the|and|or|but|so|of|to|in|on|at|by|for|with|from|is|are|was|were|be|we|that"
    r"|which|than|as|if|because|since|let|let's|then|each|per))\Z",
    re.IGNORECASE,
)


def _is_open(line: str) -> bool:
    """Whether a line ends in what something must follow, such as a comma, `=` or `the`; a lone letter is an answer."""
    return len(line.strip()) >= len("an ") and _OPEN_END.search(line) is not None


def truncated(texts: Texts, *, short_answer: int = _SHORT_ANSWER) -> Score:
    """Whether the model was stopped before its end: as the source reports it, else as the last text shows.

    What the source reports decides; what the texts show is evidence beside it.
    """
    reported = _reported(texts)
    everything = "\n".join((*texts.steps, texts.final_answer or ""))
    last = texts.final_answer if texts.final_answer and texts.final_answer.strip() else "\n".join(texts.steps[-1:])
    rule = "tag" if unclosed_tag(everything) else cut_at_end(last, short_answer=_short(texts, short_answer))
    evidence = {"reported": reported, "inferred": rule is not None, "rule": rule}
    if rule is not None:
        evidence["end"] = last[-80:]
    return Score(value=rule is not None if reported is None else reported, metadata=evidence)


def _short(texts: Texts, short_answer: int) -> int:
    """A short line is an answer only where it is the final answer; a step that stops in a word was cut."""
    return short_answer if texts.final_answer and texts.final_answer.strip() else 0


def _reported(texts: Texts) -> bool | None:
    reported, reason = texts.meta.get("truncated"), texts.meta.get("finish_reason")
    if isinstance(reported, bool):
        return reported
    return is_cut_short(reason) if isinstance(reason, str) and reason.strip() else None


def answer_cut(texts: Texts, *, short_answer: int = _SHORT_ANSWER) -> Score:
    """Whether the final answer, which the model had come to, ends in the middle; whatever the source reports."""
    if texts.final_answer is None or not texts.final_answer.strip():
        return Score(reason="no_answer")
    rule = cut_at_end(texts.final_answer, short_answer=short_answer)
    return Score(value=rule is not None, metadata={"rule": rule, "end": texts.final_answer[-80:]} if rule else {})
