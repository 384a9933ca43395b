"""Pictures of the traces of a store: what is drawn, as a table, and the figure that draws it."""

import base64
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tunix_rt import render
from tunix_rt.analysis.statistics import ratio
from tunix_rt.errors import QueryInvalid
from tunix_rt.render import figures
from tunix_rt.store.engine.access import Access
from tunix_rt.store.engine.statement import interruptible
from tunix_rt.store.filters import Filters
from tunix_rt.store.query.page import Page
from tunix_rt.store.score_filter import scorer_names
from tunix_rt.store.scores.current import CURRENT_OF_TRACES
from tunix_rt.store.scores.groups import LEVELS, groups
from tunix_rt.store.scores.policy import CORRECT, POLICY_FIELDS
from tunix_rt.validation import short

if TYPE_CHECKING:
    import pandas as pd

_BINS = 30
# More values than these are a measurement, of which a bar for each says nothing.
_MOST_BARS = 12
_MOST_POLICIES = 20
_MOST_LINES = 6
_TILES = 10
_MARKED = (("median", 0.5), ("95 %", 0.95))

_CHARS = "(n_chars - length(prompt))"
_LENGTHS = f"select {_CHARS} as chars from traces{{clause}}"
# The verdict of the data itself counts where `answer` has not judged, as in groups.
_SCORED = f"""
with scored as ({CURRENT_OF_TRACES}),
chosen as (
    select id, md5(prompt) as prompt_key, {_CHARS} as chars, {POLICY_FIELDS["source"]} as source,
        {POLICY_FIELDS["model"]} as model, try_cast({POLICY_FIELDS["training_step"]} as double) as step,
        case when ? = 'answer' then {CORRECT}::double end as marked
    from traces{{clause}}
),
judged as (
    select chosen.*, coalesce(scored.value, marked) as value, scored.label, scored.trace_id is not null as is_scored
    from chosen left join scored on scored.trace_id = chosen.id
)
"""
_VALUES = """
select value, label, count(*) as traces, is_scored or value is not null as is_scored
from judged group by all order by value, traces desc, label
"""
_BY_LENGTH = f"""
select tile, prompt_key, count(*) as traces, sum(value) as right, min(chars) as shortest, max(chars) as longest
from (select *, ntile({_TILES}) over (order by chars, id) as tile from judged where value in (0, 1))
group by all order by tile, prompt_key
"""
_BY_STEP = """
select source, model, step, prompt_key, count(*) as traces, sum(value) as total
from judged where value is not null and step is not null and isfinite(step)
group by all order by source, model, step, prompt_key
"""


class Plot:
    """A picture: shows itself as a PNG, and as a table of what it shows.

    `figure` is matplotlib's, to change or to save (`plot.figure.savefig("lengths.pdf")`); `arrow()` and `df()` return
    the table.
    """

    def __init__(
        self, title: str, axes: tuple[str, str], caption: str, table: pa.Table, draw: Callable[[Any], None]
    ) -> None:
        self.title = title
        self.caption = caption
        self._axes = axes
        self._table = table
        self._draw = draw

    @cached_property
    def figure(self) -> Any:
        """The `matplotlib.figure.Figure`."""
        figure, axes = figures.new_figure(self.title, *self._axes, self.caption)
        (self._draw if len(self._table) else figures.nothing)(axes)
        return figure

    def arrow(self) -> pa.Table:
        """The table as an Arrow table."""
        return self._table

    def df(self) -> "pd.DataFrame":
        """The table as a pandas data frame; pandas must be installed."""
        return self._table.to_pandas()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        picture, size = figures.png(self.figure)
        return {"text/plain": str(self), "image/png": base64.b64encode(picture).decode()}, {"image/png": size}

    def __str__(self) -> str:
        rows = [{name: _said(value) for name, value in row.items()} for row in self._table.to_pylist()]
        numbers = [field.name for field in self._table.schema if not pa.types.is_string(field.type)]
        shown = render.Shown.of(rows, len(rows), self.caption, right=numbers)
        return f"{render.visible(self.title)}: {self.caption}\n\n{render.table_text(shown)}"

    def __repr__(self) -> str:
        return f"<Plot: {self.title}>"


