"""Whether two scorers agree: their confusion table, kappa, and what a constant would reach."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow as pa

from tunix_rt import render
from tunix_rt.analysis.statistics import FEWEST, Estimate, kappa, wilson
from tunix_rt.errors import QueryInvalid
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.rows import TIME
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.scan import scan
from tunix_rt.store.scores.current import CURRENT_OF_TRACES
from tunix_rt.store.scores.labels import PREFIX, words_of
from tunix_rt.store.scores.verdict_rates import VerdictRates, truth_of, verdict_rates
from tunix_rt.validation import short

if TYPE_CHECKING:
    import pandas as pd

# More are a measurement, and no two are equal.
_MOST_LABELS = 20
_EXAMPLES = 3
_CALL = "agreement"
_NUMBER = re.compile(r"-?[0-9]")
_NO, _YES = "false", "true"
_BOOLEANS = {"0.0": _NO, "1.0": _YES}
# Its keys become part of the SQL.
_META_KEY = re.compile(r"meta\.([\w-]+(?:\.[\w-]+)*)", re.ASCII)

# Booleans are 0 and 1, as the values of scores are.
_META_LABEL = """
case json_type({found})
    when 'BOOLEAN' then if({found}::varchar = 'true', '1.0', '0.0')
    when 'VARCHAR' then {found} ->> '$'
    when 'NULL' then null
    when 'ARRAY' then null
    when 'OBJECT' then null
    else try_cast({found}::varchar as double)::varchar
end
"""
_SCORE_LABEL = f"""
select
    trace_id,
    case
        when lower(label) in {{right}} then '1.0'
        when lower(label) in {{wrong}} then '0.0'
        else coalesce(label, value::varchar)
    end as label
