"""`loop`: whether a text repeats itself to its end, by three rules, each with its evidence.

Measured on 46,123 texts that ended by themselves and 1,645 that looped: T alone has 1 false alarm, K and N none.
"""

import re
import zlib
from typing import Any

from tunix_rt.analysis.score import Score, Texts

_MAX_PERIOD = 2_000
_SUFFIX = 40
# A text of one letter has its suffix at every position; a period that no candidate of these shows is no loop.
_CANDIDATES = 200
# On bytes: a regular expression took a millisecond for it, more than all the rest together.
_MASK = bytes.maketrans(b"123456789", b"0" * 9)
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"\S+")
# Rules, tables of zeros and the digits of 1/7 repeat and are none: without a letter it takes more to be a loop.
_LETTERLESS = 5
_KEPT = 200
_SHINGLE = 8
_SPAN_N = 60_000
_NOT_LESS = 2_000
_PIECE = 30


def loop(
    texts: Texts,
    *,
    repeats: int = 3,
    covered: int = 100,
    masked_repeats: int = 5,
    masked_covered: int = 200,
    masked_tail: int = 6_000,
    masked_letters: int = 8,
    seen_share: float = 0.9,
    seen_tail: int = 1_500,
    packed_ratio: float = 3.4,
) -> Score:
    """Whether the reasoning or the answer ends in a loop; the evidence has the rule, the unit, its count and its start.

    `T`: the tail repeats exactly, at least `repeats` times over `covered` characters. `K`: so do the last `masked_tail`
    characters with numbers masked (Step 144: … Step 145: …), `masked_repeats` times over `masked_covered` characters,
    with `masked_letters` letters in the unit. `N`: `seen_share` of the shingles of 8 words in the last `seen_tail`
    characters were there before, and zlib packs the tail to 1/`packed_ratio`. `start` counts characters of `of`.
    """
    for of, text in (("steps", "\n".join(texts.steps)), ("final_answer", texts.final_answer or "")):
        text = text.rstrip()  # noqa: PLW2901
        if len(text) < covered:
            continue
        found = (
            _exact(text, repeats, covered)
            or _masked(text[-masked_tail:], len(text), masked_repeats, masked_covered, masked_letters)
            or _seen(text, seen_share, seen_tail, packed_ratio)
        )
        if found is not None:
            return Score(value=True, metadata={"of": of, **found})
    return Score(value=False)


def _exact(text: str, repeats: int, covered: int) -> dict[str, Any] | None:
    period, length = _period(text, repeats, covered)
    if not period:
        return None
    unit = text[-period:]
    if not _LETTER.search(unit) and length < _LETTERLESS * covered:
        return None
    return _evidence("T", unit, length // period, len(text) - length)


def _masked(tail: str, n_chars: int, repeats: int, covered: int, letters: int) -> dict[str, Any] | None:
    encoded = tail.encode(errors="surrogatepass").translate(_MASK)
    while b"00" in encoded:
        encoded = encoded.replace(b"00", b"0")
    masked = encoded.decode(errors="surrogatepass")
    period, length = _period(masked, repeats, covered)
    if not period or len(_LETTER.findall(masked[-period:])) < letters:
        return None
    # Where it began, as near as masked numbers let one say.
    start = n_chars - round(length * len(tail) / len(masked))
    return {**_evidence("K", masked[-period:], length // period, max(0, start)), "masked": "numbers are 0"}


def _seen(text: str, share: float, tail: int, packed_ratio: float) -> dict[str, Any] | None:
    if len(text) < _NOT_LESS:
        return None
    # Most texts end here: of five pieces of the tail none was there before.
    pieces = (text[len(text) - at :][:_PIECE] for at in range(_PIECE, tail, max(1, tail // 5)))
    if not any(text.find(piece, max(0, len(text) - _SPAN_N), len(text) - tail) >= 0 for piece in pieces):
        return None
    end = text[-4_000:].encode(errors="surrogatepass")
    if len(end) < packed_ratio * len(zlib.compress(end, 6)):
        return None
    near = text[-_SPAN_N:]
    words = [(found[0], found.start()) for found in _WORD.finditer(near)]
    first = next((n for n, (_, at) in enumerate(words) if at >= len(near) - tail), len(words))
    names = [word for word, _ in words]
    shingles = [tuple(names[n : n + _SHINGLE]) for n in range(len(names) - _SHINGLE + 1)]
    last = [one for one in shingles[first:] if any(map(_LETTER.search, one))]
    if len(last) < _SHINGLE:
        return None
    before = set(shingles[: max(0, first - _SHINGLE + 1)])
    n_seen = sum(one in before for one in last)
    if n_seen < share * len(last):
        return None
    # The unit: from where the last shingle of them was the time before to where it is now; its first time is the start.
    again = next(one for one in reversed(last) if one in before)
    places = [n for n, one in enumerate(shingles) if one == again]
    unit = near[words[places[-2]][1] : words[places[-1]][1]]
    start = len(text) - len(near) + words[places[0]][1]
    return {**_evidence("N", unit, len(places), start), "share": round(n_seen / len(last), 3)}


def _evidence(rule: str, unit: str, count: int, start: int) -> dict[str, Any]:
    return {"rule": rule, "unit": unit[:_KEPT], "unit_chars": len(unit), "count": count, "start": start}


def _period(text: str, repeats: int, covered: int) -> tuple[int, int]:
    """The shortest period of a text's tail that repeats so often and so far, and the length of that tail; else 0, 0."""
    size = len(text)
    suffix = text[-_SUFFIX:]
    end = size - 1
    for _ in range(_CANDIDATES):
        # The suffix itself ends at `size`; what ends before is a candidate.
        at = text.rfind(suffix, max(0, size - _SUFFIX - _MAX_PERIOD), end)
        if at < 0:
            return 0, 0
        period = size - _SUFFIX - at
        if (length := _tail_of_period(text, period)) >= max(covered, repeats * period):
            return period, length
        end = at + _SUFFIX - 1
    return 0, 0


def _tail_of_period(text: str, period: int) -> int:
    """How long the tail is in which every character equals that a period before."""
    size, step = len(text), 4_096
    matched = 0
    while matched + period < size:
        stop = size - matched
        start = max(period, stop - step)
        if text[start:stop] == text[start - period : stop - period]:
            matched += stop - start
            continue
        if step == 1:
            break
        step = max(1, step // 4)
    return matched + period
