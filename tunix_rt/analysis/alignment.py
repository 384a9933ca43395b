"""The steps of two traces aligned: which are equal, changed, or only in one; words and numbers of the changed ones."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from math import isqrt
from operator import add
from typing import Literal, NamedTuple

Kind = Literal["equal", "changed", "deleted", "inserted"]

# Two steps that are less similar are two steps, and their words are not compared. Texts on one subject reach 0.4.
LEAST_SIMILAR = 0.45
# Characters of a step that are compared, from both of its ends. The work is the number of pairs times the square of
# this: 1,000 × 1,000 long steps take half a second with 158 characters, and took 3 s with 500.
_MOST_CHARS, _FEWEST_CHARS = 500, 100
_MOST_WORK = 25_000_000_000
# Beyond it only pairs near the diagonal are compared: 10,000 × 10,000 steps, 100 to each side, in a second.
_MOST_PAIRS = 2_000_000
_MOST_WORDS = 4_000
_BELOW_ONE = 0.999

_CJK = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"(\d+(?:[.,]\d+)*|[{_CJK}]|[^\W{_CJK}]+|[^\w\s])(\s*)")
# A minus is a sign where nothing that could be subtracted from stands before it.
_NUMBER = re.compile(
    r"(?:(?:(?<=[=(,:\[{<>])|(?<=[=(,:<>]\s)|^)[-−])?(?:\d{1,3}(?:,\d{3}){1,9}(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?|(?<!\w)\.\d+)"
)


class Span(NamedTuple):
    """A stretch of a text, and whether the other text has others in its place."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedStep:
    """A step of one trace beside that of the other: `a` and `b` are their positions, None where one has none.

    `similarity` is 1 where they are equal, 0 where there is one only. A changed step has the `words` of both (none
    where one has more than 4,000), and `numbers`: those that only one of them has, as they are written.
    """

    kind: Kind
    a: int | None
    b: int | None
    similarity: float
    words: tuple[tuple[Span, ...], tuple[Span, ...]] = ((), ())
    numbers: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def align(a: Sequence[str], b: Sequence[str]) -> list[AlignedStep]:
    """The steps of two traces, in order, paired so that the similarities of all pairs have the largest sum.

    The similarity of two steps is that of their characters (2 × the longest common subsequence / both lengths), of the
    first and the last, 500 in all, or 100 at least where there are many steps; above 2,000,000 pairs, of those near the
    diagonal. Steps below 0.45 are not paired: one is deleted, the other inserted. This is the alignment of Needleman
    and Wunsch (1970) where a pair gains its similarity − ½, and a step without one costs ¼.

    >>> [(one.kind, one.a, one.b, one.numbers) for one in align(["16 − 3 = 13", "so 13"], ["16 − 4 = 12"])]
    [('changed', 0, 0, (('3', '13'), ('4', '12'))), ('deleted', 1, None, ((), ()))]
    """
    texts = [[text.strip() for text in one] for one in (a, b)]
    head = _n_equal(*texts)
    rest_a, rest_b = texts[0][head:], texts[1][head:]
    tail = _n_equal(rest_a[::-1], rest_b[::-1])
    n, m = len(rest_a) - tail, len(rest_b) - tail
    pairs = [(at, at, 1.0) for at in range(head)]
    pairs += [(head + i, head + j, similarity) for i, j, similarity in _paired(rest_a[:n], rest_b[:m])]
    pairs += [(head + n + at, head + m + at, 1.0) for at in range(tail)]
    return list(_in_order(pairs, a, b))


