"""The traces to measure with: about 2 KB each as JSON, as many as wanted, never all in memory."""

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path

import tunix_rt as rt

# In a common search the twenty newest hits lie among the newest two hundred traces.
_COMMON_SHARE = 0.1
# Of the letters that texts are made of, so that a search cannot pass over them faster than over any other word.
ABSENT_WORD = "tessarine"
# Many enough that neither a cache nor a column's dictionary holds their texts, few enough to write them from memory.
_ORIGINALS = 5_000
_MADE_UP_CHARS = 1_250
_LINES_AT_ONCE = 1_000

_TYPES = ("parse", "plan", "compute", "check", "conclude")
_NAMES = (
    "Amina", "Bruno", "Chen", "Dalia", "Emeka", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Mateo",
    "Nadia", "Omar", "Priya", "Rosa", "Tariq",
)  # fmt: skip
_THINGS = (
    "apples", "books", "bricks", "candles", "chairs", "coins", "crates", "eggs", "flowers", "jars", "lamps",
    "letters", "marbles", "melons", "muffins", "pages", "pencils", "plates", "ropes", "seeds", "shells", "stamps",
    "stickers", "tickets", "tiles", "towels", "trees",
)  # fmt: skip
_PLACES = (
    "bakery", "farm", "garage", "garden", "harbour", "kitchen", "library", "market", "office", "orchard", "school",
    "shop", "station", "workshop",
)  # fmt: skip
_TOLD = (
    "{name} keeps {a} {things} in the {place}, and every week {other} brings {b} more of them.",
    "In the {place} there are {a} shelves, and each of them holds {b} {things}.",
    "After {a} days {name} sold {b} {things} and gave {c} of the rest to {other}.",
    "{other} counts the {things} twice and finds {a} of them broken, which leaves {b}.",
    "A box of {things} costs ${a}.{b}, and {name} buys {c} boxes for the {place}.",
)
_REASONED = (
    "First, the number of {things} is {a} + {b} = {c}, because {name} counts both shelves of the {place}.",
    "Since {other} takes {a} of the {things} away, we subtract: {c} − {a} = {b}.",
    "So each of the {a} boxes holds {b} / {a} = {c} {things}, and nothing is left over.",
    "Wait, the {place} opens only {a} days a week, so the product is {a} × {b} = {c} and not {b}.",
    "Let x be the number of {things} that {name} had at the start; then x + {a} = {b}, so x = {c}.",
    "Checking: {a} × {b} is {c}, and {other} paid ${b}.{a} for that many {things}.",
    "This means that {name} still needs {a} {things} for the {place} before {other} comes back at {b}:{c}.",
)


class Traces:
    """Traces from a file that `TraceStore.load` reads, or made-up ones, varied up to any number; the same in every run.

    `common_word` stands in about one trace of ten, `absent_word` in none.
    """

    def __init__(self, file: Path | None, scratch: Path) -> None:
        self.originals = _read(file, scratch) if file else list(_made_up())
        self.common_word, self.absent_word = _common_word(self.originals), ABSENT_WORD

    def write(self, path: Path, n_traces: int) -> None:
        """Writes so many traces to a file of JSON Lines."""
        lines = islice(self._lines(), n_traces)
        with path.open("wb") as file:
            while some := b"".join(islice(lines, _LINES_AT_ONCE)):
                file.write(some)

    def _lines(self) -> Iterator[bytes]:
        originals = [_cut(trace) for trace in self.originals]
        shuffle = random.Random(2)
        for _ in repeat(None):
            # Each time round the digits change places: no text comes again, while words and lengths stay what they are.
            digits = bytes.maketrans(b"0123456789", bytes(shuffle.sample(b"0123456789", 10)))
            for parts in originals:
                yield b"".join(part.translate(digits) if place % 2 else part for place, part in enumerate(parts))


def _read(file: Path, scratch: Path) -> list[rt.Trace]:
    store = rt.TraceStore(scratch / "originals.duckdb")
    report = store.load(file, progress=False)
    if not report.added:
        raise SystemExit(f"--data {file}: no traces in it: {report!r}")
    return [record.payload for record in islice(store.records(newest_first=False), _ORIGINALS)]


def _made_up() -> Iterator[rt.Trace]:
    choose = random.Random(1)
    for place in range(_ORIGINALS):
        n_steps = choose.randint(4, 8)
        yield rt.Trace(
            prompt=_tell(choose, _TOLD, _MADE_UP_CHARS // 5),
            steps=[
                rt.Step(i=i, type=choose.choice(_TYPES), content=_tell(choose, _REASONED, _MADE_UP_CHARS // n_steps))
                for i in range(n_steps)
            ],
            final_answer=str(choose.randint(1, 99_999)),
            meta={"source": choose.choice(_PLACES), "reward": round(choose.random(), 3), "group": place // 8},
        )


def _tell(choose: random.Random, patterns: tuple[str, ...], chars: int) -> str:
    """Sentences of these patterns, at least so many characters of them."""
    told = ""
    while len(told) < chars:
        told += choose.choice(patterns).format(
            name=choose.choice(_NAMES),
            other=choose.choice(_NAMES),
            things=choose.choice(_THINGS),
            place=choose.choice(_PLACES),
            a=choose.randint(2, 99),
            b=choose.randint(10, 999),
            c=choose.randint(100, 99_999),
        )
        told += " "
    return told.rstrip()


def _cut(trace: rt.Trace) -> list[bytes]:
    """The trace's line of JSON, cut at its texts: every second part, from the second on, is a text."""
    parts = [f'{{"trace_version":"{trace.trace_version}","prompt":', trace.prompt]
    for place, step in enumerate(trace.steps):
        before = ',"steps":[' if place == 0 else "},"
        parts += [f'{before}{{"i":{step.i},"type":{json.dumps(step.type)},"content":', step.content]
    parts += ['}],"final_answer":' if trace.steps else ',"steps":[],"final_answer":', trace.final_answer or ""]
    parts.append(f',"meta":{json.dumps(trace.meta)}}}\n')
    # Digits in an escape such as \u001b may change too: still valid, and never NUL or a surrogate.
    return [(json.dumps(part, ensure_ascii=False) if n % 2 else part).encode() for n, part in enumerate(parts)]


def _common_word(traces: list[rt.Trace]) -> str:
    words: Counter[str] = Counter()
    for trace in traces:
        text = " ".join([trace.prompt, *(step.content for step in trace.steps)])
        words.update(set(re.findall(r"[a-z]{5,}", text)))
    share = len(traces) * _COMMON_SHARE
    # Sorted first: a tie falls the same way in every run.
    return min(sorted(words), key=lambda word: abs(words[word] - share))
