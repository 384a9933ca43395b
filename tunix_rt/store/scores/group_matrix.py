"""Groups as a matrix: a row for each prompt, a column for each policy, in the cells how often it is correct."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from tunix_rt import render
from tunix_rt.analysis.statistics import Estimate, wilson
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.query.cursor import whole_number
from tunix_rt.store.query.page import Page
from tunix_rt.store.scores.group_tables import constant_fields, policy_table
from tunix_rt.store.scores.policy import POLICY_FIELDS
from tunix_rt.validation import short

if TYPE_CHECKING:
    import pandas as pd

    from tunix_rt.store.scores.groups import Groups

_VALUES = ("pass_rate", "correct", "judged", "samples")
_SHOWN = 20
_MOST_SHOWN_POLICIES = 8
_LISTED = 50
# A share as a shape, for readers who scan and for those who see no colours.
_BARS = "▁▂▃▄▅▆▇█"
_UNKNOWN = 2.0  # behind every rate


class GroupCell(NamedTuple):
    """The samples of a prompt from a policy; `group` is the index of their group, as in `Groups.page(index)`."""

    samples: int
    judged: int
    correct: int
    group: int

    @property
    def pass_rate(self) -> Estimate:
        """The share of the judged samples that are correct, with Wilson's interval."""
        return wilson(self.correct, self.judged)

    @property
    def share(self) -> float | None:
        """The same share as a number; None without a verdict."""
        return self.correct / self.judged if self.judged else None

    def __str__(self) -> str:
        """Correct of judged samples, and the share as a bar."""
        if self.share is None:
            return render.count(self.samples, "sample")
        return f"{self.correct}/{self.judged} {_BARS[round(self.share * (len(_BARS) - 1))]}"


class MatrixRow(NamedTuple):
    """A prompt: what its groups share (None where there is nothing), and the cell of each policy that has samples."""

    fields: dict[str, str | None]
    cells: dict[int, GroupCell]

    @property
    def shares(self) -> list[float]:
        """The pass rates of the cells that have one."""
        return [cell.share for cell in self.cells.values() if cell.share is not None]

    @property
    def difference(self) -> float | None:
        """How far the best policy is from the worst, as a share; None with fewer than two to compare."""
        shares = self.shares
        return max(shares) - min(shares) if len(shares) > 1 else None

    @property
    def mean(self) -> float | None:
        """The mean of the pass rates, each policy counting once."""
        shares = self.shares
        return sum(shares) / len(shares) if shares else None


