"""`python -m tests.benchmarks.painted STORE`: from click to painted, in a real JupyterLab with Chromium.

STORE is a store with many traces, such as `python -m tests.benchmarks --sizes 1000000 --keep FOLDER` leaves behind; it
is opened for reading only. The baseline is the least that a click in a notebook can cost: an ipywidgets Button whose
handler puts rows that lie in memory into an ipywidgets HTML.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, expect

from tests.benchmarks import results
from tests.benchmarks.table import aimed, table
from tests.browser.jupyter import find_chromium, launched, running

_ABOUT = """\
`python -m tests.benchmarks.painted STORE`. From a click to the painted frame, in a JupyterLab with Chromium, beside
an ipywidgets Button that puts rows from memory into an ipywidgets HTML."""
_FORMS = """import tunix_rt as rt
app = rt.app(rt.TraceStore({store!r}, read_only=True))
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
    parser.add_argument("store", type=Path)
    parser.add_argument("--repeat", type=int, default=31, help="clicks of each kind")
    results.add_argument(parser)
    given = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        parser.error("no Chromium on this machine; install it")
    with (
        tempfile.TemporaryDirectory() as folder,
        launched(chromium) as browser,
        running(browser, Path(folder)) as server,
        server.opened() as jupyter,
    ):
        jupyter.write(
            "painted.ipynb",
            _FORMS.format(store=str(given.store)),
            _LARGE.format(large=str(Path(folder) / "large.duckdb")),
            _PLAIN.format(store=str(given.store)),
        )
        with jupyter.open("painted.ipynb") as page:
            jupyter.run_all(page)
            expect(page.locator(".trt-app")).to_have_count(2, timeout=60_000)
            expect(page.get_by_role("button", name="plain")).to_be_visible()
            rows = list(_measured(page, given.repeat))
    columns = ("work", "tunix_rt, ms", "a plain widget's click, ms", "ratio", "aim")
    clicks = table(columns, ("---", "---:", "---:", "---:", "---"), *rows)
    print(clicks)  # noqa: T201
    if given.results:
        results.write(given.results, "In the browser", _ABOUT, {"Clicks": clicks})


def _measured(page: Page, repeat: int) -> Iterator[tuple[str, ...]]:
    forms, large = page.locator(".trt-app").all()
    place = forms.get_by_role("navigation").get_by_role("status").inner_text()
    plain = page.get_by_role("button", name="plain"), page.locator(".widget-html").last
    turn = forms.get_by_title("Next page: older traces"), forms.locator(".trt-list tbody")
    kinds = {f"turn the page ({place.split()[-1]} traces)": [turn]}
    for name, app in {
        "open a trace": forms,
        "open a trace of 1 MB": large,
        "open a trace of 1,000 steps": large,
    }.items():
        rows = app.locator(".trt-list tbody tr")
        # Another trace is opened in between, or there would be nothing to paint.
        order = [1, 0] if "steps" in name else [0, 1]
        kinds[name] = [(rows.nth(at), app.locator(".trt-reading")) for at in order]
    for (work, ways), aim in zip(kinds.items(), ("≤ 150 ms", "", "≤ 500 ms", ""), strict=True):
        ours, theirs = [], []
        for n in range(repeat):
            for at, way in enumerate(ways):
                took = _click(page, *way)
                if at == 0:
                    ours.append(took)
            theirs.append(_click(page, *plain))
            if n == 0:
                # The first ones load what later ones have at hand.
                ours, theirs = [], []
        mine, plains = median(ours), median(theirs)
        yield work, f"{mine:.0f}", f"{plains:.0f}", f"{mine / plains:.3g}", aimed(aim, mine)


def _click(page: Page, button: object, changed: object) -> float:
    return float(page.evaluate(_CLICK, [button.element_handle(), changed.element_handle()]))


if __name__ == "__main__":
    main()
