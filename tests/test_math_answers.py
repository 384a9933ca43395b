"""`answer` with `verify="math"`: formulas that only mathematics can compare, in a process that can be killed."""

import importlib.metadata
from pathlib import Path

import pytest

import tunix_rt as rt
from tunix_rt.analysis import Texts, built_in, math_answers, math_equality
from tunix_rt.analysis.math_equality import EqualByMath, are_equal

EQUAL = [
    ("x^2+2x+1", "(x+1)^2"),
    (r"3\sqrt{13}", r"\sqrt{117}"),
    (r"$\frac{3}{2}\pi$", r"\frac{3\pi}{2}"),
    ("2x-y+1=0", "y=2x+1"),
    ("x=5", "5"),
    (r"2, -2", r"\pm 2"),
    (r"(\frac12, 3)", "(0.5,3)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
]
UNEQUAL = [(r"\sqrt{3}", r"\sqrt{2}"), ("p - q", "q - p"), (r"\frac{\pi}{3}", r"0.333333\pi"), ("5", "1" * 4_000)]
UNKNOWN = [
    ("5", r"5\%"),
    ("(1,2)", r"\{1,2\}"),
    ("[0,1)", "[0,1]"),
    (r"\frac{1}{2004!}", r"\frac{1}{2006!}"),
    ("y=2x+1", "y=3x+1"),
    ("listen", "silent"),
    ("a^2", "b^2"),
    ("1/0", "2"),
    ("", "x"),
    ("5", "__import__('os').system('touch canary')"),
    ("5", "9**9**9**9"),
    ("5", "\0"),
    ("5", "\ud800"),
]


@pytest.fixture(autouse=True)
def on_a_busy_machine(monkeypatch):
    monkeypatch.setattr(math_equality, "_SECONDS", 60)


@pytest.mark.slow
def test_formulas_are_equal_unequal_or_it_cannot_be_said():
    found = {pair: are_equal(*pair) for pair in [*EQUAL, *UNEQUAL, *UNKNOWN]}
    assert [pair for pair, equal in found.items() if equal is True] == EQUAL
    assert [pair for pair, equal in found.items() if equal is False] == UNEQUAL


@pytest.mark.slow
def test_only_what_the_cascade_leaves_undecided_is_compared_by_mathematics(monkeypatch):
    scorer = EqualByMath("1")

    def judged(answer, expected):
        found = scorer.score(Texts("?", [], answer, {"expected_answer": expected}))
        return found.value if found.reason is None else found.reason, found.metadata.get("judge")

    assert judged(r"So it is \boxed{(x+1)^2}.", "x^2+2x+1") == (True, "math-verify")
    assert judged(r"So it is \boxed{\sqrt{3}}.", r"\sqrt 2") == (False, "math-verify")
    assert judged(r"So it is \boxed{6}.", "5") == (False, None)
    assert judged("3 + 3 makes 6 of them, I think.", "5") == ("undecided", None)
    assert judged("3 + 3 makes 6 of them, I think.", r"\sqrt{2}") == ("unparsed_expected", None)
    assert judged(r"So it is \boxed{\sqrt{3}}, that is \sqrt{2}.", r"\sqrt{2}") == ("undecided", None)
    assert judged(None, "5") == ("no_answer", None)
    monkeypatch.setattr(math_equality, "_SECONDS", 1)
    assert judged(r"\boxed{9^{9^{9}}}", "5") == ("timeout", None)


@pytest.mark.slow
def test_hostile_answers_have_a_reason_within_the_time_out_and_nothing_is_executed(store):
    hostile = [
        r"\boxed{__import__('os').system('touch canary')}",
        "__import__('os').system('touch canary')",
        "9**9**9**9",
        r"\boxed{9^{9^{9}}}",
        r"\boxed{\binom{10^6}{5\cdot10^5}}",
        r"\boxed{" + "(" * 4_000 + "}",
        "(" * 10**5,
        "7" * 10**6,
    ]
    for answer in [*hostile, r"\boxed{(x+1)^2}"]:
        meta = {"expected_answer": "x^2+2x+1"}
        store.add({"trace_version": "1.1", "prompt": "?", "steps": [], "final_answer": answer, "meta": meta})
    report = store.score("answer", params={"verify": "math"}, progress=False)
    assert (report.scored, sum(report.unscorable.values())) == (1, len(hostile))
    assert report.unscorable["timeout"] >= 1
    [(version, value)] = store.sql("select version, value from scores where value is not null").rows
    assert version == f"1 (math-verify {importlib.metadata.version('math-verify')})"
    assert value == 1
    assert not Path("canary").exists()


def test_it_is_refused_in_this_process_and_without_its_package(store, monkeypatch):
    with pytest.raises(rt.QueryInvalid, match=r"in worker processes only; use store\.score"):
        built_in("answer", verify="math").score(Texts("?", [], "5", {}))
    with pytest.raises(rt.QueryInvalid, match='no parameter verify="sympy"; there is verify="math"'):
        store.score("answer", params={"verify": "sympy"})

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(math_answers, "version", missing)
    with pytest.raises(rt.QueryInvalid, match=r'needs the package math-verify: pip install "tunix-rt\[verify\]"'):
        store.score("answer", params={"verify": "math"})
