"""The calls of a store that judge many traces at once: groups, agreement, overlap."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Unpack

from tunix_rt.store.engine.session import Session
from tunix_rt.store.filters import FilterArgs, Filters
from tunix_rt.store.progress_bar import Progress
from tunix_rt.store.query.page import Page
from tunix_rt.store.scores.agreement import Agreement, agreement, disagreements
from tunix_rt.store.scores.groups import Groups, groups
from tunix_rt.store.scores.overlap import Overlap, overlap
from tunix_rt.store.scores.plots import Plot, plot


class Judging:
    """The part of a `TraceStore` that counts its traces over groups and compares what was said of them."""

    _session: Session
    page: Callable[..., Page]
    _temporary: Callable[[], AbstractContextManager[Any]]

    def groups(self, by: str | Sequence[str] | None = None, **filters: Unpack[FilterArgs]) -> Groups:
        """The samples of each prompt from each policy: how many are correct, what most answer, what they teach.

        A policy is a source, a model, and a training step or policy version; it always separates. By default a group
        has one prompt and system text, or is one that the source names (`meta.group`); `by` names other fields:
        `prompt`, `system`, `group`, `run`, and those of the policy. A sample is correct as its current score of
        `answer` says, else as `meta.correct` does. Raises QueryInvalid for another `by`.
        """
        return groups(self._session, Filters(**filters), by, self.page)

    def agreement(self, a: str, b: str, **filters: Unpack[FilterArgs]) -> Agreement:
        """How two scorers agree: the confusion table with examples, kappa, and what a constant would reach.

        Each is the name of a scorer (its current scores of complete traces) or a key of meta, such as `meta.correct`.
        Booleans are compared with 0 and 1. Raises QueryInvalid for a scorer without scores, or more than 20 labels.
        """
        return agreement(self._session, a, b, Filters(**filters))

    def disagreements(self, a: str, b: str, *, limit: int = 20, **filters: Unpack[FilterArgs]) -> Page:
        """A page of the traces to which two scorers give different labels, newest first; as `agreement`."""
        return self.page(ids=disagreements(self._session, a, b, Filters(**filters)), limit=limit)

    def plot(self, kind: str, *, scorer: str = "answer", **filters: Unpack[FilterArgs]) -> Plot:
        """A picture of the traces that pass the filters, which shows itself: a PNG, and a table as text.

        `kind` is "lengths" (characters of steps and answer), "scores" (of the scorer), "length_and_score" (the share of
        yes in ten equal parts by length), "training" (the mean score of each policy over its training steps), or
        "difficulty" (how many prompts of each policy are too hard, informative, too easy; see `groups`). For `answer`,
        `meta.correct` counts where it has not judged. Raises QueryInvalid for another kind, and without matplotlib.
        """
        return plot(self._session, kind, scorer, Filters(**filters), self.page)

    def overlap(
        self, prompts: Any, *, n: int = 13, progress: Progress = True, **filters: Unpack[FilterArgs]
    ) -> Overlap:
        """Which prompts of an evaluation set are in the store: those of which `n` words in a row are in a trace.

        `prompts` is a TraceStore, a list of prompts, or whatever `load` reads: a file, a folder, rows. Words are
        compared without case and punctuation, with prompt, steps and answer of each trace that passes the filters; a
        prompt of fewer words only with complete prompts. Words that more than 10 prompts of the set share are not
        evidence. Raises QueryInvalid for `n` outside of 4–50, and what `load` raises for a source that it cannot load.
        """
        selection = Filters(**filters)
        if isinstance(prompts, list | tuple) and prompts and all(isinstance(one, str) for one in prompts):
            prompts = [{"trace_version": "1.1", "prompt": one, "steps": [], "final_answer": None} for one in prompts]
        with ExitStack() as stack:
            if isinstance(prompts, Judging):
                given = prompts
            else:
                given = stack.enter_context(self._temporary())
                given.load(prompts, progress=progress)
            how: dict[str, Any] = {"n": n, "filters": selection, "progress": progress, "get_page": self.page}
            return overlap(self._session, given._session, **how)  # noqa: SLF001 - a store of this class
