"""What a model wrote, taken apart: reasoning and answer told apart by tags."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from tunix_rt.formats.text.blocks import fenced
from tunix_rt.formats.text.chat_templates import bare, turn_end
from tunix_rt.formats.text.steps import split_steps

__all__ = ["Written", "parse_written", "split_steps"]


class Written(NamedTuple):
    """What a model wrote: its `reasoning`, its `answer` (None where it never came to one).

    `cut` says that a tag is never closed: the reasoning, or the answer, may go on.
    """

    reasoning: str
    answer: str | None
    cut: bool = False


# The dialects: what opens and closes the reasoning, and the answer; in any case of letters.
_REASONING = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel>thought", "<channel|>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
)
_ANSWER = (
    ("<answer>", "</answer>"),
    ("<output>", "</output>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
# Each tag: the pair it is of (by what opens it), whether it opens, and whether it is the answer's.
_KINDS = {
    tag.lower(): (pair[0], place == 0, pairs is _ANSWER)
    for pairs in (_REASONING, _ANSWER)
    for pair in pairs
    for place, tag in enumerate(pair)
}
# Code in a line is passed over whole: a tag that it names is none. Without ASCII <anſwer> would be found, and unknown.
_TAG = re.compile(r"`[^`\n]{1,200}`|" + "|".join(map(re.escape, _KINDS)), re.IGNORECASE | re.ASCII)
_QUOTES = frozenset("\"'“”‘’«»„")
# What tags and code begin with.
_BEGINNING, _BRACKET = re.compile(r"[<\[◁`]"), re.compile("<")
# Without a bound, a long line of tags would be read again for each of them.
_INDENT = 8
_ONE_BLOCK = 2
# Words that reasoning follows: a sentence, or the name of who speaks.
_BEFORE_REASONING = re.compile(r"(?:[.!?。！？][\"'”’)*]*|\b(?:assistant|response|answer):)[^\S\n]*\Z", re.IGNORECASE)
_BEFORE = 20
_HARMONY = re.compile(
    r"(?<![`\"'])(?P<closing><\|(?:end|call|return)\|>\s*)?(?=<\|(?:start|channel)\|>)"
    r"(?:<\|start\|>(?P<role>[^<>|]{1,100}))?(?:<\|channel\|>(?P<channel>[^<>|]{1,100}))?"
    r"(?:<\|constrain\|>(?P<type>[^<>|]{1,100}))?<\|message\|>"
)
_NOT_SPACE = re.compile(r"\S")
_HARMONY_END = re.compile(r"<\|(?:end|call|return)\|>\s*\Z")


def parse_written(text: str) -> Written:
    r"""Reasoning and answer of a completion, by the tags of its dialect; all is the answer where it has none.

    It has tags where it begins with one that opens, or has one of reasoning at the beginning of a line or behind a
    sentence, or one that closes what it never opened (the template did). A tag that is quoted or stands in code is
    none. Nothing is lost but the tags, the marks of a chat template at both ends, and the white space around them: what
    stands outside of the answer's tag, before or between blocks of reasoning, goes to the reasoning, a paragraph each.

    >>> parse_written("<think>27 × 20 − 27</think>513")
    Written(reasoning='27 × 20 − 27', answer='513', cut=False)
    >>> parse_written("27 × 20 − 27\n</think>\n<answer>513")
    Written(reasoning='27 × 20 − 27', answer='513', cut=True)
    >>> parse_written("<think>27 × 20")
    Written(reasoning='27 × 20', answer=None, cut=True)
    """
    bare_text = bare(text)
    if not bare_text or bare_text.isspace():
        return Written("", None)
    # The mark at the end of a channel says that it was not cut.
    return _harmony(text) or (bare_text != text and _harmony(bare_text)) or _tagged(bare_text) or Written("", bare_text)


class _Tag(NamedTuple):
    start: int
    end: int
    pair: str
    opens: bool
    answers: bool
    # It stands in code, on a line of its own: perhaps that code was only never closed.
    doubtful: bool


class _Part(NamedTuple):
    """A stretch of the text: in reasoning, in an answer, or outside of both."""

    place: Literal["reasoning", "answer", "outside"]
    text: str


def _tagged(text: str) -> Written | None:
    text = text[: turn_end(text)]
    tags = list(_tags(text))
    if all(tag.pair != "<thought>" for tag in tags):
        # An <output> without its <Thought> is anybody's XML.
        tags = [tag for tag in tags if tag.pair != "<output>"]
    if not tags:
        return None
    begun = tags[0].opens and not text[: tags[0].start].strip()
    if begun and len(tags) == _ONE_BLOCK and _is_block(*tags):
        # As most are; it takes half of the time.
        return Written(text[tags[0].end : tags[1].start].strip(), text[tags[1].end :].strip() or None)
    orphan = None if begun else _orphan(tags, len(text))
    if not (begun or orphan) and not (tags := _from_reasoning(text, tags)):
        return None
    closings = {tag.pair: place for place, tag in enumerate(tags) if not tag.opens}
    sure_closings = {tag.pair: place for place, tag in enumerate(tags) if not tag.opens and not tag.doubtful}

    parts: list[_Part] = []
    position = 0
    content = _content_from(text, position)
    inside = orphan
    for place, tag in enumerate(tags):
        if inside and inside is orphan:
            taken = tag is orphan
        elif inside:
            taken = tag.pair == inside.pair and not tag.opens
            taken = taken and (not tag.doubtful or place > sure_closings.get(tag.pair, -1))
        elif tag.opens:
            # In the middle of an answer only what begins a line is a tag, but for the answer's own with its end.
            taken = not parts or content >= tag.start or _begins_line(text, tag.start)
            taken = taken or (tag.answers and closings.get(tag.pair, -1) > place)
        else:
            taken = tag.answers and tag.end == len(text)
        if taken:
            parts.append(_part(inside or (None if tag.opens else tag), text[position : tag.start]))
            inside = tag if tag.opens else None
            position = tag.end
            content = _content_from(text, position)
    parts.append(_part(inside, text[position:]))
    return _assembled(parts)


def _is_block(first: _Tag, second: _Tag) -> bool:
    """Whether two tags are those of a block of reasoning."""
    return not (first.answers or second.opens or second.doubtful) and first.pair == second.pair


def _tags(text: str) -> Iterator[_Tag]:
    """The tags in a text that are not mentions of tags."""
    codes = fenced(text)
    code = 0
    shown: set[tuple[int, str]] = set()
    for found in _named_tags(text):
        if found[0][0] == "`":
            continue
        start, end = found.span()
        if text[start - 1 : start] in _QUOTES and text[end : end + 1] in _QUOTES:
            continue
        pair, opens, answers = _KINDS[found[0].lower()]
        while code < len(codes) and codes[code][1] <= start:
            code += 1
        in_code = code < len(codes) and codes[code][0] <= start
        if in_code and opens:
            shown.add((code, pair))
        elif not in_code:
            yield _Tag(start, end, pair, opens, answers, doubtful=False)
        elif (code, pair) not in shown and _begins_line(text, start) and text[end : end + 1] in {"", "\n", "\r"}:
            yield _Tag(start, end, pair, opens, answers, doubtful=True)


def _named_tags(text: str) -> Iterator[re.Match[str]]:
    """The tags in a text, and code in a line."""
    # To look for one character takes a tenth of the time.
    beginning = _BEGINNING if "[" in text or "`" in text or "◁" in text else _BRACKET
    at = 0
    while begun := beginning.search(text, at):
        found = _TAG.match(text, begun.start())
        if found:
            yield found
        at = (found or begun).end()


def _orphan(tags: list[_Tag], end: int) -> _Tag | None:
    """The first tag that closes what was never opened."""
    depth: Counter[str] = Counter()
    for tag in tags:
        if tag.doubtful:
            continue
        if not tag.opens and not depth[tag.pair] and (not tag.answers or tag.end == end):
            return tag
        depth[tag.pair] = max(0, depth[tag.pair] + (1 if tag.opens else -1))
    return None


def _from_reasoning(text: str, tags: list[_Tag]) -> list[_Tag]:
    """The tags from the one on that opens the reasoning behind other words; none where these only mention tags.

    It stands at the beginning of a line or behind a sentence; if it is never closed, alone on its line.
    """
    closings = {tag.pair: place for place, tag in enumerate(tags) if not tag.opens and not tag.doubtful}
    for place, tag in enumerate(tags):
        if not tag.opens or tag.answers or tag.doubtful:
            continue
        begins = _begins_line(text, tag.start)
        if closings.get(tag.pair, -1) > place:
            if begins or _BEFORE_REASONING.search(text, max(0, tag.start - _BEFORE), tag.start):
                return tags[place:]
        elif begins and text[tag.end : tag.end + 1] in {"\n", "\r"}:
            return tags[place:]
    return []


def _part(tag: _Tag | None, text: str) -> _Part:
    return _Part("outside" if tag is None else "answer" if tag.answers else "reasoning", text.strip())


def _assembled(parts: list[_Part]) -> Written:
    """The answer is the last that has a tag, else what stands behind the last reasoning; all else is reasoning."""
    last = len(parts) - 1
    answers = [place for place, part in enumerate(parts) if part.place == "answer"]
    chosen = answers[-1] if answers else last if parts[last].place == "outside" else None
    reasoning = "\n\n".join(part.text for place, part in enumerate(parts) if place != chosen and part.text)
    answer = None if chosen is None else parts[chosen].text or None
    return Written(reasoning, answer, cut=parts[last].place != "outside")


def _content_from(text: str, position: int) -> int:
    found = _NOT_SPACE.search(text, position)
    return found.start() if found else len(text)


def _begins_line(text: str, start: int) -> bool:
    before = text[max(0, start - _INDENT) : start].rstrip(" \t")
    return before.endswith("\n") if before else start <= _INDENT


def _harmony(text: str) -> Written | None:
    """The messages of gpt-oss: the last one to `final` is the answer; what is told to tools is reasoning."""
    if "<|message|>" not in text:
        return None
    heads = list(_HARMONY.finditer(text))
    first = text[: heads[0].start()].strip() if heads else text
    if first and not (heads and heads[0]["closing"]):
        return None
    messages, is_cut = [(False, first)], False
    for place, head in enumerate(heads):
        end = heads[place + 1].start() if place + 1 < len(heads) else len(text)
        body = _HARMONY_END.sub("", text[head.end() : end]).strip()
        role, channel = (head["role"] or "assistant").strip(), (head["channel"] or "final").strip()
        name, _, recipient = channel.partition(" ")
        is_ended = _HARMONY_END.search(text, head.end(), end) is not None
        if name == "final" and role == "assistant":
            messages.append((True, body))
            # What ends the model's turn is mostly left out.
            is_cut = not (is_ended or body)
        else:
            told = " ".join(filter(None, [role.removeprefix("assistant").strip(), recipient, head["type"]]))
            messages.append((False, f"{told}\n{body}".strip()))
            is_cut = not (is_ended or told)
    chosen = max((place for place, (final, _) in enumerate(messages) if final), default=None)
    reasoning = "\n\n".join(body for place, (_, body) in enumerate(messages) if place != chosen and body)
    return Written(reasoning, None if chosen is None else messages[chosen][1] or None, is_cut)