from ({CURRENT_OF_TRACES})
"""
_LABELLED = """
with of_a as ({of_a}), of_b as ({of_b})
select sample.id, sample.moment, coalesce(sample.a, of_a.label) as a, coalesce(sample.b, of_b.label) as b
from samples as sample
left join of_a on of_a.trace_id = sample.id::uuid
left join of_b on of_b.trace_id = sample.id::uuid
"""
_CELLS = f"""
select a, b, count(*) as n, list(id order by moment desc, id desc)[:{_EXAMPLES}] as examples
from labelled
group by a, b
order by a, b
"""


class Cell(NamedTuple):
    """The traces that `a` and `b` gave these labels: how many, and the ids of the newest three."""

    a: str
    b: str
    n: int
    examples: list[str]


@render.shows_summary
class Agreement:
    """How two scorers `a` and `b` agree on the traces that both scored.

    `cells` is the confusion table: their labels, how many traces, ids of three; `n` traces in all. Estimates are
    `agreed`, the share with equal labels; `kappa`, Cohen's, which chance is taken out of; `constant`, what a scorer
    would reach that always gives the most frequent label of the truth; and `precision`: where `a` says yes, and `b` yes
    or no, the share of yes (None without such traces). It is that of all traces if `b` judged a random sample of them,
    as a queue is; samples of one prompt count as independent. `only_a` and `only_b` traces were scored by one.

    The truth is what a person says (`label:…`), else a key of meta, else `b`. Where a scorer is compared with a person
    or the data, and both say yes or no, `rates` has its TPR and TNR, and the true share of yes; else it is None.
    """

    def __init__(
        self, a: str, b: str, cells: list[Cell], *, only_a: int, only_b: int, rates: VerdictRates | None
    ) -> None:
        self.a, self.b = a, b
        self.cells = cells
        self.only_a, self.only_b = only_a, only_b
        self.rates = rates
        self.n = sum(cell.n for cell in cells)
        self.agreed = wilson(sum(cell.n for cell in cells if cell.a == cell.b), self.n)
        self.kappa: Estimate = kappa({(cell.a, cell.b): cell.n for cell in cells})
        truth = "a" if truth_of(a, b) == a != b else "b"
        of_truth: dict[str, int] = {}
        for cell in cells:
            label = getattr(cell, truth)
            of_truth[label] = of_truth.get(label, 0) + cell.n
        self.most_frequent = max(of_truth, key=lambda label: (of_truth[label], label), default=None)
        self._most = max(of_truth.values(), default=0)
        self.constant = wilson(self._most, self.n)
        of_yes = {cell.b: cell.n for cell in cells if cell.a == _YES}
        right, wrong = of_yes.get(_YES, 0), of_yes.get(_NO, 0)
        self.precision: Estimate | None = None
        if right + wrong:
            self.precision = replace(wilson(right, right + wrong), left_out=sum(of_yes.values()) - right - wrong)

    def to_dict(self) -> dict[str, Any]:
        """The agreement as values of JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "n": self.n,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "agreed": self.agreed.to_dict(),
            "kappa": self.kappa.to_dict(),
            "constant": self.constant.to_dict(),
            "precision": None if self.precision is None else self.precision.to_dict(),
            "most_frequent": self.most_frequent,
            "rates": None if self.rates is None else self.rates.to_dict(),
            "cells": [cell._asdict() for cell in self.cells],
        }

    def df(self) -> "pd.DataFrame":
        """The confusion table as a pandas data frame, a row for each cell; pandas must be installed."""
        import pandas as pd

        return pd.DataFrame(self.cells, columns=list(Cell._fields))

    @property
    def _facts(self) -> list[tuple[str, str]]:
        equal = sum(cell.n for cell in self.cells if cell.a == cell.b)
        facts = [
            ("scorers", f"{self.a} and {self.b}"),
            ("scored by both", render.count(self.n, "trace")),
            ("by one only", f"{self.only_a:,} by {self.a}, {self.only_b:,} by {self.b}"),
        ]
        if not self.n:
            return [*facts, ("to do", f"nothing to compare: {self._missing}")]
        facts.append(("agreed", render.share(equal, self.n, self.agreed)))
        # Of a person's yes it is the TPR of the other one, which follows.
        is_tpr = self.rates is not None and self.rates.truth == self.a
        if (sure := self.precision) and sure.value is not None and not is_tpr:
            said = f"{self.b} says yes in {render.share(round(sure.value * sure.n), sure.n, sure)}"
            unsure = f"; neither yes nor no in {sure.left_out:,}" if sure.left_out else ""
            facts.append((f"where {self.a} says yes", said + unsure))
        if self.n >= FEWEST:
            said = "undefined: both always give one label"
            if self.kappa.value is not None:
                said = f"{self.kappa.value:.3f} (95 % interval {self.kappa.low:.3f} to {self.kappa.high:.3f})"
            facts.append(("kappa", f"{said}; 0 is what chance would reach, 1 is full agreement"))
            would = f"would agree in {render.share(self._most, self.n, self.constant)}"
            facts.append((f"always {self.most_frequent}", would))
        return facts + (self.rates.facts if self.rates is not None else [])

    @property
    def _missing(self) -> str:
        """What to do where no trace was scored by both."""
        lacking = [name for name, n in ((self.a, self.only_a), (self.b, self.only_b)) if not n]
        steps = [
            f"none of these traces has {name}; load traces that have it, or change the filters"
            if name.startswith("meta.")
            else f"none of these traces has a score of {name}; run store.score({name!r}) with the same filters"
            for name in dict.fromkeys(lacking)
        ]
        return "; ".join(steps) or "each trace was scored by one of them; score the same traces by both"

    @property
    def _tables(self) -> list[render.Shown]:
        examples = render.short_ids([cell.examples for cell in self.cells])
        rows = [
            {self.a: cell.a, f"{self.b} " if self.a == self.b else self.b: cell.b, "traces": cell.n} | {"newest": ids}
            for cell, ids in zip(self.cells, examples, strict=True)
        ]
        caption = render.count(len(rows), "pair") + " of labels"
        if any(cell.a != cell.b for cell in self.cells):
            caption += f" · where they differ: store.disagreements({self.a!r}, {self.b!r})"
        return [render.Shown.of(rows, len(rows), caption)]

    def __repr__(self) -> str:
        return f"<Agreement of {self.a} and {self.b} on {self.n:,} traces>"


