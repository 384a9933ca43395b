"""`python -m tests.benchmarks.painted`: from click to painted, in a real JupyterLab with Chromium.

The list has 1,000,000 traces, and three of its columns are scores. `--store` takes a store that is there, such as
`python -m tests.benchmarks.ordered --keep FOLDER` leaves behind; it is opened for reading only. The baseline is the
least that a click in a notebook can cost: an ipywidgets Button whose handler puts rows that lie in memory into an
ipywidgets HTML.
"""

import argparse
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Page, expect

from tests.benchmarks import results
from tests.benchmarks.ordered import filled
from tests.benchmarks.table import aimed, table
from tests.browser.jupyter import find_chromium, launched, running

_ABOUT = """\
`python -m tests.benchmarks.painted`. From a click to the painted frame, in a JupyterLab with Chromium, beside an
ipywidgets Button that puts rows from memory into an ipywidgets HTML. *Deep* is at the oldest traces, towards newer
ones; by a score, each page has traces from all times."""
_FORMS = """import tunix_rt as rt
app = rt.app(rt.TraceStore({store!r}, read_only=True), columns={columns!r})
app"""
_LARGE = """large = rt.TraceStore({large!r})
for prompt, steps in {{"1,000 steps": ["so many words " * 8] * 1_000, "1 MB": ["so many words " * 2_500] * 29}}.items():
    large.add(rt.Trace(trace_version="1.1", prompt=prompt, steps=steps, final_answer="a"))
rt.app(large)"""
_PLAIN = """import ipywidgets
page = rt.TraceStore({store!r}, read_only=True).page()
turned = ipywidgets.HTML()
def turn(_):
    turned.value = "<table>" + "".join(
        f"<tr><td>{{r.created_at}}<td>{{r.n_steps}}<td>{{r.source}}" for r in page
    ) + f"</table>{{_.description}}"
    _.description += "."
button = ipywidgets.Button(description="plain")
button.on_click(turn)
ipywidgets.VBox([button, turned])"""
# The time until the frame after the change has been painted, by the page's own clock.
_CLICK = """([button, changed]) => new Promise((resolve) => {
    const started = performance.now();
    const seen = new MutationObserver(() => {
        seen.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - started)));
    });
    seen.observe(changed, { childList: true, subtree: true });
    button.click();
})"""


def main() -> None:
    """Prints the table to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.painted", description=main.__doc__)
    parser.add_argument(
        "--store", type=Path, help="a store with traces, and scores by s0, s1, …; by default, a new one"
    )
    parser.add_argument("--size", type=int, default=1_000_000, help="traces of a new store")
    parser.add_argument("--scores", type=int, default=3, help="columns of scores in the list")
    parser.add_argument("--repeat", type=int, default=50, help="clicks of each kind")
    results.add_argument(parser)
    given = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        parser.error("no Chromium on this machine; install it")
    with tempfile.TemporaryDirectory() as folder:
        if given.store is None:
            given.store = Path(folder) / "traces.duckdb"
            filled(given.store, given.size).close()
        columns = ["created_at", "preview", "verdict", *(f"score.s{n}" for n in range(given.scores)), "n_steps"]
        with (
            launched(chromium) as browser,
            running(browser, Path(folder) / "jupyter") as server,
            server.opened() as jupyter,
        ):
            jupyter.write(
                "painted.ipynb",
                _FORMS.format(store=str(given.store), columns=columns if given.scores else []),
                _LARGE.format(large=str(Path(folder) / "large.duckdb")),
                _PLAIN.format(store=str(given.store)),
            )
            with jupyter.open("painted.ipynb") as page:
                jupyter.run_all(page)
                expect(page.locator(".trt-app")).to_have_count(2, timeout=60_000)
                expect(page.get_by_role("button", name="plain")).to_be_visible()
                place = page.get_by_role("navigation", name="Pages").first.get_by_role("status")
                expect(place).to_have_text(re.compile(r"of \d"), timeout=60_000)
                n_traces = place.inner_text().split()[-1]
                rows = list(_measured(page, given.repeat, by_score="s0" if given.scores else ""))
    heads = ("work", "tunix_rt, ms", "p95, ms", "a plain widget's click, ms", "ratio", "aim")
    clicks = table(heads, ("---", *["---:"] * 4, "---"), *rows)
    print(clicks)  # noqa: T201
    if given.results:
        name = f"{n_traces} traces, {given.scores} columns of scores"
        results.write(given.results, "In the browser", _ABOUT, {name: clicks})


def _measured(page: Page, repeat: int, *, by_score: str) -> Iterator[tuple[str, ...]]:
    forms, large = page.locator(".trt-app").all()
    plain = page.get_by_role("button", name="plain"), page.locator(".widget-html").last
    body = forms.locator(".trt-list tbody")
    older, newer = (forms.get_by_title(f"{way} page", exact=False) for way in ("Next", "Previous"))
    yield _row("turn the page, newest", _clicks(page, [(older, body)], plain, repeat), "≤ 150 ms")
    _click(page, forms.get_by_title("Oldest"), body)
    yield _row("turn the page, deep", _clicks(page, [(newer, body)], plain, repeat), "≤ 150 ms")
    for name, app in {
        "open a trace": forms,
        "open a trace of 1 MB": large,
        "open a trace of 1,000 steps": large,
    }.items():
        rows = app.locator(".trt-list tbody tr")
        # Another trace is opened in between, or there would be nothing to paint.
        order = [1, 0] if "steps" in name else [0, 1]
        ways = [(rows.nth(at), app.get_by_role("region", name="The trace")) for at in order]
        yield _row(name, _clicks(page, ways, plain, repeat), "≤ 500 ms" if "MB" in name else "")
    if by_score:
        _click(page, forms.get_by_role("columnheader", name=by_score).get_by_role("button"), body)
        yield _row("turn the page, by a score", _clicks(page, [(older, body)], plain, repeat), "≤ 150 ms")


def _clicks(page: Page, ways: list[tuple[Any, Any]], plain: tuple[Any, Any], repeat: int) -> list[list[float]]:
    """How long the first of the ways took, and the plain widget, each time."""
    ours, theirs = [], []
    for n in range(repeat + 1):
        took = [_click(page, *way) for way in ways]
        at_once = _click(page, *plain)
        # The first ones load what later ones have at hand.
        if n:
            ours.append(took[0])
            theirs.append(at_once)
    return [ours, theirs]


def _row(work: str, took: list[list[float]], aim: str) -> tuple[str, ...]:
    ours, theirs = map(sorted, took)
    mine, plains = median(ours), median(theirs)
    late = ours[int(len(ours) * 0.95)]
    return work, f"{mine:.0f}", f"{late:.0f}", f"{plains:.0f}", f"{mine / plains:.3g}", aimed(aim, mine)


def _click(page: Page, button: Any, changed: Any) -> float:
    return float(page.evaluate(_CLICK, [button.element_handle(), changed.element_handle()]))


if __name__ == "__main__":
    main()
