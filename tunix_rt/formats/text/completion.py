"""A trace as the texts that a trainer takes: reasoning as one text, system text, completion, numbered steps, turns.

The marks of a turn are those of Gemma's instruction-tuned models, which google/tunix trains; they have no turn for the
system, whose text stands at the beginning of the user's.
"""

from tunix_rt.formats.rows.tally import NO_ANSWER, Tally
from tunix_rt.model import Trace

Tags = tuple[str, str]
THINK_TAGS: Tags = ("<think>", "</think>")
_TURN_BEGINS, _TURN_ENDS = "<start_of_turn>", "<end_of_turn>"


def reasoning_of(trace: Trace) -> str:
    r"""The steps as one text; empty where there are none.

    Where every step but the last ends in white space they were cut from one text, and follow each other as they did in
    it. Otherwise a blank line stands between two.

    >>> reasoning_of(Trace(prompt="?", steps=["One.\n\n", "Two."], final_answer="2"))
    'One.\n\nTwo.'
    >>> reasoning_of(Trace(prompt="?", steps=["One.", "Two."], final_answer="2"))
    'One.\n\nTwo.'
    """
    contents = [step.content for step in trace.steps if step.content]
    was_one_text = all(content[-1].isspace() for content in contents[:-1])
    return ("" if was_one_text else "\n\n").join(contents)


def system_of(trace: Trace) -> str | None:
    """`meta["system"]` where it is a text."""
    system = (trace.meta or {}).get("system")
    return system if isinstance(system, str) and system else None


def completion(trace: Trace, tally: Tally, *, tags: Tags) -> str | None:
    r"""The reasoning between the tags, a blank line, the answer; only the answer where there are no steps.

    None, and counted, where there is no answer, and where a tag in the text would end the reasoning at another place.

    >>> completion(Trace(prompt="?", steps=["1 + 1"], final_answer="2"), Tally(), tags=THINK_TAGS)
    '<think>1 + 1</think>\n\n2'
    """
    if not trace.final_answer:
        tally.left_out[NO_ANSWER] += 1
        return None
    reasoning, (begin, end) = reasoning_of(trace), tags
    if any(tag.strip() in text for tag in tags for text in (reasoning, trace.final_answer)):
        tally.left_out[f"{begin.strip()} or {end.strip()} in its text"] += 1
        return None
    return f"{begin}{reasoning}{end}\n\n{trace.final_answer}" if reasoning else trace.final_answer


def numbered(trace: Trace, tally: Tally) -> str | None:
    r"""The steps as a numbered list, then `Answer: …`; None, and counted, where there is no answer.

    >>> numbered(Trace(prompt="?", steps=["One.", "Two."], final_answer="2"), Tally())
    'Reasoning:\n1. One.\n2. Two.\nAnswer: 2'
    """
    if not trace.final_answer:
        tally.left_out[NO_ANSWER] += 1
        return None
    steps = [f"{place}. {step.content.strip()}" for place, step in enumerate(trace.steps, 1)]
    return "\n".join([*(["Reasoning:"] if steps else []), *steps, f"Answer: {trace.final_answer}"])


def turns(trace: Trace, tally: Tally, response: str = "") -> str | None:
    r"""The user's turn and the model's with `response`, or the beginning of the model's where there is none.

    None, and counted, where a mark in the text would end a turn at another place.

    >>> turns(Trace(prompt="1 + 1?", steps=["1 + 1"], final_answer="2"), Tally())
    '<start_of_turn>user\n1 + 1?<end_of_turn>\n<start_of_turn>model\n'
    """
    asked = "\n\n".join(text for text in (system_of(trace), trace.prompt) if text)
    if any(mark in text for mark in (_TURN_BEGINS, _TURN_ENDS) for text in (asked, response)):
        tally.left_out[f"{_TURN_BEGINS} or {_TURN_ENDS} in its text"] += 1
        return None
    begun = f"{_TURN_BEGINS}user\n{asked}{_TURN_ENDS}\n{_TURN_BEGINS}model\n"
    return f"{begun}{response}{_TURN_ENDS}" if response else begun
