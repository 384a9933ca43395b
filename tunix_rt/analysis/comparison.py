"""Two traces compared: their steps side by side, where they part, whether the answer and its verdict change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from tunix_rt import render
from tunix_rt.analysis.alignment import align, beside
from tunix_rt.analysis.answers import answer, own_statement
from tunix_rt.analysis.judging import judged
from tunix_rt.analysis.score import Texts
from tunix_rt.model import Trace, TraceRecord

_WORDS = {True: "right", False: "wrong", None: "unknown"}
_KINDS = {"equal": "equal", "changed": "changed", "deleted": "only in A", "inserted": "only in B"}
_MOST_SCORES = 50
_CHARS = 80  # of an answer among the facts
_NUMBERS = 8  # of a step among the facts


@dataclass(frozen=True)
class Said:
    """What a scorer says of the two traces: a number, a label, or None."""

    scorer: str
    a: float | str | None
    b: float | str | None


@render.shows_itself(render.comparison_text, render.comparison_html)
class TraceComparison:
    """Two traces, `a` and `b`, compared.

    `steps` are all steps of both, aligned, as `AlignedStep`: `kind` ("equal", "changed", "deleted": only in a,
    "inserted": only in b), positions `a` and `b`, `similarity`, `words` and `numbers`; `first_divergence` is the index
    in `steps` of the first that is not equal, None where all are. `prompt` and `answer` are those of both, like a step.

    `same_answer` says whether both state the same answer, however it is written; None where that cannot be told.
    `verdicts` are those on both: the current score of `answer`, what that scorer says now, or `meta.correct`. They
    `flip` where one is right and the other wrong. `scores` are the current ones of both in a store, and their rewards.

    >>> a, b = (Trace(prompt="27 × 19?", steps=["27 × 20 = 540", s], final_answer=s[-3:]) for s in ("-27: 513", "540"))
    >>> found = TraceComparison(a, b)
    >>> [step.kind for step in found.steps], found.first_divergence, found.same_answer
    (['equal', 'deleted', 'inserted'], 1, False)
    """

    def __init__(
        self,
        a: Trace | TraceRecord,
        b: Trace | TraceRecord,
        *,
        scores: Sequence[Mapping[str, Any]] = ({}, {}),
    ) -> None:
        self.a, self.b = (one.payload if isinstance(one, TraceRecord) else one for one in (a, b))
        self.ids = _id(a), _id(b)
        rewards = [(one.meta or {}).get("reward") for one in (self.a, self.b)]
        if any(isinstance(one, int | float) for one in rewards):
            scores = tuple({**said, "meta.reward": one} for said, one in zip(scores, rewards, strict=True))
        self.scores = [Said(name, *(said.get(name) for said in scores)) for name in sorted({**scores[0], **scores[1]})]
        texts = [_texts(one) for one in (self.a, self.b)]
        self.steps = align(texts[0].steps, texts[1].steps)
        self.first_divergence = next((at for at, one in enumerate(self.steps) if one.kind != "equal"), None)
        self.prompt = beside(self.a.prompt, self.b.prompt)
        self.answer = beside(*(one.final_answer or "" for one in texts))
        self._stated = tuple(found.answer if (found := own_statement(one)) else one.final_answer for one in texts)
        self.same_answer = _same(*self._stated)
        said = [one.get("answer") for one in scores]
        self.verdicts = _verdict(texts[0], said[0]), _verdict(texts[1], said[1])

    @property
    def flips(self) -> bool:
        """Whether one of the two is right and the other wrong."""
        return set(self.verdicts) == {True, False}

    @property
    def counts(self) -> dict[str, int]:
        """How many of `steps` are of each kind."""
        found = [one.kind for one in self.steps]
        return {kind: found.count(kind) for kind in ("equal", "changed", "deleted", "inserted")}

    def to_dict(self) -> dict[str, Any]:
        """The comparison as values of JSON: positions of steps, and the texts of changed words and numbers only."""
        return {
            "ids": [one and str(one) for one in self.ids],
            "same_prompt": self.prompt.kind == "equal",
            "same_answer": self.same_answer,
            "answers": list(self._stated),
            "verdicts": list(self.verdicts),
            "flips": self.flips,
            "counts": self.counts,
            "first_divergence": self.first_divergence,
            "scores": [asdict(one) for one in self.scores],
            "steps": [
                {
                    "kind": one.kind,
                    "a": one.a,
                    "b": one.b,
                    "similarity": round(one.similarity, 3),
                    "words": [[span.text for span in spans if span.changed] for spans in one.words],
                    "numbers": [list(numbers) for numbers in one.numbers],
                }
                for one in self.steps
            ],
        }

    @property
    def _facts(self) -> list[tuple[str, str]]:
        n = self.counts
        steps = ", ".join(f"{n[kind]:,} {said}" for kind, said in _KINDS.items() if n[kind]) or "none"
        facts = [("prompt", "the same" if self.prompt.kind == "equal" else "different"), ("answer", self._answers)]
        facts += [("verdict", self._verdicts), ("steps", steps)]
        if self.steps:
            facts.append(("first divergence", self._divergence))
        if said := self._numbers:
            facts.append(("numbers", said))
        return facts

    @property
    def _answers(self) -> str:
        a, b = (render.one_line(one, _CHARS) if one else "none" for one in self._stated)
        if self.same_answer:
            return a if a == b else f"{a} and {b}: the same"
        how = "different" if self.same_answer is False else "whether they are the same cannot be told"
        return f"{a} in A, {b} in B: {how}"

    @property
    def _verdicts(self) -> str:
        a, b = (_WORDS[one] for one in self.verdicts)
        if a == b:
            return f"both {a}"
        return f"A {a}, B {b}{': it flips' if self.flips else ''}"

    @property
    def _divergence(self) -> str:
        if self.first_divergence is None:
            return "none: all steps are equal"
        one = self.steps[self.first_divergence]
        places = [f"step {self.a.steps[one.a].i} of A"] if one.a is not None else []
        places += [f"step {self.b.steps[one.b].i} of B"] if one.b is not None else []
        return f"{_KINDS[one.kind]}: {', '.join(places)}"

    @property
    def _numbers(self) -> str | None:
        """Where the first changed step has other numbers: what no similarity of texts shows."""
        one = next((one for one in self.steps if one.kind == "changed" and any(one.numbers)), None)
        if one is None or one.a is None or one.b is None:
            return None
        a, b = (
            ", ".join([*numbers[:_NUMBERS], *(["…"] if len(numbers) > _NUMBERS else [])]) for numbers in one.numbers
        )
        places = (
            f"step {self.a.steps[one.a].i} of A ({a or 'none'}) and step {self.b.steps[one.b].i} of B ({b or 'none'})"
        )
        return f"first differ in {places}"

    @property
    def _tables(self) -> list[render.Shown]:
        rows = [{"score": one.scorer, "A": _shown(one.a), "B": _shown(one.b)} for one in self.scores]
        caption = render.count(len(rows), "scorer")
        if len(rows) > _MOST_SCORES:
            caption = f"showing {_MOST_SCORES} of {caption}"
        return [render.Shown.of(rows[:_MOST_SCORES], len(rows), caption)]

    def __repr__(self) -> str:
        n = self.counts
        return f"<TraceComparison: {n['equal']:,} of {len(self.steps):,} steps equal>"


def _id(given: Trace | TraceRecord) -> UUID | None:
    return given.id if isinstance(given, TraceRecord) else None


def _texts(trace: Trace) -> Texts:
    return Texts(trace.prompt, [step.content for step in trace.steps], trace.final_answer, trace.meta or {})


def _same(a: str | None, b: str | None) -> bool | None:
    if a is None or b is None:
        return None
    verdict = judged(a, b)
    return verdict if isinstance(verdict, bool) else None


def _verdict(texts: Texts, score: Any) -> bool | None:
    if isinstance(score, int | float):
        return score > 0
    now = answer(texts).value
    marked = texts.meta.get("correct")
    return bool(now) if now is not None else marked if isinstance(marked, bool) else None


def _shown(said: float | str | None) -> str | None:
    return f"{said:g}" if isinstance(said, int | float) else said
