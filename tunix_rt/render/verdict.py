"""What matters most of a trace: whether its answer is right, its flags, reward and origin, from meta and scores."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from tunix_rt.render.characters import one_line, visible
from tunix_rt.render.protocols import EvidenceShape, ScoreShape

_DECIMALS = 4  # of a score or a reward that say something in a row
_ANSWER = "answer"
_SHORT = 40  # characters of a model's name or a label
_LONG = 80  # characters of an expected answer
_EVIDENCE, _MOST_EVIDENCE = 200, 8  # characters of one piece of evidence, and pieces


class Verdict(NamedTuple):
    """Whether an answer is right: a word, a sign for readers without colours, and who says so, or why it is unknown."""

    word: str
    sign: str
    by: str

    @property
    def is_known(self) -> bool:
        """Whether somebody says that it is right, or that it is wrong."""
        return self.word != "unknown"


VERDICTS = {True: Verdict("right", "✓", ""), False: Verdict("wrong", "✗", ""), None: Verdict("unknown", "?", "")}


class Judged(NamedTuple):
    """What is known of a trace, in texts of one line; what is not known is empty."""

    verdict: Verdict
    expected: str
    reward: str
    model: str
    training_step: str
    flags: tuple[str, ...]
    """Raised flags, `truncated` also where meta says so."""
    others: tuple[tuple[str, str], ...]
    """Scores by other scorers: name and value."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return not (self.verdict.is_known or any(self[1:]))

    @property
    def origin(self) -> str:
        """Model and training step together."""
        step = f"training step {self.training_step}" if self.training_step else ""
        return " · ".join(filter(None, [self.model, step]))


def judged(meta: Mapping[str, Any] | None, scores: Mapping[str, ScoreShape]) -> Judged:
    """What is known of a trace by its meta, or the facts of it, and by its current scores."""
    meta = meta or {}
    verdict = _verdict(meta.get("correct"), scores)
    raised = [name for name, score in scores.items() if score.flag and score.value]
    # Reported by the source, or inferred by the flag; and a wrong answer is not told twice.
    names = dict.fromkeys((["truncated"] if meta.get("truncated") is True else []) + raised)
    if verdict.word == "wrong":
        names.pop("wrong", None)
    return Judged(
        verdict=verdict,
        expected=_expected(meta.get("expected_answer"), scores.get(_ANSWER)),
        reward=said(meta.get("reward")),
        model=said(meta.get("model")),
        training_step=said(meta.get("training_step")),
        flags=tuple(map(visible, names)),
        others=tuple(
            (visible(name), score_said(score))
            for name, score in scores.items()
            if not score.flag and (name != _ANSWER or (score.value is None and score.label is not None))
        ),
    )


def _verdict(correct: object, scores: Mapping[str, ScoreShape]) -> Verdict:
    score = scores.get(_ANSWER)
    if score is not None and score.value is not None:
        return VERDICTS[score.value > 0]._replace(by="score answer")
    if isinstance(correct, bool):
        return VERDICTS[correct]._replace(by="meta.correct")
    why = visible(score.reason) if score is not None and score.reason else "not scored"
    return VERDICTS[None]._replace(by=why)


def _expected(value: object, score: ScoreShape | None) -> str:
    # What the scorer compared with: of a solution the answer that it states.
    metadata = getattr(score, "metadata", None) or {}
    stated = metadata.get("expected")
    return one_line(visible(stated), _LONG) if isinstance(stated, str) else said(value, _LONG)


def score_said(score: ScoreShape) -> str:
    """What a score says: a number, a label, or in parentheses the reason why it says nothing."""
    if score.label is not None:
        return said(score.label)
    if score.value is not None:
        return said(score.value)
    return f"({said(score.reason)})"


def said(value: object, most: int = _SHORT) -> str:
    """A number, a boolean or a text on one line; empty for anything else.

    >>> said(12.0), said(0.123456), said(True), said(None), said([1])
    ('12', '0.1235', 'true', '', '')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        value = round(value, _DECIMALS) or value  # A small number must not become zero.
    if isinstance(value, int | float):
        return one_line(str(value).removesuffix(".0"), most)
    return one_line(visible(value), most) if isinstance(value, str) else ""


def score_lines(scores: Mapping[str, EvidenceShape]) -> list[tuple[str, str]]:
    """All scores with what they say and on what evidence; flags that are not raised together, as the last."""
    lines = []
    quiet = []
    for name, score in scores.items():
        if score.flag and score.value == 0:
            quiet.append(visible(name))
            continue
        told = "raised" if score.flag and score.value else score_said(score)
        lines.append((visible(name), " · ".join([told, *_evidence(score)])))
    return [*lines, ("not raised", ", ".join(quiet))] if quiet else lines


def _evidence(score: EvidenceShape) -> Sequence[str]:
    known = [("answer", score.answer), ("", score.explanation), *islice((score.metadata or {}).items(), _MOST_EVIDENCE)]
    told = [f"{name} {_brief(value)}".strip() for name, value in known if value not in (None, "")]
    return [one_line(visible(one), _EVIDENCE) for one in told]


def _brief(value: object) -> str:
    return said(value, _EVIDENCE) or str(value)