def plot(session: Access, kind: Any, scorer: str, filters: Filters, get_page: Callable[..., Page]) -> Plot:
    """The picture of this kind; see `TraceStore.plot`."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise QueryInvalid(f"plot: {short(kind)}: must be one of {', '.join(KINDS)}")
    if find_spec("matplotlib") is None:
        raise QueryInvalid('plot: needs the package matplotlib: pip install "tunix-rt[plots]"')
    if kind == "difficulty":
        return _difficulty(session, filters, get_page)
    scorer_names("scorer", [scorer])
    clause, values = filters.clause()
    query, make = _QUERIES[kind]
    parameters = values if kind == "lengths" else [scorer, scorer, *values]
    with session.cursor() as cursor, filters.query_errors(cursor, session.path), interruptible():
        found = cursor.sql(query.format(clause=clause), params=parameters).to_arrow_table()
    return make(found, scorer)


def _lengths(found: pa.Table, _: str) -> Plot:
    chars = sorted(found["chars"].to_pylist())
    logs, counts = _binned([math.log(n + 1) for n in chars])
    edges = [math.exp(edge) for edge in logs]
    marked = {name: chars[int(share * (len(chars) - 1))] for name, share in _MARKED if chars}
    marks = {f"{name}: {n:,}": n + 1 for name, n in marked.items()}
    table = pa.table({"from": _whole(edges[:-1]), "to": _whole(edges[1:]), "traces": pa.array(counts, pa.int64())})
    return Plot(
        "Characters of steps and answer",
        ("characters", "traces"),
        f"{len(chars):,} traces",
        table,
        lambda axes: figures.histogram(axes, edges, counts, log=True, marks=marks),
    )


def _scores(found: pa.Table, scorer: str) -> Plot:
    rows = found.to_pylist()
    scored = [row for row in rows if row["value"] is not None or row["label"] is not None]
    n_silent = sum(row["traces"] for row in rows if row["is_scored"]) - sum(row["traces"] for row in scored)
    n = sum(row["traces"] for row in scored)
    caption = f"{n:,} traces with a score" + (f", {n_silent:,} unscorable" if n_silent else "")
    title, numbers = f"Scores of {scorer}", [row["value"] for row in scored if row["label"] is None]
    if len(scored) <= _MOST_BARS or len(numbers) < len(scored):
        first = scored if len(numbers) == len(scored) else sorted(scored, key=lambda row: -row["traces"])[:_MOST_BARS]
        names = [f"{row['value']:g}" if row["label"] is None else row["label"] for row in first]
        counts = [row["traces"] for row in first]
        table = pa.table({"score": pa.array(names, pa.string()), "traces": pa.array(counts, pa.int64())})
        caption += f"; {len(first)} of {len(scored)} labels" if len(first) < len(scored) else ""
        return Plot(title, ("traces", ""), caption, table, lambda axes: figures.bars(axes, names, counts))
    edges, counts = _binned(numbers, [row["traces"] for row in scored])
    table = pa.table({"from": edges[:-1], "to": edges[1:], "traces": pa.array(counts, pa.int64())})
    draw = lambda axes: figures.histogram(axes, edges, counts, log=False, marks={})  # noqa: E731
    return Plot(title, ("score", "traces"), caption, table, draw)


def _by_length(found: pa.Table, scorer: str) -> Plot:
    rows = []
    for tile in sorted(set(found["tile"].to_pylist())):
        prompts = [row for row in found.to_pylist() if row["tile"] == tile]
        share = ratio([row["right"] for row in prompts], [row["traces"] for row in prompts])
        shortest, longest = min(row["shortest"] for row in prompts), max(row["longest"] for row in prompts)
        n = sum(row["traces"] for row in prompts)
        rows.append({"from": shortest, "to": longest, "share": share, "traces": n})
    table = _estimates(rows, {"from": pa.int64(), "to": pa.int64()}, "yes")
    points = [(at, *_three(row["share"])) for at, row in enumerate(rows)]
    ranges = [f"{row['from']:,}–\n{row['to']:,}" for row in rows]
    caption = f"{len(rows)} parts of as many traces; 95 % interval over prompts"

    def draw(axes: Any) -> None:
        figures.lines(axes, {scorer: points})
        axes.set_xticks([*range(len(ranges))], ranges, fontsize="small")
        axes.set_ylim(-0.03, 1.03)

    title = f"{scorer}, by length"
    return Plot(title, ("characters of steps and answer", "share of yes"), caption, table, draw)


def _by_step(found: pa.Table, scorer: str) -> Plot:
    by_policy: dict[tuple[Any, Any], dict[float, list[dict[str, Any]]]] = {}
    for row in found.to_pylist():
        by_policy.setdefault((row["source"], row["model"]), {}).setdefault(row["step"], []).append(row)
    kept = sorted(by_policy, key=lambda one: -sum(map(len, by_policy[one].values())))[:_MOST_LINES]
    rows: list[dict[str, Any]] = []
    series: dict[str, list[Any]] = {}
    for source, model in kept:
        name = " · ".join(str(one) for one in (source, model) if one is not None) or "no name"
        for step, prompts in by_policy[source, model].items():
            share = ratio([row["total"] for row in prompts], [row["traces"] for row in prompts])
            n = sum(row["traces"] for row in prompts)
            rows.append({"policy": name, "step": step, "share": share, "traces": n})
            series.setdefault(name, []).append((step, *_three(share)))
    table = _estimates(rows, {"policy": pa.string(), "step": pa.float64()}, "mean")
    caption = "mean of traces; 95 % interval over prompts"
    caption += f"; {len(kept)} of {len(by_policy)} policies" if len(kept) < len(by_policy) else ""
    draw = lambda axes: figures.lines(axes, series)  # noqa: E731
    return Plot(f"{scorer}, over training steps", ("training step", "mean score"), caption, table, draw)


def _difficulty(session: Access, filters: Filters, get_page: Callable[..., Page]) -> Plot:
    found = groups(session, filters, None, get_page)
    policies = found.by_policy() if len(found) else ()
    names = [
        " · ".join(str(one) for one in policy.values() if one is not None) or "no name" for policy in found.policies
    ]
    shown = names[:_MOST_POLICIES]
    counts = {level: [one.levels.get(level, 0) for one in policies[:_MOST_POLICIES]] for level in LEVELS}
    counts = {level: of for level, of in counts.items() if any(of)}
    columns: dict[str, Any] = {"policy": pa.array(shown, pa.string())}
    table = pa.table(columns | {level: pa.array(of, pa.int64()) for level, of in counts.items()})
    caption = f"{len(found):,} prompts" + (
        f"; {len(shown)} of {len(names)} policies" if len(shown) < len(names) else ""
    )
    return Plot(
        "Groups by difficulty",
        ("prompts", ""),
        caption,
        table,
        lambda axes: figures.stacked(axes, shown, counts),
    )


_QUERIES: dict[str, tuple[str, Callable[[pa.Table, str], Plot]]] = {
    "lengths": (_LENGTHS, _lengths),
    "scores": (_SCORED + _VALUES, _scores),
    "length_and_score": (_SCORED + _BY_LENGTH, _by_length),
    "training": (_SCORED + _BY_STEP, _by_step),
}
KINDS = (*_QUERIES, "difficulty")


def _binned(numbers: Sequence[float], weights: Sequence[int] | None = None) -> tuple[list[float], list[int]]:
    """The edges of 30 bins of the same width, and the counts in them; no bins of no numbers."""
    if not numbers:
        return [0.0], []
    low, high = min(numbers), max(numbers)
    width = (high - low) / _BINS or 1.0
    counts = [0] * _BINS
    for number, weight in zip(numbers, weights or [1] * len(numbers), strict=True):
        counts[min(_BINS - 1, int((number - low) / width))] += weight
    return [low + at * width for at in range(_BINS + 1)], counts


def _estimates(rows: list[dict[str, Any]], first: dict[str, pa.DataType], name: str) -> pa.Table:
    """A table of the estimates `share`, with their intervals and numbers."""
    columns = {key: pa.array([row[key] for row in rows], kind) for key, kind in first.items()}
    for at, key in enumerate((name, "low", "high")):
        columns[key] = pa.array([_three(row["share"])[at] for row in rows], pa.float64())
    columns["traces"] = pa.array([row["traces"] for row in rows], pa.int64())
    columns["prompts"] = pa.array([row["share"].n for row in rows], pa.int64())
    return pa.table(columns)


def _three(share: Any) -> tuple[float | None, float | None, float | None]:
    return share.value, share.low, share.high


def _whole(edges: Sequence[float]) -> pa.Array:
    return pa.array([round(edge) - 1 for edge in edges], pa.int64())


def _said(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value
