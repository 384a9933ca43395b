"""Rows of a list of groups and of a matrix, as the front end shows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tunix_rt import render
from tunix_rt.analysis.statistics import wilson
from tunix_rt.store import GroupMatrix, Groups, SqlResult
from tunix_rt.store.scores.group_matrix import GroupCell
from tunix_rt.store.scores.group_samples import Sample, samples
from tunix_rt.store.scores.group_tables import group_facts, rows_table
from tunix_rt.store.scores.policy import POLICY_FIELDS

# The columns of a matrix in the form; `GroupMatrix.df()` has all.
MOST_COLUMNS = 50
_VERDICTS = {True: ("right", "✓"), False: ("wrong", "✗"), None: ("unknown", "?")}


def group_rows(
    sql: Callable[..., SqlResult], table: pa.Table, fields: Sequence[str], chosen: Sequence[int], most: int
) -> list[dict[str, Any]]:
    """The groups with these indices, with a mark for each of their samples, up to `most`."""
    rows = table.take(pa.array(chosen, pa.int64()))
    ids, verdicts = (pc.list_slice(rows[name], 0, most).to_pylist() for name in ("ids", "verdicts"))
    known = samples(sql, [one for of_group in ids for one in of_group])
    return [
        {
            "group": at,
            "prompt": title_of(row, fields),
            "level": row["level"],
            "rate": rate_of(row["correct"], row["judged"]),
            "reward": _number(row["reward"]),
            "spread": _number(row["reward_spread"]) if row["reward_spread"] else "",
            "n_samples": row["samples"],
            "marks": [_mark(*one, known.get(one[0])) for one in zip(ids[n], verdicts[n], strict=True)],
            "more": row["samples"] - len(ids[n]),
        }
        for n, (at, row) in enumerate(zip(chosen, rows.drop_columns(["ids", "verdicts"]).to_pylist(), strict=True))
    ]


def matrix_rows(matrix: GroupMatrix, chosen: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of the matrix with these indices."""
    columns = range(min(len(matrix.policies), MOST_COLUMNS))
    return [
        {
            "prompt": title_of(row.fields, tuple(row.fields)),
            "difference": "" if row.difference is None else f"{row.difference:.0%}",
            "cells": [_cell(row.cells.get(at)) for at in columns],
        }
        for row in (matrix.rows[at] for at in chosen)
    ]


def _cell(cell: GroupCell | None) -> dict[str, Any] | None:
    return cell and {"group": cell.group, "n_samples": cell.samples, "rate": rate_of(cell.correct, cell.judged)}


@render.shows_summary
@dataclass(frozen=True)
class GroupsPicture:
    """The picture of the form: the rows that are shown."""

    groups: Groups
    matrix: GroupMatrix | None
    chosen: tuple[int, ...]
    n_found: int

    @property
    def _facts(self) -> list[tuple[str, str]]:
        return group_facts(self.groups)

    @property
    def _tables(self) -> list[render.Shown]:
        if self.matrix is not None:
            return [self.matrix.table(self.chosen)]
        caption = f"showing {len(self.chosen)} of {render.count(self.n_found, 'group')}"
        return [rows_table(self.groups, self.chosen, caption)]


def title_of(row: Mapping[str, Any], fields: Sequence[str]) -> str:
    """What a group is of, on one line; what the policy says is said elsewhere."""
    texts = [row[name] for name in fields if name not in POLICY_FIELDS and row[name]]
    return render.one_line(render.visible(" · ".join(texts)), 200) or "–"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def rate_of(correct: int, judged: int) -> dict[str, Any]:
    """How many are correct, as numbers, as a share, and in words."""
    rate = wilson(correct, judged)
    return {
        "correct": correct,
        "judged": judged,
        "share": rate.value,
        "low": rate.low,
        "high": rate.high,
        "says": render.share(correct, judged, rate) + " correct" if judged else "no verdict",
    }


def _mark(id: str, verdict: bool | None, known: Sample | None) -> dict[str, Any]:  # noqa: FBT001 - a value, not a flag
    """A sample as a mark: a sign, and all in words for readers who point at it or hear it."""
    if known is None:
        return {"id": id, "word": "deleted", "sign": "–", "says": "deleted since"}
    word, sign = _VERDICTS[verdict]
    answer = render.one_line(render.visible(known.answer), 60) if known.answer else "none"
    parts = [word, f"answer {answer}"]
    if known.reward is not None:
        parts.append(f"reward {known.reward:.4g}")
    if known.flags:
        parts.append(f"flags: {', '.join(known.flags)}")
    return {"id": id, "word": word, "sign": sign, "says": ", ".join(parts)}


def in_order(chosen: list[int], known: Sequence[Any], *, descending: bool) -> list[int]:
    """Those chosen by what is known of them; the unknown last, and equals as they are."""
    there = sorted((at for at in chosen if known[at] is not None), key=known.__getitem__, reverse=descending)
    return [*there, *(at for at in chosen if known[at] is None)]
