"""The samples of each prompt side by side, as a form: which prompts teach something, and prompts × policies."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Unpack

import pyarrow.compute as pc
from ipywidgets import widget_serialization
from traitlets import Bool, Dict, Enum, Float, Instance, Int, Unicode

from tunix_rt import render
from tunix_rt.analysis.comparison import TraceComparison
from tunix_rt.errors import QueryInvalid, TraceNotFound
from tunix_rt.model import TraceRecord
from tunix_rt.store import Groups, TraceStore
from tunix_rt.store.filters import FilterArgs, Filters
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.scores.group_tables import group_facts
from tunix_rt.store.scores.groups import LEVELS
from tunix_rt.store.scores.policy import POLICY_FIELDS
from tunix_rt.validation import short
from tunix_rt.widgets.filter_fields import FilterFields, filters_as_json
from tunix_rt.widgets.form import action, front_end
from tunix_rt.widgets.group_rows import GroupsPicture, group_rows, in_order, matrix_rows
from tunix_rt.widgets.viewer import TraceViewer

_ALL = -1
# Marks in a row; the others are counted. Of the open group more are shown.
_MOST_MARKS, _MOST_OPEN = 32, 256
_MOST_POLICIES = 1_000  # to choose from
ORDERS = ("pass_rate", "prompt", "samples", "reward", "reward_spread", "agreement")
_MATRIX_ORDERS = ("difference", "prompt")
# What an action that failed gives back: first what the groups are, then what is shown of them.
_STATE = (
    *(
        "groups",
        "_grouped",
        "filters",
        "_matrix",
        "_table",
        "_policies",
        "_overall",
        "_policy_of",
        "_rates",
        "_levels",
        "chosen",
    ),
    *("view", "level", "policy", "least", "most", "order_by", "descending", "overview", "shown", "_first", "_found"),
)
_FIRST_ORDER = {"groups": ("pass_rate", False), "matrix": ("difference", True)}


class GroupBrowser(FilterFields):
    """The groups of `store.groups`, a row for each prompt and policy, its samples side by side; and prompts × policies.

    `groups` are the Groups, of the traces that pass `filters` (those of `store.page`; they may be set) when the form
    was made, or at the last `refresh`. `record` is the sample that is shown, `comparison` the TraceComparison of two.
    All that a click does is a call: `narrow(level="too hard")`, `sort("reward", True)`, `turn("next")`,
    `see("matrix")`, `choose(0)`.
    """

    view = Enum(["groups", "matrix"], "groups").tag(sync=True)
    level = Unicode().tag(sync=True)
    policy = Int(_ALL).tag(sync=True)
    least = Float(0.0).tag(sync=True)
    most = Float(1.0).tag(sync=True)
    order_by = Unicode("pass_rate").tag(sync=True)
    descending = Bool(default_value=False).tag(sync=True)
    overview = Dict().tag(sync=True)
    shown = Dict().tag(sync=True)
    chosen = Dict().tag(sync=True)
    compared = Dict().tag(sync=True)
    viewer = Instance(TraceViewer).tag(sync=True, **widget_serialization)
    _esm: ClassVar[str] = front_end("viewer", "terms", "filters", "groups")

    def __init__(
        self,
        store: TraceStore | None = None,
        *,
        by: str | Sequence[str] | None = None,
        limit: int = 20,
        **filters: Unpack[FilterArgs],
    ) -> None:
        whole_number("limit", limit, 1, 100)
        self.store = store or TraceStore()
        self.limit = limit
        self._by = by
        self.comparison: TraceComparison | None = None
        self._first = 0
        self._found: list[int] = []
        # Before the widget is created, so that invalid filters leave none behind.
        self._take(filters)
        super().__init__(viewer=TraceViewer(self.store))
        # What they do to each other is done in one thread.
        self.viewer.lane = self.lane
        self.viewer.can_move = True
        self.viewer.on_move = self.move
        self._tell()
        self._show()

    @property
    def record(self) -> TraceRecord | None:
        """The sample that is shown."""
        return self.viewer.record

    def picture(self) -> GroupsPicture:
        """The rows that are shown."""
        on_page = self._found[self._first : self._first + self.limit]
        matrix = self._matrix if self.view == "matrix" else None
        return GroupsPicture(self.groups, matrix, tuple(on_page), len(self._found))

    def close(self) -> None:
        """Removes the form and its viewer."""
        # Python also closes a form whose constructor failed.
        if self.comm is not None:
            self.viewer.close()
        super().close()

    @action(aside=True, watch=True)
    def interrupt(self) -> None:
        """Ends what the form's actions wait for, or search; see `Form.interrupt`."""
        super().interrupt()
        self.viewer.interrupt()

    def find(self, **filters: Unpack[FilterArgs]) -> None:
        """Groups the traces that pass other filters; all filters, as for `store.groups`."""
        self.regroup(dict(filters))

    @action()
    def regroup(self, filters: dict[str, Any]) -> None:
        """Groups the traces that pass other filters, as `find` does."""
        with self._acting():
            self._take_again(filters, "")

    @action()
    def refresh(self) -> None:
        """Groups the traces anew: more may have been added, and scored."""
        with self._acting():
            name = self._policies[self.policy] if self.policy != _ALL else ""
            self._take_again(self.filters, name)

    @action()
    def narrow(
        self,
        level: str | None = None,
        policy: int | None = None,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        """Shows only groups of a level ("" for all), of a policy (its index, -1 for all), with these pass rates (0–1).

        What is None stays as it is. Raises QueryInvalid for a value that is none of these.
        """
        with self._acting():
            level, policy = self.level if level is None else level, self.policy if policy is None else policy
            least, most = self.least if least is None else least, self.most if most is None else most
            if level not in ("", *LEVELS):
                raise QueryInvalid(f"level={short(level)}: must be one of {', '.join(LEVELS)}, or empty")
            whole_number("policy", policy, _ALL, len(self._policies) - 1)
            bounds = [one for one in (least, most) if not isinstance(one, bool) and isinstance(one, int | float)]
            if len(bounds) < 2 or not 0 <= least <= most <= 1:  # noqa: PLR2004 - both
                raise QueryInvalid(
                    f"least={short(least)}, most={short(most)}: must be pass rates from 0 to 1, the lower one first"
                )
            self.level, self.policy, self.least, self.most = level, policy, float(least), float(most)
            self._tell()
            self._begin()

    @action()
    def sort(self, order_by: str, descending: bool) -> None:  # noqa: FBT001 - passed by name
        """Sorts by "pass_rate", "prompt", "samples", "reward", "reward_spread" or "agreement" (unknown ones last).

        In the matrix by "difference", "prompt", or the pass rate of a policy, by its index as text.
        """
        with self._acting():
            known = ORDERS if self.view == "groups" else (*_MATRIX_ORDERS, *map(str, range(len(self._policies))))
            if order_by not in known:
                raise QueryInvalid(f"order_by={short(order_by)}: must be one of {', '.join(known[:8])}")
            self.order_by, self.descending = order_by, bool(descending)
            self._begin()

    @action()
    def see(self, view: str) -> None:
        """Shows the "groups", or the "matrix" of prompts × policies."""
        with self._acting():
            if view not in _FIRST_ORDER:
                raise QueryInvalid(f"view={short(view)}: must be groups or matrix")
            self.view = view
            self.order_by, self.descending = _FIRST_ORDER[view]
            self._begin()

    @action()
    def turn(self, to: str) -> None:
        """Shows the "first", "previous", "next" or "last" page."""
        with self._acting():
            last = max(0, (len(self._found) - 1) // self.limit * self.limit)
            ways = {"first": 0, "previous": self._first - self.limit, "next": self._first + self.limit, "last": last}
            if to not in ways:
                raise QueryInvalid(f"to={short(to)}: must be one of {', '.join(ways)}")
            self._first = min(max(ways[to], 0), last)
            self._show()

    @action()
    def choose(self, group: int, id: str | None = None) -> None:
        """Shows a sample of the group with this index in `groups`: the one with this id, or the newest."""
        self._open(group, id)

    @action()
    def compare(self, id: str) -> None:
        """Compares the sample that is shown with another one, as `store.compare` does."""
        if self.record is None:
            raise QueryInvalid("no sample is shown; choose one, then another one to compare it with")
        first = str(self.record.id)
        if id == first:
            raise QueryInvalid("this sample is shown already; choose another one to compare it with")
        self.comparison = self.store.compare(first, id)
        self.compared = {"html": self.comparison._repr_html_(), "a": first, "b": id}  # type: ignore[attr-defined]

    @action()
    def end_comparison(self) -> None:
        """Shows the trace again in place of the comparison."""
        self.comparison, self.compared = None, {}

    def move(self, by: int) -> None:
        """Shows the next older sample of the open group (`by` 1), or the next newer one (-1); at its ends, none."""
        with self.lane.lock, self.reporting():
            ids = [one["id"] for one in self.chosen.get("marks", ())]
            now = self.chosen.get("id")
            at = ids.index(now) + by if now in ids else 0
            if 0 <= at < len(ids):
                self._open(self.chosen["group"], ids[at])

    def _shown_filters(self) -> Mapping[str, Any] | None:
        return self._grouped

    def _find_by(self, filters: dict[str, Any]) -> None:
        self.regroup(filters)

    @contextmanager
    def _acting(self) -> Iterator[None]:
        """Around an action: if it fails, or is interrupted, all is as it was before; rows belong to their groups."""
        before = {name: getattr(self, name) for name in _STATE}
        # Not within hold_sync, which would keep what the form waits for from the front end.
        try:
            yield
        except BaseException:
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def _open(self, group: int, id: str | None) -> None:
        whole_number("group", group, 0, len(self.groups) - 1)
        ids = self._table["ids"][group].as_py()
        if id is not None and id not in ids:
            raise QueryInvalid(f"group={group}: has no sample {short(id)}")
        wanted = id or ids[0]
        try:
            record = self.store.get(wanted)
        except TraceNotFound:
            # Deleted since the groups were made: do not show the one that was chosen before.
            self._leave()
            raise
        is_open = self.chosen.get("group") == group
        self.chosen = self.chosen | {"id": wanted} if is_open else self._opened(group, wanted)
        self.comparison, self.compared = None, {}
        self.viewer.record = record

    def _opened(self, group: int, id: str) -> dict[str, Any]:
        """A group as it is shown above its open sample."""
        (row,) = self._marked([group], _MOST_OPEN)
        return {name: row[name] for name in ("group", "prompt", "origin", "marks", "more")} | {"id": id}

    def _leave(self) -> None:
        """No sample is open."""
        with self.hold_sync():
            self.chosen, self.compared, self.comparison = {}, {}, None
        self.viewer.record = None

    def _take(self, filters: Mapping[str, Any]) -> None:
        """Groups the traces."""
        given = filters_as_json(filters)
        groups = self.store.groups(self._by, **given)
        self.groups: Groups = groups
        self._grouped = self.filters = given
        self._matrix = groups.matrix()
        self._table = groups.arrow()
        self._policies = tuple(render.one_line(render.visible(one), 80) for one in self._matrix.policies)
        self._overall: dict[int, str] = {}
        index = {tuple(one.values()): at for at, one in enumerate(groups.policies)}
        columns = [self._table[name].to_pylist() for name in POLICY_FIELDS]
        self._policy_of = [index[one] for one in zip(*columns, strict=True)]
        verdicts = zip(self._table["correct"].to_pylist(), self._table["judged"].to_pylist(), strict=True)
        self._rates = [correct / judged if judged else None for correct, judged in verdicts]
        self._levels = self._table["level"].to_pylist()

    def _take_again(self, filters: Mapping[str, Any], policy: str) -> None:
        """Groups the traces, and shows those of the policy with this name, or all; the open sample stays open."""
        self._take(filters)
        self.policy = self._policies.index(policy) if policy in self._policies else _ALL
        self._tell()
        self._begin()
        if self.chosen:
            chosen, ids = self.chosen["id"], self._table["ids"]
            at = pc.index(pc.list_flatten(ids), chosen).as_py()
            if at < 0:
                self._leave()
            else:
                self.chosen = self._opened(pc.list_parent_indices(ids)[at].as_py(), chosen)

    def _tell(self) -> None:
        """What is said of all groups, or of those of the chosen policy."""
        of_policy = [at for at, one in enumerate(self._policy_of) if self.policy in (_ALL, one)]
        found = [self._levels[at] for at in of_policy]
        alone = 0 if len(self._policies) == 1 else self.policy
        facts = dict(group_facts(self.groups))
        facts.pop("levels")
        facts.pop("policies", None)
        if alone != _ALL and len(self.groups):
            # The interval of 5,000 prompts takes a fifth of a second.
            if alone not in self._overall:
                self._overall[alone] = str(self.groups.by_policy()[alone].pass_at(1))
            facts["pass@1"] = self._overall[alone]
        if self.filters:
            given = Filters(**self.filters).given
            facts["filters"] = ", ".join(f"{name}={short(value)}" for name, value in given.items())
        self.viewer.sought = str(self.filters.get("text") or "")
        self.overview = {
            "facts": [[name, render.one_line(render.visible(text), 200)] for name, text in facts.items()],
            "levels": [{"name": level, "n": found.count(level)} for level in LEVELS if level in self._levels],
            "n_groups": len(of_policy),
            "policies": list(self._policies[:_MOST_POLICIES]),
        }

    def _begin(self) -> None:
        self._first = 0
        self._show()

    def _show(self) -> None:
        """Finds the rows that fit, in order, and shows a page of them."""
        self._found = self._rows_of_matrix() if self.view == "matrix" else self._rows_of_groups()
        on_page = self._found[self._first : self._first + self.limit]
        is_matrix = self.view == "matrix"
        rows = matrix_rows(self._matrix, on_page) if is_matrix else self._marked(on_page, _MOST_MARKS)
        self.shown = {
            "view": self.view,
            "rows": rows,
            "first": self._first,
            "n_found": len(self._found),
            "empty": "" if self._found else self._nothing(),
        }

    def _rows_of_groups(self) -> list[int]:
        everything = (self.least, self.most) == (0, 1)
        fitting = [
            at
            for at, (level, rate, policy) in enumerate(zip(self._levels, self._rates, self._policy_of, strict=True))
            if self.level in ("", level)
            and self.policy in (_ALL, policy)
            and (everything or (rate is not None and self.least <= rate <= self.most))
        ]
        known: list[Any] = self._rates
        if self.order_by == "prompt":
            known = self._table[self._title].to_pylist()
        elif self.order_by != "pass_rate":
            known = self._table[self.order_by].to_pylist()
        return in_order(fitting, known, descending=self.descending)

    def _rows_of_matrix(self) -> list[int]:
        rows = self._matrix.rows
        if self.order_by == "difference":
            known: list[Any] = [row.difference for row in rows]
        elif self.order_by == "prompt":
            known = [next(filter(None, row.fields.values()), None) for row in rows]
        else:
            cells = [row.cells.get(int(self.order_by)) for row in rows]
            known = [cell and cell.share for cell in cells]
        return in_order(list(range(len(rows))), known, descending=self.descending)

    @property
    def _title(self) -> str:
        """The field that names a group best."""
        fields = self.groups.fields
        return "prompt" if "prompt" in fields else next(reversed(fields))

    def _marked(self, chosen: Sequence[int], most: int) -> list[dict[str, Any]]:
        """The groups with these indices as rows, with a mark for each of their samples, up to `most`."""
        rows = group_rows(self.store.sql, self._table, self.groups.fields, chosen, most)
        several = len(self._policies) > 1
        return [
            row | {"origin": self._policies[self._policy_of[at]] if several else ""}
            for at, row in zip(chosen, rows, strict=True)
        ]

    def _nothing(self) -> str:
        if not len(self.groups):
            return "No traces pass the filters." if self.filters else "No traces yet: store.load(…), store.add(…)."
        return "No group is like that."
