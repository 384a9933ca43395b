"""Figures of matplotlib, which a notebook, a code host and a printed page show alike: a PNG, never SVG or a script."""

import io
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tunix_rt.render.characters import visible

_INCHES = (7.0, 3.6)
# A notebook shows it at half of its size, so that it is sharp on every screen.
_SHOWN_DPI, _SCALE = 100, 2
# Of Okabe and Ito, which people tell apart however they see colours; lines have a mark of their own as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = "osD^vP"
_MOST_TITLE = 80


def plain(text: Any, most: int = 40) -> str:
    r"""A text as it is, whatever is in it: between two `$` matplotlib reads formulas.

    >>> print(plain("$x$"))
    \$x\$
    """
    shown = visible(str(text)).replace("\n", " ")
    return (shown if len(shown) <= most else shown[: most - 1] + "…").replace("$", r"\$")


def new_figure(title: str, x: str, y: str, caption: str) -> tuple[Any, Any]:
    """A figure and its axes, with an opaque background; nothing of pyplot, whose state is the notebook's."""
    from matplotlib import rcParams
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_SHOWN_DPI, layout="constrained")
    figure.set_facecolor(to_rgb(rcParams["figure.facecolor"]))
    axes = figure.add_subplot()
    axes.set_title(plain(title, _MOST_TITLE), loc="left", fontsize="medium", fontweight="bold")
    axes.set_xlabel(f"{x}\n{caption}" if caption else x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def histogram(
    axes: Any, edges: Sequence[float], counts: Sequence[int], *, log: bool, marks: Mapping[str, float]
) -> None:
    """Bars between the edges, and named vertical lines."""
    widths = [high - low for low, high in pairwise(edges)]
    axes.bar(edges[:-1], counts, widths, align="edge", color=_COLOURS[0], edgecolor="white", linewidth=0.5)
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    for at, (name, value) in enumerate(marks.items()):
        axes.axvline(value, color=_COLOURS[1], linestyle=("-", "--")[at % 2], linewidth=1.5, label=name)
    if marks:
        axes.legend(frameon=False)


def bars(axes: Any, names: Sequence[Any], counts: Sequence[int]) -> None:
    """A horizontal bar for each name, the first at the top, with its number."""
    drawn = axes.barh([*range(len(names))], counts, color=_COLOURS[0])
    axes.bar_label(drawn, [f"{count:,}" for count in counts], padding=3)
    axes.set_yticks([*range(len(names))], [plain(name) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.12)


def stacked(axes: Any, names: Sequence[Any], parts: Mapping[str, Sequence[int]]) -> None:
    """A horizontal bar for each name, divided into parts, each with its number."""
    left = [0] * len(names)
    for (part, counts), colour in zip(parts.items(), _COLOURS, strict=False):
        drawn = axes.barh([*range(len(names))], counts, left=left, color=colour, label=part, edgecolor="white")
        axes.bar_label(drawn, [f"{n:,}" if n else "" for n in counts], label_type="center", color="white")
        left = [a + b for a, b in zip(left, counts, strict=True)]
    axes.set_yticks([*range(len(names))], [plain(name) for name in names])
    axes.invert_yaxis()
    axes.figure.legend(frameon=False, ncols=len(parts), loc="outside lower center", fontsize="small")


def lines(axes: Any, series: Mapping[str, Sequence[tuple[Any, ...]]]) -> None:
    """A line for each name through (x, y), with the interval from low to high where there is one."""
    for at, (name, points) in enumerate(series.items()):
        colour = _COLOURS[at % len(_COLOURS)]
        xs, ys, lows, highs = zip(*points, strict=True)
        axes.plot(xs, ys, color=colour, marker=_MARKS[at % len(_MARKS)], markersize=5, label=plain(name))
        known = [(x, low, high) for x, low, high in zip(xs, lows, highs, strict=True) if low is not None]
        if known:
            axes.fill_between(*zip(*known, strict=True), color=colour, alpha=0.18, linewidth=0)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize="small")


def nothing(axes: Any) -> None:
    """Axes without anything: they say so."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, "nothing to show", ha="center", va="center", transform=axes.transAxes)


def png(figure: Any) -> tuple[bytes, dict[str, int]]:
    """The figure as a PNG of twice the size at which it is to be shown, and that size, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font does not have is shown as a box.
        warnings.simplefilter("ignore", UserWarning)
        figure.set_dpi(_SHOWN_DPI * _SCALE)
        FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
    figure.set_dpi(_SHOWN_DPI)
    width, height = (round(inches * _SHOWN_DPI) for inches in _INCHES)
    return file.getvalue(), {"width": width, "height": height}
