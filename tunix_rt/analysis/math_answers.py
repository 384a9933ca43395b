"""`answer` with `verify="math"`: what the cascade leaves undecided is compared by math-verify, in a worker process."""

from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tunix_rt.analysis.score import Score, Texts
from tunix_rt.errors import QueryInvalid
from tunix_rt.validation import short


class MathAnswer:
    """The scorer as it is before it comes to a worker process, where its pickle becomes the one that compares.

    SymPy never ends for some texts (`9^{9^{9}}`), and uses any amount of memory for others: only a process that can be
    killed may read them. Raises QueryInvalid where math-verify is not installed, and for other parameters.
    """

    name = "answer"
    # SymPy has two seconds for each text and two to compare them, and does not always keep to that.
    timeout = 8.0

    def __init__(self, **params: Any) -> None:
        if params != {"verify": "math"}:
            shown = ", ".join(f"{key}={short(value)}" for key, value in params.items())
            raise QueryInvalid(f'answer: no parameter {shown}; there is verify="math"')
        try:
            found = version("math-verify")
        except PackageNotFoundError:
            raise QueryInvalid(
                'answer: verify="math" needs the package math-verify: pip install "tunix-rt[verify]"'
            ) from None
        self.version = f"1 (math-verify {found})"
        self.params: Mapping[str, Any] = params

    def score(self, _: Texts, /) -> Score:
        """Nothing: it must not be called here."""
        raise QueryInvalid('answer: verify="math" is computed in worker processes only; use store.score')

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(_in_worker, self.version), ()


def _in_worker(version: str) -> Any:
    # What imports SymPy, which takes a second, does so as the scorer is loaded, and not in the time of a trace.
    from tunix_rt.analysis.math_equality import EqualByMath

    return EqualByMath(version)