def _n_equal(a: Sequence[str], b: Sequence[str]) -> int:
    """How many steps are equal from the start: an alignment with the largest sum pairs them."""
    return next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def _paired(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, float]]:
    """The pairs of the alignment: positions and similarity."""
    # Here and not above, as below: importing it takes longer than a store that compares nothing should wait.
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import extract_iter

    if not a or not b:
        return []
    chars = max(_FEWEST_CHARS, min(_MOST_CHARS, isqrt(_MOST_WORK // (len(a) * len(b)))))
    ends_a, ends_b = ([_ends(text, chars) for text in one] for one in (a, b))
    # Windows of neighbouring steps overlap: the middle moves on by no more than the reach.
    reach = max(_MOST_PAIRS // (2 * len(a)), -(-len(b) // len(a)))
    # best[i][j - lows[i]] is the largest sum for the first i steps of a and the first j of b; beyond its end, the last.
    best, lows = [[0.0]], [0]
    for at, text in enumerate(ends_a):
        middle = at * len(b) // len(a)
        low, high = max(0, middle - reach), min(len(b), middle + reach + 1)
        similar = [0.0] * (high - low)
        near = ends_b[low:high]
        for _, similarity, to in extract_iter(
            text, near, scorer=Indel.normalized_similarity, score_cutoff=LEAST_SIMILAR
        ):
            # Both ends may be equal where the texts are not.
            similar[to] = similarity if similarity < 1 or a[at] == b[low + to] else _BELOW_ONE
        above = best[-1][low - lows[-1] :]
        above += above[-1:] * (high - low + 1 - len(above))
        best.append([*accumulate(chain(above[:1], map(max, above[1:], map(add, above, similar))), max)])
        lows.append(low)
    pairs = [
        (i, j, 1.0 if a[i] == b[j] else min(_BELOW_ONE, Indel.normalized_similarity(ends_a[i], ends_b[j])))
        for i, j in _traced(best, lows, len(a), len(b))
    ]
    return pairs[::-1]


def _ends(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars // 2] + text[-(chars // 2) :]


def _traced(best: list[list[float]], lows: list[int], i: int, j: int) -> Iterator[tuple[int, int]]:
    """The positions of the pairs that have the largest sum, the last first."""
    while i and j > lows[i]:
        now, above = best[i], best[i - 1]
        to = min(j - lows[i], len(now) - 1)
        if now[to] == above[min(j - lows[i - 1], len(above) - 1)]:
            i -= 1
        elif now[to] == now[to - 1] or j - lows[i] > to:
            j -= 1
        else:
            i, j = i - 1, j - 1
            yield i, j


def _in_order(pairs: list[tuple[int, int, float]], a: Sequence[str], b: Sequence[str]) -> Iterator[AlignedStep]:
    """All steps: before each pair those that have none, first those of `a`."""
    i = j = 0
    for at, to, similarity in [*pairs, (len(a), len(b), 0.0)]:
        for one in range(i, at):
            yield AlignedStep(kind="deleted", a=one, b=None, similarity=0.0)
        for one in range(j, to):
            yield AlignedStep(kind="inserted", a=None, b=one, similarity=0.0)
        if at < len(a):
            yield _pair(a[at], b[to], at, to, similarity)
        i, j = at + 1, to + 1


def _pair(a: str, b: str, at: int, to: int, similarity: float) -> AlignedStep:
    if similarity == 1:
        return AlignedStep(kind="equal", a=at, b=to, similarity=1.0)
    words = changed_words(a, b) if similarity else ((), ())
    return AlignedStep(kind="changed", a=at, b=to, similarity=similarity, words=words, numbers=changed_numbers(a, b))


def beside(a: str, b: str) -> AlignedStep:
    """Two texts that belong together as an aligned step, equal or changed; below 0.45 without words, similarity 0."""
    first = align([a], [b])[0]
    return first if first.kind in ("equal", "changed") else _pair(a, b, 0, 0, 0.0)


def changed_words(a: str, b: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Both texts in stretches, changed or not, by a longest common subsequence of their words and signs.

    Empty where one of them has more than 4,000.

    >>> changed_words("so 13 eggs", "so 12 eggs")[1]
    (Span(text='so ', changed=False), Span(text='12', changed=True), Span(text=' eggs', changed=False))
    """
    from rapidfuzz.distance import Indel

    found = [_WORD.findall(text) for text in (a, b)]
    if max(map(len, found)) > _MOST_WORDS:
        return (), ()
    spans: tuple[list[Span], list[Span]] = ([], [])
    for one, text in zip(spans, (a, b), strict=True):
        one.append(Span(text[: len(text) - len(text.lstrip())], changed=False))
    for code in Indel.opcodes(*([word for word, _ in words] for words in found)):
        ends = (code.src_start, code.src_end), (code.dest_start, code.dest_end)
        for one, words, (start, end) in zip(spans, found, ends, strict=True):
            text = "".join(chain.from_iterable(words[start:end]))
            bare = text.rstrip()
            one += [Span(bare, code.tag != "equal"), Span(text[len(bare) :], changed=False)]
    first, second = (tuple(_joined(one)) for one in spans)
    return first, second


def _joined(spans: list[Span]) -> Iterator[Span]:
    """Without empty stretches, and neighbours of one kind as one."""
    for changed, group in groupby((one for one in spans if one.text), lambda one: one.changed):
        yield Span("".join(one.text for one in group), changed)


def changed_numbers(a: str, b: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The numbers that only one of two texts has, or has more often, as they are written, in order.

    >>> changed_numbers("16 - 3 = 13, or 1,000", "16 − 4 = 12.0, or 1000.0")
    (('3', '13'), ('4', '12.0'))
    """
    written = [[found[0] for found in _NUMBER.finditer(text)] for text in (a, b)]
    if written[0] == written[1]:
        return (), ()
    values = [[_value(one) for one in numbers] for numbers in written]
    first, second = (tuple(_more_often(written[at], values[at], values[1 - at])) for at in (0, 1))
    return first, second


def _more_often(written: list[str], values: list[str], others: list[str]) -> list[str]:
    left = Counter(values) - Counter(others)
    more = []
    # From behind: the first ones have their like in the other text.
    for number, value in zip(written[::-1], values[::-1], strict=True):
        if left[value]:
            left[value] -= 1
            more.append(number)
    return more[::-1]


def _value(number: str) -> str:
    """A number without what makes no difference: separators, and zeros at its ends."""
    digits = number.replace(",", "").replace("−", "-")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    sign = "-" if digits.startswith("-") else ""
    return sign + (digits.lstrip("-").lstrip("0") or "0")