@render.shows_summary
class GroupMatrix:
    """Prompts × policies: how often each policy's samples of each prompt are correct.

    `policies` are the names of the columns: a model, or what else differs (source, training step); policies are never
    pooled. `rows` are the prompts, first those on which policies differ most, then the hardest. `cell(row, column)` is
    a GroupCell (`samples`, `judged`, `correct`, `pass_rate` as an Estimate) or None where the policy has no samples;
    `page(row, column)` lists its traces. A column is an index or a name of `policies`.

    `df(value)` and `arrow(value)` have a row for each prompt, in this order, and a column for each policy; `value` is
    "pass_rate" (0–1, null without a verdict), "correct", "judged" or "samples".
    """

    def __init__(self, groups: "Groups", keys: list[bytes]) -> None:
        self.groups = groups
        self.fields = tuple(name for name in groups.fields if name not in POLICY_FIELDS)
        self.policies = _names(groups)
        table = groups.arrow()
        columns = {one: at for at, one in enumerate(tuple(each.values()) for each in groups.policies)}
        policy_of = zip(*(table[name].to_pylist() for name in POLICY_FIELDS), strict=True)
        counts = zip(*(table[name].to_pylist() for name in ("samples", "judged", "correct")), strict=True)
        cells: dict[bytes, dict[int, GroupCell]] = {}
        for group, (key, policy, (samples, judged, correct)) in enumerate(zip(keys, policy_of, counts, strict=True)):
            cells.setdefault(key, {})[columns[policy]] = GroupCell(samples, judged, correct, group)
        texts = {name: table[name].to_pylist() for name in self.fields}
        rows = [MatrixRow({name: texts[name][_first(one)] for name in self.fields}, one) for one in cells.values()]
        self.rows = sorted(rows, key=_most_different_first)

    def cell(self, row: int, column: int | str) -> GroupCell | None:
        """The samples of a prompt from a policy; None where there are none, QueryInvalid for no such row or column."""
        whole_number("row", row, 0, len(self) - 1)
        return self.rows[row].cells.get(self._column(column))

    def page(self, row: int, column: int | str, *, limit: int = 20) -> Page:
        """A page of the traces in a cell, newest first; QueryInvalid where it has none."""
        found = self.cell(row, column)
        if found is None:
            raise QueryInvalid(f"row={row}, column={short(column)}: the policy has no samples of this prompt")
        return self.groups.page(found.group, limit=limit)

    def arrow(self, value: str = "pass_rate") -> pa.Table:
        """A value of every cell as an Arrow table, behind the fields of the prompts; QueryInvalid for another value."""
        fields = [pa.array([row.fields[name] for row in self.rows], pa.string()) for name in self.fields]
        kind = pa.float64() if value == "pass_rate" else pa.int64()
        values = [pa.array(column, kind) for column in self._values(value)]
        return pa.Table.from_arrays([*fields, *values], [*self.fields, *self.policies])

    def df(self, value: str = "pass_rate") -> "pd.DataFrame":
        """A value of every cell as a pandas data frame, prompts in its index; pandas must be installed."""
        import pandas as pd

        columns = self._values(value)
        # A source names no groups, or each prompt belongs to one: what is empty would be in the way.
        named = [name for name in self.fields if any(row.fields[name] is not None for row in self.rows)]
        texts = [[row.fields[name] for row in self.rows] for name in named]
        index = pd.MultiIndex.from_arrays(texts, names=named) if len(named) > 1 else None
        if len(named) == 1:
            index = pd.Index(texts[0], name=named[0])
        data = dict(enumerate(columns))
        return pd.DataFrame(data, index=index).set_axis(list(self.policies), axis=1)

    def to_dict(self) -> dict[str, Any]:
        """The first 50 prompts with their cells, as values of JSON."""
        return {
            "prompts": len(self),
            "policies": [dict(one) for one in self.groups.policies],
            "data": [
                row.fields
                | {"difference": row.difference}
                | {"cells": [_as_json(row.cells.get(at)) for at in range(len(self.policies))]}
                for row in self.rows[:_LISTED]
            ],
        }

    def _column(self, column: int | str) -> int:
        if isinstance(column, str):
            if column not in self.policies:
                raise QueryInvalid(f"column={short(column)}: must be one of {', '.join(self.policies)}, or its index")
            return self.policies.index(column)
        whole_number("column", column, 0, len(self.policies) - 1)
        return column

    def _values(self, value: str) -> list[list[Any]]:
        """A value of every cell, column by column."""
        if value not in _VALUES:
            raise QueryInvalid(f"value={short(value)}: must be one of {', '.join(_VALUES)}")
        name = "share" if value == "pass_rate" else value
        empty = None if value == "pass_rate" else 0
        found = [[row.cells.get(at) for row in self.rows] for at in range(len(self.policies))]
        return [[empty if one is None else getattr(one, name) for one in column] for column in found]

    @property
    def _facts(self) -> list[tuple[str, str]]:
        facts = [("matrix", self._size), *constant_fields(self.groups).items()]
        if len(self.policies) > 1:
            differ = sum(1 for row in self.rows if row.difference)
            facts.append(("differ", f"policies differ in {differ:,} of {render.count(len(self), 'prompt')}"))
        return facts

    @property
    def _size(self) -> str:
        policies = "1 policy" if len(self.policies) == 1 else f"{len(self.policies):,} policies"
        return f"{render.count(len(self), 'prompt')} × {policies}"

    @property
    def _tables(self) -> list[render.Shown]:
        return [policy_table(self.groups), self.table(range(len(self))[:_SHOWN])]

    def table(self, chosen: Sequence[int]) -> render.Shown:
        """The rows with these indices as they are shown, with the first eight policies."""
        names = self.policies[:_MOST_SHOWN_POLICIES]
        fields = [name for name in self.fields if any(row.fields[name] is not None for row in self.rows)]
        shown = [
            [at, *(row.fields[name] for name in fields), *(row.cells.get(one) for one in range(len(names)))]
            for at, row in ((at, self.rows[at]) for at in chosen)
        ]
        types = ("DOUBLE", *("VARCHAR" for _ in fields), *("DOUBLE" for _ in names))
        caption = f"{render.count(len(self), 'prompt')}, where policies differ most first"
        if len(chosen) < len(self):
            caption = f"showing {len(chosen)} of {caption}"
        if len(names) < len(self.policies):
            caption += f" · {len(names)} of {len(self.policies)} policies"
        caption += " · correct/judged samples · traces: .page(i, policy) · as data: .df()"
        said = [["–" if one is None else str(one) for one in row] for row in shown]
        return render.Shown(("i", *fields, *names), types, said, len(self), caption)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<GroupMatrix: {self._size}>"


def _first(cells: dict[int, GroupCell]) -> int:
    return next(iter(cells.values())).group


def _most_different_first(row: MatrixRow) -> tuple[float, float]:
    return -(row.difference or 0.0), _UNKNOWN if row.mean is None else row.mean


def _as_json(cell: GroupCell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {name: getattr(cell, name) for name in _VALUES[1:]} | {"pass_rate": cell.pass_rate.to_dict()}


def _names(groups: "Groups") -> tuple[str, ...]:
    """What tells the policies apart, each once; of a single one its model, or what else it has."""
    same = constant_fields(groups) if len(groups.policies) > 1 else {}
    names: list[str] = []
    for policy in groups.policies:
        known = {name: value for name, value in policy.items() if name not in same and value is not None}
        step = f"step {known.pop('training_step')}" if "training_step" in known else ""
        name = unique = " · ".join(filter(None, [*known.values(), step])) or "–"
        n = 1
        while unique in names:
            n += 1
            unique = f"{name} ({n})"
        names.append(unique)
    return tuple(names)
