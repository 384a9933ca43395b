"""The calls of a store about what was said of its traces: scores, flags, selections, groups, agreement, overlap."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Unpack, overload
from uuid import UUID

from tunix_rt.analysis.comparison import TraceComparison
from tunix_rt.errors import QueryInvalid
from tunix_rt.model import TraceRecord, TraceSummary
from tunix_rt.settings import Settings
from tunix_rt.store.comparing import Traced, compare_stored
from tunix_rt.store.engine.access import Access
from tunix_rt.store.filters import FilterArgs, Filters
from tunix_rt.store.named_selections import queue_named, select_named, selections, unselect
from tunix_rt.store.progress_bar import Progress
from tunix_rt.store.query.order import NEWEST_FIRST
from tunix_rt.store.query.page import Page
from tunix_rt.store.query.sql_result import SqlResult
from tunix_rt.store.scores.agreement import Agreement, agreement, disagreements
from tunix_rt.store.scores.current import ALL_SHOWN, current_scores, judged
from tunix_rt.store.scores.flags import FlagReport, flag, flag_report
from tunix_rt.store.scores.groups import Groups, groups
from tunix_rt.store.scores.labels import add_label
from tunix_rt.store.scores.overlap import Overlap, overlap
from tunix_rt.store.scores.paired import SetComparison, compare_sets
from tunix_rt.store.scores.plots import Plot, plot
from tunix_rt.store.scores.run import ScoreReport, run
from tunix_rt.store.scores.runs import Runs, runs
from tunix_rt.store.scores.scorers import scoring_of
from tunix_rt.store.selection import Choice, Selection, select


class Judging:
    """The part of a `TraceStore` that scores and labels its traces, selects, counts and compares them."""

    path: Path
    settings: Settings
    _session: Access
    get: Callable[[UUID | str], TraceRecord]
    page: Callable[..., Page]
    _temporary: Callable[[], AbstractContextManager[Any]]

    def score(
        self,
        scorer: Any,
        *,
        name: str | None = None,
        version: str | None = None,
        params: Mapping[str, Any] | None = None,
        workers: int = 0,
        timeout: float | None = None,
        limit: int | None = None,
        progress: Progress = True,
        **filters: Unpack[FilterArgs],
    ) -> ScoreReport:
        """Scores the traces, or the newest `limit`, that pass the filters and have no score under this key yet.

        `scorer` is the name of a built-in one ("answer", "structure", "loop", …), whose options are `params`; a
        function of a trace (TraceRecord) that returns a number, a boolean, a label, None (unscorable) or a Score; a
        reward function of TRL, tunix or open-r1, f(prompts, completions, **columns), with columns of meta; a Judge; or
        an object with `name`, `version`, `params` and `score(texts)`. Functions get `params` as keywords.

        The key is `name` (default: the function's), `version` (default: a hash of its source and closure) and `params`.
        An exception in the scorer, or a result that is not a score, is the reason `error` of that trace. What was
        scored until an interrupt stays, and the next call continues from there. `progress` is as for `load`, in traces.

        `workers` processes, at most one per core, score instead of this one, with the same scores. Then a trace can
        have a time-out, `timeout` in seconds, and the reason `timeout`; in process nothing can end a function. A
        function of the notebook needs the package cloudpickle for that. Raises QueryInvalid for what cannot score.
        """
        return run(
            self._session,
            scoring_of(scorer, name=name, version=version, params=params),
            self._limited(limit, **filters),
            workers=workers,
            timeout=timeout,
            progress=progress,
        )

    def label(
        self,
        trace: TraceRecord | TraceSummary | UUID | str,
        label: str | None,
        *,
        step: int | None = None,
        note: str | None = None,
        annotator: str | None = None,
    ) -> None:
        """Says what you think of a trace, or of its step with this index (from 0): "good", "bad", "unsure", any word.

        A label is a score by the scorer `label:NAME`, where NAME is `annotator` (by default the setting of that name);
        the `note` (up to 2,000 characters) is its explanation. A later label replaces an earlier one, and None takes it
        back; the earlier ones stay in the table `labels`. Raises TraceNotFound, and QueryInvalid for a label that has
        not 1 to 100 characters, a step that the trace does not have, or a name that is none.
        """
        record = self.get(trace if isinstance(trace, UUID | str) else trace.id)
        who = annotator if annotator is not None else self.settings.annotator
        add_label(self._session, record, label, step=step, note=note, annotator=who)

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

    def runs(self, **filters: Unpack[FilterArgs]) -> Runs:
        """The recorded runs (`meta.run`), of training and evaluation: steps, rollouts, mean reward, share truncated.

        Also the share of groups that teach nothing, because all their rewards are equal; all of it for each step, too.
        """
        return runs(self._session, Filters(**filters))

    def agreement(self, a: Any, b: Any, **filters: Unpack[FilterArgs]) -> Agreement:
        """How two scorers agree: the confusion table with examples, kappa, and what a constant would reach.

        Each is the name of a scorer (its current scores of complete traces), an object with such a `name`, as a Judge,
        or a key of meta, such as `meta.correct`. Booleans are compared with 0 and 1. Of two that say yes or no also TPR
        and TNR beside the truth, and the share of yes without the errors. Raises QueryInvalid for a scorer without
        scores, or more than 20 labels.
        """
        return agreement(self._session, getattr(a, "name", a), getattr(b, "name", b), Filters(**filters))

    def disagreements(self, a: Any, b: Any, *, limit: int = 20, **filters: Unpack[FilterArgs]) -> Page:
        """A page of the traces to which two scorers give different labels, newest first; as `agreement`."""
        ids = disagreements(self._session, getattr(a, "name", a), getattr(b, "name", b), Filters(**filters))
        return self.page(ids=ids, limit=limit, **NEWEST_FIRST)

    def select(
        self,
        name: str | None = None,
        *,
        limit: int | None = None,
        seed: int | None = None,
        version: int | None = None,
        **filters: Unpack[FilterArgs],
    ) -> Selection:
        """The traces that pass the filters now, frozen: `ids=selection` is a filter, and `rt.compare` takes two.

        `limit` chooses the newest, or, with a `seed`, as many at random, the same ones each time.

        With a `name` it is stored, and the same call returns the same traces again, also in other notebooks and after
        more were added; `selection=name` is a filter. Other filters under a name make its next version; a `version`
        returns that one, or makes it where it is the next. A name alone returns the newest. Raises QueryInvalid for
        what is not valid, and for a name or a version that there is not.
        """
        chosen_by = Filters(**filters)
        if name is not None:
            how = Choice.checked(chosen_by, limit, seed)
            return select_named(self._session, self.path, name, chosen_by, how, version=version)
        if version is not None:
            raise QueryInvalid("select: `version` is that of a stored selection; give its name, too")
        return select(self._session, self.path, chosen_by, limit=limit, seed=seed)

    def queue(
        self,
        name: str,
        *,
        n: int | None = None,
        seed: int = 0,
        stratify: str | None = None,
        **filters: Unpack[FilterArgs],
    ) -> Selection:
        """A queue of `n` traces (1–10,000; all, if fewer pass the filters), drawn at random, for `rt.LabelForm`.

        It is stored as a selection under its name: the same call, or the name alone, returns the same traces in the
        same order, in any notebook, and `selection=name` is a filter. The order is random, too, so that those labelled
        so far are a sample of all.

        Each trace that passes the filters has the same chance to be drawn: a share among the labelled ones estimates
        that among all, without weights. With `stratify` (a column, `meta.KEY` or `score.SCORER`, as in `order_by`) each
        of its values has its share of the queue, rounded up or down. For equal numbers make a queue for each value.

        Raises QueryInvalid for what is not valid, where no trace passes, and for a name under which there is another
        queue or a selection; `unselect(name)` forgets a queue, and keeps its labels.
        """
        drawn_from = Filters(**filters)
        how = Choice.of_queue(drawn_from, n, seed, stratify)
        return queue_named(self._session, self.path, name, drawn_from, how)

    def selections(self) -> SqlResult:
        """The stored selections: name, version, how many traces, how many were deleted since, and the query."""
        return selections(self._session)

    def unselect(self, name: str, *, version: int | None = None) -> int:
        """Deletes a stored selection, or one version of it, and returns how many versions; the traces stay.

        Raises QueryInvalid where there is none.
        """
        return unselect(self._session, name, version)

    @overload
    def compare(self, a: Selection, b: Selection, *, scorer: str = "answer") -> SetComparison: ...

    @overload
    def compare(self, a: UUID | str | Traced, b: UUID | str | Traced) -> TraceComparison: ...

    def compare(self, a: Any, b: Any, *, scorer: str = "answer") -> TraceComparison | SetComparison:
        """Two traces step by step, with the stored scores of both, each an id (or its beginning) or a trace.

        Or two selections prompt by prompt, as `rt.compare` does. Raises TraceNotFound and IdAmbiguous as `get` does,
        and what `rt.compare` raises.
        """
        if isinstance(a, Selection) and isinstance(b, Selection):
            return compare_sets(a, b, scorer)
        return compare_stored(self._session, *(self.get(one) if isinstance(one, str | UUID) else one for one in (a, b)))

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

    def _limited(self, limit: int | None, **filters: Unpack[FilterArgs]) -> Filters:
        """The filters; with a limit, those of the newest traces that pass them now."""
        chosen_by = Filters(**filters)
        if limit is None:
            return chosen_by
        return Filters(ids=select(self._session, self.path, chosen_by, limit=limit, seed=None))

    def _judged(
        self, summaries: Sequence[TraceSummary], scorers: Sequence[str], keys: Sequence[str]
    ) -> tuple[TraceSummary, ...]:
        return judged(self._session, summaries, scorers=(*ALL_SHOWN, *scorers), keys=keys)
