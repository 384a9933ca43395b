"""The calls of a store about what was said of its traces: scores, flags, groups, agreement, overlap."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Unpack

from tunix_rt.store.engine.session import Session
from tunix_rt.store.filters import FilterArgs, Filters
from tunix_rt.store.progress_bar import Progress
from tunix_rt.store.query.page import Page
from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.scores.agreement import Agreement, agreement, disagreements
from tunix_rt.store.scores.current import current_scores
from tunix_rt.store.scores.flags import FlagReport, flag, flag_report
from tunix_rt.store.scores.groups import Groups, groups
from tunix_rt.store.scores.overlap import Overlap, overlap


class Judging:
    """The part of a `TraceStore` that reads what was said of its traces, counts it and compares it."""

    _session: Session
    page: Callable[..., Page]
    _temporary: Callable[[], AbstractContextManager[Any]]

    def scores(self, *scorers: str, **filters: Unpack[FilterArgs]) -> SqlResult:
        """The current scores, by these scorers or by all, of the traces that pass the filters, newest trace first.

        A row for each trace (or step) and scorer, with the columns of the table `scores`, which `sql` reads, and which
        has the earlier ones as well.
        """
        return current_scores(self._session, scorers, Filters(**filters))

    def flag(self, *flags: str, progress: Progress = True, **filters: Unpack[FilterArgs]) -> FlagReport:
        """Runs these flags, or all built-in ones, over the traces that pass the filters, as `score` does.

        Returns what `flags` reports of them; its `runs` are the reports of `score`.
        """
        return flag(self._session, flags, Filters(**filters), progress=progress)

    def flags(self, *flags: str, **filters: Unpack[FilterArgs]) -> FlagReport:
        """What to look at first: for each flag the traces with it, of how many, the share, and three examples.

        `flags` are the built-in ones, or any scorers with yes and no.
        """
        return flag_report(self._session, flags, Filters(**filters))

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