def agreement(session: Access, a: str, b: str, filters: Filters) -> Agreement:
    """The agreement of two scorers on the traces that pass the filters."""
    samples = _samples(session, a, b, filters)
    with session.cursor() as cursor:
        labelled = _labelled(cursor, samples, a, b)
        cursor.register("labelled", labelled)
        try:
            rows = cursor.execute(_CELLS).fetchall()
        finally:
            cursor.unregister("labelled")
    for at, name in enumerate((a, b)):
        if (n := len({row[at] for row in rows})) > _MOST_LABELS:
            raise QueryInvalid(f"{name}: has {n:,} different values; labels are compared, up to {_MOST_LABELS} of them")
    both = [Cell(*row) for row in rows if row[0] is not None and row[1] is not None]
    return Agreement(
        a,
        b,
        _readable(both),
        only_a=sum(n for of_a, of_b, n, _ in rows if of_a is not None and of_b is None),
        only_b=sum(n for of_a, of_b, n, _ in rows if of_a is None and of_b is not None),
        rates=verdict_rates(a, b, (row[:3] for row in rows)),
    )


def disagreements(session: Access, a: str, b: str, filters: Filters) -> list[str]:
    """The ids of the traces that pass the filters and have different labels of two scorers."""
    samples = _samples(session, a, b, filters)
    with session.cursor() as cursor:
        labelled = _labelled(cursor, samples, a, b)
        cursor.register("labelled", labelled)
        try:
            return [one for (one,) in cursor.execute("select id from labelled where a <> b").fetchall()]
        finally:
            cursor.unregister("labelled")


def _samples(session: Access, a: str, b: str, filters: Filters) -> pa.Table:
    select = f"id::varchar as id, {TIME} as moment, {of_meta(a, _CALL)} as a, {of_meta(b, _CALL)} as b"
    return pa.Table.from_batches(scan(session, select, filters, newest_first=False))


def of_meta(name: str, call: str) -> str:
    """The expression for the value of `meta.KEY` as text, booleans as 1.0 and 0.0; null for another name.

    Raises QueryInvalid, in the name of a `call`, for what is no name.
    """
    if not isinstance(name, str):
        raise QueryInvalid(f"{call}: a scorer is named by a string, not {type(name).__name__}")
    if not name.startswith("meta."):
        return "null::varchar"
    found = _META_KEY.fullmatch(name)
    if found is None:
        raise QueryInvalid(f"{call}: {short(name)} is not a key of meta in letters, digits, _ and -")
    # A key may itself hold dots, so it is tried before the path.
    key, path = found[1], found[1].replace(".", "/")
    return _META_LABEL.format(found=f"coalesce(json_extract(meta, '/{key}'), json_extract(meta, '/{path}'))")


def require_scores(cursor: duckdb.DuckDBPyConnection, names: Sequence[str], call: str) -> None:
    """Raises QueryInvalid, in the name of a `call`, where there are no scores of one of these, and no key of meta."""
    known = [one for (one,) in cursor.execute("select distinct scorer from scores order by scorer").fetchall()]
    for name in names:
        if not name.startswith("meta.") and name not in known:
            raise QueryInvalid(
                f"{call}: no scores of {short(name)}; there are {', '.join(known) or 'none'}, and meta.KEY"
            )


def _labelled(cursor: duckdb.DuckDBPyConnection, samples: pa.Table, a: str, b: str) -> pa.Table:
    require_scores(cursor, (a, b), _CALL)
    # The words of two people are compared as they are.
    as_they_are = a.startswith(PREFIX) and b.startswith(PREFIX)
    of_a, of_b = (
        _SCORE_LABEL.format(right=right, wrong=wrong)
        for right, wrong in (words_of("" if as_they_are else name) for name in (a, b))
    )
    cursor.register("samples", samples)
    try:
        return cursor.sql(_LABELLED.format(of_a=of_a, of_b=of_b), params=[a, b]).to_arrow_table()
    finally:
        cursor.unregister("samples")


def _readable(cells: list[Cell]) -> list[Cell]:
    """Numbers without ".0"; false and true for 0 and 1 where there are no other numbers."""
    values = {label for cell in cells for label in cell[:2]}
    named = _BOOLEANS if all(one in _BOOLEANS for one in values if _NUMBER.match(one)) else {}
    names = {one: named.get(one, one.removesuffix(".0")) for one in values}
    return [cell._replace(a=names[cell.a], b=names[cell.b]) for cell in cells]
